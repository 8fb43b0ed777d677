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
            // Mostly all rows of a source are of one life.
            let mut lives = None;
            for (record, row) in &view.rows {
                let key = row.report.as_ref().map(|r| r.key).unwrap_or_default();
                if lives == Some(key) {
                    continue;
                }
                if !deaths.known_before(key, at) {
                    lives = Some(key);
                } else if view.shows_fresh(record) {
                    return wrong("freshness", format!("process {who} shows {record} of {source} as fresh, and {key} is dead"));
                }
            }
        }
        Ok(())
    }
}
