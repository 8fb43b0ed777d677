//! Changes that other CPUs must have before they are accepted, and calls that these must know of before they begin: what becomes of them.
// spec: CTL-3, CTL-4, TST-4, GRP-9

use std::time::Duration;

use super::calling::{Calling, Stage};
use super::io::Moment;
use super::{Agent, Outbox};
use crate::defects::{Defect, defect};
use crate::machine::book::{Book, Entry, Line};
use crate::machine::calls::{CallRecord, Outcome};
use crate::machine::control::ControlName;
use crate::model::{Name, Refusal, RequestId, SetResult};

impl Agent {
    /// It was put to the others.
    pub(super) fn mark_proposed(&mut self, number: u64, now: Moment) {
        if let Some(change) = self.changes.get_mut(&number) {
            change.proposed = Some(now.time);
        }
    }

    fn proposed_as(&self, id: &RequestId) -> Option<u64> {
        self.changes.iter().find(|(_, c)| c.proposed.is_some() && c.underway.request_id == *id).map(|(number, _)| *number)
    }

    /// All that must have it have it: it is accepted.
    pub(super) fn on_change_agreed(&mut self, now: Moment, entry: Entry, replicated: bool, out: &mut Outbox) {
        if let Some(number) = self.proposed_as(&entry.change.request_id) {
            if let Some(result) = self.changes.get_mut(&number).and_then(|c| c.result.as_mut()) {
                result.replicated = replicated;
            }
            return self.on_change_stored(now, number, out);
        }
        // Nobody waits for it any more.
        self.take_effect(now, entry, out);
    }

    /// Another term has begun, and it is known what became of a change that was not accepted before it. What the log has of its request is not always this
    /// attempt: it may have been lost, and the request have been made again on another CPU.
    // spec: CTL-3, CTL-4
    pub(super) fn on_change_settled(&mut self, service: &Name, entry: Entry, kept: bool, replicated: bool, out: &mut Outbox) {
        let Entry { controls, change } = entry;
        let number = self.proposed_as(&change.request_id);
        let done = if defect(Defect::AnswerOwnAttempt) {
            Some(&change)
        } else {
            self.book_of(service).and_then(|book| book.answer(&change.request_id))
        };
        if let Some(done) = done.filter(|_| kept).cloned() {
            let (result, was) = (done.result.clone(), done.request.clone());
            self.ledger.remember(done);
            match number {
                Some(number) if was != change.request => {
                    self.refuse_change(number, &Refusal::RequestIdReused { id: change.request_id.to_string(), was }, out);
                }
                Some(number) => self.answer_change(number, SetResult { replicated, ..result }, out),
                None => {}
            }
        } else if let Some(number) = number {
            let reason = "another CPU took over before it was accepted".to_owned();
            let name = controls.into_iter().next().map(|control| control.name).unwrap_or_default();
            self.refuse_change(number, &Refusal::CutOff { name, reason }, out);
        }
    }

    /// It is accepted, whether its service runs with it or not.
    pub(super) fn answer_change(&mut self, number: u64, result: SetResult, out: &mut Outbox) {
        let Some(change) = self.changes.get_mut(&number) else { return };
        let lines: Vec<ControlName> = change.controls().cloned().collect();
        let repeated = result.repeated;
        change.result = Some(result);
        self.finish_change_as(number, false, repeated, out);
        self.next_in_lines(&lines, number);
    }

    /// This CPU's own store has failed: what it had proposed is with nobody, or with somebody and not accepted.
    pub(super) fn drop_proposed(&mut self, service: &Name, is_kept: impl Fn(&RequestId) -> bool, refusal: &Refusal, out: &mut Outbox) {
        let proposed = self.changes.iter().filter(|(_, c)| c.source() == service && c.proposed.is_some());
        // Those that are accepted wait for their service only.
        let open = proposed.filter(|(_, c)| self.ledger.used(&c.underway.request_id).is_none());
        let open: Vec<(u64, RequestId)> = open.map(|(number, c)| (*number, c.underway.request_id.clone())).collect();
        for (number, id) in open {
            let refusal = if is_kept(&id) { unknown(&id, String::new()) } else { refusal.clone() };
            self.refuse_change(number, &refusal, out);
        }
    }

    /// The other CPUs have not answered: requesters are told so. What is proposed stays so, and keeps its place in line.
    // spec: CTL-3
    pub(super) fn give_proposed_up(&mut self, now: Moment, patience: Duration, out: &mut Outbox) {
        let old = |c: &super::changing::Change| now.time.since(c.asked) >= patience && self.ledger.used(&c.underway.request_id).is_none();
        let stuck: Vec<(u64, bool)> = self
            .changes
            .iter()
            .filter(|(_, c)| old(c) && self.is_shared(c.source()))
            .map(|(number, c)| (*number, c.proposed.is_some()))
            .collect();
        for (number, proposed) in stuck {
            let Some(change) = self.changes.get_mut(&number) else { continue };
            let (id, name) = (change.underway.request_id.clone(), change.parts[0].control.1.clone());
            let is_behind = |control| self.busy.get(control).and_then(|line| line.front()).is_some_and(|first| *first != number);
            let behind = change.controls().any(is_behind);
            if proposed {
                for (conn, req) in std::mem::take(&mut change.underway.requesters) {
                    self.end_request(conn);
                    self.refuse(out, conn, req, unknown(&id, name.clone()));
                }
            } else if behind {
                let reason = "a change before it waits for another CPU".to_owned();
                self.refuse_change(number, &Refusal::CutOff { name, reason }, out);
            }
        }
    }

    /// The call under way of which this line is.
    fn journaled_as(&self, call: &CallRecord) -> Option<u64> {
        let is_it = |c: &Calling| {
            let entered = matches!(c.stage, Stage::Entering(..)) && call.outcome.is_none();
            let left = matches!(c.stage, Stage::Leaving) && call.outcome.is_some();
            c.call.request_id == call.request_id && (entered || left)
        };
        self.calls.underway.iter().find(|(_, c)| is_it(c)).map(|(number, _)| *number)
    }

    /// All that could take over know of it: it begins, or its outcome is told.
    // spec: TST-4
    pub(super) fn on_call_agreed(&mut self, now: Moment, call: &CallRecord, out: &mut Outbox) {
        if let Some(number) = self.journaled_as(call) {
            self.on_call_stored(now, number, out);
        }
    }

    /// Another term has begun, and it is known whether the log has it: this attempt, or one that was made on another CPU since this one was lost.
    // spec: TST-4
    pub(super) fn on_call_settled(&mut self, now: Moment, service: &Name, call: &CallRecord, kept: bool, out: &mut Outbox) {
        let Some(number) = self.journaled_as(call) else { return };
        if call.outcome.is_some() {
            return self.on_call_stored(now, number, out);
        }
        let leads = self.peers.electing.groups.get(service).is_some_and(|s| s.established.is_some());
        let entered = self.book_of(service).and_then(|book| book.call(&call.request_id)).filter(|_| kept).cloned();
        let not_begun =
            || Refusal::CutOff { name: call.name.clone(), reason: "another CPU took over before it began; nothing was done".into() };
        match entered {
            Some(entered) if entered == *call && leads => self.on_call_stored(now, number, out),
            Some(entered) if entered == *call => self.refuse_call(number, &not_begun(), out),
            Some(other) if other.request != call.request => {
                self.refuse_call(number, &Refusal::RequestIdReused { id: call.request_id.to_string(), was: other.request }, out);
            }
            Some(other) => match other.outcome.clone().or_else(|| leads.then(lost)) {
                Some(outcome) => self.finish_call_as(number, CallRecord { outcome: Some(outcome), ..other }, out),
                None => self.refuse_call(number, &unknown(&call.request_id, call.name.clone()), out),
            },
            None => self.refuse_call(number, &not_begun(), out),
        }
    }

    /// The calls that are being entered in a log, and whether that is their end.
    fn journaling(&self, which: impl Fn(&Calling) -> bool) -> Vec<(u64, bool)> {
        let open = |(number, calling): (&u64, &Calling)| match calling.stage {
            Stage::Entering(..) => Some((*number, false)),
            Stage::Leaving => Some((*number, true)),
            Stage::Called { .. } => None,
        };
        self.calls.underway.iter().filter(|(_, c)| c.log.is_some() && which(c)).filter_map(open).collect()
    }

    /// This CPU's own store has failed. What was not begun is not; an outcome is told all the same.
    // spec: SEC-3
    pub(super) fn drop_journaled(&mut self, service: &Name, refusal: &Refusal, out: &mut Outbox) {
        for (number, ended) in self.journaling(|c| c.log.as_ref() == Some(service)) {
            if ended { self.finish_call(number, out) } else { self.refuse_call(number, refusal, out) }
        }
    }

    /// The other CPUs have not answered. Whoever waits for a call to begin is told so; an outcome is told without them.
    pub(super) fn give_journaled_up(&mut self, now: Moment, patience: Duration, out: &mut Outbox) {
        for (number, ended) in self.journaling(|c| now.time.since(c.since) >= patience) {
            if ended {
                self.finish_call(number, out);
                continue;
            }
            let Some(calling) = self.calls.underway.get_mut(&number) else { continue };
            let refusal = unknown(&calling.call.request_id, calling.call.name.clone());
            for (conn, req) in std::mem::take(&mut calling.requesters) {
                self.end_request(conn);
                self.refuse(out, conn, req, refusal.clone());
            }
        }
    }

    /// This CPU leads, with all that the log has: of a call that was begun, and that does not run here, nobody will hear what became of it. Unless it is known
    /// here, because this CPU led before.
    // spec: TST-4
    pub(super) fn take_calls(&mut self, now: Moment, service: &Name, book: &Book, out: &mut Outbox) {
        let is_underway = |call: &CallRecord| self.calls.underway.values().any(|c| c.call.request_id == call.request_id);
        let over: Vec<&CallRecord> = book.calls().filter(|call| !is_underway(call)).collect();
        let learnt: Vec<CallRecord> = over.into_iter().filter_map(|call| self.calls.journal.take_over(call, lost)).collect();
        for call in learnt {
            self.propose_line(now, service, Line::Call(call), out).ok();
        }
    }
}

/// What is told of a call that another CPU had begun when this one took over.
fn lost() -> Outcome {
    Outcome::Indeterminate("another CPU took the service over while it ran".to_owned())
}

pub(super) fn unknown(id: &RequestId, name: String) -> Refusal {
    let reason =
        "other CPUs have not confirmed it; whether it will be accepted is not known: ask again with the same request id".to_owned();
    if defect(Defect::DoubtChanges) {
        return Refusal::Indeterminate { name, reason };
    }
    Refusal::TimedOut { name, reason, request_id: Some(id.clone()) }
}
