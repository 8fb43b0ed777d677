//! Waiting for an agent to appear, asleep.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify;
use rustix::io::Errno;

use crate::RunDir;
use crate::connection::connect_to;

/// First pause before a socket that is there but refuses is tried again: an agent is between `bind` and `listen` for microseconds.
const RETRY_MIN: Duration = Duration::from_millis(1);
/// Longest such pause: the socket is a dead agent's, and the next agent's will be seen when it is made.
const RETRY_MAX: Duration = Duration::from_secs(1);
/// How long one trial may take when an agent is there but does not accept.
const TRIAL: Duration = Duration::from_millis(250);

/// Waits until an agent listens in the run directory: true. False when `timeout` is over or `waker` is readable.
///
/// Sleeps on changes of the directory, or of its nearest parent while it is not there.
pub fn wait_for_agent(run_dir: &RunDir, timeout: Duration, waker: Option<BorrowedFd<'_>>) -> bool {
    let deadline = Instant::now().checked_add(timeout);
    let mut pause = RETRY_MIN;
    loop {
        // First the watch, then the look: what appears in between is seen by either.
        let watch = watch_for(run_dir.path());
        let retry = match connect_to(&run_dir.socket(), TRIAL) {
            Ok(_) => return true,
            // Nothing there: only an event can change that, if events are to be had.
            Err(Errno::NOENT | Errno::NOTDIR) if watch.is_some() => RETRY_MAX.max(Duration::from_secs(60)),
            Err(_) => {
                let now = pause;
                pause = (pause * 2).min(RETRY_MAX);
                now
            }
        };
        let left = deadline.map(|d| d.saturating_duration_since(Instant::now()));
        if left.is_some_and(|l| l.is_zero()) {
            return false;
        }
        match sleep(watch.as_ref(), waker, left.map_or(retry, |l| l.min(retry))) {
            Woken::Waker => return false,
            Woken::Directory => pause = RETRY_MIN,
            Woken::Time => {}
        }
    }
}

enum Woken {
    Directory,
    Waker,
    Time,
}

fn sleep(watch: Option<&OwnedFd>, waker: Option<BorrowedFd<'_>>, time: Duration) -> Woken {
    let time = Timespec { tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX), tv_nsec: time.subsec_nanos().into() };
    let mut fds = Vec::with_capacity(2);
    fds.extend(waker.as_ref().map(|w| PollFd::new(w, PollFlags::IN)));
    fds.extend(watch.map(|w| PollFd::new(w, PollFlags::IN)));
    // An interruption counts as time: the caller looks and sleeps again.
    if poll(&mut fds, Some(&time)).is_err() {
        return Woken::Time;
    }
    let ready: Vec<bool> = fds.iter().map(|f| !f.revents().is_empty()).collect();
    match (waker, ready.as_slice()) {
        (Some(_), [true, ..]) => Woken::Waker,
        (Some(_), [_, true]) | (None, [true]) => Woken::Directory,
        _ => Woken::Time,
    }
}

/// An inotify descriptor on the directory or the nearest parent that is there. None if the system has none left.
fn watch_for(dir: &Path) -> Option<OwnedFd> {
    let watch = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK).ok()?;
    let events = inotify::WatchFlags::CREATE
        | inotify::WatchFlags::MOVED_TO
        | inotify::WatchFlags::ATTRIB
        | inotify::WatchFlags::DELETE_SELF
        | inotify::WatchFlags::MOVE_SELF;
    let dir = if dir.is_absolute() { dir.to_owned() } else { std::env::current_dir().ok()?.join(dir) };
    dir.ancestors().find(|d| inotify::add_watch(&watch, *d, events).is_ok())?;
    // What was there before the watch does not count.
    let mut space = [MaybeUninit::uninit(); 512];
    let mut reader = inotify::Reader::new(watch.as_fd(), &mut space);
    while reader.next().is_ok() {}
    Some(watch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;
    use std::thread;

    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn an_agent_that_comes_later_is_noticed_also_when_its_directory_comes_later() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::resolve(Some(&dir.path().join("deep/tif")));
        let waiter = thread::spawn({
            let run_dir = run_dir.clone();
            move || wait_for_agent(&run_dir, LONG, None)
        });
        let before = Instant::now();
        std::fs::create_dir_all(run_dir.path()).unwrap();
        let _listener = UnixListener::bind(run_dir.socket()).unwrap();
        assert!(waiter.join().unwrap());
        assert!(before.elapsed() < LONG / 2);
    }

    #[test]
    fn the_socket_of_a_dead_agent_is_no_agent() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::resolve(Some(dir.path()));
        drop(UnixListener::bind(run_dir.socket()).unwrap());
        assert!(!wait_for_agent(&run_dir, Duration::from_millis(20), None));
        std::fs::remove_file(run_dir.socket()).unwrap();
        let _listener = UnixListener::bind(run_dir.socket()).unwrap();
        assert!(wait_for_agent(&run_dir, LONG, None));
    }

    #[test]
    fn the_waker_ends_the_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::resolve(Some(dir.path()));
        let waker = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
        rustix::io::write(&waker, &1u64.to_ne_bytes()).unwrap();
        let before = Instant::now();
        assert!(!wait_for_agent(&run_dir, LONG, Some(waker.as_fd())));
        assert!(before.elapsed() < LONG / 2);
    }
}
