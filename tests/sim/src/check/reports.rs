//! What an importer hears of an instrument comes in order: of nobody but who has begun to send, each value once, and what was left out is counted.
// spec: MON-6, SYN-2, SYN-6

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::{InstrumentId, Key, Report};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Reports {
    /// By importer: the number of the last report of an instrument, in one life of its exporter.
    last: BTreeMap<usize, BTreeMap<InstrumentId, (Key, u64)>>,
    /// Who ever asked for less than all.
    coarse: BTreeSet<usize>,
}

impl Reports {
    /// An importer asks for less than all: of what is left out for its sake it counts no more.
    pub fn on_coarse(&mut self, who: usize) {
        self.coarse.insert(who);
    }

    /// An importer's link is lost, and with it the meaning of all numbers.
    pub fn on_link_lost(&mut self, who: usize) {
        self.last.remove(&who);
    }

    /// Somebody begins to send all of a source: it says again how things stand.
    pub fn on_begin(&mut self, who: usize) {
        self.last.remove(&who);
    }

    /// A report. `sends`: who has begun to send of its source. `near`: it is exported on the
    /// importer's CPU; of one elsewhere the numbers also go on while nobody here follows it.
    pub fn on_report(&mut self, who: usize, report: &Report, sends: Option<Key>, near: bool) -> Verdict {
        if sends != Some(report.key) {
            return wrong(
                "reports",
                format!("process {who} hears instrument {} of {}, and {sends:?} sends", report.instrument, report.key),
            );
        }
        let before = self.last.entry(who).or_default().insert(report.instrument, (report.key, report.seq));
        let Some((_, seq)) = before.filter(|(key, _)| *key == report.key) else { return Ok(()) };
        if near && !self.coarse.contains(&who) && report.seq > seq + 1 + report.coalesced {
            let what =
                format!("hears number {} of instrument {} after {seq}, for {} more", report.seq, report.instrument, report.coalesced);
            return wrong("reports", format!("process {who} {what}"));
        }
        Ok(())
    }
}
