//! What members say to each other. Each message may be lost, doubled, late or out of order.
//!
//! Every message names the sender and the receiver as members, and the epoch it was sent in.
// spec: PSM-11

use serde::{Deserialize, Serialize};

use super::{Log, Seq};
use crate::machine::witness::Member;
use crate::model::Epoch;

/// A message of the replication of one service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Message<S, E> {
    /// Who says it.
    pub from: Member,
    /// To whom. Another store on the same CPU does not hear it (R9).
    pub to: Member,
    /// The term it is about: that of the log that is sent, acknowledged or wanted. What is lower than the receiver's is refused (R5). Only *stale*
    /// names the sender's own, which is greater.
    pub epoch: Epoch,
    /// What is said.
    pub body: Body<S, E>,
}

/// What is said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Body<S, E> {
    /// To the leader of the term: I want to follow you, and need your log from the beginning; or I have come back.
    Join,
    /// The whole log.
    Snapshot {
        /// The log, of the message's epoch.
        log: Log<S>,
    },
    /// More of it. Without entries: how much of it have you?
    Append {
        /// The length before these.
        prev: Seq,
        /// The entries.
        entries: Vec<E>,
    },
    /// To a follower that has all of it: so much is acknowledged. Not said before the members in sync have taken over the leader's log.
    Acknowledged {
        /// The length.
        seq: Seq,
    },
    /// To the leader: this much of your log of this epoch is durable here.
    Ack {
        /// The length.
        seq: Seq,
    },
    /// To who leads in a lower epoch: you do not, any more.
    Stale,
}
