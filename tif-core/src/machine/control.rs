//! Accepted control values and the results of changes.
//!
//! A ledger: what each control was set to, in which version; and, by the requester's own number, what became of each change, so that asking twice
//! does it once.
// spec: CTL-3, CTL-5, CTL-7

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::agent::io::{ChangeRecord, ControlRecord, ControlValue};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::book::{Book, Entry, Unsettled};
use crate::machine::confirm::{End, Keep};
use crate::model::{Descriptor, Name, Refusal, RequestId, Slot, Value, Version};

/// One control: the source it belongs to and its name with dimensions.
pub type ControlName = (Name, String);

#[derive(Clone, Debug)]
struct Held {
    version: Version,
    value: Value,
    memorized: bool,
}

/// What a request id stands for.
#[derive(Clone, Debug, PartialEq)]
pub enum Known {
    /// Never heard.
    New,
    /// Done: this was the answer.
    Done(Box<ChangeRecord>),
    /// Used for another request.
    Reused {
        /// Which.
        was: String,
    },
}

/// The ledger of one CPU.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    values: BTreeMap<ControlName, Held>,
    results: BTreeMap<RequestId, ChangeRecord>,
    order: VecDeque<RequestId>,
    unsettled: Unsettled,
}

impl Ledger {
    /// Puts back what the store remembers of a control.
    pub fn restore(&mut self, record: ControlRecord) {
        let held = Held { version: record.version, value: record.value, memorized: record.memorized };
        self.values.insert((record.source, record.name), held);
    }

    /// Puts back, or adds, the answer to a change.
    pub fn remember(&mut self, change: ChangeRecord) {
        let id = change.request_id.clone();
        if self.results.insert(id.clone(), change).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > limits::RESULTS_KEPT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.results.remove(&oldest);
            }
        }
    }

    /// Puts back what several CPUs have agreed on for a source, in the place of what was known of it.
    // spec: CTL-4, CTL-7
    pub fn take_book(&mut self, source: &Name, book: &Book) {
        self.values.retain(|(of, _), _| of != source);
        self.unsettled.replace(source, book.unsettled());
        for control in book.controls() {
            self.restore(control.clone());
        }
        for change in book.answers() {
            if !self.results.contains_key(&change.request_id) {
                self.remember(change.clone());
            }
        }
    }

    /// The controls of a source.
    pub fn of_source(&self, source: &Name) -> impl Iterator<Item = ControlRecord> {
        self.values.iter().filter(move |((of, _), _)| of == source).map(|((source, name), held)| ControlRecord {
            source: source.clone(),
            name: name.clone(),
            version: held.version,
            value: held.value.clone(),
            memorized: held.memorized,
        })
    }

    /// What is known of a request id. `request` tells a repetition from a reuse.
    // spec: CTL-3
    pub fn known(&self, id: &RequestId, request: &str) -> Known {
        match self.results.get(id) {
            None => Known::New,
            Some(done) if done.request == request || defect(Defect::AnswerOfAnother) => Known::Done(Box::new(done.clone())),
            Some(done) => Known::Reused { was: done.request.clone() },
        }
    }

    /// What became of a change.
    pub fn answer(&self, id: &RequestId) -> Option<&ChangeRecord> {
        self.results.get(id)
    }

    /// What a request id was used for.
    pub fn used(&self, id: &RequestId) -> Option<&str> {
        self.results.get(id).map(|done| done.request.as_str())
    }

    /// A control's version and value; version 0 and the default before the first change.
    pub fn current(&self, control: &ControlName, descriptor: &Descriptor) -> (Version, Value) {
        match self.values.get(control) {
            Some(held) if fits(descriptor, &held.value) => (held.version, held.value.clone()),
            Some(held) => (held.version, default_of(descriptor)),
            None => (Version(0), default_of(descriptor)),
        }
    }

    /// Refuses a change that expects another version.
    ///
    /// # Errors
    /// With the current version.
    // spec: CTL-5
    pub fn check_version(&self, control: &ControlName, descriptor: &Descriptor, expected: Option<Version>) -> Result<(), Refusal> {
        let (current, _) = self.current(control, descriptor);
        match expected {
            Some(expected) if expected != current && !defect(Defect::IgnoreVersion) => {
                Err(Refusal::StaleVersion { name: control.1.clone(), expected, current })
            }
            _ => Ok(()),
        }
    }

    /// An accepted change that is durable.
    pub fn apply(&mut self, entry: Entry) {
        self.unsettled.take_in(&entry);
        for control in entry.controls {
            self.restore(control);
        }
        self.remember(entry.change);
    }

    /// Puts back what the store remembers of those that wait to be confirmed.
    pub fn restore_unsettled(&mut self, unsettled: Unsettled) {
        self.unsettled = unsettled;
    }

    /// Those that wait to be confirmed.
    // spec: CTL-6
    pub fn unsettled(&self) -> &Unsettled {
        &self.unsettled
    }

    /// How each ended that is remembered to have ended.
    pub fn settled(&self) -> impl Iterator<Item = (&RequestId, End)> {
        self.order.iter().filter_map(|id| self.results.get(id)).filter_map(|change| match &change.keep {
            Keep::Settles(id, end) => Some((id, *end)),
            _ => None,
        })
    }

    /// The value of a control that was changed.
    pub fn value(&self, control: &ControlName) -> Option<&Value> {
        self.values.get(control).map(|held| &held.value)
    }

    /// What a control that was changed is to be with its next change.
    pub fn next(&self, control: &ControlName, value: Value) -> Option<ControlRecord> {
        let held = self.values.get(control)?;
        let (source, name) = control.clone();
        Some(ControlRecord { source, name, version: Version(held.version.0 + 1), value, memorized: held.memorized })
    }

    /// Whether a control's version is at least this: the change that made it is durable.
    pub fn has(&self, control: &ControlName, version: Version) -> bool {
        self.values.get(control).is_some_and(|held| held.version >= version)
    }

    /// The service has said that it runs with this change.
    pub fn mark_applied(&mut self, id: &RequestId) {
        if let Some(change) = self.results.get_mut(id) {
            change.result.applied = true;
        }
    }

    /// What a new exporter's board must hold: the accepted values that still fit what it declares.
    // spec: CTL-7, OUT-4
    pub fn board<'a>(&self, source: &Name, declared: impl Iterator<Item = (Slot, String, &'a Descriptor)>) -> Vec<ControlValue> {
        declared
            .filter(|(_, _, descriptor)| descriptor.is_control())
            .filter_map(|(slot, name, descriptor)| {
                let held = self.values.get(&(source.clone(), name))?;
                fits(descriptor, &held.value).then(|| ControlValue { slot, version: held.version, value: held.value.clone() })
            })
            .collect()
    }

    /// The controls of a source whose values end with it.
    pub fn volatile_of(&self, source: &Name) -> Vec<String> {
        let volatile = self.values.iter().filter(|((of, _), held)| of == source && !held.memorized);
        volatile.map(|((_, name), _)| name.clone()).collect()
    }

    /// The sources of whose controls values are known.
    pub fn sources(&self) -> BTreeSet<Name> {
        self.values.keys().map(|(source, _)| source.clone()).collect()
    }

    /// The service has ended in good order: values that are not memorized end with it. True if there were any.
    // spec: CTL-7
    pub fn forget_volatile(&mut self, source: &Name) -> bool {
        let before = self.values.len();
        self.values.retain(|(of, _), held| of != source || held.memorized);
        before != self.values.len()
    }
}

fn default_of(descriptor: &Descriptor) -> Value {
    descriptor.default.clone().unwrap_or(Value::Bool(false))
}

/// A value of an earlier version of the service may no longer be one that this version allows.
fn fits(descriptor: &Descriptor, value: &Value) -> bool {
    let choice_exists = match value {
        Value::Choice(index) => (*index as usize) < descriptor.choices.len(),
        _ => true,
    };
    value.value_type() == descriptor.value_type && choice_exists && descriptor.check(value, "").is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::descriptor::tests::control;
    use crate::model::{Changed, Number, SetResult, Stamp};

    fn source() -> Name {
        "orders".parse().unwrap()
    }

    fn change(id: &str, version: u64, value: u64, memorized: bool) -> (ControlRecord, ChangeRecord) {
        let record =
            ControlRecord { source: source(), name: "orders.batch".into(), version: Version(version), value: Value::U64(value), memorized };
        let result = SetResult {
            request_id: id.parse().unwrap(),
            changed: vec![Changed {
                name: record.name.clone(),
                old: Value::U64(64),
                new: Value::U64(value),
                choices: Vec::new(),
                version: Version(version),
            }],
            replicated: false,
            applied: true,
            dry_run: false,
            repeated: false,
        };
        let request = format!("set orders.batch {value}");
        let change = ChangeRecord {
            request_id: id.parse().unwrap(),
            request,
            result,
            who: source(),
            uid: 0,
            reason: None,
            at: Stamp(0),
            keep: Keep::ForGood,
        };
        (record, change)
    }

    fn board(ledger: &Ledger, descriptor: &Descriptor) -> Vec<u64> {
        let declared = [(Slot(3), "orders.batch".to_owned(), descriptor)];
        ledger.board(&source(), declared.into_iter()).into_iter().filter_map(|c| c.value.to_bits()).collect()
    }

    // spec: CTL-3
    #[test]
    fn a_request_id_heard_again_gets_its_recorded_answer_and_a_reused_one_is_told() {
        let mut ledger = Ledger::default();
        let (record, done) = change("a", 1, 100, true);
        ledger.apply(Entry { controls: vec![record], change: done.clone() });
        assert_eq!(ledger.known(&"a".parse().unwrap(), "set orders.batch 100"), Known::Done(Box::new(done)));
        assert_eq!(ledger.known(&"a".parse().unwrap(), "set orders.batch 5"), Known::Reused { was: "set orders.batch 100".into() });
        assert_eq!(ledger.known(&"b".parse().unwrap(), "x"), Known::New);
    }

    // spec: CTL-5
    #[test]
    fn a_change_that_expects_another_version_is_refused_with_the_current_one() {
        let mut ledger = Ledger::default();
        let name = (source(), "orders.batch".to_owned());
        assert!(ledger.check_version(&name, &control(None), Some(Version(0))).is_ok());
        let (record, done) = change("a", 1, 100, true);
        ledger.apply(Entry { controls: vec![record], change: done });
        let refused = ledger.check_version(&name, &control(None), Some(Version(0))).unwrap_err();
        assert!(matches!(refused, Refusal::StaleVersion { current: Version(1), .. }));
    }

    // spec: CTL-7
    #[test]
    fn memorized_values_stay_when_the_service_ends_and_others_go() {
        for memorized in [true, false] {
            let mut ledger = Ledger::default();
            let (record, done) = change("a", 1, 100, memorized);
            ledger.apply(Entry { controls: vec![record], change: done });
            assert_eq!(board(&ledger, &control(None)), [100]);
            assert_eq!(ledger.forget_volatile(&source()), !memorized);
            assert_eq!(board(&ledger, &control(None)).len(), usize::from(memorized));
        }
    }

    // spec: CTL-1, CTL-7
    #[test]
    fn a_value_that_a_new_version_of_the_service_no_longer_allows_is_not_put_back() {
        let mut ledger = Ledger::default();
        let (record, done) = change("a", 1, 100, true);
        ledger.apply(Entry { controls: vec![record], change: done });
        let mut narrower = control(None);
        narrower.range = Some((Number::Whole(1), Number::Whole(64)));
        assert!(board(&ledger, &narrower).is_empty());
        assert_eq!(ledger.current(&(source(), "orders.batch".into()), &narrower), (Version(1), Value::U64(64)));
    }

    // spec: SEC-2
    #[test]
    fn results_are_kept_up_to_a_bound_and_the_oldest_go_first() {
        let mut ledger = Ledger::default();
        for n in 0..=limits::RESULTS_KEPT_MAX {
            ledger.remember(change(&format!("r{n}"), 1, 1, false).1);
        }
        assert_eq!(ledger.known(&"r0".parse().unwrap(), "set orders.batch 1"), Known::New);
        assert_ne!(ledger.known(&"r1".parse().unwrap(), "set orders.batch 1"), Known::New);
    }
}
