//! One decision each. Machines never call one another: they return facts, the agent routes them.

pub mod sync;
