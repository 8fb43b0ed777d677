//! Procedures are called, at most once each.
//!
//! ```text
//! asked → (known id: recorded outcome) → admitted → in the journal → called → returned → outcome in the journal → answered
//! ```
//! Refused at any arrow before "called", nothing was done, and the id may be used again. After it, the outcome is known sooner or later, or it is said that
//! nobody will ever know it. The journal of a service that several CPUs keep is the log that they agree on, see `agreeing`.
// spec: TST-2, TST-4

use std::collections::BTreeMap;
use std::time::Duration;

use super::io::{Conn, Moment, Record};
use super::peers::replicating::why_not;
use super::{Agent, Outbox, Question, Requester, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::book::Line;
use crate::machine::calls::{CallRecord, Journal, Outcome};
use crate::machine::replication::Proposal;
use crate::model::{InstrumentId, Key, Kind, Name, Refusal, RequestId, Slot, TestPointKind, Time, Value};
use crate::wire::ToProcess;

/// How much longer than its time limit a procedure's answer may take to come.
const RETURN_GRACE: Duration = Duration::from_millis(250);
/// Of how many running calls a refusal tells.
const RUNNING_SHOWN_MAX: usize = 4;
/// Why a call that overran its time will not be answered any more.
const LINK_LOST: &str = "the link to its process was lost while it ran";

/// The calls that are under way, and what became of others.
#[derive(Debug, Default)]
pub(super) struct Calls {
    pub journal: Journal,
    /// By the agent's number.
    pub(super) underway: BTreeMap<u64, Calling>,
    /// Whose outcome could not be made durable. It is tried again.
    unwritten: BTreeMap<RequestId, CallRecord>,
}

/// A call under way.
#[derive(Debug)]
pub(super) struct Calling {
    pub call: CallRecord,
    /// The service in whose log it is entered, if several CPUs keep one of it. Else it is in this CPU's journal.
    pub log: Option<Name>,
    pub requesters: Vec<Requester>,
    timeout: Duration,
    pub since: Time,
    pub stage: Stage,
}

/// How far a call has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// It is being entered in the journal: the procedure has not heard of it.
    Entering(Slot, Vec<Value>),
    /// The procedure was called, with this number, and its answer comes on this connection or not at all. Overdue: nobody waits any more until it returns.
    Called { question: u64, conn: Option<Conn>, overdue: bool },
    /// Its outcome is being entered in the journal.
    Leaving,
}

impl Calling {
    fn show(&self, now: Time) -> String {
        let over = if self.is_overdue() { format!(", over its limit of {:?}", self.timeout) } else { String::new() };
        format!("{} for {}s{over}", self.call.name, now.since(self.since).as_secs())
    }

    fn is_overdue(&self) -> bool {
        matches!(self.stage, Stage::Called { overdue: true, .. })
    }

    fn not_in_time(&self, now: Time) -> Refusal {
        let for_how_long = now.since(self.since).as_secs();
        let reason = if self.requesters.is_empty() && self.is_overdue() && for_how_long > self.timeout.as_secs() {
            format!("it still runs, after {for_how_long}s; whether it was done is not known")
        } else {
            format!("no answer within {:?}; whether it was done is not known", self.timeout)
        };
        Refusal::TimedOut { name: self.call.name.clone(), reason, request_id: Some(self.call.request_id.clone()) }
    }
}

/// A call that may begin.
struct Admitted {
    key: Key,
    log: Option<Name>,
    slot: Slot,
    address: String,
    values: Vec<Value>,
    timeout: Duration,
}

impl Agent {
    #[expect(clippy::too_many_arguments, reason = "these are the parts of one message")]
    pub(super) fn on_fire(
        &mut self,
        now: Moment,
        conn: Conn,
        req: u64,
        request_id: RequestId,
        name: &str,
        arguments: Vec<(String, String)>,
        out: &mut Outbox,
    ) {
        let shown: Vec<String> = arguments.iter().take(limits::ARGUMENTS_MAX).map(|(k, v)| format!("{k}={v}")).collect();
        let request = format!("fire {name} {}", shown.join(" "));
        if request.len() > limits::RESULT_LEN_MAX {
            let reason = format!("a call of more than {} bytes", limits::RESULT_LEN_MAX);
            return self.refuse(out, conn, req, Refusal::Malformed { reason });
        }
        if let Err(refusal) = super::settling::check_id(&request_id) {
            return self.refuse(out, conn, req, refusal);
        }
        self.give_up_lost_calls(now, out);
        // One space of ids: also a change has it for itself.
        // spec: CTL-3, TST-4
        let was = self.used_by_call(&request_id).or_else(|| self.used_by_change(&request_id));
        match was {
            Some(was) if was != request => {
                return self.refuse(out, conn, req, Refusal::RequestIdReused { id: request_id.to_string(), was });
            }
            Some(_) if !defect(Defect::CallAgain) => return self.tell_call(now, conn, req, &request_id, out),
            _ => {}
        }
        let Admitted { key, log, slot, address, values, timeout } = match self.admit_call(now, name, &arguments) {
            Err(refusal) => return self.refuse(out, conn, req, refusal),
            Ok(admitted) => admitted,
        };
        let Some((who, uid)) = self.sessions.get(&conn).map(|s| (s.name.clone(), s.credentials.uid)) else { return };
        if !self.begin_request(conn, req, out) {
            return;
        }
        let call = CallRecord { request_id, request, name: address, key, who, uid, at: now.stamp, outcome: None };
        let number = self.number();
        let (requesters, stage) = (vec![(conn, req)], Stage::Entering(slot, values));
        self.calls.underway.insert(number, Calling { call, log, requesters, timeout, since: now.time, stage });
        // In the journal before the procedure hears of it: an agent that ends meanwhile must not call it again.
        if let Err(refusal) = self.enter_call(now, number, out) {
            return self.refuse_call(number, &refusal, out);
        }
        if defect(Defect::CallBeforeDurable) {
            self.begin_call(now, number, out);
        }
    }

    /// A request id that is known is asked for again: what became of the call, now or when it is known.
    pub(super) fn tell_call(&mut self, now: Moment, conn: Conn, req: u64, id: &RequestId, out: &mut Outbox) {
        if let Some(call) = self.calls.journal.find(id).cloned() {
            return self.answer_call(conn, req, &call, true, out);
        }
        let Some((number, calling)) = self.calls.underway.iter().find(|(_, c)| c.call.request_id == *id) else { return };
        if calling.is_overdue() {
            let refusal = calling.not_in_time(now.time);
            return self.refuse(out, conn, req, refusal);
        }
        let number = *number;
        if self.begin_request(conn, req, out)
            && let Some(calling) = self.calls.underway.get_mut(&number)
        {
            calling.requesters.push((conn, req));
        }
    }

    fn answer_call(&mut self, conn: Conn, req: u64, call: &CallRecord, repeated: bool, out: &mut Outbox) {
        match (&call.outcome, call.refusal()) {
            (_, Some(refusal)) => self.refuse(out, conn, req, refusal),
            (Some(Outcome::Returned(result)), None) => {
                let (request_id, result) = (call.request_id.clone(), result.clone());
                self.send(out, conn, ToProcess::Fired { req, request_id, result, repeated });
            }
            _ => {}
        }
    }

    /// The procedure and its typed arguments, in declared order.
    fn admit_call(&self, now: Moment, name: &str, given: &[(String, String)]) -> Result<Admitted, Refusal> {
        let (id, address) = self.test_point(name)?;
        let Some(instrument) = self.table.find(id) else { return Err(self.table.not_found(name, name)) };
        let Kind::TestPoint(TestPointKind::Procedure { arguments, timeout, .. }) = &instrument.descriptor.kind else {
            let wanted = "only procedures can be fired; in-path test points are armed with `tif-serve arm`".to_owned();
            return Err(Refusal::WrongKind { name: address, kind: instrument.descriptor.kind.word().into(), wanted });
        };
        let signature = || {
            let all: Vec<String> = arguments.iter().map(|a| format!("{}={}", a.name, a.value_type)).collect();
            if all.is_empty() { "it takes no arguments".to_owned() } else { format!("it takes {}", all.join(" ")) }
        };
        if let Some((unknown, _)) = given.iter().find(|(k, _)| !arguments.iter().any(|a| a.name == *k)) {
            return Err(Refusal::Unfit { name: address, reason: format!("no argument is called `{unknown}`; {}", signature()) });
        }
        let mut values = Vec::new();
        for argument in arguments {
            let mut named = given.iter().filter(|(k, _)| *k == argument.name);
            let (Some((_, literal)), None) = (named.next(), named.next()) else {
                let reason = format!("the argument `{}` must be given once; {}", argument.name, signature());
                return Err(Refusal::Unfit { name: address, reason });
            };
            let value = argument
                .admit(literal)
                .map_err(|e| Refusal::Unfit { name: format!("{address} {}", argument.name), reason: e.to_string() })?;
            values.push(value);
        }
        let (key, slot) =
            instrument.here().ok_or_else(|| Refusal::NoExporter { name: address.clone(), state: instrument.quality.to_string() })?;
        if let Some(reason) = self.handing_over(key).or_else(|| self.running_out(now, key)) {
            return Err(Refusal::Busy { name: address, reason });
        }
        let grouped = self.exporters.get(&key).is_some_and(|e| e.grouped);
        let log = (grouped && self.is_shared(&instrument.source) && !defect(Defect::JournalAlone)).then(|| instrument.source.clone());
        Ok(Admitted { key, log, slot, address, values, timeout: *timeout })
    }

    /// Why no more calls of this exporter can begin; none if one can.
    // spec: TST-2, SEC-2
    fn running_out(&self, now: Moment, key: Key) -> Option<String> {
        let running: Vec<&Calling> =
            self.calls.underway.values().filter(|c| c.call.key == key && !matches!(c.stage, Stage::Leaving)).collect();
        if running.len() < limits::CALLS_RUNNING_MAX {
            return None;
        }
        let service = self.exporters.get(&key).map_or("the service", |e| e.service.as_str());
        let shown: Vec<String> = running.iter().take(RUNNING_SHOWN_MAX).map(|c| c.show(now.time)).collect();
        let more = if running.len() > RUNNING_SHOWN_MAX { ", and others" } else { "" };
        Some(format!("{} calls of {service} are running, none free: {}{more}", running.len(), shown.join(", ")))
    }

    /// A call is entered in the journal as it is now; that is heard of later.
    ///
    /// # Errors
    /// If it cannot be. Nothing was entered.
    fn enter_call(&mut self, now: Moment, number: u64, out: &mut Outbox) -> Result<(), Refusal> {
        let Some(calling) = self.calls.underway.get(&number) else { return Ok(()) };
        let call = calling.call.clone();
        let Some(service) = calling.log.clone() else {
            self.store(Record::Call(call), Waiting::Call(number), out);
            return Ok(());
        };
        let (name, id) = (call.name.clone(), call.request_id.clone());
        match self.propose_line(now, &service, Line::Call(call), out) {
            Ok(Proposal::New(_)) => Ok(()),
            // An earlier attempt, from before another term began.
            Ok(Proposal::Known { .. }) => Err(super::agreeing::unknown(&id, name)),
            Err(refused) => Err(why_not(&name, refused)),
        }
    }

    /// What was written of a call is durable: that it begins, or what became of it.
    pub(super) fn on_call_stored(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        match self.calls.underway.get(&number).map(|c| &c.stage) {
            Some(Stage::Entering(..)) => self.begin_call(now, number, out),
            Some(Stage::Leaving) => self.finish_call(number, out),
            Some(Stage::Called { .. }) | None => {}
        }
    }

    /// It could not be written. What was not begun is not; what has an outcome has it all the same, and that is written later.
    // spec: SEC-3
    pub(super) fn on_call_not_stored(&mut self, number: u64, refusal: &Refusal, out: &mut Outbox) {
        match self.calls.underway.get(&number) {
            Some(Calling { stage: Stage::Entering(..), .. }) => self.refuse_call(number, refusal, out),
            Some(Calling { stage: Stage::Leaving, call, .. }) => {
                self.calls.unwritten.insert(call.request_id.clone(), call.clone());
                self.finish_call(number, out);
            }
            _ => {}
        }
    }

    /// The store can be written again, perhaps.
    pub(super) fn write_calls_again(&mut self, out: &mut Outbox) {
        for (id, call) in std::mem::take(&mut self.calls.unwritten) {
            self.store(Record::Call(call), Waiting::Outcome(id), out);
        }
    }

    /// Nor was it this time.
    pub(super) fn on_outcome_not_stored(&mut self, id: RequestId) {
        if let Some(call) = self.calls.journal.find(&id).cloned() {
            self.calls.unwritten.insert(id, call);
        }
    }

    /// It is in the journal: the procedure is called.
    fn begin_call(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(calling) = self.calls.underway.get_mut(&number) else { return };
        let (key, timeout, waited_for) = (calling.call.key, calling.timeout, !calling.requesters.is_empty());
        let Stage::Entering(slot, arguments) = std::mem::replace(&mut calling.stage, Stage::Leaving) else { return };
        // Who was asked to let go meanwhile, or has, does nothing more for the service.
        // spec: OUT-5, GRP-8
        if let Some(reason) = self.handing_over(key) {
            return self.unmake_call(now, number, |name| Refusal::Busy { name, reason }, out);
        }
        if !self.stands_behind(key) {
            return self.unmake_call(now, number, |name| Refusal::NoExporter { name, state: "another process leads by now".into() }, out);
        }
        // All were told that it is not known whether it will be.
        if !waited_for {
            return self.unmake_call(now, number, |name| Refusal::Busy { name, reason: "nobody waits for it".into() }, out);
        }
        let conn = self.conn_of(key);
        let question = self.ask(now, Question::Call(number), timeout + RETURN_GRACE);
        if let Some(calling) = self.calls.underway.get_mut(&number) {
            (calling.stage, calling.since) = (Stage::Called { question, conn, overdue: false }, now.time);
        }
        if !self.tell(out, key, ToProcess::Call { req: question, slot, arguments, timeout }) {
            self.answered(question);
            self.unmake_call(now, number, |name| Refusal::NoExporter { name, state: "its process cannot be reached".into() }, out);
        }
    }

    /// It did not begin: the journal forgets it, and its id may be used again.
    fn unmake_call(&mut self, now: Moment, number: u64, refusal: impl FnOnce(String) -> Refusal, out: &mut Outbox) {
        let Some(calling) = self.calls.underway.get(&number) else { return };
        let (id, refusal) = (calling.call.request_id.clone(), refusal(calling.call.name.clone()));
        // Should this be lost, nobody will know that it did not begin: that is told as what it is, indeterminate.
        match calling.log.clone() {
            Some(service) => {
                self.propose_line(now, &service, Line::NotCalled(id), out).ok();
            }
            None => self.store(Record::NotCalled(id), Waiting::Nobody, out),
        }
        self.refuse_call(number, &refusal, out);
    }

    pub(super) fn refuse_call(&mut self, number: u64, refusal: &Refusal, out: &mut Outbox) {
        let Some(calling) = self.calls.underway.remove(&number) else { return };
        for (conn, req) in calling.requesters {
            self.end_request(conn);
            self.refuse(out, conn, req, refusal.clone());
        }
    }

    /// A call did not answer within its time limit. Whoever waits is told; should it return later, its request id will tell the result.
    // spec: TST-4
    pub(super) fn on_call_overdue(&mut self, now: Moment, question: u64, number: u64, out: &mut Outbox) {
        let conn_now = self.calls.underway.get(&number).and_then(|c| self.conn_of(c.call.key));
        let Some(calling) = self.calls.underway.get_mut(&number) else { return };
        let Stage::Called { conn, overdue, .. } = &mut calling.stage else { return };
        *overdue = true;
        if *conn != conn_now {
            return self.end_call(now, number, Outcome::Indeterminate(LINK_LOST.to_owned()), out);
        }
        let refusal = calling.not_in_time(now.time);
        for (conn, req) in std::mem::take(&mut calling.requesters) {
            self.end_request(conn);
            self.refuse(out, conn, req, refusal.clone());
        }
        self.questions.insert(question, Question::Call(number));
    }

    /// Overrunning calls whose connection was lost: their results are lost with it. Their ids stay used.
    pub(super) fn give_up_lost_calls(&mut self, now: Moment, out: &mut Outbox) {
        let lost = self.calls.underway.iter().filter_map(|(number, c)| match c.stage {
            Stage::Called { question, conn, overdue: true } if conn != self.conn_of(c.call.key) => Some((*number, question)),
            _ => None,
        });
        for (number, question) in lost.collect::<Vec<(u64, u64)>>() {
            self.answered(question);
            self.end_call(now, number, Outcome::Indeterminate(LINK_LOST.to_owned()), out);
        }
    }

    /// Its process has ended.
    pub(super) fn on_called_died(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        self.end_call(now, number, Outcome::Indeterminate("its process ended while it ran".to_owned()), out);
    }

    /// Which exporter is called.
    pub(super) fn called(&self, number: u64) -> Option<Key> {
        self.calls.underway.get(&number).map(|c| c.call.key)
    }

    fn conn_of(&self, key: Key) -> Option<Conn> {
        self.exporters.get(&key).and_then(|e| e.conn)
    }

    /// What a request id is used for by a call, done or under way.
    pub(super) fn used_by_call(&self, id: &RequestId) -> Option<String> {
        let underway = || self.calls.underway.values().map(|c| &c.call).find(|call| call.request_id == *id);
        self.calls.journal.find(id).or_else(underway).map(|call| call.request.clone())
    }

    /// The exporter has too much to do: what it was asked did not begin.
    pub(super) fn on_busy(&mut self, now: Moment, key: Key, req: u64, reason: String, out: &mut Outbox) {
        let reason: String = reason.chars().take(limits::TEXT_LEN_MAX).collect();
        match self.questions.get(&req) {
            Some(Question::Call(number)) if self.called(*number) == Some(key) => {
                let number = *number;
                self.answered(req);
                self.unmake_call(now, number, |name| Refusal::Busy { name, reason }, out);
            }
            Some(Question::Validate(change)) => {
                let change = *change;
                if self.changes.get(&change).is_some_and(|c| c.key == key) {
                    self.answered(req);
                    self.refuse_change(change, &Refusal::Busy { name: String::new(), reason }, out);
                }
            }
            _ => {}
        }
    }

    pub(super) fn test_point(&self, name: &str) -> Result<(InstrumentId, String), Refusal> {
        let id = self.table.resolve(name, |i, at| self.is_at(i, at))?;
        let address = self.table.find(id).map(super::table::Instrument::address).unwrap_or_default();
        Ok((id, address))
    }

    pub(super) fn on_returned(&mut self, now: Moment, key: Key, req: u64, result: Result<String, String>, out: &mut Outbox) {
        let Some(Question::Call(number)) = self.questions.get(&req) else { return };
        let number = *number;
        if self.called(number) != Some(key) {
            return;
        }
        self.answered(req);
        let cut = |text: String| {
            if text.len() > limits::RESULT_LEN_MAX { text.chars().take(limits::RESULT_LEN_MAX / 4).collect() } else { text }
        };
        self.end_call(now, number, Outcome::Returned(result.map(cut).map_err(cut)), out);
    }

    /// It is known what became of it: that is entered in the journal before anybody is told.
    fn end_call(&mut self, now: Moment, number: u64, outcome: Outcome, out: &mut Outbox) {
        let Some(calling) = self.calls.underway.get_mut(&number) else { return };
        calling.call.outcome = Some(outcome);
        (calling.stage, calling.since) = (Stage::Leaving, now.time);
        // Where it cannot be entered it is told all the same. Others say of it that it is not known, unless this CPU leads again.
        if defect(Defect::AnswerUnwritten) || self.enter_call(now, number, out).is_err() {
            self.finish_call(number, out);
        }
    }

    /// It was made on another CPU: whoever asked here is answered with that.
    pub(super) fn finish_call_as(&mut self, number: u64, call: CallRecord, out: &mut Outbox) {
        if let Some(calling) = self.calls.underway.get_mut(&number) {
            calling.call = call;
            self.finish_call(number, out);
        }
    }

    /// Whoever asked is answered.
    pub(super) fn finish_call(&mut self, number: u64, out: &mut Outbox) {
        let Some(Calling { call, requesters, .. }) = self.calls.underway.remove(&number) else { return };
        self.calls.journal.remember(call.clone());
        for (i, (conn, req)) in requesters.into_iter().enumerate() {
            self.end_request(conn);
            self.answer_call(conn, req, &call, i > 0, out);
        }
    }
}
