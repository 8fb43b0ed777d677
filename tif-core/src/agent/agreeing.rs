//! Changes that other CPUs must have before they are accepted: what becomes of them.
// spec: CTL-3, CTL-4, GRP-9

use std::time::Duration;

use super::io::Moment;
use super::{Agent, Outbox};
use crate::machine::book::Entry;
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

    /// Another term has begun, and it is known what became of a change that was not accepted before it.
    // spec: CTL-3, CTL-4
    pub(super) fn on_change_settled(&mut self, entry: Entry, kept: bool, replicated: bool, out: &mut Outbox) {
        let Entry { controls, change } = entry;
        let number = self.proposed_as(&change.request_id);
        if kept {
            let result = change.result.clone();
            self.ledger.remember(change);
            if let Some(number) = number {
                self.answer_change(number, SetResult { replicated, ..result }, out);
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
}

fn unknown(id: &RequestId, name: String) -> Refusal {
    let reason =
        "other CPUs have not confirmed it; whether it will be accepted is not known: ask again with the same request id".to_owned();
    Refusal::TimedOut { name, reason, request_id: Some(id.clone()) }
}
