//! What the screen is told: the importer's events in the screen's own words, so that the model needs no importer to be tested.

use std::sync::Arc;

use tif_core::model::{Key, Name, Outage, Report, Stamp, Time};
use tif_core::wire::Announcement;

/// One thing that happened.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    /// An instrument is there, or its announcement has changed.
    Announced(Arc<Announcement>),
    /// It has a value.
    Report {
        /// Whose.
        announcement: Arc<Announcement>,
        /// The value.
        report: Report,
    },
    /// It is no more.
    Removed(Arc<Announcement>),
    /// How a whole source stands.
    Standing {
        /// Which.
        source: Name,
        /// How.
        standing: Standing,
    },
    /// An outage began, or ended.
    Outage(Outage),
    /// A process was born, has died, has a new role.
    ProcessChanged,
    /// The link to the agent came or went.
    Link(Link),
    /// That many reports were coalesced on the way here.
    Coalesced(u64),
}

/// Whether a source's values are live.
// spec: SRV-8
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// A living exporter stands behind them.
    Live,
    /// None since then.
    Stale {
        /// On the wall clock.
        since: Stamp,
    },
    /// Given up since then.
    Lost {
        /// On the wall clock.
        since: Stamp,
    },
}

/// The link to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// It is there.
    Up {
        /// The agent's CPU.
        cpu: Name,
        /// The agent.
        agent: Key,
    },
    /// It is not.
    Down {
        /// On the wall clock.
        since: Stamp,
    },
}

/// The present moment, handed in to whatever depends on time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Now {
    /// On a clock that never goes back: for pauses and rates.
    pub(crate) mono: Time,
    /// On the wall clock: for people.
    pub(crate) wall: Stamp,
}

impl Now {
    /// How long ago `stamp` was; zero if the wall clock has gone back since.
    pub(crate) fn since(&self, stamp: Stamp) -> std::time::Duration {
        std::time::Duration::from_nanos(self.wall.0.saturating_sub(stamp.0))
    }
}
