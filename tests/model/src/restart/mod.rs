//! Sync restart: one source and one consumer of its records, while the source dies again and again.
//!
//! The consumer is [`tif_core::machine::sync::Source`], as the agents and the importers use it. What the source says travels in order, as on the
//! stream between two agents; the stream may break at any point, with all that is under way. That a life is over is told apart from it (by
//! the detector of dead CPUs), and so at any time: also when its successor has begun. What an
//! earlier life said may come after what a later one says, as it does when an agent's life ends. A record may get lost without a break, which must not happen, and
//! is what the end mark is for.
//!
//! What is true is kept apart from the machine: `truth` knows which life the consumer heard to begin, what it heard of it, and when each record was last
//! known to be fresh.
// spec: SYN-1, SYN-3, SYN-4, SYN-7

mod step;
mod truth;
mod world;

pub use step::Step;
pub use world::{Bounds, Restart};
