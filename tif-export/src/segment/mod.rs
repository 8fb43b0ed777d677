//! The shared segment: where instruments' values live, so that an update costs a store and needs nobody's help.
//!
//! Think of a wall of pigeonholes behind glass. The service puts slips into the holes; the agent stands outside and reads. A second, smaller wall (the
//! *board*) hangs the other way round: the agent writes on it which holes somebody watches and what was last reported, the service reads it. Only when a
//! watched slip has changed enough, and nobody has rung yet, does the service ring the bell. `docs/segment.md` draws both walls byte by byte.
//!
//! - [`Segment`]: the exporter's side; [`ScalarCell`], [`CounterCell`], [`HistogramCell`], [`WideCell`]: one hole each.
//! - [`Attachment`]: the agent's side. It believes nothing that stands in a segment.
//!
//! - [`Vigil`]: waits for the deaths of exporters, for the agent.
//!
//! All `unsafe` of the facility is in here.

mod attach;
mod barrier;
mod board;
mod cell;
mod core;
mod entry;
mod error;
mod keeper;
mod lane;
mod map;
mod protocol;
mod reader;
mod shelf;
mod text;
mod vigil;
mod writer;

pub use attach::{Attachment, SETTLE, Swept};
pub use cell::{CounterCell, HistogramCell, ScalarCell, WideCell};
pub use error::{BoardError, DeclareError, OpenError, SegmentError};
pub use vigil::Vigil;
pub use writer::{Place, Segment};

#[cfg(test)]
mod tests;
