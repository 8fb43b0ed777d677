//! Processes that mean harm neither crash nor slow the agent.

use std::process::Command;
use std::time::{Duration, Instant};

use tif_core::model::Refusal;
use tif_core::wire::{Identity, Registration};
use tif_process::{ConnectError, Connection, RunDir};
use tif_tests::process::Process;
use tif_tests::world::{World, event, json};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

fn start(world: &World, way: &str, seed: u64) -> Process {
    let mut command: Command = world.command("hostile");
    Process::start(&format!("hostile {way}"), command.args([way, "--millis", "1500", "--seed", &seed.to_string()]))
}

// spec: EXP-7, SEC-1, SEC-2, MON-6
#[test]
fn hostile_exporters_and_importers_neither_crash_nor_slow_the_agent() {
    let world = world();
    let mut agent = world.agent();
    let _service = world.service(&["--process", "honest"]);
    let mut watch = world.watch("shop.accepted@honest");
    let mut hostile: Vec<Process> =
        ["bytes", "segment", "scribble", "scribble", "deaf"].into_iter().zip(1..).map(|(way, seed)| start(&world, way, seed)).collect();
    // While they do their worst, an honest importer goes on getting values, and requests are answered.
    let mut slowest = Duration::ZERO;
    for h in &mut hostile {
        h.wait_line("it has begun", |line| line == "started");
        let asked = Instant::now();
        world.serve(&["get", "shop.depth@honest"]).must(0);
        slowest = slowest.max(asked.elapsed());
        let seq = |line: &str| json(line)["seq"].as_u64();
        let (_, line) = watch.wait_line("a report", |line| event(line) == "report");
        let now = seq(&line);
        watch.wait_line("a later one", |line| event(line) == "report" && seq(line) > now);
    }
    println!("slowest answer to an honest request: {slowest:?}");
    for h in &mut hostile {
        h.wait_line("it has done what it could", |line| line.starts_with("done"));
    }
    assert!(agent.is_running(), "{}", agent.errors());
    assert_eq!(world.process("honest")["state"], "alive");
    assert!(watch.lines_so_far().iter().all(|l| event(l) != "outage"));
}

// spec: MON-5, MON-2, MON-3
#[test]
fn the_interest_of_a_killed_importer_is_gone() {
    let world = world();
    let _agent = world.agent_with(Vec::<String>::new());
    let _service = world.service(&["--process", "alone"]);
    let mut first = world.watch("shop.accepted@alone");
    let mut second = world.watch("shop.accepted@alone");
    // The agent counts what is watched; its own figure is one of the two.
    world.serve(&["--timeout", "20s", "wait", "tif.watched == 2"]).must(0);
    first.kill();
    world.serve(&["--timeout", "20s", "wait", "tif.importers == 2"]).must(0);
    world.serve(&["--timeout", "20s", "wait", "tif.watched == 2"]).must(0);
    second.kill();
    world.serve(&["--timeout", "20s", "wait", "tif.watched == 1"]).must(0);
}

// spec: FAB-5
#[test]
fn a_process_that_speaks_another_protocol_is_refused_with_both_sides_versions() {
    let world = world();
    let _agent = world.agent();
    let name = "later".parse().expect("a name");
    let mut hello = tif_process::hello(Identity::Exactly(name), Registration::Importer, "from the future", None);
    (hello.offer.min, hello.offer.max) = (98, 99);
    let run_dir = RunDir::resolve(Some(&world.run_dir()));
    match Connection::open(&run_dir, hello, &[], Duration::from_secs(5)) {
        Err(ConnectError::Refused(refusal @ Refusal::Protocol { min: 98, max: 99, .. })) => {
            assert!(refusal.to_string().contains("98 to 99") && refusal.to_string().contains("upgrade this agent"), "{refusal}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was let in"),
    }
}
