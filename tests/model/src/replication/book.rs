//! What is replicated here: a list of requests, each with the answer it was given.

use tif_core::machine::replication::State;

/// One change: the request, and the answer, which depends on what came before it as a control's version does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The request's id.
    pub request: u8,
    /// The answer: which change of the control it was.
    pub version: u8,
    /// In which term it was proposed, to tell one attempt from another.
    pub epoch: u8,
}

/// Everything that took effect, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Book {
    /// The changes.
    pub entries: Vec<Entry>,
}

impl State for Book {
    type Entry = Entry;
    type Id = u8;

    fn id(entry: &Entry) -> u8 {
        entry.request
    }
    fn apply(&mut self, entry: &Entry) {
        self.entries.push(*entry);
    }
    fn holds(&self, request: &u8) -> bool {
        self.entries.iter().any(|e| e.request == *request)
    }
}
