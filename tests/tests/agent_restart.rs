//! The agent is killed at any instant and comes back. Nobody else notices more than a pause.

use tif_tests::world::{World, event, json};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

// spec: MON-7, EXP-3, EXP-6, PSM-1, PSM-9, PSM-10, MON-5, SYN-2, SYN-3
#[test]
fn an_agent_killed_under_load_comes_back_without_a_lost_value_a_false_death_or_a_new_incarnation() {
    let world = world();
    let mut agent = world.agent();
    let mut busy =
        world.service(&["--process", "busy", "--busy", "--seconds", "6", "--tally", world.file("tally", "").to_str().expect("text")]);
    let _calm = world.service(&["--standby"]);
    let mut watch = world.watch("shop.accepted@busy");
    world.serve(&["set", "shop.batch@busy", "77"]).must(0);
    let before = (world.process("busy")["key"].clone(), world.process("shop-1")["key"].clone());
    for _ in 0..3 {
        agent.kill();
        agent = world.agent();
        watch.wait_line("the link is up again", |line| event(line) == "link" && json(line)["link"] == "up");
        watch.wait_line("values go on", |line| event(line) == "report" && json(line)["quality"] == "good");
        assert_eq!((world.process("busy")["key"].clone(), world.process("shop-1")["key"].clone()), before);
    }
    assert!(world.processes().iter().all(|p| p["state"] != "dead" || p["service"].is_null()), "{:#?}", world.processes());
    assert_eq!(world.value("shop.batch@busy"), 77, "memorized, and still in effect");
    assert!(watch.lines_so_far().iter().all(|l| event(l) != "outage"), "{:#?}", watch.lines_so_far());

    busy.wait_end("its time is over");
    let tally = std::fs::read_to_string(world.file_path("tally")).expect("the service's tally");
    // What it counted is what can be read, to the last one, though the agent was killed three times.
    // It took its leave: that is no outage.
    watch.wait_line("the last value", |line| event(line) == "report" && json(line)["quality"] == "stale");
    assert!(watch.lines_so_far().iter().all(|l| event(l) != "outage"), "{:#?}", watch.lines_so_far());
    let rows = world.serve(&["--output", "jsonl", "get", "shop.accepted@busy"]).must(0).rows();
    assert_eq!(rows[0]["value"].to_string(), tally, "{rows:#?}");
    assert_eq!(rows[0]["quality"], "stale");
    let outages = world.serve(&["--output", "jsonl", "outages"]).must(0).rows();
    assert!(outages.iter().all(|o| o["process"] != "busy"), "{outages:#?}");
    assert_eq!((&world.process("busy")["state"], &world.process("busy")["cause"]), (&"unregistered".into(), &"left".into()));
}

// spec: EXP-3
#[test]
fn a_service_started_before_its_agent_is_seen_as_soon_as_there_is_one() {
    let world = world();
    let _service = world.service(&["--process", "early"]);
    let _agent = world.agent();
    let found = world.serve(&["--output", "json", "--timeout", "20s", "wait", "shop.accepted@early > 0"]);
    found.must(0);
    assert_eq!(world.process("early")["state"], "alive");
}

// spec: MON-7, PSM-5, PSM-10
#[test]
fn a_process_that_dies_while_no_agent_is_there_is_found_dead_afterwards() {
    let world = world();
    let mut agent = world.agent();
    let mut service = world.service(&["--process", "alone"]);
    let before = world.process("alone")["key"].clone();
    agent.kill();
    let killed = service.kill();
    let _agent = world.agent();
    let after = world.process("alone");
    assert_eq!((after["state"].as_str(), &after["key"]), (Some("dead"), &before));
    // Nobody saw it: it is dated by when it was last known to live, and found when it was found.
    let rows = world.serve(&["--output", "jsonl", "outages"]).must(0).rows();
    let outage = rows.iter().find(|o| o["process"] == "alone").expect("its outage");
    assert!(outage["found"].as_str() > outage["since"].as_str() && outage["cause"] == "gone, cause not seen", "{outage:#?}");
    let least = u64::try_from(killed.elapsed().as_millis()).expect("a while");
    assert!(outage["lasted_ms"].as_u64() >= Some(least.saturating_sub(50)), "{least} ms at least: {outage:#?}");
    let _again = world.service(&["--process", "alone"]);
    let again = world.process("alone");
    assert_eq!(again["state"], "alive");
    assert_ne!(again["incarnation"], after["incarnation"]);
}

// spec: CTL-7
#[test]
fn a_memorized_control_is_in_place_before_a_restarted_service_begins() {
    let world = world();
    let mut agent = world.agent();
    let mut service = world.service(&["--process", "alone"]);
    world.serve(&["set", "shop.batch@alone", "200"]).must(0);
    service.kill();
    agent.kill();
    let _agent = world.agent();
    let mut again = world.service(&["--process", "alone"]);
    let started = again.lines_so_far().into_iter().find(|l| l.starts_with("started")).expect("it has started");
    assert!(started.contains("batch=200"), "{started}");
}

// spec: MON-1
#[test]
fn a_second_agent_on_the_same_run_directory_refuses_to_start() {
    let world = world();
    let agent = world.agent();
    let output = world
        .command("agent")
        .args(["--cpu", "cpu2", "--no-host", "--run-dir"])
        .arg(world.run_dir())
        .arg("--state-dir")
        .arg(world.state_dir())
        .output()
        .expect("it can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&agent.pid().to_string()), "it names the holder: {said}");
}

// spec: OUT-2, OUT-4, MON-7
#[test]
fn the_end_of_an_outage_is_told_though_the_agent_was_killed_while_it_lasted() {
    let world = world();
    let mut agent = world.agent();
    let mut service = world.service(&["--process", "alone"]);
    let mut watch = world.watch("shop.accepted@alone");
    service.kill();
    let (_, begun) = watch.wait_line("the outage", |line| event(line) == "outage");
    agent.kill();
    let _agent = world.agent();
    watch.wait_line("the link is up again", |line| event(line) == "link" && json(line)["link"] == "up");
    let _again = world.service(&["--process", "alone"]);
    let (_, over) = watch.wait_line("the end of the outage", |line| event(line) == "outage" && json(line)["over"] == true);
    assert_eq!((&json(&over)["id"], &json(&over)["new_process"]), (&json(&begun)["id"], &serde_json::json!("alone")));
    watch.wait_line("live values", |line| event(line) == "report" && json(line)["quality"] == "good");
    // Each once, though two agents told it.
    let lines: Vec<serde_json::Value> = watch.lines_so_far().iter().map(|l| json(l)).collect();
    let count = |fits: &dyn Fn(&serde_json::Value) -> bool| lines.iter().filter(|l| fits(l)).count();
    assert_eq!(count(&|l| l["event"] == "outage" && l["over"] == false), 1, "{lines:#?}");
    assert_eq!(count(&|l| l["event"] == "outage" && l["over"] == true), 1, "{lines:#?}");
    assert_eq!(count(&|l| l["event"] == "notice" && l["what"] == "died"), 1, "{lines:#?}");
    assert_eq!(count(&|l| l["event"] == "standing" && l["standing"] == "stale"), 1, "{lines:#?}");
    let rows = world.serve(&["--output", "jsonl", "outages"]).must(0).rows();
    let row = rows.iter().find(|r| r["id"] == json(&begun)["id"] && r["over"] == true).expect("the outage");
    assert!(row["remapped"].is_null() && row["added"].is_null(), "this agent never saw what the dead one had: {row:#?}");
}

// spec: MON-7, OUT-4, OUT-6
#[test]
fn what_was_known_of_the_dead_and_the_living_is_known_after_a_restart() {
    let world = world();
    let mut agent = world.agent();
    let mut service = world.service(&["--process", "alone"]);
    let _calm = world.service(&["--process", "calm"]);
    let mut watch = world.watch("shop.accepted@alone");
    service.kill();
    watch.wait_line("the outage", |line| event(line) == "outage");
    let outage = |rows: Vec<serde_json::Value>| rows.into_iter().find(|o| o["process"] == "alone").expect("its outage");
    let (before, row) = (world.process("alone"), outage(world.serve(&["--output", "jsonl", "outages"]).must(0).rows()));
    assert_eq!(row["told"], 1);
    let calm = world.process("calm")["since_ms"].as_u64().expect("a number");
    agent.kill();
    let _agent = world.agent();
    watch.wait_line("the link is up again", |line| event(line) == "link" && json(line)["link"] == "up");
    world.serve(&["--timeout", "20s", "wait", "shop.accepted@calm > 0"]).must(0);
    let after = world.process("alone");
    assert!(after["cause"].as_str().is_some_and(|c| c.contains("SIGKILL")), "{after:#?}");
    assert_eq!((&after["cause"], &after["role"], &after["service"]), (&before["cause"], &before["role"], &before["service"]));
    assert!(after["since_ms"].as_u64() >= before["since_ms"].as_u64(), "{before:#?} {after:#?}");
    assert!(world.process("calm")["since_ms"].as_u64() >= Some(calm), "it went on");
    assert_eq!(outage(world.serve(&["--output", "jsonl", "outages"]).must(0).rows())["told"], 1);
}
