//! One decision each. Machines never call one another: they return facts, the agent routes them.

pub mod admission;
pub mod book;
pub mod calls;
pub mod confirm;
pub mod control;
pub mod detector;
pub mod fates;
pub mod group;
pub mod handover;
pub mod heartbeat;
pub mod interest;
pub mod link;
pub mod process;
pub mod propagation;
pub mod queue;
pub mod replication;
pub mod sync;
pub mod takeover;
pub mod versions;
pub mod witness;
