//! Test points: procedures are called, in-path points are armed.
// spec: TST-1, TST-2, TST-4, TST-5

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::io::{Conn, Moment};
use super::{Agent, Outbox, Question, Requester, Underway};
use crate::limits;
use crate::model::control::FaultAction;
use crate::model::{Argument, Arming, InstrumentId, Key, Kind, Refusal, RequestId, Slot, TestPointKind, Time, Value};
use crate::wire::ToProcess;

/// How much longer than its time limit a procedure's answer may take to come.
const RETURN_GRACE: Duration = Duration::from_millis(250);
/// Of how many running calls a refusal tells.
const RUNNING_SHOWN_MAX: usize = 4;
/// Why a call that overran its time will not be answered any more.
const LINK_LOST: &str = "the link to its process was lost while it ran";
/// How long a service may take to arm a point.
const ARM_TIMEOUT: Duration = Duration::from_secs(2);

/// A procedure that runs. One that overran its time limit stays here, without anybody who waits, until it returns or its process ends.
#[derive(Debug)]
pub(super) struct Calling {
    underway: Underway,
    pub key: Key,
    /// Its answer comes on this connection or not at all.
    conn: Option<Conn>,
    address: String,
    since: Time,
    timeout: Duration,
    is_overdue: bool,
}

/// A call that may begin.
struct Call {
    key: Key,
    slot: Slot,
    address: String,
    values: Vec<Value>,
    timeout: Duration,
}

/// A point that is being armed or disarmed.
#[derive(Debug)]
pub(super) struct ArmingUnderWay {
    requester: Option<Requester>,
    pub key: Key,
    pub slot: Slot,
    address: String,
    /// It is to be disarmed when the session ends.
    for_session: bool,
}

/// What the procedure answered; or, if there will never be an answer, what is said instead.
type Outcome = Result<Result<String, String>, Refusal>;

/// Results of calls by request id, the oldest forgotten first.
#[derive(Clone, Debug, Default)]
pub(super) struct Results {
    by_id: BTreeMap<RequestId, (String, Outcome)>,
    order: VecDeque<RequestId>,
}

impl Results {
    /// What an id was used for.
    fn used(&self, id: &RequestId) -> Option<&String> {
        self.by_id.get(id).map(|(request, _)| request)
    }

    fn remember(&mut self, id: RequestId, request: String, outcome: Outcome) {
        if self.by_id.insert(id.clone(), (request, outcome)).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > limits::RESULTS_KEPT_MAX / 16 {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }
}

impl Calling {
    fn show(&self, now: Time) -> String {
        let over = if self.is_overdue { format!(", over its limit of {:?}", self.timeout) } else { String::new() };
        format!("{} for {}s{over}", self.address, now.since(self.since).as_secs())
    }

    fn not_in_time(&self, now: Time) -> Refusal {
        let for_how_long = now.since(self.since).as_secs();
        let reason = if self.underway.requesters.is_empty() && self.is_overdue && for_how_long > self.timeout.as_secs() {
            format!("it still runs, after {for_how_long}s; whether it was done is not known")
        } else {
            format!("no answer within {:?}; whether it was done is not known", self.timeout)
        };
        Refusal::TimedOut { name: self.address.clone(), reason, request_id: Some(self.underway.request_id.clone()) }
    }
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
        self.give_up_lost_calls(out);
        let reused = |was: String| Refusal::RequestIdReused { id: request_id.to_string(), was };
        if let Some((was, outcome)) = self.calls.by_id.get(&request_id) {
            let answer = match outcome {
                _ if *was != request => ToProcess::Refused { req, refusal: reused(was.clone()) },
                Ok(result) => ToProcess::Fired { req, request_id, result: result.clone(), repeated: true },
                Err(refusal) => ToProcess::Refused { req, refusal: refusal.clone() },
            };
            return self.send(out, conn, answer);
        }
        // One space of ids: also a change has it for itself.
        // spec: CTL-3, TST-4
        if let Some(was) = self.used_by_change(&request_id) {
            return self.refuse(out, conn, req, reused(was));
        }
        let same = self.questions.iter().find_map(|(number, q)| match q {
            Question::Call(c) if c.underway.request_id == request_id => Some((*number, c)),
            _ => None,
        });
        if let Some((number, calling)) = same {
            let was = calling.underway.request.clone();
            if was != request {
                self.refuse(out, conn, req, reused(was));
            } else if calling.is_overdue {
                let refusal = calling.not_in_time(now.time);
                self.refuse(out, conn, req, refusal);
            } else if self.begin_request(conn, req, out)
                && let Some(Question::Call(calling)) = self.questions.get_mut(&number)
            {
                calling.underway.requesters.push((conn, req));
            }
            return;
        }
        match self.admit_call(now, name, &arguments) {
            Err(refusal) => self.refuse(out, conn, req, refusal),
            Ok(Call { key, slot, address, values, timeout }) => {
                if !self.begin_request(conn, req, out) {
                    return;
                }
                let underway = Underway { request_id, request, requesters: vec![(conn, req)] };
                let number = self.ask(
                    now,
                    Question::Call(Calling {
                        underway,
                        key,
                        conn: self.conn_of(key),
                        address,
                        since: now.time,
                        timeout,
                        is_overdue: false,
                    }),
                    timeout + RETURN_GRACE,
                );
                if !self.tell(out, key, ToProcess::Call { req: number, slot, arguments: values, timeout }) {
                    self.answered(number);
                    self.end_request(conn);
                    let refusal = Refusal::NoExporter { name: name.to_owned(), state: "its process cannot be reached".into() };
                    self.refuse(out, conn, req, refusal);
                }
            }
        }
    }

    /// The procedure and its typed arguments, in declared order.
    fn admit_call(&self, now: Moment, name: &str, given: &[(String, String)]) -> Result<Call, Refusal> {
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
        if let Some(reason) = self.running_out(now, key) {
            return Err(Refusal::Busy { name: address, reason });
        }
        Ok(Call { key, slot, address, values, timeout: *timeout })
    }

    /// Why no more calls of this exporter can begin; none if one can.
    // spec: TST-2, SEC-2
    fn running_out(&self, now: Moment, key: Key) -> Option<String> {
        let running: Vec<&Calling> = self.questions.values().filter_map(Question::call).filter(|c| c.key == key).collect();
        if running.len() < limits::CALLS_RUNNING_MAX {
            return None;
        }
        let service = self.exporters.get(&key).map_or("the service", |e| e.service.as_str());
        let shown: Vec<String> = running.iter().take(RUNNING_SHOWN_MAX).map(|c| c.show(now.time)).collect();
        let more = if running.len() > RUNNING_SHOWN_MAX { ", and others" } else { "" };
        Some(format!("{} calls of {service} are running, none free: {}{more}", running.len(), shown.join(", ")))
    }

    /// A call did not answer within its time limit. Whoever waits is told; should it return later, its request id will tell the result.
    // spec: TST-4
    pub(super) fn on_call_overdue(&mut self, now: Moment, number: u64, mut calling: Calling, out: &mut Outbox) {
        calling.is_overdue = true;
        if calling.conn != self.conn_of(calling.key) {
            return self.give_up(calling, LINK_LOST, out);
        }
        let refusal = calling.not_in_time(now.time);
        for (conn, req) in std::mem::take(&mut calling.underway.requesters) {
            self.end_request(conn);
            self.refuse(out, conn, req, refusal.clone());
        }
        self.questions.insert(number, Question::Call(calling));
    }

    /// Overrunning calls whose connection was lost: their results are lost with it. Their ids stay used.
    fn give_up_lost_calls(&mut self, out: &mut Outbox) {
        let is_lost = |c: &Calling| c.is_overdue && c.conn != self.conn_of(c.key);
        let lost: Vec<u64> = self.questions.iter().filter(|(_, q)| q.call().is_some_and(is_lost)).map(|(number, _)| *number).collect();
        for number in lost {
            if let Some(Question::Call(calling)) = self.answered(number) {
                self.give_up(calling, LINK_LOST, out);
            }
        }
    }

    /// Its answer will never come. That is no answer of the procedure: it may have done everything, something or nothing.
    // spec: TST-4
    pub(super) fn give_up(&mut self, calling: Calling, why: &str, out: &mut Outbox) {
        let Calling { underway: Underway { request_id, request, requesters }, address, .. } = calling;
        let reason = format!("{why}; whether it was done is not known");
        let refusal = Refusal::TimedOut { name: address, reason, request_id: None };
        self.calls.remember(request_id, request, Err(refusal.clone()));
        for (conn, req) in requesters {
            self.end_request(conn);
            self.refuse(out, conn, req, refusal.clone());
        }
    }

    fn conn_of(&self, key: Key) -> Option<Conn> {
        self.exporters.get(&key).and_then(|e| e.conn)
    }

    /// What a request id is used for by a call, done or running.
    pub(super) fn used_by_call(&self, id: &RequestId) -> Option<String> {
        let running = || {
            let mut running = self.questions.values().filter_map(Question::call);
            running.find(|c| c.underway.request_id == *id).map(|c| &c.underway.request)
        };
        self.calls.used(id).or_else(running).cloned()
    }

    /// The exporter has too much to do: what it was asked did not begin.
    pub(super) fn on_busy(&mut self, key: Key, req: u64, reason: String, out: &mut Outbox) {
        let reason: String = reason.chars().take(limits::TEXT_LEN_MAX).collect();
        match self.questions.get(&req) {
            Some(Question::Call(c)) if c.key == key => {
                if let Some(Question::Call(calling)) = self.answered(req) {
                    let refusal = Refusal::Busy { name: calling.address, reason };
                    for (conn, req) in calling.underway.requesters {
                        self.end_request(conn);
                        self.refuse(out, conn, req, refusal.clone());
                    }
                }
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

    fn test_point(&self, name: &str) -> Result<(InstrumentId, String), Refusal> {
        let id = self.table.resolve(name, |i, at| self.is_at(i, at))?;
        let address = self.table.find(id).map(super::table::Instrument::address).unwrap_or_default();
        Ok((id, address))
    }

    pub(super) fn on_returned(&mut self, key: Key, req: u64, result: Result<String, String>, out: &mut Outbox) {
        let ours = matches!(self.questions.get(&req), Some(Question::Call(c)) if c.key == key);
        if ours && let Some(Question::Call(calling)) = self.answered(req) {
            let cut = |text: String| {
                if text.len() > limits::RESULT_LEN_MAX { text.chars().take(limits::RESULT_LEN_MAX / 4).collect() } else { text }
            };
            self.finish_call(calling, result.map(cut).map_err(cut), out);
        }
    }

    /// The answer is remembered and given to whoever asked.
    fn finish_call(&mut self, calling: Calling, result: Result<String, String>, out: &mut Outbox) {
        let Underway { request_id, request, requesters } = calling.underway;
        self.calls.remember(request_id.clone(), request, Ok(result.clone()));
        for (i, (conn, req)) in requesters.into_iter().enumerate() {
            self.end_request(conn);
            self.send(out, conn, ToProcess::Fired { req, request_id: request_id.clone(), result: result.clone(), repeated: i > 0 });
        }
    }

    /// Arms, or with no arming disarms.
    pub(super) fn on_arm(&mut self, now: Moment, conn: Conn, req: u64, name: &str, arming: Option<Arming>, out: &mut Outbox) {
        match self.admit_arming(name, arming.as_ref()) {
            Err(refusal) => self.refuse(out, conn, req, refusal),
            Ok((key, slot, address)) => {
                if !self.begin_request(conn, req, out) {
                    return;
                }
                let for_session = arming.as_ref().is_some_and(|a| !a.outlives_session);
                let underway = ArmingUnderWay { requester: Some((conn, req)), key, slot, address, for_session };
                let number = self.ask(now, Question::Arm(underway), ARM_TIMEOUT);
                if !self.tell(out, key, ToProcess::Arm { req: number, slot, arming }) {
                    self.answered(number);
                    self.end_request(conn);
                    let refusal = Refusal::NoExporter { name: name.to_owned(), state: "its process cannot be reached".into() };
                    self.refuse(out, conn, req, refusal);
                }
            }
        }
    }

    fn admit_arming(&self, name: &str, arming: Option<&Arming>) -> Result<(Key, Slot, String), Refusal> {
        let (id, address) = self.test_point(name)?;
        let Some(instrument) = self.table.find(id) else { return Err(self.table.not_found(name, name)) };
        let Kind::TestPoint(TestPointKind::InPath { fields }) = &instrument.descriptor.kind else {
            let wanted = "only in-path test points can be armed".to_owned();
            return Err(Refusal::WrongKind { name: address, kind: instrument.descriptor.kind.word().into(), wanted });
        };
        if let Some(arming) = arming {
            check_arming(arming, fields).map_err(|reason| Refusal::Unfit { name: address.clone(), reason })?;
        }
        let (key, slot) =
            instrument.here().ok_or_else(|| Refusal::NoExporter { name: address.clone(), state: instrument.quality.to_string() })?;
        Ok((key, slot, address))
    }

    pub(super) fn on_armed(&mut self, key: Key, req: u64, result: Result<(), String>, out: &mut Outbox) {
        let ours = matches!(self.questions.get(&req), Some(Question::Arm(a)) if a.key == key);
        if ours && let Some(Question::Arm(arming)) = self.answered(req) {
            self.finish_arming(arming, result, out);
        }
    }

    pub(super) fn finish_arming(&mut self, arming: ArmingUnderWay, result: Result<(), String>, out: &mut Outbox) {
        let Some((conn, req)) = arming.requester else { return };
        self.end_request(conn);
        if let Err(reason) = result {
            return self.refuse(out, conn, req, Refusal::Invalid { name: arming.address, reason });
        }
        // Whoever armed it before: this arming is the one that counts.
        for session in self.sessions.values_mut() {
            session.armed.remove(&(arming.key, arming.slot));
        }
        match self.sessions.get_mut(&conn) {
            Some(session) if arming.for_session => {
                session.armed.insert((arming.key, arming.slot));
            }
            Some(_) => {}
            // The session ended while the point was being armed for it.
            // spec: TST-5
            None if arming.for_session => return self.disarm_for_session(arming.key, arming.slot, out),
            None => return,
        }
        self.send(out, conn, ToProcess::Armed { req, name: arming.address });
    }

    /// It has disarmed itself: no session needs to.
    pub(super) fn on_disarmed(&mut self, key: Key, slot: Slot) {
        for session in self.sessions.values_mut() {
            session.armed.remove(&(key, slot));
        }
    }

    /// The session that armed it has ended.
    // spec: TST-5
    pub(super) fn disarm_for_session(&mut self, key: Key, slot: Slot, out: &mut Outbox) {
        let req = self.number();
        self.tell(out, key, ToProcess::Arm { req, slot, arming: None });
    }
}

/// Whether an arming is within its bounds.
///
/// # Errors
/// With what is wrong and what would be right.
// spec: TST-1
fn check_arming(arming: &Arming, fields: &[Argument]) -> Result<(), String> {
    if !(0.0..=1.0).contains(&arming.probability) {
        return Err(format!("the probability {} is out of range: allowed are 0 to 1", arming.probability));
    }
    if arming.hits_max == Some(0) {
        return Err("a hit limit of 0 would never hit: allowed are 1 and more".into());
    }
    if arming.expires_after.is_zero() || arming.expires_after > limits::ARM_EXPIRY_MAX {
        return Err(format!("armed for {:?}: allowed are more than 0 and up to {:?}", arming.expires_after, limits::ARM_EXPIRY_MAX));
    }
    if let FaultAction::Delay(delay) = arming.action
        && delay > limits::ARM_DELAY_MAX
    {
        return Err(format!("a delay of {delay:?}: at most {:?} are allowed", limits::ARM_DELAY_MAX));
    }
    if arming.conditions.len() > limits::ARGUMENTS_MAX {
        return Err(format!("{} conditions: at most {} are allowed", arming.conditions.len(), limits::ARGUMENTS_MAX));
    }
    for condition in &arming.conditions {
        let Some(field) = fields.iter().find(|f| f.name == condition.field) else {
            let known: Vec<&str> = fields.iter().map(|f| f.name.as_str()).collect();
            let known = if known.is_empty() { "it has no fields".to_owned() } else { format!("its fields are {}", known.join(", ")) };
            return Err(format!("no field is called `{}`; {known}", condition.field));
        };
        field.admit(&condition.literal).map_err(|e| format!("{}: {e}", field.name))?;
    }
    Ok(())
}
