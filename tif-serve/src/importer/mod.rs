//! The importer: one connection to the CPU's agent, looked after by a thread of its own.
//!
//! Think of a newspaper subscription. The reader says once what it wants to read; if the newsagent burns down and opens again, or the paper
//! gets a new publisher, the subscription is renewed for it. In between the old issues stay on the table, each marked with its date.
//!
//! - [`Importer`]: opens the connection, takes subscriptions, answers requests.
//! - [`Event`]: what the thread tells: announcements, reports, standings, notices, outages.
//! - [`Table`]: an importer's view of its instruments, made from events.
// spec: SRV-2

mod backlog;
mod event;
mod handle;
mod held;
mod interest;
mod notices;
mod random;
mod reader;
mod request;
mod source;
mod table;
mod thread;
mod waker;

pub use event::{Event, Link, Standing, SubscriptionId};
pub use handle::{HEARTBEAT, Importer, Options, new_request_id};
pub use request::{FireRequest, FireResult, Recalled, RequestError, Sensed, SetRequest};
pub use table::{Row, Table, address};
pub use tif_core::model::SetResult;

pub(crate) use source::fits;

#[cfg(test)]
pub(crate) mod test_data;
