//! The directory in which an agent keeps what must survive it: held by another, or not to be written.

use std::process::{Command, Output};

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tif_tests::process::Process;
use tif_tests::world::{World, event, json};

fn world() -> World {
    World::new(env!("CARGO_BIN_EXE_tif-fixture"))
}

/// An agent that must not start.
fn refused(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stderr, .. } = command.output().expect("it can be started");
    (status.code(), String::from_utf8_lossy(&stderr).into_owned())
}

// spec: MON-1, MON-7
#[test]
fn a_second_agent_with_another_run_directory_does_not_get_the_same_state_directory() {
    let world = world();
    let agent = world.agent();
    let mut second = world.command("agent");
    second.args(["--cpu", "cpu2", "--no-host", "--run-dir"]).arg(world.file_path("elsewhere")).arg("--state-dir").arg(world.state_dir());
    let (status, said) = refused(second);
    assert_eq!(status, Some(2), "{said}");
    let expect = [&*world.state_dir().to_string_lossy(), &agent.pid().to_string(), "--state-dir", "stop it first"].map(str::to_owned);
    assert!(expect.iter().all(|part| said.contains(part.as_str())), "{said}");
    let log = agent.errors();
    assert!(log.contains("agent starts") && !log.contains('\x1b'), "a log that is no terminal's is plain text: {log:?}");
}

/// The same agent, whose files may not grow beyond `blocks` of 512 or 1024 bytes.
fn limited(world: &World, blocks: &str) -> Command {
    let agent = world.command("agent");
    let mut command = Command::new("/bin/sh");
    // A signal that is ignored stays so in the program that follows: a write beyond the limit fails instead.
    command
        .arg("-c")
        .arg(format!("trap '' XFSZ; ulimit -S -f {blocks}; exec \"$0\" \"$@\""))
        .arg(agent.get_program())
        .args(agent.get_args());
    command.args(["--cpu", "cpu1", "--no-host", "--run-dir"]).arg(world.run_dir()).arg("--state-dir").arg(world.state_dir());
    command
}

// spec: SEC-3, MON-7
#[test]
fn a_store_that_cannot_be_written_at_the_start_is_not_called_damaged_and_is_as_it_was_afterwards() {
    let world = world();
    let mut agent = world.agent();
    let _service = world.service(&["--process", "alone"]);
    world.serve(&["set", "shop.batch@alone", "77"]).must(0);
    agent.kill();
    let (status, said) = refused(limited(&world, "0"));
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("state.db") && said.contains("writing fails"), "{said}");
    assert!(!said.contains("damaged") && !said.contains("move it"), "{said}");
    let _agent = world.agent();
    world.serve(&["--timeout", "20s", "wait", "shop.batch@alone == 77"]).must(0);
}

// spec: SEC-3, PSM-1, EXP-3, CTL-4
#[test]
fn an_agent_whose_disk_is_full_goes_on_being_read_and_heals_when_there_is_room() {
    let world = world();
    let mut agent = Process::start("agent", &mut limited(&world, "unlimited"));
    while !world.run_dir().join("agent.sock").exists() {
        std::thread::yield_now();
    }
    let pid = Pid::from_raw(i32::try_from(agent.pid()).expect("a pid")).expect("a pid");
    let room = |bytes: Option<u64>| {
        prlimit(Some(pid), Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("it is ours");
    };
    let mut service = world.service(&["--process", "alone"]);
    let mut watch = world.watch("shop.**");

    room(Some(0));
    // Who reads is let in, though its key cannot be written down.
    world.serve(&["--timeout", "20s", "wait", "shop.accepted@alone > 0"]).must(0);
    assert_eq!(world.process("alone")["state"], "alive");
    let refused = world.serve(&["set", "shop.batch@alone", "77"]).must(5);
    assert!(refused.err.contains("cannot write its store") && refused.err.contains("Nothing was changed"), "{refused:?}");
    // A service that starts is not stopped by it: it is as if there were no agent.
    let mut late = world.service(&["--process", "late"]);
    assert!(late.is_running());
    service.kill();
    watch.wait_line("the outage", |line| event(line) == "outage" && json(line)["process"] == "alone");
    assert_eq!(world.serve(&["--output", "jsonl", "outages"]).must(0).rows().len(), 1);

    room(None);
    watch.wait_line("the service that waited", |line| event(line) == "report" && json(line)["process"] == "late");
    // With the first write that is done, those are made up for that were not; they are before the second.
    world.serve(&["set", "shop.batch@late", "76"]).must(0);
    world.serve(&["set", "shop.batch@late", "77"]).must(0);
    agent.kill();
    let _agent = world.agent();
    world.serve(&["--timeout", "20s", "wait", "shop.batch@late == 77"]).must(0);
    let rows = world.serve(&["--output", "jsonl", "outages"]).must(0).rows();
    assert!(rows.iter().any(|o| o["process"] == "alone" && o["cause"].as_str().is_some_and(|c| c.contains("SIGKILL"))), "{rows:#?}");
}
