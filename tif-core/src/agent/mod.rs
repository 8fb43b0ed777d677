//! The agent: composes the machines.

pub mod io;

use crate::model::{Key, Time};
use crate::wire::ToProcess;
use io::{Conn, Input, Moment, Output, Start};

/// What the agent wants done, in order.
pub type Outbox = Vec<Output>;

/// One CPU's agent: every decision of it, no input or output.
#[derive(Debug)]
pub struct Agent {}

impl Agent {
    /// An agent that starts with what its store remembers.
    pub fn new(_now: Moment, _start: Start, _out: &mut Outbox) -> Agent {
        Agent {}
    }

    /// The only way anything happens.
    pub fn handle(&mut self, _now: Moment, _input: Input, _out: &mut Outbox) {}

    /// When [`Input::Tick`] is next due.
    pub fn deadline(&self) -> Option<Time> {
        None
    }

    /// The next message of reports for a connection that can be written to, with the receiver's key; none when its queue is empty.
    pub fn pull(&mut self, _conn: Conn) -> Option<(Key, ToProcess)> {
        None
    }
}
