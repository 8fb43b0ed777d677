//! What any process needs to talk to the agent of its CPU: where the agent is, a framed connection, descriptors that travel with messages, and what the
//! operating system says of the other end.
//!
//! - [`RunDir`]: where the agent's socket lies.
//! - [`Connection`], [`Sender`]: one process's connection after its `Hello`.
//! - [`wait_for_agent`]: sleeps until there is an agent.
//! - [`fd`]: descriptors through a socket, for both ends.
//! - [`peer`]: who the other end is and how it ended.
#![deny(unsafe_code)]

mod appear;
mod connection;
mod error;
pub mod fd;
mod hello;
mod os;
pub mod peer;
mod run_dir;

pub use appear::wait_for_agent;
pub use connection::{Connection, Sender};
pub use error::{ConnectError, ProtocolError};
pub use hello::hello;
pub use peer::own_pidfd;
pub use run_dir::RunDir;
