//! From arguments to a running agent, and its exit status: 0 after an orderly end, 1 if it cannot run, 2 for mistakes in how it was called and when
//! another agent is there.

use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use tif_process::RunDir;
use tracing_subscriber::EnvFilter;

use crate::args::Args;
use crate::config::Config;
use crate::fabric::{Fabric, MemFabric, ZenohFabric};
use crate::host;
use crate::lock::{Lock, LockError};
use crate::shell::{Ended, Setup, Shell, Signals};
use crate::store::{Place, Sqlite, StoreError};
use crate::supervisor::Supervisor;

/// Wrongly called, or not wanted here.
const USAGE: u8 = 2;

/// The whole program, for a binary of any name. `args` begins with the program's own name.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            let status = error.exit_code();
            let _ = error.print();
            return ExitCode::from(u8::try_from(status).unwrap_or(USAGE));
        }
    };
    match run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure { status, error }) => {
            eprintln!("tif-monitor: {error:#}");
            ExitCode::from(status)
        }
    }
}

struct Failure {
    status: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Failure {
        Failure { status: 1, error: error.into() }
    }
}

fn usage(error: impl Into<anyhow::Error>) -> Failure {
    Failure { status: USAGE, error: error.into() }
}

fn run(args: Args) -> Result<(), Failure> {
    // What the fabric says of its links is for who asks for it; what comes of them is said by the agent itself.
    let filter = format!("zenoh=off,{}", args.log).parse::<EnvFilter>().map_err(|e| usage(anyhow::anyhow!("--log {:?}: {e}", args.log)))?;
    // Tests may run several agents in one process; the first one's filter stays.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colours()).try_init();
    let config = args.config.as_deref().map(Config::read).transpose().map_err(usage)?.unwrap_or_default();
    for what in config.missing_programs() {
        tracing::error!(target: "tif::supervisor", what, "it cannot be launched; it is tried again and again when a member is missing");
    }
    let cpu = args.cpu.or(config.cpu.clone()).ok_or_else(|| usage(anyhow::anyhow!("say what this CPU is called: --cpu NAME")))?;
    let state_dir = args.state_dir.or(config.state_dir.clone());
    let state_dir = state_dir.ok_or_else(|| usage(anyhow::anyhow!("say where to keep what must survive the agent: --state-dir DIR")))?;
    let run_dir = RunDir::resolve(args.run_dir.as_deref().or(config.run_dir.as_deref()));

    if args.found {
        return found(&state_dir, &config.place());
    }
    let _run_lock = Lock::take(&run_dir).map_err(locked)?;
    let _state_lock = Lock::take_state(&state_dir).map_err(locked)?;
    many_descriptors();
    let signals = Signals::catch().context("cannot catch signals")?;
    let mut store = Sqlite::open(&state_dir)?;
    let place = config.place();
    store.settle(&place).map_err(usage)?;
    // With one CPU nothing is sent.
    let fabric: Box<dyn Fabric> = match config.net() {
        Some(net) => Box::new(ZenohFabric::open(net)?),
        None => Box::new(MemFabric::default()),
    };
    let mut shell = Shell::start(Setup {
        cpu,
        run_dir: run_dir.clone(),
        store_is_new: store.is_new(),
        store: Box::new(store),
        supervisor: Supervisor::new(config.service.clone(), run_dir.path(), &state_dir),
        policies: config.policies(),
        voters: place.voters.into_iter().collect(),
        fabric,
        signals: Some(signals),
    })?;
    let _host = host::start(&mut shell, &run_dir, !args.no_host);
    match shell.run().context("cannot wait for events")? {
        Ended::Asked => Ok(()),
        // Everything that this life held ends with its program.
        // spec: PSM-10
        Ended::Anew => Err(anyhow::Error::from(again()).context("cannot begin anew").into()),
    }
}

/// Makes the store of a founding CPU, and nothing else.
// spec: GRP-9
fn found(state_dir: &Path, place: &Place) -> Result<(), Failure> {
    if !place.voters.contains(&place.node) {
        return Err(usage(anyhow::anyhow!(
            "CPU {} does not vote, so there is nothing to found: see `voters` in the configuration",
            place.node
        )));
    }
    let _state_lock = Lock::take_state(state_dir).map_err(locked)?;
    Sqlite::found(state_dir, place).map_err(|error| match error {
        StoreError::NotFirst { .. } => usage(error),
        error => error.into(),
    })?;
    println!("{} holds the store of {place}, a founder of its system", state_dir.display());
    Ok(())
}

/// The same program once more, as it was called. Does not return if that succeeds.
fn again() -> std::io::Error {
    use std::os::unix::process::CommandExt;
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    std::process::Command::new("/proc/self/exe").arg0(name).args(arguments).exec()
}

/// Another agent is there, or the directory is not fit: a mistake in the call. What the operating system refuses is not.
fn locked(error: LockError) -> Failure {
    match error {
        LockError::Held { .. } | LockError::Unsafe { .. } => usage(error),
        LockError::Io { .. } => error.into(),
    }
}

/// A log that goes to a file or to another program is plain text.
fn colours() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

/// Every exporter costs four descriptors: take all that the operating system allows.
fn many_descriptors() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(target: "tif::shell", %error, "the limit of open descriptors stays as it is");
    }
}
