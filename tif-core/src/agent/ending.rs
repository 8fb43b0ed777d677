//! A process is gone: its link, its life or by its own leave. What it leaves behind, who is told, and what of it stays readable.
//!
//! The way of a death: the operating system says so → notices to the interested → the outage is written down and every importer of the source is told once → the
//! group elects a successor (`leading`), or one is launched → it says it has taken over → every instrument is bound to it under its old id (`exporting`).

use std::collections::{BTreeMap, BTreeSet};

use super::exporting::Source;
use super::importing::Syncing;
use super::io::{Conn, Moment, Output, ProcessRecord, Record};
use super::outages::{Corpse, Lost};
use super::{Agent, Outbox, PROBE_AFTER, Question, Resource, SUSPECT_AFTER, Timer, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::process::Former;
use crate::model::{Cause, Epoch, InstrumentId, Key, Name, Outage, OutageEnd, OutageId, Quality, Refusal, Report, Slot};
use crate::wire::{ToProcess, ToldOutage};

/// The end of a process, to be written down.
#[derive(Debug)]
pub(super) struct Ended {
    pub record: ProcessRecord,
    /// The group that nobody is to lead before: the store may have it as its primary.
    // spec: GRP-8
    pub member_of: Option<Name>,
}

impl Ended {
    pub fn of(record: ProcessRecord) -> Ended {
        Ended { member_of: record.service.clone().filter(|_| record.grouped), record }
    }
}

impl Agent {
    /// The connection is closed.
    // spec: MON-5
    pub(super) fn on_closed(&mut self, now: Moment, conn: Conn, out: &mut Outbox) {
        let Some(session) = self.sessions.get(&conn) else {
            if let Some(key) = self.admitting.iter().find(|(_, a)| a.conn == conn).map(|(key, _)| *key) {
                self.abandon_admission(now, key, out);
            }
            return;
        };
        let (key, name) = (session.key, session.name.clone());
        self.drop_session(conn, out);
        self.touch_member(key);
        if let Some(exporter) = self.exporters.get_mut(&key) {
            exporter.conn = None;
            exporter.ready = false;
            // It disarms by itself what was armed for sessions, when its link ends.
            for session in self.sessions.values_mut() {
                session.armed.retain(|(of, _)| *of != key);
            }
            let service = exporter.service.clone();
            if let Some(group) = self.groups.get_mut(&service) {
                group.on_unreachable(key);
            }
            self.on_hander_out_of_reach(now, key, out);
        }
        if defect(Defect::DeadAtLinkEnd) {
            return self.on_exited(now, key, Cause::Unknown, out);
        }
        let changed = self.registry.on_link_lost(now.time, key);
        self.announce_process(&name, key, changed);
    }

    /// Its interest and its armed test points go with it.
    pub(super) fn drop_session(&mut self, conn: Conn, out: &mut Outbox) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        self.stats.coalesced += session.queue.coalesced();
        self.on_maker_gone(conn, session.key);
        for id in session.follows.keys() {
            self.timers.cancel(Timer::Follow(conn, *id));
        }
        // Also those that another CPU asks for, too: that is no reason to ask a third.
        let looked_for: Vec<Name> =
            self.interest.of(conn).filter_map(|r| if let Resource::Process(n) = r { Some(n.clone()) } else { None }).collect();
        for resource in self.interest.forget(conn) {
            if let Resource::Instrument(id) = resource {
                self.unwatch(id, out);
            }
        }
        for name in looked_for {
            self.look_elsewhere(conn, &name);
        }
        for subscription in session.subscriptions.values() {
            self.want_pattern(conn, &subscription.pattern, false);
        }
        for (key, slot) in session.armed {
            self.disarm_for_session(key, slot, out);
        }
        self.filled.remove(&conn);
    }

    // spec: PSM-4, PSM-5, OUT-1
    pub(super) fn on_exited(&mut self, now: Moment, key: Key, cause: Cause, out: &mut Outbox) {
        let cause = if self.hung.remove(&key) { Cause::Hung } else { cause };
        if let Some(conn) = self.admitting.get(&key).map(|a| a.conn) {
            self.abandon_admission(now, key, out);
            return out.push(Output::Close { conn });
        }
        let Some(name) = self.registry.find(key).map(|p| p.name.clone()) else { return };
        let Some(changed) = self.registry.on_exited(now.time, key, cause.clone()) else { return };
        self.announce_process(&name, key, Some(changed));
        self.end_process(now, key, cause, out);
    }

    /// It takes its leave. Its last values are read first: they stay readable.
    pub(super) fn on_unregister(&mut self, now: Moment, conn: Conn, key: Key, out: &mut Outbox) {
        let slots: Vec<Slot> = self.exporters.get(&key).map(|e| e.slots.keys().copied().collect()).unwrap_or_default();
        if slots.is_empty() {
            return self.leave(now, conn, key, out);
        }
        let token = self.ask(now, Question::Farewell(conn, key), limits::COMPUTE_TIMEOUT);
        out.push(Output::Sample { key, slots, token });
    }

    pub(super) fn leave(&mut self, now: Moment, conn: Conn, key: Key, out: &mut Outbox) {
        let Some(name) = self.registry.find(key).map(|p| p.name.clone()) else { return };
        let Some(changed) = self.registry.on_unregister(now.time, key) else { return };
        self.announce_process(&name, key, Some(changed));
        self.end_process(now, key, Cause::Unregistered, out);
        out.push(Output::Close { conn });
    }

    /// What a process leaves behind, however it ended.
    pub(super) fn end_process(&mut self, now: Moment, key: Key, cause: Cause, out: &mut Outbox) {
        self.on_hander_ended(now, key, out);
        self.heartbeats.forget(key);
        let is_written = self.given_up.remove(&key) && cause == Cause::Silent;
        let left = cause == Cause::Unregistered;
        let record = self.record_of(now, key, true);
        if let Some(record) = &record {
            let former = Former { role: record.role, service: record.service.clone(), program: record.program.clone() };
            self.registry.remember(key, former);
        }
        let conns: Vec<Conn> = self.sessions.iter().filter(|(_, s)| s.key == key).map(|(c, _)| *c).collect();
        for conn in conns {
            self.drop_session(conn, out);
            if !left {
                out.push(Output::Close { conn });
            }
        }
        for session in self.sessions.values_mut() {
            session.armed.retain(|(of, _)| *of != key);
        }
        let Some(exporter) = self.exporters.get(&key) else {
            if !is_written {
                self.store_end(record, out);
            }
            return out.push(Output::Release { key });
        };
        let (service, source, name, grouped) = (exporter.service.clone(), exporter.source(), exporter.name.clone(), exporter.grouped);
        let stands = self.stands_behind(key);
        if stands {
            self.keep_corpse(now, key, &name);
        }
        self.drop_number(&service, key);
        self.exporters.remove(&key);
        self.touch_ended(key, &cause);
        out.push(Output::Release { key });
        if left && !defect(Defect::ReplaceWhoLeft) {
            self.launcher.on_left(&service);
        } else {
            self.launcher.on_died(now.time, &service);
        }
        let leads = !grouped || self.groups.get(&service).is_some_and(|g| g.leader() == Some(key));
        let elected = if grouped { self.groups.get_mut(&service).and_then(|g| g.on_lost(key)) } else { None };
        // One that was to lead and did not yet is missed where nobody else is: another CPU's primary may have made way for it, and that one's loss is told.
        let is_missed = |s: &Source| s.outage.is_none() && s.exporter.is_none();
        if stands || (leads && self.sources.get(&source).is_some_and(is_missed)) {
            let here = self.groups.get(&service).is_some_and(|g| !g.is_empty());
            let successor = grouped && (here || self.has_members_elsewhere(&service));
            if left && !successor && !(grouped && self.is_shared(&service)) && self.ledger.forget_volatile(&source) {
                self.store_forgotten(source.clone(), out);
            }
            if left && !successor {
                self.leave_source(now, &source, key, out);
            } else {
                self.begin_outage(now, &source, &name, key, cause, out);
            }
        }
        // After the outage: an agent that starts between the two finds a dead process, and not one that left no outage.
        self.store_end(record, out);
        self.elect(now, &service, elected, out);
    }

    /// Its exporter took its leave and nobody is to follow: that is no outage. The last values stay, as old as they are, until they are too old to be shown.
    // spec: OUT-1, OUT-7, SYN-1, SYN-4
    fn leave_source(&mut self, now: Moment, source: &Name, key: Key, out: &mut Outbox) {
        let state = self.sources.entry(source.clone()).or_default();
        state.exporter = None;
        state.left = Some(now.time);
        let ids: Vec<InstrumentId> = self.table.of_source(source).collect();
        let mut followed: BTreeMap<Conn, Vec<InstrumentId>> = BTreeMap::new();
        for id in ids {
            if let Some(instrument) = self.table.find_mut(id) {
                instrument.place = None;
                instrument.quality = Quality::Stale { since: now.stamp };
            }
            for conn in self.interest.waiters(&Resource::Instrument(id)) {
                followed.entry(conn).or_default().push(id);
            }
        }
        self.drop_questions_to(now, key, out);
        for (conn, ids) in followed {
            self.show_stale(now, conn, source, &ids, None);
        }
    }

    fn store_end(&mut self, record: Option<ProcessRecord>, out: &mut Outbox) {
        if let Some(record) = record {
            self.write_end(Ended::of(record), out);
        }
    }

    pub(super) fn write_end(&mut self, ended: Ended, out: &mut Outbox) {
        self.store(Record::Process(ended.record.clone()), Waiting::Ended(Box::new(ended)), out);
    }

    /// Ends that could not be written are written again.
    pub(super) fn end_again(&mut self, out: &mut Outbox) {
        for (key, ended) in std::mem::take(&mut self.unended) {
            match self.later_life(&ended.record) {
                None => self.write_end(ended, out),
                // Written now it would stand over the later life, whose own record may be on its way.
                Some(_) if !self.is_written_over(&ended.record) => drop(self.unended.insert(key, ended)),
                Some(_) => {}
            }
        }
    }

    /// Who has the name of one that ended, if that is a later life by now.
    fn later_life(&self, ended: &ProcessRecord) -> Option<Key> {
        self.registry.by_name(&ended.name).map(|p| p.key).filter(|key| key.inc > ended.key.inc)
    }

    /// Whether a later life of the name stands in the store in place of one that ended: its end need not be written any more.
    pub(super) fn is_written_over(&self, ended: &ProcessRecord) -> bool {
        let is_late = |key: Key| self.tickets.values().any(|w| matches!(w, Waiting::Late(of) if *of == key));
        let is_open = |key: Key| self.admitting.contains_key(&key) || self.unwritten.contains(&key) || is_late(key);
        self.later_life(ended).is_some_and(|key| !is_open(key))
    }

    /// Values that ended with their source, and of which the store could not be told.
    // spec: CTL-7, SEC-3
    pub(super) fn forget_again(&mut self, out: &mut Outbox) {
        for source in std::mem::take(&mut self.unforgotten) {
            // What is being set just now is not among those that are there, and must not go with the old ones.
            if self.changes.values().any(|change| *change.source() == source) {
                self.unforgotten.insert(source);
            } else {
                self.store_forgotten(source, out);
            }
        }
    }

    pub(super) fn store_forgotten(&mut self, source: Name, out: &mut Outbox) {
        let but = self.ledger.volatile_of(&source);
        self.store(Record::Forget { source: source.clone(), but }, Waiting::Forget(source), out);
    }

    /// The source is without a live exporter: its instruments are flagged, and each importer of any of them is told once.
    // spec: OUT-2
    pub(super) fn begin_outage(&mut self, now: Moment, source: &Name, process: &Name, key: Key, cause: Cause, out: &mut Outbox) {
        let cpu = self.cpu.clone();
        self.begin_outage_of(now, now, &cpu, source, process, key, cause, out);
    }

    /// The same for a source on another CPU, as far as importers here follow it. Its own agent remembers it. `at`: when it was lost, at the earliest.
    #[expect(clippy::too_many_arguments, reason = "these are the parts of one outage")]
    pub(super) fn begin_outage_of(
        &mut self,
        now: Moment,
        at: Moment,
        cpu: &Name,
        source: &Name,
        process: &Name,
        key: Key,
        cause: Cause,
        out: &mut Outbox,
    ) {
        let outage = self.outages.begin(Lost { at, found: None }, cpu, source, process, key, cause);
        self.stats.outages += 1;
        let state = self.sources.entry(source.clone()).or_default();
        state.exporter = None;
        state.outage = Some(outage.id);
        let ids: Vec<InstrumentId> = self.table.of_source(source).collect();
        let mut told = BTreeSet::new();
        for id in ids {
            if let Some(instrument) = self.table.find_mut(id) {
                instrument.place = None;
                instrument.quality = Quality::Outage { id: outage.id, since: now.stamp };
            }
            told.extend(self.interest.waiters(&Resource::Instrument(id)));
        }
        self.drop_questions_to(now, key, out);
        for session in self.sessions.values_mut() {
            if session.outages_before.remove(&key).is_some() {
                session.outages.insert(outage.id);
            }
        }
        self.outages.told(outage.id, &told);
        if *cpu == self.cpu {
            self.store_outage(outage.id, out);
        }
        for conn in told {
            self.tell_outage(conn, &outage);
        }
    }

    /// How an outage stands is written down.
    // spec: MON-7
    pub(super) fn store_outage(&mut self, id: OutageId, out: &mut Outbox) {
        if let Some(record) = self.outages.record(id) {
            self.store(record, Waiting::Outage(id), out);
        }
    }

    /// An outage has begun: an importer is told once of each.
    // spec: OUT-2
    pub(super) fn tell_outage(&mut self, conn: Conn, outage: &Outage) {
        if self.sessions.get_mut(&conn).is_some_and(|s| s.outages.insert(outage.id) || defect(Defect::TellOutageAgain)) {
            self.queue(conn, ToProcess::Outage(outage.clone()));
        }
    }

    /// An importer was told over another link, or by another agent, that these outages had begun: it is not told so again, and of each that it is over.
    // spec: OUT-2, OUT-4, MON-5
    pub(super) fn take_up_outages(&mut self, now: Moment, conn: Conn, told: &[ToldOutage]) {
        let mut unknown = BTreeSet::new();
        for ToldOutage { key, source } in told.iter().take(limits::OUTAGES_KEPT_MAX) {
            let Some(outage) = self.outages.of_key(*key).cloned() else {
                if let Some(session) = self.sessions.get_mut(&conn) {
                    session.outages_before.insert(*key, source.clone());
                }
                unknown.insert(source.clone());
                continue;
            };
            if outage.end.is_some() {
                self.queue(conn, ToProcess::Outage(outage));
            } else if let Some(session) = self.sessions.get_mut(&conn) {
                session.outages.insert(outage.id);
            }
        }
        for source in unknown {
            if let Some(key) = self.sources.get(&source).and_then(|s| s.exporter) {
                self.end_all_outages_before(now, conn, &source, key);
            }
        }
    }

    /// Also for who does not follow the source any more.
    pub(super) fn end_all_outages_before(&mut self, now: Moment, conn: Conn, source: &Name, key: Key) {
        for same in [true, false] {
            self.end_outages_before(now, conn, source, key, same);
        }
    }

    /// Somebody stands behind the source, and this agent knows of no outage: the one of which another agent told is over. `same`: it is the very exporter
    /// that was presumed lost. That is told before its values, another's after them.
    // spec: OUT-4, MON-7
    pub(super) fn end_outages_before(&mut self, now: Moment, conn: Conn, source: &Name, key: Key, same: bool) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let of_source = session.outages_before.iter().filter(|(lost, of)| *of == source && (**lost == key) == same);
        let over: Vec<Key> = of_source.map(|(lost, _)| *lost).collect();
        let process = self.registry.find(key).map_or_else(|| source.clone(), |p| p.name.clone());
        for lost in over {
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.outages_before.remove(&lost);
            }
            let end = OutageEnd {
                process: process.clone(),
                key,
                at: now.stamp,
                gap_ms: 0,
                remapped: 0,
                removed: 0,
                added: 0,
                carried: 0,
                counted: false,
            };
            let outage = Outage {
                id: OutageId(0),
                cpu: self.cpu.clone(),
                source: source.clone(),
                process: source.clone(),
                key: lost,
                cause: Cause::Unknown,
                since: now.stamp,
                end: Some(end),
                found: None,
            };
            self.queue(conn, ToProcess::Outage(outage));
        }
    }

    /// An outage is over: whoever was told that it began is told.
    pub(super) fn tell_outage_over(&mut self, outage: &Outage) {
        let told: Vec<Conn> = self.sessions.iter_mut().filter_map(|(conn, s)| s.outages.remove(&outage.id).then_some(*conn)).collect();
        for conn in told {
            self.queue(conn, ToProcess::Outage(outage.clone()));
        }
    }

    /// The last values of the dead stay readable.
    // spec: EXP-6
    pub(super) fn keep_corpse(&mut self, now: Moment, key: Key, process: &Name) {
        let Some(exporter) = self.exporters.get(&key) else { return };
        let rows: Vec<_> = exporter
            .slots
            .values()
            .filter_map(|id| self.table.find(*id))
            .map(|i| {
                let quality = Quality::Stale { since: now.stamp };
                (self.announcement(i), Report { quality, ..self.report_of(i) })
            })
            .collect();
        self.corpses.keep(Corpse { process: process.clone(), key, rows, until: now.time + limits::CORPSE_RETENTION });
    }

    /// What the store is to remember of a process now.
    pub(super) fn record_of(&self, now: Moment, key: Key, ended: bool) -> Option<ProcessRecord> {
        let process = self.registry.find(key)?;
        let exporter = self.exporters.get(&key);
        Some(ProcessRecord {
            name: process.name.clone(),
            key,
            nonce: process.nonce,
            credentials: process.credentials,
            service: exporter.map(|e| e.service.clone()),
            grouped: exporter.is_some_and(|e| e.grouped),
            role: self.role_of(key),
            term: exporter.map_or(Epoch(0), |e| self.term_of(&e.service, e.grouped)),
            number: self.number_of(key),
            ended,
            program: process.former.program.clone(),
            cause: process.cause.clone(),
            since: now.stamp_of(process.lived_since().unwrap_or(process.since)),
        })
    }

    /// Exporters that say nothing are asked; those that do not answer are suspect, and ended where the service wants that.
    // spec: OUT-6
    pub(super) fn probe_silent(&mut self, now: Moment, out: &mut Outbox) {
        let silent: Vec<(Conn, Key)> = self.sessions.iter().filter(|(_, s)| s.exports).map(|(c, s)| (*c, s.key)).collect();
        for (conn, key) in silent {
            let limit = self.exporters.get(&key).and_then(|e| self.hung_after.get(&e.service)).copied();
            let nonce = self.number();
            let Some(session) = self.sessions.get_mut(&conn) else { continue };
            match session.probed {
                None => {
                    if now.time.since(session.heard) >= limit.map_or(PROBE_AFTER, |l| (l / 2).min(PROBE_AFTER)) {
                        session.probed = Some(now.time);
                        self.send(out, conn, ToProcess::Ping { nonce });
                    }
                }
                Some(since) => {
                    if now.time.since(since) >= SUSPECT_AFTER {
                        self.suspect(now, key, true, out);
                    }
                    if limit.is_some_and(|limit| now.time.since(since) >= limit) && self.hung.insert(key) {
                        out.push(Output::Kill { key });
                    }
                }
            }
        }
    }

    /// Questions to an exporter that is gone get no answer.
    pub(super) fn drop_questions_to(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        let orphaned: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, q)| match q {
                Question::Sync(Syncing { key: of, .. }) => *of == key,
                Question::ComputeForWatch(of, _) => *of == key,
                Question::Call(call) => self.called(*call) == Some(key),
                Question::Arm(arming) => arming.key == key,
                Question::Validate(change) => self.changes.get(change).is_some_and(|c| c.key == key),
                Question::Promote(_, elected) | Question::Begin(_, elected) => elected.key == key,
                Question::Sense(_) | Question::ComputeForSense(..) | Question::SampleForSense(_) | Question::Farewell(..) => false,
                Question::Forwarded(_) | Question::Gather(_) | Question::Guard(_) | Question::HandOver(_) => false,
            })
            .map(|(number, _)| *number)
            .collect();
        for number in orphaned {
            match self.answered(number) {
                // It died before its first values were read: the outage that it ended is over all the same, before the next begins.
                Some(Question::Sync(Syncing { ended: Some(ended), .. })) => self.tell_outage_over(&ended),
                Some(Question::Call(call)) => self.on_called_died(now, call, out),
                Some(Question::Arm(arming)) => self.finish_arming(arming, Err("its process died".into()), out),
                Some(Question::Validate(change)) => {
                    let name = self.changes.get(&change).map(|c| c.address().to_owned()).unwrap_or_default();
                    let refusal = Refusal::NoExporter { name, state: "its process died before it could be asked".into() };
                    self.refuse_change(change, &refusal, out);
                }
                _ => {}
            }
        }
    }
}
