//! A store that cannot be written, an agent that was away when somebody died, and processes that go in good order.

use tif_core::agent::io::Record;
use tif_core::model::{Cause, Coarsen, Stamp, Value};
use tif_core::wire::{Admission, Identity};
use tif_sim::check::convergence;
use tif_sim::world::importer::View;
use tif_sim::world::{Weather, Who, World, name};

const KILLED: Cause = Cause::Signal { signal: 9, core: false };

fn still() -> World {
    World::new(7, Weather { still: true, ..Weather::default() })
}

fn solo(world: &mut World, own: &str) -> Who {
    world.spawn_exporter(Identity::Exactly(name(own)), "cache", false)
}

fn member(world: &mut World) -> Who {
    world.spawn_exporter(Identity::Pick(name("orders")), "orders", true)
}

/// An importer that follows everything.
fn importer(world: &mut World) -> Who {
    let who = world.spawn_importer(Identity::Pick(name("imp")));
    world.run_ms(1000);
    world.subscribe(who, "**", Coarsen::default());
    who
}

fn view<'a>(world: &'a World, who: Who, source: &str) -> &'a View {
    &world.processes[who].importer().unwrap().views[&name(source)]
}

fn fresh_rows(world: &World, who: Who, source: &str) -> usize {
    let view = view(world, who, source);
    view.rows.keys().filter(|record| view.shows_fresh(record)).count()
}

fn leader(world: &World, service: &str) -> Option<Who> {
    world.standing().get(&name(service)).copied()
}

fn assert_converged(world: &mut World) {
    assert_eq!(world.violation, None);
    let end = world.now + 5_000_000_000;
    while let Err(violation) = convergence::look(&[&*world]) {
        assert!(world.now < end, "{violation}");
        world.run_ms(50);
        assert_eq!(world.violation, None);
    }
}

// spec: SEC-3, PSM-1, CTL-4
#[test]
fn while_the_store_cannot_be_written_reading_goes_on_and_afterwards_all_heals() {
    let mut world = still();
    let (first, dying) = (solo(&mut world, "cache-1"), solo(&mut world, "cache-2"));
    world.run_ms(1000);
    world.store_full = true;
    let late = importer(&mut world);
    let waiting = solo(&mut world, "cache-3");
    world.run_ms(1000);
    assert!(world.processes[late].welcomed && fresh_rows(&world, late, "cache-1") > 0, "who reads is let in");
    assert!(!world.processes[waiting].welcomed, "a service's key is durable or not given out");
    world.set(late, "cache.batch@cache-1", "100", "a", Admission::default());
    world.end_process(dying, KILLED);
    world.run_ms(1000);
    assert!(world.processes[late].importer().unwrap().pending.is_empty(), "the change was refused");
    assert!(world.store.changes.is_empty());
    assert!(view(&world, late, "cache-2").outage.is_some(), "an outage is told though it cannot be written down");
    let key = world.processes[late].key;

    world.store_full = false;
    world.run_ms(3000);
    assert!(world.processes[waiting].welcomed, "it tried again");
    assert!(world.store.processes.values().any(|r| Some(r.key) == key && !r.ended), "who was let in is written down after all");
    assert!(world.store.outages.values().any(|(o, told)| o.process == name("cache-2") && *told == 1), "and so is the outage");
    world.kill_agent();
    world.run_ms(200);
    world.start_agent();
    world.run_ms(1500);
    assert_eq!(world.processes[late].key, key, "the restarted agent knows it");
    assert!(world.processes[first].welcomed);
    assert_converged(&mut world);
}

// spec: SEC-3, PSM-1, PSM-9
#[test]
fn keys_given_out_while_the_store_could_not_be_written_are_nobody_elses_after_a_restart() {
    let mut world = still();
    solo(&mut world, "cache-1");
    world.run_ms(1000);
    for round in 0..3 {
        world.store_full = true;
        let late: Vec<Who> = (0..3).map(|i| world.spawn_importer(Identity::Exactly(name(&format!("late-{round}-{i}"))))).collect();
        world.run_ms(1000);
        assert!(late.iter().all(|who| world.processes[*who].welcomed));
        world.kill_agent();
        world.store_full = false;
        world.run_ms(200);
        world.start_agent();
        // The numbers of those are free as far as the store knows; the check sees it if anybody gets one.
        for i in 0..3 {
            world.spawn_importer(Identity::Exactly(name(&format!("new-{round}-{i}"))));
        }
        world.run_ms(2000);
        assert!(late.iter().all(|who| world.processes[*who].welcomed), "they came back as others");
        assert_eq!(world.violation, None);
    }
    assert_converged(&mut world);
}

/// An exporter one of whose two changed controls is memorized.
fn with_values() -> (World, Who) {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let importer = world.spawn_importer(Identity::Exactly(name("imp-1")));
    world.run_ms(1000);
    for (control, id) in [("cache.scratch@cache-1", "a1"), ("cache.batch@cache-1", "a2")] {
        world.set(importer, control, "100", id, Admission::default());
    }
    world.run_ms(500);
    (world, first)
}

/// The controls whose values are in the store.
fn names(world: &World) -> Vec<String> {
    world.store.controls.keys().map(|(_, name)| name.clone()).collect()
}

// spec: CTL-7, SEC-3
#[test]
fn values_that_end_with_their_source_end_in_the_store_too_when_it_can_be_written_again() {
    let (mut world, first) = with_values();
    world.end_process(first, KILLED);
    world.run_ms(590_000);
    world.store_full = true;
    world.run_ms(20_000);
    assert_eq!(names(&world), ["cache.batch", "cache.scratch"], "the store could not be told");
    world.store_full = false;
    let _second = solo(&mut world, "cache-1");
    world.run_ms(3000);
    assert_eq!(names(&world), ["cache.batch"], "the next life begins without it");
    assert_converged(&mut world);
}

// spec: CTL-7, MON-7, SEC-3
#[test]
fn values_that_ended_with_their_source_while_the_store_was_full_do_not_come_back_with_the_next_agent() {
    for leaves in [false, true] {
        let (mut world, first) = with_values();
        if leaves {
            world.store_refuses = Some(|record| matches!(record, Record::Forget { .. }));
            world.leave(first);
        } else {
            world.end_process(first, KILLED);
            world.run_ms(590_000);
            world.store_full = true;
        }
        world.run_ms(20_000);
        world.kill_agent();
        (world.store_full, world.store_refuses) = (false, None);
        assert_eq!(names(&world), ["cache.batch", "cache.scratch"], "the store could not be told");
        world.start_agent();
        let second = solo(&mut world, "cache-1");
        world.run_ms(3000);
        let exporter = world.processes[second].exporter().unwrap();
        let value = |path: &str| exporter.cells.values().find(|c| c.descriptor.path.as_str() == path).unwrap().value.clone();
        assert_eq!(value("batch"), Value::U64(100), "it is memorized");
        assert_ne!(value("scratch"), Value::U64(100), "leaves: {leaves}");
        assert_eq!(names(&world), ["cache.batch"]);
        assert_converged(&mut world);
    }
}

// spec: OUT-4, SEC-3
#[test]
fn the_end_of_an_outage_that_could_not_be_written_is_written_later() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    world.run_ms(1000);
    world.end_process(first, KILLED);
    world.run_ms(500);
    let _second = solo(&mut world, "cache-1");
    while world.store.processes.values().all(|r| r.ended) {
        world.advance();
    }
    world.store_full = true;
    world.run_ms(2000);
    assert!(leader(&world, "cache-1").is_some(), "it has come back");
    assert!(world.store.outages.values().all(|(o, _)| o.end.is_none()));
    world.store_full = false;
    world.run_ms(2000);
    assert!(world.store.outages.values().all(|(o, _)| o.end.is_some()));
    assert_converged(&mut world);
}

// spec: OUT-4, OUT-6, MON-7
#[test]
fn who_died_while_no_agent_was_there_is_dated_by_when_it_was_last_known_to_live() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    importer(&mut world);
    world.run_ms(1000);
    world.kill_agent();
    let seen = world.store.last_seen.unwrap().stamp;
    world.run_ms(1000);
    world.end_process(first, KILLED);
    let died = Stamp(seen.0 + 1_000_000_000);
    world.run_ms(2000);
    world.start_agent();
    world.run_ms(1000);
    let outage = world.store.outages.values().next().unwrap().0.clone();
    assert_eq!(outage.since, seen);
    assert!(outage.found.is_some_and(|found| found > died), "{outage:?}");
    let record = &world.store.processes[&name("cache-1")];
    assert_eq!((record.ended, record.since), (true, seen));
    solo(&mut world, "cache-1");
    world.run_ms(1000);
    let end = world.store.outages.values().next().unwrap().0.end.clone().unwrap();
    assert!(end.gap_ms >= 3000, "{end:?}");
    assert_converged(&mut world);
}

// spec: OUT-1, OUT-7, SYN-1, SYN-4
#[test]
fn who_takes_its_leave_leaves_no_outage_and_its_values_grow_old() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.leave(first);
    world.run_ms(1000);
    let left = view(&world, importer, "cache-1");
    assert!(left.outage.is_none() && !left.rows.is_empty());
    assert_eq!(fresh_rows(&world, importer, "cache-1"), 0);
    assert!(world.store.outages.is_empty());
    let record = &world.store.processes[&name("cache-1")];
    assert_eq!((record.ended, record.cause.clone()), (true, Some(Cause::Unregistered)));
    world.run_ms(10_000);
    let again = solo(&mut world, "cache-1");
    world.run_ms(1000);
    assert!(fresh_rows(&world, importer, "cache-1") > 0, "under its old subscription");
    world.leave(again);
    world.run_ms(40_000);
    let gone = world.processes[importer].importer().unwrap().views.get(&name("cache-1")).is_none_or(|v| v.rows.is_empty());
    assert!(gone, "too old to be shown");
    assert!(world.store.outages.is_empty());
    assert_converged(&mut world);
}

// spec: OUT-3, GRP-7, GRP-8
#[test]
fn who_was_admitted_as_the_primary_and_is_never_ready_is_passed_over() {
    let mut world = still();
    let first = member(&mut world);
    while world.processes[first].key.is_none() {
        world.advance();
    }
    world.stop(first, 60_000);
    let second = member(&mut world);
    importer(&mut world);
    world.run_ms(8000);
    assert_eq!(leader(&world, "orders"), None, "it has time to get ready");
    world.run_ms(5000);
    assert_eq!(leader(&world, "orders"), Some(second));
    // Continued, it stands by.
    world.run_ms(55_000);
    assert_eq!(leader(&world, "orders"), Some(second));
    let epoch = world.store.terms[&name("orders")];
    assert_eq!(epoch.0, 2);
    assert_converged(&mut world);
}
