//! What a member holds of a service, and what of it must be durable.

use serde::{Deserialize, Serialize};

use crate::model::Epoch;

/// How many entries a log has had.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

/// What the entries amount to: the values of the controls, and what became of each request.
///
/// It is the snapshot that travels, so whatever is needed to recognise a request again (R6) must be part of it.
pub trait State: Clone {
    /// One accepted change: the new value, and the answer under its request id.
    type Entry: Clone;
    /// What tells one request from another.
    type Id: PartialEq;

    /// The entry's request.
    fn id(entry: &Self::Entry) -> Self::Id;

    /// Takes an entry in.
    fn apply(&mut self, entry: &Self::Entry);

    /// Whether a request's entry was taken in.
    fn holds(&self, id: &Self::Id) -> bool;
}

/// A log, as what its entries amount to.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Log<S> {
    /// The term whose leader wrote it, or made it its own.
    pub epoch: Epoch,
    /// Its length.
    pub seq: Seq,
    /// What its entries amount to.
    pub state: S,
}

impl<S: State> Log<S> {
    /// What a store does with a record of this log.
    pub fn take_in(&mut self, record: &Record<S, S::Entry>) {
        match record {
            Record::Appended { epoch, seq, entry } => {
                self.state.apply(entry);
                (self.epoch, self.seq) = (*epoch, *seq);
            }
            Record::Replaced(log) => *self = log.clone(),
            Record::Began { epoch } => self.epoch = *epoch,
        }
    }
}

/// What is to be made durable of a log. A member that starts needs the log that these amount to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Record<S, E> {
    /// One entry more.
    Appended {
        /// In this term.
        epoch: Epoch,
        /// The length with it.
        seq: Seq,
        /// The entry.
        entry: E,
    },
    /// The log is this; nothing of what was before counts.
    Replaced(Log<S>),
    /// The log goes on in a new term, which this member leads.
    Began {
        /// The term.
        epoch: Epoch,
    },
}
