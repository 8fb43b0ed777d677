//! The agent's own figures.

use super::{Agent, Resource};
use crate::model::ProcessState;

/// What the agent counts of itself. Shown as instruments of service `tif`.
// spec: MON-8, INS-8
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Live processes.
    pub processes: u64,
    /// Of these, exporters.
    pub exporters: u64,
    /// Of these, importers.
    pub importers: u64,
    /// Instruments that can be seen.
    pub instruments: u64,
    /// Subscriptions.
    pub subscriptions: u64,
    /// Instruments that somebody watches.
    pub watched: u64,
    /// Values that were read and judged.
    pub reports_in: u64,
    /// Reports that were sent to importers.
    pub reports_out: u64,
    /// Significant changes that a newer value of the same instrument replaced before they were sent.
    pub coalesced: u64,
    /// Notices that were sent.
    pub notices: u64,
    /// Outages that last.
    pub outages_open: u64,
    /// Outages there have been.
    pub outages: u64,
    /// Messages dropped because a key in them was not current.
    pub stale_keys: u64,
    /// Requests that were refused.
    pub refusals: u64,
    /// Writes that the store could not do.
    pub store_failures: u64,
    /// Importers that were cut off because they did not read.
    pub cut_off: u64,
}

impl Agent {
    /// The figures now.
    pub fn stats(&self) -> Stats {
        let live = |state: ProcessState| state.is_live();
        Stats {
            processes: self.registry.iter().filter(|p| live(p.state)).count() as u64,
            exporters: self.exporters.len() as u64,
            importers: self.sessions.iter().filter(|(conn, s)| !s.exports && conn.peer().is_none()).count() as u64,
            instruments: self.table.len() as u64,
            subscriptions: self.sessions.values().map(|s| s.subscriptions.len() as u64).sum(),
            watched: self.interest.resources().filter(|r| matches!(r, Resource::Instrument(_))).count() as u64,
            coalesced: self.stats.coalesced + self.sessions.values().map(|s| s.queue.coalesced()).sum::<u64>(),
            outages_open: self.outages.open_count(),
            ..self.stats
        }
    }
}
