//! The worlds that are searched, and how long each may take.

use tif_core::defects::{self, Defect};

use crate::register::{self, Council, Flaw};
use crate::replication::{self, Pair};
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

/// Everything that is searched for what must not be.
pub const ALL: &[Scenario] = &[
    pair("2 terms, 2 writes", true, PAIR),
    pair("2 terms, 1 write, agents restart", true, replication::Bounds { writes: 1, restarts: 1, ..PAIR }),
    pair("4 terms, 1 write", true, replication::Bounds { epochs: 4, writes: 1, ..PAIR }),
    pair("6 terms, 1 write", false, replication::Bounds { epochs: 6, writes: 1, ..PAIR }),
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
    council("3 voters, 2 proposers, 2 attempts each", false, register::Bounds { attempts: 2, ..COUNCIL }),
];

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
        }
    }
}

/// The rules of the replication.
pub const RULES: [Defect; 9] = [Defect::R1, Defect::R2, Defect::R3, Defect::R4, Defect::R5, Defect::R6, Defect::R7, Defect::R8, Defect::R9];

/// What goes wrong first when a rule is not kept; nothing is known of other defects. The bounds are the least in which all of them show.
pub fn without(rule: Defect) -> Option<Report> {
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
