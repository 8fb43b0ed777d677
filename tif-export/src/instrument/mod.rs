//! The handles that a service holds: each lies directly on its cell in the segment.

mod control;
mod counter;
mod dynamic;
mod histogram;
mod indicator;
mod judge;

pub(crate) use control::ControlSide;
pub use control::{Control, LocalError};
pub use counter::Counter;
pub(crate) use dynamic::DynamicSide;
pub use dynamic::{Dynamic, Provided};
pub use histogram::Histogram;
pub use indicator::Indicator;
pub(crate) use judge::Judge;
