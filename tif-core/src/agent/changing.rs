//! Controls: a change, of one or of several in one step, is admitted, made durable, applied, answered.
//!
//! ```text
//! asked → (known id: recorded answer) → admitted by type, range, step, version → service's validator → durable → board → applied → answered
//! ```
//! Refused at any arrow before "durable", nothing has changed. Changes of one control go through one after the other.
// spec: CTL-1, CTL-3, CTL-5, CTL-6

use std::collections::{BTreeSet, VecDeque};

use super::exporting::Exporter;
use super::io::{ChangeRecord, Conn, ControlRecord, ControlValue, Moment, Output, Record};
use super::settling::check_id;
use super::table::Instrument;
use super::{Agent, Outbox, Question, Requester, Timer, Underway, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::book::Entry;
use crate::machine::confirm::{Guard, Keep, Terms};
use crate::machine::control::{ControlName, Known};
use crate::model::{
    Changed, Descriptor, InstrumentId, Key, Kind, Name, NodeId, Refusal, RequestId, SetResult, Setting, Slot, Time, Value, Version,
};
use crate::wire::{Admission, KeepAsked, ToProcess};

/// What was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub request_id: RequestId,
    pub settings: Vec<Setting>,
    pub admission: Admission,
    pub reason: Option<String>,
    pub keep: Option<KeepAsked>,
    /// Its guard is on another CPU, and that has said how it stands.
    pub guard_is_known: bool,
}

/// One control of a change.
#[derive(Debug)]
pub(super) struct Part {
    pub control: ControlName,
    instrument: InstrumentId,
    address: String,
    value: Value,
    memorized: bool,
    if_version: Option<Version>,
    /// The service runs with it.
    applied: bool,
}

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) underway: Underway,
    /// Its controls, in the order in which they were given; at least one, all of one source.
    pub parts: Vec<Part>,
    /// The exporter that was asked.
    pub key: Key,
    pub(super) admission: Admission,
    pub(super) reason: Option<String>,
    /// If it is to be confirmed.
    pub keep: Option<Terms>,
    /// As it was asked, for another CPU's agent.
    pub(super) asked_as: (Vec<Setting>, Option<KeepAsked>),
    pub(super) who: Name,
    pub(super) uid: u32,
    /// It was the first in line for each of its controls.
    pub(super) begun: bool,
    /// The questions to the service's validators that are open.
    validating: BTreeSet<u64>,
    /// Once it is written down, or about to be.
    pub(super) result: Option<SetResult>,
    /// When it was put to other CPUs, which must have it before it is accepted.
    pub proposed: Option<Time>,
    pub asked: Time,
}

impl Change {
    /// Whose controls these are.
    pub fn source(&self) -> &Name {
        &self.parts[0].control.0
    }

    /// As it is named where one name has to do.
    pub fn address(&self) -> &str {
        &self.parts[0].address
    }

    pub fn controls(&self) -> impl Iterator<Item = &ControlName> {
        self.parts.iter().map(|part| &part.control)
    }

    /// In whose lines it waits.
    fn lines(&self) -> impl Iterator<Item = &ControlName> {
        self.controls().take(if defect(Defect::QueueOnce) { 1 } else { usize::MAX })
    }
}

/// What was asked in one line: it tells a repetition from a reuse of its id. A change that stays for good is another than one that has to be confirmed.
// spec: CTL-3, CTL-6
fn line_of(asked: &Asked) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._+-".contains(c);
    let shown = |s: &Setting| {
        if s.value.chars().all(plain) { format!("{}={}", s.name, s.value) } else { format!("{}={:?}", s.name, s.value) }
    };
    let settings = asked.settings.iter().map(shown).collect::<Vec<_>>().join(", ");
    let guard = |guard: &Guard| format!(", while {} is from {} to {}", guard.indicator, guard.low, guard.high);
    let terms = asked.keep.as_ref().map(|keep| {
        let guard = keep.guard.as_ref().map(guard).unwrap_or_default();
        let connected = if keep.while_connected { ", while connected" } else { "" };
        format!(", to be confirmed within {:?}{guard}{connected}", keep.within)
    });
    format!("set {settings}{}", terms.unwrap_or_default())
}

impl Agent {
    pub(super) fn on_set(&mut self, now: Moment, conn: Conn, req: u64, asked: Asked, out: &mut Outbox) {
        let count = asked.settings.len();
        if count == 0 || count > limits::STEP_CONTROLS_MAX {
            let reason = format!("one step changes 1 to {} controls, got {count}", limits::STEP_CONTROLS_MAX);
            return self.refuse(out, conn, req, Refusal::Malformed { reason });
        }
        let request = line_of(&asked);
        if request.len() > limits::SET_LEN_MAX || asked.reason.as_ref().is_some_and(|r| r.len() > limits::REASON_LEN_MAX) {
            let reason =
                format!("a request of more than {} bytes, or a reason of more than {}", limits::SET_LEN_MAX, limits::REASON_LEN_MAX);
            return self.refuse(out, conn, req, Refusal::Malformed { reason });
        }
        if let Err(refusal) = check_id(&asked.request_id) {
            return self.refuse(out, conn, req, refusal);
        }
        // One space of ids: also a call has it for itself.
        if let Some(was) = self.used_by_call(&asked.request_id) {
            return self.refuse(out, conn, req, Refusal::RequestIdReused { id: asked.request_id.to_string(), was });
        }
        match self.ledger.known(&asked.request_id, &request) {
            _ if defect(Defect::ForgetDedupe) => {}
            Known::Done(done) => {
                let result = SetResult { repeated: true, ..done.result };
                return self.send(out, conn, ToProcess::SetDone { req, result });
            }
            Known::Reused { was } => {
                return self.refuse(out, conn, req, Refusal::RequestIdReused { id: asked.request_id.to_string(), was });
            }
            Known::New => {}
        }
        if let Some(change) = self.changes.values().find(|c| c.underway.request_id == asked.request_id) {
            // The same request is under way: one effect, two answers.
            if change.underway.request == request {
                self.join_change(conn, req, &asked.request_id, out);
            } else {
                let refusal = Refusal::RequestIdReused { id: asked.request_id.to_string(), was: change.underway.request.clone() };
                self.refuse(out, conn, req, refusal);
            }
            return;
        }
        let Some(asked) = self.ask_for_guard(now, conn, req, asked, out) else { return };
        match self.admit_change(now, conn, (conn, req), request, asked) {
            Err(refusal) => self.refuse(out, conn, req, refusal),
            Ok(change) => {
                if !self.begin_request(conn, req, out) {
                    return;
                }
                let number = self.number();
                // In all lines at once: whoever is before it in one is before it in all, and nobody waits for one that waits for him.
                for control in change.lines() {
                    self.busy.entry(control.clone()).or_default().push_back(number);
                }
                self.changes.insert(number, change);
                self.begin_change(now, number, out);
            }
        }
    }

    /// What a request id is used for by a change, done or under way.
    pub(super) fn used_by_change(&self, id: &RequestId) -> Option<String> {
        let underway = || self.changes.values().find(|c| c.underway.request_id == *id).map(|c| c.underway.request.as_str());
        self.ledger.used(id).or_else(underway).map(str::to_owned)
    }

    pub(super) fn join_change(&mut self, conn: Conn, req: u64, id: &RequestId, out: &mut Outbox) {
        if self.begin_request(conn, req, out)
            && let Some(change) = self.changes.values_mut().find(|c| c.underway.request_id == *id)
        {
            change.underway.requesters.push((conn, req));
        }
    }

    /// Everything that the agent can check by itself.
    // spec: CTL-1, CTL-6
    fn admit_change(&self, now: Moment, conn: Conn, requester: Requester, request: String, asked: Asked) -> Result<Change, Refusal> {
        let session = self.sessions.get(&conn).ok_or_else(|| Refusal::Denied { reason: "not registered".into() })?;
        let uid = session.credentials.uid;
        let asked_as = (asked.settings.clone(), asked.keep.clone());
        let keep = self.admit_keep(conn, &asked.request_id, asked.keep, asked.guard_is_known)?;
        let mut parts: Vec<Part> = Vec::with_capacity(asked.settings.len());
        let mut exporter = None;
        for setting in asked.settings {
            let (part, key) = self.admit_setting(uid, asked.admission, setting)?;
            if parts.iter().any(|p| p.control == part.control) {
                return Err(Refusal::Malformed { reason: format!("{} is given twice", part.address) });
            }
            if *exporter.get_or_insert(key) != key {
                let reason = format!("one step changes controls of one exporter: {} and {} are of two", parts[0].address, part.address);
                return Err(Refusal::Malformed { reason });
            }
            parts.push(part);
        }
        let key = exporter.ok_or_else(|| Refusal::Malformed { reason: "no control is given".into() })?;
        Ok(Change {
            underway: Underway { request_id: asked.request_id, request, requesters: vec![requester] },
            parts,
            key,
            admission: asked.admission,
            reason: asked.reason,
            keep,
            asked_as,
            who: session.name.clone(),
            uid,
            begun: false,
            validating: BTreeSet::new(),
            result: None,
            proposed: None,
            asked: now.time,
        })
    }

    /// The same for one control. With its exporter.
    // spec: CTL-1, CTL-2, CTL-5
    fn admit_setting(&self, uid: u32, admission: Admission, setting: Setting) -> Result<(Part, Key), Refusal> {
        let Setting { name, value, if_version } = setting;
        let id = self.table.resolve(&name, |i, at| self.is_at(i, at))?;
        let instrument = self.table.find(id).ok_or_else(|| self.table.not_found(&name, &name))?;
        if !instrument.descriptor.is_control() {
            let kind = instrument.descriptor.kind.word().to_owned();
            let wanted = match kind.as_str() {
                "procedure" => "call it with `tif-serve fire`".to_owned(),
                "test_point" => "arm it with `tif-serve arm`".to_owned(),
                _ => "it only shows a value; only controls can be set".to_owned(),
            };
            return Err(Refusal::WrongKind { name, kind, wanted });
        }
        let Some((key, _)) = instrument.here() else {
            return Err(Refusal::NoExporter { name, state: instrument.quality.to_string() });
        };
        if let Some(expected) = admission.if_key
            && expected != key
        {
            return Err(Refusal::StaleKey { got: expected, current: Some(key) });
        }
        self.may_write(uid, instrument)?;
        let value =
            instrument.descriptor.admit(&value).map_err(|e| Refusal::Unfit { name: instrument.address(), reason: e.to_string() })?;
        let control = (instrument.source.clone(), instrument.record.clone());
        self.ledger.check_version(&control, &instrument.descriptor, if_version)?;
        self.check_hold(&control, &instrument.address())?;
        let memorized = matches!(instrument.descriptor.kind, Kind::Control { memorized: true, .. });
        Ok((Part { control, instrument: id, address: instrument.address(), value, memorized, if_version, applied: false }, key))
    }

    /// Whether a user may change a control, and confirm a change of it.
    // spec: CTL-2
    pub(super) fn may_write(&self, uid: u32, instrument: &Instrument) -> Result<(), Refusal> {
        let writers = &instrument.descriptor.writers;
        if uid == 0 || writers.is_empty() || writers.iter().any(|w| w.parse() == Ok(uid)) {
            return Ok(());
        }
        let (name, writers) = (instrument.address(), writers.join(", "));
        Err(Refusal::Denied { reason: format!("`{name}` may be changed by user id {writers} and root; you are user id {uid}") })
    }

    /// Another change may wait to be confirmed, and hold a control until then.
    // spec: CTL-6
    fn check_hold(&self, control: &ControlName, address: &str) -> Result<(), Refusal> {
        match self.keeping.holder(control) {
            Some(by) if !defect(Defect::IgnoreHold) => Err(Refusal::Held { name: address.to_owned(), by: by.clone() }),
            _ => Ok(()),
        }
    }

    /// It begins, if it is first in line for each of its controls.
    fn begin_change(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get(&number).filter(|c| !c.begun) else { return };
        let is_first = |control| self.busy.get(control).and_then(VecDeque::front) == Some(&number);
        if !defect(Defect::SkipLine) && !change.lines().all(is_first) {
            return;
        }
        if let Some(change) = self.changes.get_mut(&number) {
            change.begun = true;
        }
        self.start_change(now, number, out);
    }

    /// Whoever was before it is done, or a handover is over: the service is asked, if it wants to be.
    fn start_change(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get(&number) else { return };
        if let Some(node) = self.new_home_of(change.parts[0].instrument) {
            return self.pass_on(now, number, node, out);
        }
        let key = match self.admit_again(change) {
            Ok(key) => key,
            Err(refusal) => return self.refuse_change(number, &refusal, out),
        };
        if self.wait_for_handover(number, out) {
            return;
        }
        let Some(change) = self.changes.get(&number) else { return };
        let mut questions = Vec::new();
        for part in &change.parts {
            let Some(instrument) = self.table.find(part.instrument) else { continue };
            if let (Kind::Control { validated: true, .. }, Some((_, slot))) = (&instrument.descriptor.kind, instrument.here()) {
                questions.push((slot, part.value.clone(), part.address.clone()));
            }
        }
        if let Some(change) = self.changes.get_mut(&number) {
            change.key = key;
        }
        if questions.is_empty() {
            return self.accept_change(now, number, out);
        }
        for (slot, value, name) in questions {
            let req = self.ask(now, Question::Validate(number), limits::VALIDATE_TIMEOUT);
            if let Some(change) = self.changes.get_mut(&number) {
                change.validating.insert(req);
            }
            if !self.tell(out, key, ToProcess::Validate { req, slot, value }) {
                let refusal = Refusal::NoExporter { name, state: "its process cannot be reached".into() };
                return self.refuse_change(number, &refusal, out);
            }
        }
    }

    /// Those before it in line may have changed what it expects; so may a takeover, and what the successor declares.
    fn admit_again(&self, change: &Change) -> Result<Key, Refusal> {
        let mut exporter = None;
        for part in &change.parts {
            let instrument = self.table.find(part.instrument).ok_or_else(|| self.table.not_found(&part.address, &part.address))?;
            self.ledger.check_version(&part.control, &instrument.descriptor, part.if_version)?;
            self.check_hold(&part.control, &part.address)?;
            let Some((key, _)) = instrument.here() else {
                return Err(Refusal::NoExporter { name: part.address.clone(), state: instrument.quality.to_string() });
            };
            if let Some(expected) = change.admission.if_key.filter(|expected| *expected != key) {
                return Err(Refusal::StaleKey { got: expected, current: Some(key) });
            }
            fits(&instrument.descriptor, &part.value).map_err(|reason| Refusal::Unfit { name: part.address.clone(), reason })?;
            exporter.get_or_insert(key);
        }
        Ok(exporter.unwrap_or(change.key))
    }

    pub(super) fn on_validated(&mut self, now: Moment, key: Key, req: u64, result: Result<(), String>, out: &mut Outbox) {
        let Some(Question::Validate(number)) = self.questions.get(&req) else { return };
        let number = *number;
        if self.changes.get(&number).is_none_or(|c| c.key != key) {
            return;
        }
        self.answered(req);
        if let Err(reason) = result
            && !defect(Defect::IgnoreValidator)
        {
            let refusal = Refusal::Invalid { name: String::new(), reason: reason.chars().take(limits::TEXT_LEN_MAX).collect() };
            return self.refuse_change(number, &refusal, out);
        }
        let Some(change) = self.changes.get_mut(&number) else { return };
        change.validating.remove(&req);
        if !change.validating.is_empty() {
            return;
        }
        // Whoever leads next is asked anew.
        let asked = change.parts[0].instrument;
        if self.wait_for_handover(number, out) {
            return;
        }
        if self.table.find(asked).and_then(|i| i.here()).is_some_and(|(leads, _)| leads != key) {
            return self.start_change(now, number, out);
        }
        // While the service thought about it this CPU may have learnt what was accepted before it led: there may be another version, and one that is to be
        // confirmed still.
        // spec: CTL-5, CTL-6
        match self.changes.get(&number).map(|change| self.admit_again(change)) {
            Some(Err(refusal)) => self.refuse_change(number, &refusal, out),
            _ => self.accept_change(now, number, out),
        }
    }

    /// Nothing has changed, and the same id may be used again.
    // spec: CTL-1
    pub(super) fn on_not_validated(&mut self, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get(&number) else { return };
        let reason = format!("its validator did not answer within {:?}; nothing was changed", limits::VALIDATE_TIMEOUT);
        let refusal = Refusal::TimedOut { name: change.address().to_owned(), reason, request_id: Some(change.underway.request_id.clone()) };
        self.refuse_change(number, &refusal, out);
    }

    /// Everybody agrees: it is written down.
    fn accept_change(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get_mut(&number) else { return };
        // spec: CTL-9
        let dry_run = change.admission.dry_run && !defect(Defect::DoDryRun);
        let mut changed = Vec::with_capacity(change.parts.len());
        for part in &mut change.parts {
            let Some(instrument) = self.table.find(part.instrument) else {
                // It was withdrawn while its service thought about it.
                let refusal = self.table.not_found(&part.address, &part.address);
                return self.refuse_change(number, &refusal, out);
            };
            let (version, old) = self.ledger.current(&part.control, &instrument.descriptor);
            part.memorized = matches!(instrument.descriptor.kind, Kind::Control { memorized: true, .. });
            changed.push(Changed {
                name: part.address.clone(),
                old,
                new: part.value.clone(),
                choices: instrument.descriptor.choices.clone(),
                version: if dry_run { version } else { Version(version.0 + 1) },
            });
        }
        let request_id = change.underway.request_id.clone();
        change.result = Some(SetResult { request_id, changed, replicated: false, applied: false, dry_run, repeated: false });
        if dry_run {
            let lines: Vec<ControlName> = change.controls().cloned().collect();
            self.finish_change(number, false, out);
            return self.next_in_lines(&lines, number);
        }
        let grouped = self.exporters.get(&change.key).is_some_and(|e| e.grouped);
        let source = change.source().clone();
        let Some(entry) = self.entry_of(now, number) else { return };
        if grouped && self.is_shared(&source) {
            return self.propose_change(now, number, entry, out);
        }
        if defect(Defect::AcceptBeforeDurable) {
            self.store(Record::Change(entry), Waiting::Nobody, out);
            return self.on_change_stored(now, number, out);
        }
        self.store(Record::Change(entry), Waiting::Change(number), out);
    }

    /// What is written down of a change that everybody agrees to.
    fn entry_of(&self, now: Moment, number: u64) -> Option<Entry> {
        let change = self.changes.get(&number)?;
        let result = change.result.clone()?;
        let control = |(part, changed): (&Part, &Changed)| ControlRecord {
            source: part.control.0.clone(),
            name: part.control.1.clone(),
            version: changed.version,
            value: part.value.clone(),
            memorized: part.memorized,
        };
        Some(Entry {
            controls: change.parts.iter().zip(&result.changed).map(control).collect(),
            change: ChangeRecord {
                request_id: change.underway.request_id.clone(),
                request: change.underway.request.clone(),
                result,
                who: change.who.clone(),
                uid: change.uid,
                reason: change.reason.clone(),
                at: now.stamp,
                keep: change.keep.clone().map_or(Keep::ForGood, Keep::Until),
            },
        })
    }

    /// It is durable: accepted. The service gets it.
    pub(super) fn on_change_stored(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(entry) = self.entry_of(now, number) else { return };
        let Some(change) = self.changes.get(&number) else { return };
        let lines: Vec<ControlName> = change.controls().cloned().collect();
        self.take_effect(now, entry, out);
        self.timers.set(now.time + limits::APPLY_TIMEOUT, Timer::Applied(number));
        self.next_in_lines(&lines, number);
    }

    /// A change is accepted: all of it stands on the board before its service is told.
    // spec: CTL-6
    pub(super) fn take_effect(&mut self, now: Moment, entry: Entry, out: &mut Outbox) {
        let mut told = BTreeSet::new();
        for record in entry.controls.iter().take(if defect(Defect::HalveStep) { 1 } else { usize::MAX }) {
            for (key, slot) in self.boards_of(record) {
                let control = ControlValue { slot, version: record.version, value: record.value.clone() };
                out.push(Output::Control { key, control });
                told.insert(key);
            }
        }
        for key in told {
            self.tell(out, key, ToProcess::Apply);
        }
        self.ledger.apply(entry.clone());
        self.keep(now, &entry, out);
    }

    /// Where a control has its place: on the board of who stands behind it, and of who is about to and has read his board already, perhaps.
    // spec: CTL-7
    fn boards_of(&self, control: &ControlRecord) -> Vec<(Key, Slot)> {
        // By its name: it may have been withdrawn and declared again meanwhile.
        let id = self.table.id_of(&control.name, &control.source);
        let here = id.and_then(|id| self.table.find(id)).and_then(Instrument::here);
        let leads = |key: Key, e: &Exporter| match e.grouped {
            true => e.service == control.source && self.groups.get(&e.service).is_some_and(|g| g.leader() == Some(key)),
            false => e.name == control.source,
        };
        let others = self.exporters.iter().filter(|(key, e)| here.is_none_or(|(at, _)| at != **key) && leads(**key, e));
        let slot = |e: &Exporter| e.declared.iter().find(|(_, d)| d.record() == control.name).map(|(slot, _)| *slot);
        here.into_iter().chain(others.filter_map(|(key, e)| Some((*key, slot(e)?)))).collect()
    }

    /// It is accepted: durable here, and where it must be on other CPUs.
    fn is_done(&self, change: &Change) -> bool {
        let Some(result) = &change.result else { return false };
        let has = |(part, changed): (&Part, &Changed)| self.ledger.has(&part.control, changed.version);
        change.parts.iter().zip(&result.changed).all(has) && self.ledger.used(&result.request_id).is_some()
    }

    /// The service runs with it.
    pub(super) fn on_applied(&mut self, _now: Moment, key: Key, slot: Slot, version: Version, out: &mut Outbox) {
        let id = self.exporters.get(&key).and_then(|e| e.slots.get(&slot)).copied();
        let Some(instrument) = id.and_then(|id| self.table.find(id)) else { return };
        let control = (instrument.source.clone(), instrument.record.clone());
        // What is not durable yet cannot be in effect, whatever it says.
        let of_control = |c: &Change| c.controls().any(|of| *of == control) && self.is_done(c);
        let done: Vec<u64> = self.changes.iter().filter(|(_, c)| of_control(c)).map(|(number, _)| *number).collect();
        for number in done {
            let Some(change) = self.changes.get_mut(&number) else { continue };
            let Some(result) = &change.result else { continue };
            for (part, changed) in change.parts.iter_mut().zip(&result.changed) {
                part.applied |= part.control == control && changed.version <= version;
            }
            if change.parts.iter().all(|part| part.applied) {
                self.finish_change(number, true, out);
            }
        }
    }

    /// A new exporter has taken its board's controls before it got ready: what was accepted before is in effect.
    // spec: OUT-4
    pub(super) fn confirm_changes(&mut self, source: &Name, out: &mut Outbox) {
        let stored: Vec<u64> =
            self.changes.iter().filter(|(_, c)| c.source() == source && self.is_done(c)).map(|(number, _)| *number).collect();
        for number in stored {
            self.finish_change(number, true, out);
        }
    }

    /// It is answered.
    pub(super) fn finish_change(&mut self, number: u64, applied: bool, out: &mut Outbox) {
        self.finish_change_as(number, applied, false, out);
    }

    pub(super) fn finish_change_as(&mut self, number: u64, applied: bool, again: bool, out: &mut Outbox) {
        self.timers.cancel(Timer::Applied(number));
        let Some(change) = self.changes.remove(&number) else { return };
        let Some(mut result) = change.result else { return };
        result.applied = applied;
        if applied {
            self.ledger.mark_applied(&result.request_id);
        }
        for (i, (conn, req)) in change.underway.requesters.into_iter().enumerate() {
            self.end_request(conn);
            let result = SetResult { repeated: again || i > 0, ..result.clone() };
            self.send(out, conn, ToProcess::SetDone { req, result });
        }
    }

    /// It has waited until its service was handed over to another CPU: whoever asked for it is answered from there.
    // spec: OUT-5, CTL-1
    fn pass_on(&mut self, now: Moment, number: u64, node: NodeId, out: &mut Outbox) {
        let Some(change) = self.changes.remove(&number) else { return };
        let lines: Vec<ControlName> = change.controls().cloned().collect();
        self.pass_change_on(now, node, change, out);
        self.next_in_lines(&lines, number);
    }

    /// It is refused: nothing has changed.
    pub(super) fn refuse_change(&mut self, number: u64, refusal: &Refusal, out: &mut Outbox) {
        let Some(change) = self.changes.remove(&number) else { return };
        for question in &change.validating {
            self.answered(*question);
        }
        let named = |name: &String| if name.is_empty() { change.address().to_owned() } else { name.clone() };
        let refusal = match refusal {
            Refusal::Invalid { name, reason } => Refusal::Invalid { name: named(name), reason: reason.clone() },
            Refusal::Busy { name, reason } => Refusal::Busy { name: named(name), reason: reason.clone() },
            other => other.clone(),
        };
        for (conn, req) in &change.underway.requesters {
            self.end_request(*conn);
            self.refuse(out, *conn, *req, refusal.clone());
        }
        let lines: Vec<ControlName> = change.controls().cloned().collect();
        self.next_in_lines(&lines, number);
    }

    /// It is done with its controls, or nearly: the next ones' turn comes at the end of the step, so that a long line of refusals is no deep recursion.
    // spec: SEC-2
    pub(super) fn next_in_lines(&mut self, controls: &[ControlName], number: u64) {
        for control in controls {
            let Some(line) = self.busy.get_mut(control) else { continue };
            line.retain(|n| *n != number);
            match line.front() {
                Some(next) => self.next_changes.push_back(*next),
                None => drop(self.busy.remove(control)),
            }
        }
    }

    pub(super) fn start_next_changes(&mut self, now: Moment, out: &mut Outbox) {
        while let Some(number) = self.next_changes.pop_front() {
            self.begin_change(now, number, out);
        }
    }
}

/// Whether a value is still one that a descriptor allows.
fn fits(descriptor: &Descriptor, value: &Value) -> Result<(), String> {
    if value.value_type() != descriptor.value_type {
        return Err(format!("its type is {} now", descriptor.value_type));
    }
    match value {
        Value::Choice(index) if *index as usize >= descriptor.choices.len() => Err("this choice is no longer there".into()),
        _ => descriptor.check(value, &value.show(&descriptor.choices).to_string()).map_err(|e| e.to_string()),
    }
}
