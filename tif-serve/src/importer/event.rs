//! What an importer is told.

use std::fmt;
use std::sync::Arc;

use tif_core::machine::confirm::End;
use tif_core::model::{Key, Name, Notice, Outage, Report, RequestId, Stamp};
use tif_core::wire::Announcement;

/// One thing that happened, in the order in which it is to be applied.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// An instrument that fits a subscription: it came, or what is known of it has changed.
    Announced(Arc<Announcement>),
    /// A value.
    Report {
        /// Whose.
        announcement: Arc<Announcement>,
        /// The value with all that goes with it.
        report: Report,
    },
    /// All of a source's instruments have this standing from now on; a later report makes its instrument live again.
    Standing {
        /// Which source.
        source: Name,
        /// How it stands.
        standing: Standing,
    },
    /// A source's end mark has come and fits: what was not confirmed before it is gone.
    Synced {
        /// Which source.
        source: Name,
        /// Its exporter.
        key: Key,
    },
    /// An instrument is no more, or was stale for too long.
    Removed(Arc<Announcement>),
    /// A process was born, has died, has a new role.
    Notice(Notice),
    /// An outage has begun, or (with an end) is over.
    Outage(Outage),
    /// A change that was to be confirmed, and was made on this connection, stays or was taken back.
    // spec: CTL-6
    Settled {
        /// Which.
        request_id: RequestId,
        /// How it ended.
        end: End,
    },
    /// The connection to the agent came or went.
    Link(Link),
    /// So many reports were coalesced on the way, because they were not read fast enough. The newest value of each instrument did come.
    // spec: INS-8
    Coalesced(u64),
}

/// The connection to the agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// It stands.
    Up {
        /// The agent's CPU.
        cpu: Name,
        /// The agent.
        agent: Key,
    },
    /// It is gone; the importer is trying to get it back.
    Down {
        /// Since when.
        since: Stamp,
    },
}

/// What an importer may say of a value.
// spec: SRV-8
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// The exporter lives and says so.
    Live,
    /// It is the last value known; nobody stands behind it since then.
    Stale {
        /// Since when, on the wall clock.
        since: Stamp,
    },
    /// It was stale for too long and has been cleared: nothing is known.
    Lost,
}

impl Standing {
    /// Its word in listings: `live`, `stale` or `lost`.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Live => "live",
            Standing::Stale { .. } => "stale",
            Standing::Lost => "lost",
        }
    }

    /// Whether the value is what the living exporter says.
    pub fn is_live(self) -> bool {
        self == Standing::Live
    }
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// One subscription of one importer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionId(pub u32);
