//! The cases in which such systems usually fail, one story each: arrange, break something, look. Those that were told before are in `scenarios`,
//! `store_and_leave`, `systems`, `groups`, `handovers`, `introductions` and `far_calls`; docs/simulation.md says which is where.

use tif_core::limits::STALE_AFTER_OUTAGE;
use tif_core::model::{Cause, Coarsen, NodeId, Refusal, SetResult, Value, Version};
use tif_core::wire::{Admission, Identity};
use tif_sim::check::convergence;
use tif_sim::system::System;
use tif_sim::world::{Weather, Who, World, name};

const KILLED: Cause = Cause::Signal { signal: 9, core: false };
const YEAR: i64 = 365 * 24 * 3600 * 1_000_000_000;

fn told() -> Weather {
    Weather { still: true, trace: true, ..Weather::default() }
}

fn solo(world: &mut World, own: &str) -> Who {
    world.spawn_exporter(Identity::Exactly(name(own)), "cache", false)
}

/// An importer that follows everything.
fn importer(world: &mut World, own: &str) -> Who {
    let who = world.spawn_importer(Identity::Exactly(name(own)));
    world.run_ms(500);
    world.subscribe(who, "**", Coarsen::default());
    who
}

/// How often a process heard something with these words in it.
fn heard(world: &World, who: Who, words: &str) -> usize {
    let its = format!("[{who}]");
    world.timeline.iter().filter(|line| line.who.ends_with(&its) && line.what.starts_with("hears") && line.what.contains(words)).count()
}

fn assert_converged(world: &mut World) {
    for _ in 0..100 {
        world.run_ms(50);
        assert_eq!(world.violation, None);
        if convergence::look(&[&*world]).is_ok() {
            return;
        }
    }
    panic!("{:?}", convergence::look(&[&*world]));
}

/// All is well, and everything is shown as it is, once who has just started has had the time to connect.
fn settle(system: &mut System) {
    assert!(system.run_ms(1000), "{:?}", system.violation());
    for _ in 0..300 {
        assert!(system.run_ms(37), "{:?}", system.violation());
        if system.look().is_ok() {
            return;
        }
    }
    panic!("{:?}", system.look());
}

/// Asks for a change on a CPU and waits for what comes of it.
fn set(system: &mut System, cpu: usize, who: Who, value: u64, id: &str) -> Result<SetResult, Refusal> {
    let req = system.worlds[cpu].set(who, "orders.batch", &value.to_string(), id, Admission::default()).expect("it is connected");
    for _ in 0..150 {
        if let Some(answer) = system.worlds[cpu].processes[who].importer().and_then(|i| i.answers.get(&req)) {
            return answer.clone();
        }
        assert!(system.run_ms(100), "{:?}", system.violation());
    }
    panic!("no answer to {id}");
}

fn leaders(system: &System) -> Vec<u32> {
    system.worlds.iter().filter(|w| w.standing().contains_key(&name("orders"))).map(|w| w.node).collect()
}

/// Three CPUs with a member of a group each, the first of which leads, and an importer each.
fn group() -> (System, Vec<Who>) {
    let mut system = System::new(3, 7, told());
    let mut importers = Vec::new();
    for i in 0..3 {
        system.worlds[i].spawn_member("orders");
        assert!(system.run_ms(2000), "{:?}", system.violation());
        let own = World::name_on(i as u32 + 1, "imp-1");
        importers.push(system.worlds[i].spawn_importer(Identity::Exactly(name(&own))));
    }
    assert!(system.run_ms(2000), "{:?}", system.violation());
    assert_eq!(leaders(&system), [1]);
    (system, importers)
}

// spec: PSM-10, PSM-7
#[test]
fn a_process_whose_link_is_cut_is_unreachable_and_not_dead_and_goes_on_under_its_key() {
    let mut world = World::new(7, told());
    let exporter = solo(&mut world, "cache-1");
    let importer = importer(&mut world, "imp-1");
    world.lookup(importer, "cache-1");
    world.run_ms(1000);
    let key = world.processes[exporter].key;
    for times in 1..=3 {
        world.break_link(exporter);
        assert_converged(&mut world);
        assert_eq!(world.processes[exporter].key, key);
        assert_eq!((heard(&world, importer, "is unreachable"), heard(&world, importer, "is reachable again")), (times, times));
    }
    assert_eq!((world.checks.deaths_told(), heard(&world, importer, "outage")), (0, 0));
}

// spec: PSM-8
#[test]
fn the_same_name_on_two_cpus_is_two_processes_and_neither_is_refused() {
    let mut system = System::new(2, 7, told());
    let one = solo(&mut system.worlds[0], "cache-1");
    let other = solo(&mut system.worlds[1], "cache-1");
    settle(&mut system);
    let keys = [system.worlds[0].processes[one].key, system.worlds[1].processes[other].key];
    assert_eq!(keys.map(|key| key.map(|key| key.node)), [Some(NodeId(1)), Some(NodeId(2))]);
    let importer = importer(&mut system.worlds[0], "imp-1");
    settle(&mut system);
    let views = &system.worlds[0].processes[importer].importer().unwrap().views;
    assert!(views.contains_key(&name("cache-1")) && views.contains_key(&name("cpu2.cache-1")), "{:?}", views.keys());
}

// spec: SYN-4, SEC-3
#[test]
fn the_wall_clock_jumps_and_nothing_but_dates_changes() {
    for jump in [-YEAR, -3_600_000_000_000, 10 * YEAR] {
        let mut world = World::new(7, told());
        let exporter = solo(&mut world, "cache-1");
        let importer = importer(&mut world, "imp-1");
        world.run_ms(10_000);
        let rows = |world: &World| {
            let view = world.processes[importer].importer().and_then(|i| i.views.get(&name("cache-1")));
            view.map_or(0, |view| view.rows.len())
        };
        let all = rows(&world);
        world.end_process(exporter, KILLED);
        world.run_ms(1000);
        world.wall_ahead += jump;
        // As long as ever, and no longer.
        world.run_ms(STALE_AFTER_OUTAGE.as_millis() as u64 - 2000);
        assert_eq!((rows(&world), all > 0), (all, true), "jump of {jump}");
        world.run_ms(3000);
        assert_eq!(rows(&world), 0, "jump of {jump}");
        let successor = solo(&mut world, "cache-1");
        world.run_ms(1000);
        world.wall_ahead -= jump;
        world.kill_agent();
        world.run_ms(200);
        world.start_agent();
        assert_converged(&mut world);
        assert_eq!(rows(&world), all);
        assert!(world.processes[successor].key > world.processes[exporter].key);
        assert_eq!(world.checks.deaths_told(), 0, "nobody had asked for it");
    }
}

// spec: FAB-3, PSM-10
#[test]
fn a_cpu_that_stood_still_for_a_moment_judges_nobody_and_is_judged_by_nobody() {
    let mut system = System::new(3, 7, told());
    let exporters = [0, 1, 2].map(|i| solo(&mut system.worlds[i], &World::name_on(i as u32 + 1, "cache-1")));
    let importers = [0, 1, 2].map(|i| importer(&mut system.worlds[i], &World::name_on(i as u32 + 1, "imp-1")));
    settle(&mut system);
    let keys = [0, 1, 2].map(|i| system.worlds[i].processes[exporters[i]].key);
    for _ in 0..4 {
        system.worlds[0].freeze(600);
        assert!(system.run_ms(2500), "{:?}", system.violation());
    }
    settle(&mut system);
    assert_eq!([0, 1, 2].map(|i| system.worlds[i].processes[exporters[i]].key), keys);
    assert_eq!([0, 1, 2].map(|i| heard(&system.worlds[i], importers[i], "outage")), [0, 0, 0]);
}

// spec: FAB-3, PSM-7, PSM-10
#[test]
fn a_cpu_that_stood_still_for_long_judges_nobody_and_begins_another_life() {
    let mut system = System::new(3, 7, told());
    let exporters = [0, 1, 2].map(|i| solo(&mut system.worlds[i], &World::name_on(i as u32 + 1, "cache-1")));
    let importers = [0, 1, 2].map(|i| importer(&mut system.worlds[i], &World::name_on(i as u32 + 1, "imp-1")));
    settle(&mut system);
    let before = [0, 1, 2].map(|i| system.worlds[i].processes[exporters[i]].key);
    system.worlds[0].freeze(5000);
    assert!(system.run_ms(12_000), "{:?}", system.violation());
    settle(&mut system);
    let after = [0, 1, 2].map(|i| system.worlds[i].processes[exporters[i]].key);
    assert!(after[0] > before[0], "it was presumed dead, and did not die");
    assert_eq!(after[1..], before[1..]);
    assert_eq!(heard(&system.worlds[0], importers[0], "outage"), 0, "who stood still accuses nobody");
    for i in [1, 2] {
        assert!(heard(&system.worlds[i], importers[i], "of cpu1.cache-1: ") > 0, "cpu{}", i + 1);
        assert_eq!(
            heard(&system.worlds[i], importers[i], "of cpu2.cache-1-n2: ") + heard(&system.worlds[i], importers[i], "of cpu3.cache-1-n3: "),
            0
        );
    }
}

// spec: GRP-8, CTL-4, PSM-7
#[test]
fn a_primary_whose_cpu_stood_still_wakes_up_deposed_and_accepts_nothing_in_its_old_term() {
    let (mut system, importers) = group();
    assert_eq!(set(&mut system, 0, importers[0], 10, "a1").unwrap().changed[0].version, Version(1));
    system.worlds[0].freeze(4000);
    assert!(system.run_ms(3500), "{:?}", system.violation());
    let elsewhere = leaders(&system).into_iter().filter(|cpu| *cpu != 1).collect::<Vec<_>>();
    assert_eq!(elsewhere.len(), 1, "one of the others leads");
    let cpu = elsewhere[0] as usize - 1;
    assert_eq!(set(&mut system, cpu, importers[cpu], 20, "b1").unwrap().changed[0].version, Version(2));
    assert!(system.run_ms(8000), "{:?}", system.violation());
    assert_eq!(leaders(&system), elsewhere, "who woke up leads no more");
    let late = set(&mut system, 0, importers[0], 30, "a2").unwrap();
    assert_eq!((late.changed[0].version, late.changed[0].old.clone(), late.replicated), (Version(3), Value::U64(20), true));
    settle(&mut system);
}

// spec: CTL-4, GRP-9, MON-7
#[test]
fn all_cpus_lose_power_at_once_and_what_was_accepted_is_in_effect_again() {
    let (mut system, importers) = group();
    for n in 1..=3 {
        assert!(set(&mut system, 1, importers[1], n * 10, &format!("a{n}")).unwrap().replicated);
    }
    (0..3).for_each(|i| system.stop_cpu(i));
    assert!(system.run_ms(1000), "{:?}", system.violation());
    // The last to come was the first to go on.
    for i in [2, 1, 0] {
        system.start_cpu(i);
        system.worlds[i].spawn_member("orders");
        assert!(system.run_ms(1500), "{:?}", system.violation());
    }
    let asker = system.worlds[1].spawn_importer(Identity::Exactly(name("imp-1-n2")));
    assert!(system.run_ms(5000), "{:?}", system.violation());
    assert_eq!(leaders(&system).len(), 1);
    let again = set(&mut system, 1, asker, 30, "a3").unwrap();
    assert_eq!((again.changed[0].version, again.repeated), (Version(3), true));
    let next = set(&mut system, 1, asker, 40, "b1").unwrap();
    assert_eq!((next.changed[0].version, next.changed[0].old.clone()), (Version(4), Value::U64(30)));
    settle(&mut system);
}

// spec: SYN-7, FAB-2
#[test]
fn what_is_lost_on_the_way_between_cpus_is_sent_again_until_the_end_mark_fits() {
    let mut system = System::new(2, 7, told());
    let mut exporter = solo(&mut system.worlds[0], "cache-1");
    let importer = importer(&mut system.worlds[1], "imp-1-n2");
    (system.net.loss, system.net.doubles) = (30, 20);
    for times in 0..5 {
        settle(&mut system);
        let view = &system.worlds[1].processes[importer].importer().unwrap().views[&name("cpu1.cache-1")];
        let key = system.worlds[0].processes[exporter].key;
        assert_eq!(view.wire, key, "death {times}");
        assert!(view.shows_fresh("cache.queue.depth"));
        system.worlds[0].end_process(exporter, KILLED);
        assert!(system.run_ms(100), "{:?}", system.violation());
        exporter = solo(&mut system.worlds[0], "cache-1");
    }
    settle(&mut system);
    assert_eq!(system.worlds[1].processes[importer].importer().unwrap().mismatches, 0, "no mark ever failed on the importer's own link");
}

// spec: CTL-4
#[test]
fn a_standby_on_the_same_cpu_does_not_count_as_a_replica() {
    let mut world = World::new(7, told());
    let members = [world.spawn_member("orders"), world.spawn_member("orders")];
    let importer = importer(&mut world, "imp-1");
    world.run_ms(1000);
    let req = world.set(importer, "orders.batch", "100", "a1", Admission::default()).unwrap();
    world.run_ms(1000);
    let answer = world.processes[importer].importer().unwrap().answers[&req].clone().unwrap();
    assert_eq!((answer.changed[0].version, answer.replicated, answer.applied), (Version(1), false, true));
    assert!(members.iter().all(|who| world.processes[*who].alive), "though a standby is there");
}

// spec: PSM-8, GRP-7, GRP-8
#[test]
fn members_that_register_at_the_same_moment_get_a_name_each_and_one_of_them_leads() {
    let mut world = World::new(7, told());
    let members: Vec<Who> = (0..5).map(|_| world.spawn_member("orders")).collect();
    world.run_ms(2000);
    let mut names: Vec<String> = members.iter().map(|who| format!("{:?}", world.processes[*who].identity)).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5);
    assert_eq!(members.iter().filter(|who| world.processes[**who].exporter().is_some_and(|e| e.primary_in.is_some())).count(), 1);
    assert_converged(&mut world);
}

/// Words with four underscores or more in the guide are names of stories.
#[test]
fn every_story_that_the_guide_names_is_told() {
    let guide = include_str!("../../../docs/simulation.md");
    let told = [
        include_str!("dark_corners.rs"),
        include_str!("far_calls.rs"),
        include_str!("groups.rs"),
        include_str!("handovers.rs"),
        include_str!("introductions.rs"),
        include_str!("scenarios.rs"),
        include_str!("store_and_leave.rs"),
        include_str!("systems.rs"),
    ];
    let words = guide.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let named: Vec<&str> = words.filter(|word| word.matches('_').count() >= 4).collect();
    assert!(named.len() >= 20, "{named:?}");
    for story in named {
        assert!(told.iter().any(|file| file.contains(&format!("\nfn {story}()"))), "there is no story {story}");
    }
}
