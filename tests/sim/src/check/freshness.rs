//! Nothing is shown as fresh of a source that was known to be dead when the last message was sent.
// spec: SRV-8, SYN-1

use super::deaths::Deaths;
use super::{Verdict, wrong};
use crate::world::importer::Importer;

/// See the module.
#[derive(Debug, Default)]
pub struct Freshness;

impl Freshness {
    /// An importer has everything that the agent knew at this time.
    pub fn look(&self, who: usize, importer: &Importer, at: u64, deaths: &Deaths) -> Verdict {
        for (source, view) in &importer.views {
            for (record, row) in view.rows.iter().filter(|(record, _)| view.shows_fresh(record)) {
                let key = row.report.as_ref().map(|r| r.key).unwrap_or_default();
                if deaths.known_before(key, at) {
                    return wrong("freshness", format!("process {who} shows {record} of {source} as fresh, and {key} is dead"));
                }
            }
        }
        Ok(())
    }
}
