//! The processes that the demo consists of.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;

use rustix::process::{Signal, getpid, kill_process};

use crate::lifeline::Tether;
use crate::place::Place;
use crate::service::{self, Input, Order};

/// Is the agent.
pub fn agent(place: &Path, arguments: Vec<OsString>) -> ExitCode {
    let tether = match Tether::tie(place) {
        Ok(tether) => tether,
        Err(error) => return failed(&error),
    };
    let over = tether.over().clone();
    let ender = thread::Builder::new().name("ender".into()).spawn(move || {
        let _ = over.recv();
        // As anybody would ask an agent to end. It can only fail if there is nobody left to end.
        let _ = kill_process(getpid(), Signal::TERM);
    });
    match ender {
        Ok(_) => tif_monitor::main(std::iter::once(OsString::from("tif-monitor")).chain(arguments)),
        Err(error) => failed(&error.into()),
    }
}

/// Is a process of the service.
pub fn indexer(place: &Path, run_dir: PathBuf, input: PathBuf, files_max: usize) -> ExitCode {
    let order = Order { input: Input { dir: input, files_max }, index: Place::index_in(place), run_dir };
    match Tether::tie(place).and_then(|tether| service::run(order, tether.over())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    eprintln!("tif-demo: {error:#}");
    ExitCode::FAILURE
}
