//! The workers: threads that take files from the queue at the pace that is set, and hash them.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded, select};
use parking_lot::Mutex;
use tif::{Instance, dims};

use super::entry::Entry;
use super::hash::hash;
use super::instruments::{Indexer, Verbosity, WorkerShown};
use super::pace::Pace;
use super::threads;

/// A file that is to be hashed.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its path below the input directory.
    pub path: PathBuf,
    /// Its size when it was found.
    pub size: u64,
    /// When it was found.
    pub found: Instant,
}

/// A file that was hashed, or could not be.
#[derive(Debug)]
pub struct Done {
    /// Which.
    pub task: Task,
    /// What is to be entered.
    pub entry: Entry,
}

/// What workers work with.
pub struct Bench {
    /// The service's instruments.
    pub shown: &'static Indexer,
    /// The input directory.
    pub input: PathBuf,
    /// Where the files come from.
    pub queue: Receiver<Task>,
    /// Where they go.
    pub done: Sender<Done>,
    /// When the next one is due.
    pub pace: Arc<Pace>,
}

/// The workers.
pub struct Pool {
    bench: Arc<Bench>,
    /// The first of them work, the others have been told to stop.
    workers: Mutex<Vec<Worker>>,
}

struct Worker {
    /// Dropped to tell it to stop.
    keep: Option<Sender<()>>,
    thread: JoinHandle<()>,
}

impl Pool {
    /// With nobody at work yet.
    pub fn new(bench: Bench) -> Pool {
        Pool { bench: Arc::new(bench), workers: Mutex::new(Vec::new()) }
    }

    /// So many workers from now on. Those that are too many finish the file that they have in hand.
    ///
    /// # Errors
    /// If the system gives no thread. There are fewer workers, then.
    pub fn resize(&self, count: usize) -> std::io::Result<()> {
        let mut workers = self.workers.lock();
        for surplus in workers.iter_mut().skip(count) {
            surplus.keep = None;
        }
        self.bench.pace.nudge();
        for number in 0..count {
            match workers.get_mut(number) {
                Some(worker) if worker.keep.is_some() => {}
                Some(worker) => {
                    let (fresh, send_before) = self.hire(number + 1, None)?;
                    let before = std::mem::replace(worker, fresh);
                    // It waits for it: the channel has room.
                    let _ = send_before.send(before.thread);
                }
                None => {
                    // Shown at once, not when its thread gets to it: a successor has the instruments that its predecessor had.
                    let (fresh, _) = self.hire(number + 1, Some(WorkerShown::export(dims![worker = number + 1])))?;
                    workers.push(fresh);
                }
            }
        }
        Ok(())
    }

    /// Starts a worker. Without instruments it shows its own, once the worker of its number that it is sent has gone: until then that one
    /// has the names.
    fn hire(&self, number: usize, shown: Option<Instance<WorkerShown>>) -> std::io::Result<(Worker, Sender<JoinHandle<()>>)> {
        let (keep, stop) = bounded(0);
        let (send_before, before) = bounded::<JoinHandle<()>>(1);
        let bench = Arc::clone(&self.bench);
        let thread = threads::start(format!("worker-{number}"), move || {
            let shown = shown.unwrap_or_else(|| {
                if let Ok(before) = before.recv() {
                    // A worker that has panicked has ended the process.
                    let _ = before.join();
                }
                WorkerShown::export(dims![worker = number])
            });
            bench.work(&shown, &stop);
        })?;
        Ok((Worker { keep: Some(keep), thread }, send_before))
    }
}

impl Bench {
    fn work(&self, shown: &WorkerShown, stop: &Receiver<()>) {
        let stopped = || stop.try_recv() == Err(TryRecvError::Disconnected);
        while self.pace.pass(stopped) {
            select! {
                recv(stop) -> _ => return,
                recv(self.queue) -> task => match task {
                    Ok(task) => {
                        self.shown.queue_depth.set(self.queue.len() as u64);
                        shown.reading.set(task.size);
                        let done = self.hash(task);
                        shown.reading.set(0);
                        shown.files.inc();
                        if self.done.send(done).is_err() {
                            return;
                        }
                    }
                    Err(_) => return,
                },
            }
        }
    }

    fn hash(&self, task: Task) -> Done {
        let entry = hash(&self.input.join(&task.path)).unwrap_or_else(|error| {
            self.shown.errors.inc();
            self.shown.say(Verbosity::Quiet, || format!("cannot read {}: {error}", task.path.display()));
            Entry { size: task.size, hash: None }
        });
        Done { task, entry }
    }
}
