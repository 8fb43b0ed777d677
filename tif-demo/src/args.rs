//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Shows what the facility does: a service with a standby, an agent, and whoever watches.
///
/// Starts an agent and two processes of the service `indexer`, which indexes a directory tree, in directories of its own. In a terminal it
/// then shows the screen, where a key kills the primary; elsewhere it tells in lines what happens, and ends with status 0 if everything did.
#[derive(Debug, Parser)]
#[command(name = "tif-demo", version, about, args_conflicts_with_subcommands = true)]
pub struct Arguments {
    /// The part of the demo that this process is, if it is not all of it.
    #[command(subcommand)]
    pub part: Option<Part>,
    /// What is wanted of the demo.
    #[command(flatten)]
    pub demo: Demo,
}

/// What is wanted of the demo.
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// Tell the story in lines, also in a terminal
    #[arg(long)]
    pub story: bool,
    /// The directory to index [default: the Rust toolchain's, or another that is large enough]
    #[arg(long, value_name = "DIR")]
    pub input: Option<PathBuf>,
    /// Index at most so many files [default: 2500, in a terminal 20000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    pub files_max: Option<u32>,
    /// The story gives up after this time
    #[arg(long, value_name = "N", default_value_t = 120, value_parser = clap::value_parser!(u64).range(10..=3600))]
    pub seconds: u64,
    /// Leave the directories when it is over
    #[arg(long)]
    pub keep: bool,
    /// Where the agent is to be found, so that other programs can look on [default: in a directory of its own]
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
}

/// A process of the demo: this program runs itself anew for each.
#[derive(Debug, Subcommand)]
pub enum Part {
    /// The CPU's agent; what follows is for it
    #[command(hide = true)]
    Agent {
        /// The demo's directory
        #[arg(long)]
        place: PathBuf,
        /// The agent's own arguments
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// A process of the service
    #[command(hide = true)]
    Indexer {
        /// The demo's directory
        #[arg(long)]
        place: PathBuf,
        /// Where the agent is
        #[arg(long)]
        run_dir: PathBuf,
        /// What to index
        #[arg(long)]
        input: PathBuf,
        /// How many files of it
        #[arg(long)]
        files_max: usize,
    },
}
