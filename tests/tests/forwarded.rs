//! Processes whose connection somebody forwards from another machine: the agent cannot see them, and listens to them instead.
// spec: PSM-6, PSM-7, PSM-10

use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Cause, Name, Notice, ProcessState};
use tif_core::wire::ProcessRow;
use tif_serve::importer::{Event, Importer, Options};
use tif_tests::process::Process;
use tif_tests::world::{World, event, json};

const PATIENCE: Duration = Duration::from_secs(30);

/// What `ssh -L` does: connections to a socket in another directory go on to the agent's, and stay open when the process behind them says nothing.
fn forward(world: &World) -> PathBuf {
    let dir = world.run_dir().with_file_name("far");
    std::fs::create_dir(&dir).unwrap();
    let (listener, agent) = (UnixListener::bind(dir.join("agent.sock")).unwrap(), world.run_dir().join("agent.sock"));
    let copy = |mut from: UnixStream, mut to: UnixStream| {
        thread::spawn(move || -> io::Result<()> {
            let mut buffer = [0; 1 << 16];
            loop {
                let n = from.read(&mut buffer)?;
                if n == 0 {
                    return to.shutdown(std::net::Shutdown::Write);
                }
                to.write_all(&buffer[..n])?;
            }
        })
    };
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = UnixStream::connect(&agent) else { continue };
            copy(near.try_clone().unwrap(), far.try_clone().unwrap());
            copy(far, near);
        }
    });
    dir
}

fn importer(world: &World) -> Importer {
    let (program, name) = ("watcher".to_owned(), "watcher".parse().unwrap());
    Importer::open(Options { run_dir: Some(world.run_dir()), program, name, timeout: PATIENCE, heartbeat: None }).unwrap()
}

/// The next notice.
fn told(importer: &Importer) -> Notice {
    let until = Instant::now() + PATIENCE;
    loop {
        match importer.events().recv_deadline(until).expect("a notice") {
            Event::Notice(notice) => return notice,
            _ => continue,
        }
    }
}

fn row(importer: &Importer, name: &Name) -> ProcessRow {
    importer.processes().unwrap().into_iter().find(|row| row.name == *name).unwrap()
}

/// A watch from far away, and how it is called.
fn watch(world: &World, dir: &Path) -> (Process, Name) {
    let mut command = world.command("serve");
    command.args(["--forwarded", "--output", "jsonl", "--run-dir"]).arg(dir).args(["watch", "shop.accepted"]);
    let mut watch = Process::start("the forwarded watch", &mut command);
    watch.wait_line("a report", |line| event(line) == "report");
    let rows = world.serve(&["--output", "jsonl", "ps"]).must(0).rows();
    let row = rows.iter().find(|row| row["subscriptions"].as_u64() > Some(0)).unwrap();
    assert_eq!((row["state"].as_str(), row["pid"].is_null()), (Some("alive"), true), "{row}");
    (watch, row["name"].as_str().unwrap().parse().unwrap())
}

// spec: PSM-3, PSM-4, PSM-6, PSM-7, PSM-10
#[test]
fn who_is_not_on_the_agents_kernel_lives_while_it_is_heard_and_begins_another_life_after_too_long_a_silence() {
    let world = World::new(env!("CARGO_BIN_EXE_tif-fixture"));
    let _agent = world.agent();
    let _service = world.service(&[]);
    let (mut watch, name) = watch(&world, &forward(&world));
    let importer = importer(&world);
    let first = importer.lookup(&name).unwrap();
    assert_eq!(first.event, NoticeEvent::Born, "{first:?}");

    // Its connection stays open. Four seconds without a heartbeat, one more without an answer.
    let stopped = Instant::now();
    watch.signal(Signal::STOP);
    let gone = loop {
        let notice = told(&importer);
        // What it does not read fills its link, which is cut at last. It may live all the same.
        if notice.event != NoticeEvent::Unreachable {
            break notice;
        }
    };
    println!("given up after {:?}", stopped.elapsed());
    assert_eq!((gone.key, gone.event), (first.key, NoticeEvent::PresumedDead { cause: Cause::Silent }));
    assert!(stopped.elapsed() >= Duration::from_secs(4), "not before it is due");
    assert_eq!(row(&importer, &name).state, ProcessState::Dead);

    // It is told that this life is over, and begins another; whoever reads it sees only that the link was lost.
    watch.signal(Signal::CONT);
    let back = told(&importer);
    assert!(back.event == NoticeEvent::Born && back.key.unwrap().inc > first.key.unwrap().inc, "{back:?}");
    watch.wait_line("the link again", |line| event(line) == "link" && json(line)["link"] == "up");
    watch.wait_line("a report of the new life", |line| event(line) == "report" && json(line)["quality"] == "good");
}

// spec: PSM-6, PSM-10, MON-7
#[test]
fn a_forwarded_process_keeps_its_key_when_the_agent_dies_that_could_not_see_it_either() {
    let world = World::new(env!("CARGO_BIN_EXE_tif-fixture"));
    let mut agent = world.agent();
    let _service = world.service(&[]);
    let (mut watch, name) = watch(&world, &forward(&world));
    let importer = importer(&world);
    let first = importer.lookup(&name).unwrap();
    agent.kill();
    let _agent = world.agent();
    watch.wait_line("the link again", |line| event(line) == "link" && json(line)["link"] == "up");
    watch.wait_line("a report", |line| event(line) == "report" && json(line)["quality"] == "good");
    assert_eq!(importer.lookup(&name).unwrap().key, first.key);
    assert_eq!(row(&importer, &name).state, ProcessState::Alive);
}
