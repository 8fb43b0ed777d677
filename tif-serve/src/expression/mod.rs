//! Conditions over instruments, as `tif-serve wait` takes them: `demo.files > 100 && demo.queue.depth == 0`.
//!
//! ```text
//! either     = both { "||" both }
//! both       = not { "&&" not }
//! not        = "!" not | "(" either ")" | comparison
//! comparison = instrument [ ("==" | "!=" | "<" | "<=" | ">" | ">=") literal ]
//! instrument = name ["{" dimensions "}"] ["@" process]
//! literal    = number | number with a time unit | word | "text"
//! ```
//!
//! A literal is read by the instrument's type; an instrument alone is a bool. A condition is true, false or unknown: what compares a value
//! that is not live (not there yet, stale, lost, failed) is unknown, and nothing unknown makes a condition true.
// spec: SRV-8

mod evaluate;
mod parse;
mod token;

pub use evaluate::{EvaluateError, Seen};
pub use parse::{Expression, Instrument, ParseError};
