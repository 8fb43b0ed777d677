//! The vocabulary and the decisions of TIF: values, names, messages and state machines.
//!
//! Pure: no input or output, no clock, no thread, no randomness of its own, no `unsafe`. Time comes in as an argument, what
//! is to be done comes out as values. The agent (`tif-monitor`) and the simulator run this same code.
//!
//! - [`model`]: the nouns. What an instrument, a value, a report, a notice and an outage are.
//! - [`wire`]: what processes and their agent say to each other, and the bytes of it.
//! - [`layout`]: where each byte of a shared segment lies.
//! - [`machine`]: one decision each: process, interest, propagation, sync, group, takeover, control.
//! - [`agent`]: composes the machines: `Agent::handle(now, Input, &mut Outbox)`.
//! - [`defects`]: what a check may let it do wrong, to show that it would be seen. In a usual build that is nothing.
#![forbid(unsafe_code)]

pub mod agent;
pub mod defects;
pub mod layout;
pub mod limits;
pub mod machine;
pub mod model;
pub mod wire;
