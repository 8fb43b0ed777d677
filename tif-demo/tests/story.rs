//! The demo as a user starts it, with a tree, a place for temporary files and a home of its own.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

fn demo(input: &Path, temporary: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tif-demo"));
    command.args(["--story", "--input"]).arg(input).env("TMPDIR", temporary).stdin(Stdio::null());
    command
}

fn tree(files: usize) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..files {
        let below = dir.path().join(format!("d{}", i % 7));
        std::fs::create_dir_all(&below).unwrap();
        std::fs::write(below.join(format!("f{i}")), vec![i as u8; i * 37]).unwrap();
    }
    dir
}

/// The command lines of living processes that name the path.
fn parts_in(path: &Path) -> Vec<String> {
    let text = path.display().to_string();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path().join("cmdline")));
    let lines = processes.filter_map(|file| Some(String::from_utf8_lossy(&std::fs::read(file).ok()?).replace('\0', " ")));
    lines.filter(|line| line.contains(&text)).collect()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn assert_nothing_is_left(temporary: &Path) {
    assert_eq!(parts_in(temporary), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.is_empty(), "{left:?}");
}

// spec: OUT-2, OUT-3, OUT-4, CTL-4, PSM-4
#[test]
fn the_story_is_told_to_its_end_and_nothing_is_left_behind() {
    let (input, temporary) = (tree(600), tempfile::tempdir().unwrap());
    let output = demo(input.path(), temporary.path()).output().unwrap();
    let told = text(&output);
    assert!(output.status.success(), "{told}");
    for part in [
        "instruments found",
        "values move",
        "the rate falls",
        "threads worker-1 worker-2 worker-3",
        "99 is out of range",
        "applied once",
        "hit 3 times",
        "rescan fired",
        "killed with SIGKILL",
        "outage reported",
        "took over",
        "first live value",
        "controls kept",
        "launched a new standby",
        "600 files agree, 0 missing, 0 twice, 0 surplus, 0 different",
    ] {
        assert!(told.contains(part), "the story says nothing of {part:?}:\n{told}");
    }
    assert_nothing_is_left(temporary.path());
}

#[test]
fn a_story_that_is_interrupted_leaves_nothing_behind() {
    let (input, temporary) = (tree(600), tempfile::tempdir().unwrap());
    let story = demo(input.path(), temporary.path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // An agent and two processes, which name the place; none of them is the story.
    let deadline = Instant::now() + Duration::from_secs(30);
    while parts_in(temporary.path()).len() < 3 {
        assert!(Instant::now() < deadline, "the parts do not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    kill_process(Pid::from_raw(story.id() as i32).unwrap(), Signal::INT).unwrap();
    let output = story.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", text(&output));
    assert_nothing_is_left(temporary.path());
}

#[test]
fn a_story_that_is_killed_takes_its_parts_with_it() {
    let (input, temporary) = (tree(600), tempfile::tempdir().unwrap());
    let mut story = demo(input.path(), temporary.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while parts_in(temporary.path()).len() < 3 {
        assert!(Instant::now() < deadline, "the parts do not start");
        std::thread::sleep(Duration::from_millis(20));
    }
    story.kill().unwrap();
    story.wait().unwrap();
    while !parts_in(temporary.path()).is_empty() {
        assert!(Instant::now() < deadline, "left: {:?}", parts_in(temporary.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_input_that_cannot_be_used_is_refused_with_what_would_do() {
    let temporary = tempfile::tempdir().unwrap();
    for (input, expect) in [(tree(5).keep(), "has 5 files: name a directory with at least 100"), ("/none".into(), "not a directory")] {
        let output = demo(&input, temporary.path()).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert!(text(&output).contains(expect), "{}", text(&output));
        // The tree of the first; there is nothing of the second.
        let _ = std::fs::remove_dir_all(&input);
    }
    assert_nothing_is_left(temporary.path());
}
