//! What can happen to processes, their agent and the watcher. Processes are numbered in the order of their names' lives.

use std::fmt;

/// One thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// An OS process begins.
    Start(usize),
    /// It dies. The agent does not know yet.
    Die(usize),
    /// It connects, and registers, or says the key that it was told.
    Hello(usize),
    /// Its registration is known to be durable, and it is told its key.
    Stored(usize),
    /// The same, and its link breaks before it hears it.
    StoredUnheard(usize),
    /// It says that it is ready.
    Ready(usize),
    /// The agent finds that its link is gone.
    Break(usize),
    /// The operating system tells the agent that it is dead.
    Exit(usize),
    /// It takes its leave, and runs on.
    Leave(usize),
    /// It says the key of another process.
    Steal {
        /// The process.
        by: usize,
        /// The other.
        of: usize,
    },
    /// What it had said before its end is read only now: its key, and that it is ready.
    Late(usize),
    /// The agent dies.
    Crash,
    /// The next agent starts, with what the store has.
    Restart,
    /// The watcher connects.
    Watch,
    /// The watcher's link breaks.
    Unwatch,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Start(at) => write!(f, "process {at} starts"),
            Step::Die(at) => write!(f, "process {at} dies"),
            Step::Hello(at) => write!(f, "process {at} connects"),
            Step::Stored(at) => write!(f, "process {at} is told its key"),
            Step::StoredUnheard(at) => write!(f, "process {at} is told its key, and does not hear it"),
            Step::Ready(at) => write!(f, "process {at} is ready"),
            Step::Break(at) => write!(f, "the link of process {at} is gone"),
            Step::Exit(at) => write!(f, "the agent is told that process {at} is dead"),
            Step::Leave(at) => write!(f, "process {at} takes its leave"),
            Step::Steal { by, of } => write!(f, "process {by} says the key of process {of}"),
            Step::Late(at) => write!(f, "what process {at} said before its end is read"),
            Step::Crash => write!(f, "the agent dies"),
            Step::Restart => write!(f, "an agent starts"),
            Step::Watch => write!(f, "the watcher connects"),
            Step::Unwatch => write!(f, "the watcher's link breaks"),
        }
    }
}
