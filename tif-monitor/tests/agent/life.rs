//! Exporters' lives as importers hear of them, through deaths of exporters and of the agent.

use std::time::{Duration, Instant};

use rustix::process::Signal;
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Cause, Coarsen, Key, Notice, Outage, ProcessState, Value};
use tif_core::wire::{ToAgent, ToProcess};

use crate::child::{self, Exporter, Importer};
use crate::world::World;

fn watch(importer: &Importer) {
    let pattern = "*.depth".parse().unwrap();
    importer.send(ToAgent::Subscribe { subscription: 1, pattern, coarsen: Coarsen::default() });
}

fn value(message: ToProcess) -> Option<u64> {
    match message {
        ToProcess::Reports { reports, .. } => reports.iter().rev().find_map(|r| match r.value {
            Some(Value::U64(v)) => Some(v),
            _ => None,
        }),
        _ => None,
    }
}

fn hear_value(importer: &Importer, expect: u64) {
    importer.hear(&format!("the value {expect}"), |m| value(m).filter(|v| *v == expect));
}

fn hear_outage(importer: &Importer) -> Outage {
    importer.hear("an outage", |m| match m {
        ToProcess::Outage(outage) if outage.end.is_none() => Some(outage),
        _ => None,
    })
}

fn look_up(importer: &Importer, name: &str) -> Notice {
    importer.send(ToAgent::Lookup { req: 1, name: name.parse().unwrap() });
    importer.hear("what is known of a process", |m| match m {
        ToProcess::LookedUp { notice, .. } => Some(notice),
        _ => None,
    })
}

fn state(importer: &Importer, key: Key) -> ProcessState {
    importer.send(ToAgent::Processes { req: 2 });
    importer.hear("the processes", |m| match m {
        ToProcess::Processes { rows, .. } => rows.iter().find(|r| r.key == key).map(|r| r.state),
        _ => None,
    })
}

// spec: MON-1, PSM-5, OUT-1, OUT-2, OUT-6
#[test]
fn a_killed_exporters_importers_hear_of_one_outage_with_its_cause() {
    let world = World::new();
    let (mut exporter, key) = Exporter::start(&world, "orders-x");
    let importer = Importer::new(&world, "watcher");
    watch(&importer);
    hear_value(&importer, 1);
    exporter.tell("set 7");
    hear_value(&importer, 7);
    let killed = Instant::now();
    exporter.signal(Signal::KILL);
    let outage = hear_outage(&importer);
    println!("kill to outage: {:?}", killed.elapsed());
    assert_eq!((outage.key, &outage.cause), (key, &Cause::Signal { signal: 9, core: false }));
    exporter.kill();
    let died = look_up(&importer, "orders-x");
    assert_eq!(died.event, NoticeEvent::Died { cause: Cause::Signal { signal: 9, core: false } });
}

// spec: PSM-2, OUT-6
#[test]
fn an_exit_status_is_told_and_a_leave_is_no_death() {
    let world = World::new();
    let importer = Importer::new(&world, "watcher");
    let (mut one, _) = Exporter::start(&world, "one-x");
    let (mut two, _) = Exporter::start(&world, "two-x");
    assert_eq!(look_up(&importer, "one-x").event, NoticeEvent::Born);
    assert_eq!(look_up(&importer, "two-x").event, NoticeEvent::Born);
    one.tell("exit 7");
    let notice = |m| match m {
        ToProcess::Notice(notice) => Some(notice),
        _ => None,
    };
    assert_eq!(importer.hear("a death", notice).event, NoticeEvent::Died { cause: Cause::Exit { status: 7 } });
    two.tell("leave");
    assert_eq!(importer.hear("a leave", notice).event, NoticeEvent::Unregistered);
}

// spec: MON-7, EXP-3, PSM-10
#[test]
fn a_killed_agent_finds_living_exporters_with_their_keys_and_dead_ones_dead() {
    let mut world = World::new();
    let (mut lives, key) = Exporter::start(&world, "lives-x");
    let (mut dies, _) = Exporter::start(&world, "dies-x");
    world.kill();
    dies.kill();
    lives.tell("set 9");
    world.start();
    assert_eq!(lives.key(), key, "the incarnation goes on");
    let importer = Importer::new(&world, "watcher");
    watch(&importer);
    hear_value(&importer, 9);
    assert!(matches!(look_up(&importer, "dies-x").event, NoticeEvent::Died { .. }));
    assert_eq!(look_up(&importer, "lives-x").key, Some(key));
    lives.tell("set 10");
    hear_value(&importer, 10);
    lives.kill();
    assert_eq!(hear_outage(&importer).key, key, "its death is seen after the restart, too");
}

// spec: MON-7, PSM-10
#[test]
fn an_exporter_that_died_while_unreachable_is_found_dead() {
    let mut world = World::new();
    let (mut exporter, key) = Exporter::start(&world, "orders-x");
    exporter.signal(Signal::STOP);
    world.kill();
    world.start();
    let importer = Importer::new(&world, "watcher");
    assert_eq!(state(&importer, key), ProcessState::Unreachable, "stopped, not resumed, but alive");
    exporter.kill();
    let died = |m| match m {
        ToProcess::Notice(Notice { event: NoticeEvent::Died { cause }, .. }) => Some(cause),
        _ => None,
    };
    if !matches!(look_up(&importer, "orders-x").event, NoticeEvent::Died { .. }) {
        importer.hear("its death", died);
    }
}

// spec: PSM-5, PSM-10
#[test]
fn a_stopped_process_is_suspect_not_dead_and_comes_back() {
    let world = World::new();
    let (exporter, key) = Exporter::start(&world, "orders-x");
    let importer = Importer::new(&world, "watcher");
    let until = |wanted: ProcessState| {
        let deadline = Instant::now() + crate::world::PATIENCE;
        while state(&importer, key) != wanted {
            assert!(Instant::now() < deadline, "never {wanted:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    until(ProcessState::Alive);
    exporter.signal(Signal::STOP);
    until(ProcessState::Suspect);
    exporter.signal(Signal::CONT);
    until(ProcessState::Alive);
}

// spec: OUT-3, MON-7
#[test]
fn a_dead_service_is_launched_again_and_its_process_outlives_the_agent() {
    let mut world = World::empty();
    let (command, env) = child::command("orders", true);
    let env: Vec<String> = env.iter().map(|(k, v)| format!("{k} = {v:?}")).collect();
    let config = format!("[service.orders]\ncommand = {command:?}\nenv = {{ {} }}\n", env.join(", "));
    let path = world.dir.path().join("tif.toml");
    std::fs::write(&path, config).unwrap();
    world.args.extend(["--config".to_owned(), path.display().to_string()]);
    world.start();
    let importer = Importer::new(&world, "watcher");
    watch(&importer);
    let (mut first, _) = Exporter::start_as(&world, "orders", true);
    hear_value(&importer, 1);
    let pid = pid_of(&importer, "orders-1");
    first.kill();
    hear_outage(&importer);
    importer.hear("the outage's end", |m| match m {
        ToProcess::Outage(outage) => outage.end,
        _ => None,
    });
    let again = pid_of(&importer, "orders-1");
    assert_ne!(again, pid);
    let killed = world.agent.as_ref().unwrap().id();
    world.kill();
    world.start();
    assert_ne!(world.agent.as_ref().unwrap().id(), killed);
    let importer = Importer::new(&world, "watcher-2");
    watch(&importer);
    hear_value(&importer, 1);
    assert_eq!(pid_of(&importer, "orders-1"), again, "the agent's death was nobody else's");
}

fn pid_of(importer: &Importer, name: &str) -> rustix::process::Pid {
    importer.send(ToAgent::Processes { req: 3 });
    let pid = importer.hear("the processes", |m| match m {
        ToProcess::Processes { rows, .. } => {
            Some(rows.iter().find(|r| r.name.as_str() == name && r.state.is_live()).map(|r| r.pid).expect("it lives"))
        }
        _ => None,
    });
    rustix::process::Pid::from_raw(pid as i32).unwrap()
}
