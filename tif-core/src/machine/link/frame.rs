//! What goes over the fabric, and what comes out of a link.

use serde::{Deserialize, Serialize};

use crate::model::Key;

/// One datagram of a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame<T> {
    /// The sender's life.
    // spec: PSM-11
    pub from: Key,
    /// The receiver's, as the sender knows it.
    pub to: Key,
    /// Which stream between these two lives; grows with every reset.
    pub stream: u64,
    /// All messages up to this number have come.
    pub ack: u64,
    /// And of the 64 after the one that is missing, those whose bit is set.
    pub beyond: u64,
    /// What else it says.
    pub body: Body<T>,
}

/// The body of a frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Body<T> {
    /// Nothing but the acknowledgement.
    Ack,
    /// The stream was begun anew: say that you know.
    Begin,
    /// A message and its number, from 1.
    Message(u64, T),
}

/// What a link hands up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered<T> {
    /// The next message of the stream.
    Message(T),
    /// The stream was begun anew: what was sent and not delivered is lost, in both directions. Both sides say anew what the other must know.
    Reset(Reset),
}

/// Why a stream was begun anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reset {
    /// The other side did.
    ByPeer,
    /// The other side acknowledged nothing for too long.
    Unacknowledged,
}

/// What became of a link's frames that came in and did nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// They named other lives than these two.
    pub other_life: u64,
    /// They belong to a stream that is over.
    pub old_stream: u64,
    /// Their message had come already.
    pub repeated: u64,
    /// They cannot have been sent by a link that keeps the rules.
    pub malformed: u64,
}
