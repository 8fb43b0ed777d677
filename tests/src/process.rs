//! One child process: its lines as they come, its end, its kill by id.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, unbounded};
use rustix::process::{Pid, Signal, kill_process};

/// How long a test waits for something that is to happen. Generous: machines are busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A child process. Ended, by its id, when dropped.
pub struct Process {
    name: String,
    child: Child,
    lines: Receiver<(Instant, String)>,
    errors: Arc<Mutex<String>>,
    /// Ends with its standard error.
    reader: Option<JoinHandle<()>>,
    seen: Vec<String>,
}

impl Process {
    /// Starts it. Its standard output is read line by line, its standard error kept.
    pub fn start(name: &str, command: &mut Command) -> Process {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{name} cannot be started: {e}"));
        let (sender, lines) = unbounded();
        let out = child.stdout.take().expect("piped");
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send((Instant::now(), line)).is_err() {
                    break;
                }
            }
        });
        let errors = Arc::new(Mutex::new(String::new()));
        let (mut err, kept) = (child.stderr.take().expect("piped"), errors.clone());
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(n @ 1..) = err.read(&mut part) {
                kept.lock().expect("no panic while held").push_str(&String::from_utf8_lossy(&part[..n]));
            }
        });
        Process { name: name.to_owned(), child, lines, errors, reader: Some(reader), seen: Vec::new() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).unwrap_or_else(|e| panic!("{}: signal: {e}", self.name));
    }

    /// `kill -9`, and when that was.
    pub fn kill(&mut self) -> Instant {
        let at = Instant::now();
        self.signal(Signal::KILL);
        self.child.wait().expect("it was ours");
        at
    }

    /// The next line that fits, and when it came. Lines before it are passed over.
    pub fn wait_line(&mut self, what: &str, mut fits: impl FnMut(&str) -> bool) -> (Instant, String) {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_deadline(until) {
                Ok((at, line)) => {
                    self.seen.push(line.clone());
                    if fits(&line) {
                        return (at, line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("{what}: waited {PATIENCE:?}")),
                Err(RecvTimeoutError::Disconnected) => self.fail(&format!("{what}: it ended first")),
            }
        }
    }

    /// All lines that have come by now.
    pub fn lines_so_far(&mut self) -> Vec<String> {
        self.seen.extend(self.lines.try_iter().map(|(_, line)| line));
        self.seen.clone()
    }

    /// Waits for its end.
    pub fn wait_end(&mut self, what: &str) -> ExitStatus {
        let until = Instant::now() + PATIENCE;
        // Its output ends with it: no polling.
        loop {
            match self.lines.recv_deadline(until) {
                Ok((_, line)) => self.seen.push(line),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = self.child.wait().expect("it was ours");
                    // All that it said on standard error has been read, too.
                    if let Some(reader) = self.reader.take() {
                        reader.join().expect("the reader does not panic");
                    }
                    return status;
                }
                Err(RecvTimeoutError::Timeout) => self.fail(&format!("{what}: it did not end within {PATIENCE:?}")),
            }
        }
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("it was ours").is_none()
    }

    /// What it said on standard error so far.
    pub fn errors(&self) -> String {
        self.errors.lock().expect("no panic while held").clone()
    }

    fn fail(&mut self, what: &str) -> ! {
        let lines = self.lines_so_far();
        let last = lines[lines.len().saturating_sub(30)..].join("\n");
        panic!("{}: {what}\n--- its last lines\n{last}\n--- its standard error\n{}", self.name, self.errors());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Only this child, by its id; it may have ended before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
