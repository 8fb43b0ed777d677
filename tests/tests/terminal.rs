//! The terminal UI in a real terminal: tmux runs it, keys are typed, the screen is read.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tif_tests::process::PATIENCE;
use tif_tests::world::World;

/// A terminal of 120 columns and 40 lines with one program in it.
struct Terminal {
    socket: PathBuf,
}

impl Terminal {
    /// None where there is no tmux.
    fn start(world: &World, command: &str) -> Option<Terminal> {
        let known = Command::new("tmux").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !known.is_ok_and(|s| s.success()) {
            return None;
        }
        let terminal = Terminal { socket: world.file_path("tmux.sock") };
        terminal.tmux(&["-f", "/dev/null", "new-session", "-d", "-x", "120", "-y", "40", command]);
        Some(terminal)
    }

    fn tmux(&self, arguments: &[&str]) -> String {
        let output =
            Command::new("tmux").arg("-S").arg(&self.socket).args(arguments).env("TERM", "xterm-256color").output().expect("tmux runs");
        assert!(output.status.success(), "tmux {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn keys(&self, keys: &[&str]) {
        self.tmux(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen fits. A screen sends no event when it changes, so it is read again and again.
    #[track_caller]
    fn wait(&self, what: &str, fits: impl Fn(&str) -> bool) -> String {
        let until = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if fits(&screen) {
                return screen;
            }
            assert!(Instant::now() < until, "{what}: not within {PATIENCE:?}; the screen is\n{screen}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // This test's own tmux, found by its socket.
        let _ = Command::new("tmux").arg("-S").arg(&self.socket).arg("kill-server").output();
    }
}

// spec: TUI-1, TUI-2, TUI-3, TUI-4, SRV-8
#[test]
fn a_person_finds_an_instrument_changes_a_control_and_sees_an_outage() {
    let world = World::new(env!("CARGO_BIN_EXE_tif-fixture"));
    let mut agent = world.agent();
    let mut primary = world.service(&["--standby"]);
    let _standby = world.service(&["--standby"]);
    let run_dir = world.run_dir();
    let command = format!("{} tui --run-dir {}", env!("CARGO_BIN_EXE_tif-fixture"), run_dir.display());
    let Some(terminal) = Terminal::start(&world, &command) else {
        println!("skipped: there is no tmux on this machine");
        return;
    };
    terminal.wait("the service's instruments", |s| s.contains("shop") && s.contains("accepted"));

    // Filter down to one control, change it: first to what it refuses, then to what it takes.
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "shop.batch"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the filter", |s| s.contains("batch") && !s.contains("accepted"));
    terminal.keys(&["e"]);
    terminal.wait("the edit dialog", |s| s.contains("4096"));
    terminal.keys(&["C-u"]);
    terminal.keys(&["-l", "9999"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the refusal", |s| s.contains("out of range") || s.contains("allowed"));
    terminal.keys(&["C-u"]);
    terminal.keys(&["-l", "128"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the confirmation", |s| s.contains("tif-serve set"));
    terminal.keys(&["y"]);
    world.serve(&["--timeout", "10s", "wait", "shop.batch == 128"]).must(0);
    terminal.wait("the new value", |s| s.contains("128"));

    // The primary is killed: the outage is listed, with what ended it and who took over.
    primary.kill();
    terminal.keys(&["Escape"]);
    terminal.keys(&["2"]);
    terminal.wait("the outage", |s| s.contains("SIGKILL") && s.contains("shop-1") && s.contains("shop-2"));
    terminal.keys(&["3"]);
    terminal.wait("the processes", |s| s.lines().any(|l| l.contains("shop-2") && l.contains("primary")));

    // The agent itself is killed: values stay, and are marked. It comes back, and so do they.
    terminal.keys(&["1"]);
    let header = |s: &str, word: &str| s.lines().next().is_some_and(|l| l.contains(word));
    agent.kill();
    terminal.wait("the lost link, with values marked as stale", |s| header(s, "LINK DOWN") && s.contains("batch") && s.contains("stale"));
    let _agent = world.agent();
    terminal.wait("the link is back", |s| header(s, " up") && s.contains("shop-2") && !s.contains("stale"));

    // The terminal is taken away: the program ends with it.
    let pid = terminal.tmux(&["list-panes", "-F", "#{pane_pid}"]);
    let pid = Pid::from_raw(pid.trim().parse().expect("a number")).expect("a process id");
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
    drop(terminal);
    let patience = Timespec { tv_sec: PATIENCE.as_secs().cast_signed(), tv_nsec: 0 };
    let ended = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&patience)).expect("a pidfd");
    assert_eq!(ended, 1, "it must not live on without a terminal");
}
