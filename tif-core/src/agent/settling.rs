//! Changes that are to be confirmed: they are held, and then stay or are taken back.
//!
//! ```text
//! accepted → its controls are held → confirmed: an entry without controls is accepted → it stays
//!                                  → a cause to go back: one with the old values is → they are in effect again
//! ```
//! The end goes the way of every accepted change: journal, other CPUs where there are any, board. So whoever leads next finds in the journal what waits, and
//! how the rest ended. What decides is `machine::confirm`.
// spec: CTL-6

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::io::{ChangeRecord, Conn, Moment, Record};
use super::table::Instrument;
use super::{Agent, Outbox, Requester, Resource, Timer, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::book::Entry;
use crate::machine::confirm::{Cause, Confirm, Confirmations, End, Guard, Keep, Refused, Revert, Terms};
use crate::machine::control::ControlName;
use crate::model::{Changed, Descriptor, InstrumentId, Key, Kind, Name, Refusal, RequestId, SetResult, Time, Value, ValueType};
use crate::wire::{KeepAsked, ToProcess};

/// Who confirms waits so long for other CPUs.
const PATIENCE: Duration = Duration::from_secs(5);
/// The ids of the ends are those of the changes with one of these.
const ENDINGS: [&str; 2] = [":confirmed", ":reverted"];

/// All changes that are to be confirmed.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    machine: Confirmations,
    /// What is to be taken back since this step.
    due: Vec<Revert>,
    /// Who waits for what he has confirmed to be durable.
    confirming: BTreeMap<RequestId, Vec<(Requester, Time)>>,
    /// Who made it, and is to be told of its end.
    makers: BTreeMap<RequestId, Conn>,
    /// The indicators that are looked at, with their addresses, and since when: what was read before may be old.
    guards: BTreeMap<InstrumentId, (String, Time)>,
}

impl Keeping {
    /// The request whose change holds a control.
    pub fn holder(&self, control: &ControlName) -> Option<&RequestId> {
        self.machine.holder(control)
    }

    /// Whether an instrument guards any.
    pub fn is_guard(&self, id: InstrumentId) -> bool {
        self.guards.contains_key(&id)
    }

    /// What waits, in words.
    pub fn portrait(&self) -> impl Iterator<Item = String> {
        self.machine.ids().map(|id| format!("the change {id} waits to be confirmed"))
    }
}

/// Refuses an id that is one of those that the agent gives itself.
pub(super) fn check_id(id: &RequestId) -> Result<(), Refusal> {
    match ENDINGS.iter().any(|ending| id.as_str().ends_with(ending)) {
        true => Err(Refusal::Malformed { reason: format!("request ids like {id} are the agent's own: choose another") }),
        false => Ok(()),
    }
}

impl Agent {
    /// On what terms a change is to stay.
    // spec: CTL-6, SEC-2
    pub(super) fn admit_keep(
        &self,
        conn: Conn,
        id: &RequestId,
        asked: Option<KeepAsked>,
        guard_is_known: bool,
    ) -> Result<Option<Terms>, Refusal> {
        let Some(KeepAsked { within, guard, while_connected }) = asked else { return Ok(None) };
        let longest = limits::REQUEST_ID_LEN_MAX - ENDINGS.iter().map(|e| e.len()).max().unwrap_or_default();
        let malformed = |reason: String| Refusal::Malformed { reason };
        let refused = |why: Refused| match why {
            Refused::TooMany => Refusal::TooMany { what: "changes that wait to be confirmed".into(), max: limits::UNCONFIRMED_MAX as u64 },
            other => malformed(other.to_string()),
        };
        if id.as_str().len() > longest {
            return Err(malformed(format!("the id of a change that is to be confirmed has at most {longest} characters")));
        }
        let underway = self.changes.values().filter(|change| change.keep.is_some() && change.result.is_none()).count();
        self.keeping.machine.admit(underway).map_err(refused)?;
        if while_connected && conn.peer().is_some() {
            return Err(malformed("a change that ends with its connection is to be asked for on the CPU of its exporter".into()));
        }
        let guard = guard.map(|guard| if guard_is_known { Ok(guard) } else { self.admit_guard(guard) }).transpose()?;
        let session = self.sessions.get(&conn).filter(|_| while_connected).map(|s| s.key);
        Terms::new(within, guard, session).map(Some).map_err(refused)
    }

    fn admit_guard(&self, guard: Guard) -> Result<Guard, Refusal> {
        let id = self.table.resolve(&guard.indicator, |i, at| self.is_at(i, at))?;
        let instrument = self.table.find(id).ok_or_else(|| self.table.not_found(&guard.indicator, &guard.indicator))?;
        let name = self.guard_address(instrument);
        // What nobody watches may be old.
        let value = instrument.value.as_ref().filter(|_| self.interest.is_wanted(&Resource::Instrument(id)));
        check_guard(&guard, &name, &instrument.descriptor, value)?;
        if instrument.here().is_none() {
            return Err(Refusal::NoExporter { name, state: instrument.quality.to_string() });
        }
        Ok(Guard { indicator: name, ..guard })
    }

    /// What an indicator is called on whatever CPU decides what becomes of the change: of a process that exports for itself with that of this one.
    fn guard_address(&self, instrument: &Instrument) -> String {
        let source = &instrument.source;
        let is_group = self.exporters.get(&instrument.key).is_some_and(|e| e.grouped);
        match self.cpu.join(source) {
            Ok(source) if !is_group && self.peers.electing.is_on() => format!("{}@{source}", instrument.record),
            _ => instrument.address(),
        }
    }

    /// A change is accepted: it may be one that is to be confirmed, or the end of one.
    pub(super) fn keep(&mut self, now: Moment, entry: &Entry, out: &mut Outbox) {
        match &entry.change.keep {
            Keep::ForGood => {}
            Keep::Until(terms) => {
                let id = &entry.change.request_id;
                let maker = self.changes.values().find(|c| c.underway.request_id == *id).and_then(|c| c.underway.requesters.first());
                if let Some((conn, _)) = maker {
                    self.keeping.makers.insert(id.clone(), *conn);
                }
                // Its session may have ended while it was written down.
                let ended = terms.session().is_some_and(|key| !self.sessions.values().any(|s| s.key == key));
                let revert = self.keeping.machine.take_up(now.time, id.clone(), before(entry), terms.clone(), ended);
                self.keeping.due.extend(revert);
                self.look_at_guards(now, out);
            }
            Keep::Settles(id, end) => self.on_settled(now, id, *end, out),
        }
    }

    /// It stays, or is taken back.
    fn on_settled(&mut self, now: Moment, id: &RequestId, end: End, out: &mut Outbox) {
        self.keeping.machine.on_settled(id, end);
        if let End::Reverted(cause) = end {
            self.refuse_confirming(id, &too_late(id, cause), out);
        }
        for ((conn, req), _) in self.keeping.confirming.remove(id).unwrap_or_default() {
            self.end_request(conn);
            self.send(out, conn, ToProcess::Confirmed { req, request_id: id.clone() });
        }
        if let Some(conn) = self.keeping.makers.remove(id) {
            self.send(out, conn, ToProcess::Settled { request_id: id.clone(), end });
        }
        self.look_at_guards(now, out);
    }

    /// Somebody confirms the change that holds a control.
    // spec: CTL-6
    pub(super) fn on_confirm(&mut self, now: Moment, conn: Conn, req: u64, name: &str, id: Option<RequestId>, out: &mut Outbox) {
        let refused = |reason: String| Refusal::NotConfirmed { name: name.to_owned(), reason };
        let found = self.table.resolve(name, |i, at| self.is_at(i, at));
        let instrument = match found.and_then(|id| self.table.find(id).ok_or_else(|| self.table.not_found(name, name))) {
            Ok(instrument) => instrument,
            Err(refusal) => return self.refuse(out, conn, req, refusal),
        };
        let Some(session) = self.sessions.get(&conn) else { return };
        let (who, uid) = (session.name.clone(), session.credentials.uid);
        if let Err(refusal) = self.may_write(uid, instrument) {
            return self.refuse(out, conn, req, refusal);
        }
        let control = (instrument.source.clone(), instrument.record.clone());
        let holder = self.keeping.holder(&control).cloned();
        let which = match (id, holder) {
            (None, None) => return self.refuse(out, conn, req, refused("no change of it waits to be confirmed".into())),
            (Some(id), Some(by)) if id != by => {
                return self.refuse(out, conn, req, refused(format!("the change that waits to be confirmed is {by}")));
            }
            // It may have ended, but not wait for other controls than this.
            (Some(id), None) if self.keeping.machine.source(&id).is_some() => {
                return self.refuse(out, conn, req, refused(format!("{id} is not a change of it")));
            }
            (Some(id), _) | (None, Some(id)) => id,
        };
        // Who may not change all of a step does not let it stay.
        // spec: CTL-2
        let of_step = self.keeping.machine.controls(&which).filter_map(|(source, record)| self.table.id_of(record, source));
        let denied = of_step.filter_map(|id| self.table.find(id)).find_map(|i| self.may_write(uid, i).err());
        if let Some(refusal) = denied {
            return self.refuse(out, conn, req, refusal);
        }
        if !self.begin_request(conn, req, out) {
            return;
        }
        match self.keeping.machine.confirm(now.time, &which) {
            Ok(Confirm::Done) => {
                self.end_request(conn);
                self.send(out, conn, ToProcess::Confirmed { req, request_id: which });
            }
            Ok(write) => {
                self.keeping.confirming.entry(which.clone()).or_default().push(((conn, req), now.time));
                if write == Confirm::Write {
                    self.settle(now, &which, End::Confirmed, Vec::new(), (who, uid), out);
                }
            }
            Err(why) => {
                self.end_request(conn);
                self.refuse(out, conn, req, refused(why.to_string()));
            }
        }
    }

    /// An end is to be written down.
    fn settle(&mut self, now: Moment, id: &RequestId, end: End, to: Vec<(ControlName, Value)>, by: (Name, u32), out: &mut Outbox) {
        let Some(source) = self.keeping.machine.source(id).cloned() else { return };
        let (ending, request) = match end {
            End::Confirmed => (ENDINGS[0], format!("confirm {id}")),
            End::Reverted(cause) => (ENDINGS[1], format!("revert {id}: {cause}")),
        };
        let Ok(request_id) = format!("{id}{ending}").parse::<RequestId>() else { return };
        let (mut controls, mut changed) = (Vec::new(), Vec::new());
        for (control, value) in to {
            let Some(next) = self.ledger.next(&control, value) else { continue };
            let instrument = self.table.id_of(&control.1, &control.0).and_then(|id| self.table.find(id));
            changed.push(Changed {
                name: instrument.map_or_else(|| control.1.clone(), |i| i.address()),
                old: self.ledger.value(&control).cloned().unwrap_or_else(|| next.value.clone()),
                new: next.value.clone(),
                choices: instrument.map(|i| i.descriptor.choices.clone()).unwrap_or_default(),
                version: next.version,
            });
            controls.push(next);
        }
        let result =
            SetResult { request_id: request_id.clone(), changed, replicated: false, applied: false, dry_run: false, repeated: false };
        let (who, uid) = by;
        let keep = Keep::Settles(id.clone(), end);
        let change = ChangeRecord { request_id, request, result, who, uid, reason: None, at: now.stamp, keep };
        let entry = Entry { controls, change };
        if defect(Defect::SettleUnwritten) {
            return self.take_effect(now, entry, out);
        }
        if !self.is_shared(&source) {
            return self.store(Record::Change(entry.clone()), Waiting::Settling(Box::new(entry)), out);
        }
        if let Err(refusal) = self.propose_end(now, &source, entry, out) {
            self.on_not_settled(now, id, &refusal, out);
        }
    }

    /// It could not be written down: whoever confirmed is told so, and what is to be taken back is tried again.
    // spec: SEC-3
    pub(super) fn on_not_settled(&mut self, now: Moment, id: &RequestId, refusal: &Refusal, out: &mut Outbox) {
        self.refuse_confirming(id, refusal, out);
        self.keeping.due.extend(self.keeping.machine.on_not_written(now.time, id));
    }

    /// A process has gone, or its connection.
    pub(super) fn on_maker_gone(&mut self, conn: Conn, key: Key) {
        self.keeping.makers.retain(|_, maker| *maker != conn);
        if !defect(Defect::OutliveSession) {
            self.keeping.due.extend(self.keeping.machine.on_session_ended(key));
        }
    }

    /// The end of a step: what is due is taken back.
    pub(super) fn settle_due(&mut self, now: Moment, out: &mut Outbox) {
        if self.keeping.machine.is_empty() {
            return;
        }
        // One that cannot be written down is due later again, not now.
        for Revert { id, cause, to } in std::mem::take(&mut self.keeping.due) {
            let by = (self.cpu.clone(), 0);
            self.settle(now, &id, End::Reverted(cause), to, by, out);
        }
        if let Some(at) = self.keeping.machine.deadline().filter(|_| !defect(Defect::NeverRevert)) {
            self.timers.set(at, Timer::Keep);
        }
    }

    pub(super) fn on_keep_due(&mut self, now: Moment) {
        self.keeping.due.extend(self.keeping.machine.on_time(now.time));
    }

    /// What waits is as the journal has it: this CPU decides from now on what becomes of it.
    // spec: CTL-6, CTL-7
    pub(super) fn take_up_unsettled(&mut self, now: Moment, source: Option<&Name>) {
        for (id, end) in self.ledger.settled() {
            self.keeping.machine.remember(id.clone(), end);
        }
        let of_source = |entry: &&Entry| source.is_none_or(|source| entry.controls.first().is_some_and(|c| c.source == *source));
        for entry in self.ledger.unsettled().iter().filter(of_source) {
            if let Keep::Until(terms) = &entry.change.keep {
                let id = entry.change.request_id.clone();
                self.keeping.due.extend(self.keeping.machine.restore(now.time, id, before(entry), terms.clone()));
            }
        }
    }

    /// Another CPU decides, or none can: who has confirmed hears nothing more here.
    pub(super) fn give_up_unsettled(&mut self, source: &Name, out: &mut Outbox) {
        self.keeping.machine.forget(source);
        let machine = &self.keeping.machine;
        self.keeping.due.retain(|revert| machine.source(&revert.id).is_some());
        let open: Vec<RequestId> = self.keeping.confirming.keys().filter(|id| machine.source(id).is_none()).cloned().collect();
        for id in open {
            self.refuse_confirming(&id, &unknown(&id), out);
        }
    }

    fn refuse_confirming(&mut self, id: &RequestId, refusal: &Refusal, out: &mut Outbox) {
        for ((conn, req), _) in self.keeping.confirming.remove(id).unwrap_or_default() {
            self.end_request(conn);
            self.refuse(out, conn, req, refusal.clone());
        }
    }

    /// Who confirms does not wait for ever.
    pub(super) fn give_confirming_up(&mut self, now: Moment, out: &mut Outbox) {
        let mut late = Vec::new();
        for (id, requesters) in &mut self.keeping.confirming {
            requesters.retain(|(requester, since)| {
                let is_late = now.time.since(*since) >= PATIENCE;
                if is_late {
                    late.push((*requester, unknown(id)));
                }
                !is_late
            });
        }
        self.keeping.confirming.retain(|_, requesters| !requesters.is_empty());
        for ((conn, req), refusal) in late {
            self.end_request(conn);
            self.refuse(out, conn, req, refusal);
        }
    }

    /// The indicators that guard a change are watched, wherever they are by now, and others no longer.
    // spec: CTL-6, MON-2
    pub(super) fn look_at_guards(&mut self, now: Moment, out: &mut Outbox) {
        if self.keeping.guards.is_empty() && self.peers.follows_no_guard() && self.keeping.machine.guards().next().is_none() {
            return;
        }
        // What another CPU may decide is guarded by that.
        // spec: GRP-9
        let guards = self.keeping.machine.guards().filter(|(source, _)| self.peers.electing.may_decide(source));
        let wanted: BTreeSet<String> = guards.map(|(_, indicator)| indicator.to_owned()).collect();
        let is_here = |address: &&String| {
            let found = self.table.resolve(address, |i, at| self.is_at(i, at));
            found.is_ok_and(|id| self.table.find(id).is_some_and(|i| i.here().is_some()))
        };
        let elsewhere = wanted.iter().filter(|address| !is_here(address)).filter_map(|address| address.parse().ok()).collect();
        self.follow_guards(elsewhere);
        let found = |address: String| Some((self.table.resolve(&address, |i, at| self.is_at(i, at)).ok()?, address));
        let wanted: BTreeMap<InstrumentId, String> = wanted.into_iter().filter_map(found).collect();
        let mut before = std::mem::take(&mut self.keeping.guards);
        for (id, address) in wanted {
            let resource = Resource::Instrument(id);
            let since = match before.remove(&id) {
                Some((_, since)) => since,
                None if self.interest.declare(&resource, Conn::GUARD) => {
                    self.watch(id, out);
                    // What another CPU sends is as it is there, and is not sent again.
                    let is_followed = self.table.find(id).is_some_and(|i| i.far.is_some() && i.place.is_some());
                    if is_followed { Time::ZERO } else { now.time }
                }
                None => Time::ZERO,
            };
            self.keeping.guards.insert(id, (address, since));
            // One that is taken up again, by a successor or after a failed write, may be out of its range already.
            self.on_guard(id);
        }
        for id in before.into_keys() {
            if self.interest.withdraw_all(&Resource::Instrument(id), Conn::GUARD) {
                self.unwatch(id, out);
            }
        }
    }

    /// Whether an instrument guards any change.
    pub(super) fn is_guard(&self, id: InstrumentId) -> bool {
        self.keeping.is_guard(id)
    }

    /// An indicator that guards changes was read.
    // spec: CTL-6
    pub(super) fn on_guard(&mut self, id: InstrumentId) {
        let Some((address, since)) = self.keeping.guards.get(&id) else { return };
        let value = self.table.find(id).filter(|i| i.read && i.sampled >= *since).and_then(|i| i.value.as_ref());
        if let Some(value) = value.filter(|_| !defect(Defect::IgnoreGuard)) {
            self.keeping.due.extend(self.keeping.machine.on_value(address, value));
        }
    }
}

/// Whether something can guard a change, and does not take it back at once. `value`: as it is now, if that is known.
pub(super) fn check_guard(guard: &Guard, name: &str, descriptor: &Descriptor, value: Option<&Value>) -> Result<(), Refusal> {
    let name = name.to_owned();
    if descriptor.value_type == ValueType::Text || matches!(descriptor.kind, Kind::TestPoint(_)) {
        let kind = descriptor.kind.word().to_owned();
        return Err(Refusal::WrongKind { name, kind, wanted: "a guard is an instrument with a number".into() });
    }
    match value {
        Some(value) if !guard.allows(value) => {
            let now = value.show(&descriptor.choices).to_string();
            Err(Refusal::Unfit { name, reason: format!("it is {now} already, and is to stay from {} to {}", guard.low, guard.high) })
        }
        _ => Ok(()),
    }
}

/// The controls of a change with the values that they had.
fn before(entry: &Entry) -> Vec<(ControlName, Value)> {
    let controls = entry.controls.iter().map(|control| (control.source.clone(), control.name.clone()));
    controls.zip(entry.change.result.changed.iter().map(|changed| changed.old.clone())).collect()
}

fn too_late(id: &RequestId, cause: Cause) -> Refusal {
    Refusal::NotConfirmed { name: id.to_string(), reason: format!("too late: {cause}; the old values are back") }
}

fn unknown(id: &RequestId) -> Refusal {
    let reason = "other CPUs have not answered; whether it is confirmed is not known: ask again".to_owned();
    Refusal::TimedOut { name: id.to_string(), reason, request_id: None }
}
