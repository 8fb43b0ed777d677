//! Rows and events as JSON: what the command line prints with `--output json` and `jsonl`.
//!
//! Every object has `"v": 1`; a field may be added under the same version, none is renamed or taken away. How values look:
//!
//! | type | JSON |
//! |---|---|
//! | bool, i64, u64, f64, string | as they are, every digit kept; NaN and the infinities are the strings `"NaN"`, `"inf"`, `"-inf"` |
//! | choice | its name as a string; a number without a name as `"?9"` |
//! | duration | seconds as a number |
//! | histogram | `{count, sum, mean, p50, p90, p99, max_bucket}` in the instrument's unit; null where nothing was recorded |
//! | no value | null |
//!
//! Instants are RFC 3339 strings in UTC, spans are numbers whose name says the unit (`age_ms`, `expires_s`), incarnations and keys are strings
//! as `ps` shows them.
// spec: SRV-3

mod event;
mod instant;
mod row;
mod value;

pub(crate) use event::notice_word;
pub use event::{EventLine, event};
pub use instant::rfc3339;
pub use row::{CpuRow, DeclarationRow, GroupMember, GroupRow, OutageRow, ProcessRow, SetRow, ValueRow};
pub(crate) use row::{age_ms, is_number};
pub use value::value;

/// The version of everything here.
pub const VERSION: u8 = 1;
