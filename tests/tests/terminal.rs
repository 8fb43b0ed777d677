//! The terminal UI in a real terminal: tmux runs it, keys are typed, the screen is read.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
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

    /// Gives the terminal one size after the other behind tmux's back, as fast as it goes; at the end it has its own again.
    fn shake(&self, rounds: u32) {
        let sizes = [(300, 80), (80, 24), (20, 5), (120, 40), (61, 17), (1, 1), (10, 200)];
        let own = |what: &str| self.shown(what).parse().expect("a number");
        let own = (own("#{pane_width}"), own("#{pane_height}"));
        self.resize((0..rounds).flat_map(|_| sizes).chain([own]));
    }

    /// Gives the terminal these sizes behind tmux's back: columns and lines.
    fn resize(&self, sizes: impl IntoIterator<Item = (u16, u16)>) {
        let tty = self.shown("#{pane_tty}");
        for (width, height) in sizes {
            let (width, height) = (width.to_string(), height.to_string());
            let status = Command::new("stty").args(["-F", &tty, "cols", &width, "rows", &height]).status().expect("stty runs");
            assert!(status.success(), "stty cols {width} rows {height}: {status}");
        }
    }

    /// What tmux says of the terminal.
    fn shown(&self, what: &str) -> String {
        self.tmux(&["display-message", "-p", what]).trim().to_owned()
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

/// The part of the fixture that is the screen, for that world.
fn tui(world: &World) -> String {
    format!("{} tui --run-dir {}", env!("CARGO_BIN_EXE_tif-fixture"), world.run_dir().display())
}

// spec: TUI-3
#[test]
fn a_terminal_that_changes_its_size_again_and_again_shows_the_right_screen_when_it_rests() {
    let world = World::new(env!("CARGO_BIN_EXE_tif-fixture"));
    let _agent = world.agent();
    let _service = world.service(&[]);
    let Some(terminal) = Terminal::start(&world, &tui(&world)) else {
        println!("skipped: there is no tmux on this machine");
        return;
    };
    terminal.wait("the service's instruments", |s| s.contains("shop") && s.contains("accepted"));
    terminal.keys(&["/"]);
    terminal.keys(&["-l", "shop.batch"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the filter", |s| s.contains("batch") && !s.contains("accepted"));
    terminal.keys(&["e"]);
    // Header, dialog and footer, each in its line, and nothing of other sizes.
    let right = |s: &str| {
        let lines: Vec<&str> = s.lines().collect();
        lines.len() == 40
            && lines[0].starts_with("TIF cpu1")
            && lines[39].contains("Esc cancel")
            && s.matches("Edit control").count() == 1
            && s.matches("TIF cpu1").count() == 1
    };
    terminal.wait("the edit dialog", right);
    for round in 0..3 {
        terminal.shake(30);
        terminal.wait(&format!("the dialog after shaking it for the {round}th time"), right);
    }
    terminal.keys(&["Escape"]);
    terminal.wait("no dialog", |s| !s.contains("Edit control") && s.contains("batch"));
}

// spec: TUI-3
#[test]
fn a_key_that_is_pressed_while_the_terminal_changes_its_size_is_not_lost() {
    let world = World::new(env!("CARGO_BIN_EXE_tif-fixture"));
    let _agent = world.agent();
    let Some(terminal) = Terminal::start(&world, &tui(&world)) else {
        println!("skipped: there is no tmux on this machine");
        return;
    };
    terminal.wait("the screen", |s| s.contains("TIF cpu1"));
    terminal.keys(&["/"]);
    terminal.wait("the filter", |s| s.contains("Enter"));
    let mut typed = String::from("k");
    terminal.keys(&["k"]);
    for round in 0..20 {
        terminal.wait(&format!("`{typed}`, each letter typed right after a change of size"), |s| s.contains(&format!("filter: {typed}")));
        let letter = char::from(b'a' + round).to_string();
        typed.push_str(&letter);
        // Too small for a moment: that counts no more when the key is pressed.
        terminal.resize([(1, 1), (if round % 2 == 0 { 110 } else { 120 }, 40)]);
        terminal.keys(&[&letter]);
    }
    terminal.wait(&format!("`{typed}`"), |s| s.contains(&format!("filter: {typed}")));
}

// spec: TUI-1, TUI-2, TUI-3, TUI-4, SRV-8
#[test]
fn a_person_finds_an_instrument_changes_a_control_and_sees_an_outage() {
    let world = World::new(env!("CARGO_BIN_EXE_tif-fixture"));
    let mut agent = world.agent();
    let mut primary = world.service(&["--standby"]);
    let _standby = world.service(&["--standby"]);
    let Some(terminal) = Terminal::start(&world, &tui(&world)) else {
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
    // What is filled in gives way to what is typed; then it is cleared by hand.
    terminal.keys(&["-l", "9999"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the refusal", |s| s.contains("out of range") || s.contains("allowed"));
    terminal.keys(&["C-u"]);
    terminal.keys(&["-l", "128"]);
    terminal.keys(&["Enter"]);
    terminal.wait("the confirmation", |s| s.contains("tif-serve set"));
    terminal.keys(&["y"]);
    world.serve(&["--timeout", "20s", "wait", "shop.batch == 128"]).must(0);
    terminal.wait("the new value", |s| s.contains("128"));

    // The primary is stopped: its values are marked as stale, until it goes on.
    let marked = |s: &str| s.lines().any(|l| l.contains("batch") && l.contains("stale"));
    primary.signal(Signal::STOP);
    terminal.wait("the mark of a silent process", marked);
    let old = |s: &str| s.lines().next().is_some_and(|header| header.contains(" old"));
    assert!(old(&terminal.screen()), "the header counts them");
    primary.signal(Signal::CONT);
    terminal.wait("no mark any more, on none of them", |s| !marked(s) && !old(s) && s.contains("batch"));

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
