//! The processes that the demo has started, and nobody else's.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, getpid, pidfd_open, pidfd_send_signal, set_child_subreaper, wait as wait_for_any,
};

/// How long a part may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(3);

/// Children of this process, which ends them.
#[derive(Debug)]
pub struct Children(Mutex<Vec<Kid>>);

#[derive(Debug)]
struct Kid {
    child: Child,
    pidfd: OwnedFd,
}

impl Children {
    /// None yet. From now on this process inherits what its children leave behind, so that it can be told when those have ended, too.
    ///
    /// # Errors
    /// If the kernel does not let it.
    pub fn new() -> anyhow::Result<Children> {
        set_child_subreaper(Some(getpid())).context("cannot look after the children's children")?;
        Ok(Children(Mutex::new(Vec::new())))
    }

    /// Starts this program anew as a part of the demo; what it says goes into the log. Answers its pid and a descriptor that becomes
    /// readable when it has ended.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn start(&self, log: &Path, arguments: &[OsString]) -> anyhow::Result<(u32, OwnedFd)> {
        let program = std::env::current_exe().context("cannot find this program")?;
        let file = File::create(log).with_context(|| format!("cannot make the log {}", log.display()))?;
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        // Ctrl-C is for the demo, which ends its parts in order.
        command.process_group(0);
        let mut child = command.spawn().context("cannot start a part of the demo")?;
        let pid = child.id();
        let watched = pidfd_of(pid).and_then(|pidfd| Ok((pidfd.try_clone()?, pidfd)));
        let (pidfd, ended) = match watched {
            Ok(both) => both,
            Err(error) => {
                // One that cannot be watched cannot be ended later, either.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        self.0.lock().push(Kid { child, pidfd });
        Ok((pid, ended))
    }

    /// Waits until all have ended by themselves, and kills those that have not. Answers how many those were.
    pub fn end(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        let mut killed = 0;
        for mut kid in self.0.lock().drain(..) {
            if !wait(&kid.pidfd, deadline) {
                killed += 1;
                // A child that is not reaped yet keeps its pid.
                let _ = kid.child.kill();
            }
            let _ = kid.child.wait();
        }
        // What the agent has launched is ours now that it has gone; it has ended with the lifeline.
        while let Ok(Some(_)) = wait_for_any(WaitOptions::NOHANG) {}
        killed
    }
}

/// Kills a part of the demo with SIGKILL, whoever has started it.
///
/// # Errors
/// If the process is not a part of the demo in `place`, or is gone.
pub fn kill(pid: u32, place: &Path) -> anyhow::Result<Instant> {
    // First hold the process, then look what it is: so it cannot become another in between.
    let pidfd = pidfd_of(pid)?;
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).with_context(|| format!("process {pid} is gone"))?;
    let place = place.as_os_str().as_encoded_bytes();
    anyhow::ensure!(command.split(|b| *b == 0).any(|word| word == place), "process {pid} is not a part of this demo");
    let at = Instant::now();
    pidfd_send_signal(&pidfd, Signal::KILL).with_context(|| format!("cannot kill process {pid}"))?;
    Ok(at)
}

fn pidfd_of(pid: u32) -> anyhow::Result<OwnedFd> {
    let raw = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a pid")?;
    pidfd_open(raw, PidfdFlags::empty()).with_context(|| format!("process {pid} is gone"))
}

/// Whether the process has ended by then.
fn wait(pidfd: &OwnedFd, deadline: Instant) -> bool {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok(left) = Timespec::try_from(left) else { return false };
        match poll(&mut [PollFd::new(&pidfd.as_fd(), PollFlags::IN)], Some(&left)) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_is_no_part_of_the_demo_is_not_killed() {
        let mut other = Command::new("sleep").arg("60").spawn().unwrap();
        let error = kill(other.id(), Path::new("/tmp/tif-demo-none")).unwrap_err().to_string();
        assert!(error.contains("not a part of this demo"), "{error}");
        assert!(other.try_wait().unwrap().is_none());
        other.kill().unwrap();
        other.wait().unwrap();
    }

    #[test]
    fn a_process_that_is_gone_is_waited_for_no_longer() {
        let mut child = Command::new("true").spawn().unwrap();
        let pidfd = pidfd_of(child.id()).unwrap();
        assert!(wait(&pidfd, Instant::now() + Duration::from_secs(10)));
        child.wait().unwrap();
    }
}
