//! The monitor agent of one CPU: the shell around [`tif_core::agent::Agent`].
//!
//! The core decides; this crate reads sockets, segments, pidfds and clocks, hands what it saw in, and does what comes out. It has no `if` about
//! the protocol.
//!
//! - [`daemon`]: from arguments to a running agent. [`main`] is all that a binary needs.
//! - [`shell`]: the one loop.
//! - [`local`]: the socket, the connections, and the door with its checks.
//! - [`store`]: what survives a kill.
//! - [`supervisor`]: starts processes of services from their launch specifications.
//! - [`host`]: the kernel's figures and the agent's own, as instruments.
//! - [`fabric`]: what will carry messages between agents.
#![forbid(unsafe_code)]

pub mod args;
pub mod config;
pub mod daemon;
pub mod fabric;
pub mod host;
pub mod local;
pub mod lock;
pub mod shell;
pub mod store;
pub mod supervisor;

pub use daemon::main;
