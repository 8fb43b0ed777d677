//! Threads for the service's code that may take its time: few, made when needed, kept for a while. Each sort of code has its own, so that none starves
//! another.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};

/// Jobs that wait. The agent asks for no more at once: it waits for at most 256 requests of each client.
const JOBS_MAX: usize = 4096;

/// A thread without work ends after so long.
const KEPT: Duration = Duration::from_secs(10);

/// For dynamic indicators. One that hangs takes one thread: it is not computed again before that is over.
pub(super) static COMPUTING: Pool = Pool::new("tif-compute", 8);
/// For procedures. An exporter begins only so many at once; this is the bound for all exporters of a process.
pub(super) static CALLING: Pool = Pool::new("tif-call", 64);
/// For validators. One that hangs takes one thread, as with dynamic indicators.
pub(super) static VALIDATING: Pool = Pool::new("tif-validate", 4);

type Job = Box<dyn FnOnce() + Send>;

/// At most so many threads.
pub(super) struct Pool {
    name: &'static str,
    threads_max: usize,
    state: Mutex<State>,
    work: Condvar,
}

struct State {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
}

impl Pool {
    const fn new(name: &'static str, threads_max: usize) -> Pool {
        let state = State { jobs: VecDeque::new(), threads: 0, idle: 0 };
        Pool { name, threads_max, state: Mutex::new(state), work: Condvar::new() }
    }

    /// Has the job done, as soon as there is a thread for it. False if too many wait, or the system gives no thread: it was not taken.
    pub(super) fn submit(&'static self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.state.lock();
        if state.jobs.len() >= JOBS_MAX {
            return false;
        }
        let has_thread = self.has_thread(&mut state) || state.threads > 0;
        self.take(state, has_thread, Box::new(job))
    }

    /// Has the job done now. False if there is no thread for it: it was not taken.
    pub(super) fn begin(&'static self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.state.lock();
        let has_thread = self.has_thread(&mut state);
        self.take(state, has_thread, Box::new(job))
    }

    fn take(&self, mut state: MutexGuard<'_, State>, is_taken: bool, job: Job) -> bool {
        if is_taken {
            state.jobs.push_back(job);
            self.work.notify_one();
        }
        // Without the lock: with a job that is not taken may go what comes back here.
        drop(state);
        is_taken
    }

    /// Whether a thread is free for one more job, made now if need be.
    fn has_thread(&'static self, state: &mut State) -> bool {
        if state.idle > state.jobs.len() {
            return true;
        }
        if state.threads == self.threads_max {
            return false;
        }
        match std::thread::Builder::new().name(self.name.into()).spawn(|| self.run()) {
            Ok(_) => {
                state.threads += 1;
                true
            }
            Err(error) => {
                tracing::error!(target: "tif::export", %error, "no thread for a job of the agent");
                false
            }
        }
    }

    fn run(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                drop(state);
                // Jobs catch what the service's code throws; this is for our own.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    tracing::error!(target: "tif::export", "a job of the agent panicked");
                }
                state = self.state.lock();
            } else {
                state.idle += 1;
                let is_over = self.work.wait_for(&mut state, KEPT).timed_out();
                state.idle -= 1;
                if is_over && state.jobs.is_empty() {
                    state.threads -= 1;
                    return;
                }
            }
        }
    }
}
