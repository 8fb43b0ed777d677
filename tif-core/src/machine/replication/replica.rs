//! One member's part in the replication of one service.

use std::collections::BTreeSet;

use super::leader::Leader;
use super::message::Body;
use super::{Log, Message, Record, Seq, State};
use crate::defects::{Defect, defect};
use crate::machine::witness::{Change, Member, Term};
use crate::model::{Epoch, Key};

/// What a replica wants done, in this order. What comes after a store waits until that is durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output<S, E> {
    /// Make this durable.
    Store(Record<S, E>),
    /// Send this. It may get lost; [`Replica::resend`] makes up for it.
    Send(Message<S, E>),
    /// Know this.
    Tell(Fact<E>),
}

/// What a replica says to its agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact<E> {
    /// The register is to be changed. Tell what came of it with [`Replica::on_term`], and try until something has.
    Needs(Change),
    /// This member leads, and what it took over is where it must be: known requests can be answered from its state, and the service can run.
    Established {
        /// The term.
        epoch: Epoch,
        /// Another CPU has all of it, too.
        replicated: bool,
    },
    /// An entry is accepted: answer its requester.
    Acknowledged {
        /// Its place in the log.
        seq: Seq,
        /// The entry.
        entry: E,
        /// Another CPU has it, too.
        replicated: bool,
    },
    /// This member leads no longer.
    Deposed {
        /// In this term it was heard.
        by: Epoch,
    },
    /// What became of an entry that was not acknowledged when its leader was deposed or began a new term: answer its requester.
    Settled {
        /// The entry.
        entry: E,
        /// Its request's effect is in the log for good (the state has the answer); if not, it never happened and never will.
        kept: bool,
        /// Another CPU has it, too.
        replicated: bool,
    },
}

/// What became of a proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// It is in the log at this place. [`Fact::Acknowledged`] or [`Fact::Settled`] follows, unless this agent's life ends before.
    New(Seq),
    /// The request was done before; its answer is in the state. It may be given now, or only when a fact says so.
    Known {
        /// It may be given now.
        acknowledged: bool,
    },
}

/// Why a proposal was not taken. Nothing has changed: the requester can be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotProposed {
    /// Another member leads, or nobody.
    #[error("this CPU does not lead the service")]
    NotLeading,
    /// A member in sync cannot be reached, and the witness has not taken it out: the safe mode.
    #[error("the backup cannot be reached, and no witness allows to go on without it")]
    CutOff,
    /// Too many wait already.
    #[error("too many changes wait for the backup")]
    Full,
}

/// Why a member may not take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// It may lack what was acknowledged.
    #[error("this CPU's log is not in sync")]
    NotInSync,
    /// It knows of a later term than the one it was told of.
    #[error("the term is over")]
    Over,
}

type Outputs<S> = Vec<Output<S, <S as State>::Entry>>;

/// One member's part in one service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica<S: State> {
    me: Member,
    log: Log<S>,
    leader: Option<Leader<S::Entry>>,
    /// Entries of an earlier leadership of this life whose requesters wait to hear what became of them.
    unsettled: Vec<S::Entry>,
}

impl<S: State> Replica<S> {
    /// A member with the log that its store remembers; an empty one in epoch 0 if the store is new. It follows until the witness says otherwise.
    pub fn new(me: Member, log: Log<S>) -> Replica<S> {
        Replica { me, log, leader: None, unsettled: Vec::new() }
    }

    /// Its log.
    pub fn log(&self) -> &Log<S> {
        &self.log
    }

    /// Who it is.
    pub fn member(&self) -> Member {
        self.me
    }

    /// The term that it leads, as far as it knows.
    pub fn leads(&self) -> Option<&Term> {
        self.leader.as_ref().map(|l| &l.term)
    }

    /// Up to where its log is acknowledged, if it leads and is established.
    pub fn acknowledged(&self) -> Option<Seq> {
        self.leader.as_ref()?.acknowledged
    }

    /// The other members without whom it acknowledges nothing, if it leads.
    pub fn waits_for(&self) -> Option<BTreeSet<Member>> {
        self.leader.as_ref().map(Leader::waits_for)
    }

    /// Those that follow it, if it leads.
    pub fn followers(&self) -> Vec<Member> {
        self.leader.as_ref().map(Leader::followers).unwrap_or_default()
    }

    /// The change of the register that it waits for, if it leads and has asked for one. One of the same term that is another is out of date, and must
    /// not be made: its members are not waited for.
    pub fn wants(&self) -> Option<&Change> {
        self.leader.as_ref()?.change.as_ref()
    }

    // ---- what the agent wants -------------------------------------------------------------------------------------------------------------------

    /// The register is empty: asks to lead the first term, which comes after `last`, the greatest epoch that is remembered otherwise.
    pub fn found(&self, last: Epoch, primary: Option<Key>, out: &mut Outputs<S>) {
        let new = Term { epoch: Epoch(last.0.max(self.log.epoch.0) + 1), primary, home: self.me, in_sync: BTreeSet::from([self.me]) };
        out.push(Output::Tell(Fact::Needs(Change { expect: None, new })));
    }

    /// Asks to lead the next term: because the leader of `term` is gone, or with another primary if this member leads already. Members that are
    /// known to be `lost` are taken out at the same time, which spares a second change; the others must take over this log before anything is
    /// acknowledged.
    ///
    /// Until the witness has decided, this member follows (or leads) as before.
    ///
    /// # Errors
    /// If it must not. Nothing has changed.
    // spec: GRP-9
    pub fn take_over(&mut self, term: &Term, primary: Option<Key>, lost: &BTreeSet<Member>, out: &mut Outputs<S>) -> Result<(), NotTaken> {
        if self.log.epoch > term.epoch {
            return Err(NotTaken::Over);
        }
        // R4: the store must be the one that was in sync, not only its CPU.
        let same = |m: &Member| if defect(Defect::R4) { m.node == self.me.node } else { *m == self.me };
        // R3: who is not in sync may lack what was acknowledged.
        if !defect(Defect::R3) && !term.in_sync.iter().any(same) {
            return Err(NotTaken::NotInSync);
        }
        let mut in_sync: BTreeSet<Member> = term.in_sync.difference(lost).copied().collect();
        in_sync.insert(self.me);
        let change = Change { expect: Some(term.clone()), new: Term { epoch: Epoch(term.epoch.0 + 1), primary, home: self.me, in_sync } };
        out.push(Output::Tell(Fact::Needs(change)));
        Ok(())
    }

    /// Proposes an entry. It is in the local store before it is sent to anybody.
    ///
    /// # Errors
    /// If it is not taken. Nothing has changed.
    // spec: CTL-3, CTL-4
    pub fn propose(&mut self, entry: S::Entry, out: &mut Outputs<S>) -> Result<Proposal, NotProposed> {
        let leader = self.leader.as_mut().ok_or(NotProposed::NotLeading)?;
        let id = S::id(&entry);
        let waits = leader.pending(self.log.seq).chain(&self.unsettled).any(|e| S::id(e) == id);
        // R6: the table came with the log, so it knows what earlier leaders did.
        if waits || (!defect(Defect::R6) && self.log.state.holds(&id)) {
            return Ok(Proposal::Known { acknowledged: leader.acknowledged.is_some() && !waits });
        }
        if leader.is_cut_off() {
            return Err(NotProposed::CutOff);
        }
        if leader.is_full(self.log.seq) {
            return Err(NotProposed::Full);
        }
        let prev = self.log.seq;
        append(&mut self.log, &entry, out);
        for to in leader.push(entry.clone(), self.log.seq) {
            let body = Body::Append { prev, entries: vec![entry.clone()] };
            out.push(Output::Send(Message { from: self.me, to, epoch: self.log.epoch, body }));
        }
        let seq = self.log.seq;
        self.acknowledge(out);
        Ok(Proposal::New(seq))
    }

    /// Sends every follower what it has not acknowledged, or a sign of life. To be called at every heartbeat.
    pub fn resend(&mut self, out: &mut Outputs<S>) {
        for to in self.leader.as_ref().map(Leader::followers).unwrap_or_default() {
            self.supply(to, out);
        }
    }

    // ---- what the agent knows -------------------------------------------------------------------------------------------------------------------

    /// A member cannot be reached. If it is in sync, the leader asks the witness to go on without it.
    pub fn on_unreachable(&mut self, member: Member, out: &mut Outputs<S>) {
        if let Some(leader) = &mut self.leader {
            leader.on_unreachable(member);
            self.want(out);
            self.acknowledge(out);
        }
    }

    /// It can be reached again.
    pub fn on_reachable(&mut self, member: Member, out: &mut Outputs<S>) {
        if let Some(leader) = &mut self.leader {
            leader.on_reachable(member);
            self.want(out);
        }
    }

    /// What the register holds, by a read or change of **this agent in this life**, in the order they were made. What others say it holds is no
    /// substitute: only an operation of one's own makes sure that none of one's earlier ones is made later.
    pub fn on_term(&mut self, term: &Term, out: &mut Outputs<S>) {
        if term.epoch < self.log.epoch {
            return;
        }
        if term.home != self.me {
            if self.leader.is_some() {
                self.depose(term.epoch, out);
            }
            out.push(Output::Send(Message { from: self.me, to: term.home, epoch: term.epoch, body: Body::Join }));
            return;
        }
        match &mut self.leader {
            Some(leader) if leader.term.epoch == term.epoch => leader.on_term(term),
            _ => self.begin(term, out),
        }
        self.acknowledge(out);
        self.want(out);
    }

    /// A message came.
    // spec: PSM-11
    pub fn on_message(&mut self, message: Message<S, S::Entry>, out: &mut Outputs<S>) {
        let Message { from, to, epoch, body } = message;
        if !self.is_meant(to) {
            return;
        }
        if epoch > self.log.epoch && self.leader.is_some() {
            self.depose(epoch, out);
        }
        match body {
            Body::Join if epoch == self.log.epoch => self.on_join(from, out),
            Body::Ack { seq } if epoch == self.log.epoch => self.on_ack(from, seq, out),
            Body::Snapshot { .. } | Body::Append { .. } if !self.admits(epoch) => self.say(from, self.log.epoch, Body::Stale, out),
            Body::Snapshot { log } => self.on_snapshot(from, log, out),
            Body::Append { prev, entries } => self.on_append(from, epoch, prev, &entries, out),
            // If all of this log is acknowledged, what was left of an earlier leadership is decided; the leader has it, too.
            Body::Acknowledged { seq } if epoch == self.log.epoch && seq >= self.log.seq => self.settle(true, out),
            Body::Join | Body::Ack { .. } | Body::Acknowledged { .. } | Body::Stale => {}
        }
    }

    // ---- guards ---------------------------------------------------------------------------------------------------------------------------------

    /// R9: a message to another store of this CPU is not for this one.
    fn is_meant(&self, to: Member) -> bool {
        if defect(Defect::R9) { to.node == self.me.node } else { to == self.me }
    }

    /// R5: who leads in a lower epoch is a leader no more. And nobody but itself writes the log of the epoch that this member leads.
    // spec: GRP-8
    fn admits(&self, epoch: Epoch) -> bool {
        defect(Defect::R5) || epoch > self.log.epoch || (epoch == self.log.epoch && self.leader.is_none())
    }

    // ---- leading --------------------------------------------------------------------------------------------------------------------------------

    /// Leads a term from now on: a new one, or after a restart the same one.
    fn begin(&mut self, term: &Term, out: &mut Outputs<S>) {
        self.keep_unsettled();
        if self.log.epoch != term.epoch {
            self.log.epoch = term.epoch;
            out.push(Output::Store(Record::Began { epoch: term.epoch }));
        }
        self.leader = Some(Leader::new(self.me, term.clone(), self.log.seq));
        self.resend(out);
    }

    /// Leads no longer.
    fn depose(&mut self, by: Epoch, out: &mut Outputs<S>) {
        self.keep_unsettled();
        self.leader = None;
        out.push(Output::Tell(Fact::Deposed { by }));
    }

    fn keep_unsettled(&mut self) {
        if let Some(leader) = &self.leader {
            self.unsettled.extend(leader.pending(self.log.seq).cloned());
        }
    }

    fn on_join(&mut self, from: Member, out: &mut Outputs<S>) {
        if self.leader.as_mut().is_some_and(|l| l.on_join(from)) {
            self.supply(from, out);
            self.want(out);
        }
    }

    fn on_ack(&mut self, from: Member, seq: Seq, out: &mut Outputs<S>) {
        let Some(leader) = &mut self.leader else { return };
        let more = leader.on_ack(from, seq, self.log.seq);
        self.acknowledge(out);
        if more {
            self.supply(from, out);
        }
        self.want(out);
    }

    /// Tells what can be answered now.
    fn acknowledge(&mut self, out: &mut Outputs<S>) {
        let Some(leader) = &mut self.leader else { return };
        let (begins, ready) = leader.acknowledge(self.log.seq);
        let replicated = !leader.waits_for().is_empty();
        let epoch = leader.term.epoch;
        if begins {
            out.push(Output::Tell(Fact::Established { epoch, replicated }));
            self.settle(replicated, out);
        }
        out.extend(ready.into_iter().map(|(seq, entry)| Output::Tell(Fact::Acknowledged { seq, entry, replicated })));
    }

    /// Asks for the next change of the register, if one is wanted. It is under way until the agent says what the register holds.
    fn want(&mut self, out: &mut Outputs<S>) {
        let Some(leader) = &mut self.leader else { return };
        if let Some(change) = leader.wanted(self.log.seq) {
            leader.change = Some(change.clone());
            out.push(Output::Tell(Fact::Needs(change)));
        }
    }

    fn supply(&mut self, to: Member, out: &mut Outputs<S>) {
        if let Some(body) = self.leader.as_mut().and_then(|l| l.supply(to, &self.log)) {
            self.say(to, self.log.epoch, body, out);
        }
    }

    // ---- following ------------------------------------------------------------------------------------------------------------------------------

    fn on_snapshot(&mut self, from: Member, log: Log<S>, out: &mut Outputs<S>) {
        let epoch = log.epoch;
        // R8: within an epoch there is one writer, so a shorter log is only an older one.
        let newer = epoch > self.log.epoch || (epoch == self.log.epoch && log.seq > self.log.seq);
        if newer || defect(Defect::R8) {
            self.log = log;
            out.push(Output::Store(Record::Replaced(self.log.clone())));
        }
        self.say(from, epoch, Body::Ack { seq: self.log.seq }, out);
    }

    fn on_append(&mut self, from: Member, epoch: Epoch, prev: Seq, entries: &[S::Entry], out: &mut Outputs<S>) {
        if epoch > self.log.epoch {
            return self.say(from, epoch, Body::Join, out);
        }
        // With a gap there is nothing to add; the answer says from where more is needed.
        if prev <= self.log.seq {
            let had = (self.log.seq.0 - prev.0) as usize;
            for entry in entries.iter().skip(had) {
                append(&mut self.log, entry, out);
            }
        }
        self.say(from, epoch, Body::Ack { seq: self.log.seq }, out);
    }

    fn settle(&mut self, replicated: bool, out: &mut Outputs<S>) {
        for entry in std::mem::take(&mut self.unsettled) {
            let kept = self.log.state.holds(&S::id(&entry));
            out.push(Output::Tell(Fact::Settled { entry, kept, replicated }));
        }
    }

    fn say(&self, to: Member, epoch: Epoch, body: Body<S, S::Entry>, out: &mut Outputs<S>) {
        out.push(Output::Send(Message { from: self.me, to, epoch, body }));
    }
}

/// One entry more, durable before anything that follows.
fn append<S: State>(log: &mut Log<S>, entry: &S::Entry, out: &mut Outputs<S>) {
    log.seq = Seq(log.seq.0 + 1);
    log.state.apply(entry);
    out.push(Output::Store(Record::Appended { epoch: log.epoch, seq: log.seq, entry: entry.clone() }));
}
