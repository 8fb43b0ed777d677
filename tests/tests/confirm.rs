//! Changes that are to be confirmed, in real processes: kept if somebody says so in time, otherwise taken back.
// spec: CTL-6

use rustix::process::Signal;
use serde_json::json;
use tif_tests::process::Process;
use tif_tests::world::World;

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

/// Waits until an instrument has a value.
fn wait(world: &World, condition: &str) {
    world.serve(&["--timeout", "20s", "wait", condition]).must(0);
}

#[test]
fn what_nobody_confirms_is_taken_back_whole_and_is_nobody_elses_until_then() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let before = (world.value("shop.batch"), world.value("shop.limit"));
    let set = ["set", "shop.batch=100", "shop.limit=12", "--confirm-within", "8s", "--request-id", "k1"];
    let said = world.serve(&set).must(0);
    assert!(said.out.contains("to be confirmed within 8s: tif-serve confirm 'shop.batch'"), "{said:?}");
    assert_eq!((world.value("shop.batch"), world.value("shop.limit")), (json!(100), json!(12)));
    let held = world.serve(&["set", "shop.limit", "14"]).must(7);
    assert!(held.err.contains("shop.limit is held by the change k1"), "{held:?}");
    wait(&world, "shop.batch != 100");
    assert_eq!((world.value("shop.batch"), world.value("shop.limit")), before);
    service.wait_line("the change", |line| line == "batch 100");
    service.wait_line("the way back", |line| line == format!("batch {}", before.0));
    let late = world.serve(&["confirm", "shop.batch", "--request-id", "k1"]).must(7);
    assert!(late.err.contains("not confirmed in time"), "{late:?}");
    world.serve(&["set", "shop.limit", "14"]).must(0);
}

#[test]
fn what_is_confirmed_stays_and_what_is_not_is_taken_back_whatever_becomes_of_the_agent() {
    let world = world();
    let mut agent = world.agent();
    let _service = world.service(&["--standby"]);
    world.serve(&["set", "shop.batch", "100", "--confirm-within", "10s", "--request-id", "k1"]).must(0);
    let said = world.serve(&["confirm", "shop.batch"]).must(0);
    assert!(said.out.contains("the change k1 stays"), "{said:?}");
    let before = world.value("shop.limit");
    world.serve(&["set", "shop.limit", "12", "--confirm-within", "3s"]).must(0);
    agent.kill();
    let _agent = world.agent();
    wait(&world, &format!("shop.limit == {before}"));
    assert_eq!(world.value("shop.batch"), 100);
    world.serve(&["confirm", "shop.batch", "--request-id", "k1"]).must(0);
}

#[test]
fn a_guard_that_leaves_its_range_takes_it_back_and_one_that_is_out_of_it_already_refuses_it() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let most = world.value("shop.accepted").as_u64().expect("a count") + 2000;
    let guard = format!("shop.accepted=..{most}");
    world.serve(&["set", "shop.batch", "100", "--confirm-within", "1h", "--guard", &guard]).must(0);
    wait(&world, "shop.batch != 100");
    assert!(world.value("shop.accepted").as_u64().is_some_and(|now| now > most));
    // Somebody watches it, so that the agent knows its value.
    let mut watch = world.watch("shop.accepted");
    watch.wait_line("a value", |line| line.contains("shop.accepted"));
    let refused = world.serve(&["set", "shop.batch", "100", "--confirm-within", "1h", "--guard", &guard]).must(2);
    assert!(refused.err.contains("already"), "{refused:?}");
    for wrong in ["shop.accepted", "shop.accepted=..", "shop.accepted=a..b", "shop.accepted=9..1", "shop.nothing=0..1"] {
        assert_ne!(world.serve(&["set", "shop.batch", "100", "--confirm-within", "1h", "--guard", wrong]).status, 0, "{wrong}");
    }
    let said = world.serve(&["set", "shop.batch", "100", "--guard", "shop.accepted=0.."]).must(2);
    assert!(said.err.contains("--confirm-within"), "{said:?}");
}

#[test]
fn a_command_that_holds_a_change_takes_it_back_with_its_end_and_is_told_when_it_is_confirmed() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let before = world.value("shop.batch");
    let hold = |id: &str| {
        let mut hold =
            Process::start("set", world.command("serve").args(["set", "shop.batch", "100", "--while-connected", "--request-id", id]));
        hold.wait_line("that it is accepted", |line| line.contains("→ 100"));
        hold
    };
    for (signal, id) in [(Signal::INT, "interrupted"), (Signal::KILL, "killed")] {
        let mut held = hold(id);
        assert_eq!(world.value("shop.batch"), 100);
        held.signal(signal);
        wait(&world, &format!("shop.batch == {before}"));
        held.wait_end("its end");
    }
    let mut held = hold("kept");
    world.serve(&["confirm", "shop.batch"]).must(0);
    assert_eq!(held.wait_end("its end").code(), Some(0));
    assert!(held.errors().contains("kept was confirmed and stays"), "{}", held.errors());
    assert_eq!(world.value("shop.batch"), 100);
}
