//! Exporters die; importers must not have to care. Real processes, real kills.

use rustix::process::{Pid, PidfdFlags, Resource, Signal, getrlimit, pidfd_open};
use serde_json::{Value, json};
use tif_core::model::Cause;
use tif_process::peer;
use tif_tests::process::Process;
use tif_tests::world::{World, event, json};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

/// The outage events of a watch: how many began, how many ended.
fn outages(watch: &mut Process) -> (usize, usize) {
    let all: Vec<Value> = watch.lines_so_far().iter().filter(|l| event(l) == "outage").map(|l| json(l)).collect();
    let ended = all.iter().filter(|o| o["over"] == true).count();
    (all.len() - ended, ended)
}

/// Waits for a report of this process's life that is good and moves on.
fn wait_live(watch: &mut Process, process: &str) {
    watch.wait_line(&format!("live values from {process}"), |line| {
        event(line) == "report" && {
            let report = json(line);
            report["process"] == process && report["quality"] == "good" && report["seq"].as_u64() > Some(1)
        }
    });
}

// spec: OUT-1, OUT-2, OUT-3, OUT-4, OUT-6, MON-6, PSM-5, GRP-1, GRP-5, GRP-8, SYN-5, SYN-6
#[test]
fn when_the_primary_is_killed_each_importer_sees_one_outage_and_goes_on_under_its_old_subscription() {
    let world = world();
    let _agent = world.agent();
    let mut primary = world.service(&["--standby"]);
    let _standby = world.service(&["--standby"]);
    assert_eq!(world.process("shop-1")["role"], "primary");
    assert_eq!(world.process("shop-2")["role"], "standby");
    assert_eq!((&world.process("shop-1")["number"], &world.process("shop-2")["number"]), (&json!(1), &json!(2)));

    let mut watches = [world.watch("shop.accepted"), world.watch("shop.**"), world.watch("shop.depth")];
    watches[2].signal(Signal::STOP);
    let killed = primary.kill();
    for watch in &mut watches[..2] {
        let (told, line) = watch.wait_line("the outage", |line| event(line) == "outage");
        let outage = json(&line);
        assert_eq!(outage["process"], "shop-1", "{line}");
        assert!(outage["cause"].as_str().is_some_and(|c| c.contains("SIGKILL")), "{line}");
        println!("kill to outage report: {:?}", told.duration_since(killed));
        wait_live(watch, "shop-2");
    }
    // It was stopped through all of it, and slowed nobody. It is told as the others were.
    watches[2].signal(Signal::CONT);
    wait_live(&mut watches[2], "shop-2");
    for watch in &mut watches {
        assert_eq!(outages(watch), (1, 1), "{:#?}", watch.lines_so_far());
    }
    let rows = world.serve(&["--output", "jsonl", "outages"]).must(0).rows();
    assert_eq!(rows.len(), 1, "{rows:#?}");
    let end = &rows[0];
    assert_eq!(
        (end["new_process"].as_str(), end["removed"].as_u64(), end["added"].as_u64()),
        (Some("shop-2"), Some(0), Some(0)),
        "{rows:#?}"
    );
    assert!(end["remapped"].as_u64() >= Some(10), "{rows:#?}");
    println!("gap: {} ms", end["gap_ms"]);
    assert_eq!(world.process("shop-1")["state"], "dead");
    assert_eq!(world.process("shop-2")["role"], "primary");
    assert_eq!(world.process("shop-2")["epoch"], 2);
    // A newcomer takes the number of the dead; who was there keeps its own.
    let _third = world.service(&["--standby"]);
    assert_eq!((&world.process("shop-1")["number"], &world.process("shop-2")["number"]), (&json!(1), &json!(2)));
}

// spec: GRP-5, GRP-7, OUT-3
#[test]
fn the_standby_that_weighs_most_takes_over() {
    let world = world();
    let _agent = world.agent();
    let mut primary = world.service(&["--standby"]);
    let _senior = world.service(&["--standby"]);
    let _heavy = world.service(&["--standby", "--weight", "200"]);
    assert_eq!((&world.process("shop-2")["weight"], &world.process("shop-3")["weight"]), (&json!(100), &json!(200)));
    assert_eq!(world.process("shop-1")["role"], "primary", "who weighs more drives nobody out");
    let mut watch = world.watch("shop.accepted");
    wait_live(&mut watch, "shop-1");
    primary.kill();
    wait_live(&mut watch, "shop-3");
    assert_eq!((&world.process("shop-3")["role"], &world.process("shop-2")["role"]), (&json!("primary"), &json!("standby")));
}

// spec: PSM-12, OUT-1, OUT-6
#[test]
fn a_death_is_told_before_the_memory_of_the_dead_is_taken_down() {
    let world = world();
    let _agent = world.agent();
    // Which of the two comes first is a race, in which the kernel has a lot to do. Who learns of a death from its end cannot win it at all.
    let mut won = 0;
    for _ in 0..5 {
        let primary = world.service(&["--ballast", "512"]);
        let pidfd = pidfd_open(Pid::from_raw(primary.pid() as i32).expect("a pid"), PidfdFlags::empty()).expect("it lives");
        let mut watch = world.watch("shop.depth");
        primary.signal(Signal::KILL);
        let (_, line) = watch.wait_line("the outage", |line| event(line) == "outage");
        won += usize::from(!peer::has_ended(&pidfd));
        assert!(json(&line)["cause"].as_str().is_some_and(|c| c.contains("SIGKILL")), "{line}");
    }
    println!("told before the process had ended: {won} of 5");
    assert!(won > 0);
}

// spec: PSM-12, OUT-1, OUT-6
#[test]
fn a_death_is_told_before_a_core_dump_of_the_dead_is_written() {
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").expect("Linux has it");
    if pattern.starts_with(['|', '/']) || getrlimit(Resource::Core).maximum == Some(0) {
        return println!("skipped: no core dump of a test is written into its own directory here (core_pattern is {})", pattern.trim());
    }
    let world = world();
    let _agent = world.agent();
    let dir = world.file("cores", "").with_file_name("dumps");
    std::fs::create_dir(&dir).expect("the test's own directory");
    // The agent looks once a second, and writing takes about that long: which comes first is chance. Who learns of a death from its end, or from that of its
    // threads, cannot be first at all.
    let won = (0..20).any(|_| {
        let mut command = world.command("service");
        let mut service = Process::start("service", command.args(["--ballast", "768", "--core"]).current_dir(&dir));
        service.wait_line("it starts", |line| line.starts_with("started"));
        let mut watch = world.watch("shop.depth");
        service.signal(Signal::ABORT);
        let (_, line) = watch.wait_line("the outage", |line| event(line) == "outage");
        let cause = peer::ending_cause(service.pid(), peer::started(service.pid()).unwrap_or_default());
        assert!(json(&line)["cause"].as_str().is_some_and(|c| c.contains("SIGABRT")), "{line}");
        service.wait_end("it is written");
        for file in std::fs::read_dir(&dir).expect("the test's own directory").flatten() {
            std::fs::remove_file(file.path()).expect("a dump");
        }
        // Until it is written the kernel does not say that there is one.
        matches!(cause, Some(Cause::Signal { core: false, .. }))
    });
    assert!(won);
}

// spec: CTL-1, CTL-2, CTL-3, CTL-4, CTL-7, OUT-4
#[test]
fn a_control_set_before_the_kill_has_its_value_in_the_new_primary_and_a_repeated_set_is_applied_once() {
    let world = world();
    let _agent = world.agent();
    let mut primary = world.service(&["--standby"]);
    let mut standby = world.service(&["--standby"]);
    let set = ["--output", "json", "set", "shop.batch", "100", "--request-id", "r1", "--reason", "more at once"];
    let first = world.serve(&set).must(0).json();
    primary.wait_line("the change", |line| line == "batch 100");
    let again = world.serve(&set).must(0).json();
    let (first, again) = (row(&first), row(&again));
    assert_eq!((first["version"].as_u64(), first["repeated"].as_bool()), (Some(1), Some(false)));
    assert_eq!((again["version"].as_u64(), again["repeated"].as_bool()), (Some(1), Some(true)));
    world.serve(&["set", "shop.mode", "strict"]).must(0);

    primary.kill();
    standby.wait_line("its promotion", |line| line.starts_with("promoted"));
    let lines = standby.lines_so_far();
    let at = |text: &str| lines.iter().position(|l| l == text).unwrap_or_else(|| panic!("{text:?} is not in {lines:#?}"));
    let promoted = lines.iter().position(|l| l.starts_with("promoted")).expect("just waited for");
    assert!(at("batch 100") < promoted && at("mode Strict") < promoted, "it ran with its controls before it took over: {lines:#?}");

    let mut watch = world.watch("shop.accepted");
    wait_live(&mut watch, "shop-2");
    assert_eq!(world.value("shop.batch"), 100);
    assert_eq!(world.value("shop.mode"), "strict");
    // Asked for again, the new primary's agent still knows the answer, and nothing is applied again.
    let later = world.serve(&set).must(0).json();
    assert_eq!((row(&later)["version"].as_u64(), row(&later)["repeated"].as_bool()), (Some(1), Some(true)));
    let other = world.serve(&["set", "shop.batch", "7", "--request-id", "r1"]).must(7);
    assert!(other.err.contains("r1"), "{other:?}");
    assert_eq!(world.value("shop.batch"), 100);
}

// spec: CTL-1, CTL-6, OUT-4
#[test]
fn a_step_of_controls_is_done_whole_or_refused_whole_and_the_next_primary_runs_with_it() {
    let world = world();
    let _agent = world.agent();
    let mut primary = world.service(&["--standby"]);
    let mut standby = world.service(&["--standby"]);
    // Of the second the service's own validator is asked.
    let refused = world.serve(&["set", "shop.batch=9", "shop.limit=13"]).must(2);
    assert!(refused.err.contains("thirteen brings bad luck"), "{refused:?}");
    let json = ["--output", "jsonl", "set", "shop.batch=100", "shop.mode=strict", "shop.limit=12", "--request-id", "s1"];
    let done = world.serve(&json).must(0);
    let rows: Vec<Value> = done.out.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect();
    let told: Vec<(&str, u64)> = rows.iter().map(|r| (r["name"].as_str().unwrap(), r["version"].as_u64().unwrap())).collect();
    assert_eq!(told, [("shop.batch", 1), ("shop.mode", 1), ("shop.limit", 1)]);
    primary.wait_line("the change", |line| line == "batch 100");
    primary.kill();
    standby.wait_line("its promotion", |line| line.starts_with("promoted"));
    assert_eq!((world.value("shop.batch"), world.value("shop.mode"), world.value("shop.limit")), (json!(100), json!("strict"), json!(12)));
}

fn row(json: &Value) -> &Value {
    if json.is_array() { &json[0] } else { json }
}

// spec: OUT-1, OUT-4, OUT-5, OUT-6, GRP-5, GRP-6, GRP-8
#[test]
fn a_primary_that_hands_over_leaves_nothing_to_be_seen_but_one_report_and_its_controls_stay() {
    let world = world();
    let _agent = world.agent();
    let mut primary = world.service(&["--standby", "--busy"]);
    let mut standby = world.service(&["--standby", "--busy"]);
    assert_eq!(world.process("shop-2")["role"], "standby");
    world.serve(&["set", "shop.batch", "100"]).must(0);
    let mut watches = [world.watch("shop.accepted"), world.watch("shop.**")];
    for watch in &mut watches {
        wait_live(watch, "shop-1");
    }

    // There and back, with nobody dead.
    for (from, to, epoch) in [("shop-1", "shop-2", 2), ("shop-2", "shop-1", 3)] {
        let drained = world.serve(&["--output", "json", "drain", "shop", "--to", to]).must(0).json();
        assert_eq!((drained["process"].as_str(), drained["new_process"].as_str()), (Some(from), Some(to)), "{drained}");
        assert_eq!((drained["epoch"].as_u64(), drained["deposed"].as_bool()), (Some(epoch), Some(false)), "{drained}");
        println!("gap: {} ms", drained["gap_ms"]);
        for watch in &mut watches {
            let (_, line) = watch.wait_line("the report", |line| event(line) == "outage" && json(line)["new_process"] == to);
            let report = json(&line);
            assert_eq!((report["over"].as_bool(), report["cause"].as_str()), (Some(true), Some("handover")), "{line}");
            assert_eq!((report["process"].as_str(), report["removed"].as_u64()), (Some(from), Some(0)), "{line}");
            assert_eq!((report["added"].as_u64(), report["carried"].as_u64()), (Some(0), Some(1)), "{line}");
            wait_live(watch, to);
        }
        assert_eq!((world.process(from)["role"].as_str(), world.process(to)["role"].as_str()), (Some("standby"), Some("primary")));
        assert_eq!(world.value("shop.batch"), 100);
    }
    standby.wait_line("its controls", |line| line == "batch 100");
    for watch in &mut watches {
        assert_eq!(outages(watch), (0, 2), "told when it was over, and once: {:#?}", watch.lines_so_far());
        for line in watch.lines_so_far().iter().filter(|line| event(line) != "outage") {
            let said = json(line);
            assert!(!line.contains("stale"), "{line}");
            assert!(event(line) != "report" || said["quality"] == "good" || said["quality"] == "failed", "{line}");
        }
    }

    // What cannot be done changes nothing, and says why.
    for (args, why) in [
        (&["drain", "shop-2"][..], "it is not the primary of shop; that is shop-1"),
        (&["drain", "shop", "--to", "shop-1"], "shop-1 is its primary already"),
        (&["drain", "shop", "--to", "nobody"], "`nobody` is no process of shop"),
        (&["drain", "shoe"], "no service with a group, and no process of one"),
    ] {
        let refused = world.serve(args).must(5);
        assert!(refused.err.contains(why), "{refused:?}");
    }
    standby.kill();
    world.serve(&["wait", "shop.accepted > 0", "--now"]).must(0);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while world.process("shop-2")["state"] != "dead" {
        assert!(std::time::Instant::now() < deadline, "its death is noticed");
    }
    let alone = world.serve(&["drain", "shop"]).must(5);
    assert!(alone.err.contains("no standby of it is ready"), "{alone:?}");
    // It led, handed over, led again: and it can be lost like any.
    primary.kill();
    watches[0].wait_line("the outage", |line| event(line) == "outage" && json(line)["over"] == false);
}

// spec: OUT-3
#[test]
fn where_no_standby_is_there_a_successor_is_launched_and_the_subscription_goes_on() {
    let world = world();
    let service = format!("[service.shop]\ncommand = [{:?}, \"service\", \"--standby\"]\nmembers = 1\n", env!("CARGO_BIN_EXE_tif-fixture"));
    let config = world.file("tif.toml", &service);
    let _agent = world.agent_with(["--no-host".as_ref(), "--config".as_ref(), config.as_os_str()]);
    let mut primary = world.service(&["--standby"]);
    let before = world.process("shop-1")["incarnation"].clone();
    let mut watch = world.watch("shop.accepted");
    primary.kill();
    watch.wait_line("the end of the outage", |line| event(line) == "outage" && json(line)["over"] == true);
    watch.wait_line("live values from the successor", |line| event(line) == "report" && json(line)["incarnation"] != before);
    let successor = world.process("shop-1");
    assert_ne!(successor["incarnation"], before, "the same name, another incarnation");
    let pid = i32::try_from(successor["pid"].as_u64().expect("a pid")).expect("a pid");
    // Launched by the agent, not by this test: ended by its id all the same.
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
    rustix::process::kill_process(pid, Signal::TERM).expect("it runs");
}

// spec: SYN-1, SYN-4, SRV-8, OUT-2
#[test]
fn during_an_outage_values_stay_readable_and_say_that_they_are_old() {
    let world = world();
    let _agent = world.agent();
    let mut service = world.service(&["--process", "alone"]);
    let mut watch = world.watch("shop.accepted@alone");
    service.kill();
    watch.wait_line("the outage", |line| event(line) == "outage");
    let rows = world.serve(&["--output", "jsonl", "get", "shop.accepted@alone"]).must(0).rows();
    assert_eq!(rows[0]["quality"], "outage", "{rows:#?}");
    assert!(rows[0]["value"].as_u64() > Some(0) && !rows[0]["since"].is_null(), "{rows:#?}");
    let refused = world.serve(&["set", "shop.batch@alone", "5"]).must(5);
    assert!(refused.err.contains("no live exporter"), "{refused:?}");
}

// spec: EXP-6
#[test]
fn the_last_values_of_a_dead_incarnation_can_be_browsed() {
    let world = world();
    let _agent = world.agent();
    let mut first = world.service(&["--process", "alone"]);
    let incarnation = world.process("alone")["incarnation"].as_str().expect("a text").to_owned();
    let mut watch = world.watch("shop.accepted@alone");
    watch.wait_line("some values", |line| json(line)["value"].as_u64() > Some(20));
    first.kill();
    watch.wait_line("the outage", |line| event(line) == "outage");
    let _second = world.service(&["--process", "alone"]);
    let dead = format!("shop.accepted@alone#{incarnation}");
    let rows = world.serve(&["--output", "jsonl", "get", &dead]).must(0).rows();
    assert!(rows[0]["value"].as_u64() > Some(20), "{rows:#?}");
    assert_eq!((rows[0]["quality"].as_str(), rows[0]["incarnation"].as_str()), (Some("stale"), Some(incarnation.as_str())));
    let listed = world.serve(&["--output", "jsonl", "ls", &format!("shop.**@alone#{incarnation}")]).must(0).rows();
    assert!(listed.len() > 10, "{listed:#?}");
}

// spec: OUT-3, GRP-7
#[test]
fn as_many_members_run_as_the_launch_specification_says_and_what_cannot_be_launched_is_told() {
    let world = world();
    let service = format!(
        "[service.shop]\ncommand = [{:?}, \"service\", \"--standby\"]\nmembers = 2\n[service.nothing]\ncommand = [\"/no/such/program\"]\n",
        env!("CARGO_BIN_EXE_tif-fixture")
    );
    let config = world.file("tif.toml", &service);
    let agent = world.agent_with(["--no-host".as_ref(), "--config".as_ref(), config.as_os_str()]);
    let members = || -> Vec<Value> { world.processes().into_iter().filter(|p| p["service"] == "shop" && p["state"] == "alive").collect() };
    let until = |what: &str, fits: &dyn Fn(&[Value]) -> bool| {
        let end = std::time::Instant::now() + tif_tests::process::PATIENCE;
        loop {
            let now = members();
            if fits(&now) {
                return now;
            }
            assert!(std::time::Instant::now() < end, "{what}: {now:#?}\n{}", agent.errors());
        }
    };
    let signal = |member: &Value, signal| {
        let pid = i32::try_from(member["pid"].as_u64().expect("a pid")).expect("a pid");
        rustix::process::kill_process(rustix::process::Pid::from_raw(pid).expect("a pid"), signal).expect("it runs");
    };
    let both = until("two are started", &|m| m.len() == 2);
    signal(&both[0], Signal::KILL);
    let both = until("the lost one is replaced", &|m| m.len() == 2 && m.iter().all(|p| p["key"] != both[0]["key"]));
    for member in &both {
        signal(member, Signal::KILL);
    }
    let both = until("both are replaced", &|m| m.len() == 2 && m.iter().all(|p| both.iter().all(|b| b["key"] != p["key"])));
    // What cannot be launched is said at the start, and at each attempt with the time of the next.
    let log = agent.errors();
    assert!(log.contains("service.nothing: there is no program") && log.contains("launch failed") && log.contains("next="), "{log}");
    // They outlive their agent: ended by their ids.
    drop(agent);
    for member in &both {
        signal(member, Signal::TERM);
    }
}
