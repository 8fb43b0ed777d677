//! The machines that must never lose an acknowledged change, in every state that they can reach within bounds.
//!
//! The simulator flies through weather; this walks through the whole maze. [`search()`] goes breadth first from one world to all that one step can
//! make of it, and the first that is wrong is therefore reached by the fewest steps. A world is made of the machines of `tif-core` themselves, not of a
//! copy: [`register`] of the witness's voters and proposers, [`replication`] of replicas around a witness that is one atomic register
//! (which the other search shows it to be; the two are not searched together), [`restart`] of a consumer whose source dies again and again,
//! [`office`] of the processes of one CPU and its agents, [`admission`] of a group's members that find their numbers.
//!
//! **One step is atomic**: a machine takes one input, its record is durable, its messages are on their way. That leaves nothing out: outputs are worked
//! off in order and wait for the records before them, so a crash in between looks from outside like a crash before the input and the loss of
//! the messages after it, and both are steps of their own.
//!
//! **The network never forgets**: a message that was sent can be delivered at any later step, any number of times, or never. So loss,
//! duplication, delay and reordering need no steps of their own.
#![forbid(unsafe_code)]

pub mod admission;
mod intern;
pub mod office;
pub mod register;
pub mod replication;
pub mod restart;
pub mod scenarios;
pub mod search;

pub use search::{Report, World, search};
