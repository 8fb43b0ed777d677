//! `tif-demo`: the whole facility in one program, with real processes and real work.
//!
//! It starts itself again for each of its parts: an agent, and two processes of a service that indexes a directory tree. Then it is an
//! importer like any other: the screen in a terminal, a story in lines elsewhere.
#![forbid(unsafe_code)]

mod args;
mod children;
mod input;
mod lifeline;
mod part;
mod place;
mod primary;
mod service;
mod show;
mod stage;
mod story;
mod terminal;
mod walk;

use std::process::ExitCode;

use args::{Arguments, Part};
use clap::Parser;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.part {
        Some(Part::Agent { place, arguments }) => part::agent(&place, arguments),
        Some(Part::Indexer { place, run_dir, input, files_max }) => part::indexer(&place, run_dir, input, files_max),
        None => show::run(&arguments.demo),
    }
}
