//! What is held of one source: its records, how fresh they are, and which life of it says so.
// spec: SYN-1, SYN-4, SYN-6

use std::collections::BTreeMap;
use std::sync::Arc;

use tif_core::limits::STALE_AFTER_OUTAGE;
use tif_core::machine::sync::{self, Source, State};
use tif_core::model::{Incarnation, Key, Name, Stamp, Time};
use tif_core::wire::Announcement;

use super::source::Now;
use super::{Event, Standing};

/// One source.
#[derive(Debug)]
pub(super) struct Held {
    /// What of it is fresh.
    pub(super) machine: Source,
    /// The exporter, as messages name it. None: its source has not begun.
    pub(super) wire: Option<Key>,
    /// What the machine is told as the exporter's life. An exporter goes on under its key when its agent restarts, but what it sent through the
    /// old agent must not count towards the end mark of the new one.
    pub(super) round: u32,
    /// The next beginning is a new round, whatever its key.
    pub(super) anew: bool,
    /// What is shown of it, by name and dimensions.
    pub(super) records: BTreeMap<String, Arc<Announcement>>,
    /// Cleared as too old, and shown so: what is left of them is that somebody may still say that they are no more.
    pub(super) lost: BTreeMap<String, Arc<Announcement>>,
    /// There again after a silence, but without a word of their value: their old value goes at this time.
    pub(super) silent: BTreeMap<String, Time>,
    /// When the silence began that is not over until an end mark fits.
    pub(super) lost_since: Option<Time>,
    /// The agent itself says that values of this round are old: since when.
    pub(super) old_since: Option<Stamp>,
    /// A value of this round that is not.
    pub(super) good: bool,
    /// All that came in this round said of itself that it is old: it ages here, until something comes that is not.
    pub(super) aging: bool,
    /// The consumer was told that all of it is stale, and of nothing since that is not.
    pub(super) marked: bool,
    /// How often this exporter's end mark did not fit, one after the other.
    pub(super) attempts: u32,
}

impl Held {
    /// Nothing known of it yet.
    pub(super) fn new() -> Held {
        Held {
            machine: Source::new(STALE_AFTER_OUTAGE),
            wire: None,
            round: 0,
            anew: true,
            records: BTreeMap::new(),
            lost: BTreeMap::new(),
            silent: BTreeMap::new(),
            lost_since: None,
            old_since: None,
            good: false,
            aging: false,
            marked: false,
            attempts: 0,
        }
    }

    /// The exporter's life, as the machine is told.
    pub(super) fn life(&self) -> Key {
        let Key { node, proc, .. } = self.wire.unwrap_or(Key::NONE);
        Key { node, proc, inc: Incarnation(u64::from(self.round)) }
    }

    /// It is dead or out of reach.
    pub(super) fn lose(&mut self, now: Now) {
        self.aging = false;
        if matches!(self.machine.state(), State::Syncing(_)) && !self.good {
            // What was only about to be said once more gets no younger by that.
            // spec: SYN-4
            self.machine.on_still_lost(now.time);
            self.silent.clear();
        } else {
            self.machine.on_lost(now.time);
        }
        self.lost_since.get_or_insert(now.time);
    }

    /// All that came says that it is old: the agent has nobody, or nobody who answers, for it. It ages from when it was last fresh.
    // spec: SYN-4
    pub(super) fn age(&mut self, now: Now) {
        self.aging = true;
        self.machine.on_still_lost(now.time);
        self.lost_since.get_or_insert(now.time);
    }

    /// Its exporter speaks, under the key that it has here: what is known of it is all there is, and each value says itself how old it is.
    pub(super) fn complete(&mut self, now: Now) {
        self.aging = false;
        self.machine.on_begin(now.time, self.life());
        for known in self.records.keys() {
            self.machine.on_record(self.life(), known);
        }
        let (count, digest) = (self.records.len() as u64, sync::digest(self.records.keys().map(String::as_str)));
        self.machine.on_end(self.life(), count, digest);
        // It is complete with that: its next silence has its own beginning.
        self.lost_since = None;
    }

    /// The consumer is told that all of it is stale, unless it knows.
    pub(super) fn mark(&mut self, source: &Name, since: Stamp, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.marked, true) {
            out.push(Event::Standing { source: source.clone(), standing: Standing::Stale { since } });
        }
    }

    /// An exporter begins to say what there is.
    pub(super) fn begin(&mut self, now: Now, key: Key) {
        if self.anew || self.wire != Some(key) {
            self.lost_since.get_or_insert(now.time);
            self.round += 1;
            self.anew = false;
        }
        if self.wire != Some(key) {
            // What its predecessor could not bring about is not held against it.
            self.attempts = 0;
        }
        self.wire = Some(key);
        self.old_since = None;
        (self.good, self.aging) = (false, false);
        self.machine.on_begin(now.time, self.life());
    }

    /// The same for one to which its predecessor has handed over: what that one said is not old yet.
    // spec: OUT-5
    pub(super) fn relieve(&mut self, now: Now, key: Key) {
        self.round += 1;
        self.attempts = 0;
        self.wire = Some(key);
        self.lost_since.get_or_insert(now.time);
        self.old_since = None;
        (self.good, self.aging) = (false, false);
        self.machine.on_relieved(now.time, self.life());
    }

    /// When the next thing goes.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.machine.deadline().into_iter().chain(self.silent.values().copied()).min()
    }

    /// Whether an exporter stands behind all of it.
    pub(super) fn is_live(&self) -> bool {
        matches!(self.machine.state(), State::Live(_))
    }

    /// Whether nothing is known of it any more, and nothing is on its way.
    pub(super) fn is_over(&self) -> bool {
        self.records.is_empty() && self.lost.is_empty() && !matches!(self.machine.state(), State::Syncing(_))
    }
}
