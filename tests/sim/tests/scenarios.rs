//! The dark corners that exist on one CPU, one story each: arrange, break something, look.

use tif_core::agent::io::Conn;
use tif_core::machine::sync::State;
use tif_core::model::{Cause, Coarsen, Quality, Setting, Slot, Value, Version, Weight};
use tif_core::wire::{Admission, Identity};
use tif_sim::check::convergence;
use tif_sim::world::importer::View;
use tif_sim::world::{Weather, Who, World, catalogue, name};

const KILLED: Cause = Cause::Signal { signal: 9, core: false };

/// A world in which nothing happens by itself.
fn still() -> World {
    World::new(7, Weather { still: true, ..Weather::default() })
}

fn solo(world: &mut World, own: &str) -> Who {
    world.spawn_exporter(Identity::Exactly(name(own)), "cache", false)
}

fn member(world: &mut World) -> Who {
    world.spawn_exporter(Identity::Pick(name("orders")), "orders", true)
}

/// A primary, so many standbys in the order in which they came, and an importer.
fn group<const STANDBYS: usize>(world: &mut World) -> (Who, [Who; STANDBYS]) {
    let members: Vec<Who> = (0..=STANDBYS).map(|_| member(world)).collect();
    importer(world);
    world.run_ms(1000);
    let primary = leader(world, "orders").unwrap();
    let standbys: Vec<Who> = members.into_iter().filter(|who| *who != primary).collect();
    (primary, standbys.try_into().unwrap())
}

/// An importer that follows everything.
fn importer(world: &mut World) -> Who {
    let who = world.spawn_importer(Identity::Pick(name("imp")));
    world.run_ms(500);
    world.subscribe(who, "**", Coarsen::default());
    who
}

fn view<'a>(world: &'a World, who: Who, source: &str) -> &'a View {
    &world.processes[who].importer().unwrap().views[&name(source)]
}

fn slot_of(world: &World, who: Who, path: &str) -> Slot {
    let cells = &world.processes[who].exporter().unwrap().cells;
    *cells.iter().find(|(_, cell)| cell.descriptor.path.as_str() == path).unwrap().0
}

fn runs_with(world: &World, who: Who, path: &str) -> (Version, Value) {
    let cell = &world.processes[who].exporter().unwrap().cells[&slot_of(world, who, path)];
    (cell.version, cell.value.clone())
}

fn set(world: &mut World, who: Who, control: &str, value: u64, id: &str) {
    world.set(who, control, &value.to_string(), id, Admission::default());
}

/// All is well, and everything is shown as it is.
fn assert_converged(world: &mut World) {
    assert_eq!(world.violation, None);
    let end = world.now + 5_000_000_000;
    while let Err(violation) = convergence::look(&[&*world]) {
        assert!(world.now < end, "{violation}");
        world.run_ms(50);
        assert_eq!(world.violation, None);
    }
}

fn leader(world: &World, service: &str) -> Option<Who> {
    world.standing().get(&name(service)).copied()
}

// spec: MON-7, PSM-10
#[test]
fn the_agent_restarts_under_living_processes_and_nobody_dies() {
    let mut world = still();
    let exporters = [solo(&mut world, "cache-1"), member(&mut world), member(&mut world)];
    let importer = importer(&mut world);
    world.lookup(importer, "cache-1");
    world.run_ms(1000);
    let keys = exporters.map(|who| world.processes[who].key);
    for _ in 0..5 {
        world.kill_agent();
        world.run_ms(200);
        world.start_agent();
        world.run_ms(1500);
    }
    assert_eq!(exporters.map(|who| world.processes[who].key), keys);
    assert_eq!((world.checks.deaths_told(), world.dead_keys().len()), (0, 0));
    assert_converged(&mut world);
}

// spec: PSM-10, OUT-3
#[test]
fn who_dies_while_the_agent_is_down_is_certainly_dead_afterwards_and_succeeded() {
    let mut world = still();
    let (first, second) = (member(&mut world), member(&mut world));
    let importer = importer(&mut world);
    world.lookup(importer, "orders-1");
    world.run_ms(1000);
    let primary = leader(&world, "orders").unwrap();
    world.kill_agent();
    world.end_process(primary, KILLED);
    world.run_ms(300);
    world.start_agent();
    world.run_ms(1500);
    assert_eq!(leader(&world, "orders"), Some(if primary == first { second } else { first }));
    assert_converged(&mut world);
}

// spec: SYN-4
#[test]
fn a_second_death_before_the_end_mark_does_not_keep_old_values_longer() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.end_process(first, KILLED);
    world.run_ms(20_000);
    let second = solo(&mut world, "cache-1");
    // It dies as soon as the agent has let it in.
    while world.processes[second].key.is_none() {
        world.advance();
    }
    world.run_ms(1);
    world.end_process(second, KILLED);
    world.run_ms(8000);
    assert!(!view(&world, importer, "cache-1").rows.is_empty(), "28 s after the first death");
    world.run_ms(4000);
    let kept = view(&world, importer, "cache-1").rows.values().filter(|row| row.report.as_ref().is_some_and(|r| r.seq > 0)).count();
    assert!(kept == 0 || world.checks.offices() == 0, "{kept} values are shown 32 s after they were last fresh");
    let third = solo(&mut world, "cache-1");
    world.run_ms(1000);
    assert!(world.processes[third].welcomed);
    assert_converged(&mut world);
}

// spec: SYN-4
#[test]
fn the_stale_timer_ends_during_the_resync_and_takes_nothing_that_is_fresh() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.end_process(first, KILLED);
    world.run_ms(29_500);
    solo(&mut world, "cache-1");
    world.stop(importer, 3000);
    world.run_ms(3500);
    assert_converged(&mut world);
    assert_eq!(view(&world, importer, "cache-1").rows.len(), 12);
}

// spec: CTL-4, OUT-4
#[test]
fn a_change_that_was_in_flight_at_a_takeover_is_in_effect_after_it_once() {
    let mut world = still();
    let (_, _) = (member(&mut world), member(&mut world));
    let importer = importer(&mut world);
    world.run_ms(1000);
    let primary = leader(&world, "orders").unwrap();
    // It will not hear of the change.
    world.stop(primary, 60_000);
    set(&mut world, importer, "orders.batch", 100, "a");
    world.run_ms(100);
    assert_eq!(world.store.changes.len(), 1);
    world.end_process(primary, KILLED);
    set(&mut world, importer, "orders.batch", 100, "a");
    world.run_ms(1500);
    set(&mut world, importer, "orders.batch", 100, "a");
    world.run_ms(500);
    let successor = leader(&world, "orders").unwrap();
    assert_eq!(runs_with(&world, successor, "batch"), (Version(1), Value::U64(100)));
    assert_eq!(world.store.changes.len(), 1);
    assert_converged(&mut world);
}

// spec: OUT-2, GRP-7
#[test]
fn the_standby_dies_first_and_no_importer_notices() {
    let mut world = still();
    let members = [member(&mut world), member(&mut world)];
    let importer = importer(&mut world);
    world.run_ms(1000);
    let primary = leader(&world, "orders").unwrap();
    let standby = members.into_iter().find(|who| *who != primary).unwrap();
    world.end_process(standby, KILLED);
    world.run_ms(1000);
    assert!(matches!(view(&world, importer, "orders").machine.state(), State::Live(_)));
    assert_eq!(world.agent.as_ref().unwrap().stats().outages, 0);
    assert_eq!(world.launches, [name("orders")], "one is started in its place");
    assert_converged(&mut world);
}

// spec: OUT-3
#[test]
fn a_service_that_keeps_dying_is_started_ever_more_slowly() {
    let mut world = still();
    member(&mut world);
    world.run_ms(1000);
    for _ in 0..3000 {
        for who in world.living(|p| p.welcomed) {
            world.end_process(who, Cause::Exit { status: 1 });
        }
        world.run_ms(100);
    }
    assert_eq!(world.violation, None);
    assert!((10..90).contains(&world.launches.len()), "{} launches in five minutes", world.launches.len());
}

// spec: OUT-2, OUT-4
#[test]
fn an_importer_that_subscribes_during_an_outage_sees_the_last_values_as_old_and_is_told_once() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let early = importer(&mut world);
    world.run_ms(1000);
    world.end_process(first, KILLED);
    world.run_ms(1000);
    let late = importer(&mut world);
    world.run_ms(500);
    // Once more, in other words.
    world.subscribe(late, "cache.**", Coarsen::default());
    world.subscribe(early, "*.batch", Coarsen::default());
    world.run_ms(500);
    for who in [early, late] {
        let view = view(&world, who, "cache-1");
        assert_eq!((view.rows.len(), view.machine.state()), (12, State::Stale));
        assert!(view.outage.is_some() && !view.rows.keys().any(|record| view.shows_fresh(record)));
    }
    let quality = |row: &tif_sim::world::importer::Row| row.report.as_ref().map(|r| r.quality.word()).unwrap_or_default();
    assert!(view(&world, late, "cache-1").rows.values().all(|row| quality(row) == "outage"));
    solo(&mut world, "cache-1");
    world.run_ms(1000);
    assert_converged(&mut world);
}

// spec: SYN-4
#[test]
fn an_importer_that_comes_again_and_again_during_an_outage_keeps_nothing_longer_for_it() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.end_process(first, KILLED);
    for _ in 0..12 {
        world.run_ms(5000);
        world.break_link(importer);
    }
    // The check of what is stale looks on.
    assert_eq!(world.violation, None);
}

// spec: OUT-4
#[test]
fn who_unsubscribes_during_an_outage_is_still_told_that_it_is_over() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.end_process(first, KILLED);
    world.run_ms(500);
    world.unsubscribe(importer, 1);
    world.run_ms(500);
    solo(&mut world, "cache-1");
    world.run_ms(1000);
    assert!(view(&world, importer, "cache-1").outage.is_none());
    assert_converged(&mut world);
}

// spec: PSM-8
#[test]
fn a_name_that_a_living_process_holds_is_not_given_to_another_until_it_dies() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    world.run_ms(1000);
    let second = solo(&mut world, "cache-1");
    world.run_ms(2000);
    assert!(world.processes[first].welcomed && !world.processes[second].welcomed);
    world.end_process(first, KILLED);
    world.run_ms(1000);
    assert!(world.processes[second].welcomed);
    assert!(world.processes[second].key > world.processes[first].key);
    assert_converged(&mut world);
}

// spec: PSM-9
#[test]
fn a_pid_that_came_again_is_not_taken_for_the_process_that_had_it() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    world.run_ms(1000);
    world.kill_agent();
    world.end_process(first, KILLED);
    let second = solo(&mut world, "cache-2");
    world.processes[second].pid = world.processes[first].pid;
    world.start_agent();
    let importer = importer(&mut world);
    world.lookup(importer, "cache-1");
    world.run_ms(1000);
    assert_eq!(world.standing().keys().collect::<Vec<_>>(), [&name("cache-2")]);
    assert_converged(&mut world);
}

// spec: PSM-7
#[test]
fn what_a_zombie_says_under_its_old_key_does_nothing_and_it_registers_anew() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    let key = world.processes[importer].key;
    world.processes[importer].key = world.processes[exporter].key;
    set(&mut world, importer, "cache.batch", 100, "a");
    world.processes[importer].key = key;
    world.run_ms(100);
    assert_eq!(world.agent.as_ref().unwrap().stats().stale_keys, 1);
    assert!(world.store.changes.is_empty());
    world.run_ms(2000);
    assert!(world.processes[importer].conn > Some(Conn(2)), "it came again");
    assert_eq!(world.violation, None);
}

// spec: PSM-1, PSM-9
#[test]
fn a_process_that_executes_itself_anew_gets_its_name_in_a_new_incarnation() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.lookup(importer, "cache-1");
    world.run_ms(1000);
    let before = world.processes[exporter].key;
    world.register_anew(exporter);
    world.run_ms(1500);
    assert!(world.processes[exporter].key > before);
    assert_converged(&mut world);
}

// spec: PSM-9
#[test]
fn a_connection_that_ends_before_its_key_is_durable_leaves_the_name_free() {
    let mut world = still();
    let first = solo(&mut world, "cache-1");
    while world.processes[first].conn.is_none() || !world.store.is_waiting() {
        world.advance();
    }
    world.end_process(first, KILLED);
    solo(&mut world, "cache-1");
    world.run_ms(2000);
    assert_eq!(world.standing().len(), 1);
    importer(&mut world);
    assert_converged(&mut world);
}

// spec: PSM-1
#[test]
fn a_process_that_never_heard_its_welcome_registers_again_and_is_the_same_one() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    while world.store.processes.is_empty() || world.agent.as_ref().unwrap().stats().exporters == 0 {
        world.advance();
    }
    world.break_link(exporter);
    assert_eq!(world.processes[exporter].key, None);
    let importer = importer(&mut world);
    world.lookup(importer, "cache-1");
    world.run_ms(1500);
    assert_eq!(world.store.processes[&name("cache-1")].key.inc.counter(), 1);
    assert_converged(&mut world);
}

// spec: GRP-8
#[test]
fn an_agent_that_restarts_during_an_election_elects_nobody_beside_the_one_that_was_told() {
    // At every step of the takeover once.
    for steps in 0..60 {
        let mut world = still();
        let (_, _, _) = (member(&mut world), member(&mut world), member(&mut world));
        world.run_ms(1000);
        let primary = leader(&world, "orders").unwrap();
        world.end_process(primary, KILLED);
        for _ in 0..steps {
            world.advance();
        }
        world.kill_agent();
        world.run_ms(50);
        world.start_agent();
        world.run_ms(5000);
        assert_eq!(world.violation, None, "restarted after {steps} steps");
        assert!(leader(&world, "orders").is_some(), "restarted after {steps} steps");
    }
}

// spec: OUT-3, MON-7
#[test]
fn a_successor_that_was_due_when_the_agent_died_is_launched_by_the_next_agent() {
    let mut world = still();
    let only = world.spawn_exporter(Identity::Pick(name("billing")), "billing", true);
    world.run_ms(1000);
    world.end_process(only, KILLED);
    while world.dead_keys().is_empty() || world.store.is_waiting() {
        world.advance();
    }
    world.kill_agent();
    for child in world.living(|_| true) {
        world.end_process(child, KILLED);
    }
    world.start_agent();
    world.run_ms(5000);
    assert!(leader(&world, "billing").is_some());
}

// spec: OUT-3
#[test]
fn a_service_that_took_its_leave_is_not_started_again_by_a_restarted_agent() {
    let mut world = still();
    let only = world.spawn_exporter(Identity::Pick(name("billing")), "billing", true);
    world.run_ms(1000);
    world.leave(only);
    world.run_ms(500);
    world.end_process(only, Cause::Exit { status: 0 });
    world.kill_agent();
    world.start_agent();
    world.run_ms(20_000);
    assert!(world.launches.is_empty());
}

// spec: CTL-7
#[test]
fn a_control_that_is_declared_late_runs_with_what_was_accepted_for_it() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    set(&mut world, importer, "cache.batch", 100, "a");
    world.run_ms(500);
    let batch = slot_of(&world, exporter, "batch");
    world.change_exporter(exporter, |e| e.withdraw(batch));
    world.run_ms(500);
    world.change_exporter(exporter, |e| {
        e.declare(catalogue::control("batch", true, false));
    });
    world.run_ms(500);
    assert_eq!(runs_with(&world, exporter, "batch"), (Version(1), Value::U64(100)));
    assert_converged(&mut world);
}

// spec: EXP-8
#[test]
fn an_instrument_that_moves_to_another_slot_within_one_sweep_stays() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.change_exporter(exporter, |e| {
        e.declare(catalogue::instance(1));
        e.declare(catalogue::instance(2));
    });
    world.run_ms(500);
    // 2 goes to the place of 1, and its own is withdrawn after that.
    world.change_exporter(exporter, |e| {
        let slots = e.instances();
        e.withdraw(slots[0]);
        e.withdraw(slots[1]);
        e.declare(catalogue::instance(2));
    });
    world.run_ms(500);
    assert!(view(&world, importer, "cache-1").shows_fresh("cache.session.bytes{id=2}"));
    assert_converged(&mut world);
}

// spec: CTL-1
#[test]
fn a_control_that_goes_while_its_validator_thinks_holds_nobody_up() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    let importer = importer(&mut world);
    world.run_ms(1000);
    world.stop(exporter, 300);
    set(&mut world, importer, "cache.limit", 100, "a");
    set(&mut world, importer, "cache.limit", 101, "b");
    world.run_ms(100);
    let limit = slot_of(&world, exporter, "limit");
    world.change_exporter(exporter, |e| e.withdraw(limit));
    world.run_ms(3000);
    assert!(world.processes[importer].importer().unwrap().pending.is_empty(), "both are answered");
    world.change_exporter(exporter, |e| {
        e.declare(catalogue::control("limit", true, true));
    });
    world.run_ms(200);
    set(&mut world, importer, "cache.limit", 102, "c");
    world.run_ms(500);
    assert_eq!(runs_with(&world, exporter, "limit").1, Value::U64(102));
    assert_converged(&mut world);
}

// spec: INS-2
#[test]
fn a_dynamic_indicator_whose_service_was_stopped_when_asked_shows_values_later() {
    let mut world = still();
    let exporter = solo(&mut world, "cache-1");
    world.run_ms(1000);
    world.stop(exporter, 4000);
    let importer = importer(&mut world);
    world.run_ms(3000);
    let quality = |world: &World| view(world, importer, "cache-1").rows["cache.memory.used"].report.as_ref().map(|r| r.quality.clone());
    assert!(matches!(quality(&world), Some(Quality::Failed { .. })));
    world.run_ms(3000);
    assert_eq!(quality(&world), Some(Quality::Good));
    assert_converged(&mut world);
}

// spec: PSM-4, PSM-10
#[test]
fn nobody_is_told_of_a_process_before_its_birth() {
    let mut world = still();
    let importer = importer(&mut world);
    world.lookup(importer, "cache-1");
    world.run_ms(500);
    // The check sees a death, or a loss, without a birth.
    for _ in 0..5 {
        let exporter = solo(&mut world, "cache-1");
        while world.processes[exporter].key.is_none() {
            world.advance();
        }
        world.break_link(exporter);
        world.run_ms(5);
        world.end_process(exporter, KILLED);
        world.run_ms(100);
    }
    assert_eq!(world.violation, None);
    assert_eq!(world.checks.deaths_told(), 0);
}

// spec: OUT-3, GRP-7, GRP-8
#[test]
fn a_standby_that_is_told_to_take_over_and_does_not_is_passed_over_for_the_next() {
    let mut world = still();
    let (primary, [senior, junior]) = group(&mut world);
    world.stop(senior, 30_000);
    world.end_process(primary, KILLED);
    world.run_ms(12_000);
    assert_eq!(leader(&world, "orders"), Some(junior));
    // Continued, the senior one hears that it is not the primary, and stands by.
    world.run_ms(25_000);
    assert_eq!(leader(&world, "orders"), Some(junior));
    assert_converged(&mut world);
}

/// Goes on until the agent has asked for something to be written.
fn until_it_writes(world: &mut World) {
    while !world.store.is_waiting() {
        assert!(world.advance(), "{:?}", world.violation);
    }
}

// spec: OUT-3, MON-5
#[test]
fn a_standby_whose_link_breaks_as_it_is_elected_takes_over_as_soon_as_it_is_back() {
    let mut world = still();
    let (primary, [standby]) = group(&mut world);
    world.end_process(primary, KILLED);
    until_it_writes(&mut world);
    world.break_link(standby);
    world.run_ms(2000);
    assert_eq!(leader(&world, "orders"), Some(standby), "nobody waits for an answer that cannot come");
    assert_converged(&mut world);
}

// spec: GRP-5, MON-7
#[test]
fn the_standby_that_weighs_most_takes_over_and_its_weight_survives_the_agent() {
    let mut world = still();
    let primary = member(&mut world);
    world.run_ms(500);
    let senior = member(&mut world);
    let heavy = world.spawn_weighing("orders", Weight(101));
    importer(&mut world);
    world.run_ms(1000);
    assert_eq!(leader(&world, "orders"), Some(primary), "who weighs more drives nobody out");
    world.kill_agent();
    world.start_agent();
    world.run_ms(2000);
    world.end_process(primary, KILLED);
    world.run_ms(1000);
    assert_eq!(leader(&world, "orders"), Some(heavy));
    world.end_process(heavy, KILLED);
    world.run_ms(1000);
    assert_eq!(leader(&world, "orders"), Some(senior));
    assert_converged(&mut world);
}

// spec: OUT-3, GRP-7
#[test]
fn a_standby_that_was_passed_over_leads_when_nobody_else_is_left() {
    let mut world = still();
    let (primary, [senior, junior]) = group(&mut world);
    world.stop(senior, 11_000);
    world.end_process(primary, KILLED);
    world.run_ms(12_000);
    assert_eq!(leader(&world, "orders"), Some(junior));
    world.end_process(junior, KILLED);
    world.run_ms(1000);
    assert_eq!(leader(&world, "orders"), Some(senior));
    assert_converged(&mut world);
}

// spec: PSM-6, PSM-10, MON-7
#[test]
fn that_a_process_on_another_kernel_is_presumed_dead_is_told_when_it_is_durable_and_not_before() {
    let mut world = still();
    let far = loop {
        let who = importer(&mut world);
        if world.processes[who].elsewhere.is_some() {
            break who;
        }
    };
    let key = world.processes[far].key.unwrap();
    world.stop(far, 4000);
    until_it_writes(&mut world);
    world.kill_agent();
    world.start_agent();
    world.run_ms(4000);
    assert_eq!(world.processes[far].key, Some(key), "nobody was told that it is dead: it goes on");
    // A second time, and the store is full for a while: that it is over is told when it can be written, though it has spoken since.
    world.store_full = true;
    world.stop(far, 6000);
    world.run_ms(9000);
    assert_eq!(world.processes[far].key, Some(key), "its end is not written yet");
    world.store_full = false;
    world.run_ms(3000);
    assert!(world.processes[far].welcomed && world.processes[far].key != Some(key), "it goes on in another life");
    assert_converged(&mut world);
}

// spec: SEC-2, CTL-5
#[test]
fn a_line_of_thousands_of_changes_that_are_all_refused_ends_one_after_the_other() {
    let mut world = still();
    let owner = solo(&mut world, "cache-1");
    let importers: Vec<Who> = (0..24).map(|_| importer(&mut world)).collect();
    world.run_ms(500);
    let only_first = Setting { if_version: Some(Version(0)), ..Setting::new("cache.batch@cache-1", "100") };
    for (i, who) in importers.iter().enumerate() {
        for n in 0..200 {
            world.set_all(*who, vec![only_first.clone()], &format!("r{i}-{n}"), Admission::default());
        }
    }
    world.run_ms(5_000);
    assert_eq!(runs_with(&world, owner, "batch"), (Version(1), Value::U64(100)));
    assert_converged(&mut world);
}
