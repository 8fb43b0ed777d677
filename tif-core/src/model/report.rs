//! A report: one instrument's value on its way to importers.
// spec: INS-7

use std::fmt;

use serde::{Deserialize, Serialize};

use super::alarm::Alarm;
use super::id::{InstrumentId, Key};
use super::outage::OutageId;
use super::value::Value;

/// When the source's value was picked up: nanoseconds of wall-clock time since 1970. For people only; decides nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp(pub u64);

/// How far a value can be trusted.
// spec: INS-7, SRV-8
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// From the living exporter.
    Good,
    /// The last known value; no living exporter stands behind it since then.
    Stale {
        /// Since when, on the wall clock.
        since: Stamp,
    },
    /// There is an outage; the value is the last one known.
    Outage {
        /// Which.
        id: OutageId,
        /// Since when, on the wall clock.
        since: Stamp,
    },
    /// The exporter lives but has no value to give.
    Failed {
        /// Why: a dynamic indicator's error or time-out.
        reason: String,
    },
}

impl Quality {
    /// Its word in listings: `good`, `stale`, `outage` or `failed`.
    pub fn word(&self) -> &'static str {
        match self {
            Quality::Good => "good",
            Quality::Stale { .. } => "stale",
            Quality::Outage { .. } => "outage",
            Quality::Failed { .. } => "failed",
        }
    }
}

impl fmt::Display for Quality {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Quality::Failed { reason } => write!(f, "failed: {reason}"),
            other => f.pad(other.word()),
        }
    }
}

/// One instrument's value on its way to importers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whose. The name was announced before.
    pub instrument: InstrumentId,
    /// The value; none if the exporter never had one to give.
    pub value: Option<Value>,
    /// How far to trust it.
    pub quality: Quality,
    /// The exporter it comes from.
    pub key: Key,
    /// Grows by one with each significant change of this instrument; starts anew with a new key.
    pub seq: u64,
    /// When it was picked up.
    pub stamp: Stamp,
    /// How many significant changes it stands for beyond itself.
    pub coalesced: u64,
    /// Whether it is within its limits.
    pub alarm: Alarm,
}
