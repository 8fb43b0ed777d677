//! The witnesses: each knows the truth independently of the agent and looks at one thing.
//!
//! Safety is looked at while things break, liveness (`convergence`) after they have healed.

mod admissions;
mod bounds;
pub mod calls;
pub mod controls;
pub mod convergence;
mod deaths;
mod freshness;
mod handovers;
mod heartbeats;
mod ids;
pub(crate) mod keeps;
mod keys;
mod launches;
pub(crate) mod marks;
mod notices;
mod numbers;
pub(crate) mod outages;
pub mod outdated;
mod primaries;
mod reports;
pub(crate) mod revivals;
pub mod shared;
mod staleness;
pub(crate) mod succession;
pub mod versions;

use std::fmt;

/// What was wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// At which event.
    pub step: u64,
    /// When, in simulated milliseconds.
    pub at_ms: u64,
    /// Which check saw it.
    pub check: &'static str,
    /// What it saw.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {} at {} ms: {}: {}", self.step, self.at_ms, self.check, self.what)
    }
}

/// What a check says.
pub type Verdict = Result<(), Violation>;

/// A violation; the world adds where and when.
fn violation(check: &'static str, what: String) -> Violation {
    Violation { step: 0, at_ms: 0, check, what }
}

fn wrong(check: &'static str, what: String) -> Verdict {
    Err(violation(check, what))
}

/// All that look on while things happen.
#[derive(Debug, Default)]
pub struct Checks {
    pub(crate) admissions: admissions::Admissions,
    pub(crate) bounds: bounds::Bounds,
    pub(crate) calls: calls::Calls,
    pub(crate) controls: controls::Controls,
    pub(crate) deaths: deaths::Deaths,
    pub(crate) freshness: freshness::Freshness,
    pub(crate) handovers: handovers::Handovers,
    pub(crate) heartbeats: heartbeats::Heartbeats,
    pub(crate) ids: ids::Ids,
    pub(crate) keeps: keeps::Keeps,
    pub(crate) keys: keys::Keys,
    pub(crate) launches: launches::Launches,
    pub(crate) marks: marks::Marks,
    pub(crate) notices: notices::Notices,
    pub(crate) outages: outages::Outages,
    pub(crate) primaries: primaries::Primaries,
    pub(crate) reports: reports::Reports,
    pub(crate) staleness: staleness::Staleness,
}

impl Checks {
    pub(crate) fn on_agent_start(&mut self, now: tif_core::model::Stamp) {
        self.launches.on_agent_start();
        self.outages.on_agent_start(now);
    }

    /// How many notices of deaths were told.
    pub fn deaths_told(&self) -> u64 {
        self.deaths.told()
    }

    /// How often an importer was told of a handover that ended well.
    pub fn handovers(&self) -> u64 {
        self.handovers.count()
    }

    /// How many changes that were to be confirmed have had their end.
    pub fn settled(&self) -> u64 {
        self.keeps.ended()
    }

    /// How many processes on other kernels were presumed dead.
    pub fn presumed(&self) -> u64 {
        self.heartbeats.presumed()
    }

    /// How often somebody took office in a service.
    pub fn offices(&self) -> usize {
        self.primaries.count()
    }
}
