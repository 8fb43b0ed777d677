//! What can happen to a pair.

use std::fmt;

use tif_core::machine::replication::{Body, Message};
use tif_core::machine::witness::Member;

use super::world::content;

/// One step. Nodes are numbered from 0.
#[derive(Clone, Debug)]
pub enum Step {
    /// A client asks a node for a change, for the first time or again.
    Write {
        /// The node.
        node: usize,
        /// The request's id.
        request: u8,
    },
    /// A message that was sent at any time before arrives.
    Deliver {
        /// The receiver.
        node: usize,
        /// The message's number.
        message: u16,
    },
    /// The agent is killed and starts again with its store.
    Restart(usize),
    /// The agent is killed, its store is lost, it starts with a new one.
    Lose(usize),
    /// A leader thinks, rightly or not, that a member cannot be reached.
    Suspect(usize, Member),
    /// A leader thinks, rightly or not, that it can.
    Reach(usize, Member),
    /// A node reads the register; whatever it had under way and was not made will not be.
    Read(usize),
    /// The change of the register that a node has under way is made, or found to be too late.
    Decide(usize),
    /// The node hears what the register held.
    Learn(usize),
    /// The node wants to lead the next term, keeping the other members in sync or not.
    TakeOver {
        /// The node.
        node: usize,
        /// The others stay in sync.
        keep: bool,
    },
    /// A leader's heartbeat.
    Resend(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Write { node, request } => write!(f, "client asks {} for request {request}", name(*node)),
            Step::Deliver { node, message } => {
                let Message { from, to, epoch, body } = content(*message);
                write!(f, "{} gets from {from} to {to} in epoch {epoch}: ", name(*node))?;
                match body {
                    Body::Join => write!(f, "join"),
                    Body::Snapshot { log, .. } => write!(f, "snapshot of {} entries", log.seq.0),
                    Body::Append { prev, entries, .. } => write!(f, "{} entries after {}", entries.len(), prev.0),
                    Body::Acknowledged { seq } => write!(f, "{} are acknowledged", seq.0),
                    Body::Ack { seq } => write!(f, "{} are durable", seq.0),
                    Body::Stale => write!(f, "stale"),
                }
            }
            Step::Restart(node) => write!(f, "{} restarts with its store", name(*node)),
            Step::Lose(node) => write!(f, "{} loses its store and restarts", name(*node)),
            Step::Suspect(node, member) => write!(f, "{} thinks that {member} cannot be reached", name(*node)),
            Step::Reach(node, member) => write!(f, "{} thinks that {member} can be reached", name(*node)),
            Step::Read(node) => write!(f, "{} reads the register", name(*node)),
            Step::Decide(node) => write!(f, "the register decides the change of {}", name(*node)),
            Step::Learn(node) => write!(f, "{} hears what the register holds", name(*node)),
            Step::TakeOver { node, keep: true } => write!(f, "{} wants to lead, with the others", name(*node)),
            Step::TakeOver { node, keep: false } => write!(f, "{} wants to lead, alone", name(*node)),
            Step::Resend(node) => write!(f, "{} sends again", name(*node)),
        }
    }
}

fn name(node: usize) -> char {
    char::from(b'A' + u8::try_from(node).expect("few nodes"))
}
