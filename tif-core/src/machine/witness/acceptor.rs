//! One voter.
//!
//! | it hears | when | it does |
//! |---|---|---|
//! | prepare(b) | b ≥ promised | promises b; says what it holds |
//! | accept(b, v) | b ≥ promised | promises b and holds (b, v) |
//! | either | b < promised | refuses, with the promise |
//! | catch up, from a voter with a new store | | notes the store; says what it promised and holds |
//! | anything but an answer to its own catch up | it is blank | nothing |

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::proposer::standing;
use super::{Accept, Accepted, Ask, Ballot, CatchUp, Caught, Member, Prepare, Promise, Refused, Reply, Term, enough_to_catch_up};
use crate::defects::{Defect, defect};
use crate::model::NodeId;

/// What a voter must not forget: all of it is one durable record.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vote {
    /// False while its store is new and it has not caught up.
    pub voting: bool,
    /// No ballot below this is taken.
    pub promised: Option<Ballot>,
    /// What is held, and since which attempt.
    pub accepted: Option<(Ballot, Term)>,
    /// The present store of each voter that lost one.
    pub stores: BTreeMap<NodeId, u64>,
    /// Stores that came before these, so that a late message of theirs does not bring them back. One entry for each lost disk.
    pub gone: BTreeSet<Member>,
}

/// An answer, and what must be durable before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<R = Reply> {
    /// First make this durable, if there is anything.
    pub record: Option<Vote>,
    /// Then send this.
    pub reply: R,
}

/// A voter. If a record cannot be made durable, this must be made anew from the last one that is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Acceptor {
    me: Member,
    vote: Vote,
    heard: BTreeMap<NodeId, Caught>,
}

impl Acceptor {
    /// A voter of a system that is being founded: no voter has ever voted. Also the only voter of a system of one.
    pub fn founding(me: Member) -> Acceptor {
        Acceptor::restored(me, Vote { voting: true, ..Vote::default() })
    }

    /// A voter with a new store in a system that may have voted before: it must catch up first.
    pub fn blank(me: Member) -> Acceptor {
        Acceptor::restored(me, Vote::default())
    }

    /// A voter that is started with what its store remembers.
    pub fn restored(me: Member, vote: Vote) -> Acceptor {
        Acceptor { me, vote, heard: BTreeMap::new() }
    }

    /// What it must not forget.
    pub fn vote(&self) -> &Vote {
        &self.vote
    }

    /// Which store it is.
    pub fn member(&self) -> Member {
        self.me
    }

    /// Answers a proposer. Nothing, if it is not meant or may not vote yet.
    pub fn on_ask(&mut self, ask: &Ask) -> Option<Answer> {
        match ask {
            Ask::Prepare(prepare) => self.on_prepare(prepare),
            Ask::Accept(accept) => self.on_accept(accept),
        }
    }

    /// Promises, or refuses.
    pub fn on_prepare(&mut self, prepare: &Prepare) -> Option<Answer> {
        self.is_meant(prepare.to)?;
        if let Some(refused) = self.refusal(prepare.from, prepare.ballot) {
            return Some(refused);
        }
        if !defect(Defect::ForgetPromise) {
            self.vote.promised = Some(prepare.ballot);
        }
        let accepted = self.vote.accepted.clone();
        let reply = Promise { from: self.me, to: prepare.from, ballot: prepare.ballot, accepted, stores: self.vote.stores.clone() };
        Some(Answer { record: Some(self.vote.clone()), reply: Reply::Promise(reply) })
    }

    /// Accepts, or refuses.
    pub fn on_accept(&mut self, accept: &Accept) -> Option<Answer> {
        self.is_meant(accept.to)?;
        if let Some(refused) = self.refusal(accept.from, accept.ballot) {
            return Some(refused);
        }
        let record = self.hold(accept.ballot, accept.value.clone());
        let reply = Accepted { from: self.me, to: accept.from, ballot: accept.ballot, stores: self.vote.stores.clone() };
        Some(Answer { record: Some(record), reply: Reply::Accepted(reply) })
    }

    /// Asks the others what a blank voter must know. To be sent again until it votes.
    pub fn catch_up(&self, voters: &BTreeSet<NodeId>) -> Vec<CatchUp> {
        let others = voters.iter().filter(|v| !self.vote.voting && **v != self.me.node);
        others.map(|&to| CatchUp { from: self.me, to }).collect()
    }

    /// Tells a voter with a new store what is known here, and remembers the new store.
    pub fn on_catch_up(&mut self, ask: &CatchUp) -> Option<Answer<Caught>> {
        self.is_meant(ask.to)?;
        if self.vote.gone.contains(&ask.from) {
            return None;
        }
        let Member { node, store } = ask.from;
        if let Some(before) = self.vote.stores.insert(node, store).filter(|before| *before != store) {
            self.vote.gone.insert(Member { node, store: before });
        }
        let Vote { promised, accepted, stores, .. } = self.vote.clone();
        Some(Answer { record: Some(self.vote.clone()), reply: Caught { from: self.me, to: ask.from, promised, accepted, stores } })
    }

    /// Hears from another voter. If enough have answered it votes from now on, as soon as what is returned is durable.
    pub fn on_caught(&mut self, caught: Caught, voters: &BTreeSet<NodeId>) -> Option<Vote> {
        if caught.to != self.me || self.vote.voting || !voters.contains(&caught.from.node) || caught.from.node == self.me.node {
            return None;
        }
        self.heard.insert(caught.from.node, caught);
        let heard: Vec<&Caught> = standing(&self.heard, |c| (c.from, &c.stores));
        if heard.len() < enough_to_catch_up(voters.len()) {
            return None;
        }
        self.vote.promised = heard.iter().filter_map(|c| c.promised).max();
        self.vote.accepted = heard.iter().filter_map(|c| c.accepted.clone()).max_by_key(|(ballot, _)| *ballot);
        self.vote.stores = heard.iter().flat_map(|c| c.stores.clone()).filter(|(node, _)| *node != self.me.node).collect();
        self.vote.voting = true;
        self.heard.clear();
        Some(self.vote.clone())
    }

    /// Holds a value without being asked whether it may: for the only voter, and after the ballot was compared.
    pub(super) fn hold(&mut self, ballot: Ballot, value: Term) -> Vote {
        self.vote.promised = Some(ballot);
        self.vote.accepted = Some((ballot, value));
        self.vote.clone()
    }

    fn is_meant(&self, to: NodeId) -> Option<()> {
        (self.vote.voting && to == self.me.node).then_some(())
    }

    fn refusal(&self, to: Member, ballot: Ballot) -> Option<Answer> {
        let promised = self.vote.promised.filter(|promised| *promised > ballot)?;
        Some(Answer { record: None, reply: Reply::Refused(Refused { from: self.me, to, ballot, promised }) })
    }
}
