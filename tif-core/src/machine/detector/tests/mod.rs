//! Detectors among each other, in a small net where everything that can happen to a datagram or to a machine does.

mod figures;
mod net;
mod stories;
mod systems;

use std::time::Duration;

use super::{Clocks, Detector, Fact};
use crate::model::{Incarnation, Key, NodeId, ProcId, Time};

fn life(node: u32, epoch: u32) -> Key {
    Key { node: NodeId(node), proc: ProcId(0), inc: Incarnation::new(epoch, 0) }
}

fn at(ms: u64) -> Clocks {
    let time = Time(ms * 1_000_000);
    Clocks { mono: time, boot: time }
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// What is to be known, without what is to be sent.
fn said(facts: Vec<Fact>) -> Vec<Fact> {
    let message = |f: &Fact| matches!(f, Fact::SendBeat(_) | Fact::AskConfirm { .. } | Fact::AnswerConfirm { .. } | Fact::Refuse { .. });
    facts.into_iter().filter(|f| !message(f)).collect()
}

fn new(node: u32) -> Detector {
    Detector::new(life(node, 1), super::Profile::default())
}
