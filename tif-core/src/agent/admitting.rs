//! A process registers or resumes: its key is durable before it gets it.
// spec: PSM-1, PSM-7, PSM-8

use std::collections::BTreeMap;

use super::ending::Ended;
use super::exporting::Exporter;
use super::io::{Conn, ControlValue, Moment, Output, ProcessRecord, Record, SlotDeclared};
use super::leading::PROMOTE_TIMEOUT;
use super::session::Session;
use super::{Agent, Outbox, Question, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::group::Elected;
use crate::machine::heartbeat::Pulse;
use crate::machine::process::{Changed, Former, Process, Registered};
use crate::machine::versions::agree;
use crate::model::{Cause, Epoch, Key, Name, ProcessState, Refusal, Role};
use crate::wire::{Credentials, Hello, Identity, Registration, SegmentFacts, ToProcess, Welcome};

/// A process on its way in: registered, and not yet durable.
#[derive(Debug)]
pub(super) struct Admitting {
    pub conn: Conn,
    registered: Registered,
    credentials: Credentials,
    hello: Hello,
    declared: Vec<SlotDeclared>,
    role: Role,
}

impl Admitting {
    pub(super) fn service(&self) -> Option<(&Name, bool)> {
        match &self.hello.registration {
            Registration::Importer => None,
            Registration::Exporter { service, grouped, .. } => Some((service, *grouped)),
        }
    }

    pub(super) fn record(&self, now: Moment, term: Epoch) -> ProcessRecord {
        ProcessRecord {
            name: self.registered.name.clone(),
            key: self.registered.key,
            nonce: self.hello.nonce,
            credentials: self.credentials,
            service: self.service().map(|(service, _)| service.clone()),
            grouped: self.service().is_some_and(|(_, grouped)| grouped),
            role: self.role,
            term,
            number: None,
            ended: false,
            program: self.hello.program.clone(),
            cause: None,
            since: now.stamp,
        }
    }
}

impl Agent {
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
        let credentials = if hello.heartbeat.is_some() { credentials.elsewhere() } else { credentials };
        let refusal = if let Err(incompatible) = agree(&self.offer, &hello.offer) {
            // spec: FAB-5
            Some(incompatible.into())
        } else if self.sessions.contains_key(&conn) || self.admitting.values().any(|a| a.conn == conn) {
            Some(Refusal::Malformed { reason: "this connection is registered already".into() })
        } else if matches!(hello.registration, Registration::Exporter { .. }) && segment.is_none() {
            Some(Refusal::Malformed { reason: "an exporter must send its segment, doorbell and pidfd with Hello".into() })
        } else if hello.heartbeat.is_some() && hello.registration != Registration::Importer {
            let reason = "a process on another kernel cannot share its memory with this agent: export to the agent of its own CPU".into();
            Some(Refusal::Malformed { reason })
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
        self.retire_life_that_is_over(now, &hello, credentials, out);
        let registered = match hello.resume {
            // Others were told that it is dead: it begins another life.
            // spec: PSM-10
            Some(resume) if resume.key.inc.epoch() <= self.over && !defect(Defect::ResumePresumedDead) => {
                Err(Refusal::StaleKey { got: resume.key, current: None })
            }
            Some(resume) => {
                self.refuse_given_up(resume.key).and_then(|()| self.registry.resume(now.time, resume.key, hello.nonce, credentials))
            }
            // One that never heard the answer to its registration registers again: that is resuming, too.
            None => match self.registry.register(now.time, &hello.identity, hello.nonce, credentials) {
                Ok(registered) if registered.resumed => self
                    .refuse_given_up(registered.key)
                    .and_then(|()| self.registry.resume(now.time, registered.key, hello.nonce, credentials)),
                Ok(registered) => Ok((registered, None)),
                Err(Refusal::NameTaken { name, holder }) => self.refuse_given_up(holder).and(Err(Refusal::NameTaken { name, holder })),
                Err(refusal) => Err(refusal),
            },
        };
        let registered = registered.and_then(|(registered, changed)| {
            if registered.resumed && !self.admitting.contains_key(&registered.key) && !self.was(registered.key, &hello.registration) {
                return Err(Refusal::Malformed { reason: "a process that resumes must register as what it was".into() });
            }
            self.announce_process(&registered.name, registered.key, changed);
            Ok(registered)
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
        let group = self.groups.entry(service.clone()).or_insert_with(|| self.peers.electing.group(Epoch(0)));
        let elected = if group.role(key).is_some() { None } else { group.on_join(key) };
        admitting.role = group.role(key).unwrap_or(Role::Standby);
        match elected {
            // The term is durable before anybody acts in it.
            // spec: GRP-8
            Some(elected) => {
                group.on_promoted(key, elected.epoch);
                admitting.role = Role::Primary;
                let record = Record::Term { service: service.clone(), epoch: elected.epoch, leader: None };
                self.admitting.insert(key, admitting);
                self.store(record, Waiting::Term(service, elected, Some(key)), out);
            }
            None => self.store_or_admit(now, admitting, out),
        }
    }

    /// An OS process that registers a name anew which it held itself over a link that is gone has begun another life: it has executed itself. Nothing
    /// else would ever end the old one, for its pid lives on.
    // spec: PSM-1, PSM-9
    pub(super) fn retire_former_self(&mut self, now: Moment, hello: &Hello, credentials: Credentials, out: &mut Outbox) {
        let Identity::Exactly(name) = &hello.identity else { return };
        // Of processes on other kernels nobody can tell whether they are one.
        let is_former = |p: &&Process| {
            credentials.is_here() && p.state == ProcessState::Unreachable && p.credentials == credentials && p.nonce != hello.nonce
        };
        let Some(key) = self.registry.by_name(name).filter(is_former).map(|p| p.key) else { return };
        let changed = self.registry.on_unregister(now.time, key);
        self.announce_process(name, key, changed);
        let cause = if key.inc.epoch() <= self.over { Cause::LinkCut } else { Cause::Unregistered };
        self.end_process(now, key, cause, out);
    }

    /// A process speaks up whose life others have given up. One on another kernel is told so, and begins another, for which its name must be free; of this
    /// kernel it is known again by what the operating system says of it. One that never heard that it was registered begins another at once: nobody else
    /// would ever end the old one, which it does not know of.
    // spec: PSM-6, PSM-10
    fn retire_life_that_is_over(&mut self, now: Moment, hello: &Hello, credentials: Credentials, out: &mut Outbox) {
        if self.over == 0 {
            return;
        }
        let is_it = |p: &&Process| {
            let is_unheard = hello.resume.is_none() || !p.credentials.is_here();
            is_unheard && p.credentials == credentials && p.nonce == hello.nonce && p.state.is_live() && p.key.inc.epoch() <= self.over
        };
        let Some((name, key)) = self.registry.iter().find(is_it).map(|p| (p.name.clone(), p.key)) else { return };
        let changed = self.registry.on_unregister(now.time, key);
        self.announce_process(&name, key, changed);
        self.end_process(now, key, Cause::LinkCut, out);
    }

    /// Whether a process was admitted as what it says that it is.
    fn was(&self, key: Key, registration: &Registration) -> bool {
        match (registration, self.exporters.get(&key)) {
            (Registration::Exporter { service, grouped, .. }, Some(e)) => e.service == *service && e.grouped == *grouped,
            (Registration::Importer, None) => self.registry.find(key).is_some_and(|p| p.former.service.is_none()),
            _ => false,
        }
    }

    /// A resumed process is durable already.
    pub(super) fn store_or_admit(&mut self, now: Moment, admitting: Admitting, out: &mut Outbox) {
        if admitting.registered.resumed {
            return self.admit(now, admitting, out);
        }
        let key = admitting.registered.key;
        self.admitting.insert(key, admitting);
        self.store_admission(now, key, out);
    }

    // spec: PSM-1
    pub(super) fn store_admission(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        if let Some(admitting) = self.admitting.get(&key) {
            let term = admitting.service().map_or(Epoch(0), |(service, grouped)| self.term_of(service, grouped));
            self.store(Record::Process(admitting.record(now, term)), Waiting::Admission(key), out);
        }
    }

    /// The store cannot be written. Who only reads is let in all the same: its key is no other's, now or later, because the agent's epoch and the process's
    /// number are durable. All that is lost if the agent ends before it is written is that it must register anew.
    // spec: PSM-1, SEC-3
    pub(super) fn on_admission_not_stored(&mut self, now: Moment, key: Key, refusal: Refusal, out: &mut Outbox) {
        let imports = self.admitting.get(&key).is_some_and(|a| a.service().is_none());
        match self.admitting.remove(&key) {
            Some(admitting) if imports && self.registry.is_covered(key) => {
                self.unwritten.insert(key);
                self.admit(now, admitting, out);
            }
            Some(admitting) => {
                self.admitting.insert(key, admitting);
                self.refuse_admission(now, key, refusal, out);
            }
            None => {}
        }
    }

    /// What the store could not be told is told again, if it still holds.
    // spec: SEC-3, MON-7
    pub(super) fn write_again(&mut self, now: Moment, out: &mut Outbox) {
        for key in std::mem::take(&mut self.unwritten) {
            // The end of one that was given up is on its way.
            if self.registry.current(key.proc) == Some(key)
                && !self.given_up.contains(&key)
                && let Some(record) = self.record_of(now, key, false)
            {
                self.store(Record::Process(record), Waiting::Late(key), out);
            }
        }
        for id in std::mem::take(&mut self.untold) {
            self.store_outage(id, out);
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
    pub(super) fn abandon_admission(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        if let Some(admitting) = self.admitting.get(&key) {
            // It never was a member of anything. That is written before anybody is elected in its place.
            // spec: GRP-8
            let member_of = admitting.service().filter(|(_, grouped)| *grouped).map(|(service, _)| service.clone());
            let record = ProcessRecord { ended: true, service: None, grouped: false, ..admitting.record(now, Epoch(0)) };
            self.write_end(Ended { record, member_of }, out);
            self.take_admission_back(now, key, out);
        }
    }

    pub(super) fn take_admission_back(&mut self, now: Moment, key: Key, out: &mut Outbox) -> Option<Admitting> {
        let admitting = self.admitting.remove(&key)?;
        self.registry.take_back(key);
        if let Some((service, grouped)) = admitting.service() {
            self.launcher.on_not_admitted(now.time, service);
            let elected = if grouped { self.groups.get_mut(service).and_then(|g| g.on_lost(key)) } else { None };
            self.elect(now, &service.clone(), elected, out);
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
        self.on_hander_out_of_reach(now, key, out);
        let service = match &hello.registration {
            Registration::Importer => None,
            Registration::Exporter { service, .. } => Some(service.clone()),
        };
        self.registry.remember(key, Former { role, service, program: hello.program.clone() });
        let mut epoch = Epoch(0);
        // A process that comes again on a new connection has left the old one.
        let before: Vec<Conn> = self.sessions.iter().filter(|(_, s)| s.key == key).map(|(c, _)| *c).collect();
        for old in before {
            self.drop_session(old, out);
            out.push(Output::Close { conn: old });
        }
        let mut controls = Vec::new();
        let member_of = match &hello.registration {
            Registration::Exporter { service, grouped: true, .. } => Some(service.clone()),
            _ => None,
        };
        let exports = match hello.registration {
            Registration::Importer => {
                if let Some(Changed::Born) = self.registry.on_ready(now.time, key) {
                    self.announce_process(&name, key, Some(Changed::Born));
                }
                false
            }
            Registration::Exporter { service, grouped, weight } => {
                if let Some(group) = self.groups.get_mut(&service).filter(|_| grouped) {
                    group.weigh(key, weight);
                    role = group.role(key).unwrap_or(role);
                    epoch = group.epoch();
                }
                self.launcher.on_admitted(&service);
                // Instruments of an earlier link stay bound until it is ready again.
                let slots = self.exporters.remove(&key).map(|e| e.slots).unwrap_or_default();
                let mut exporter = Exporter {
                    name: name.clone(),
                    service: service.clone(),
                    grouped,
                    weight,
                    conn: Some(conn),
                    ready: false,
                    led_before: false,
                    declared: BTreeMap::new(),
                    slots,
                };
                for one in declared {
                    exporter.declare(one);
                }
                // But not what gave its place to something else meanwhile.
                let (declared, table) = (&exporter.declared, &self.table);
                exporter
                    .slots
                    .retain(|slot, id| declared.get(slot).is_some_and(|d| table.find(*id).is_some_and(|i| i.record == d.record())));
                controls = self.controls_for(&exporter);
                self.exporters.insert(key, exporter);
                self.touch_member(key);
                if role == Role::Primary && !resumed {
                    // Whoever was deposed or passed over, and has not heard of it, finds its term over.
                    // spec: GRP-8
                    for (member, _) in self.exporters.iter().filter(|(k, e)| **k != key && e.grouped && e.service == service) {
                        out.push(Output::Epoch { key: *member, epoch });
                    }
                    self.ask(now, Question::Begin(service, Elected { key, epoch }), PROMOTE_TIMEOUT);
                }
                true
            }
        };
        self.sessions.insert(conn, Session::new(now.time, key, name.clone(), credentials, hello.program, exports));
        self.take_up_outages(now, conn, &hello.outages);
        if let Some(period) = hello.heartbeat {
            self.listen_to(now, key, Pulse::every(period));
        }
        let elsewhere = hello.heartbeat.is_some();
        let protocol = hello.offer.max.min(self.offer.max);
        let welcome = Welcome { protocol, key, name, agent: self.key, cpu: self.cpu.clone(), role, epoch, resumed };
        out.push(Output::Admit { conn, key, elsewhere, epoch, controls, welcome: Box::new(ToProcess::Welcome(Box::new(welcome))) });
        if let Some(service) = member_of {
            self.number_member(now, &service, key, resumed, out);
        }
    }

    // spec: CTL-7
    pub(super) fn controls_for(&self, exporter: &Exporter) -> Vec<ControlValue> {
        let declared = exporter.declared.iter().map(|(slot, d)| (*slot, d.record(), d.descriptor.as_ref()));
        self.ledger.board(&exporter.source(), declared)
    }
}
