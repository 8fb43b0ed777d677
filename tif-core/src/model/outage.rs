//! An outage: the record that an exporter's instruments are without a live exporter.
// spec: OUT-1, OUT-2, OUT-4

use serde::{Deserialize, Serialize};

use super::id::Key;
pub use super::id::OutageId;
use super::name::Name;
use super::notice::Cause;
use super::report::Stamp;

/// An exporter's instruments are without a live exporter, from when, why, until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outage {
    /// Which outage of this agent.
    pub id: OutageId,
    /// The CPU.
    pub cpu: Name,
    /// Whose instruments: the service, or the process where each exports for itself.
    pub source: Name,
    /// The process that was lost.
    pub process: Name,
    /// Its key.
    pub key: Key,
    /// Why.
    pub cause: Cause,
    /// Since when, on the wall clock. If nobody saw it begin: when its process was last known to live.
    pub since: Stamp,
    /// How it ended; none while it lasts.
    pub end: Option<OutageEnd>,
    /// If nobody saw it begin, because the agent was not there: when the process was found dead. It was lost some time between the two.
    // spec: OUT-6, MON-7
    #[serde(default)]
    pub found: Option<Stamp>,
}

/// How an outage ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageEnd {
    /// The process that exports now.
    pub process: Name,
    /// Its key.
    pub key: Key,
    /// When, on the wall clock.
    pub at: Stamp,
    /// How long the instruments were without an exporter; if nobody saw it begin, at most.
    pub gap_ms: u64,
    /// Instruments that are there as before.
    pub remapped: u64,
    /// Instruments that the new exporter does not have.
    pub removed: u64,
    /// Instruments that the old exporter did not have.
    pub added: u64,
    /// Accepted control changes with which the new exporter runs.
    pub carried: u64,
    /// Whether the three numbers of instruments are known: an agent that started after the loss never saw what the lost exporter had.
    #[serde(default = "counted")]
    pub counted: bool,
}

fn counted() -> bool {
    true
}

impl OutageEnd {
    /// Instruments remapped, removed and added; none if that is not known.
    pub fn counts(&self) -> Option<[u64; 3]> {
        self.counted.then_some([self.remapped, self.removed, self.added])
    }
}
