//! The admission of members to a group on several CPUs, several at once, while streams are cut and heal, members die and agents begin anew.
//!
//! The machine is [`tif_core::machine::admission::Admission`], one on each CPU; around it are the streams between the agents, each in order, and what an
//! agent says when one begins: what its members are called. A cut loses what is under way, and nobody is told so; who cannot reach another may give it up,
//! and goes on as if its members were no more.
//!
//! What is promised:
//!
//! - when nothing is under way and nothing is due, each member has a number, and no two have the same;
//! - where nothing was cut and no agent began anew, and what is said arrives while is listened for it, no two members ever have the same;
//! - no number is greater than there ever were members.
// spec: GRP-1, GRP-2

mod step;
mod world;

pub use step::Step;
pub use world::{Bounds, Group};
