//! Flies with a deliberate defect in the agent's own code until a check sees it.
//!
//! An audit of the auditors: for each defect of [`tif_core::defects`], which check sees it, and how many seeds that takes. One CPU and several take
//! turns, seed by seed; what neither sees is put to the model check. A check that sees something where nothing is wrong proves nothing, so the seed is
//! flown once more without the defect.

mod command;

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tif_core::defects::Defect;
use tif_model::scenarios;

use crate::{Plan, run, run_system};

pub use command::Mutants;

/// How a defect was found.
#[derive(Clone, Debug)]
pub enum Found {
    /// By a check, in flight.
    Flying {
        /// Which.
        check: &'static str,
        /// What it saw.
        what: String,
        /// The first seed that shows it, of those from 0 on.
        seed: u64,
        /// Several CPUs.
        system: bool,
    },
    /// By the model check, in so many steps.
    Searching(usize),
    /// Not at all.
    Nowhere,
}

/// Which flights are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flights {
    /// With one CPU.
    One,
    /// With several.
    System,
    /// With both, by turns.
    Both,
}

/// Flies seeds from 0 on until a check sees the defect.
pub fn hunt(defect: Defect, seeds: u64, flights: Flights) -> Found {
    for seed in 0..seeds {
        for system in [false, true] {
            if flights == if system { Flights::One } else { Flights::System } {
                continue;
            }
            let fly = if system { run_system } else { run };
            let Some(violation) = fly(Plan { agent: Some(defect), ..Plan::of(seed) }).violation else { continue };
            if fly(Plan::of(seed)).violation.is_none() {
                return Found::Flying { check: violation.check, what: violation.what, seed, system };
            }
        }
    }
    Found::Nowhere
}

/// What finds each of these defects, in this order, on so many threads. Each is shown as soon as it is known.
pub fn hunt_all(defects: &[Defect], seeds: u64, jobs: usize, show: impl Fn(Defect, &Found) + Sync) -> Vec<(Defect, Found)> {
    let (next, all) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(defect) = defects.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = match hunt(*defect, seeds, Flights::Both) {
                        Found::Nowhere => search(*defect),
                        found => found,
                    };
                    show(*defect, &found);
                    all.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push((*defect, found));
                }
            });
        }
    });
    let mut all = all.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    all.sort_by_key(|(defect, _)| *defect);
    all
}

/// What the model check says of a defect of the machines that it searches.
fn search(defect: Defect) -> Found {
    let report = scenarios::without(defect);
    report.and_then(|report| report.counterexample).map_or(Found::Nowhere, |(_, steps)| Found::Searching(steps.len()))
}
