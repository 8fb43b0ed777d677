//! The service of the demo: `indexer` keeps an index of a directory tree, with name, size and hash of every file.
//!
//! One process is the primary and works; the others stand by. The index is a file; whoever becomes primary reads it and goes on with what
//! is missing in it.

mod entry;
mod flow;
mod hash;
mod index;
mod instruments;
mod job;
mod pace;
mod pool;
mod rate;
mod record;
mod threads;
mod tree;
mod writer;

use std::path::PathBuf;
use std::process;

use anyhow::Context;
use crossbeam_channel::bounded;
use tif::Service;

pub use entry::Entry;
pub use index::Contents;
pub use job::Input;
pub use tree::{FILE_SIZE_MAX, Tree};

use index::Index;
use instruments::{INDEXER, Phase, Verbosity};
use job::Job;

/// The name of the service.
pub const NAME: &str = "indexer";
/// The end of a process that cannot do what its role asks; another one may.
const STATUS_FAILED: i32 = 1;

/// What a process of the service is told.
#[derive(Clone, Debug)]
pub struct Order {
    /// What to index.
    pub input: Input,
    /// Where the index is.
    pub index: PathBuf,
    /// Where the agent is.
    pub run_dir: PathBuf,
}

/// Is a process of the service until `over` comes.
///
/// # Errors
/// If it cannot be one.
pub fn run(order: Order, over: &crossbeam_channel::Receiver<()>) -> anyhow::Result<()> {
    INDEXER.phase.set(Phase::Standby);
    let run_dir = order.run_dir.clone();
    let (deposed, end) = bounded::<()>(1);
    let service = Service::of(&INDEXER)
        .run_dir(run_dir)
        .standby(true)
        .on_promoted(move |epoch| {
            if let Err(error) = take_over(&order, epoch.0) {
                eprintln!("indexer[{}]: cannot take over in term {epoch}: {error:#}", process::id());
                // Dead, it makes room for one that can.
                process::exit(STATUS_FAILED);
            }
        })
        .on_demoted(move |_| {
            // One is enough.
            let _ = deposed.try_send(());
        })
        .start()
        .context("cannot be a process of the service")?;
    crossbeam_channel::select! {
        recv(over) -> _ => {}
        // Another one writes the index from now on: the lock on it goes with this process.
        recv(end) -> _ => INDEXER.say(Verbosity::Quiet, || "deposed".into()),
    }
    service.unregister();
    Ok(())
}

/// The takeover is complete when this returns: the counters go on where the predecessor's ended before anybody sees them.
fn take_over(order: &Order, term: u64) -> anyhow::Result<()> {
    let index = Index::take(&order.index, term)?;
    INDEXER.say(Verbosity::Normal, || {
        let contents = index.contents();
        format!(
            "primary in term {term}: {} files are in the index, {} bytes of torn tail were cut off",
            contents.entries.len(),
            contents.torn
        )
    });
    Job::begin(order.input.clone(), &INDEXER, index)
}
