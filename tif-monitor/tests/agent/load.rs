//! Busy and hostile neighbours: the agent's own time is bounded, and others are served.

use std::time::Duration;

use tif_core::model::Coarsen;
use tif_core::wire::{ToAgent, ToProcess};

use crate::child::{Exporter, Importer};
use crate::world::World;

/// Processor time that the agent uses while this passes.
fn agent_time(world: &World, wall: Duration) -> Duration {
    let ticks = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", world.agent.as_ref().unwrap().id())).unwrap();
        let fields: Vec<&str> = stat[stat.rfind(')').unwrap()..].split(' ').collect();
        fields[12].parse::<u64>().unwrap() + fields[13].parse::<u64>().unwrap()
    };
    let before = ticks();
    std::thread::sleep(wall);
    Duration::from_millis((ticks() - before) * 1000 / rustix::param::clock_ticks_per_second())
}

fn watch(importer: &Importer) {
    let pattern = "*.depth".parse().unwrap();
    importer.send(ToAgent::Subscribe { subscription: 1, pattern, coarsen: Coarsen::default() });
    importer.hear("values", |m| matches!(m, ToProcess::ReportsEnd(_)).then_some(()));
}

fn answers(importer: &Importer) {
    importer.send(ToAgent::Processes { req: 1 });
    importer.hear("an answer", |m| matches!(m, ToProcess::Processes { .. }).then_some(()));
}

// spec: MON-6, EXP-7
#[test]
fn the_hottest_instrument_does_not_make_the_agent_spin() {
    let world = World::new();
    let (mut exporter, _) = Exporter::start(&world, "orders-x");
    let importer = Importer::new(&world, "watcher");
    watch(&importer);
    exporter.tell("hot");
    let used = agent_time(&world, Duration::from_secs(1));
    assert!(used < Duration::from_millis(700), "{used:?} of a second");
    answers(&importer);
}

// spec: EXP-7, SEC-2
#[test]
fn a_bell_that_never_stops_ringing_is_muted() {
    let world = World::new();
    let (mut exporter, _) = Exporter::start(&world, "orders-x");
    let importer = Importer::new(&world, "watcher");
    watch(&importer);
    exporter.tell("ring");
    let used = agent_time(&world, Duration::from_secs(1));
    assert!(used < Duration::from_millis(700), "{used:?} of a second");
    answers(&importer);
}

// spec: MON-6, INS-8
#[test]
fn an_importer_that_does_not_read_delays_nobody() {
    let world = World::new();
    let (mut exporter, _) = Exporter::start(&world, "orders-x");
    let (slow, _) = world.importer("slow");
    let pattern = "*.depth".parse().unwrap();
    slow.sender().send(ToAgent::Subscribe { subscription: 1, pattern, coarsen: Coarsen::default() }).unwrap();
    let quick = Importer::new(&world, "quick");
    watch(&quick);
    exporter.tell("hot");
    for _ in 0..200 {
        quick.hear("a report", |m| matches!(m, ToProcess::Reports { .. }).then_some(()));
    }
    answers(&quick);
}

// spec: MON-8
#[test]
fn a_quiet_agent_does_nothing() {
    let world = World::new();
    let (_exporter, _) = Exporter::start(&world, "orders-x");
    let importer = Importer::new(&world, "watcher");
    watch(&importer);
    let used = agent_time(&world, Duration::from_secs(1));
    assert!(used <= Duration::from_millis(50), "{used:?} of a second");
}
