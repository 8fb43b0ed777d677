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

/// The outcomes by request id, the oldest forgotten first.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    by_id: BTreeMap<RequestId, CallRecord>,
    order: VecDeque<RequestId>,
}

impl Journal {
    /// A call whose outcome is known. At most [`limits::CALLS_KEPT_MAX`] are.
    // spec: SEC-2
    pub fn remember(&mut self, call: CallRecord) {
        let id = call.request_id.clone();
        if self.by_id.insert(id.clone(), call).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > limits::CALLS_KEPT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.by_id.remove(&oldest);
            }
        }
    }

    /// A call that the journal holds when its agent starts: one without an outcome was running when the agent before it ended.
    pub fn restore(&mut self, mut call: CallRecord) {
        let ended = || Outcome::Indeterminate("the agent ended while it ran".to_owned());
        call.outcome = Some(call.outcome.unwrap_or_else(ended));
        self.remember(call);
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

    // spec: SEC-2
    #[test]
    fn outcomes_are_kept_up_to_a_bound_and_the_oldest_go_first() {
        let mut journal = Journal::default();
        for n in 0..=limits::CALLS_KEPT_MAX {
            journal.remember(call(&format!("c{n}"), Some(Outcome::Returned(Ok(String::new())))));
        }
        assert!(journal.find(&"c0".parse().unwrap()).is_none() && journal.find(&"c1".parse().unwrap()).is_some());
    }
}
