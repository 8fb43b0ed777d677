//! The local socket: whoever comes in passes the [`door`]; inside is only what was checked there.

pub mod connection;
pub mod door;
pub mod listener;
mod outgoing;

pub use connection::Connection;
pub use door::{Guest, Knock};
pub use listener::Listener;
