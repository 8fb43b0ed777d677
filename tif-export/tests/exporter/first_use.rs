//! The first use of an instrument starts its exporter; a process of its own, because where the agent is comes from the environment.

use std::io::Read;
use std::process::{Command, Stdio};

use tif::{Counter, Exported, Instruments, Role, Value};
use tif_core::wire::{Identity, ToAgent};

use crate::fake::{FakeAgent, key};

/// A small service.
#[derive(Instruments)]
#[tif(service = "small")]
struct Small {
    /// Beats.
    beats: Counter,
}
const BEATS_LINE: u32 = line!() - 2;

static SMALL: Exported<Small> = Exported::new();

/// Tells the test, run again as a process of its own, to be the service.
const CHILD: &str = "TIF_TEST_FIRST_USE";

// spec: EXP-1, EXP-3
#[test]
fn the_first_use_exports_and_the_end_of_the_process_needs_no_farewell() {
    if std::env::var_os(CHILD).is_some() {
        SMALL.beats.add(3);
        // Until the test closes the pipe.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::at(dir.path());
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "first_use::the_first_use_exports_and_the_end_of_the_process_needs_no_farewell"])
        .env(CHILD, "1")
        .env("TIF_RUN_DIR", dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut peer = agent.accept_from(child.id());
    assert_eq!(peer.hello.identity, Identity::Pick("small".parse().unwrap()));
    assert!(peer.hello.program.starts_with("exporter"), "{}", peer.hello.program);
    peer.welcome(key(1), Role::Solo, 0, &[]);
    peer.expect(ToAgent::Ready);
    assert_eq!(peer.value("beats"), Value::U64(3));
    assert_eq!(peer.find("beats").unwrap().1.declared.line, BEATS_LINE);
    drop(child.stdin.take());
    assert_eq!(peer.next(), None);
    assert!(child.wait().unwrap().success());
    assert_eq!(peer.value("beats"), Value::U64(3), "the values outlive the process");
}
