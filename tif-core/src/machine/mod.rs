//! One decision each. Machines never call one another: they return facts, the agent routes them.

pub mod control;
pub mod group;
pub mod interest;
pub mod process;
pub mod propagation;
pub mod queue;
pub mod sync;
pub mod takeover;
