//! Enters what the workers have hashed into the index, several files with one write.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::instruments::{Pass, Verbosity};
use super::job::Job;
use super::pool::Done;

/// A file waits no longer than this for others to be entered with.
const LINGER: Duration = Duration::from_millis(50);

/// Files that are hashed and not yet entered.
pub struct Writer {
    job: Arc<Job>,
    done: Receiver<Done>,
    batch: Vec<Done>,
}

impl Writer {
    /// Of a job.
    pub fn new(job: Arc<Job>, done: Receiver<Done>) -> Writer {
        Writer { job, done, batch: Vec::new() }
    }

    /// Goes on until there are no workers any more.
    pub fn run(mut self) {
        let mut since = Instant::now();
        loop {
            let next = if self.batch.is_empty() {
                self.done.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.done.recv_deadline(since + LINGER)
            };
            match next {
                Ok(done) => {
                    if self.batch.is_empty() {
                        since = Instant::now();
                    }
                    self.take(done);
                    if self.batch.len() >= self.job.shown.batch.get() as usize {
                        self.write();
                    }
                }
                Err(RecvTimeoutError::Timeout) => self.write(),
                Err(RecvTimeoutError::Disconnected) => {
                    self.write();
                    return;
                }
            }
        }
    }

    fn take(&mut self, done: Done) {
        let shown = self.job.shown;
        let pass = || Pass { path: done.task.path.display().to_string(), size: done.entry.size };
        match shown.before_write.pass(pass) {
            Ok(()) => self.batch.push(done),
            Err(error) => {
                shown.errors.inc();
                shown.say(Verbosity::Quiet, || format!("{} stays out for now: {error}", done.task.path.display()));
                self.job.flow.leave(1);
            }
        }
    }

    fn write(&mut self) {
        let shown = self.job.shown;
        let count = self.batch.len();
        let entries = self.batch.iter().map(|d| (d.task.path.clone(), d.entry)).collect();
        let entered = self.job.index.lock().enter(entries);
        match entered {
            Ok((files, bytes)) => {
                shown.files.add(files);
                shown.bytes.add(bytes);
                for done in self.batch.drain(..) {
                    shown.latency.record(done.task.found.elapsed());
                    shown.say(Verbosity::Chatty, || format!("entered {}", done.task.path.display()));
                }
            }
            Err(error) => {
                shown.errors.add(count as u64);
                shown.say(Verbosity::Quiet, || format!("{count} files stay out for now: {error:#}"));
                self.batch.clear();
            }
        }
        self.job.flow.leave(count);
    }
}
