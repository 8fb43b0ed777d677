//! One seed: trouble, then calm.

use std::sync::Arc;

use tif_core::defects;

use crate::Random;
use crate::acts::{Act, Acts, Script};
use crate::check::Violation;
use crate::check::convergence::{self, Doubt};
use crate::story::Line;
use crate::system::{Releases, System};
use crate::world::faults::Defect;
use crate::world::{MS, Pace, SECOND, Weather, World};

/// What a run is to be.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What decides everything.
    pub seed: u64,
    /// How long there is trouble in a storm, in simulated seconds; the seed varies it.
    pub trouble_s: u64,
    /// How densely things happen.
    pub pace: Pace,
    /// What is wrong with the world.
    pub defect: Option<Defect>,
    /// What is wrong with the agent's own code.
    pub agent: Option<tif_core::defects::Defect>,
    /// Keep a timeline.
    pub trace: bool,
    /// Stop at this step.
    pub until: Option<u64>,
    /// How many CPUs, where there are several; none: the seed decides.
    pub cpus: Option<u32>,
}

impl Plan {
    /// The usual run of a seed.
    pub fn of(seed: u64) -> Plan {
        let pace = match seed / 8 % 16 {
            0 => Pace::Fair,
            1..5 => Pace::Breeze,
            _ => Pace::Storm,
        };
        Plan { seed, trouble_s: 12, pace, defect: None, agent: None, trace: false, until: None, cpus: None }
    }

    fn weather(self) -> Weather {
        // Those that found something without them fly on as they were.
        let steps = matches!(self.seed % 20, 2 | 10 | 14 | 16);
        let introduces = if self.seed >= 18_000_000 && self.seed.is_multiple_of(3) { 4 } else { 0 };
        Weather { still: false, defect: self.defect, trace: self.trace, pace: self.pace, steps, introduces }
    }

    /// How long there is trouble.
    fn length(self, random: &mut Random) -> u64 {
        (self.trouble_s * SECOND / 2 + random.below(self.trouble_s.max(1)) * SECOND) * self.pace.slower()
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
    pub timeline: Vec<Line>,
    /// A number that two runs of the same seed have in common.
    pub fingerprint: u64,
    /// How many CPUs there were.
    pub cpus: usize,
    /// After how long without trouble everything was right, in milliseconds, if it was.
    // I26
    pub healed_ms: Option<u64>,
}

/// How long everything may take to come right.
// I26
const HEALS_WITHIN: u64 = 5 * SECOND;

/// Flies a seed.
pub fn run(plan: Plan) -> Outcome {
    defects::with(plan.agent, || fly(plan))
}

/// The world of a seed with one CPU, as it is when the flight ends or is stopped.
pub fn world_of(plan: Plan) -> World {
    defects::with(plan.agent, || fly_world(plan, Acts::default()))
}

fn fly(plan: Plan) -> Outcome {
    outcome_of_world(&mut fly_world(plan, Acts::default()))
}

fn outcome_of_world(world: &mut World) -> Outcome {
    let fingerprint = world.random.any() ^ world.now;
    let timeline = std::mem::take(&mut world.timeline);
    let (steps, simulated_ms, healed_ms) = (world.step, world.now / MS, world.healed_after.map(|ns| ns / MS));
    Outcome { violation: world.violation.take(), steps, simulated_ms, timeline, fingerprint, cpus: 1, healed_ms }
}

fn fly_world(plan: Plan, acts: Acts) -> World {
    let mut world = World::new(plan.seed, plan.weather());
    world.acts = acts;
    world.populate();
    let end = world.now + plan.length(&mut world.random);
    let end = world.acts.calm_at().unwrap_or(end);
    let stop = plan.until.unwrap_or(u64::MAX);
    while world.now < end && world.step < stop && world.advance() {}
    if world.violation.is_none() && world.step < stop {
        world.calm_down();
        heal(&mut world, stop);
    }
    world
}

fn heal(world: &mut World, stop: u64) {
    let began = world.now;
    let mut end = began + HEALS_WITHIN;
    // Where somebody on another kernel has to be given up for his silence, that takes as long as he said that he may be silent.
    let waits = world.given_up_at() > began;
    loop {
        end = end.max(world.given_up_at() + HEALS_WITHIN);
        let next = world.now + 50 * MS;
        if !world.run_until_step(next, stop) || world.step >= stop {
            return;
        }
        match convergence::look(&[world]) {
            Ok(()) => return world.healed_after = (!waits).then_some(world.now - began),
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

/// How long several CPUs may take to come right: a life that was given up has to begin anew first.
// I26
const SYSTEM_HEALS_WITHIN: u64 = 12 * SECOND;

/// Flies a seed with several CPUs: two to nine, as the seed decides.
pub fn run_system(plan: Plan) -> Outcome {
    defects::with(plan.agent, || fly_system(plan))
}

/// All CPUs of a seed with several, as they are when the flight ends or is stopped.
pub fn system_of(plan: Plan) -> System {
    defects::with(plan.agent, || fly_all(plan, &|_| Acts::default()))
}

fn fly_system(plan: Plan) -> Outcome {
    outcome_of_system(&mut fly_all(plan, &|_| Acts::default()))
}

fn outcome_of_system(system: &mut System) -> Outcome {
    let mut timeline = std::mem::take(&mut system.timeline);
    timeline.extend(system.worlds.iter_mut().flat_map(|world| std::mem::take(&mut world.timeline)));
    timeline.sort_by_key(|line| line.step);
    let fingerprint = system.random.any() ^ system.now();
    let (steps, simulated_ms, cpus) = (system.step, system.now() / MS, system.worlds.len());
    let healed_ms = system.worlds[0].healed_after.map(|ns| ns / MS);
    Outcome { violation: system.violation().cloned(), steps, simulated_ms, timeline, fingerprint, cpus, healed_ms }
}

/// Of which all acts are kept, or of which some are left out.
#[derive(Clone, Debug)]
pub struct Film {
    /// How it ended.
    pub outcome: Outcome,
    /// What was done, in the order of time; in words if the plan asks for a timeline.
    pub acts: Vec<Act>,
}

/// Flies a seed and keeps its acts.
pub fn film(plan: Plan, system: bool) -> Film {
    film_with(plan, system, None)
}

/// Flies a seed again, with the acts of a script only.
pub fn film_again(plan: Plan, system: bool, script: Script) -> Film {
    film_with(plan, system, Some(Arc::new(script)))
}

fn film_with(plan: Plan, system: bool, script: Option<Arc<Script>>) -> Film {
    let acts_of = |cpu: u32| Acts::kept(cpu, plan.trace, script.clone());
    let (outcome, mut acts) = defects::with(plan.agent, || {
        if system {
            let mut system = fly_all(plan, &acts_of);
            let mut acts = system.acts.take();
            acts.extend(system.worlds.iter_mut().flat_map(|world| world.acts.take()));
            (outcome_of_system(&mut system), acts)
        } else {
            let mut world = fly_world(plan, acts_of(1));
            let acts = world.acts.take();
            (outcome_of_world(&mut world), acts)
        }
    });
    acts.sort_by_key(|act| (act.due, act.id));
    Film { outcome, acts }
}

fn fly_all(plan: Plan, acts_of: &dyn Fn(u32) -> Acts) -> System {
    let cpus = plan.cpus.unwrap_or(match plan.seed % 8 {
        0..3 => 2,
        3..5 => 3,
        5 => 4,
        6 => 5,
        _ => 2 + (plan.seed / 8 % 8) as u32,
    });
    // The foreign one is no voter, so that the others do without it.
    let releases = match plan.seed / 8 % 4 {
        0 if cpus > 3 => Releases::MixedAndForeign,
        0 | 1 => Releases::Mixed,
        _ => Releases::One,
    };
    let mut system = System::of_releases(cpus, plan.seed, plan.weather(), releases);
    system.acts = acts_of(0);
    for world in &mut system.worlds {
        world.acts = acts_of(world.node);
    }
    system.populate();
    let end = system.now() + plan.length(&mut system.random);
    let end = system.acts.calm_at().unwrap_or(end);
    let stop = plan.until.unwrap_or(u64::MAX);
    system.run_to(end, stop);
    if system.violation().is_none() && system.step < stop {
        system.calm_down();
        heal_system(&mut system, stop);
    }
    system
}

fn heal_system(system: &mut System, stop: u64) {
    let began = system.now();
    let mut end = began + SYSTEM_HEALS_WITHIN;
    let mut waits = false;
    let mut doubt = Doubt::default();
    loop {
        // Not in step with what changes every so often.
        let next = system.now() + 37 * MS;
        if !system.run_until_step(next, stop) || system.step >= stop {
            return;
        }
        let given_up = system.worlds.iter().map(World::given_up_at).max().unwrap_or_default();
        end = end.max(given_up + SYSTEM_HEALS_WITHIN);
        waits |= given_up > began;
        match system.look_again(&mut doubt) {
            Ok(()) => return system.worlds[0].healed_after = (!waits).then(|| system.now() - began),
            Err(mut violation) if system.now() >= end => {
                violation.step = system.step;
                violation.at_ms = system.now() / MS;
                system.worlds[0].violation = Some(violation);
                return;
            }
            Err(_) => {}
        }
    }
}
