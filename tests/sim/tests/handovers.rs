//! A primary that several CPUs elect hands over, next door or to another CPU.
// spec: OUT-5

use std::time::Duration;

use tif_core::model::{Cause, Coarsen, Name, NodeId, Setting, Value, Version};
use tif_core::wire::{Admission, Identity, ToAgent, ToProcess};
use tif_sim::system::System;
use tif_sim::system::stories::*;
use tif_sim::world::{Weather, Who, name};

/// A member on the first CPU leads, and one on another is to. Importers of all CPUs follow it.
fn before_a_handover(cpus: u32) -> (System, Vec<Who>, Name) {
    let (mut system, importers) = group(cpus);
    for (i, importer) in importers.iter().enumerate() {
        system.worlds[i].subscribe(*importer, "orders.**", Coarsen::default());
    }
    assert!(system.run_ms(2000), "{:?}", system.violation());
    let standby = system.worlds[1].living(|p| p.exporter().is_some_and(|e| e.service == orders()))[0];
    let Identity::Exactly(process) = system.worlds[1].processes[standby].identity.clone() else { panic!("it has a name") };
    let to = name(&format!("cpu2.{process}"));
    (system, importers, to)
}

/// Each importer was told of one handover, and saw nothing else of it.
fn assert_one_report_everywhere(system: &System, importers: &[Who]) {
    for (world, importer) in system.worlds.iter().zip(importers) {
        let told = world.processes[*importer].importer().unwrap().told_outages();
        assert!(told.is_empty(), "an importer of cpu{} saw a loss: {told:?}", world.node);
        assert_eq!(world.checks.handovers(), 1, "cpu{}", world.node);
    }
}

// spec: OUT-5, GRP-6, GRP-8, CTL-7
#[test]
fn a_primary_that_several_cpus_elect_hands_over_to_a_standby_next_door_and_nobody_sees_a_gap() {
    let (mut system, importers) = group(3);
    let first = system.worlds[0].standing()[&orders()];
    let second = system.worlds[0].spawn_member("orders");
    for (i, importer) in importers.iter().enumerate() {
        system.worlds[i].subscribe(*importer, "orders.**", Coarsen::default());
    }
    assert!(system.run_ms(2000), "{:?}", system.violation());
    set(&mut system, 1, importers[1], 40, "a1").unwrap();
    system.worlds[0].drain(importers[0], "orders", None);
    wait_for_leader(&mut system, second);
    assert_eq!(runs_with(&system.worlds[0], "batch"), (Version(1), Value::U64(40)));
    let done = set(&mut system, 2, importers[2], 50, "a2").unwrap();
    assert_eq!((done.changed[0].version, done.replicated), (Version(2), true));
    // And back.
    system.worlds[0].drain(importers[0], "orders", None);
    wait_for_leader(&mut system, first);
    assert!(system.run_ms(2000), "{:?}", system.violation());
    let outages: Vec<(&Cause, bool)> = system.worlds[0].store.outages.values().map(|(o, _)| (&o.cause, o.end.is_some())).collect();
    assert_eq!(outages, [(&Cause::Handover, true), (&Cause::Handover, true)]);
    assert!(system.worlds[0].checks.handovers() >= 2, "its importer was told of both, and saw nothing else of them");
    for (world, importer) in system.worlds.iter().zip(&importers).skip(1) {
        let told = world.processes[*importer].importer().unwrap().told_outages();
        assert!(told.is_empty(), "an importer of cpu{} saw a loss: {told:?}", world.node);
    }
    assert_whole(&system);
}

// spec: OUT-1, OUT-4, OUT-5, GRP-6, GRP-8, CTL-7
#[test]
fn a_primary_hands_over_to_a_standby_on_another_cpu_and_nobody_sees_a_gap() {
    let (mut system, importers, to) = before_a_handover(3);
    set(&mut system, 1, importers[1], 40, "a1").unwrap();
    let asked = system.worlds[0].drain(importers[0], "orders", Some(to)).unwrap();
    until(&mut system, "the successor", |system| leaders(system) == [2]);
    assert!(system.run_ms(1000), "{:?}", system.violation());
    assert_one_report_everywhere(&system, &importers);
    assert_eq!(runs_with(&system.worlds[1], "batch"), (Version(1), Value::U64(40)));
    let done = set(&mut system, 2, importers[2], 50, "a2").unwrap();
    assert_eq!((done.changed[0].version, done.replicated), (Version(2), true));
    let ToProcess::Outages { rows, .. } = ask(&mut system, 2, importers[2], |req| ToAgent::Outages { req }) else { panic!() };
    let [row] = rows.as_slice() else { panic!("{rows:#?}") };
    let end = row.outage.end.as_ref().expect("it is over");
    assert_eq!((&row.outage.cause, row.outage.key.node, end.key.node, row.told), (&Cause::Handover, NodeId(1), NodeId(2), 3));
    assert!(end.remapped > 1 && (end.removed, end.added) == (0, 0) && row.lasted_ms < 50, "{row:?}");
    let importer = system.worlds[0].processes[importers[0]].importer().unwrap();
    assert!(!importer.pending.contains_key(&asked), "it was answered");
    assert_whole(&system);
}

// It was seen that the successor's CPU looked up late that it was in sync by then.
// spec: OUT-5
#[test]
fn a_standby_that_came_in_sync_a_moment_ago_is_handed_over_to_at_once() {
    let mut system = System::new(3, 7, Weather { still: true, ..Weather::default() });
    system.worlds[0].spawn_member("orders");
    let importer = system.worlds[0].spawn_importer(Identity::Exactly(name("imp-1")));
    assert!(system.run_ms(2000), "{:?}", system.violation());
    system.worlds[0].subscribe(importer, "orders.**", Coarsen::default());
    system.worlds[1].spawn_member("orders");
    until(&mut system, "it is in sync", |system| [1, 3].iter().all(|cpu| term(system, *cpu).in_sync.len() == 2));
    assert!(system.run_ms(5), "{:?}", system.violation());
    system.worlds[0].drain(importer, "orders", None);
    let asked_at = system.now();
    until(&mut system, "a successor", |system| leaders(system) == [2]);
    let took = Duration::from_nanos(system.now() - asked_at);
    assert!(took < Duration::from_millis(60), "{took:?}");
    assert!(system.run_ms(1000), "{:?}", system.violation());
    assert_eq!(system.worlds[0].checks.handovers(), 1);
}

// spec: OUT-5, CTL-1, CTL-3
#[test]
fn a_change_that_is_asked_for_while_a_primary_hands_over_to_another_cpu_is_done_there_once() {
    let (mut system, importers, to) = before_a_handover(3);
    system.worlds[0].drain(importers[0], "orders", Some(to));
    let sets: Vec<(usize, u64)> = (0..20)
        .map(|i| {
            let cpu = i % 3;
            let settings = vec![Setting::new("orders.batch", (i + 1).to_string())];
            let req =
                system.worlds[cpu].set_all(importers[cpu], settings, &format!("s{i}"), Admission::default()).expect("it is connected");
            assert!(system.run_ms(1), "{:?}", system.violation());
            (cpu, req)
        })
        .collect();
    until(&mut system, "the successor", |system| leaders(system) == [2]);
    assert!(system.run_ms(3000), "{:?}", system.violation());
    let answer = |(cpu, req): &(usize, u64)| system.worlds[*cpu].processes[importers[*cpu]].importer().unwrap().answers.get(req).cloned();
    let mut versions: Vec<u64> = sets.iter().map(|asked| answer(asked).expect("an answer").unwrap().changed[0].version.0).collect();
    versions.sort_unstable();
    assert_eq!(versions, (1..=20).collect::<Vec<u64>>(), "each was done, once");
    assert_one_report_everywhere(&system, &importers);
    assert_whole(&system);
}

// spec: OUT-5, GRP-6
#[test]
fn who_is_on_no_cpu_of_the_two_can_ask_for_a_handover_too_and_without_a_standby_next_door_it_goes_to_another_cpu() {
    let (mut system, importers, _) = before_a_handover(3);
    let asked = system.worlds[2].drain(importers[2], "orders", None).unwrap();
    until(&mut system, "a successor elsewhere", |system| matches!(leaders(system)[..], [2 | 3]));
    assert!(system.run_ms(1000), "{:?}", system.violation());
    assert!(!system.worlds[2].processes[importers[2]].importer().unwrap().pending.contains_key(&asked), "it was answered");
    assert_one_report_everywhere(&system, &importers);
    assert_whole(&system);
}

// spec: OUT-2, OUT-5, GRP-6
#[test]
fn a_handover_to_a_cpu_that_is_lost_meanwhile_leaves_somebody_who_leads() {
    for after in [0, 1, 2, 3, 5, 8, 13, 40] {
        let (mut system, importers, to) = before_a_handover(3);
        system.worlds[0].drain(importers[0], "orders", Some(to));
        assert!(system.run_ms(after), "{:?}", system.violation());
        cut(&mut system, 2);
        assert!(system.run_ms(6000), "{:?}", system.violation());
        let with_majority: Vec<u32> = leaders(&system).into_iter().filter(|node| *node != 2).collect();
        assert_eq!(with_majority.len(), 1, "cut after {after} ms: {:?}", leaders(&system));
        set(&mut system, 2, importers[2], 50, "a2").unwrap();
        system.net.heal();
        assert!(system.run_ms(4000), "{:?}", system.violation());
        assert_eq!(leaders(&system).len(), 1, "cut after {after} ms: {:?}", leaders(&system));
        assert_whole(&system);
    }
}

// spec: OUT-1, OUT-5
#[test]
fn where_the_successor_is_not_heard_the_last_values_of_the_one_before_are_shown_as_old() {
    let (mut system, importers, to) = before_a_handover(3);
    system.net.part(&[NodeId(2)], &[NodeId(3)], true);
    assert!(system.run_ms(50), "{:?}", system.violation());
    system.worlds[0].drain(importers[0], "orders", Some(to));
    until(&mut system, "the successor", |system| leaders(system) == [2]);
    let told = |system: &System| !system.worlds[2].processes[importers[2]].importer().unwrap().told_outages().is_empty();
    until(&mut system, "the outage where it is not heard", told);
    system.net.heal();
    until(&mut system, "its end", |system| !told(system));
    assert!(system.run_ms(1000), "{:?}", system.violation());
    assert_whole(&system);
}

// spec: OUT-5, GRP-9
#[test]
fn a_handover_that_no_majority_can_witness_is_broken_off_and_done_when_it_can() {
    let (mut system, importers) = group(3);
    let first = system.worlds[0].standing()[&orders()];
    let second = system.worlds[0].spawn_member("orders");
    assert!(system.run_ms(2000), "{:?}", system.violation());
    cut(&mut system, 1);
    system.worlds[0].drain(importers[0], "orders", None);
    assert!(system.run_ms(600), "{:?}", system.violation());
    assert!(leaders(&system).is_empty(), "it has let go, and nobody was elected: {:?}", leaders(&system));
    system.net.heal();
    assert!(system.run_ms(4000), "{:?}", system.violation());
    let who = leaders(&system)[..].first().map(|node| (*node, system.worlds[*node as usize - 1].standing()[&orders()]));
    assert!(leaders(&system).len() == 1 && who != Some((1, first)), "{who:?} leads; {first} was to hand over to {second}");
    set(&mut system, 0, importers[0], 70, "b1").unwrap();
    assert_whole(&system);
}

// spec: OUT-4, OUT-5
#[test]
fn another_cpu_hears_in_one_go_that_a_primary_was_gone_and_back_and_is_gone_again() {
    let mut system = System::new(3, 7, Weather { still: true, ..Weather::default() });
    let first = system.worlds[0].spawn_member("orders");
    let own = system.worlds[0].spawn_importer(Identity::Exactly(name("imp-1")));
    let far = system.worlds[2].spawn_importer(Identity::Exactly(name("imp-1-n3")));
    assert!(system.run_ms(2000), "{:?}", system.violation());
    system.worlds[2].subscribe(far, "orders.**", Coarsen::default());
    assert!(system.run_ms(500), "{:?}", system.violation());
    let break_off = |system: &mut System| {
        system.worlds[0].spawn_member("orders");
        until(system, "a standby", |system| numbers(system, 0).len() > 1);
        assert!(system.run_ms(50), "{:?}", system.violation());
        system.worlds[0].drain(own, "orders", None);
        cut(system, 1);
        until(system, "nobody leads", |system| leaders(system).is_empty());
        assert!(system.run_ms(20), "{:?}", system.violation());
        let world = &mut system.worlds[0];
        for standby in world.living(|p| p.exporter().is_some()).into_iter().filter(|who| *who != first) {
            world.end_process(standby, KILLED);
        }
        assert!(system.run_ms(20), "{:?}", system.violation());
        system.net.heal();
    };
    let own_cut = |system: &mut System| system.net.part(&[NodeId(1)], &[NodeId(3)], true);
    own_cut(&mut system);
    break_off(&mut system);
    own_cut(&mut system);
    wait_for_leader(&mut system, first);
    break_off(&mut system);
    let exporter = system.worlds[0].processes[first].key.unwrap();
    let told = |system: &System| system.worlds[2].processes[far].importer().unwrap().told.contains_key(&exporter);
    until(&mut system, "the outage on the other CPU", told);
    wait_for_leader(&mut system, first);
    assert!(system.run_ms(2000), "{:?}", system.violation());
    assert!(!told(&system), "it is back");
    assert_whole(&system);
}

// It was seen that whoever is named once more, in a later term, was taken for one that leads already.
// spec: OUT-5, GRP-8
#[test]
fn whoever_has_let_go_leads_again_when_the_standby_that_it_let_go_for_is_gone_before_anybody_is_elected() {
    let (mut system, importers) = group(2);
    let first = system.worlds[0].standing()[&orders()];
    let second = system.worlds[0].spawn_member("orders");
    assert!(system.run_ms(2000), "{:?}", system.violation());
    cut(&mut system, 1);
    system.worlds[0].drain(importers[0], "orders", None);
    assert!(system.run_ms(600), "{:?}", system.violation());
    assert!(leaders(&system).is_empty(), "it has let go, and nobody was elected: {:?}", leaders(&system));
    system.worlds[0].end_process(second, KILLED);
    assert!(system.run_ms(300), "{:?}", system.violation());
    system.net.heal();
    wait_for_leader(&mut system, first);
    set(&mut system, 1, importers[1], 70, "b1").unwrap();
    assert_whole(&system);
}
