//! What a person or a script gets from `tif-serve`, also when it is wrong.

use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use serde_json::json;
use tif_tests::process::{PATIENCE, Process};
use tif_tests::world::{World, event, json as parse};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

/// The command, its status, and what standard error must say.
fn check(world: &World, arguments: &[&str], status: i32, says: &[&str]) {
    let said = world.serve(arguments).must(status);
    for text in says {
        assert!(said.err.contains(text), "{arguments:?} must say {text:?}: {said:#?}");
    }
    assert!(said.out.is_empty(), "data of a refused command: {said:#?}");
}

// spec: SRV-3, CTL-1, CTL-5, INS-5, SEC-2
#[test]
fn bad_input_gets_a_refusal_with_the_reason_and_the_way_out_and_changes_nothing() {
    let world = world();
    check(&world, &["ls"], 5, &["no agent", world.run_dir().to_str().expect("text"), "tif-monitor"]);
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);

    check(&world, &["get", "shop.dept"], 3, &["shop.dept", "shop.depth"]);
    check(&world, &["set", "shop.bach", "5"], 3, &["shop.batch"]);
    check(&world, &["set", "shop.batch", "0"], 2, &["1 to 4096"]);
    check(&world, &["set", "shop.batch", "-3"], 2, &["whole number"]);
    check(&world, &["set", "shop.batch", "many"], 2, &["whole number"]);
    check(&world, &["set", "shop.mode", "rude"], 2, &["friendly", "strict"]);
    check(&world, &["set", "shop.limit", "13"], 2, &["thirteen brings bad luck"]);
    check(&world, &["set", "shop.depth", "5"], 2, &["gauge", "only"]);
    check(&world, &["set", "shop.batch", "5", "--if-version", "7"], 7, &["version 0"]);
    check(&world, &["set", "shop.batch", "5", "--request-id", "no spaces"], 2, &["request id"]);
    check(&world, &["fire", "shop.add", "a=1"], 2, &["`b`", "a=u64 b=u64"]);
    check(&world, &["fire", "shop.add", "a=1", "b=2", "c=3"], 2, &["`c`"]);
    check(&world, &["fire", "shop.add", "a=1", "b=x"], 2, &["whole number"]);
    check(&world, &["set", "shop.seats", "4294967296"], 2, &["allowed are 0 to 4294967295"]);
    check(&world, &["set", "shop.ever", "9007199254740994"], 2, &["allowed are 0 to 9007199254740993"]);
    check(&world, &["set", "shop.ever", "9007199254740993"], 2, &["the nearest is 9007199254740992"]);
    check(&world, &["fire", "shop.sit", "seat=4294967296"], 2, &["allowed are 0 to 4294967295"]);
    check(&world, &["arm", "shop.before_commit", "fail", "--probability", "2"], 2, &["0 to 1"]);
    check(&world, &["arm", "shop.before_commit", "fail", "--where", "colour==red", "--outlive"], 2, &["colour", "order"]);
    check(&world, &["arm", "shop.add", "fail", "--outlive"], 2, &["procedure"]);
    check(&world, &["get", "Shop.Depth"], 2, &["lower-case"]);
    check(&world, &["wait", "shop.depth >"], 2, &["^"]);
    check(&world, &["ls", "--cpu", "nowhere"], 3, &["cpu1"]);

    assert_eq!(world.value("shop.batch"), 64);
    assert_eq!((world.value("shop.seats"), world.value("shop.sit")), (json!(4), json!(0)));
    assert_eq!(world.value("shop.mode"), "friendly");
    assert_eq!(world.value("shop.limit"), 100);
}

// spec: INS-1, INS-2, INS-3, INS-4, INS-9, EXP-1, SRV-1, SRV-2
#[test]
fn every_kind_of_instrument_is_discovered_and_read() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let rows = world.serve(&["--output", "jsonl", "ls", "shop.**"]).must(0).rows();
    let kind = |name: &str| {
        let row = rows.iter().find(|r| r["name"] == name).unwrap_or_else(|| panic!("{name} is not in {rows:#?}"));
        (row["kind"].clone(), row["type"].clone(), row["unit"].clone())
    };
    assert_eq!(kind("shop.accepted"), (json!("counter"), json!("u64"), json!("1")));
    assert_eq!(kind("shop.depth"), (json!("gauge"), json!("u64"), json!("1")));
    assert_eq!(kind("shop.motto"), (json!("gauge"), json!("string"), json!("1")));
    assert_eq!(kind("shop.oldest"), (json!("dynamic"), json!("f64"), json!("s")));
    assert_eq!(kind("shop.batch"), (json!("control"), json!("u64"), json!("1")));
    assert_eq!(kind("shop.mode"), (json!("control"), json!("choice"), json!("1")));
    assert_eq!(kind("shop.latency"), (json!("histogram"), json!("histogram"), json!("s")));
    assert_eq!(kind("shop.before_commit").0, "test_point");
    assert_eq!(kind("shop.add").0, "procedure");
    let batch = rows.iter().find(|r| r["name"] == "shop.batch").expect("just seen");
    assert_eq!((&batch["help"], &batch["range"]), (&json!("Orders handled in one batch."), &json!([1, 4096])));
    assert!(batch["declared"]["file"].as_str().is_some_and(|f| f.ends_with("service.rs")), "{batch}");

    world.serve(&["--timeout", "20s", "wait", "shop.accepted > 100"]).must(0);
    assert_eq!(world.value("shop.motto"), "the customer is king");
    assert!(world.value("shop.oldest").as_f64() > Some(0.0), "computed when asked for");
    let latency = world.value("shop.latency");
    assert!(latency["count"].as_u64() > Some(100) && latency["p99"].as_f64() > Some(0.0), "{latency}");
}

// spec: INS-2, INS-6, INS-8, INS-10
#[test]
fn a_watch_sees_significant_changes_alarms_and_dynamic_values_and_ends_by_itself() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let watched = world.serve(&["--output", "jsonl", "watch", "shop.depth", "--count", "5", "--deadband", "50"]).must(0).rows();
    let values: Vec<f64> = watched.iter().filter(|r| r["event"] == "report").filter_map(|r| r["value"].as_f64()).collect();
    assert_eq!(values.len(), 5, "{watched:#?}");
    assert!(values.windows(2).all(|w| (w[0] - w[1]).abs() >= 50.0), "{values:?}");
    // A dynamic indicator is computed again and again while it is watched.
    let dynamic = world.serve(&["--output", "jsonl", "watch", "shop.oldest", "--count", "4"]).must(0).rows();
    let ages: Vec<f64> = dynamic.iter().filter_map(|r| r["value"].as_f64()).collect();
    assert!(ages.windows(2).all(|w| w[0] < w[1]) && ages.len() >= 4, "{ages:?}");
}

// spec: TST-1, TST-2, TST-3, TST-5, CTL-3
#[test]
fn test_points_are_fired_armed_hit_and_disarm_when_their_session_ends() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let sum = world.serve(&["fire", "shop.add", "a=2", "b=40"]).must(0);
    assert_eq!(sum.out.trim(), "42");
    let failed = world.serve(&["fire", "shop.add", "a=18446744073709551615", "b=1"]).must(1);
    assert!((failed.out + &failed.err).contains("too great for the clerk"));
    assert_eq!(world.value("shop.add.last"), "error: the sum is too great for the clerk");

    // Armed for the session: it fails orders while the command runs, and no longer.
    let mut arm = Process::start("arm", world.command("serve").args(["arm", "shop.before_commit", "fail", "--where", "size<10"]));
    service.wait_line("an order fails", |line| line == "failed the commit was made to fail");
    world.serve(&["--timeout", "20s", "wait", "shop.before_commit > 3"]).must(0);
    assert!(world.value("shop.before_commit.last").as_str().is_some_and(|t| t.contains("order")));
    assert!(world.value("shop.before_commit.armed").as_str().is_some_and(|t| t.contains("fail")));
    arm.kill();
    world.serve(&["--timeout", "20s", "wait", "shop.before_commit.armed == \"\""]).must(0);

    // Armed for three hits, whatever becomes of the session: it disarms itself.
    let before = world.value("shop.before_commit").as_u64().expect("hits");
    world.serve(&["arm", "shop.before_commit", "count", "--hits", "3", "--outlive"]).must(0);
    world.serve(&["--timeout", "20s", "wait", "shop.before_commit.armed == \"\""]).must(0);
    assert_eq!(world.value("shop.before_commit"), before + 3);
    world.serve(&["arm", "shop.before_commit", "pause", "--for", "60s", "--outlive"]).must(0);
    world.serve(&["disarm", "shop.before_commit"]).must(0);
    let orders = world.value("shop.accepted").as_u64().expect("a count");
    world.serve(&["--timeout", "20s", "wait", &format!("shop.accepted > {}", orders + 10)]).must(0);
}

// spec: TST-4, MON-4, CTL-3
#[test]
fn a_call_whose_requester_was_killed_is_done_once_and_its_result_can_be_asked_for_again() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--standby"]);
    let fire = ["fire", "shop.nap", "time=300ms", "--request-id", "nap-1"];
    let mut requester = Process::start("fire", world.command("serve").args(fire));
    service.wait_line("the procedure runs", |line| line == "nap begins");
    requester.kill();
    let again = world.serve(&[&["--output", "json"], &fire[..]].concat()).must(0);
    assert!(again.out.contains("300"), "{again:?}");
    let later = world.serve(&[&["--output", "json"], &fire[..]].concat()).must(0);
    assert!(later.out.contains("\"repeated\":true") || later.out.contains("\"repeated\": true"), "{later:?}");
    world.serve(&["fire", "shop.nap", "time=1ms", "--request-id", "nap-1"]).must(7);
    assert_eq!(service.lines_so_far().iter().filter(|l| *l == "nap begins").count(), 1);
    assert_eq!(world.value("shop.nap"), 1);
}

// spec: PSM-2, PSM-8, CTL-9
#[test]
fn a_name_that_is_taken_is_refused_and_a_dry_run_changes_nothing() {
    let world = world();
    let _agent = world.agent();
    let _first = world.service(&["--process", "alone"]);
    let mut second = Process::start("second", world.command("service").args(["--process", "alone"]));
    let status = second.wait_end("it is refused");
    assert!(!status.success() && second.errors().contains("alone"), "{}", second.errors());
    let checked = world.serve(&["--output", "json", "set", "shop.batch@alone", "9", "--dry-run"]).must(0);
    assert!(checked.out.contains("checked"), "{checked:?}");
    assert_eq!(world.value("shop.batch@alone"), 64);
}

// spec: EXP-9, MON-8, OUT-1
#[test]
fn the_agent_shows_the_hosts_figures_and_its_own() {
    let world = world();
    let _agent = world.agent_with(Vec::<String>::new());
    world.serve(&["--timeout", "20s", "wait", "host.memory.total > 0 && tif.processes >= 2"]).must(0);
    let mut watch = world.watch("host.cpu.**");
    watch.wait_line("a figure of the CPU", |line| event(line) == "report" && parse(line)["value"].is_number());
}

// spec: SRV-3
#[test]
fn a_watch_ends_when_nobody_reads_it_any_more_though_nothing_changes() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let mut child = world.command("serve").args(["watch", "shop.motto"]).stdout(Stdio::piped()).spawn().expect("it can be started");
    let mut line = String::new();
    // As `head -1`: reads a line and closes the pipe.
    BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("its first report");
    assert!(line.contains("the customer is king"), "{line}");
    assert!(ends(&mut child).success());
}

/// Its status, without polling: its pidfd is readable when it has ended. A child that does not end is killed, and the test fails.
fn ends(child: &mut Child) -> ExitStatus {
    let pidfd = pidfd_open(Pid::from_child(child), PidfdFlags::empty()).expect("a child of ours");
    let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
    if poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience)).expect("a pidfd") == 0 {
        child.kill().expect("it runs");
        child.wait().expect("a child of ours");
        panic!("it did not end within {PATIENCE:?}");
    }
    child.wait().expect("a child of ours")
}

// spec: SRV-3, CTL-3
#[test]
fn what_was_done_and_could_not_be_printed_has_its_own_status_and_tells_the_request_id() {
    let world = world();
    let _agent = world.agent();
    let _service = world.service(&["--standby"]);
    let full = |arguments: &[&str]| {
        let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
        let output = world.command("serve").args(arguments).stdout(full).output().expect("it can be started");
        (output.status.code(), String::from_utf8(output.stderr).expect("text"))
    };
    for format in ["table", "json"] {
        let (status, err) = full(&["set", "shop.batch", "9", "--request-id", "r-9", "--output", format]);
        assert_eq!(status, Some(8), "{err}");
        assert!(err.contains("accepted") && err.contains("r-9") && err.contains("No space left"), "{err}");
        let (status, err) = full(&["fire", "shop.add", "a=1", "b=2", "--request-id", "f-1", "--output", format]);
        assert_eq!(status, Some(8), "{err}");
        assert!(err.contains("was called") && err.contains("f-1"), "{err}");
        let (status, err) = full(&["arm", "shop.before_commit", "count", "--outlive", "--output", format]);
        assert!(status == Some(8) && err.contains("was armed"), "{status:?} {err}");
        let (status, err) = full(&["disarm", "shop.before_commit", "--output", format]);
        assert!(status == Some(8) && err.contains("was disarmed"), "{status:?} {err}");
        let (status, err) = full(&["ls", "--output", format]);
        assert!(status == Some(8) && err.contains("cannot be written"), "{status:?} {err}");
    }
    assert_eq!(full(&["--help"]).0, Some(8));
    assert_eq!(world.value("shop.batch"), 9);
}

// spec: INS-5, INS-9
#[test]
fn every_address_that_is_listed_is_taken_and_no_other_is_taken_for_it() {
    let world = world();
    let _agent = world.agent();
    let _group = world.service(&["--standby"]);
    let _alone = world.service(&["--process", "alone"]);
    for name in ["shop.batch", "shop.batch@alone"] {
        assert_eq!(world.serve(&["--output", "jsonl", "ls", "shop.batch"]).must(0).rows().iter().filter(|r| r["name"] == name).count(), 1);
        let set = world.serve(&["--output", "json", "set", name, "9", "--dry-run"]).must(0).json();
        assert_eq!(set["name"], name);
        world.serve(&["wait", &format!("{name} == 64"), "--now"]).must(0);
        world.serve(&["wait", &format!("{name} == 64"), "--timeout", "20s"]).must(0);
    }
    // The one that is listed so is waited for, though the other one fits, too.
    world.serve(&["set", "shop.batch@alone", "9"]).must(0);
    world.serve(&["wait", "shop.batch == 9", "--timeout", "300ms"]).must(6);
    for wrong in ["shop.batch{a=b}", "shop.batch@nowhere"] {
        check(&world, &["set", wrong, "1"], 3, &[wrong, "shop.batch@alone"]);
        check(&world, &["wait", &format!("{wrong} == 1"), "--now"], 3, &[wrong, "shop.batch@alone"]);
        check(&world, &["get", wrong], 3, &[wrong, "shop.batch@alone"]);
    }
    check(&world, &["set", "shop.batch@cpu1", "1"], 2, &["more than one", "shop.batch@alone"]);
    check(&world, &["set", "shop.batch@alone#1.1", "1"], 7, &["is not current"]);
    assert_eq!((world.value("shop.batch@shop"), world.value("shop.batch@alone")), (json!(64), json!(9)));
}
