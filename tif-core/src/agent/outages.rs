//! The outages of this CPU, and what became of dead exporters' values.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::io::{Conn, Moment, Record};
use crate::limits;
use crate::model::{Cause, Key, Name, Outage, OutageEnd, OutageId, Report, Stamp, Time};
use crate::wire::{Announcement, OutageRow};

#[derive(Clone, Debug)]
struct Entry {
    outage: Outage,
    began: Time,
    ended: Option<Time>,
    told: u64,
    /// An earlier agent saw what was lost.
    restored: bool,
}

/// All outages, oldest first, bounded.
// spec: OUT-1, OUT-4
#[derive(Clone, Debug, Default)]
pub(super) struct Outages {
    last: u64,
    entries: BTreeMap<OutageId, Entry>,
}

/// When an exporter was lost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    /// At the earliest.
    pub at: Moment,
    /// At the latest, if nobody saw it.
    pub found: Option<Stamp>,
}

/// What an ending outage is told of its end.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub remapped: u64,
    pub removed: u64,
    pub added: u64,
    pub carried: u64,
}

impl Outages {
    /// Puts back what the store remembers. How long one has lasted is known by the wall clock only; it is shown and decides nothing but when its
    /// source is forgotten. One that the store has as open, of whose source it has a later one, was over by then: its end could not be written, or not in
    /// time. Who was told of it is still told that it is over.
    // spec: MON-7, OUT-4
    pub fn restore(&mut self, now: Moment, outage: Outage, told: u64) {
        let ended = outage.end.as_ref().map(|end| now.time_of(end.at));
        self.last = self.last.max(outage.id.0);
        let is_older = |e: &&mut Entry| e.ended.is_none() && e.outage.source == outage.source && e.outage.cpu == outage.cpu;
        for older in self.entries.values_mut().filter(is_older) {
            let (at, process, key) = (outage.since, outage.process.clone(), outage.key);
            let gap_ms = at.0.saturating_sub(older.outage.since.0) / 1_000_000;
            older.ended = Some(now.time_of(at));
            older.outage.end = Some(OutageEnd { process, key, at, gap_ms, remapped: 0, removed: 0, added: 0, carried: 0, counted: false });
        }
        self.entries.insert(outage.id, Entry { began: now.time_of(outage.since), ended, told, restored: true, outage });
        self.make_room();
    }

    /// An exporter is lost.
    pub fn begin(&mut self, lost: Lost, cpu: &Name, source: &Name, process: &Name, key: Key, cause: Cause) -> Outage {
        self.last += 1;
        let id = OutageId(self.last);
        let (cpu, source, process) = (cpu.clone(), source.clone(), process.clone());
        let outage = Outage { id, cpu, source, process, key, cause, since: lost.at.stamp, end: None, found: lost.found };
        self.entries
            .insert(id, Entry { outage: outage.clone(), began: lost.at.time, ended: None, told: 0, restored: lost.found.is_some() });
        self.make_room();
        outage
    }

    fn make_room(&mut self) {
        while self.entries.len() > limits::OUTAGES_KEPT_MAX {
            // The oldest ended one; if none has ended, the oldest.
            let oldest = self.entries.values().find(|e| e.ended.is_some()).or_else(|| self.entries.values().next()).map(|e| e.outage.id);
            let Some(oldest) = oldest else { break };
            self.entries.remove(&oldest);
        }
    }

    /// Who is told of it. Other agents are none: each counts its own importers.
    pub fn told(&mut self, id: OutageId, told: &BTreeSet<Conn>) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.told = told.iter().filter(|conn| conn.peer().is_none()).count() as u64;
        }
    }

    /// A successor is there.
    pub fn end(&mut self, now: Moment, id: OutageId, process: &Name, key: Key, tally: Tally) -> Option<Outage> {
        let entry = self.entries.get_mut(&id)?;
        if entry.ended.is_some() {
            return None;
        }
        let gap_ms = u64::try_from(now.time.since(entry.began).as_millis()).unwrap_or(u64::MAX);
        let Tally { remapped, removed, added, carried } = tally;
        entry.ended = Some(now.time);
        let (process, counted) = (process.clone(), !entry.restored);
        entry.outage.end = Some(OutageEnd { process, key, at: now.stamp, gap_ms, remapped, removed, added, carried, counted });
        Some(entry.outage.clone())
    }

    /// The same as another agent tells it.
    pub fn end_as(&mut self, now: Moment, id: OutageId, end: OutageEnd) -> Option<Outage> {
        let entry = self.entries.get_mut(&id)?;
        entry.ended = Some(now.time);
        entry.outage.end = Some(end);
        Some(entry.outage.clone())
    }

    /// Open ones of which nobody will hear the end.
    pub fn forget(&mut self, which: impl Fn(&Outage) -> bool) {
        self.entries.retain(|_, e| e.ended.is_some() || !which(&e.outage));
    }

    /// The outage of a source that has not ended.
    pub fn open_of(&self, source: &Name) -> Option<OutageId> {
        self.entries.values().rev().find(|e| e.ended.is_none() && e.outage.source == *source).map(|e| e.outage.id)
    }

    pub fn open_count(&self) -> u64 {
        self.entries.values().filter(|e| e.ended.is_none()).count() as u64
    }

    /// The outage that the loss of this exporter was.
    pub fn of_key(&self, key: Key) -> Option<&Outage> {
        self.entries.values().rev().map(|e| &e.outage).find(|o| o.key == key)
    }

    /// How an outage stands, for the store.
    pub fn record(&self, id: OutageId) -> Option<Record> {
        self.entries.get(&id).map(|e| Record::Outage { outage: e.outage.clone(), told: e.told })
    }

    /// Which outage a source is in, and since when.
    pub fn find(&self, id: OutageId) -> Option<(&Outage, Time)> {
        self.entries.get(&id).map(|e| (&e.outage, e.began))
    }

    pub fn rows(&self, now: Time) -> Vec<OutageRow> {
        let row = |e: &Entry| {
            let lasted = e.ended.unwrap_or(now).since(e.began);
            OutageRow { outage: e.outage.clone(), lasted_ms: u64::try_from(lasted.as_millis()).unwrap_or(u64::MAX), told: e.told }
        };
        self.entries.values().map(row).collect()
    }
}

/// The last values of one dead incarnation.
#[derive(Clone, Debug)]
pub(super) struct Corpse {
    pub process: Name,
    pub key: Key,
    pub rows: Vec<(Announcement, Report)>,
    pub until: Time,
}

/// The dead whose values can still be browsed.
// spec: EXP-6
#[derive(Clone, Debug, Default)]
pub(super) struct Corpses {
    all: VecDeque<Corpse>,
}

impl Corpses {
    pub fn keep(&mut self, corpse: Corpse) {
        self.all.push_back(corpse);
        while self.all.len() > limits::CORPSES_KEPT_MAX || self.all.iter().map(|c| c.rows.len()).sum::<usize>() > limits::CORPSE_ROWS_MAX {
            self.all.pop_front();
        }
    }

    pub fn expire(&mut self, now: Time) {
        self.all.retain(|c| now < c.until);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Corpse> {
        self.all.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, NodeId, ProcId};

    // spec: MON-7, OUT-4
    #[test]
    fn an_outage_whose_end_was_not_written_is_over_when_the_store_has_the_next_one_of_its_source() {
        let now = Moment { time: Time(20_000_000_000), boot: Time(20_000_000_000), stamp: Stamp(20_000_000_000) };
        let key = |n| Key { node: NodeId(1), proc: ProcId(n), inc: Incarnation(n) };
        let outage = |id, seconds: u64| Outage {
            id: OutageId(id),
            cpu: "cpu1".parse().unwrap(),
            source: "orders".parse().unwrap(),
            process: "orders-1".parse().unwrap(),
            key: key(id),
            cause: Cause::Unknown,
            since: Stamp(seconds * 1_000_000_000),
            end: None,
            found: None,
        };
        let mut outages = Outages::default();
        outages.restore(now, outage(3, 5), 2);
        outages.restore(now, outage(4, 7), 1);
        let end = outages.of_key(key(3)).and_then(|o| o.end.clone()).unwrap();
        assert_eq!((end.key, end.gap_ms, end.counts()), (key(4), 2000, None));
        assert_eq!(outages.open_of(&"orders".parse().unwrap()), Some(OutageId(4)));
    }
}
