//! What the accepted changes of one service amount to: the values of its controls, the answer to each request, and which procedures were called.
//!
//! It is the state that `replication` keeps equal on several CPUs. A successor finds in it what its controls were set to, what each request that is
//! repeated was answered, and which calls are not to be made again.
// spec: CTL-3, CTL-4, CTL-7, TST-4

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::calls::{CallRecord, Journal};
use super::confirm::Keep;
use super::replication::State;
use crate::agent::io::{ChangeRecord, ControlRecord};
use crate::model::{Name, RequestId};

/// Answers that a book keeps; the oldest go first. All of it travels to a CPU that joins.
// spec: SEC-2
pub const ANSWERS_MAX: usize = 4096;
/// Bytes of the texts of the calls that a book keeps, for the same reason.
// spec: SEC-2
const CALLS_LEN_MAX: usize = 1 << 20;

/// One accepted change: all of it is durable, or nothing.
// spec: CTL-6
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its controls as they are with it, all of one source.
    pub controls: Vec<ControlRecord>,
    /// The request and its answer.
    pub change: ChangeRecord,
}

/// One line of the book.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Line {
    /// A change.
    Change(Entry),
    /// A call: that it begins, or what became of it.
    Call(CallRecord),
    /// A call did not begin: its id may be used again.
    NotCalled(RequestId),
}

/// What tells one line from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LineId {
    /// The change that was requested so.
    Change(RequestId),
    /// That the call begins.
    Begins(RequestId),
    /// What became of it.
    Ends(RequestId),
    /// That it did not begin.
    NotCalled(RequestId),
}

impl Line {
    /// What tells it from others.
    pub fn id(&self) -> LineId {
        match self {
            Line::Change(entry) => LineId::Change(entry.change.request_id.clone()),
            Line::Call(call) if call.outcome.is_none() => LineId::Begins(call.request_id.clone()),
            Line::Call(call) => LineId::Ends(call.request_id.clone()),
            Line::NotCalled(id) => LineId::NotCalled(id.clone()),
        }
    }
}

/// The accepted changes that wait to be confirmed, each with what it changed: however old they are, an end comes.
// spec: CTL-6
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Unsettled(BTreeMap<RequestId, Entry>);

impl Unsettled {
    /// A change is accepted: it may be one of them, or the end of one.
    pub fn take_in(&mut self, entry: &Entry) {
        match &entry.change.keep {
            Keep::ForGood => {}
            Keep::Until(_) => drop(self.0.insert(entry.change.request_id.clone(), entry.clone())),
            Keep::Settles(id, _) => drop(self.0.remove(id)),
        }
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.0.values()
    }

    /// Those of one source.
    pub fn of_source(&self, source: &Name) -> impl Iterator<Item = &Entry> {
        self.iter().filter(move |entry| entry.controls.first().is_some_and(|control| control.source == *source))
    }

    /// Those of a source are others from now on.
    pub fn replace(&mut self, source: &Name, by: &Unsettled) {
        self.0.retain(|_, entry| entry.controls.first().is_none_or(|control| control.source != *source));
        self.0.extend(by.0.clone());
    }
}

impl FromIterator<Entry> for Unsettled {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Unsettled {
        Unsettled(entries.into_iter().map(|entry| (entry.change.request_id.clone(), entry)).collect())
    }
}

/// All of them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    controls: BTreeMap<String, ControlRecord>,
    answers: VecDeque<ChangeRecord>,
    unsettled: Unsettled,
    calls: Journal,
}

impl Book {
    /// With these values and calls, and no answer: what a store remembers from the time when it was the only one.
    pub fn of(
        controls: impl IntoIterator<Item = ControlRecord>,
        unsettled: Unsettled,
        calls: impl IntoIterator<Item = CallRecord>,
    ) -> Book {
        let controls = controls.into_iter().map(|c| (c.name.clone(), c)).collect();
        let mut book = Book { controls, unsettled, ..Book::default() };
        calls.into_iter().for_each(|call| book.calls.remember_within(call, CALLS_LEN_MAX));
        book
    }

    /// The controls that were changed.
    pub fn controls(&self) -> impl Iterator<Item = &ControlRecord> {
        self.controls.values()
    }

    /// A control, if it was changed.
    pub fn control(&self, name: &str) -> Option<&ControlRecord> {
        self.controls.get(name)
    }

    /// The answers, oldest first.
    pub fn answers(&self) -> impl DoubleEndedIterator<Item = &ChangeRecord> {
        self.answers.iter()
    }

    /// Those that wait to be confirmed.
    pub fn unsettled(&self) -> &Unsettled {
        &self.unsettled
    }

    /// The calls, oldest first. One without an outcome may have begun.
    pub fn calls(&self) -> impl Iterator<Item = &CallRecord> {
        self.calls.iter()
    }

    /// A call, if it is among them.
    pub fn call(&self, id: &RequestId) -> Option<&CallRecord> {
        self.calls.find(id)
    }

    /// What a request was answered.
    pub fn answer(&self, id: &RequestId) -> Option<&ChangeRecord> {
        // What is asked for again was mostly asked for just now.
        self.answers.iter().rev().find(|change| change.request_id == *id)
    }

    /// Whether a request is answered.
    pub fn is_answered(&self, id: &RequestId) -> bool {
        self.answer(id).is_some()
    }

    fn accept(&mut self, entry: &Entry) {
        self.controls.extend(entry.controls.iter().map(|control| (control.name.clone(), control.clone())));
        self.unsettled.take_in(entry);
        self.answers.push_back(entry.change.clone());
        while self.answers.len() > ANSWERS_MAX {
            self.answers.pop_front();
        }
    }
}

impl State for Book {
    type Entry = Line;
    type Id = LineId;

    fn id(line: &Line) -> LineId {
        line.id()
    }

    fn apply(&mut self, line: &Line) {
        match line {
            Line::Change(entry) => self.accept(entry),
            Line::Call(call) => self.calls.remember_within(call.clone(), CALLS_LEN_MAX),
            Line::NotCalled(id) => self.calls.forget(id),
        }
    }

    fn holds(&self, id: &LineId) -> bool {
        match id {
            LineId::Change(id) => self.is_answered(id),
            LineId::Begins(id) => self.calls.find(id).is_some(),
            LineId::Ends(id) => self.calls.find(id).is_some_and(|call| call.outcome.is_some()),
            LineId::NotCalled(id) => self.calls.find(id).is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Changed, SetResult, Stamp, Value, Version};

    fn entry(n: u64) -> Entry {
        let source: crate::model::Name = "orders".parse().unwrap();
        let name = "orders.batch".to_owned();
        let control =
            ControlRecord { source: source.clone(), name: name.clone(), version: Version(n), value: Value::U64(n), memorized: true };
        let request_id: RequestId = format!("r{n}").parse().unwrap();
        let result = SetResult {
            request_id: request_id.clone(),
            changed: vec![Changed { name, old: Value::U64(n - 1), new: Value::U64(n), choices: Vec::new(), version: Version(n) }],
            replicated: true,
            applied: false,
            dry_run: false,
            repeated: false,
        };
        let request = format!("set orders.batch {n}");
        let change = ChangeRecord { request_id, request, result, who: source, uid: 0, reason: None, at: Stamp(0), keep: Keep::ForGood };
        Entry { controls: vec![control], change }
    }

    // spec: CTL-3, SEC-2
    #[test]
    fn it_knows_the_last_value_and_the_latest_answers() {
        let mut book = Book::default();
        for n in 1..=ANSWERS_MAX as u64 + 1 {
            book.apply(&Line::Change(entry(n)));
        }
        assert_eq!(book.control("orders.batch").map(|c| c.version.0), Some(ANSWERS_MAX as u64 + 1));
        assert!(book.is_answered(&"r2".parse().unwrap()) && !book.is_answered(&"r1".parse().unwrap()));
    }

    // spec: TST-4
    #[test]
    fn it_knows_of_a_call_from_before_it_begins_and_forgets_one_that_did_not() {
        let mut book = Book::default();
        let id: RequestId = "f1".parse().unwrap();
        let begins = CallRecord {
            request_id: id.clone(),
            request: "fire orders.flush".into(),
            name: "orders.flush".into(),
            key: crate::model::Key::NONE,
            who: "tester".parse().unwrap(),
            uid: 0,
            at: Stamp(1),
            outcome: None,
        };
        let ends = CallRecord { outcome: Some(super::super::calls::Outcome::Returned(Ok("3".into()))), ..begins.clone() };
        let holds =
            |book: &Book| [LineId::Begins(id.clone()), LineId::Ends(id.clone()), LineId::NotCalled(id.clone())].map(|of| book.holds(&of));
        assert_eq!(holds(&book), [false, false, true]);
        book.apply(&Line::Call(begins.clone()));
        assert_eq!(holds(&book), [true, false, false]);
        book.apply(&Line::NotCalled(id.clone()));
        assert_eq!(holds(&book), [false, false, true]);
        book.apply(&Line::Call(begins));
        book.apply(&Line::Call(ends.clone()));
        assert_eq!((holds(&book), book.calls().collect::<Vec<_>>()), ([true, true, false], vec![&ends]));
    }
}
