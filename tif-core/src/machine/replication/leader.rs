//! What only a leader knows: how far its followers are, and what may be acknowledged. Volatile: a leader that restarts asks again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Body, Log, Seq};
use crate::defects::{Defect, defect};
use crate::machine::witness::{Change, Member, Term};

/// Entries that wait to be acknowledged, or for a follower that is behind. One that is further behind gets a snapshot.
pub const PENDING_MAX: usize = 1024;
/// Members that follow one leader: the other CPUs of a small system. Each may cost a snapshot in flight.
pub const FOLLOWERS_MAX: usize = 16;

/// How far a follower is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Progress {
    /// What it has durable of this epoch's log; nothing until it has taken the snapshot.
    acked: Option<Seq>,
    /// What it was sent.
    sent: Seq,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader<E> {
    pub(super) me: Member,
    pub(super) term: Term,
    /// The compare-and-set that is under way or undecided: it may be made at any time, or never.
    pub(super) change: Option<Change>,
    /// The log's length when this leader began. Below it is what it took over, which counts only when all have it under this epoch.
    base: Seq,
    /// Up to where the log is acknowledged.
    pub(super) acknowledged: Option<Seq>,
    /// The log's last entries.
    tail: VecDeque<E>,
    followers: BTreeMap<Member, Progress>,
    /// Members that cannot be reached, as far as is known here. Being wrong costs time, not truth.
    suspected: BTreeSet<Member>,
}

impl<E: Clone> Leader<E> {
    pub(super) fn new(me: Member, term: Term, base: Seq) -> Leader<E> {
        let mut leader = Leader {
            me,
            term,
            change: None,
            base,
            acknowledged: None,
            tail: VecDeque::new(),
            followers: BTreeMap::new(),
            suspected: BTreeSet::new(),
        };
        leader.follow_in_sync();
        leader
    }

    /// The register holds this; it is still this leader's term. Nothing is under way any more.
    pub(super) fn on_term(&mut self, term: &Term) {
        self.term = term.clone();
        self.change = None;
        self.follow_in_sync();
    }

    fn follow_in_sync(&mut self) {
        for member in self.term.in_sync.iter().filter(|m| **m != self.me) {
            self.followers.entry(*member).or_default();
        }
    }

    /// The others that must have an entry before it is acknowledged.
    ///
    /// R2: who cannot be reached is waited for like all others, until the witness has taken it out. And who is being added is waited for already.
    pub(super) fn waits_for(&self) -> BTreeSet<Member> {
        let added = self.change.iter().filter(|c| c.new.epoch == self.term.epoch).flat_map(|c| &c.new.in_sync);
        let all = self.term.in_sync.iter().chain(added).copied().filter(|m| *m != self.me);
        if defect(Defect::R2) { all.filter(|m| !self.suspected.contains(m)).collect() } else { all.collect() }
    }

    /// Up to where all that must have it have the log durable.
    fn level(&self, seq: Seq) -> Option<Seq> {
        if defect(Defect::R1) {
            return Some(seq);
        }
        let acked = |m: &Member| self.followers.get(m).and_then(|p| p.acked);
        self.waits_for().iter().map(acked).min().unwrap_or(Some(seq))
    }

    /// Moves on what is acknowledged. Returns whether this leader has just become able to answer at all, and the entries that can be answered now.
    // spec: CTL-4
    pub(super) fn acknowledge(&mut self, seq: Seq) -> (bool, Vec<(Seq, E)>) {
        let Some(level) = self.level(seq).filter(|level| *level >= self.base) else { return (false, Vec::new()) };
        let begins = self.acknowledged.is_none();
        let before = self.acknowledged.unwrap_or(self.base).max(self.base);
        self.acknowledged = Some(level.max(before));
        let first = Seq(seq.0 - self.tail.len() as u64);
        let entries = self.tail.iter().enumerate().map(|(at, entry)| (Seq(first.0 + at as u64 + 1), entry.clone()));
        let ready = entries.filter(|(at, _)| *at > before && *at <= level).collect();
        self.trim(seq);
        (begins, ready)
    }

    /// Forgets acknowledged entries that every follower has, and those of followers that are too far behind.
    fn trim(&mut self, seq: Seq) {
        let behind = self.followers.values().filter_map(|p| p.acked).min().unwrap_or(seq);
        let pending = self.pending(seq).count();
        let keep = pending.max(PENDING_MAX.min((seq.0 - behind.0) as usize));
        while self.tail.len() > keep {
            self.tail.pop_front();
        }
    }

    /// The entries that are not acknowledged, oldest first.
    pub(super) fn pending(&self, seq: Seq) -> impl Iterator<Item = &E> {
        let count = seq.0 - self.acknowledged.unwrap_or(self.base).max(self.base).0;
        self.tail.iter().skip(self.tail.len().saturating_sub(count as usize))
    }

    /// Whether a member in sync cannot be reached: what is proposed now could not be answered.
    pub(super) fn is_cut_off(&self) -> bool {
        !defect(Defect::R2) && self.term.in_sync.iter().any(|m| self.suspected.contains(m))
    }

    pub(super) fn is_full(&self, seq: Seq) -> bool {
        self.pending(seq).count() >= PENDING_MAX
    }

    /// An entry more, already in the log, which has this length now. Returns to whom it goes.
    pub(super) fn push(&mut self, entry: E, seq: Seq) -> Vec<Member> {
        self.tail.push_back(entry);
        let followers = self.followers.iter_mut().filter(|(_, p)| p.acked.is_some() && p.sent.0 + 1 == seq.0);
        let mut to = Vec::new();
        for (member, progress) in followers {
            progress.sent = seq;
            to.push(*member);
        }
        to
    }

    pub(super) fn on_unreachable(&mut self, member: Member) {
        self.suspected.insert(member);
    }

    pub(super) fn on_reachable(&mut self, member: Member) {
        self.suspected.remove(&member);
    }

    /// A member wants to follow, from now on or again. Another store of the same CPU that is not in sync is no more.
    pub(super) fn on_join(&mut self, member: Member) -> bool {
        let in_sync = &self.term.in_sync;
        self.followers.retain(|m, _| m.node != member.node || *m == member || in_sync.contains(m));
        if self.followers.len() >= FOLLOWERS_MAX && !self.followers.contains_key(&member) {
            return false;
        }
        self.followers.entry(member).or_default();
        true
    }

    /// A follower has this much of this epoch's log. True if there is more for it.
    pub(super) fn on_ack(&mut self, from: Member, seq: Seq, length: Seq) -> bool {
        // R9: what another store of its CPU has says nothing of this one.
        let same = |m: &Member| if defect(Defect::R9) { m.node == from.node } else { *m == from };
        let mut more = false;
        for (_, progress) in self.followers.iter_mut().filter(|(m, _)| same(m)) {
            progress.acked = progress.acked.max(Some(seq.min(length)));
            progress.sent = progress.sent.max(seq);
            more |= progress.sent < length;
        }
        more
    }

    /// The followers, all of them.
    pub(super) fn followers(&self) -> Vec<Member> {
        self.followers.keys().copied().collect()
    }

    /// What a follower needs: the whole log if it has nothing of this epoch or is far behind, otherwise what comes after what it has; if that is
    /// nothing, how far the log is acknowledged.
    pub(super) fn supply<S: Clone>(&mut self, to: Member, log: &Log<S>) -> Option<Body<S, E>> {
        let progress = self.followers.get_mut(&to)?;
        progress.sent = log.seq;
        let missing = progress.acked.map(|acked| (acked, (log.seq.0 - acked.0) as usize));
        Some(match (missing, self.acknowledged) {
            (Some((_, 0)), Some(seq)) => Body::Acknowledged { seq },
            (Some((prev, missing)), _) if missing <= self.tail.len() => {
                let entries = self.tail.iter().skip(self.tail.len() - missing).cloned().collect();
                Body::Append { prev, entries }
            }
            _ => Body::Snapshot { log: log.clone() },
        })
    }

    /// The next compare-and-set that this leader wants, if none is under way: without those that cannot be reached (R2), or with one that has caught up.
    pub(super) fn wanted(&self, seq: Seq) -> Option<Change> {
        if self.change.is_some() {
            return None;
        }
        let lost = self.term.in_sync.iter().any(|m| self.suspected.contains(m));
        let mut in_sync: BTreeSet<Member> = self.term.in_sync.difference(&self.suspected).copied().collect();
        if !lost {
            // R7: all of the leader's log, not only what is acknowledged. From here on it is waited for.
            let equal = |p: &Progress| p.acked == Some(seq) || defect(Defect::R7);
            let ready = |(m, p): &(&Member, &Progress)| equal(p) && !in_sync.contains(m) && !self.suspected.contains(m);
            let joining = *self.followers.iter().find(ready)?.0;
            in_sync.insert(joining);
        }
        let new = Term { in_sync, ..self.term.clone() };
        Some(Change { expect: Some(self.term.clone()), new })
    }
}
