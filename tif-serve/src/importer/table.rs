//! An importer's view of its instruments: one row each, made from events.
//!
//! The honest half of the importer: a row is live only after a report that says so, and only until something says otherwise.
// spec: SRV-8, OUT-2

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tif_core::model::{Dimensions, InstrumentId, Name, Quality, Report, Stamp};
use tif_core::wire::Announcement;

use super::{Event, Link, Standing};

/// One instrument.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What is declared of it.
    pub announcement: Arc<Announcement>,
    /// Its last report. None before the first and after it was cleared as too old.
    pub report: Option<Report>,
    /// What may be said of the value.
    pub standing: Standing,
    /// When value, quality or alarm last changed: the stamp of the report that changed them.
    pub changed_at: Option<Stamp>,
    /// Reports that were coalesced into those that came.
    pub coalesced: u64,
}

impl Row {
    /// Its address: see [`address`].
    pub fn address(&self) -> String {
        address(&self.announcement)
    }
}

/// An instrument's address: `name{dims}`, with `@process` where the source is a single process, or `@cpu.process` if that is on another CPU.
pub fn address(announcement: &Announcement) -> String {
    let Announcement { name, dims, source, .. } = announcement;
    // A group's instruments are the service's, wherever they are, and their names begin with it; any other source is the process itself.
    let grouped = name.as_str().strip_prefix(source.as_str()).is_some_and(|rest| rest.starts_with('.'));
    if grouped { format!("{name}{dims}") } else { format!("{name}{dims}@{source}") }
}

type RowKey = (Name, Name, Dimensions);

/// Rows ordered by source, name and dimensions.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: BTreeMap<RowKey, Row>,
    by_id: BTreeMap<InstrumentId, RowKey>,
    link: Option<Link>,
    coalesced: u64,
}

impl Table {
    /// An empty one.
    pub fn new() -> Table {
        Table::default()
    }

    /// Takes in one event.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Announced(announcement) => {
                self.announced(announcement);
            }
            Event::Report { announcement, report } => self.reported(announcement, report),
            Event::Standing { source, standing } => self.stands(source, *standing),
            Event::Synced { source, .. } => {
                // What was cleared and did not come back: the importer had forgotten it already, so it says no more of it.
                let gone = |((s, _, _), row): &(&RowKey, &Row)| s == source && row.standing == Standing::Lost;
                let gone: Vec<RowKey> = self.rows.iter().filter(gone).map(|(key, _)| key.clone()).collect();
                gone.iter().for_each(|key| self.remove(key));
            }
            Event::Removed(announcement) => self.remove(&key_of(announcement)),
            Event::Link(link) => self.link = Some(link.clone()),
            Event::Coalesced(n) => self.coalesced += n,
            Event::Notice(_) | Event::Outage(_) | Event::Settled { .. } => {}
        }
    }

    /// The rows, ordered by source, name and dimensions.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Row> + DoubleEndedIterator {
        self.rows.values()
    }

    /// The row of an instrument, by the agent's present number for it.
    pub fn row(&self, instrument: InstrumentId) -> Option<&Row> {
        self.rows.get(self.by_id.get(&instrument)?)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The names of the sources.
    pub fn sources(&self) -> BTreeSet<&Name> {
        self.rows.keys().map(|(source, _, _)| source).collect()
    }

    /// The connection to the agent, as last told.
    pub fn link(&self) -> Option<&Link> {
        self.link.as_ref()
    }

    /// Reports that were coalesced on the way to this importer, all together.
    pub fn coalesced(&self) -> u64 {
        self.coalesced
    }

    fn announced(&mut self, announcement: &Arc<Announcement>) -> &mut Row {
        let key = key_of(announcement);
        self.by_id.insert(announcement.instrument, key.clone());
        match self.rows.entry(key) {
            std::collections::btree_map::Entry::Occupied(entry) => {
                // A restarted agent gives new numbers, and the old one may be another row's already.
                let old = entry.get().announcement.instrument;
                if old != announcement.instrument && self.by_id.get(&old) == Some(entry.key()) {
                    self.by_id.remove(&old);
                }
                let row = entry.into_mut();
                row.announcement = announcement.clone();
                if row.standing == Standing::Lost {
                    // It is there again; its value has not come yet.
                    row.standing = Standing::Live;
                }
                row
            }
            std::collections::btree_map::Entry::Vacant(entry) => entry.insert(Row {
                announcement: announcement.clone(),
                report: None,
                standing: Standing::Live,
                changed_at: None,
                coalesced: 0,
            }),
        }
    }

    fn reported(&mut self, announcement: &Arc<Announcement>, report: &Report) {
        let row = self.announced(announcement);
        row.coalesced += report.coalesced;
        let same = row.report.as_ref().is_some_and(|old| {
            old.value == report.value && old.quality == report.quality && old.alarm == report.alarm && row.standing.is_live()
        });
        if !same {
            row.changed_at = Some(report.stamp);
        }
        row.standing = match (&report.quality, row.standing) {
            (Quality::Good | Quality::Failed { .. }, _) => Standing::Live,
            // What was stale before keeps its date.
            (Quality::Stale { .. } | Quality::Outage { .. }, Standing::Stale { since }) => Standing::Stale { since },
            (Quality::Stale { since } | Quality::Outage { since, .. }, _) => Standing::Stale { since: *since },
        };
        row.report = Some(report.clone());
    }

    fn stands(&mut self, source: &Name, standing: Standing) {
        for ((s, _, _), row) in &mut self.rows {
            if s != source {
                continue;
            }
            match (standing, row.standing) {
                // What was stale before keeps its date, and what was cleared has no value to be stale.
                (Standing::Stale { .. }, Standing::Stale { .. } | Standing::Lost) => {}
                (Standing::Lost, _) => {
                    row.standing = Standing::Lost;
                    row.report = None;
                }
                (standing, _) => row.standing = standing,
            }
        }
    }

    fn remove(&mut self, key: &RowKey) {
        if let Some(row) = self.rows.remove(key)
            && self.by_id.get(&row.announcement.instrument) == Some(key)
        {
            self.by_id.remove(&row.announcement.instrument);
        }
    }
}

fn key_of(announcement: &Announcement) -> RowKey {
    (announcement.source.clone(), announcement.name.clone(), announcement.dims.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importer::test_data::announcement;

    fn of(table: &Table, id: u64) -> Option<&str> {
        table.row(InstrumentId(id)).map(|row| row.announcement.name.as_str())
    }

    // spec: SYN-6
    #[test]
    fn a_number_that_another_row_has_by_now_stays_with_it() {
        let mut table = Table::new();
        for (id, name) in [(1, "d.a"), (2, "d.b"), (3, "d.c")] {
            table.apply(&Event::Announced(announcement(id, "d", name)));
        }
        // A restarted agent has dealt them out anew.
        for (id, name) in [(2, "d.a"), (1, "d.b"), (3, "d.d")] {
            table.apply(&Event::Announced(announcement(id, "d", name)));
        }
        assert_eq!([of(&table, 1), of(&table, 2), of(&table, 3)], [Some("d.b"), Some("d.a"), Some("d.d")]);
        table.apply(&Event::Removed(announcement(3, "d", "d.c")));
        assert_eq!(of(&table, 3), Some("d.d"));
        table.apply(&Event::Removed(announcement(1, "d", "d.b")));
        assert_eq!((of(&table, 1), table.len()), (None, 2));
    }
}
