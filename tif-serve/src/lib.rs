//! The importer's side of TIF: a library to discover, watch, sense and change instruments, and the command line `tif-serve`.
//!
//! - [`importer`]: one connection to the CPU's agent, kept alive; events, requests, and a table that never shows anything old as fresh.
//! - [`expression`]: conditions over instruments, as `tif-serve wait` takes them.
//! - [`json`]: rows and events as JSON, the same for every way out.
//! - [`cli`]: the commands, one file each.
// spec: SRV-1
#![forbid(unsafe_code)]

pub mod cli;
pub mod expression;
pub mod importer;
pub mod json;
