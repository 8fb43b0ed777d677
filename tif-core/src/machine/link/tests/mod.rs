//! Links over a fabric that one would not wish on anybody.

mod random;
mod stories;

use crate::model::{Incarnation, Key, NodeId, ProcId, Time};

fn life(node: u32, epoch: u32) -> Key {
    Key { node: NodeId(node), proc: ProcId(0), inc: Incarnation::new(epoch, 0) }
}

fn at(ms: u64) -> Time {
    Time(ms * 1_000_000)
}
