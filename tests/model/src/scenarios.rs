//! The worlds that are searched, and how long each may take.

use tif_core::defects::{self, Defect};

use crate::admission::{self, Group};
use crate::office::{self, Office};
use crate::register::{self, Council, Flaw};
use crate::replication::{self, Pair};
use crate::restart::{self, Restart};
use crate::{Report, search};

/// A world, by what it is about.
pub struct Scenario {
    /// What it is about.
    pub name: &'static str,
    /// It is searched in a debug build, too.
    pub quick: bool,
    world: First,
}

#[derive(Clone, Copy)]
enum First {
    Pair(replication::Bounds),
    Council(register::Bounds),
    Restart(restart::Bounds),
    Office(office::Bounds),
    Group(admission::Bounds),
}

const PAIR: replication::Bounds = replication::Bounds {
    epochs: 2,
    writes: 2,
    restarts: 0,
    losses: 0,
    resend: false,
    again: false,
    keep: false,
    attempts: false,
    without: None,
};
const COUNCIL: register::Bounds = register::Bounds { voters: 3, attempts: 1, epochs: 2, restarts: 0, losses: 0, flaw: None };

const RESTART: restart::Bounds = restart::Bounds { lives: 2, time: 4, breaks: 0, losses: 1, changes: 1, overtakes: 2, way: 3 };

const OFFICE: office::Bounds = office::Bounds { names: 1, lives: 2, agents: 3, hellos: 2, steal: true, watches: 1 };

const GROUP: admission::Bounds = admission::Bounds { cpus: 2, lives: 2, cuts: 0, restarts: 0, way: 1 };
const PROMPT: admission::Bounds = admission::Bounds { way: 0, ..GROUP };

/// Everything that is searched for what must not be.
pub const ALL: &[Scenario] = &[
    pair("2 terms, 2 writes", true, PAIR),
    pair("2 terms, 1 write, agents restart", true, replication::Bounds { writes: 1, restarts: 1, ..PAIR }),
    pair("4 terms, 1 write", true, replication::Bounds { epochs: 4, writes: 1, ..PAIR }),
    pair("6 terms, 1 write", false, replication::Bounds { epochs: 6, writes: 1, ..PAIR }),
    pair("6 terms, 1 write, agents restart", false, replication::Bounds { epochs: 6, writes: 1, restarts: 1, ..PAIR }),
    pair("3 terms, 2 writes", false, replication::Bounds { epochs: 3, ..PAIR }),
    pair("2 terms, 1 write, stores lost", false, replication::Bounds { writes: 1, losses: 1, ..PAIR }),
    pair("3 terms, 1 write, stores lost", false, replication::Bounds { epochs: 3, writes: 1, losses: 1, ..PAIR }),
    pair(
        "2 terms, 2 writes, heartbeats, others kept in sync, leaders begin anew",
        false,
        replication::Bounds { resend: true, again: true, keep: true, attempts: true, ..PAIR },
    ),
    pair("6 terms, 2 writes, agents restart, stores lost", false, replication::Bounds { epochs: 6, restarts: 1, losses: 1, ..PAIR }),
    council("3 voters, 2 proposers, 1 attempt each", true, COUNCIL),
    council("3 voters, 2 proposers, 1 attempt each, a store lost", false, register::Bounds { losses: 1, ..COUNCIL }),
    council(
        "2 voters, 2 proposers, 2 attempts each, agents restart",
        false,
        register::Bounds { voters: 2, attempts: 2, restarts: 1, ..COUNCIL },
    ),
    restart("a source with 2 lives", true, RESTART),
    restart("a source with 3 lives, the stream breaks", false, restart::Bounds { lives: 3, breaks: 1, overtakes: 0, ..RESTART }),
    restart("a source with 6 lives", false, restart::Bounds { lives: 6, losses: 0, changes: 0, time: 3, overtakes: 0, way: 1, ..RESTART }),
    office("2 lives of a name, 3 agents", true, OFFICE),
    office("2 lives of a name, 6 agents", false, office::Bounds { agents: 6, ..OFFICE }),
    office("2 names, 3 agents", false, office::Bounds { names: 2, lives: 1, ..OFFICE }),
    group("2 lives on each of 2 CPUs, a cut, an agent begins anew", true, admission::Bounds { cuts: 1, restarts: 1, ..GROUP }),
    group("a life on each of 3 CPUs, answers in time", true, admission::Bounds { cpus: 3, lives: 1, ..PROMPT }),
    group("6 lives on each of 2 CPUs, answers in time", false, admission::Bounds { lives: 6, ..PROMPT }),
    group("2 lives on each of 2 CPUs, a cut, 6 agents, answers in time", false, admission::Bounds { cuts: 1, restarts: 5, ..PROMPT }),
    council("3 voters, 2 proposers, 2 attempts each", false, register::Bounds { attempts: 2, ..COUNCIL }),
];

const fn group(name: &'static str, quick: bool, bounds: admission::Bounds) -> Scenario {
    Scenario { name, quick, world: First::Group(bounds) }
}

const fn office(name: &'static str, quick: bool, bounds: office::Bounds) -> Scenario {
    Scenario { name, quick, world: First::Office(bounds) }
}

const fn restart(name: &'static str, quick: bool, bounds: restart::Bounds) -> Scenario {
    Scenario { name, quick, world: First::Restart(bounds) }
}

const fn pair(name: &'static str, quick: bool, bounds: replication::Bounds) -> Scenario {
    Scenario { name, quick, world: First::Pair(bounds) }
}

const fn council(name: &'static str, quick: bool, bounds: register::Bounds) -> Scenario {
    Scenario { name, quick, world: First::Council(bounds) }
}

impl Scenario {
    /// Searches it.
    pub fn search(&self, states_max: usize) -> Report {
        match self.world {
            First::Pair(bounds) => search(Pair::new(bounds), states_max),
            First::Council(bounds) => search(Council::new(bounds), states_max),
            First::Restart(bounds) => search(Restart::new(bounds), states_max),
            First::Office(bounds) => search(Office::new(bounds), states_max),
            First::Group(bounds) => search(Group::new(bounds), states_max),
        }
    }
}

/// The rules of the replication.
pub const RULES: [Defect; 9] = [Defect::R1, Defect::R2, Defect::R3, Defect::R4, Defect::R5, Defect::R6, Defect::R7, Defect::R8, Defect::R9];

/// What a consumer of a source that dies can do wrong.
pub const RESTARTS: [Defect; 8] = [
    Defect::RestartStaleClock,
    Defect::SweepOnMismatch,
    Defect::EndOfOtherLife,
    Defect::RecordOfOtherLife,
    Defect::ReviveStale,
    Defect::ExpireFresh,
    Defect::KeepExpired,
    Defect::LoseSuccessor,
];

/// What a registry and the agents that keep it can do wrong.
pub const OFFICES: [Defect; 9] = [
    Defect::ReuseIncarnation,
    Defect::ForgetAgentEpoch,
    Defect::ForgetNumber,
    Defect::TakeNameFromLiving,
    Defect::ResumeAsAnother,
    Defect::ResumeTheDead,
    Defect::BuryOrphan,
    Defect::RaiseDead,
    Defect::ForgetEnd,
];

/// What members that find their numbers can do wrong.
pub const GROUPS: [Defect; 3] = [Defect::HoldUnasked, Defect::IgnoreClaim, Defect::KeepSharedNumber];

/// What goes wrong first when a rule is not kept, or a consumer errs; nothing is known of other defects. The bounds are the least in which all of them show.
pub fn without(rule: Defect) -> Option<Report> {
    if RESTARTS.contains(&rule) {
        return Some(defects::with(Some(rule), || search(Restart::new(RESTART), 5_000_000)));
    }
    if OFFICES.contains(&rule) {
        return Some(defects::with(Some(rule), || search(Office::new(OFFICE), 5_000_000)));
    }
    if GROUPS.contains(&rule) {
        let bounds = admission::Bounds { cuts: u8::from(rule == Defect::KeepSharedNumber), ..PROMPT };
        return Some(defects::with(Some(rule), || search(Group::new(bounds), 5_000_000)));
    }
    if !RULES.contains(&rule) {
        return None;
    }
    let losses = u8::from(matches!(rule, Defect::R4 | Defect::R9));
    let writes = if rule == Defect::R5 { 2 } else { 1 };
    let bounds = replication::Bounds { writes, losses, without: Some(rule), ..PAIR };
    Some(defects::with(Some(rule), || search(Pair::new(bounds), 5_000_000)))
}

/// What goes wrong first when the voters are not treated as they must be.
pub fn with(flaw: Flaw) -> Report {
    let bounds = match flaw {
        Flaw::AnswerBeforeWrite => register::Bounds { attempts: 2, ..COUNCIL },
        Flaw::VoteWithNewStore => register::Bounds { attempts: 2, losses: 1, ..COUNCIL },
    };
    search(Council::new(register::Bounds { flaw: Some(flaw), ..bounds }), 5_000_000)
}
