//! Starts processes of services from their launch specifications and sees them end. When to start one, and how soon again, the core decides.
//!
//! A launched process belongs to itself: it has its own process group, and goes on when the agent is killed.
// spec: OUT-3

mod output;

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, PidfdFlags, pidfd_open};
use tif_core::model::{Cause, Name};
use tif_process::peer;

use crate::config::{Launch, Sink};

/// Launch specifications, and the children that live.
#[derive(Debug)]
pub struct Supervisor {
    launches: BTreeMap<Name, Launch>,
    run_dir: PathBuf,
    log_dir: PathBuf,
    children: BTreeMap<u32, Child>,
}

#[derive(Debug)]
struct Child {
    service: Name,
    pidfd: OwnedFd,
    started: u64,
    registered: bool,
}

/// A child that has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Of which service it was.
    pub service: Name,
    /// How.
    pub cause: Cause,
    /// When it had started.
    pub started: u64,
    /// Whether it had ever registered: if so, its death is told by its key.
    pub registered: bool,
}

impl Supervisor {
    /// With these specifications. Logs go below `state_dir`.
    pub fn new(launches: BTreeMap<Name, Launch>, run_dir: &Path, state_dir: &Path) -> Supervisor {
        Supervisor { launches, run_dir: run_dir.to_owned(), log_dir: state_dir.join("log"), children: BTreeMap::new() }
    }

    /// Starts a process of the service. Answers its pid and a pidfd to watch.
    ///
    /// # Errors
    /// With the reason, in words. Nothing was started.
    pub fn launch(&mut self, service: &Name) -> Result<(u32, BorrowedFd<'_>), String> {
        let launch = self.launches.get(service).ok_or_else(|| format!("there is no launch specification [service.{service}]"))?;
        let mut command = self.command(service, launch)?;
        let mut spawned = command.spawn().map_err(|e| format!("cannot start {}: {e}", launch.command[0]))?;
        let pid = spawned.id();
        // A child stays in the process table until it is reaped, so that neither of these can meet another process.
        let seen = i32::try_from(pid)
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|p| pidfd_open(p, PidfdFlags::empty()))
            .map_err(std::io::Error::from)
            .and_then(|pidfd| Ok((pidfd, peer::started(pid)?)));
        match seen {
            Ok((pidfd, started)) => {
                tracing::info!(target: "tif::supervisor", process = %service, pid, "launched");
                let child = Child { service: service.clone(), pidfd, started, registered: false };
                self.children.insert(pid, child);
                Ok((pid, self.children[&pid].pidfd.as_fd()))
            }
            Err(e) => {
                // A child that cannot be watched would be one too many when the next is started.
                let _ = spawned.kill();
                let _ = spawned.wait();
                Err(format!("cannot watch {}: {e}", launch.command[0]))
            }
        }
    }

    fn command(&self, service: &Name, launch: &Launch) -> Result<Command, String> {
        let (out, err) = match launch.output {
            Sink::Inherit => (Stdio::inherit(), Stdio::inherit()),
            Sink::Log => output::open(&self.log_dir, service)
                .and_then(|file| Ok((Stdio::from(file.try_clone()?), Stdio::from(file))))
                .map_err(|e| format!("cannot open its log in {}: {e}", self.log_dir.display()))?,
        };
        let mut command = Command::new(&launch.command[0]);
        command.args(&launch.command[1..]).envs(&launch.env).env("TIF_RUN_DIR", &self.run_dir);
        command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
        if let Some(cwd) = &launch.cwd {
            command.current_dir(cwd);
        }
        Ok(command)
    }

    /// This process has registered; if it is a child, its end will be told by its key.
    pub fn on_registered(&mut self, pid: u32, started: u64) {
        if let Some(child) = self.children.get_mut(&pid).filter(|child| child.started == started) {
            child.registered = true;
        }
    }

    /// When the child with this pid started; none if there is no such child.
    pub fn started(&self, pid: u32) -> Option<u64> {
        self.children.get(&pid).map(|child| child.started)
    }

    /// The child's pidfd, to stop watching it.
    pub fn pidfd(&self, pid: u32) -> Option<BorrowedFd<'_>> {
        self.children.get(&pid).map(|child| child.pidfd.as_fd())
    }

    /// The process has ended: reaps it and answers what it was; none if it was no child. A process that had its pid before is another one.
    // spec: PSM-9
    pub fn reap(&mut self, pid: u32, started: u64) -> Option<Ended> {
        if self.started(pid)? != started {
            return None;
        }
        let child = self.children.remove(&pid)?;
        let cause = peer::exit_cause(&child.pidfd, pid, child.started);
        Some(Ended { service: child.service, cause, started: child.started, registered: child.registered })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use rustix::event::{PollFd, PollFlags, poll};

    fn supervisor(command: &str, dir: &Path) -> Supervisor {
        let config = format!("[service.orders]\ncommand = [\"/bin/sh\", \"-c\", {command:?}]\nenv = {{ MORE = \"yes\" }}\ncwd = {dir:?}");
        let path = dir.join("tif.toml");
        std::fs::write(&path, config).unwrap();
        Supervisor::new(Config::read(&path).unwrap().service, Path::new("/run/of/tif"), dir)
    }

    fn orders() -> Name {
        "orders".parse().unwrap()
    }

    fn run(supervisor: &mut Supervisor) -> Ended {
        let (pid, pidfd) = supervisor.launch(&orders()).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None), Ok(1));
        let started = supervisor.started(pid).unwrap();
        supervisor.reap(pid, started).unwrap()
    }

    // spec: OUT-3, OUT-6
    #[test]
    fn a_child_gets_what_its_specification_says_and_its_end_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor(
            "echo $TIF_RUN_DIR $MORE $PWD; cat; read a b c d group rest < /proc/$$/stat; test $$ = $group && echo leader; exit 3",
            dir.path(),
        );
        let ended = run(&mut supervisor);
        assert_eq!((ended.service, ended.cause, ended.registered), (orders(), Cause::Exit { status: 3 }, false));
        let log = std::fs::read_to_string(dir.path().join("log/orders.log")).unwrap();
        assert_eq!(log, format!("/run/of/tif yes {}\nleader\n", dir.path().display()), "nothing on its standard input, a group of its own");
        assert!(supervisor.reap(1, 0).is_none(), "a stranger is not reaped");
    }

    // spec: PSM-9
    #[test]
    fn the_death_of_a_process_that_had_a_childs_pid_before_is_not_the_childs() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor("exit 4", dir.path());
        let (pid, pidfd) = supervisor.launch(&orders()).unwrap();
        assert_eq!(poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None), Ok(1));
        let started = supervisor.started(pid).unwrap();
        supervisor.on_registered(pid, started - 1);
        assert_eq!(supervisor.reap(pid, started - 1), None);
        let ended = supervisor.reap(pid, started).unwrap();
        assert_eq!((ended.cause, ended.registered), (Cause::Exit { status: 4 }, false));
    }

    #[test]
    fn what_cannot_be_started_is_told_with_the_reason() {
        let dir = tempfile::tempdir().unwrap();
        let mut supervisor = supervisor("true", dir.path());
        let bills: Name = "bills".parse().unwrap();
        assert!(supervisor.launch(&bills).unwrap_err().contains("[service.bills]"));
        supervisor.launches.get_mut(&orders()).unwrap().command[0] = "/no/such/program".into();
        assert!(supervisor.launch(&orders()).unwrap_err().contains("/no/such/program"));
        assert!(supervisor.children.is_empty());
    }
}
