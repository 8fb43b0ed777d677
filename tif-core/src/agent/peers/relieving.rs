//! A primary makes way for a member on another CPU.
//!
//! On one CPU a handover is one agent's affair (`draining`). Between two, the one where the primary was says in its directory that it has made way, and for
//! whom; the other one sees that and asks the register for the next term. So nothing of it is a message that could be lost: a stream that begins anew says it
//! again, an agent that ends says it no more, and whoever is named in the register leads.
//!
//! | on the CPU of the | seen | then |
//! |---|---|---|
//! | successor | a primary that has made way for a member here | the register is asked to name that one, in the next term |
//! | old primary | the successor leads in a later term | this CPU waits for its end mark, as any that follows it |
//! | old primary | its end mark | the source is bound to it, and the handover is over |
//! | old primary | the successor, or its CPU, is gone | another takes its place, or it is broken off |
//! | any other | the successor's end mark, and whom it relieves | the source is bound to it, and nobody is told of anything else |
//! | any | the report of the old primary's CPU | importers that saw a handover are told of it |
// spec: OUT-5, GRP-5, GRP-6

use super::super::io::{Conn, Moment};
use super::super::outages::Lost;
use super::super::{Agent, Outbox, Resource};
use crate::limits;
use crate::machine::group::Elected;
use crate::machine::handover::Phase;
use crate::model::{Cause, Epoch, Key, Name, NodeId, Outage, Role, Time};
use crate::wire::{HandsOver, Member};

use std::collections::BTreeSet;

impl Agent {
    /// For whom a primary of this CPU makes way, as the others are to know it.
    pub(super) fn hands_over(&self, key: Key) -> Option<HandsOver> {
        let service = self.exporters.get(&key).filter(|e| e.grouped).map(|e| &e.service)?;
        let machine = self.handovers.get(service)?.machine();
        let makes_way = machine.from() == key && matches!(machine.phase(), Phase::TakingUp(_));
        makes_way.then(|| HandsOver { to: machine.to(), let_go: !machine.is_deposed() })
    }

    /// The ready member of this CPU for whom a primary on another makes way, and in which term that led.
    pub(super) fn offered(&self, service: &Name) -> Option<Elected> {
        let group = self.groups.get(service)?;
        let of_group = self.peers.members().filter(|m| m.grouped && m.service == *service);
        let offered = of_group.filter_map(|m| Some(Elected { key: m.hands_over?.to, epoch: m.epoch }));
        offered.filter(|offer| group.is_ready(offer.key)).max_by_key(|offer| offer.epoch)
    }

    /// Who of another CPU has let go for this member to lead in this term.
    pub(in super::super) fn relieved_elsewhere(&self, service: &Name, key: Key, epoch: Epoch) -> Option<Key> {
        let of_group = self.peers.members().filter(|m| m.grouped && m.service == *service && m.epoch <= epoch);
        let mut let_go = of_group.filter(|m| m.hands_over == Some(HandsOver { to: key, let_go: true }));
        let_go.next().map(|m| m.key)
    }

    /// A member of another CPU that could lead a service: it is ready, and its CPU has all that was accepted. Of several the one that weighs most.
    // spec: GRP-5
    pub(in super::super) fn successor_elsewhere(&self, service: &Name, but: &[Key]) -> Option<Key> {
        let fits =
            |m: &&Member| m.grouped && m.service == *service && !but.contains(&m.key) && self.check_successor(service, m.key).is_ok();
        self.peers.members().filter(fits).max_by_key(|m| (m.weight, std::cmp::Reverse(m.key))).map(|m| m.key)
    }

    /// Whether a member of another CPU can be handed over to: why not, for people.
    ///
    /// # Errors
    /// That reason.
    pub(in super::super) fn check_successor(&self, service: &Name, to: Key) -> Result<(), &'static str> {
        let member = self.peers.get(to.node).filter(|p| p.greeted).and_then(|p| p.members.get(&to));
        let in_sync = self.peers.electing.groups.get(service).and_then(|s| s.register.as_ref()?.as_ref()).map(|term| &term.in_sync);
        match member {
            Some(_) if !self.peers.detector.is_up(to.node) => Err("its CPU does not answer at present: try again, or name another"),
            Some(member) if !member.ready => Err("it is not ready to lead: wait until it is connected, or name another"),
            Some(_) if !in_sync.is_some_and(|all| all.iter().any(|m| m.node == to.node)) => {
                Err("its CPU has not yet all that was accepted: wait until `tif-serve groups` shows it in sync, or name another")
            }
            Some(_) => Ok(()),
            None => Err("its CPU cannot be asked at present: try again, or name another"),
        }
    }

    /// A member of a service on another CPU, as people call it: with its CPU, or by its name alone if no other CPU has one of that name.
    pub(in super::super) fn member_elsewhere(&self, name: &Name) -> Option<&Member> {
        let with_cpu = |(_, peer): &(NodeId, &super::Peer), m: &Member| {
            peer.cpu.as_ref().and_then(|cpu| cpu.join(&m.process).ok()).as_ref() == Some(name)
        };
        let of_name = |m: &Member| m.process == *name;
        let mut all = self.peers.iter().flat_map(|peer| peer.1.members.values().map(move |m| (peer, m)));
        if let Some((_, m)) = all.find(|(peer, m)| with_cpu(peer, m)) {
            return Some(m);
        }
        let mut named = self.peers.members().filter(|m| of_name(m));
        named.next().filter(|_| named.next().is_none())
    }

    /// The primary of a service on another CPU, as people call it.
    pub(in super::super) fn name_of_leader_elsewhere(&self, service: &Name) -> Option<Name> {
        let leader = self.leader_elsewhere(service)?;
        self.peers.get(leader.key.node)?.cpu.as_ref()?.join(&leader.process).ok()
    }

    /// Where the primary is that somebody names, by its service or by itself, if that is not here.
    pub(super) fn primary_elsewhere(&self, name: &Name) -> Option<NodeId> {
        let is_here = self.groups.get(name).is_some_and(|g| g.leader().is_some())
            || self.handovers.contains_key(name)
            || self.exporters.values().any(|e| e.name == *name || self.cpu.join(&e.name).is_ok_and(|own| own == *name));
        if is_here {
            return None;
        }
        self.leader_elsewhere(name).or_else(|| self.member_elsewhere(name)).map(|m| m.key.node)
    }

    /// Another agent says something of an exporter: of the one that was handed over to it may be that it leads, or that it cannot.
    pub(super) fn heed_successor(&mut self, now: Moment, member: &Member, out: &mut Outbox) {
        let Some(draining) = self.handovers.get_mut(&member.service).filter(|d| d.machine().to() == member.key) else { return };
        let machine = draining.machine_mut();
        if machine.phase() == Phase::TakingUp(None) && member.role == Role::Primary && member.epoch > machine.term() {
            machine.on_elected(member.epoch);
            return self.read_register(now, &member.service, out);
        }
        if !member.ready {
            self.on_successor_lost(now, |to| to == member.key, out);
        }
    }

    /// Members of other CPUs cannot be told to lead any more.
    pub(super) fn on_successor_lost(&mut self, now: Moment, is_lost: impl Fn(Key) -> bool, out: &mut Outbox) {
        let own = self.key.node;
        let to = self.handovers.iter().map(|(service, d)| (service.clone(), d.machine().to()));
        let lost: Vec<(Name, Key)> = to.filter(|(_, to)| to.node != own && is_lost(*to)).collect();
        for (service, to) in lost {
            self.on_successor_ended(now, &service, to, out);
        }
    }

    /// The CPU of an old primary says that it has handed over. Who saw it here is told; who waits for the successor is told when that is bound.
    // spec: OUT-1, OUT-4
    pub(super) fn on_far_handover(&mut self, now: Moment, outage: &Outage) {
        let Some(end) = &outage.end else { return };
        let Some(state) = self.sources.get_mut(&outage.source) else { return };
        if state.exporter == Some(outage.key) {
            state.promised = Some((outage.clone(), now.time + limits::HANDOVER_TIMEOUT));
        } else if state.exporter == Some(end.key) && state.relieved == Some(outage.key) {
            self.tell_handover(now, outage.clone());
        }
    }

    /// Somebody stands behind a source: whether that is what was said, and nothing else was seen of it here.
    pub(in super::super) fn keep_promise(&mut self, now: Moment, source: &Name, key: Key) {
        let Some(state) = self.sources.get_mut(source) else { return };
        let Some((outage, _)) = state.promised.take() else { return };
        if state.relieved == Some(outage.key) && outage.end.as_ref().is_some_and(|end| end.key == key) {
            self.tell_handover(now, outage);
        }
    }

    /// Importers here are told of a handover between others that they followed.
    fn tell_handover(&mut self, now: Moment, told_of: Outage) {
        let Outage { cpu, source, process, key, since, end: Some(end), .. } = told_of else { return };
        // By the other CPU's wall clock, which need not be that of this one.
        let began = Time(now.time.0.saturating_sub(end.gap_ms.saturating_mul(1_000_000)));
        let at = Moment { time: began, stamp: since, ..now };
        let id = self.outages.begin(Lost { at, found: None }, &cpu, &source, &process, key, Cause::Handover).id;
        self.stats.outages += 1;
        let mut told: BTreeSet<Conn> = BTreeSet::new();
        for id in self.table.of_source(&source) {
            told.extend(self.interest.waiters(&Resource::Instrument(id)).filter(|conn| conn.peer().is_none()));
        }
        for conn in &told {
            if let Some(session) = self.sessions.get_mut(conn) {
                session.outages.insert(id);
            }
        }
        self.outages.told(id, &told);
        if let Some(outage) = self.outages.end_as(now, id, end) {
            self.tell_outage_over(&outage);
        }
    }

    /// Who was said to lead has not been heard here in time: what is shown of the one before is old.
    // spec: OUT-1, SYN-6
    pub(super) fn lose_promised(&mut self, now: Moment, out: &mut Outbox) {
        let is_due = |promised: &Option<(Outage, Time)>| promised.as_ref().is_some_and(|(_, until)| *until <= now.time);
        let due: Vec<Name> = self.sources.iter().filter(|(_, s)| is_due(&s.promised)).map(|(source, _)| source.clone()).collect();
        for source in due {
            let Some((outage, _)) = self.sources.get_mut(&source).and_then(|s| s.promised.take()) else { continue };
            if self.sources.get(&source).is_some_and(|s| s.exporter == Some(outage.key)) {
                self.lose_far(now, &source, &outage.process, outage.key, Cause::Handover, out);
            }
        }
    }
}
