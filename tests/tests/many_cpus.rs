//! Several CPUs in one system: real agents, real processes, the real fabric, real kills.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tif_tests::process::{PATIENCE, Process};
use tif_tests::system::System;
use tif_tests::world::{World, event};

fn system(cpus: u16) -> System {
    System::new(env!("CARGO_BIN_EXE_tif-fixture"), cpus)
}

/// Waits for a report from this CPU that is good and moves on.
fn wait_live(watch: &mut Process, cpu: &str) {
    watch.wait_line(&format!("live values from {cpu}"), |line| {
        event(line) == "report" && {
            let report = tif_tests::world::json(line);
            report["cpu"] == cpu && report["quality"] == "good" && report["seq"].as_u64() > Some(1)
        }
    });
}

/// The outage events of a watch.
fn outages(watch: &mut Process) -> Vec<Value> {
    watch.lines_so_far().iter().filter(|l| event(l) == "outage").map(|l| tif_tests::world::json(l)).collect()
}

/// The same when the last is over: that comes behind the first values of the successor.
fn outages_over(watch: &mut Process) -> Vec<Value> {
    if outages(watch).last().is_none_or(|last| last["over"] == false) {
        watch.wait_line("the outage is over", |line| event(line) == "outage" && tif_tests::world::json(line)["over"] == true);
    }
    outages(watch)
}

/// Of a service that runs on several CPUs: it leads there when this returns.
fn wait_led(world: &World, cpu: &str) {
    let mut watch = world.watch("shop.accepted");
    wait_live(&mut watch, cpu);
}

/// Asks until both CPUs have every accepted change: then one can take over from the other.
fn wait_in_sync(world: &World) {
    let until = Instant::now() + PATIENCE;
    loop {
        let groups = rows(world, &["groups"]);
        if groups.iter().any(|group| group["service"] == "shop" && group["in_sync"] == json!(["cpu1", "cpu2"])) {
            return;
        }
        assert!(Instant::now() < until, "the standby is never in sync: {groups:#?}");
    }
}

/// The shop's primary on the first CPU, and a standby on the second that has every accepted change.
fn pair(system: &System) -> (Process, Process) {
    let primary = system.cpu(1).service(&["--standby"]);
    wait_led(system.cpu(3), "cpu1");
    let standby = system.cpu(2).service(&["--standby"]);
    wait_in_sync(system.cpu(1));
    (primary, standby)
}

fn rows(world: &World, arguments: &[&str]) -> Vec<Value> {
    let all: Vec<&str> = ["--output", "jsonl"].iter().chain(arguments).copied().collect();
    world.serve(&all).must(0).rows()
}

fn texts<'a>(rows: &'a [Value], field: &str) -> Vec<&'a str> {
    let mut all: Vec<&str> = rows.iter().map(|row| row[field].as_str().unwrap()).collect();
    all.sort_unstable();
    all
}

// spec: FAB-1, MON-2, INS-5, INS-9
#[test]
fn what_each_cpu_exports_all_others_list_read_watch_and_change() {
    let system = system(3);
    let _agents = [1, 2, 3].map(|cpu| system.agent(cpu));
    let _services = [1, 2].map(|cpu| system.cpu(cpu).service(&[]));
    let mut watch = system.cpu(3).watch("shop.accepted@cpu2.shop-1");
    wait_live(&mut watch, "cpu2");
    for world in &system.cpus {
        let listed = rows(world, &["ls", "shop.batch"]);
        assert_eq!(texts(&listed, "cpu"), ["cpu1", "cpu2"], "{listed:#?}");
        assert_eq!(texts(&rows(world, &["get", "tif.connections.accepted"]), "cpu"), ["cpu1", "cpu2", "cpu3"]);
        assert_eq!(texts(&rows(world, &["get", "shop.batch@cpu2"]), "cpu"), ["cpu2"]);
    }
    let own = rows(system.cpu(1), &["ls", "shop.batch"]);
    assert_eq!(texts(&own, "name"), ["shop.batch@cpu2.shop-1", "shop.batch@shop-1"]);
    // Which of the two?
    let said = system.cpu(3).serve(&["set", "shop.batch", "7"]);
    assert!(said.status != 0 && said.err.contains("cpu1.shop-1") && said.err.contains("cpu2.shop-1"), "{said:?}");
    // As it is listed there it is taken, though another CPU has a process of that name.
    system.cpu(1).serve(&["set", "shop.batch@shop-1", "64"]).must(0);
    system.cpu(3).serve(&["set", "shop.batch@cpu2.shop-1", "7"]).must(0);
    let values: BTreeMap<_, _> =
        rows(system.cpu(1), &["get", "shop.batch"]).iter().map(|row| (row["cpu"].to_string(), row["value"].clone())).collect();
    assert_eq!(values, [("\"cpu1\"".into(), 64.into()), ("\"cpu2\"".into(), 7.into())].into());
}

// spec: FAB-1, GRP-3, GRP-5, GRP-9, CTL-4, CTL-7, OUT-1, OUT-2, OUT-4, OUT-6
#[test]
fn when_a_primary_is_killed_a_standby_on_another_cpu_takes_over_and_nothing_accepted_is_lost() {
    let system = system(3);
    let _agents = [1, 2, 3].map(|cpu| system.agent(cpu));
    let (mut primary, mut standby) = pair(&system);
    let mut watch = system.cpu(3).watch("shop.accepted");
    wait_live(&mut watch, "cpu1");
    let done = system.cpu(3).serve(&["--output", "json", "set", "shop.batch", "77", "--request-id", "before"]).must(0).json();
    assert_eq!(done["replicated"], true, "{done}");
    let call = ["fire", "shop.add", "a=1", "b=2", "--request-id", "sum"];
    assert_eq!(system.cpu(2).serve(&call).must(0).out.trim(), "3");

    let killed = primary.kill();
    let (told, _) = watch.wait_line("the outage", |line| event(line) == "outage");
    standby.wait_line("its promotion", |line| line == "promoted 2");
    wait_live(&mut watch, "cpu2");
    println!("kill to outage report on another CPU: {:?}", told.duration_since(killed));
    let heard = outages_over(&mut watch);
    assert_eq!(heard.iter().map(|o| o["over"] == true).collect::<Vec<_>>(), [false, true], "{heard:#?}");
    println!("gap: {} ms", heard[1]["gap_ms"]);
    for world in &system.cpus {
        let read = rows(world, &["get", "shop.batch"]);
        assert_eq!((read.len(), &read[0]["cpu"], &read[0]["value"]), (1, &"cpu2".into(), &77.into()), "{read:#?}");
        let all = rows(world, &["outages"]);
        assert_eq!((all.len(), &all[0]["over"], &all[0]["told"]), (1, &true.into(), &1.into()), "{all:#?}");
    }
    // What was asked for before is asked of the backup, by its id alone, and on any CPU.
    for world in &system.cpus {
        let told = world.serve(&["--output", "json", "result", "before"]).must(0).json();
        assert_eq!((&told["new"], &told["repeated"]), (&77.into(), &true.into()), "{told}");
        assert_eq!(world.serve(&["result", "sum"]).must(0).out.trim(), "3");
        assert_eq!(world.serve(&call).must(0).out.trim(), "3");
        let unknown = world.serve(&["result", "nobodys"]).must(3);
        assert!(unknown.err.contains("no change and no call"), "{unknown:?}");
    }
    assert_eq!(system.cpu(2).value("shop.add"), 0, "the successor was never called");
    let done = system.cpu(1).serve(&["--output", "json", "set", "shop.batch", "78"]).must(0).json();
    assert_eq!((&done["old"], &done["new"]), (&77.into(), &78.into()), "{done}");
}

// spec: OUT-1, OUT-4, OUT-5, GRP-5, GRP-6, CTL-1, CTL-7
#[test]
fn a_primary_hands_over_to_another_cpu_and_back_and_who_watches_sees_no_stale_value() {
    let system = system(3);
    let _agents = [1, 2, 3].map(|cpu| system.agent(cpu));
    let (mut first, mut second) = pair(&system);
    system.cpu(3).serve(&["set", "shop.batch", "65"]).must(0);
    let mut watches = [1, 2, 3].map(|cpu| system.cpu(cpu).watch("shop.**"));
    for watch in &mut watches {
        watch.wait_line("a live value", |line| event(line) == "report" && tif_tests::world::json(line)["name"] == "shop.accepted");
    }
    // Asked for where neither is; and the way back from where the primary is.
    for (asked, to, cpu, epoch) in [(3, "cpu2.shop-1", "cpu2", 2), (2, "cpu1.shop-1", "cpu1", 3)] {
        let change = format!("{}", 70 + epoch);
        let request = format!("while-{epoch}");
        let mut changing =
            Process::start("set", system.cpu(1).command("serve").args(["set", "shop.batch", &change, "--request-id", &request]));
        let drained = system.cpu(asked).serve(&["--output", "json", "drain", "shop", "--to", to]).must(0).json();
        assert_eq!((&drained["new_process"], &drained["epoch"], &drained["deposed"]), (&json!(to), &json!(epoch), &json!(false)));
        assert_eq!(drained["carried"], 1, "{drained}");
        println!("handed over to {cpu}: gap {} ms", drained["gap_ms"]);
        assert!(changing.wait_end("it is done").success(), "{}", changing.errors());
        for watch in &mut watches {
            watch.wait_line("the report", |line| event(line) == "outage");
            wait_live(watch, cpu);
        }
        for world in &system.cpus {
            let read = rows(world, &["get", "shop.batch"]);
            assert_eq!((read.len(), &read[0]["cpu"], read[0]["value"].to_string()), (1, &json!(cpu), change.clone()), "{read:#?}");
        }
        wait_in_sync(system.cpu(1));
    }
    second.wait_line("its promotion", |line| line == "promoted 2");
    first.wait_line("its promotion", |line| line == "promoted 3");
    for watch in &mut watches {
        let told: Vec<_> = outages(watch).iter().map(|o| (o["over"].clone(), o["cause"].clone())).collect();
        assert_eq!(told, vec![(json!(true), json!("handover")); 2], "each is told once, when it is over");
        for line in watch.lines_so_far().iter().filter(|line| event(line) != "outage") {
            assert!(!line.contains("stale"), "{line}");
        }
    }
    let all = rows(system.cpu(3), &["outages"]);
    assert_eq!(all.iter().map(|o| (&o["over"], &o["told"])).collect::<Vec<_>>(), [(&json!(true), &json!(3)); 2], "{all:#?}");
    for (asked, args, why) in [
        (3, &["drain", "shop", "--to", "cpu3.shop-1"][..], "no process of shop"),
        (2, &["drain", "shop-1"], "it is not the primary of shop; that is cpu1.shop-1"),
        (1, &["drain", "shoe"], "no service with a group"),
    ] {
        let refused = system.cpu(asked).serve(args).must(5);
        assert!(refused.err.contains(why), "{refused:?}");
    }
}

// spec: CTL-6, MON-2
#[test]
fn a_change_on_one_cpu_is_guarded_by_an_indicator_of_another_and_asked_for_on_a_third() {
    let system = system(3);
    let _agents = [1, 2, 3].map(|cpu| system.agent(cpu));
    let mut first = system.cpu(1).service(&[]);
    let _second = system.cpu(2).service(&[]);
    // Both are known there when this returns.
    let _watches = ["shop.batch@cpu1.shop-1", "shop.batch@cpu2.shop-1"].map(|name| system.cpu(3).watch(name));
    let batch = "shop.batch@cpu1.shop-1";
    let set =
        |guard: &str, id: &str| system.cpu(3).serve(&["set", batch, "100", "--confirm-within", "1h", "--guard", guard, "--request-id", id]);
    for (guard, why) in [
        ("shop.batch@cpu2.shop-1=..63", "it is 64 already"),
        ("shop.motto@cpu2.shop-1=0..", "a number"),
        ("shop.nothing@cpu2.shop-1=0..", "no instrument is called"),
    ] {
        let said = set(guard, "refused");
        assert!(said.status != 0 && said.err.contains(why), "{guard}: {said:?}");
    }
    set("shop.batch@cpu2.shop-1=..70", "kept").must(0);
    first.wait_line("the change", |line| line == "batch 100");
    // A value within the range first, then one that is not.
    system.cpu(1).serve(&["set", "shop.batch@cpu2.shop-1", "70"]).must(0);
    system.cpu(2).serve(&["set", "shop.batch@shop-1", "71"]).must(0);
    first.wait_line("the way back", |line| line == "batch 64");
    let late = system.cpu(3).serve(&["confirm", batch, "--request-id", "kept"]).must(7);
    assert!(late.err.contains("guard"), "{late:?}");
}

// spec: FAB-3, GRP-6, OUT-1, OUT-2, OUT-4, PSM-10, TST-4
#[test]
fn a_whole_cpu_is_lost_and_comes_back() {
    let system = system(3);
    let mut first = system.agent(1);
    let _others = [2, 3].map(|cpu| system.agent(cpu));
    let (mut primary, _standby) = pair(&system);
    let mut watch = system.cpu(3).watch("shop.accepted");
    wait_live(&mut watch, "cpu1");
    let call = ["fire", "shop.add", "a=1", "b=2", "--request-id", "sum"];
    assert_eq!(system.cpu(3).serve(&call).must(0).out.trim(), "3");
    let killed = first.kill();
    primary.kill();
    wait_live(&mut watch, "cpu2");
    let heard = outages_over(&mut watch);
    // The other CPU may have seen it first, and its member may lead before it is down here.
    let until = Instant::now() + PATIENCE;
    loop {
        let cpus = rows(system.cpu(3), &["cpus"]);
        let states: Vec<_> = cpus.iter().map(|row| (row["cpu"].as_str().unwrap(), row["state"].as_str().unwrap())).collect();
        if states == [("cpu1", "down"), ("cpu2", "up"), ("cpu3", "own")] {
            break;
        }
        assert!(Instant::now() < until, "{cpus:#?}");
    }
    let [begun, over] = heard.as_slice() else { panic!("{heard:#?}") };
    assert_eq!((&begun["cause"], &over["over"]), (&"CPU down".into(), &true.into()), "{heard:#?}");
    // The backup has the journal, and calls nothing again.
    for request in [&call[..], &["result", "sum"]] {
        let told = system.cpu(3).serve(request).must(0);
        assert!(told.out.trim() == "3" && told.err.contains("repeated"), "{told:?}");
    }
    assert_eq!(system.cpu(2).value("shop.add"), 0);
    println!("the loss of a CPU: live again after {:?}, gap {} ms", killed.elapsed(), over["gap_ms"]);
    // Its agent finds its processes dead, and somebody else in their place.
    let _again = system.agent(1);
    let _newcomer = system.cpu(1).service(&["--standby"]);
    let mut watch = system.cpu(1).watch("shop.accepted");
    wait_live(&mut watch, "cpu2");
    for world in &system.cpus {
        let groups = rows(world, &["groups"]);
        let [group] = groups.as_slice() else { panic!("{groups:#?}") };
        let mut roles: Vec<_> =
            group["members"].as_array().unwrap().iter().map(|m| (m["cpu"].as_str().unwrap(), m["role"].as_str().unwrap())).collect();
        roles.sort_unstable();
        assert_eq!((&group["epoch"], roles), (&json!(2), vec![("cpu1", "standby"), ("cpu2", "primary")]), "{groups:#?}");
    }
}

// spec: FAB-3, PSM-7, PSM-10, GRP-8
#[test]
fn an_agent_that_stood_still_for_long_begins_anew_and_its_services_are_there_once() {
    let system = system(3);
    let first = system.agent(1);
    let _others = [2, 3].map(|cpu| system.agent(cpu));
    let (_primary, _standby) = pair(&system);
    let mut watch = system.cpu(3).watch("shop.accepted");
    wait_live(&mut watch, "cpu1");
    let before = texts(&rows(system.cpu(2), &["ps"]), "key").into_iter().map(str::to_owned).collect::<Vec<_>>();
    first.signal(Signal::STOP);
    wait_live(&mut watch, "cpu2");
    first.signal(Signal::CONT);
    // Its former primary is one of two members in the end, under its name and another key, and changes nothing before.
    let until = Instant::now() + PATIENCE;
    loop {
        let all = rows(system.cpu(2), &["ps"]);
        let shops: Vec<_> = all.iter().filter(|p| p["service"] == "shop").collect();
        let told = |p: &&Value| (p["cpu"].clone(), p["name"].clone(), p["role"].clone(), p["state"].clone());
        let expected =
            [("cpu1", "standby"), ("cpu2", "primary")].map(|(cpu, role)| (json!(cpu), json!("shop-1"), json!(role), json!("alive")));
        if shops.iter().map(told).collect::<Vec<_>>() == expected && !before.iter().any(|key| shops[0]["key"] == key.as_str()) {
            break;
        }
        assert!(Instant::now() < until, "{shops:#?}");
    }
    assert_eq!(outages_over(&mut watch).len(), 2, "one began and ended");
}

// spec: MON-7, SYN-6
#[test]
fn an_agent_that_is_killed_and_comes_back_at_once_is_no_outage_elsewhere() {
    let system = system(2);
    let mut first = system.agent(1);
    let _second = system.agent(2);
    let _service = system.cpu(1).service(&[]);
    let mut watch = system.cpu(2).watch("shop.accepted");
    wait_live(&mut watch, "cpu1");
    first.kill();
    let _first = system.agent(1);
    // What was on its way before does not count: it is there again, and has gone on since.
    wait_led(system.cpu(1), "cpu1");
    let now = system.cpu(1).value("shop.accepted").as_u64();
    watch.wait_line("what the service has done since", |line| {
        event(line) == "report" && tif_tests::world::json(line)["value"].as_u64() > now
    });
    assert_eq!(outages(&mut watch), Vec::<Value>::new());
}

/// The living members of the shop, as a CPU's agent knows them: on which CPU each is, and its process id.
fn shops(world: &World) -> Vec<(String, i64)> {
    let all = rows(world, &["ps"]);
    let living = all.iter().filter(|p| p["service"] == "shop" && p["state"] == "alive");
    living.map(|p| (p["cpu"].as_str().unwrap().to_owned(), p["pid"].as_i64().unwrap())).collect()
}

/// Asks until there are so many, no two on one CPU.
fn wait_spread(world: &World, cpus: usize) -> Vec<(String, i64)> {
    let until = Instant::now() + PATIENCE;
    loop {
        let shops = shops(world);
        if shops.len() == cpus && shops.iter().map(|(cpu, _)| cpu).collect::<BTreeSet<_>>().len() == cpus {
            return shops;
        }
        assert!(Instant::now() < until, "{shops:?}");
    }
}

/// Ended by its id: its agent launched it, and not this test.
fn end(pid: i64) {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    // It may have ended by itself.
    let _ = kill_process(pid, Signal::KILL);
}

// spec: GRP-3, GRP-7, OUT-3
#[test]
fn as_many_members_as_the_system_is_to_have_are_started_on_different_cpus_and_a_lost_cpus_member_on_another() {
    let launch = format!(
        "[service.shop]\ncommand = [{:?}, \"service\", \"--standby\", \"--seconds\", \"60\"]\nmembers_in_system = 2\n",
        env!("CARGO_BIN_EXE_tif-fixture")
    );
    let system = System::with(env!("CARGO_BIN_EXE_tif-fixture"), 3, &launch);
    let mut agents = [1, 2, 3].map(|cpu| Some(system.agent(cpu)));
    let before = wait_spread(system.cpu(3), 2);
    let workloads = rows(system.cpu(1), &["cpus"]);
    assert!(workloads.iter().all(|row| row["workload"].as_u64().is_some_and(|percent| percent <= 100)), "{workloads:#?}");
    // A whole CPU goes, one that has a member and is not looked from.
    let (lost, pid) = before[0].clone();
    let lost = usize::from(lost.as_bytes()[3] - b'0');
    let looking = system.cpu(if lost == 3 { 1 } else { 3 });
    agents[lost - 1].take().expect("it runs").kill();
    end(pid);
    let until = Instant::now() + PATIENCE;
    let after = loop {
        let shops = shops(looking);
        if shops.len() == 2 && shops.iter().all(|(cpu, _)| *cpu != format!("cpu{lost}")) {
            break shops;
        }
        assert!(Instant::now() < until, "{shops:?}");
    };
    assert!(after[0].0 != after[1].0, "one on each of the other two: {after:?}");
    for (_, pid) in before.iter().chain(&after) {
        end(*pid);
    }
    drop(agents);
}

// spec: PSM-1, GRP-9, SEC-2
#[test]
fn a_store_is_founded_once_and_stays_in_its_place() {
    let system = system(3);
    let world = system.cpu(2);
    let state = world.state_dir();
    let agent = |config: &str, more: &[&str]| {
        let config = world.file("other.toml", config);
        let mut command = world.command("agent");
        command
            .args(["--cpu", "cpu2", "--run-dir"])
            .arg(world.run_dir())
            .arg("--state-dir")
            .arg(&state)
            .arg("--config")
            .arg(config)
            .args(more);
        let mut agent = Process::start("agent", &mut command);
        (agent.wait_end("it refuses").code(), agent.errors())
    };
    let listen = "listen = [\"tcp/127.0.0.1:7447\"]";
    let (status, said) = agent(&format!("node = 2\n[fabric]\n{listen}\nvoters = [1, 2, 3]\n"), &["--found"]);
    assert!(status == Some(2) && said.contains("there is a store"), "{said}");
    let (status, said) = agent(&format!("node = 4\n[fabric]\n{listen}\nvoters = [1, 2, 3]\n"), &["--found"]);
    assert!(status == Some(2) && said.contains("CPU 4 does not vote"), "{said}");
    drop(system.agent(2));
    for (config, named) in [
        (format!("node = 3\n[fabric]\n{listen}\nvoters = [1, 2, 3]\n"), "`node = 2`"),
        (format!("node = 2\n[fabric]\n{listen}\nvoters = [2]\n"), "`voters = [1, 2, 3]`"),
    ] {
        let (status, said) = agent(&config, &[]);
        assert!(status == Some(2) && said.contains(named), "{said}");
    }
}
