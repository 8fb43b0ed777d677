//! Nothing is kept longer than its limit after it was last fresh.
// spec: SYN-4

use std::collections::BTreeMap;

use tif_core::limits::STALE_AFTER_OUTAGE;
use tif_core::model::{Name, Time};

use super::{Verdict, wrong};
use crate::world::SECOND;
use crate::world::importer::Importer;

/// See the module.
#[derive(Debug, Default)]
pub struct Staleness {
    /// By importer.
    rows: BTreeMap<usize, Rows>,
}

/// By source and record: when a row came, and when it was last seen fresh.
type Rows = BTreeMap<(Name, String), (Time, u64)>;

/// Rows are looked at every second, and not while their process is stopped, or their CPU stands still, for up to ten seconds.
const SLACK: u64 = 12 * SECOND;

impl Staleness {
    /// An importer has just heard the end mark of a source: it may show something as fresh for a moment only.
    pub fn on_end_mark(&mut self, who: usize, importer: &Importer, source: &Name, now: u64) {
        let rows = self.rows.entry(who).or_default();
        let Some(view) = importer.views.get(source) else { return };
        for (record, row) in view.rows.iter().filter(|(record, _)| view.machine.is_fresh(record)) {
            rows.insert((source.clone(), record.clone()), (row.added, now));
        }
    }

    /// An importer has just cleared what was too old.
    pub fn look(&mut self, who: usize, importer: &Importer, now: u64) -> Verdict {
        let old = self.rows.remove(&who).unwrap_or_default();
        let mut rows = Rows::new();
        for (source, view) in &importer.views {
            for (record, row) in &view.rows {
                let name = (source.clone(), record.clone());
                let before = old.get(&name).filter(|(added, _)| *added == row.added).map(|(_, at)| *at);
                let fresh = if view.machine.is_fresh(record) { now } else { before.unwrap_or(now) };
                if now > fresh + STALE_AFTER_OUTAGE.as_nanos() as u64 + SLACK {
                    let age = (now - fresh) / SECOND;
                    return wrong("staleness", format!("process {who} still shows {record} of {source}, last fresh {age} s ago"));
                }
                rows.insert(name, (row.added, fresh));
            }
        }
        self.rows.insert(who, rows);
        Ok(())
    }
}
