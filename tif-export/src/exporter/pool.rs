//! Threads for the service's code that may take its time: few, made when needed, kept.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};

use parking_lot::{Condvar, Mutex};

/// Jobs that wait. The agent asks for no more at once: it waits for at most 256 requests of each client.
const JOBS_MAX: usize = 4096;

/// For dynamic indicators: a slow one does not hold up a procedure.
pub(super) static COMPUTING: Pool = Pool::new("tif-compute", 2);
/// For procedures: one that hangs does not hold up the others.
pub(super) static CALLING: Pool = Pool::new("tif-call", 4);

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

    /// Has the job done. False if too many wait, or the system gives no thread: it was not taken.
    pub(super) fn submit(&'static self, job: impl FnOnce() + Send + 'static) -> bool {
        let mut state = self.state.lock();
        if state.jobs.len() >= JOBS_MAX {
            return false;
        }
        state.jobs.push_back(Box::new(job));
        if state.idle >= state.jobs.len() || state.threads == self.threads_max {
            self.work.notify_one();
            return true;
        }
        match std::thread::Builder::new().name(self.name.into()).spawn(|| self.run()) {
            Ok(_) => state.threads += 1,
            Err(error) => {
                tracing::error!(target: "tif::export", %error, "no thread for a job of the agent");
                if state.threads == 0 {
                    let job = state.jobs.pop_back();
                    // Without the lock: with it may go what comes back here.
                    drop(state);
                    drop(job);
                    return false;
                }
            }
        }
        true
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
                self.work.wait(&mut state);
                state.idle -= 1;
            }
        }
    }
}
