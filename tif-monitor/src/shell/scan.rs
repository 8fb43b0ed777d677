//! The periodic look at every registered process: what the operating system failed to tell, and who is stopped.
// spec: PSM-5, OUT-1

use std::collections::BTreeMap;
use std::fs;

use procfs::FromRead;
use procfs::process::Stat;
use rustix::io::Errno;
use tif_core::agent::io::{Input, Observed};
use tif_core::limits::SCAN_PERIOD;
use tif_core::model::{Key, Time};
use tif_process::peer;

use super::Shell;
use super::workload::Workload;

/// When to look, and what was seen.
#[derive(Debug)]
pub struct Scan {
    /// When next.
    pub due: Time,
    /// Somebody could not be let in for want of descriptors.
    pub accept_again: bool,
    /// It was said in the log since the last scan.
    pub accept_warned: bool,
    oom_kills: u64,
    workload: Workload,
}

impl Scan {
    /// The first is due after a period.
    pub fn new(now: Time) -> Scan {
        Scan { due: now + SCAN_PERIOD, accept_again: false, accept_warned: false, oom_kills: oom_kills(), workload: Workload::default() }
    }

    /// Whether the kernel has ended processes for want of memory since the last scan.
    // spec: OUT-6, SEC-3
    pub fn memory_ran_out(&self) -> bool {
        oom_kills() > self.oom_kills
    }
}

/// How many processes the kernel has ended for want of memory since boot; 0 if it does not say.
fn oom_kills() -> u64 {
    let count = |text: String| text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    fs::read_to_string("/proc/vmstat").ok().and_then(count).unwrap_or(0)
}

/// What the process table shows of a pid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Gone,
    Running,
    Stopped,
    /// It was killed, and what is left of it is written down or taken down: a core dump is written first.
    // spec: PSM-12
    Ending,
    /// It could not be looked at; that is nobody's death.
    // spec: PSM-10
    Unknown,
}

fn look(pid: u32, started: u64) -> Seen {
    let stat = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(bytes) => Stat::from_read(bytes.as_slice()),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound || e.raw_os_error() == Some(Errno::SRCH.raw_os_error()) => return Seen::Gone,
        Err(_) => return Seen::Unknown,
    };
    match stat {
        Ok(stat) if stat.starttime != started => Seen::Gone,
        Ok(stat) => match stat.state {
            'T' | 't' => Seen::Stopped,
            'Z' | 'X' | 'x' => Seen::Gone,
            // The kernel says how from the moment in which it is decided, to those who may know.
            _ if stat.exit_code.is_some_and(|code| code != 0) => Seen::Ending,
            _ => Seen::Running,
        },
        Err(_) => Seen::Unknown,
    }
}

/// What the process table shows, believed as far as the process's own pidfd bears it out: a process whose first thread has ended while others run
/// stands there as a zombie, and lives.
// spec: PSM-10
fn weigh(shown: Seen, has_ended: impl FnOnce() -> bool) -> Seen {
    if shown == Seen::Gone && !has_ended() { Seen::Unknown } else { shown }
}

impl Shell {
    pub(super) fn scan_processes(&mut self) {
        // One OS process may have registered many times.
        let mut seen = BTreeMap::new();
        for process in self.processes.values() {
            let who = (process.credentials.pid, process.credentials.started);
            seen.entry(who).or_insert_with(|| look(who.0, who.1));
        }
        let keys: Vec<Key> = self.processes.keys().copied().collect();
        for key in keys {
            let Some(process) = self.processes.get_mut(&key) else { continue };
            let saw = seen.get(&(process.credentials.pid, process.credentials.started)).copied().unwrap_or(Seen::Unknown);
            let saw = weigh(saw, || peer::has_ended(&process.pidfd));
            match saw {
                Seen::Running | Seen::Stopped => {}
                Seen::Gone => {
                    self.on_death(key);
                    continue;
                }
                // Nobody else tells of that before the dump is written: its keeper waits for it, too.
                Seen::Ending => {
                    self.on_early_death(key);
                    continue;
                }
                Seen::Unknown => continue,
            }
            // Once may be a debugger that looks in passing.
            let twice = saw == Seen::Stopped && process.stopped;
            process.stopped = saw == Seen::Stopped;
            let observed = match (saw, twice) {
                (Seen::Running, _) => Observed::Running,
                (_, true) => Observed::Stopped,
                _ => continue,
            };
            if observed != process.told {
                process.told = observed;
                tracing::info!(target: "tif::shell", %key, ?observed, "process");
                self.feed(Input::Observed { key, observed });
            }
        }
        if let Some(percent) = self.scan.workload.look() {
            self.feed(Input::Workload { percent });
        }
        self.scan.accept_warned = false;
        self.scan.oom_kills = oom_kills();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    // spec: PSM-5, PSM-9
    #[test]
    fn a_process_is_seen_as_it_is_and_another_with_its_pid_is_not_it() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let (pid, started) = (child.id(), peer::started(child.id()).unwrap());
        assert_eq!(look(pid, started), Seen::Running);
        assert_eq!(look(pid, started + 1), Seen::Gone);
        let who = rustix::process::Pid::from_raw(pid as i32).unwrap();
        let wait = |option| {
            let options = option | rustix::process::WaitIdOptions::NOWAIT;
            rustix::process::waitid(rustix::process::WaitId::Pid(who), options).unwrap()
        };
        rustix::process::kill_process(who, rustix::process::Signal::STOP).unwrap();
        wait(rustix::process::WaitIdOptions::STOPPED);
        assert_eq!(look(pid, started), Seen::Stopped);
        rustix::process::kill_process(who, rustix::process::Signal::KILL).unwrap();
        wait(rustix::process::WaitIdOptions::EXITED);
        assert_eq!(look(pid, started), Seen::Gone, "a zombie is dead");
        child.wait().unwrap();
        assert_eq!(look(pid, started), Seen::Gone);
    }

    // spec: PSM-10
    #[test]
    fn a_zombie_whose_pidfd_does_not_say_that_it_ended_is_not_dead() {
        assert_eq!(weigh(Seen::Gone, || true), Seen::Gone);
        assert_eq!(weigh(Seen::Gone, || false), Seen::Unknown, "its other threads run");
        for shown in [Seen::Running, Seen::Stopped, Seen::Ending, Seen::Unknown] {
            assert_eq!(weigh(shown, || unreachable!("the pidfd is asked about the dead only")), shown);
        }
    }
}
