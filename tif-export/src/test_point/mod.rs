//! Test points in the service's path.

mod armed;
mod point;
mod random;
mod record;

pub use armed::{Armed, Verdict};
pub use point::TestPoint;
pub(crate) use point::{Cells, Point};
pub(crate) use record::now;
pub use record::{Captured, Injected, Record};
