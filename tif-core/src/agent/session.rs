//! One connection's process, as the agent sees it.

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::propagation::Follow;
use crate::machine::queue::Queue;
use crate::model::{Coarsen, InstrumentId, Key, Name, OutageId, Pattern, Slot, Time};
use crate::wire::Credentials;

/// What an importer asked for.
#[derive(Clone, Debug)]
pub(super) struct Subscription {
    pub pattern: Pattern,
    pub coarsen: Coarsen,
}

/// One connected process.
#[derive(Clone, Debug)]
pub(super) struct Session {
    pub key: Key,
    pub name: Name,
    pub credentials: Credentials,
    pub program: String,
    pub exports: bool,
    pub queue: Queue,
    pub subscriptions: BTreeMap<u32, Subscription>,
    pub follows: BTreeMap<InstrumentId, Follow>,
    /// The same, by source.
    pub by_source: BTreeMap<Name, BTreeSet<InstrumentId>>,
    /// Processes that it asked to be told of.
    pub lookups: usize,
    /// Test points that it armed and that are to be disarmed when it goes.
    pub armed: BTreeSet<(Key, Slot)>,
    /// Outages whose beginning it was told, and whose end it was not.
    pub outages: BTreeSet<OutageId>,
    /// Outages of which another agent told it, and of which this one does not know: it may find them out again, or finds somebody else behind the source.
    pub outages_before: BTreeMap<Key, Name>,
    /// Its requests that wait for somebody else.
    pub pending: usize,
    /// When something was last heard of it.
    pub heard: Time,
    /// The probe that it has not answered.
    pub probed: Option<Time>,
}

impl Session {
    pub fn new(now: Time, key: Key, name: Name, credentials: Credentials, program: String, exports: bool) -> Session {
        Session {
            key,
            name,
            credentials,
            program,
            exports,
            queue: Queue::default(),
            subscriptions: BTreeMap::new(),
            follows: BTreeMap::new(),
            by_source: BTreeMap::new(),
            lookups: 0,
            armed: BTreeSet::new(),
            outages: BTreeSet::new(),
            outages_before: BTreeMap::new(),
            pending: 0,
            heard: now,
            probed: None,
        }
    }

    /// It follows an instrument from now on.
    pub fn follow(&mut self, id: InstrumentId, source: &Name, follow: Follow) {
        self.follows.insert(id, follow);
        self.by_source.entry(source.clone()).or_default().insert(id);
    }

    /// No longer.
    pub fn unfollow(&mut self, id: InstrumentId, source: &Name) {
        self.follows.remove(&id);
        self.queue.forget(id);
        if let Some(of_source) = self.by_source.get_mut(source) {
            of_source.remove(&id);
            if of_source.is_empty() {
                self.by_source.remove(source);
            }
        }
    }
}
