//! What carries messages between agents: a small synchronous interface, so that no protocol knows which engine is below.
//!
//! Nothing above it may rely on delivery or order: what counts is numbered and digested by the agents themselves. With one CPU nothing is sent.
// spec: FAB-1, FAB-2

#[cfg(test)]
mod conformance;
mod endpoint;
mod inbox;
mod mem;
mod zenoh;

use std::fmt;

use tif_core::model::{Name, NodeId};

pub use self::zenoh::{CannotOpen, Net, ZenohFabric};
pub use endpoint::{Endpoint, NoEndpoint};
pub use mem::MemFabric;

/// An agent on the fabric.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// The CPU's number.
    pub node: NodeId,
    /// Its name.
    pub cpu: Name,
    /// The agent's start number.
    pub agent_epoch: u32,
}

/// What comes from the fabric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A peer can be seen. A hint, never the authority.
    Appeared(Peer),
    /// A peer can no longer be seen. A hint, too.
    Vanished(NodeId),
    /// Bytes from a peer.
    Message {
        /// From whom.
        from: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// So many arrivals were dropped because nobody took them: ask for what is missing.
    Gap(u64),
}

/// What became of bytes that were to be sent. No promise that they arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On their way.
    Sent,
    /// Dropped for want of room.
    Dropped,
    /// Nobody of that number can be seen.
    NoSuchPeer,
}

/// What an agent needs of it.
pub trait Fabric: Send + fmt::Debug {
    /// Shows the own agent to the others, and learns of them: each that is there comes as [`Arrival::Appeared`].
    fn announce(&mut self, own: Peer);
    /// Sends to one peer. Never waits.
    fn send(&mut self, to: NodeId, bytes: &[u8]) -> Outcome;
    /// The next arrival; none if there is none now.
    fn receive(&mut self) -> Option<Arrival>;
    /// Calls this after something arrived.
    fn on_arrival(&mut self, wake: Box<dyn Fn() + Send + Sync>);
}
