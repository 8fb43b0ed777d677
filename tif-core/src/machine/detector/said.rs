//! What detectors say to each other and to their agent, and the clocks they are told the time by.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Incarnation, Key, NodeId, Time};

/// Two clocks that never go back. The first decides; the second also runs while the machine is suspended, and shows that it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// Stands still while the machine is suspended (`CLOCK_MONOTONIC`).
    pub mono: Time,
    /// Does not (`CLOCK_BOOTTIME`).
    pub boot: Time,
}

/// A heartbeat from one agent to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// Who lives.
    pub from: Key,
    /// To whom, as the sender knows it.
    // spec: PSM-11
    pub to: Key,
    /// How much the sender doubts itself, 0 to 8.
    pub health: u8,
    /// Over all lives that the sender knows and whether they are down, so that a difference is noticed.
    pub digest: u64,
    /// The sender is about to restart as planned, and means to be back within this.
    pub restarting: Option<Duration>,
    /// What the sender found out or heard of others; nothing while every pair exchanges heartbeats.
    pub rumours: Vec<Rumour>,
}

/// What is told of a third agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rumour {
    /// Of which life.
    pub life: Key,
    /// Presumed down; otherwise it is the latest life known.
    pub down: bool,
}

/// What the agent is to send, or to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Send this heartbeat to `beat.to`.
    SendBeat(Beat),
    /// Ask `via` when it last heard of `about`. `asked` comes back with the answer.
    AskConfirm {
        /// Whom to ask.
        via: Key,
        /// About whom.
        about: Key,
        /// The asker's own clock.
        asked: Time,
    },
    /// Answer such a question.
    AnswerConfirm {
        /// Who asked.
        to: Key,
        /// About whom.
        about: Key,
        /// As it was asked.
        asked: Time,
        /// How long ago `about` was last heard here.
        ago: Duration,
        /// How much the answerer doubts itself.
        health: u8,
    },
    /// Tell `to` that its life is over for us, or for others: presumed down, or followed by `current`.
    // spec: PSM-10
    Refuse {
        /// Whom.
        to: Key,
        /// The life of that CPU that counts.
        current: Key,
    },
    /// Somebody unknown speaks: greet it, compare versions, and introduce it.
    Stranger {
        /// Who.
        life: Key,
    },
    /// A life is known for the first time, or after the one before was given up.
    Up {
        /// Which.
        life: Key,
    },
    /// A CPU's agent has a new life, before the old one was given up; it can be reached. What becomes of the processes there is for it to say.
    Superseded {
        /// The life that ended.
        old: Key,
        /// The one that began.
        new: Key,
    },
    /// It is silent, or its link is gone. Nothing is known of its processes.
    Unreachable {
        /// Which CPU.
        node: NodeId,
    },
    /// It speaks again, the same life.
    Reachable {
        /// Which CPU.
        node: NodeId,
    },
    /// Presumed down, for ever: this life is never heard again.
    Down {
        /// Which.
        life: Key,
    },
    /// So many vanished at once that it is more likely us: nobody is declared down until they return (false).
    Isolated(bool),
    /// Others gave this life up, or know a later one of ours. Make a greater incarnation durable, then [`renew`](super::Detector::renew).
    TakeNewLife {
        /// Greater than this.
        above: Incarnation,
    },
}
