//! What was done from here: each action as the command line that does the same, and what came of it.
// spec: TUI-2

use std::collections::VecDeque;

use tif_core::model::Stamp;

use crate::backend::Ticket;

/// What came of an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Not known yet.
    UnderWay,
    /// Done, and how.
    Done(String),
    /// Not done, and why.
    Failed(String),
    /// Nobody can say whether it was done, and why.
    Unknown(String),
}

/// One action.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) ticket: Ticket,
    pub(crate) at: Stamp,
    /// The command line, or what it is called where there is none.
    pub(crate) line: String,
    pub(crate) outcome: Outcome,
}

/// A person does not do more than this in a session; what is older is in the agent's own records.
const ENTRIES_MAX: usize = 500;

/// All actions, latest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Log {
    entries: VecDeque<Entry>,
}

impl Log {
    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Latest first.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> + Clone {
        self.entries.iter()
    }

    /// An action is under way.
    pub(crate) fn begin(&mut self, ticket: Ticket, at: Stamp, line: String) {
        self.entries.push_front(Entry { ticket, at, line, outcome: Outcome::UnderWay });
        self.entries.truncate(ENTRIES_MAX);
    }

    /// It has ended.
    pub(crate) fn end(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.ticket == ticket) {
            entry.outcome = outcome;
        }
    }
}
