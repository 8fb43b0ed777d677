//! The exporter: one per service and OS process. It has a thread that talks to the agent, so that the service never has to.
//!
//! - [`Exporter`]: the home of the service's instruments, and its standing with the agent.
//! - `link`: the thread: connects, resumes, receives. Never runs the service's code.
//! - `steward`: runs what must stay in order: controls and roles.
//! - `pool`: runs what may take its time: providers and procedures.

mod computing;
mod doorbell;
mod duties;
mod life;
mod link;
mod pool;
mod registry;
mod standing;
mod steward;
mod validating;

pub(crate) use doorbell::Doorbell;
pub(crate) use registry::Exporter;
pub(crate) use registry::Refuses;
pub(crate) use standing::{Answer, Callback, Options};
