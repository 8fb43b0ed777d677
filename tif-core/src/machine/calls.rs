//! What became of calls of procedures.
//!
//! A log book in which a call is entered before the procedure hears of it, and its outcome before anybody else does. So whoever finds an entry without an
//! outcome knows that the call may have had an effect, and that it must not be made again.
//!
//! | in the journal | what is known | the id again |
//! |---|---|---|
//! | nothing | the procedure never heard of it | is called |
//! | the call | it runs, or ran when its agent or its process ended | waits for it; if nobody can answer any more: indeterminate |
//! | the call and its outcome | what it answered, or that nobody will know | gets the same |
//!
//! Of a service that several CPUs keep, the journal is part of the log that `replication` keeps equal on them (`book`): no procedure is called before all that
//! could take over have the entry. Whoever takes over makes none of the calls again, and tells of each what is known.
// spec: TST-4

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::model::{Key, Name, Refusal, RequestId, Stamp};

/// A call that was begun, as the journal remembers it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallRecord {
    /// The requester's id.
    pub request_id: RequestId,
    /// What was asked, to tell a repetition from a reuse: `fire NAME ARG=VALUE …`.
    pub request: String,
    /// The procedure, with its source.
    pub name: String,
    /// The exporter that was called.
    pub key: Key,
    /// Who: the process.
    pub who: Name,
    /// Its user.
    pub uid: u32,
    /// When it was begun, on the wall clock.
    pub at: Stamp,
    /// What became of it; none while that is not known.
    pub outcome: Option<Outcome>,
}

/// What became of a call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The procedure has answered: with its result, or with its declared error.
    Returned(Result<String, String>),
    /// It may have done everything, something or nothing, and nobody will ever know. The reason says what ended first.
    Indeterminate(String),
}

impl CallRecord {
    /// What is said instead of an answer that will never come; none if there is or will be one.
    pub fn refusal(&self) -> Option<Refusal> {
        match &self.outcome {
            Some(Outcome::Indeterminate(reason)) => Some(Refusal::Indeterminate { name: self.name.clone(), reason: reason.clone() }),
            _ => None,
        }
    }
}

/// Calls by request id, the oldest forgotten first. It travels as these, and whoever takes it in counts for itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<CallRecord>", into = "Vec<CallRecord>")]
pub struct Journal {
    by_id: BTreeMap<RequestId, CallRecord>,
    order: VecDeque<RequestId>,
    /// Bytes of all their texts.
    len: usize,
}

impl From<Vec<CallRecord>> for Journal {
    fn from(calls: Vec<CallRecord>) -> Journal {
        let mut journal = Journal::default();
        calls.into_iter().for_each(|call| journal.remember(call));
        journal
    }
}

impl From<Journal> for Vec<CallRecord> {
    fn from(journal: Journal) -> Vec<CallRecord> {
        journal.iter().cloned().collect()
    }
}

impl CallRecord {
    fn len(&self) -> usize {
        let outcome = match &self.outcome {
            Some(Outcome::Returned(Ok(text) | Err(text)) | Outcome::Indeterminate(text)) => text.len(),
            None => 0,
        };
        2 * self.request_id.as_str().len() + self.request.len() + self.name.len() + self.who.as_str().len() + outcome
    }
}

impl Journal {
    /// A call, or what became of it. At most [`limits::CALLS_KEPT_MAX`] are kept.
    // spec: SEC-2
    pub fn remember(&mut self, call: CallRecord) {
        let id = call.request_id.clone();
        self.len += call.len();
        match self.by_id.insert(id.clone(), call) {
            Some(before) => self.len -= before.len(),
            None => self.order.push_back(id),
        }
        while self.order.len() > limits::CALLS_KEPT_MAX {
            self.forget_oldest();
        }
    }

    /// The same where all of them together may have so many bytes: one that is sent as a whole.
    // spec: SEC-2
    pub fn remember_within(&mut self, call: CallRecord, len_max: usize) {
        self.remember(call);
        while self.len > len_max && self.order.len() > 1 {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front()
            && let Some(call) = self.by_id.remove(&oldest)
        {
            self.len -= call.len();
        }
    }

    /// A call did not begin: its id may be used again.
    pub fn forget(&mut self, id: &RequestId) {
        if let Some(call) = self.by_id.remove(id) {
            self.len -= call.len();
            self.order.retain(|other| other != id);
        }
    }

    /// All, the oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &CallRecord> {
        self.order.iter().filter_map(|id| self.by_id.get(id))
    }

    /// A call that the journal holds when its agent starts: one without an outcome was running when the agent before it ended.
    pub fn restore(&mut self, mut call: CallRecord) {
        let ended = || Outcome::Indeterminate("the agent ended while it ran".to_owned());
        call.outcome = Some(call.outcome.unwrap_or_else(ended));
        self.remember(call);
    }

    /// This CPU takes over a log that has this of a call which does not run here. What is sure goes before what is not, wherever it is known; of what is known
    /// nowhere, `lost` is said from now on. Returns what the log is to learn.
    ///
    /// | here | in the log | known from now on |
    /// |---|---|---|
    /// | nothing | an outcome | that of the log |
    /// | nothing | no outcome | `lost` |
    /// | indeterminate | what it answered | that of the log |
    /// | indeterminate | anything else | what is known here |
    /// | what it answered | no outcome | what is known here, and the log learns it |
    /// | what it answered | an outcome | what is known here: the log has no other answer |
    pub fn take_over(&mut self, logged: &CallRecord, lost: impl FnOnce() -> Outcome) -> Option<CallRecord> {
        let answered = |call: &CallRecord| matches!(call.outcome, Some(Outcome::Returned(_)));
        match self.find(&logged.request_id) {
            Some(own) if answered(own) => logged.outcome.is_none().then(|| own.clone()),
            Some(_) if !answered(logged) => None,
            _ => {
                let outcome = Some(logged.outcome.clone().unwrap_or_else(lost));
                self.remember(CallRecord { outcome, ..logged.clone() });
                None
            }
        }
    }

    /// What became of a call.
    pub fn find(&self, id: &RequestId) -> Option<&CallRecord> {
        self.by_id.get(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(id: &str, outcome: Option<Outcome>) -> CallRecord {
        CallRecord {
            request_id: id.parse().unwrap(),
            request: "fire orders.flush".into(),
            name: "orders.flush".into(),
            key: Key::NONE,
            who: "tester".parse().unwrap(),
            uid: 0,
            at: Stamp(1),
            outcome,
        }
    }

    // spec: TST-4
    #[test]
    fn a_call_without_an_outcome_is_indeterminate_to_the_agent_that_finds_it() {
        let mut journal = Journal::default();
        journal.restore(call("a", None));
        journal.restore(call("b", Some(Outcome::Returned(Ok("3".into())))));
        let refusal = journal.find(&"a".parse().unwrap()).and_then(CallRecord::refusal).unwrap();
        assert!(refusal.to_string().contains("the agent ended while it ran; whether it was done is not known"), "{refusal}");
        assert_eq!(journal.find(&"b".parse().unwrap()).and_then(CallRecord::refusal), None);
    }

    // spec: TST-4
    #[test]
    fn of_a_call_that_another_cpu_made_what_is_sure_goes_before_what_is_not_wherever_it_is_known() {
        let returned = |text: &str| Some(Outcome::Returned(Ok(text.to_owned())));
        let open = |text: &str| Some(Outcome::Indeterminate(text.to_owned()));
        for (here, logged, known, learns) in [
            (None, returned("3"), returned("3"), false),
            (None, open("there"), open("there"), false),
            (None, None, open("lost"), false),
            (Some(open("here")), returned("3"), returned("3"), false),
            (Some(open("here")), open("there"), open("here"), false),
            (Some(open("here")), None, open("here"), false),
            (Some(returned("3")), None, returned("3"), true),
            (Some(returned("3")), open("there"), returned("3"), false),
        ] {
            let mut journal = Journal::default();
            here.into_iter().for_each(|outcome| journal.remember(call("a", outcome)));
            let learnt = journal.take_over(&call("a", logged), || Outcome::Indeterminate("lost".to_owned()));
            let now = journal.find(&"a".parse().unwrap()).unwrap();
            assert_eq!((&now.outcome, learnt.as_ref()), (&known, learns.then_some(now)));
        }
    }

    // spec: SEC-2
    #[test]
    fn outcomes_are_kept_up_to_a_bound_and_the_oldest_go_first() {
        let mut journal = Journal::default();
        for n in 0..=limits::CALLS_KEPT_MAX {
            journal.remember(call(&format!("c{n}"), Some(Outcome::Returned(Ok(String::new())))));
        }
        assert!(journal.find(&"c0".parse().unwrap()).is_none() && journal.find(&"c1".parse().unwrap()).is_some());
    }

    // spec: SEC-2, TST-4
    #[test]
    fn where_the_journal_travels_its_texts_are_bounded_and_the_last_call_is_always_kept() {
        let mut journal = Journal::default();
        let long = |id: &str| call(id, Some(Outcome::Returned(Ok("x".repeat(1000)))));
        for n in 0..10 {
            journal.remember_within(long(&format!("c{n}")), 3500);
        }
        assert_eq!(journal.iter().map(|c| c.request_id.as_str()).collect::<Vec<_>>(), ["c7", "c8", "c9"]);
        journal.remember_within(call("c8", None), 3500);
        journal.forget(&"c7".parse().unwrap());
        journal.forget(&"c7".parse().unwrap());
        assert_eq!(journal.len, journal.iter().map(CallRecord::len).sum::<usize>());
        let sent = rmp_serde::to_vec(&journal).unwrap();
        assert_eq!(rmp_serde::from_slice::<Journal>(&sent).unwrap(), journal);
        // Who names a call twice has it counted once.
        let twice = Journal::from(vec![call("c8", None), long("c8")]);
        assert_eq!((twice.len, twice.order.len()), (long("c8").len(), 1));
        journal.remember_within(long("last"), 10);
        assert_eq!(journal.iter().map(|c| c.request_id.as_str()).collect::<Vec<_>>(), ["last"]);
    }
}
