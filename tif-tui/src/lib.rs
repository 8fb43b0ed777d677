//! The screen: instruments, outages and processes of this CPU's services on a terminal, with everything that can be done to them.
//!
//! - [`run`]: shows it until the user quits; [`Options`] say what, and may add a key of the caller's own ([`Extra`]).
//! - [`main`]: the program `tif-tui`.
//!
//! Inside: `message` is the one thing that the loop in `run` waits for; `app` is the state and what changes it; `model` is what is known and
//! knows nothing of `view`, which shows it; `keymap` says which key does what; `backend` does what takes time.
#![forbid(unsafe_code)]

mod app;
mod backend;
mod command_line;
mod keymap;
mod message;
mod model;
mod options;
mod run;
mod terminal;
mod view;

#[cfg(test)]
mod screens;

pub use options::{Extra, Options, main};
pub use run::run;
