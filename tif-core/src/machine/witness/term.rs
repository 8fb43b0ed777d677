//! What the register holds, and who may have written it.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Epoch, Key, NodeId};

/// A CPU's durable memory: the CPU, and the identity of its store.
///
/// The identity is a random number made when the store is created. An agent that restarts with its store is the same member; one whose store was
/// lost is another, which has promised and stored nothing. So a member is for logs what a [`Key`] is for processes: the name with its incarnation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Member {
    /// The CPU.
    pub node: NodeId,
    /// Its store.
    pub store: u64,
}

/// `2/9f`: the store 9f of CPU 2.
impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{:x}", self.node, self.store)
    }
}

/// The register's value: who leads a service, and who has all that was acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Term {
    /// The term of office; grows with every new leader.
    pub epoch: Epoch,
    /// The primary, if one is named yet.
    pub primary: Option<Key>,
    /// The member whose log leads: that of the primary's CPU.
    pub home: Member,
    /// The members whose logs hold every acknowledged change; the home is one of them. Only these may take over.
    pub in_sync: BTreeSet<Member>,
}

/// A compare-and-set: the whole value is compared, not the epoch alone, because who is in sync changes within one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    /// What the register must hold; nothing before the first term.
    pub expect: Option<Term>,
    /// What it shall hold.
    pub new: Term,
}

/// The number of one attempt. Greater ones win; no two attempts have the same.
///
/// Not even those of two lives of an agent: a life with the same store has a greater agent epoch, and a store that was lost is another member, even
/// if the agent's epoch was lost with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ballot {
    /// Greater than any round this proposer has heard of.
    pub round: u64,
    /// Who tries.
    pub by: Member,
    /// In which life of its agent.
    pub agent_epoch: u32,
}
