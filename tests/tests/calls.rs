//! Code of the service that is slow, hangs or is stopped: what waits for it is told, and nothing else waits.

use std::time::{Duration, Instant};

use serde_json::json;
use tif_tests::process::{PATIENCE, Process};
use tif_tests::world::{World, event, json as parse};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

/// Wakes who naps or thinks.
fn wake(world: &World) {
    world.serve(&["set", "shop.alarm", "1"]).must(0);
}

// spec: TST-2, TST-4
#[test]
fn a_call_that_overruns_its_time_is_not_known_to_be_done_until_its_result_is_asked_for() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let fire = ["fire", "shop.nap", "time=10min", "--request-id", "long"];
    let said = world.serve(&fire).must(6);
    assert!(
        said.err.contains("no answer within 5s; whether it was done is not known") && said.err.contains("--request-id long"),
        "{said:?}"
    );
    // The agent and the service look at their own clocks: either may be first.
    let overdue = "shop.nap.last == \"no result within 5s: 1 of 1 calls that run are over their time\"";
    world.serve(&["--timeout", "20s", "wait", overdue]).must(0);
    world.serve(&fire).must(6);
    wake(&world);
    service.wait_line("it ends after all", |line| line == "nap ends");
    world.serve(&["--timeout", "20s", "wait", &overdue.replace("==", "!=")]).must(0);
    let said = world.serve(&fire).must(0);
    assert_eq!(said.out.trim(), world.value("shop.nap.last").as_str().expect("a text"));
    assert_eq!(world.serve(&["result", "long"]).must(0).out, said.out);
    assert!(said.out.trim().parse::<u64>().is_ok_and(|ms| ms >= 5000), "{said:?}");
    assert_eq!(world.value("shop.nap"), 1, "it was called once");
}

// spec: CTL-3, TST-4, SRV-3
#[test]
fn what_became_of_a_request_is_told_by_its_id_alone_and_what_is_under_way_is_waited_for() {
    let world = world();
    let mut agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let mut napping = Process::start("fire", world.command("serve").args(["fire", "shop.nap", "time=10min", "--request-id", "nap"]));
    service.wait_line("it naps", |line| line == "nap begins");
    let mut asking = Process::start("result", world.command("serve").args(["result", "nap", "--output", "json"]));
    let unknown = world.serve(&["result", "nobodys"]).must(3);
    assert!(unknown.err.contains("no change and no call with the request id nobodys is known"), "{unknown:?}");
    wake(&world);
    assert!(asking.wait_end("it is told").success() && napping.wait_end("so is this").success(), "{}", asking.errors());
    world.serve(&["set", "shop.batch=5", "shop.limit=7", "--request-id", "both"]).must(0);
    assert!(world.serve(&["fire", "shop.add", "a=18446744073709551615", "b=1", "--request-id", "sum"]).must(1).err.contains("too great"));
    for _ in 0..2 {
        let told = world.serve(&["--output", "jsonl", "result", "both"]).must(0).rows();
        let changed: Vec<_> = told.iter().map(|row| (row["name"].clone(), row["new"].clone(), row["repeated"].clone())).collect();
        assert_eq!(changed, [(json!("shop.batch"), json!(5), json!(true)), (json!("shop.limit"), json!(7), json!(true))]);
        let told = world.serve(&["result", "sum"]).must(1);
        assert!(told.err.contains("too great"), "{told:?}");
        // The next agent knows it, too.
        agent.kill();
        agent = world.agent();
    }
    world.serve(&["--timeout", "20s", "wait", "shop.add == 1"]).must(0);
}

// spec: TST-4
#[test]
fn of_a_call_whose_process_dies_nobody_claims_that_it_failed_and_its_id_keeps_telling_so() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let fire = ["fire", "shop.nap", "time=10min", "--request-id", "cut"];
    let mut first = Process::start("fire", world.command("serve").args(fire));
    service.wait_line("it naps", |line| line == "nap begins");
    service.kill();
    let status = first.wait_end("its process is dead");
    let unknown = "its process ended while it ran; whether it was done is not known";
    assert!(status.code() == Some(6) && first.errors().contains(unknown), "{status}: {}", first.errors());
    // Also when another could do it: that would be a second time.
    let mut next = world.service(&["--standby"]);
    let said = world.serve(&fire).must(6);
    assert!(said.err.contains(unknown) && said.err.contains("without --request-id"), "{said:?}");
    assert!(!next.lines_so_far().iter().any(|line| line == "nap begins"), "it is not done again under the same id");
}

// spec: TST-4, MON-7
#[test]
fn what_became_of_a_call_is_known_to_the_next_agent_and_nothing_is_called_again() {
    let world = world();
    let mut agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let add = ["fire", "shop.add", "a=1", "b=2", "--request-id", "sum"];
    assert_eq!(world.serve(&add).must(0).out.trim(), "3");
    let nap = ["fire", "shop.nap", "time=10min", "--request-id", "nap"];
    let mut napping = Process::start("fire", world.command("serve").args(nap));
    service.wait_line("it naps", |line| line == "nap begins");
    agent.kill();
    napping.wait_end("its agent is dead");
    let _agent = world.agent();
    world.serve(&["--timeout", "20s", "wait", "shop.accepted >= 0"]).must(0);
    let said = world.serve(&add).must(0);
    assert!(said.out.trim() == "3" && said.err.contains("repeated: called before under this id"), "{said:?}");
    let said = world.serve(&nap).must(6);
    let unknown = "the agent ended while it ran; whether it was done is not known";
    assert!(said.err.contains(unknown) && said.err.contains("without --request-id"), "{said:?}");
    wake(&world);
    service.wait_line("it wakes up", |line| line == "nap ends");
    world.serve(&nap).must(6);
    assert_eq!(service.lines_so_far().iter().filter(|line| *line == "nap begins").count(), 1, "it was called once");
    assert_eq!(world.value("shop.add"), 1, "so was this");
}

// spec: TST-2, SEC-2
#[test]
fn when_all_that_can_run_run_a_call_is_refused_at_once_and_all_else_goes_on() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let nap = |_| Process::start("fire", world.command("serve").args(["fire", "shop.nap", "time=10min"]));
    let naps: Vec<Process> = (0..8).map(nap).collect();
    for _ in &naps {
        service.wait_line("a nap begins", |line| line == "nap begins");
    }
    let said = world.serve(&["fire", "shop.add", "a=1", "b=2", "--request-id", "one"]).must(4);
    assert!(said.err.contains("8 calls of shop are running, none free: shop.nap for "), "{said:?}");
    // Validators and dynamic indicators are not held up by procedures.
    world.serve(&["set", "shop.limit", "7"]).must(0);
    assert_eq!(world.value("shop.stock"), 7);
    assert!(!service.lines_so_far().iter().any(|line| line == "nap ends"), "nothing of this waited for a nap to end");
    wake(&world);
    service.wait_line("a nap ends", |line| line == "nap ends");
    // It was not begun, so its id is free.
    let until = Instant::now() + PATIENCE;
    while world.serve(&["fire", "shop.add", "a=1", "b=2", "--request-id", "one"]).status != 0 {
        assert!(Instant::now() < until, "there is room again");
    }
}

// spec: CTL-1
#[test]
fn a_validator_that_thinks_too_long_is_a_time_out_and_the_next_change_has_its_own_time() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let said = world.serve(&["set", "shop.pondered", "600000", "--request-id", "slow"]).must(6);
    assert!(said.err.contains("its validator did not answer within 2s; nothing was changed"), "{said:?}");
    // The validator is still thinking about the one before; this one waits for it, and both others do not.
    let mut next = Process::start("set", world.command("serve").args(["set", "shop.pondered", "1"]));
    world.serve(&["set", "shop.limit", "8"]).must(0);
    world.serve(&["set", "shop.batch", "8"]).must(0);
    wake(&world);
    assert!(next.wait_end("it is accepted").success(), "{}", next.errors());
    assert_eq!(world.value("shop.pondered"), 1);
}

// spec: INS-2, SRV-2
#[test]
fn a_slow_dynamic_indicator_is_missing_alone() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    world.serve(&["set", "shop.stocktaking", "20s"]).must(0);
    for limit in [&["--timeout", "1s"][..], &[]] {
        let asked = Instant::now();
        let said = world.serve(&[limit, &["--output", "jsonl", "get", "shop.stock", "shop.oldest", "shop.accepted"]].concat()).must(6);
        let row = |name: &str| said.rows().into_iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name}: {said:?}"));
        assert_eq!((&row("shop.oldest")["quality"], &row("shop.accepted")["quality"]), (&json!("good"), &json!("good")));
        // Read at the end, not before the slow one was waited for.
        assert!(row("shop.accepted")["age_ms"].as_u64() < Some(700), "{said:?}");
        let stock = row("shop.stock");
        assert_eq!((&stock["quality"], &stock["value"], &stock["age_ms"]), (&json!("failed"), &json!(null), &json!(null)));
        assert!(limit.is_empty() || asked.elapsed() < Duration::from_millis(1900), "the time limit is kept: {:?}", asked.elapsed());
    }
    let shown = world.serve(&["--timeout", "1s", "get", "shop.stock"]).must(6);
    assert!(shown.out.contains("not computed within") || shown.err.contains("not computed within"), "{shown:?}");
    assert!(!shown.out.contains('d') || !shown.out.contains("20777d"), "{shown:?}");
}

// spec: CTL-3, TST-4
#[test]
fn a_request_id_is_one_whatever_it_was_used_for() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    world.serve(&["set", "shop.batch", "5", "--request-id", "a"]).must(0);
    world.serve(&["fire", "shop.add", "a=1", "b=2", "--request-id", "b"]).must(0);
    let said = world.serve(&["fire", "shop.add", "a=1", "b=2", "--request-id", "a"]).must(7);
    assert!(said.err.contains("set shop.batch=5"), "{said:?}");
    let said = world.serve(&["set", "shop.batch", "6", "--request-id", "b"]).must(7);
    assert!(said.err.contains("fire shop.add"), "{said:?}");
    assert_eq!((world.value("shop.batch"), world.value("shop.add")), (json!(5), json!(1)));
}

// spec: SRV-8, PSM-10
#[test]
fn what_a_stopped_service_shows_is_stale_until_it_goes_on() {
    let world = world();
    let _agent = world.agent();
    let service = world.service(&["--standby"]);
    let mut watch = world.watch("shop.motto");
    service.signal(rustix::process::Signal::STOP);
    let (_, line) = watch.wait_line("it is told", |line| event(line) == "report" && parse(line)["quality"] == "stale");
    assert_eq!(parse(&line)["value"], "the customer is king");
    let rows = world.serve(&["--output", "jsonl", "get", "shop.accepted", "shop.oldest"]).must(0).rows();
    assert!(rows.iter().all(|r| r["quality"] == "stale"), "{rows:#?}");
    // Who begins to watch meanwhile sees it old, and live as soon as it goes on.
    let mut late = world.watch("shop.motto");
    assert!(late.lines_so_far().iter().any(|line| event(line) == "report" && parse(line)["quality"] == "stale"));
    service.signal(rustix::process::Signal::CONT);
    for watch in [&mut watch, &mut late] {
        watch.wait_line("it is good again", |line| event(line) == "report" && parse(line)["quality"] == "good");
    }
    world.serve(&["--output", "jsonl", "get", "shop.accepted"]).must(0);
}
