//! What the indexer shows and lets be changed.

use tif::{Control, Counter, Dynamic, Exported, Histogram, Indicator, TestPoint};

use super::job;

/// The indexer of a directory tree.
#[derive(tif::Instruments)]
#[tif(service = "indexer", standby)]
pub struct Indexer {
    /// Files entered into the index, by this primary and those before it.
    #[tif(at_most_every = "50ms")]
    pub files: Counter,
    /// Bytes of the files entered.
    #[tif(unit = "By", at_most_every = "100ms")]
    pub bytes: Counter,
    /// Files that could not be read or not be entered.
    #[tif(warn = 1)]
    pub errors: Counter,
    /// Files found that wait for a worker.
    #[tif(name = "queue.depth", deadband = 8, warn = 200, critical = 250, hysteresis = 16, at_most_every = "100ms")]
    pub queue_depth: Indicator<u64>,
    /// From when a file was found until it was in the index.
    #[tif(unit = "s", at_most_every = "500ms")]
    pub latency: Histogram,
    /// Files entered per second, over the last two seconds.
    #[tif(unit = "1/s", deadband = 1, every = "250ms")]
    pub rate: Dynamic<f64>,
    /// What it is doing.
    pub phase: Indicator<Phase>,
    /// Threads that read and hash.
    #[tif(range = 1..=16, default = 2, memorized)]
    pub workers: Control<u32>,
    /// Files entered with one write.
    #[tif(range = 1..=256, default = 8, memorized)]
    pub batch: Control<u32>,
    /// Files per second that the workers together may take; 0 is no limit.
    #[tif(unit = "1/s", range = 0..=100_000, default = 100, memorized)]
    pub throttle: Control<u32>,
    /// What it says on its standard error.
    #[tif(default = Verbosity::Normal, memorized)]
    pub verbosity: Control<Verbosity>,
    /// Just before a file is entered into the index.
    pub before_write: TestPoint<Pass>,
}

/// The instruments of one worker.
#[derive(tif::Instruments)]
#[tif(service = "indexer", path = "worker", standby)]
pub struct WorkerShown {
    /// Files that this worker has read.
    #[tif(at_most_every = "250ms")]
    pub files: Counter,
    /// Bytes of the file that it reads now; 0 while it waits.
    #[tif(unit = "By", at_most_every = "250ms")]
    pub reading: Indicator<u64>,
}

/// The instruments of this process.
pub static INDEXER: Exported<Indexer> = Exported::new();

/// What the indexer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, tif::Choice)]
pub enum Phase {
    /// Another process is the primary.
    Standby,
    /// It looks which files there are and which of them are missing in the index.
    Walking,
    /// It reads files and enters them.
    Indexing,
    /// Everything is in the index.
    Done,
}

/// How much the indexer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, tif::Choice)]
pub enum Verbosity {
    /// Only what went wrong.
    Quiet,
    /// Each phase, too.
    Normal,
    /// Each file, too.
    Chatty,
}

/// A file on its way into the index.
#[derive(tif::Record)]
pub struct Pass {
    /// Its path below the input directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

#[tif::procedures]
impl Indexer {
    /// Takes what is below a path out of the index, so that it is indexed again; answers how many files that are. An empty path is everything.
    #[procedure(timeout = "5s")]
    fn rescan(&self, below: String) -> Result<u64, anyhow::Error> {
        job::current()?.rescan(below.as_ref())
    }
}

impl Indexer {
    /// Says something on standard error, if that much is wanted.
    pub fn say(&self, from: Verbosity, text: impl FnOnce() -> String) {
        if self.verbosity.get() >= from {
            eprintln!("indexer[{}]: {}", std::process::id(), text());
        }
    }
}
