//! Wakes the importer's thread from its poll.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

/// An eventfd: any number of wakes before the thread looks are one.
#[derive(Debug)]
pub(super) struct Waker(OwnedFd);

impl Waker {
    pub(super) fn new() -> io::Result<Waker> {
        Ok(Waker(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    pub(super) fn wake(&self) {
        // Fails only when it is full of wakes already.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Takes what has been written.
    pub(super) fn drain(&self) {
        let _ = rustix::io::read(&self.0, &mut [0u8; 8]);
    }

    /// Sleeps until the time is over, or a wake after which `enough` says so.
    pub(super) fn sleep(&self, time: Duration, enough: impl Fn() -> bool) {
        let deadline = Instant::now() + time;
        while !enough() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            // An interruption is a reason to look, as anything else. A wake that is left where it is would end the next sleep at once.
            let _ = poll(&mut [PollFd::new(&self.0, PollFlags::IN)], Some(&left));
            self.drain();
        }
    }
}

impl AsFd for Waker {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn a_wake_that_is_none_of_its_business_does_not_shorten_a_pause() {
        let waker = Waker::new().unwrap();
        let pause = Duration::from_millis(10);
        for _ in 0..2 {
            waker.wake();
            let since = Instant::now();
            waker.sleep(pause, || false);
            assert!(since.elapsed() >= pause);
        }
        // One that matters ends it.
        waker.wake();
        let looked = Cell::new(0);
        waker.sleep(Duration::from_secs(600), || looked.replace(looked.get() + 1) > 0);
        assert_eq!(looked.get(), 2);
    }
}
