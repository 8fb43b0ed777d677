//! What proposers and voters say to each other. Each message may be lost, doubled, late or out of order.
//!
//! A proposer names a voter by its CPU, because it cannot know which store the voter has by now; a voter answers with its store, and that counts.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Ballot, Member, Term};
use crate::model::NodeId;

/// Take nothing below this ballot any more; what do you hold?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Prepare {
    /// The proposer.
    pub from: Member,
    /// The voter.
    pub to: NodeId,
    /// The attempt.
    pub ballot: Ballot,
}

/// Promised; this is what I hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Promise {
    /// The voter.
    pub from: Member,
    /// The proposer.
    pub to: Member,
    /// The attempt.
    pub ballot: Ballot,
    /// The value that was accepted last, and in which attempt.
    pub accepted: Option<(Ballot, Term)>,
    /// The stores of voters that lost theirs, as far as this one knows.
    pub stores: BTreeMap<NodeId, u64>,
}

/// Hold this.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Accept {
    /// The proposer.
    pub from: Member,
    /// The voter.
    pub to: NodeId,
    /// The attempt.
    pub ballot: Ballot,
    /// The value.
    pub value: Term,
}

/// Held.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Accepted {
    /// The voter.
    pub from: Member,
    /// The proposer.
    pub to: Member,
    /// The attempt.
    pub ballot: Ballot,
    /// The stores of voters that lost theirs, as far as this one knows.
    pub stores: BTreeMap<NodeId, u64>,
}

/// No: a greater ballot has my promise.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Refused {
    /// The voter.
    pub from: Member,
    /// The proposer.
    pub to: Member,
    /// The attempt that is refused.
    pub ballot: Ballot,
    /// What was promised.
    pub promised: Ballot,
}

/// My store is new: what do you hold?
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CatchUp {
    /// The voter with the new store.
    pub from: Member,
    /// Another voter.
    pub to: NodeId,
}

/// This; and from now on I say that your store is the new one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Caught {
    /// A voter.
    pub from: Member,
    /// The voter with the new store.
    pub to: Member,
    /// What it has promised.
    pub promised: Option<Ballot>,
    /// The value that was accepted last, and in which attempt.
    pub accepted: Option<(Ballot, Term)>,
    /// The stores of voters that lost theirs, as far as this one knows.
    pub stores: BTreeMap<NodeId, u64>,
}

/// What a proposer asks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Ask {
    /// The first half of a round.
    Prepare(Prepare),
    /// The second.
    Accept(Accept),
}

/// What a voter answers a proposer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Prepare`].
    Promise(Promise),
    /// To [`Accept`].
    Accepted(Accepted),
    /// To either.
    Refused(Refused),
}
