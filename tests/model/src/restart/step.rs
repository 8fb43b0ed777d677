//! What can happen to a source, its consumer, and what is between them.

use std::fmt;

/// One thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The next life of the source begins, with these records, a bit each.
    Start(u8),
    /// It dies.
    Die,
    /// It sends the next of what it has to say.
    Send,
    /// After its end mark a record comes, or goes.
    Change(u8),
    /// The first message under way arrives.
    Deliver,
    /// The first message of the next life under way arrives, before what is left of the life before.
    Overtake,
    /// The first message under way, a record, is lost, and nothing else.
    Lose,
    /// The stream breaks: all that is under way is lost, and both know it.
    Break,
    /// The consumer is told that this life is over.
    Tell(u8),
    /// A unit of time passes.
    Wait,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Start(set) => write!(f, "the source starts with the records {set:02b}"),
            Step::Die => write!(f, "the source dies"),
            Step::Send => write!(f, "the source sends"),
            Step::Change(record) => write!(f, "record {record} comes or goes"),
            Step::Deliver => write!(f, "a message arrives"),
            Step::Overtake => write!(f, "a message of the next life arrives before those of the last"),
            Step::Lose => write!(f, "a record is lost on the way"),
            Step::Break => write!(f, "the stream breaks"),
            Step::Tell(life) => write!(f, "the consumer is told that life {life} is over"),
            Step::Wait => write!(f, "time passes"),
        }
    }
}
