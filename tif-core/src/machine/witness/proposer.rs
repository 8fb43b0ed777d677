//! One read or change of the register at a time.
//!
//! | phase | it hears | then |
//! |---|---|---|
//! | preparing | promises of a majority | the value of the greatest ballot among them is the current one; accepting: it, or what the wish makes of it |
//! | preparing, to read | promises of a majority, none holds anything | the register is empty |
//! | accepting | accepted by a majority | decided |
//! | either | refused by so many that no majority is left | undecided |
//!
//! A change that comes too late is not simply refused: the current value is made certain first, so that who is told *lost* knows what is.

use std::collections::{BTreeMap, BTreeSet};

use super::{Accept, Accepted, Acceptor, Ask, Ballot, Change, Member, Prepare, Promise, Refused, Reply, Term, Vote, majority};
use crate::defects::{Defect, defect};
use crate::model::NodeId;

/// What is wanted of the register.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// To know what it holds.
    Read,
    /// To change it.
    Change(Change),
}

/// What became of a wish.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The register holds this: the answer to a read.
    Holds(Option<Term>),
    /// The change is made; the register holds this.
    Chosen(Term),
    /// The change is not made and never will be; the register holds this.
    Lost(Option<Term>),
    /// No majority. The change may be made or not, even later, until a later attempt is decided: try again.
    Undecided,
}

/// What a proposer wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Send these.
    Ask(Vec<Ask>),
    /// The wish is through, or it is undecided and can be tried again.
    Decided(Outcome),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Preparing { promises: BTreeMap<NodeId, Promise> },
    Accepting { value: Term, outcome: Outcome, accepted: BTreeMap<NodeId, Accepted> },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Attempt {
    ballot: Ballot,
    phase: Phase,
    refused: BTreeSet<NodeId>,
}

/// A proposer. All of it is volatile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposer {
    me: Member,
    agent_epoch: u32,
    voters: BTreeSet<NodeId>,
    round: u64,
    wish: Option<Wish>,
    attempt: Option<Attempt>,
}

impl Proposer {
    /// A proposer in one life of an agent, and who votes.
    pub fn new(me: Member, agent_epoch: u32, voters: BTreeSet<NodeId>) -> Proposer {
        Proposer { me, agent_epoch, voters, round: 0, wish: None, attempt: None }
    }

    /// Asks what the register holds. A wish that is not decided yet is given up: it is undecided.
    pub fn read(&mut self) -> Vec<Ask> {
        self.begin(Wish::Read)
    }

    /// Asks for a change. A wish that is not decided yet is given up: it is undecided.
    pub fn change(&mut self, change: Change) -> Vec<Ask> {
        self.begin(Wish::Change(change))
    }

    /// Tries the same again with a higher ballot; nothing if there is no wish. When to is the caller's to say: after a random pause, so that two who
    /// outbid each other come apart.
    pub fn retry(&mut self) -> Vec<Ask> {
        match self.wish.take() {
            Some(wish) => self.begin(wish),
            None => Vec::new(),
        }
    }

    /// A ballot of somebody else was seen: the next attempt is to be greater. Without this it would find out only by being refused.
    pub fn heed(&mut self, seen: Ballot) {
        self.round = self.round.max(seen.round);
    }

    /// Whether a wish is not decided yet.
    pub fn is_busy(&self) -> bool {
        self.wish.is_some()
    }

    /// The attempt that is under way.
    pub fn ballot(&self) -> Option<Ballot> {
        self.attempt.as_ref().map(|a| a.ballot)
    }

    /// The only voter decides by itself: what is returned counts as soon as the record, if there is one, is durable.
    ///
    /// # Panics
    /// If there are other voters.
    pub fn alone(&mut self, acceptor: &mut Acceptor, wish: &Wish) -> (Outcome, Option<Vote>) {
        assert!(self.voters.len() == 1 && self.voters.contains(&acceptor.member().node), "a voter among others does not decide alone");
        let vote = acceptor.vote();
        self.round = self.round.max(vote.promised.map_or(0, |b| b.round));
        let (value, outcome) = decide(wish, vote.accepted.as_ref().map(|(_, term)| term.clone()));
        let record = match (&outcome, value) {
            (Outcome::Chosen(_), Some(value)) if vote.accepted.as_ref().is_none_or(|(_, held)| *held != value) => {
                let ballot = self.next_ballot();
                Some(acceptor.hold(ballot, value))
            }
            _ => None,
        };
        (outcome, record)
    }

    /// A voter answers.
    pub fn on_reply(&mut self, reply: Reply) -> Option<Act> {
        match reply {
            Reply::Promise(promise) => self.on_promise(promise),
            Reply::Accepted(accepted) => self.on_accepted(accepted),
            Reply::Refused(refused) => self.on_refused(&refused),
        }
    }

    /// A voter promises.
    pub fn on_promise(&mut self, promise: Promise) -> Option<Act> {
        let (from, ballot) = (promise.from.node, promise.ballot);
        let attempt = current(&mut self.attempt, &self.voters, self.me, promise.to, from, ballot)?;
        let Phase::Preparing { promises } = &mut attempt.phase else { return None };
        promises.insert(from, promise);
        let counted = standing(promises, |p| (p.from, &p.stores));
        if counted.len() < majority(self.voters.len()) {
            return None;
        }
        let held = counted.iter().filter_map(|p| p.accepted.as_ref()).max_by_key(|(ballot, _)| *ballot).map(|(_, term)| term.clone());
        let held = held.filter(|_| !defect(Defect::IgnoreHeld));
        let (value, outcome) = decide(self.wish.as_ref()?, held);
        let Some(value) = value else { return Some(self.finish(outcome)) };
        attempt.phase = Phase::Accepting { value: value.clone(), outcome, accepted: BTreeMap::new() };
        attempt.refused.clear();
        let from = self.me;
        Some(Act::Ask(self.voters.iter().map(|&to| Ask::Accept(Accept { from, to, ballot, value: value.clone() })).collect()))
    }

    /// A voter has accepted.
    pub fn on_accepted(&mut self, answer: Accepted) -> Option<Act> {
        let (from, ballot) = (answer.from.node, answer.ballot);
        let attempt = current(&mut self.attempt, &self.voters, self.me, answer.to, from, ballot)?;
        let Phase::Accepting { accepted, outcome, .. } = &mut attempt.phase else { return None };
        accepted.insert(from, answer);
        if standing(accepted, |a| (a.from, &a.stores)).len() < majority(self.voters.len()) {
            return None;
        }
        let outcome = outcome.clone();
        Some(self.finish(outcome))
    }

    /// A voter has promised more to another.
    pub fn on_refused(&mut self, refused: &Refused) -> Option<Act> {
        let attempt = current(&mut self.attempt, &self.voters, self.me, refused.to, refused.from.node, refused.ballot)?;
        self.round = self.round.max(refused.promised.round);
        attempt.refused.insert(refused.from.node);
        if attempt.refused.len() <= self.voters.len() - majority(self.voters.len()) {
            return None;
        }
        self.attempt = None;
        Some(Act::Decided(Outcome::Undecided))
    }

    fn begin(&mut self, wish: Wish) -> Vec<Ask> {
        let ballot = self.next_ballot();
        self.wish = Some(wish);
        self.attempt = Some(Attempt { ballot, phase: Phase::Preparing { promises: BTreeMap::new() }, refused: BTreeSet::new() });
        self.voters.iter().map(|&to| Ask::Prepare(Prepare { from: self.me, to, ballot })).collect()
    }

    fn next_ballot(&mut self) -> Ballot {
        self.round += 1;
        Ballot { round: self.round, by: self.me, agent_epoch: self.agent_epoch }
    }

    fn finish(&mut self, outcome: Outcome) -> Act {
        self.wish = None;
        self.attempt = None;
        Act::Decided(outcome)
    }
}

/// The attempt that an answer belongs to, if it is to this proposer, from a voter, and about the ballot of now.
fn current<'a>(
    attempt: &'a mut Option<Attempt>,
    voters: &BTreeSet<NodeId>,
    me: Member,
    to: Member,
    from: NodeId,
    ballot: Ballot,
) -> Option<&'a mut Attempt> {
    attempt.as_mut().filter(|a| to == me && voters.contains(&from) && a.ballot == ballot)
}

/// What to propose, and what it means when that is accepted. Nothing is proposed to an empty register that stays empty.
fn decide(wish: &Wish, held: Option<Term>) -> (Option<Term>, Outcome) {
    match wish {
        Wish::Read => (held.clone(), Outcome::Holds(held)),
        // An earlier attempt of ours came through without our hearing of it.
        Wish::Change(change) if held.as_ref() == Some(&change.new) => (held, Outcome::Chosen(change.new.clone())),
        Wish::Change(change) if held == change.expect => (Some(change.new.clone()), Outcome::Chosen(change.new.clone())),
        Wish::Change(_) => (held.clone(), Outcome::Lost(held)),
    }
}

/// Those of the answers that count: an answer from a store that another of the answers knows to be replaced does not.
pub(super) fn standing<T>(answers: &BTreeMap<NodeId, T>, part: impl Fn(&T) -> (Member, &BTreeMap<NodeId, u64>)) -> Vec<&T> {
    let replaced = |member: Member| {
        let mut known = answers.values().map(|a| part(a).1);
        known.any(|stores| stores.get(&member.node).is_some_and(|store| *store != member.store))
    };
    answers.values().filter(|answer| !replaced(part(answer).0)).collect()
}
