//! The command line.

use std::path::PathBuf;

use clap::Parser;
use tif_core::model::Name;

/// Look after all exporters and importers of this CPU.
#[derive(Clone, Debug, Parser)]
#[command(name = "tif-monitor", version, about)]
pub struct Args {
    /// What this CPU is called.
    #[arg(long, value_name = "NAME")]
    pub cpu: Option<Name>,
    /// Where processes find the agent [default: $TIF_RUN_DIR, else $XDG_RUNTIME_DIR/tif, else /run/tif].
    #[arg(long, value_name = "DIR")]
    pub run_dir: Option<PathBuf>,
    /// Where the agent keeps what must survive it.
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Launch specifications of services, the net to other CPUs, and defaults for the above.
    ///
    /// node = 2: this CPU's number in its system, which no other has. fabric.listen = ["tcp/127.0.0.1:7447"]: where the others reach this agent; fabric.connect: where
    /// it reaches them; fabric.realm ("tif"): only agents of one realm see each other; fabric.voters = [1, 2, 3]: the CPUs that vote on who leads a service, the same
    /// on all, a majority of which must be up. See --found.
    ///
    /// [service.NAME] with command = ["program", "argument"], env, cwd, members (1), start (true: what is missing is started two seconds after the agent;
    /// false: only lost members are replaced), hung_after, output ("log" or "inherit"). A member that takes its leave is not replaced until the next boot or until
    /// somebody starts it again. Launches that fail are tried again with growing pauses, and are logged with when.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What is logged on stderr: error, warn, info, debug, trace, or by room, as `info,tif::door=debug`.
    #[arg(long, value_name = "FILTER", default_value = "info", env = "TIF_LOG")]
    pub log: String,
    /// Make the store of this CPU as one of the founders of a new system, and end.
    ///
    /// Once on each CPU that votes, before its agent's first start. A voter whose store is made otherwise is taken for one that has lost it: it votes when a
    /// majority of the others has told what it may have promised. Never do this for a CPU that had a store: changes that were accepted could be lost.
    #[arg(long)]
    pub found: bool,
    /// Export only the agent's own figures (service `tif`), not the kernel's (service `host`).
    #[arg(long)]
    pub no_host: bool,
}
