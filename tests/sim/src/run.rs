//! One seed: trouble, then calm.

use crate::check::{Violation, convergence};
use crate::world::faults::Defect;
use crate::world::{MS, SECOND, Weather, World};

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What decides everything.
    pub seed: u64,
    /// How long there is trouble, in simulated seconds; the seed varies it.
    pub trouble_s: u64,
    /// What is wrong with the world.
    pub defect: Option<Defect>,
    /// Keep a timeline.
    pub trace: bool,
    /// Stop at this step.
    pub until: Option<u64>,
}

impl Plan {
    /// The usual run of a seed.
    pub fn of(seed: u64) -> Plan {
        Plan { seed, trouble_s: 20, defect: None, trace: false, until: None }
    }
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was wrong, if anything was.
    pub violation: Option<Violation>,
    /// How many events there were.
    pub steps: u64,
    /// How much time was simulated, in milliseconds.
    pub simulated_ms: u64,
    /// What happened, if it was kept.
    pub timeline: Vec<String>,
    /// A number that two runs of the same seed have in common.
    pub fingerprint: u64,
}

/// How long everything may take to come right.
// I26
const HEALS_WITHIN: u64 = 5 * SECOND;

/// Flies a seed.
pub fn run(plan: Plan) -> Outcome {
    let mut world = World::new(plan.seed, Weather { still: false, defect: plan.defect, trace: plan.trace });
    world.populate();
    let long = if plan.seed.is_multiple_of(8) { 4 } else { 1 };
    let end = world.now + long * (plan.trouble_s * SECOND / 2 + world.random.below(plan.trouble_s.max(1)) * SECOND);
    let stop = plan.until.unwrap_or(u64::MAX);
    while world.now < end && world.step < stop && world.advance() {}
    if world.violation.is_none() && world.step < stop {
        world.calm_down();
        heal(&mut world, stop);
    }
    let steps = world.step;
    let fingerprint = world.random.any() ^ world.now;
    Outcome { violation: world.violation, steps, simulated_ms: world.now / MS, timeline: world.timeline, fingerprint }
}

fn heal(world: &mut World, stop: u64) {
    let end = world.now + HEALS_WITHIN;
    loop {
        let next = world.now + 50 * MS;
        if !world.run_until(next) || world.step >= stop {
            return;
        }
        match convergence::look(world) {
            Ok(()) => return,
            Err(mut violation) if world.now >= end => {
                violation.step = world.step;
                violation.at_ms = world.now / MS;
                world.violation = Some(violation);
                return;
            }
            Err(_) => {}
        }
    }
}
