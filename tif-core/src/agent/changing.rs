//! Controls: a change is admitted, made durable, applied, answered.
//!
//! ```text
//! asked → (known id: recorded answer) → admitted by type, range, step, version → service's validator → durable → board → applied → answered
//! ```
//! Refused at any arrow before "durable", nothing has changed. Changes of one control go through one after the other.
// spec: CTL-1, CTL-3, CTL-5

use super::io::{ChangeRecord, Conn, ControlRecord, ControlValue, Moment, Output, Record};
use super::{Agent, Outbox, Question, Requester, Timer, Underway, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::book::Entry;
use crate::machine::control::{ControlName, Known};
use crate::model::{Descriptor, InstrumentId, Key, Kind, Name, Refusal, RequestId, SetResult, Slot, Time, Value, Version};
use crate::wire::{Admission, ToProcess};

/// What was asked.
#[derive(Debug)]
pub(super) struct Asked {
    pub request_id: RequestId,
    pub name: String,
    pub value: String,
    pub admission: Admission,
    pub reason: Option<String>,
}

/// A change under way.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) underway: Underway,
    pub control: ControlName,
    instrument: InstrumentId,
    /// The exporter that was asked.
    pub key: Key,
    address: String,
    value: Value,
    memorized: bool,
    admission: Admission,
    reason: Option<String>,
    who: Name,
    uid: u32,
    /// Once it is durable.
    pub(super) result: Option<SetResult>,
    /// When it was put to other CPUs, which must have it before it is accepted.
    pub proposed: Option<Time>,
    pub asked: Time,
}

impl Agent {
    pub(super) fn on_set(&mut self, now: Moment, conn: Conn, req: u64, asked: Asked, out: &mut Outbox) {
        let request = format!("set {} {}", asked.name, asked.value);
        if request.len() > 1024 || asked.reason.as_ref().is_some_and(|r| r.len() > limits::REASON_LEN_MAX) {
            let reason = format!("a request of more than 1024 bytes, or a reason of more than {}", limits::REASON_LEN_MAX);
            return self.refuse(out, conn, req, Refusal::Malformed { reason });
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
        match self.admit_change(now, conn, (conn, req), request, asked) {
            Err(refusal) => self.refuse(out, conn, req, refusal),
            Ok(change) => {
                if !self.begin_request(conn, req, out) {
                    return;
                }
                let number = self.number();
                let line = self.busy.entry(change.control.clone()).or_default();
                line.push_back(number);
                let first = line.len() == 1 || defect(Defect::SkipLine);
                self.changes.insert(number, change);
                if first {
                    self.start_change(now, number, out);
                }
            }
        }
    }

    /// What a request id is used for by a change, done or under way.
    pub(super) fn used_by_change(&self, id: &RequestId) -> Option<String> {
        let underway = || self.changes.values().find(|c| c.underway.request_id == *id).map(|c| c.underway.request.as_str());
        self.ledger.used(id).or_else(underway).map(str::to_owned)
    }

    fn join_change(&mut self, conn: Conn, req: u64, id: &RequestId, out: &mut Outbox) {
        if self.begin_request(conn, req, out)
            && let Some(change) = self.changes.values_mut().find(|c| c.underway.request_id == *id)
        {
            change.underway.requesters.push((conn, req));
        }
    }

    /// Everything that the agent can check by itself.
    // spec: CTL-1
    fn admit_change(&self, now: Moment, conn: Conn, requester: Requester, request: String, asked: Asked) -> Result<Change, Refusal> {
        let session = self.sessions.get(&conn).ok_or_else(|| Refusal::Denied { reason: "not registered".into() })?;
        let id = self.table.resolve(&asked.name, |i, at| self.is_at(i, at))?;
        let instrument = self.table.find(id).ok_or_else(|| self.table.not_found(&asked.name, &asked.name))?;
        if !instrument.descriptor.is_control() {
            let kind = instrument.descriptor.kind.word().to_owned();
            let wanted = match kind.as_str() {
                "procedure" => "call it with `tif-serve fire`".to_owned(),
                "test_point" => "arm it with `tif-serve arm`".to_owned(),
                _ => "it only shows a value; only controls can be set".to_owned(),
            };
            return Err(Refusal::WrongKind { name: asked.name, kind, wanted });
        }
        let Some((key, _)) = instrument.here() else {
            return Err(Refusal::NoExporter { name: asked.name, state: instrument.quality.to_string() });
        };
        if let Some(expected) = asked.admission.if_key
            && expected != key
        {
            return Err(Refusal::StaleKey { got: expected, current: Some(key) });
        }
        let uid = session.credentials.uid;
        let writers = &instrument.descriptor.writers;
        if uid != 0 && !writers.is_empty() && !writers.iter().any(|w| w.parse() == Ok(uid)) {
            let reason = format!("`{}` may be changed by user id {} and root; you are user id {uid}", asked.name, writers.join(", "));
            return Err(Refusal::Denied { reason });
        }
        let value =
            instrument.descriptor.admit(&asked.value).map_err(|e| Refusal::Unfit { name: instrument.address(), reason: e.to_string() })?;
        let control = (instrument.source.clone(), instrument.record.clone());
        self.ledger.check_version(&control, &instrument.descriptor, asked.admission.if_version)?;
        Ok(Change {
            underway: Underway { request_id: asked.request_id, request, requesters: vec![requester] },
            control,
            instrument: id,
            key,
            address: instrument.address(),
            value,
            memorized: matches!(instrument.descriptor.kind, Kind::Control { memorized: true, .. }),
            admission: asked.admission,
            reason: asked.reason,
            who: session.name.clone(),
            uid,
            result: None,
            proposed: None,
            asked: now.time,
        })
    }

    /// It is first in line for its control: the service is asked, if it wants to be.
    fn start_change(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get(&number) else { return };
        let Some(instrument) = self.table.find(change.instrument) else {
            let refusal = self.table.not_found(&change.address, &change.address);
            return self.refuse_change(number, &refusal, out);
        };
        // Those before it in line may have changed what it expects.
        if let Err(refusal) = self.ledger.check_version(&change.control, &instrument.descriptor, change.admission.if_version) {
            return self.refuse_change(number, &refusal, out);
        }
        let Some((key, slot)) = instrument.here() else {
            let refusal = Refusal::NoExporter { name: change.address.clone(), state: instrument.quality.to_string() };
            return self.refuse_change(number, &refusal, out);
        };
        // So may a takeover, and what the successor declares.
        if let Some(expected) = change.admission.if_key.filter(|expected| *expected != key) {
            return self.refuse_change(number, &Refusal::StaleKey { got: expected, current: Some(key) }, out);
        }
        if let Err(reason) = fits(&instrument.descriptor, &change.value) {
            let refusal = Refusal::Unfit { name: change.address.clone(), reason };
            return self.refuse_change(number, &refusal, out);
        }
        if self.wait_for_handover(number, out) {
            return;
        }
        let Some(change) = self.changes.get(&number) else { return };
        let validated =
            self.table.find(change.instrument).is_some_and(|i| matches!(i.descriptor.kind, Kind::Control { validated: true, .. }));
        let value = change.value.clone();
        if let Some(change) = self.changes.get_mut(&number) {
            change.key = key;
        }
        if !validated {
            return self.accept_change(now, number, out);
        }
        let req = self.ask(now, Question::Validate(number), limits::VALIDATE_TIMEOUT);
        if !self.tell(out, key, ToProcess::Validate { req, slot, value }) {
            self.answered(req);
            let name = self.changes.get(&number).map(|c| c.address.clone()).unwrap_or_default();
            let refusal = Refusal::NoExporter { name, state: "its process cannot be reached".into() };
            self.refuse_change(number, &refusal, out);
        }
    }

    pub(super) fn on_validated(&mut self, now: Moment, key: Key, req: u64, result: Result<(), String>, out: &mut Outbox) {
        let Some(Question::Validate(number)) = self.questions.get(&req) else { return };
        let number = *number;
        if self.changes.get(&number).is_none_or(|c| c.key != key) {
            return;
        }
        self.answered(req);
        // Whoever leads next is asked anew.
        if result.is_ok() && self.wait_for_handover(number, out) {
            return;
        }
        let asked = self.changes.get(&number).map(|c| c.instrument).and_then(|id| self.table.find(id)).and_then(|i| i.here());
        if result.is_ok() && asked.is_some_and(|(leads, _)| leads != key) {
            return self.start_change(now, number, out);
        }
        match result {
            Ok(()) => self.accept_change(now, number, out),
            Err(_) if defect(Defect::IgnoreValidator) => self.accept_change(now, number, out),
            Err(reason) => {
                let refusal = Refusal::Invalid { name: String::new(), reason: reason.chars().take(limits::TEXT_LEN_MAX).collect() };
                self.refuse_change(number, &refusal, out);
            }
        }
    }

    /// Nothing has changed, and the same id may be used again.
    // spec: CTL-1
    pub(super) fn on_not_validated(&mut self, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get(&number) else { return };
        let reason = format!("its validator did not answer within {:?}; nothing was changed", limits::VALIDATE_TIMEOUT);
        let refusal = Refusal::TimedOut { name: change.address.clone(), reason, request_id: Some(change.underway.request_id.clone()) };
        self.refuse_change(number, &refusal, out);
    }

    /// Everybody agrees: it is written down.
    fn accept_change(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get_mut(&number) else { return };
        let Some(instrument) = self.table.find(change.instrument) else {
            // It was withdrawn while its service thought about it.
            let refusal = self.table.not_found(&change.address, &change.address);
            return self.refuse_change(number, &refusal, out);
        };
        let (version, old) = self.ledger.current(&change.control, &instrument.descriptor);
        change.memorized = matches!(instrument.descriptor.kind, Kind::Control { memorized: true, .. });
        let memorized = change.memorized;
        // spec: CTL-9
        let dry_run = change.admission.dry_run && !defect(Defect::DoDryRun);
        let result = SetResult {
            request_id: change.underway.request_id.clone(),
            name: change.address.clone(),
            old,
            new: change.value.clone(),
            choices: instrument.descriptor.choices.clone(),
            version: if dry_run { version } else { Version(version.0 + 1) },
            replicated: false,
            applied: false,
            dry_run,
            repeated: false,
        };
        change.result = Some(result.clone());
        if dry_run {
            let line = change.control.clone();
            self.finish_change(number, false, out);
            return self.next_in_line(&line, number);
        }
        let control = ControlRecord {
            source: change.control.0.clone(),
            name: change.control.1.clone(),
            version: result.version,
            value: change.value.clone(),
            memorized,
        };
        let record = ChangeRecord {
            request_id: change.underway.request_id.clone(),
            request: change.underway.request.clone(),
            result,
            who: change.who.clone(),
            uid: change.uid,
            reason: change.reason.clone(),
            at: now.stamp,
        };
        let grouped = self.exporters.get(&change.key).is_some_and(|e| e.grouped);
        if grouped && self.is_shared(&control.source) {
            return self.propose_change(now, number, Entry { control, change: record }, out);
        }
        if defect(Defect::AcceptBeforeDurable) {
            self.store(Record::Control { control, change: record }, Waiting::Nobody, out);
            return self.on_change_stored(now, number, out);
        }
        self.store(Record::Control { control, change: record }, Waiting::Change(number), out);
    }

    /// It is durable: accepted. The service gets it.
    pub(super) fn on_change_stored(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(change) = self.changes.get(&number) else { return };
        let Some(result) = change.result.clone() else { return };
        let memorized = change.memorized;
        let (source, name) = change.control.clone();
        let control = ControlRecord { source, name, version: result.version, value: change.value.clone(), memorized };
        let record = ChangeRecord {
            request_id: result.request_id.clone(),
            request: change.underway.request.clone(),
            result: result.clone(),
            who: change.who.clone(),
            uid: change.uid,
            reason: change.reason.clone(),
            at: now.stamp,
        };
        // By its name: it may have been withdrawn and declared again meanwhile.
        let id = self.table.id_of(&change.control.1, &change.control.0);
        let bound = id.and_then(|id| self.table.find(id)).and_then(|i| i.here());
        let value = change.value.clone();
        let line = change.control.clone();
        self.ledger.apply(&control, record);
        if let Some((key, slot)) = bound {
            out.push(Output::Control { key, control: ControlValue { slot, version: result.version, value } });
            self.tell(out, key, ToProcess::Apply);
        }
        self.timers.set(now.time + limits::APPLY_TIMEOUT, Timer::Applied(number));
        self.next_in_line(&line, number);
    }

    /// It is accepted: durable here, and where it must be on other CPUs.
    fn is_done(&self, control: &ControlName, result: &SetResult) -> bool {
        self.ledger.has(control, result.version) && self.ledger.used(&result.request_id).is_some()
    }

    /// The service runs with it.
    pub(super) fn on_applied(&mut self, _now: Moment, key: Key, slot: Slot, version: Version, out: &mut Outbox) {
        let id = self.exporters.get(&key).and_then(|e| e.slots.get(&slot)).copied();
        let Some(instrument) = id.and_then(|id| self.table.find(id)) else { return };
        let control = (instrument.source.clone(), instrument.record.clone());
        // What is not durable yet cannot be in effect, whatever it says.
        let done: Vec<u64> = self
            .changes
            .iter()
            .filter(|(_, c)| c.control == control)
            .filter(|(_, c)| c.result.as_ref().is_some_and(|r| self.is_done(&control, r) && r.version <= version))
            .map(|(number, _)| *number)
            .collect();
        for number in done {
            self.finish_change(number, true, out);
        }
    }

    /// A new exporter has taken its board's controls before it got ready: what was accepted before is in effect.
    // spec: OUT-4
    pub(super) fn confirm_changes(&mut self, source: &Name, out: &mut Outbox) {
        let stored: Vec<u64> = self
            .changes
            .iter()
            .filter(|(_, c)| c.control.0 == *source && c.result.as_ref().is_some_and(|r| self.is_done(&c.control, r)))
            .map(|(number, _)| *number)
            .collect();
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

    /// It is refused: nothing has changed.
    pub(super) fn refuse_change(&mut self, number: u64, refusal: &Refusal, out: &mut Outbox) {
        let Some(change) = self.changes.remove(&number) else { return };
        let refusal = match refusal {
            Refusal::Invalid { reason, .. } => Refusal::Invalid { name: change.address.clone(), reason: reason.clone() },
            Refusal::Busy { reason, .. } => Refusal::Busy { name: change.address.clone(), reason: reason.clone() },
            other => other.clone(),
        };
        for (conn, req) in &change.underway.requesters {
            self.end_request(*conn);
            self.refuse(out, *conn, *req, refusal.clone());
        }
        self.next_in_line(&change.control, number);
    }

    /// It is done with its control, or nearly: the next one's turn comes at the end of the step, so that a long line of refusals is no deep recursion.
    // spec: SEC-2
    pub(super) fn next_in_line(&mut self, control: &ControlName, number: u64) {
        let Some(line) = self.busy.get_mut(control) else { return };
        let was_first = line.front() == Some(&number);
        if was_first {
            line.pop_front();
        } else {
            line.retain(|n| *n != number);
        }
        match line.front() {
            Some(next) if was_first => self.next_changes.push_back(*next),
            Some(_) => {}
            None => {
                self.busy.remove(control);
            }
        }
    }

    pub(super) fn start_next_changes(&mut self, now: Moment, out: &mut Outbox) {
        while let Some(number) = self.next_changes.pop_front() {
            self.start_change(now, number, out);
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
