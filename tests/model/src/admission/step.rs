//! What can happen.

use std::fmt;

/// By the places of the CPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A member comes.
    Join(usize),
    /// It dies.
    Die(usize),
    /// What it waited for is over.
    Due(usize),
    /// The first of what one has said to the other arrives.
    Deliver(usize, usize),
    /// Nothing gets through between the two, and what is under way is lost.
    Cut(usize, usize),
    /// The first gives up the second, which it cannot reach.
    GiveUp(usize, usize),
    /// They speak with one another again.
    Heal(usize, usize),
    /// An agent ends and another begins.
    Restart(usize),
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = |at: &usize| at + 1;
        match self {
            Step::Join(at) => write!(f, "a member comes on cpu{}", cpu(at)),
            Step::Die(at) => write!(f, "the member on cpu{} dies", cpu(at)),
            Step::Due(at) => write!(f, "the member on cpu{} has waited long enough", cpu(at)),
            Step::Deliver(from, to) => write!(f, "cpu{} hears what cpu{} said", cpu(to), cpu(from)),
            Step::Cut(a, b) => write!(f, "cpu{} and cpu{} are cut apart", cpu(a), cpu(b)),
            Step::GiveUp(a, b) => write!(f, "cpu{} gives up cpu{}", cpu(a), cpu(b)),
            Step::Heal(a, b) => write!(f, "cpu{} and cpu{} speak with one another again", cpu(a), cpu(b)),
            Step::Restart(at) => write!(f, "the agent of cpu{} ends and another begins", cpu(at)),
        }
    }
}
