//! What the accepted changes of one service amount to: the values of its controls, and the answer to each request.
//!
//! It is the state that `replication` keeps equal on several CPUs. A successor finds in it what its controls were set to, and what each request that is
//! repeated was answered.
// spec: CTL-3, CTL-4, CTL-7

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::confirm::Keep;
use super::replication::State;
use crate::agent::io::{ChangeRecord, ControlRecord};
use crate::model::{Name, RequestId};

/// Answers that a book keeps; the oldest go first. All of it travels to a CPU that joins.
// spec: SEC-2
pub const ANSWERS_MAX: usize = 4096;

/// One accepted change: all of it is durable, or nothing.
// spec: CTL-6
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Its controls as they are with it, all of one source.
    pub controls: Vec<ControlRecord>,
    /// The request and its answer.
    pub change: ChangeRecord,
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
}

impl Book {
    /// With these values and no answer: what a store remembers from the time when it was the only one.
    pub fn of(controls: impl IntoIterator<Item = ControlRecord>, unsettled: Unsettled) -> Book {
        Book { controls: controls.into_iter().map(|c| (c.name.clone(), c)).collect(), answers: VecDeque::new(), unsettled }
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

    /// Whether nothing was ever changed.
    pub fn is_empty(&self) -> bool {
        self.controls.is_empty() && self.answers.is_empty()
    }
}

impl State for Book {
    type Entry = Entry;
    type Id = RequestId;

    fn id(entry: &Entry) -> RequestId {
        entry.change.request_id.clone()
    }

    fn apply(&mut self, entry: &Entry) {
        self.controls.extend(entry.controls.iter().map(|control| (control.name.clone(), control.clone())));
        self.unsettled.take_in(entry);
        self.answers.push_back(entry.change.clone());
        while self.answers.len() > ANSWERS_MAX {
            self.answers.pop_front();
        }
    }

    fn holds(&self, id: &RequestId) -> bool {
        // What is asked for again was mostly asked for just now.
        self.answers.iter().rev().any(|change| change.request_id == *id)
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
            book.apply(&entry(n));
        }
        assert_eq!(book.control("orders.batch").map(|c| c.version.0), Some(ANSWERS_MAX as u64 + 1));
        assert!(book.holds(&"r2".parse().unwrap()) && !book.holds(&"r1".parse().unwrap()));
    }
}
