//! Who is at the other end of a socket, as the operating system says, and how a process ended.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, getpid, pidfd_open, waitid};
use tif_core::model::Cause;
use tif_core::wire::Credentials;

use crate::os::exit_info;

/// What the operating system says of the process that connected to this Unix socket, with the start time of the process that has its pid now.
///
/// # Errors
/// If it is no Unix socket, or the process is gone already.
// spec: PSM-9
pub fn credentials(socket: impl AsFd) -> io::Result<Credentials> {
    let peer = rustix::net::sockopt::socket_peercred(socket)?;
    let pid = peer.pid.as_raw_nonzero().get().unsigned_abs();
    Ok(Credentials { pid, uid: peer.uid.as_raw(), gid: peer.gid.as_raw(), started: started(pid)? })
}

/// When the process with this pid started, in clock ticks since boot.
///
/// # Errors
/// If there is no such process.
pub fn started(pid: u32) -> io::Result<u64> {
    Ok(Stat::read(pid)?.started)
}

/// A pidfd for exactly this process.
///
/// # Errors
/// `NotFound` if it is gone, also if its pid belongs to another by now.
// spec: PSM-9
pub fn open_pidfd(who: &Credentials) -> io::Result<OwnedFd> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let pid = i32::try_from(who.pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|_| gone())?;
    // The descriptor keeps its process apart from later ones with the same pid; the start time says whether it is the right one.
    if started(who.pid)? == who.started { Ok(pidfd) } else { Err(gone()) }
}

/// A pidfd for the calling process itself, to be handed to the agent.
///
/// # Errors
/// If the kernel has none (before 5.3), or descriptors are used up.
pub fn own_pidfd() -> io::Result<OwnedFd> {
    Ok(pidfd_open(getpid(), PidfdFlags::empty())?)
}

/// The process behind a pidfd; none if it is gone, or the descriptor is no pidfd.
pub fn pidfd_pid(pidfd: impl AsFd) -> Option<u32> {
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_fd().as_raw_fd())).ok()?;
    let pid: i64 = info.lines().find_map(|line| line.strip_prefix("Pid:"))?.trim().parse().ok()?;
    u32::try_from(pid).ok().filter(|pid| *pid > 0)
}

/// Whether the process behind `pidfd` has ended, with all its threads. The process table does not say this: there a process whose first thread has
/// ended looks like a dead one while its other threads run.
// spec: PSM-10
pub fn has_ended(pidfd: impl AsFd) -> bool {
    !ended(&[pidfd.as_fd()]).is_empty()
}

/// Which of these processes have ended, by their places in `pidfds`. One question for all of them.
pub fn ended(pidfds: &[BorrowedFd<'_>]) -> Vec<usize> {
    let mut fds: Vec<PollFd<'_>> = pidfds.iter().map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        match poll(&mut fds, Some(&at_once)) {
            Err(rustix::io::Errno::INTR) => {}
            // What cannot be asked is nobody's death.
            Err(_) => return Vec::new(),
            Ok(_) => break,
        }
    }
    (0..fds.len()).filter(|at| fds[*at].revents().contains(PollFlags::IN)).collect()
}

/// How the process behind `pidfd` ended, asked when the pidfd has become readable. A child of the caller is reaped by this.
///
/// Asks, in this order: `waitid`, if it is a child; the process table, while nobody has reaped it; the kernel's memory of it (6.15 and later).
// spec: OUT-6, PSM-9
pub fn exit_cause(pidfd: impl AsFd, pid: u32, started: u64) -> Cause {
    let pidfd = pidfd.as_fd();
    reap(pidfd).or_else(|| zombie(pid, started)).or_else(|| exit_info::exit_status(pidfd)).map_or(Cause::Unknown, cause_of)
}

/// How a process is ending that has not ended yet, where the operating system says that it is: no thread of it does anything of its own any more, and only
/// its memory has to be taken down. None: it may run on, or the system does not tell. To be asked when there is reason to believe it, not of everybody.
// spec: PSM-10, PSM-12
pub fn ending_cause(pid: u32, started: u64) -> Option<Cause> {
    let stat = Stat::read(pid).ok().filter(|s| s.started == started)?;
    // One that is stopped shows the signal that stopped it, also where its first thread has ended. No process ends by one of these.
    let is_killed = stat.exit_code != 0 && !matches!(stat.state, 'T' | 't') && !STOPPING.contains(&stat.exit_code);
    if !is_killed && !is_every_thread_ending(pid) {
        return None;
    }
    // After that: by then it is known how it ends, to those who may know.
    zombie_or_ending(&Stat::read(pid).ok().filter(|s| s.started == started)?, pid).map(cause_of)
}

/// Threads that are looked at one by one; none if there are more.
const THREADS_MAX: usize = 256;

/// SIGSTOP, SIGTSTP, SIGTTIN and SIGTTOU.
const STOPPING: std::ops::RangeInclusive<u32> = 19..=22;

/// A process whose first thread has ended may run on with the others. What cannot be looked at (for want of descriptors, say) may run.
fn is_every_thread_ending(pid: u32) -> bool {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return false };
    threads.enumerate().all(|(n, thread)| match thread.and_then(|thread| fs::read(thread.path().join("stat"))) {
        Ok(bytes) => n < THREADS_MAX && Stat::parse(&bytes).is_some_and(|stat| stat.is_exiting),
        // It is gone meanwhile.
        Err(e) => e.kind() == io::ErrorKind::NotFound || e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()),
    })
}

/// From a wait status as the kernel writes it.
fn cause_of(status: u32) -> Cause {
    match status & 0x7f {
        0 => Cause::Exit { status: (status >> 8 & 0xff) as i32 },
        signal => Cause::Signal { signal: signal as i32, core: status & 0x80 != 0 },
    }
}

fn reap(pidfd: BorrowedFd<'_>) -> Option<u32> {
    let status = waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED | WaitIdOptions::NOHANG).ok()??;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Some((code as u32 & 0xff) << 8),
        (None, Some(signal)) => Some(signal as u32 | if status.dumped() { 0x80 } else { 0 }),
        (None, None) => None,
    }
}

fn zombie(pid: u32, started: u64) -> Option<u32> {
    let stat = Stat::read(pid).ok().filter(|s| s.started == started && matches!(s.state, 'Z' | 'X'))?;
    zombie_or_ending(&stat, pid)
}

fn zombie_or_ending(stat: &Stat, pid: u32) -> Option<u32> {
    // To strangers the kernel shows 0 instead of the status.
    if stat.exit_code == 0 {
        let owner = fs::metadata(format!("/proc/{pid}")).ok()?.uid();
        let own = rustix::process::geteuid();
        if !own.is_root() && own.as_raw() != owner {
            return None;
        }
    }
    Some(stat.exit_code)
}

/// Of a thread's flags, as the kernel shows them.
const PF_EXITING: u64 = 4;

/// What is needed of `/proc/PID/stat`.
struct Stat {
    state: char,
    /// It does nothing any more but end.
    is_exiting: bool,
    started: u64,
    exit_code: u32,
}

impl Stat {
    fn read(pid: u32) -> io::Result<Stat> {
        Stat::parse(&fs::read(format!("/proc/{pid}/stat"))?).ok_or_else(|| io::Error::from(io::ErrorKind::InvalidData))
    }

    /// Fields are numbered from the state, which follows the last parenthesis: the name before it is the process's own and can hold anything.
    fn parse(bytes: &[u8]) -> Option<Stat> {
        let behind = bytes.iter().rposition(|b| *b == b')')? + 1;
        let fields: Vec<&str> = std::str::from_utf8(&bytes[behind..]).ok()?.split_ascii_whitespace().collect();
        Some(Stat {
            state: fields.first()?.chars().next()?,
            is_exiting: fields.get(6)?.parse::<u64>().ok()? & PF_EXITING != 0,
            started: fields.get(19)?.parse().ok()?,
            exit_code: fields.get(49).and_then(|f| f.parse().ok()).unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixStream;
    use std::process::{Command, Stdio};

    fn wait_for_end(pidfd: &OwnedFd) {
        assert_eq!(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], None), Ok(1));
    }

    fn pidfd_of(pid: u32) -> (OwnedFd, u64) {
        (pidfd_open(Pid::from_raw(pid as i32).unwrap(), PidfdFlags::empty()).unwrap(), started(pid).unwrap())
    }

    // spec: PSM-9
    #[test]
    fn the_other_end_of_a_socket_is_known_from_the_operating_system() {
        let (a, _b) = UnixStream::pair().unwrap();
        let who = credentials(&a).unwrap();
        assert_eq!(who.pid, std::process::id());
        assert_eq!(who.started, started(std::process::id()).unwrap());
        assert_eq!(pidfd_pid(open_pidfd(&who).unwrap()), Some(who.pid));
        assert_eq!(pidfd_pid(own_pidfd().unwrap()), Some(who.pid));
        assert_eq!(pidfd_pid(&a), None);
        let later = Credentials { started: who.started + 1, ..who };
        assert_eq!(open_pidfd(&later).unwrap_err().kind(), io::ErrorKind::NotFound);
    }

    // spec: OUT-6
    #[test]
    fn a_childs_exit_status_and_signal_are_told() {
        for (script, expect) in [
            ("exit 7", Cause::Exit { status: 7 }),
            ("exit 0", Cause::Exit { status: 0 }),
            ("kill -9 $$", Cause::Signal { signal: 9, core: false }),
        ] {
            // The shell waits for a line, so that its pidfd is open before it ends.
            let mut child = Command::new("sh").arg("-c").arg(format!("read x; {script}")).stdin(Stdio::piped()).spawn().unwrap();
            let (pidfd, started) = pidfd_of(child.id());
            assert!(!has_ended(&pidfd), "{script}");
            drop(child.stdin.take());
            wait_for_end(&pidfd);
            assert!(has_ended(&pidfd), "a zombie has ended: {script}");
            assert_eq!(exit_cause(&pidfd, child.id(), started), expect, "{script}");
            assert!(has_ended(&pidfd), "one that was reaped has ended: {script}");
            assert!(child.wait().is_err(), "it is reaped already");
        }
    }

    // spec: PSM-10, PSM-12
    #[test]
    fn who_runs_or_is_stopped_is_not_ending_and_who_was_killed_is() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let (pid, started) = (child.id(), started(child.id()).unwrap());
        assert_eq!(ending_cause(pid, started), None);
        let signal = |signal| rustix::process::kill_process(Pid::from_raw(pid as i32).unwrap(), signal).unwrap();
        signal(rustix::process::Signal::STOP);
        waitid(WaitId::Pid(Pid::from_raw(pid as i32).unwrap()), WaitIdOptions::STOPPED | WaitIdOptions::NOWAIT).unwrap();
        assert_eq!(ending_cause(pid, started), None, "what stopped it does not end it");
        signal(rustix::process::Signal::KILL);
        wait_for_end(&pidfd_of(pid).0);
        assert_eq!(ending_cause(pid, started), Some(Cause::Signal { signal: 9, core: false }));
        assert_eq!(ending_cause(pid, started + 1), None, "that is another");
        child.wait().unwrap();
        assert_eq!(ending_cause(pid, started), None, "nobody has this pid");
    }

    // spec: OUT-6
    #[test]
    fn a_strangers_end_is_told_while_it_is_a_zombie_and_after_it_was_reaped() {
        // The grandchild is the parent shell's to reap. With `exec` the parent never does; with `wait` it does at once.
        for reaped in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let gate = dir.path().join("gate");
            rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
            let body = if reaped { "wait; echo reaped; cat" } else { "exec cat" };
            let mut parent = Command::new("sh")
                .arg("-c")
                .arg(format!("sh -c 'read x < {}; exit 5' & echo $!; {body}", gate.display()))
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
            let pid: u32 = lines.next().unwrap().unwrap().trim().parse().unwrap();
            let (pidfd, started) = pidfd_of(pid);
            fs::write(&gate, "go\n").unwrap();
            wait_for_end(&pidfd);
            if reaped {
                assert_eq!(lines.next().unwrap().unwrap(), "reaped");
            }
            let cause = exit_cause(&pidfd, pid, started);
            // Kernels before 6.15 forget what was reaped.
            assert!(cause == Cause::Exit { status: 5 } || (reaped && cause == Cause::Unknown), "{cause:?}");
            drop(parent.stdin.take());
            parent.wait().unwrap();
        }
    }

    #[test]
    fn a_process_name_full_of_brackets_does_not_confuse_the_reading() {
        let stat = "12 (a) R 1 (x)) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20";
        let parsed = Stat::parse(stat.as_bytes()).unwrap();
        assert_eq!((parsed.state, parsed.started, parsed.exit_code), ('Z', 777, 0));
        assert!(Stat::parse(b"12 (a").is_none());
    }
}
