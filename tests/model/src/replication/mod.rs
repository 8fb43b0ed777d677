//! Two CPUs that replicate one service, with a witness that is one atomic register.
//!
//! What is promised, in every world that can be reached:
//!
//! - at most one leader can acknowledge at any time: all whom it waits for are there and would still listen to it;
//! - what was acknowledged is in the log of whoever leads that term or a later one, with the same answer;
//! - no log has a request twice, and a request is never answered in two ways;
//! - a request that was answered with "it never happened" is not found in an acknowledged log later;
//! - terms grow one at a time, and nobody leads or writes a term that the register has not had.

mod book;
mod step;
mod world;

pub use book::{Book, Entry};
pub use step::Step;
pub use world::{Bounds, Pair};
