//! The tools that show what happened say what happened.

use tif_core::defects::Defect;
use tif_core::model::{Cause, Coarsen};
use tif_core::wire::Identity;
use tif_sim::acts::{ActId, Script, Track};
use tif_sim::load::{Phase, Size, measure};
use tif_sim::mutants::{Flights, Found, hunt};
use tif_sim::shrink::{NotShrunk, shrink};
use tif_sim::world::{Weather, World, name};
use tif_sim::{Plan, film, film_again, run, run_system, system_of};

#[test]
fn a_portrait_shows_processes_sources_and_outages_as_they_stand() {
    let mut world = World::new(1, Weather { still: true, ..Weather::default() });
    let exporter = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    let importer = world.spawn_importer(Identity::Exactly(name("imp-1")));
    world.run_ms(1000);
    world.subscribe(importer, "cache.queue.depth@cache-1", Coarsen::default());
    world.run_ms(1000);
    let shows = |world: &World, text: &str| {
        let lines = world.agent.as_ref().map(|agent| agent.portrait(world.time())).unwrap_or_default();
        lines.iter().any(|line| line.contains(text))
    };
    assert!(shows(&world, "imp-1 1:2#1.2 alive") || shows(&world, "imp-1 1:1#1.1 alive"));
    assert!(shows(&world, "cache.queue.depth = F64(0.0), good"));
    assert!(shows(&world, "1 follow it"));
    assert!(!shows(&world, "outage"));
    world.end_process(exporter, Cause::Exit { status: 3 });
    world.run_ms(1000);
    assert!(shows(&world, "dead for"));
    assert!(shows(&world, "cache-1 by nobody, outage 1"));
    assert!(shows(&world, "lost: exit status 3; lasts; 1 were told"));
}

#[test]
fn a_portrait_shows_roles_terms_and_links_between_cpus() {
    let system = system_of(Plan { until: Some(4000), ..Plan::of(0) });
    assert_eq!(system.step, 4000);
    let world = &system.worlds[0];
    let lines = world.agent.as_ref().map(|agent| agent.portrait(world.time())).unwrap_or_default().join("\n");
    for text in ["orders in term", "register: term", "cpu2: 2:0#", "is spoken; stream"] {
        assert!(lines.contains(text), "{text} is missing:\n{lines}");
    }
}

#[test]
fn a_timeline_is_in_order_and_names_who_says_what() {
    let outcome = run_system(Plan { trace: true, until: Some(4000), ..Plan::of(0) });
    assert!(outcome.timeline.is_sorted_by_key(|line| line.step));
    assert!(outcome.timeline.iter().any(|line| line.who == "agent" && line.what.contains("it registers: ")));
    assert!(outcome.timeline.iter().any(|line| line.who.starts_with("imp-1 [") && line.what.starts_with("hears: welcome")));
    assert!(outcome.timeline.iter().any(|line| line.cpu == 2));
}

/// Seeds of one CPU and of several, in fair weather, in a breeze and in a storm.
const FLOWN: [(u64, bool); 6] = [(3, false), (8, false), (60, false), (53, true), (62, true), (71, true)];

#[test]
fn a_run_of_which_the_acts_are_kept_is_the_same_run_and_so_is_one_flown_again_with_all_of_them() {
    for (seed, system) in FLOWN {
        let plain = if system { run_system(Plan::of(seed)) } else { run(Plan::of(seed)) };
        let kept = film(Plan::of(seed), system);
        let all: Vec<ActId> = kept.acts.iter().map(|act| act.id).collect();
        let again = film_again(Plan::of(seed), system, Script::new(&kept.acts, all, None));
        for flown in [&kept, &again] {
            assert_eq!((flown.outcome.steps, flown.outcome.fingerprint), (plain.steps, plain.fingerprint), "seed {seed}");
        }
        assert_eq!(again.acts.len(), kept.acts.len());
    }
}

#[test]
fn acts_that_are_left_out_are_not_done_and_the_others_keep_their_times() {
    let kept = film(Plan::of(62), false);
    let without: Vec<ActId> = kept.acts.iter().map(|act| act.id).filter(|id| !matches!(id.track, Track::Values(_))).collect();
    let again = film_again(Plan::of(62), false, Script::new(&kept.acts, without.clone(), None));
    assert!(again.outcome.violation.is_none());
    assert!(again.outcome.steps < kept.outcome.steps);
    let times = |acts: &[tif_sim::acts::Act], track| -> Vec<u64> { acts.iter().filter(|a| a.id.track == track).map(|a| a.due).collect() };
    assert!(again.acts.iter().all(|act| !matches!(act.id.track, Track::Values(_))));
    assert_eq!(times(&again.acts, Track::Trouble), times(&kept.acts, Track::Trouble));
}

/// What fails with a defect is made short: no more acts than this, none of which can be missed, and nothing is wrong with it without the defect.
fn shortens(defect: Defect, flights: Flights, acts_max: usize) {
    let Found::Flying { check, seed, system, .. } = hunt(defect, 100, flights) else { panic!("{defect:?} was not seen") };
    let plan = Plan { agent: Some(defect), ..Plan::of(seed) };
    let shrunk = shrink(plan, system, 5000).unwrap_or_else(|e| panic!("{defect:?}, seed {seed}: {e:?}"));
    assert_eq!(shrunk.outcome.violation.as_ref().map(|v| v.check), Some(check));
    assert!(shrunk.kept.len() <= acts_max, "{defect:?}, seed {seed}: {} of {} acts are left", shrunk.kept.len(), shrunk.all.len());
    assert!(!shrunk.outcome.timeline.is_empty());
    let ids: Vec<ActId> = shrunk.kept.iter().map(|number| shrunk.all[*number].id).collect();
    let flown = |plan: Plan, ids: &[ActId]| {
        let script = Script::new(&shrunk.all, ids.iter().copied(), shrunk.calm_at);
        film_again(plan, system, script).outcome.violation.map(|v| v.check)
    };
    assert_eq!(flown(plan, &ids), Some(check));
    assert_eq!(flown(Plan::of(seed), &ids), None);
    for one in &ids {
        let rest: Vec<ActId> = ids.iter().copied().filter(|id| id != one).collect();
        assert_ne!(flown(plan, &rest), Some(check), "{one:?} can be missed");
    }
}

#[test]
fn a_failing_run_of_one_cpu_is_made_short() {
    shortens(Defect::ElectInSameTerm, Flights::One, 4);
    shortens(Defect::ForgetDedupe, Flights::One, 8);
}

#[test]
fn a_failing_run_of_several_cpus_is_made_short() {
    shortens(Defect::R1, Flights::System, 8);
}

#[test]
fn a_run_that_does_not_fail_is_not_made_short() {
    assert_eq!(shrink(Plan::of(3), false, 10).map(|shrunk| shrunk.kept), Err(NotShrunk::Passes));
}

fn load(size: Size) -> Vec<Phase> {
    let mut phases = Vec::new();
    measure(size, |phase| phases.push(phase.clone())).unwrap();
    phases
}

// spec: MON-2, FAB-3
#[test]
fn what_agents_say_without_interest_grows_with_the_cpus_only_and_with_it_by_what_is_followed() {
    let (small, large) = (Size { cpus: 4, processes: 1, instruments: 10 }, Size { cpus: 4, processes: 4, instruments: 100 });
    let (few, many) = (load(small), load(large));
    let idle = |phases: &[Phase]| phases.iter().filter(|p| p.what == "nothing happens").map(|p| (p.frames, p.bytes)).collect::<Vec<_>>();
    assert_eq!(idle(&few), idle(&many));
    // Ten heartbeats a second to each of three others.
    assert!(idle(&few).iter().all(|(frames, _)| *frames == 300.0), "{:?}", idle(&few));
    let of = |phases: &[Phase], what: &str| phases.iter().find(|p| p.what == what).map(|p| p.bytes_max).unwrap_or_default();
    let per_instrument = |what: &str| (of(&many, what) - of(&few, what)) / (400 - 10);
    assert!(
        (50..300).contains(&per_instrument("one importer follows everything")),
        "{}",
        per_instrument("one importer follows everything")
    );
    assert!((10..100).contains(&per_instrument("every value changes once")), "{}", per_instrument("every value changes once"));
}
