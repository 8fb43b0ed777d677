//! The primary's work: whatever the index lacks of the input, until it lacks nothing.
//!
//! walk → queue → workers → writer → index. A file that got lost on the way is still missing in the index, so the next walk finds it
//! again: nothing else has to be remembered, neither here nor by a successor.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::Context;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;

use super::flow::Flow;
use super::index::Index;
use super::instruments::{Indexer, Phase, Verbosity};
use super::pace::Pace;
use super::pool::{Bench, Pool, Task};
use super::rate::Rate;
use super::threads;
use super::tree::Tree;
use super::writer::Writer;

/// Files that wait for a worker: a walk is much faster than the workers, and need not be further ahead.
const QUEUE_MAX: usize = 256;
/// Hashed files that wait for the writer.
const DONE_MAX: usize = 64;
/// After a walk of which nothing could be entered, the next one waits.
const PAUSE: Duration = Duration::from_secs(1);

/// What is to be indexed.
#[derive(Clone, Debug)]
pub struct Input {
    /// The directory.
    pub dir: PathBuf,
    /// At most so many files of it.
    pub files_max: usize,
}

/// The work in progress.
pub struct Job {
    pub(super) shown: &'static Indexer,
    pub(super) index: Mutex<Index>,
    pub(super) flow: Flow,
    input: Input,
    /// Rung when there may be something to do again.
    bell: Sender<()>,
}

/// The job of this process, once it is the primary.
static CURRENT: OnceLock<Arc<Job>> = OnceLock::new();

/// The job of this process.
///
/// # Errors
/// If it is not the primary.
pub fn current() -> anyhow::Result<Arc<Job>> {
    CURRENT.get().cloned().context("this process stands by: the primary indexes")
}

impl Job {
    /// Begins, and stays the job of this process.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn begin(input: Input, shown: &'static Indexer, index: Index) -> anyhow::Result<()> {
        let job = Job::start(input, shown, index).context("cannot start the indexer's threads")?;
        // A process takes an index once: a second time the index itself would refuse.
        let _ = CURRENT.set(job);
        Ok(())
    }

    fn start(input: Input, shown: &'static Indexer, index: Index) -> std::io::Result<Arc<Job>> {
        shown.files.add(index.contents().entered);
        shown.bytes.add(index.contents().entered_bytes);
        let (bell, rung) = bounded(1);
        let (send_task, queue) = bounded(QUEUE_MAX);
        let (send_done, done) = bounded(DONE_MAX);
        let pace = Arc::new(Pace::new(shown.throttle.get()));
        let job = Arc::new(Job { shown, index: Mutex::new(index), flow: Flow::default(), input: input.clone(), bell });

        let rate = Rate::new(shown.files.get());
        shown.rate.provide(move || rate.over_last(Duration::from_secs(2), shown.files.get()));
        let pool = Arc::new(Pool::new(Bench { shown, input: input.dir, queue, done: send_done, pace: Arc::clone(&pace) }));
        shown.throttle.on_change(move |rate| pace.set(*rate));
        pool.resize(shown.workers.get() as usize)?;
        shown.workers.on_change(move |count| {
            if let Err(error) = pool.resize(*count as usize) {
                shown.errors.inc();
                shown.say(Verbosity::Quiet, || format!("cannot have {count} workers: {error}"));
            }
        });
        let writer = Writer::new(Arc::clone(&job), done);
        threads::start("writer".into(), move || writer.run())?;
        let walker = Arc::clone(&job);
        threads::start("walker".into(), move || walker.walk(&send_task, &rung))?;
        Ok(job)
    }

    /// Takes what is below a path out of the index, so that it is indexed again.
    ///
    /// # Errors
    /// If the index cannot be written. It is as it was.
    pub fn rescan(&self, below: &Path) -> anyhow::Result<u64> {
        let count = self.index.lock().forget(below)?;
        self.shown.say(Verbosity::Normal, || format!("{count} files below {below:?} are to be indexed again"));
        // If it is rung already, the walk that follows sees this, too.
        let _ = self.bell.try_send(());
        Ok(count)
    }

    fn walk(&self, queue: &Sender<Task>, rung: &Receiver<()>) {
        let shown = self.shown;
        loop {
            shown.phase.set(Phase::Walking);
            let tree = Tree::walk(&self.input.dir, self.input.files_max);
            shown.errors.add(tree.unreadable);
            let missing = self.missing(tree);
            let before = shown.files.get();
            if missing.is_empty() {
                shown.phase.set(Phase::Done);
                shown.say(Verbosity::Normal, || format!("done: {before} files were entered"));
                // The bell is ours as long as the job lives.
                let _ = rung.recv();
                continue;
            }
            shown.phase.set(Phase::Indexing);
            shown.say(Verbosity::Normal, || format!("{} files are to be indexed", missing.len()));
            for (path, size) in missing {
                self.flow.enter();
                if queue.send(Task { path, size, found: Instant::now() }).is_err() {
                    return;
                }
                shown.queue_depth.set(queue.len() as u64);
            }
            self.flow.wait_empty();
            if shown.files.get() == before {
                let _ = rung.recv_timeout(PAUSE);
            }
        }
    }

    fn missing(&self, tree: Tree) -> Vec<(PathBuf, u64)> {
        let index = self.index.lock();
        tree.files.into_iter().filter(|(path, _)| !index.contents().entries.contains_key(path)).collect()
    }
}
