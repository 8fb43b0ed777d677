//! A process registers, declares, gets ready, dies, and is succeeded.
//!
//! The way of a death: the operating system says so → notices to the interested → the outage is written down and every importer of the source is
//! told once → the group elects a successor, or one is launched → the successor has its controls, says it has taken over → every instrument is
//! bound to it under its old id → first values, end mark, end of the outage.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::importing::Syncing;
use super::io::{Conn, ControlValue, Moment, Output, ProcessRecord, Record, SlotDeclared, Start, TableChange};
use super::outages::{Corpse, Tally};
use super::session::Session;
use super::table::Instrument;
use super::{Agent, Outbox, PROBE_AFTER, Question, Resource, SUSPECT_AFTER, Waiting};
use crate::limits;
use crate::machine::group::{Elected, Group};
use crate::machine::process::{Changed, Former, Process, Registered};
use crate::model::notice::NoticeEvent;
use crate::model::{
    Cause, Descriptor, Dimensions, Epoch, Incarnation, InstrumentId, Key, Name, Notice, Outage, OutageId, ProcessState, Quality, Refusal,
    Report, Role, Slot,
};
use crate::wire::{Credentials, Hello, Identity, PROTOCOL_MAX, PROTOCOL_MIN, Registration, SegmentFacts, ToProcess, Welcome};

/// A process that exports.
#[derive(Debug)]
pub(super) struct Exporter {
    pub name: Name,
    pub service: Name,
    pub grouped: bool,
    /// None while its link is gone.
    pub conn: Option<Conn>,
    pub ready: bool,
    pub declared: BTreeMap<Slot, Declared>,
    /// Which instrument is in which slot, while it stands behind its source.
    pub slots: BTreeMap<Slot, InstrumentId>,
}

/// What it declares in one slot.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub descriptor: Arc<Descriptor>,
    pub dims: Dimensions,
    /// Service and path.
    pub name: Name,
}

impl Declared {
    fn record(&self) -> String {
        format!("{}{}", self.name, self.dims)
    }
}

impl Exporter {
    /// Where its instruments are found: the service's for a group member, its own otherwise.
    pub fn source(&self) -> Name {
        if self.grouped { self.service.clone() } else { self.name.clone() }
    }

    fn declare(&mut self, declared: SlotDeclared) -> Option<Slot> {
        let SlotDeclared { slot, descriptor, dims, .. } = declared;
        // A name that grows too long with its service is a name nobody can ask for.
        let name = self.service.join(&descriptor.path).ok()?;
        self.declared.insert(slot, Declared { descriptor: Arc::new(descriptor), dims, name });
        Some(slot)
    }
}

/// Where importers find instruments, whoever exports them at the moment.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub exporter: Option<Key>,
    pub outage: Option<OutageId>,
}

/// A process on its way in: registered, and not yet durable.
#[derive(Debug)]
pub(super) struct Admitting {
    conn: Conn,
    registered: Registered,
    credentials: Credentials,
    hello: Hello,
    declared: Vec<SlotDeclared>,
    role: Role,
}

impl Admitting {
    fn service(&self) -> Option<(&Name, bool)> {
        match &self.hello.registration {
            Registration::Importer => None,
            Registration::Exporter { service, grouped } => Some((service, *grouped)),
        }
    }

    fn record(&self) -> ProcessRecord {
        ProcessRecord {
            name: self.registered.name.clone(),
            key: self.registered.key,
            nonce: self.hello.nonce,
            credentials: self.credentials,
            service: self.service().map(|(service, _)| service.clone()),
            grouped: self.service().is_some_and(|(_, grouped)| grouped),
            role: self.role,
            ended: false,
            program: self.hello.program.clone(),
        }
    }
}

impl Agent {
    /// What the store remembers comes back.
    // spec: MON-7
    pub(super) fn restore(&mut self, now: Moment, start: Start, out: &mut Outbox) {
        for policy in start.launchable {
            if let Some(limit) = policy.hung_after {
                self.hung_after.insert(policy.service.clone(), limit);
            }
            self.launcher.allow(policy.service, policy.members);
        }
        for control in start.controls {
            self.ledger.restore(control);
        }
        for change in start.changes {
            self.ledger.remember(change);
        }
        for (service, epoch) in start.terms {
            self.groups.insert(service, Group::new(epoch));
        }
        for outage in start.outages {
            if outage.end.is_none() {
                self.sources.entry(outage.source.clone()).or_default().outage = Some(outage.id);
            }
            self.outages.restore(now, outage);
        }
        let alive: BTreeSet<Key> = start.alive.into_iter().collect();
        // Of each service the latest that is no more: whether it died.
        let mut latest: BTreeMap<Name, (Incarnation, bool)> = BTreeMap::new();
        // Of one registration that was taken back and made again, both may be remembered: the later is the one.
        let mut registrations: BTreeMap<(u128, u32, u64), Incarnation> = BTreeMap::new();
        let registration = |p: &ProcessRecord| (p.nonce, p.credentials.pid, p.credentials.started);
        for process in &start.processes {
            let last = registrations.entry(registration(process)).or_default();
            *last = (*last).max(process.key.inc);
        }
        for process in start.processes {
            let is_last = registrations.get(&registration(&process)) == Some(&process.key.inc);
            let live = !process.ended && is_last && alive.contains(&process.key);
            let left = process.ended && process.service.is_some() && process.role == Role::Importer;
            let state = match (live, left) {
                (true, _) => ProcessState::Unreachable,
                (false, true) => ProcessState::Unregistered,
                (false, false) => ProcessState::Dead,
            };
            self.registry.restore(now.time, &process, state);
            let Some(service) = process.service.clone() else { continue };
            if !live {
                let last = latest.entry(service.clone()).or_insert((process.key.inc, !left));
                *last = (*last).max((process.key.inc, !left));
            }
            if process.ended {
                continue;
            }
            let exporter = Exporter {
                name: process.name.clone(),
                service: service.clone(),
                grouped: process.grouped,
                conn: None,
                ready: false,
                declared: BTreeMap::new(),
                slots: BTreeMap::new(),
            };
            let source = exporter.source();
            let leads = !process.grouped || matches!(process.role, Role::Primary | Role::ToBePrimary);
            if live {
                if process.grouped {
                    self.groups.entry(service.clone()).or_default().restore(process.key, process.role);
                }
                self.exporters.insert(process.key, exporter);
                self.launcher.on_registered(&service);
                if leads {
                    self.sources.entry(source).or_default();
                }
            } else {
                // It died while no agent was there to see how.
                self.store(Record::Process(ProcessRecord { ended: true, ..process.clone() }), Waiting::Nobody, out);
                if leads && self.sources.get(&source).is_none_or(|s| s.outage.is_none()) {
                    let outage = self.outages.begin(now, &self.cpu, &source, &process.name, process.key, Cause::Unknown);
                    self.stats.outages += 1;
                    self.sources.entry(source).or_default().outage = Some(outage.id);
                    self.store(Record::Outage(outage), Waiting::Nobody, out);
                }
            }
        }
        // spec: MON-7, OUT-3
        for (service, (_, died)) in latest {
            if died {
                self.launcher.on_found_dead(now.time, &service);
            }
        }
        self.launch_due(now, out);
    }

    #[expect(clippy::too_many_arguments, reason = "these are the parts of one input")]
    pub(super) fn on_hello(
        &mut self,
        now: Moment,
        conn: Conn,
        credentials: Credentials,
        hello: Hello,
        segment: Option<SegmentFacts>,
        declared: Vec<SlotDeclared>,
        out: &mut Outbox,
    ) {
        let refusal = if hello.protocol_min > PROTOCOL_MAX || hello.protocol_max < PROTOCOL_MIN {
            // spec: FAB-5
            Some(Refusal::Protocol { min: hello.protocol_min, max: hello.protocol_max, ours_min: PROTOCOL_MIN, ours_max: PROTOCOL_MAX })
        } else if self.sessions.contains_key(&conn) || self.admitting.values().any(|a| a.conn == conn) {
            Some(Refusal::Malformed { reason: "this connection is registered already".into() })
        } else if matches!(hello.registration, Registration::Exporter { .. }) && segment.is_none() {
            Some(Refusal::Malformed { reason: "an exporter must send its segment, doorbell and pidfd with Hello".into() })
        } else if hello.program.len() > limits::PROCESS_NAME_LEN_MAX {
            Some(Refusal::Malformed { reason: format!("the program's name is longer than {} bytes", limits::PROCESS_NAME_LEN_MAX) })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            self.refuse(out, conn, 0, refusal);
            return out.push(Output::Close { conn });
        }
        if hello.resume.is_none() {
            self.retire_former_self(now, &hello, credentials, out);
        }
        let registered = match hello.resume {
            Some(resume) => self.registry.resume(now.time, resume.key, hello.nonce, credentials),
            // One that never heard the answer to its registration registers again: that is resuming, too.
            None => self.registry.register(now.time, &hello.identity, hello.nonce, credentials).and_then(|registered| {
                if registered.resumed {
                    self.registry.resume(now.time, registered.key, hello.nonce, credentials)
                } else {
                    Ok((registered, None))
                }
            }),
        };
        let registered = registered.and_then(|(registered, changed)| match self.exporters.get(&registered.key) {
            Some(e) if hello.registration != (Registration::Exporter { service: e.service.clone(), grouped: e.grouped }) => {
                Err(Refusal::Malformed { reason: "a process that resumes must register as what it was".into() })
            }
            _ => {
                self.announce_process(&registered.name, registered.key, changed);
                Ok(registered)
            }
        });
        let registered = match registered {
            Ok(registered) => registered,
            Err(refusal) => {
                self.refuse(out, conn, 0, refusal);
                return out.push(Output::Close { conn });
            }
        };
        let key = registered.key;
        let mut admitting = Admitting { conn, registered, credentials, hello, declared, role: Role::Importer };
        if let Some(before) = self.admitting.get_mut(&key) {
            // It comes on a new connection before it was answered on the old one: what is not durable yet is still waited for.
            admitting.role = before.role;
            admitting.registered.resumed = false;
            let before = std::mem::replace(before, admitting);
            return out.push(Output::Close { conn: before.conn });
        }
        let Some((service, grouped)) = admitting.service().map(|(s, g)| (s.clone(), g)) else {
            return self.store_or_admit(now, admitting, out);
        };
        if !admitting.registered.resumed {
            self.launcher.on_registered(&service);
        }
        if !grouped {
            admitting.role = Role::Solo;
            return self.store_or_admit(now, admitting, out);
        }
        let group = self.groups.entry(service.clone()).or_default();
        let elected = if group.role(key).is_some() { None } else { group.on_join(key) };
        admitting.role = group.role(key).unwrap_or(Role::Standby);
        match elected {
            // The term is durable before anybody acts in it.
            // spec: GRP-8
            Some(elected) => {
                group.on_promoted(key, elected.epoch);
                admitting.role = Role::Primary;
                let record = Record::Term { service: service.clone(), epoch: elected.epoch };
                self.admitting.insert(key, admitting);
                self.store(record, Waiting::Term(service, elected, Some(key)), out);
            }
            None => self.store_or_admit(now, admitting, out),
        }
    }

    /// An OS process that registers a name anew which it held itself over a link that is gone has begun another life: it has executed itself. Nothing
    /// else would ever end the old one, for its pid lives on.
    // spec: PSM-1, PSM-9
    fn retire_former_self(&mut self, now: Moment, hello: &Hello, credentials: Credentials, out: &mut Outbox) {
        let Identity::Exactly(name) = &hello.identity else { return };
        let is_former = |p: &&Process| p.state == ProcessState::Unreachable && p.credentials == credentials && p.nonce != hello.nonce;
        let Some(key) = self.registry.by_name(name).filter(is_former).map(|p| p.key) else { return };
        let changed = self.registry.on_unregister(now.time, key);
        self.announce_process(name, key, changed);
        self.end_process(now, key, Cause::Unregistered, out);
    }

    /// A resumed process is durable already.
    fn store_or_admit(&mut self, now: Moment, admitting: Admitting, out: &mut Outbox) {
        if admitting.registered.resumed {
            return self.admit(now, admitting, out);
        }
        let key = admitting.registered.key;
        self.admitting.insert(key, admitting);
        self.store_admission(key, out);
    }

    // spec: PSM-1
    pub(super) fn store_admission(&mut self, key: Key, out: &mut Outbox) {
        if let Some(admitting) = self.admitting.get(&key) {
            self.store(Record::Process(admitting.record()), Waiting::Admission(key), out);
        }
    }

    pub(super) fn refuse_admission(&mut self, now: Moment, key: Key, refusal: Refusal, out: &mut Outbox) {
        if let Some(Admitting { conn, .. }) = self.take_admission_back(now, key, out) {
            self.refuse(out, conn, 0, refusal);
            out.push(Output::Close { conn });
        }
    }

    /// It went before it was answered: nobody knows its key, and nobody would see it die.
    // spec: PSM-9
    fn abandon_admission(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        if let Some(admitting) = self.take_admission_back(now, key, out) {
            let record = ProcessRecord { ended: true, ..admitting.record() };
            self.store(Record::Process(record), Waiting::Nobody, out);
        }
    }

    fn take_admission_back(&mut self, now: Moment, key: Key, out: &mut Outbox) -> Option<Admitting> {
        let admitting = self.admitting.remove(&key)?;
        self.registry.take_back(key);
        if let Some((service, grouped)) = admitting.service() {
            self.launcher.on_not_admitted(now.time, service);
            let elected = if grouped { self.groups.get_mut(service).and_then(|g| g.on_lost(key)) } else { None };
            self.elect(&service.clone(), elected, out);
        }
        Some(admitting)
    }

    /// It is durable: it gets its key.
    pub(super) fn admit(&mut self, now: Moment, admitting: Admitting, out: &mut Outbox) {
        let Admitting { conn, registered: Registered { key, name, resumed }, credentials, hello, declared, mut role } = admitting;
        if self.registry.current(key.proc) != Some(key) {
            // It died before its key was durable.
            return out.push(Output::Close { conn });
        }
        self.registry.on_admitted(key);
        let mut epoch = Epoch(0);
        // A process that comes again on a new connection has left the old one.
        let before: Vec<Conn> = self.sessions.iter().filter(|(_, s)| s.key == key).map(|(c, _)| *c).collect();
        for old in before {
            self.drop_session(old, out);
            out.push(Output::Close { conn: old });
        }
        let mut controls = Vec::new();
        let exports = match hello.registration {
            Registration::Importer => {
                if let Some(Changed::Born) = self.registry.on_ready(now.time, key) {
                    self.announce_process(&name, key, Some(Changed::Born));
                }
                false
            }
            Registration::Exporter { service, grouped } => {
                if let Some(group) = self.groups.get(&service).filter(|_| grouped) {
                    role = group.role(key).unwrap_or(role);
                    epoch = group.epoch();
                }
                self.launcher.on_admitted(&service);
                // Instruments of an earlier link stay bound until it is ready again.
                let slots = self.exporters.remove(&key).map(|e| e.slots).unwrap_or_default();
                let mut exporter =
                    Exporter { name: name.clone(), service, grouped, conn: Some(conn), ready: false, declared: BTreeMap::new(), slots };
                for one in declared {
                    exporter.declare(one);
                }
                controls = self.controls_for(&exporter);
                self.exporters.insert(key, exporter);
                true
            }
        };
        self.sessions.insert(conn, Session::new(now.time, key, name.clone(), credentials, hello.program, exports));
        let protocol = hello.protocol_max.min(PROTOCOL_MAX);
        let welcome = Welcome { protocol, key, name, agent: self.key, cpu: self.cpu.clone(), role, epoch, resumed };
        out.push(Output::Admit { conn, key, epoch, controls, welcome: Box::new(ToProcess::Welcome(Box::new(welcome))) });
    }

    // spec: CTL-7
    fn controls_for(&self, exporter: &Exporter) -> Vec<ControlValue> {
        let declared = exporter.declared.iter().map(|(slot, d)| (*slot, d.record(), d.descriptor.as_ref()));
        self.ledger.board(&exporter.source(), declared)
    }

    /// All that it will export from the start is declared, and it runs with its controls.
    pub(super) fn on_ready(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        let born = self.registry.on_ready(now.time, key);
        let Some(exporter) = self.exporters.get_mut(&key) else { return };
        exporter.ready = true;
        let (name, service, grouped, source) = (exporter.name.clone(), exporter.service.clone(), exporter.grouped, exporter.source());
        self.announce_process(&name, key, born);
        if !grouped {
            return self.bind(now, &source, key, out);
        }
        let Some(group) = self.groups.get_mut(&service) else { return };
        let elected = group.on_ready(key);
        match (group.role(key), elected) {
            (Some(Role::Primary), _) => self.bind(now, &source, key, out),
            // The agent ended between its election and its answer: it is asked again.
            (Some(Role::ToBePrimary), None) => {
                let elected = Elected { key, epoch: group.epoch() };
                // Unless that is not durable yet: then it is told when it is.
                // spec: GRP-8
                if !self.tickets.values().any(|w| matches!(w, Waiting::Term(_, e, _) | Waiting::Leader(_, e) if *e == elected)) {
                    self.promote(&service, elected, out);
                }
            }
            (_, elected) => self.elect(&service, elected, out),
        }
    }

    fn elect(&mut self, service: &Name, elected: Option<Elected>, out: &mut Outbox) {
        if let Some(elected) = elected {
            let record = Record::Term { service: service.clone(), epoch: elected.epoch };
            self.store(record, Waiting::Term(service.clone(), elected, None), out);
        }
    }

    /// The term is durable. So must be who leads in it, before it is told: an agent that restarts would elect another beside it.
    // spec: GRP-8
    pub(super) fn on_term_stored(&mut self, service: Name, elected: Elected, out: &mut Outbox) {
        if !self.is_succession_clear(&service) {
            return self.on_term_not_stored(&service, elected);
        }
        if self.is_elected(&service, elected)
            && let Some(record) = self.record_of(elected.key, false)
        {
            self.store(Record::Process(record), Waiting::Leader(service, elected), out);
        }
    }

    /// Whether the store knows of the end of everybody who led before: an agent that restarts would take one for the primary still.
    // spec: GRP-8
    pub(super) fn is_succession_clear(&self, service: &Name) -> bool {
        !self.unended.values().any(|r| r.grouped && r.service.as_ref() == Some(service) && self.registry.find(r.key).is_some())
    }

    /// Ends that could not be written are written again.
    pub(super) fn end_again(&mut self, out: &mut Outbox) {
        for (key, record) in std::mem::take(&mut self.unended) {
            // A later life of the name is written over it.
            if self.registry.find(key).is_some() {
                self.store(Record::Process(record.clone()), Waiting::Ended(Box::new(record)), out);
            }
        }
    }

    fn is_elected(&self, service: &Name, elected: Elected) -> bool {
        self.groups.get(service).is_some_and(|g| g.epoch() == elected.epoch && g.role(elected.key) == Some(Role::ToBePrimary))
    }

    /// It is durable who leads: it is told.
    // spec: OUT-3
    pub(super) fn promote(&mut self, service: &Name, elected: Elected, out: &mut Outbox) {
        let Elected { key, epoch } = elected;
        let current = self.is_elected(service, elected);
        let Some(exporter) = self.exporters.get(&key).filter(|_| current) else { return };
        for control in self.controls_for(exporter) {
            out.push(Output::Control { key, control });
        }
        out.push(Output::Epoch { key, epoch });
        self.tell(out, key, ToProcess::Promote { epoch });
    }

    /// Without a durable term nobody may lead. The next rounds try again, in the next one.
    pub(super) fn on_term_not_stored(&mut self, service: &Name, elected: Elected) {
        if let Some(group) = self.groups.get_mut(service) {
            group.on_not_elected(elected);
        }
    }

    /// Groups that nobody leads though somebody could.
    pub(super) fn elect_missing(&mut self, out: &mut Outbox) {
        let services: Vec<Name> = self.groups.keys().cloned().collect();
        for service in services {
            let elected = self.groups.get_mut(&service).and_then(Group::succeed);
            self.elect(&service, elected, out);
        }
    }

    // spec: GRP-8
    pub(super) fn on_promoted(&mut self, now: Moment, key: Key, epoch: Epoch, out: &mut Outbox) {
        let Some(exporter) = self.exporters.get(&key).filter(|e| e.grouped) else { return };
        let (service, source, name) = (exporter.service.clone(), exporter.source(), exporter.name.clone());
        if !self.groups.get_mut(&service).is_some_and(|g| g.on_promoted(key, epoch)) {
            return;
        }
        if let Some(record) = self.record_of(key, false) {
            self.store(Record::Process(record), Waiting::Nobody, out);
        }
        self.notify(&name, Some(key), NoticeEvent::Role { role: Role::Primary, epoch });
        self.bind(now, &source, key, out);
    }

    /// From now on this exporter stands behind the source: every instrument is bound to it under its old id, and the importers' subscriptions go on.
    // spec: OUT-3, OUT-4, SYN-2
    fn bind(&mut self, now: Moment, source: &Name, key: Key, out: &mut Outbox) {
        let Some(exporter) = self.exporters.get_mut(&key) else { return };
        let process = exporter.name.clone();
        let before: BTreeSet<InstrumentId> = self.table.of_source(source).collect();
        let mut tally = Tally::default();
        let mut bound = BTreeSet::new();
        exporter.slots.clear();
        for (slot, d) in &exporter.declared {
            let (id, _) = self.table.bind(source, d.name.clone(), d.dims.clone(), d.descriptor.clone(), key, *slot);
            exporter.slots.retain(|_, held| *held != id);
            exporter.slots.insert(*slot, id);
            if bound.insert(id) {
                if before.contains(&id) { tally.remapped += 1 } else { tally.added += 1 }
            }
        }
        let carried = {
            let exporter = &self.exporters[&key];
            self.controls_for(exporter).len() as u64
        };
        tally.carried = carried;
        for id in before.difference(&bound) {
            tally.removed += 1;
            self.remove_instrument(*id, out);
        }
        let state = self.sources.entry(source.clone()).or_default();
        state.exporter = Some(key);
        // A source that was forgotten meanwhile comes back to the outage that it left open.
        let outage = state.outage.take().or_else(|| self.outages.open_of(source));
        let ended = outage.and_then(|id| self.outages.end(now, id, &process, key, tally));
        if let Some(outage) = &ended {
            self.store(Record::Outage(outage.clone()), Waiting::Nobody, out);
        }
        self.confirm_changes(source, out);
        self.follow_source(now, source, key, ended, out);
    }

    /// Something of its table has changed.
    // spec: EXP-8
    pub(super) fn on_table(&mut self, now: Moment, key: Key, changes: Vec<TableChange>, out: &mut Outbox) {
        let Some(exporter) = self.exporters.get(&key) else { return };
        let source = exporter.source();
        let stands = self.sources.get(&source).is_some_and(|s| s.exporter == Some(key));
        let mut added = Vec::new();
        for change in changes {
            let Some(exporter) = self.exporters.get_mut(&key) else { return };
            match change {
                TableChange::Declared(declared) => {
                    let Some(slot) = exporter.declare(*declared) else { continue };
                    let d = exporter.declared[&slot].clone();
                    if stands {
                        let before = exporter.slots.remove(&slot);
                        let (id, _) = self.table.bind(&source, d.name.clone(), d.dims.clone(), d.descriptor.clone(), key, slot);
                        // It may have moved here from another slot, whose withdrawal is yet to come.
                        let moved: Vec<Slot> = exporter.slots.iter().filter(|(_, held)| **held == id).map(|(slot, _)| *slot).collect();
                        for old in moved {
                            exporter.slots.remove(&old);
                            out.push(Output::Watch { key, slot: old, on: false });
                        }
                        exporter.slots.insert(slot, id);
                        added.push(id);
                        if let Some(before) = before.filter(|b| *b != id) {
                            added.retain(|a| *a != before);
                            self.remove_instrument(before, out);
                        }
                    }
                    self.restore_control(key, &source, slot, &d, out);
                }
                TableChange::Withdrawn(slot) => {
                    exporter.declared.remove(&slot);
                    if let Some(id) = exporter.slots.remove(&slot) {
                        added.retain(|a| *a != id);
                        self.remove_instrument(id, out);
                    }
                }
            }
        }
        self.follow_new(now, &source, key, &added, out);
    }

    /// A control that comes later than its process runs with what was accepted for it, as those do that were there from the start.
    // spec: CTL-7
    fn restore_control(&mut self, key: Key, source: &Name, slot: Slot, declared: &Declared, out: &mut Outbox) {
        let held = self.ledger.board(source, [(slot, declared.record(), declared.descriptor.as_ref())].into_iter());
        for control in held {
            out.push(Output::Control { key, control });
            self.tell(out, key, ToProcess::Apply);
        }
    }

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
        if let Some(exporter) = self.exporters.get_mut(&key) {
            exporter.conn = None;
            exporter.ready = false;
            let service = exporter.service.clone();
            if let Some(group) = self.groups.get_mut(&service) {
                group.on_unreachable(key);
            }
        }
        let changed = self.registry.on_link_lost(now.time, key);
        self.announce_process(&name, key, changed);
    }

    /// Its interest and its armed test points go with it.
    fn drop_session(&mut self, conn: Conn, out: &mut Outbox) {
        let Some(session) = self.sessions.remove(&conn) else { return };
        self.stats.coalesced += session.queue.coalesced();
        for resource in self.interest.forget(conn) {
            if let Resource::Instrument(id) = resource {
                self.unwatch(id, out);
            }
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
    fn end_process(&mut self, now: Moment, key: Key, cause: Cause, out: &mut Outbox) {
        if let Some(mut record) = self.record_of(key, true) {
            let former = Former { role: record.role, service: record.service.clone(), program: record.program.clone() };
            self.registry.remember(key, former);
            if cause == Cause::Unregistered {
                // So that an agent that starts later does not look for a successor.
                record.role = Role::Importer;
            }
            self.store(Record::Process(record.clone()), Waiting::Ended(Box::new(record)), out);
        }
        let conns: Vec<Conn> = self.sessions.iter().filter(|(_, s)| s.key == key).map(|(c, _)| *c).collect();
        for conn in conns {
            self.drop_session(conn, out);
            if cause != Cause::Unregistered {
                out.push(Output::Close { conn });
            }
        }
        for session in self.sessions.values_mut() {
            session.armed.retain(|(of, _)| *of != key);
        }
        let Some(exporter) = self.exporters.get(&key) else {
            return out.push(Output::Release { key });
        };
        let (service, source, name, grouped) = (exporter.service.clone(), exporter.source(), exporter.name.clone(), exporter.grouped);
        let stands = self.sources.get(&source).is_some_and(|s| s.exporter == Some(key));
        if stands {
            self.keep_corpse(now, key, &name);
        }
        self.exporters.remove(&key);
        out.push(Output::Release { key });
        let left = cause == Cause::Unregistered;
        if left {
            self.launcher.on_left(&service);
        } else {
            self.launcher.on_died(now.time, &service);
        }
        let leads = !grouped || self.groups.get(&service).is_some_and(|g| g.leader() == Some(key));
        let elected = if grouped { self.groups.get_mut(&service).and_then(|g| g.on_lost(key)) } else { None };
        if stands || (leads && self.sources.get(&source).is_some_and(|s| s.outage.is_none())) {
            let successor = self.groups.get(&service).is_some_and(|g| !g.is_empty());
            if left && !successor && self.ledger.forget_volatile(&source) {
                self.store(Record::Forget { source: source.clone() }, Waiting::Forget(source.clone()), out);
            }
            self.begin_outage(now, &source, &name, key, cause, out);
        }
        self.elect(&service, elected, out);
    }

    /// Unless there are new ones already.
    pub(super) fn forget_again(&mut self, out: &mut Outbox) {
        for source in std::mem::take(&mut self.unforgotten) {
            if !self.ledger.has_volatile(&source) {
                self.store(Record::Forget { source: source.clone() }, Waiting::Forget(source), out);
            }
        }
    }

    /// The source is without a live exporter: its instruments are flagged, and each importer of any of them is told once.
    // spec: OUT-2
    fn begin_outage(&mut self, now: Moment, source: &Name, process: &Name, key: Key, cause: Cause, out: &mut Outbox) {
        let outage = self.outages.begin(now, &self.cpu, source, process, key, cause);
        self.store(Record::Outage(outage.clone()), Waiting::Nobody, out);
        self.stats.outages += 1;
        let state = self.sources.entry(source.clone()).or_default();
        state.exporter = None;
        state.outage = Some(outage.id);
        let ids: Vec<InstrumentId> = self.table.of_source(source).collect();
        let mut told = BTreeSet::new();
        for id in ids {
            if let Some(instrument) = self.table.find_mut(id) {
                instrument.bound = None;
                instrument.quality = Quality::Outage { id: outage.id, since: now.stamp };
            }
            told.extend(self.interest.waiters(&Resource::Instrument(id)));
        }
        self.drop_questions_to(now, key, out);
        self.outages.told(outage.id, told.len() as u64);
        for conn in told {
            self.tell_outage(conn, &outage);
        }
    }

    /// An outage has begun: an importer is told once of each.
    // spec: OUT-2
    pub(super) fn tell_outage(&mut self, conn: Conn, outage: &Outage) {
        if self.sessions.get_mut(&conn).is_some_and(|s| s.outages.insert(outage.id)) {
            self.queue(conn, ToProcess::Outage(outage.clone()));
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
    fn keep_corpse(&mut self, now: Moment, key: Key, process: &Name) {
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
    fn record_of(&self, key: Key, ended: bool) -> Option<ProcessRecord> {
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
            ended,
            program: self.sessions.values().find(|s| s.key == key).map(|s| s.program.clone()).unwrap_or_default(),
        })
    }

    pub(super) fn role_of(&self, key: Key) -> Role {
        match self.exporters.get(&key) {
            None => Role::Importer,
            Some(e) if !e.grouped => Role::Solo,
            Some(e) => self.groups.get(&e.service).and_then(|g| g.role(key)).unwrap_or(Role::Standby),
        }
    }

    /// The instrument is no more: followers are told, nobody watches it.
    pub(super) fn remove_instrument(&mut self, id: InstrumentId, out: &mut Outbox) {
        let followers: Vec<Conn> = self.interest.waiters(&Resource::Instrument(id)).collect();
        for conn in followers {
            if let Some(session) = self.sessions.get_mut(&conn) {
                session.follows.remove(&id);
                session.queue.forget(id);
            }
            self.interest.withdraw_all(&Resource::Instrument(id), conn);
            self.queue(conn, ToProcess::Withdrawn { instruments: vec![id] });
        }
        self.unwatch(id, out);
        self.table.remove(id);
    }

    /// A source that has been without an exporter for long is forgotten.
    pub(super) fn expire_sources(&mut self, now: Moment, out: &mut Outbox) {
        let expired: Vec<Name> = self
            .sources
            .iter()
            .filter(|(_, s)| s.exporter.is_none())
            .filter(|(_, s)| {
                s.outage.and_then(|id| self.outages.find(id)).is_none_or(|(_, began)| now.time.since(began) >= limits::CORPSE_RETENTION)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for source in expired {
            let ids: Vec<InstrumentId> = self.table.of_source(&source).collect();
            let coming = self.exporters.values().any(|e| e.source() == source);
            if !coming {
                for id in ids {
                    self.remove_instrument(id, out);
                }
                self.sources.remove(&source);
            }
        }
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
                        self.registry.on_suspicion(now.time, key, true);
                    }
                    if limit.is_some_and(|limit| now.time.since(since) >= limit) && self.hung.insert(key) {
                        out.push(Output::Kill { key });
                    }
                }
            }
        }
    }

    pub(super) fn launch_due(&mut self, now: Moment, out: &mut Outbox) {
        for service in self.launcher.due(now.time) {
            out.push(Output::Launch { service });
        }
    }

    /// Tells whoever is interested what has become of a process.
    // spec: PSM-4
    pub(super) fn announce_process(&mut self, name: &Name, key: Key, changed: Option<Changed>) {
        // Before its birth there is nobody to tell of.
        if !self.registry.find(key).is_some_and(Process::was_born) {
            return;
        }
        let event = match changed {
            None => return,
            Some(Changed::Born) => NoticeEvent::Born,
            Some(Changed::Died(cause)) => NoticeEvent::Died { cause },
            Some(Changed::Unreachable) => NoticeEvent::Unreachable,
            Some(Changed::Reachable) => NoticeEvent::Reachable,
            Some(Changed::Unregistered) => NoticeEvent::Unregistered,
        };
        self.notify(name, Some(key), event);
    }

    fn notify(&mut self, name: &Name, key: Option<Key>, event: NoticeEvent) {
        let pid = key.and_then(|k| self.registry.find(k)).map(|p| p.credentials.pid);
        let mut interested: BTreeSet<Conn> = self.interest.waiters(&Resource::Process(name.clone())).collect();
        if let Some(pid) = pid {
            interested.extend(self.interest.waiters(&Resource::Pid(pid)));
        }
        for conn in interested {
            self.stats.notices += 1;
            self.queue(conn, ToProcess::Notice(Notice { name: name.clone(), key, event: event.clone() }));
        }
    }

    /// What is known of a process, as a notice.
    // spec: PSM-3
    pub(super) fn notice_of(&self, name: &Name) -> Notice {
        let process = self.registry.by_name(name);
        let event = match process.map(|p| p.state) {
            None | Some(ProcessState::Starting) => NoticeEvent::NotAvailable,
            Some(ProcessState::Alive | ProcessState::Suspect) => NoticeEvent::Born,
            Some(ProcessState::Unreachable) if process.is_some_and(|p| !p.was_born()) => NoticeEvent::NotAvailable,
            Some(ProcessState::Unreachable) => NoticeEvent::Unreachable,
            Some(ProcessState::Dead) => NoticeEvent::Died { cause: process.and_then(|p| p.cause.clone()).unwrap_or(Cause::Unknown) },
            Some(ProcessState::Unregistered) => NoticeEvent::Unregistered,
        };
        let key = process.filter(|_| event != NoticeEvent::NotAvailable).map(|p| p.key);
        Notice { name: name.clone(), key, event }
    }

    /// Whether an instrument is at the place that somebody named: its CPU, its process, or its source.
    pub(super) fn is_at(&self, instrument: &Instrument, at: &Name) -> bool {
        *at == self.cpu || *at == instrument.source || self.registry.find(instrument.key).is_some_and(|p| p.name == *at)
    }

    /// Questions to an exporter that is gone get no answer.
    fn drop_questions_to(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        let orphaned: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, q)| match q {
                Question::Sync(Syncing { key: of, .. }) => *of == key,
                Question::ComputeForWatch(of, _) => *of == key,
                Question::Call(calling) => calling.key == key,
                Question::Arm(arming) => arming.key == key,
                Question::Validate(change) => self.changes.get(change).is_some_and(|c| c.key == key),
                Question::Sense(_) | Question::ComputeForSense(_) | Question::SampleForSense(_) | Question::Farewell(..) => false,
            })
            .map(|(number, _)| *number)
            .collect();
        for number in orphaned {
            match self.questions.remove(&number) {
                // It died before its first values were read: the outage that it ended is over all the same, before the next begins.
                Some(Question::Sync(Syncing { ended: Some(ended), .. })) => self.tell_outage_over(&ended),
                Some(Question::Call(calling)) => {
                    self.finish_call(calling, Err("its process died while it ran; whether it was done is not known".into()), out);
                }
                Some(Question::Arm(arming)) => self.finish_arming(arming, Err("its process died".into()), out),
                Some(Question::Validate(change)) => {
                    let name = self.changes.get(&change).map(|c| c.control.1.clone()).unwrap_or_default();
                    let refusal = Refusal::NoExporter { name, state: "its process died before it could be asked".into() };
                    self.refuse_change(now, change, &refusal, out);
                }
                _ => {}
            }
        }
    }
}
