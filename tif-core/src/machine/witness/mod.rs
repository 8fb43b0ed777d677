//! The witness: one small register per service that says who leads it, kept by a majority of a fixed set of agents, owned by none.
//!
//! Think of a notice board with several copies, each in another house. Whoever wants to change the notice first asks every house not to take
//! notices with a lower number any more and what hangs there now; if more than half of them answer, and what hangs there is what was expected, the
//! new notice goes to all of them, and it counts as soon as more than half have hung it up. Two who try at once cannot both succeed, because any two
//! majorities share a house.
//!
//! This is single-decree consensus (Lamport, *Paxos Made Simple*, 2001) repeated on one register without a log, in the way of CASPaxos (Rystsov,
//! *CASPaxos: Replicated State Machines without logs*, 2018): a round first learns the value, then proposes that value changed.
//!
//! - [`Proposer`]: one read or one change at a time. Never waits: who gets no majority hears nothing, or *undecided*, and asks again with a higher
//!   ballot. Its state is volatile; ballots do not repeat, because they carry the agent's epoch and the identity of its store.
//! - [`Acceptor`]: one voter. What it must not forget is a [`Vote`], which is durable before the answer that came with it is sent.
//!
//! **One CPU.** With one voter, [`Proposer::alone`] does a change with one durable write and no message.
//!
//! **Two CPUs.** A majority of two is both: when they are cut apart nothing changes, so the leader can neither go solo nor be taken over from. That
//! is the safe mode.
//!
//! **A lost store.** A voter with a new store has forgotten its promises, so it may not vote as if it had been there. It starts [blank](Acceptor::blank)
//! and answers nothing until enough others have told it what they hold: as many as any majority must share at least one of. From then on these
//! others name its new store in every answer, and a proposer that still holds an answer from the old store does not count it. Only who founds a
//! system may start voting [at once](Acceptor::founding). One voter alone has nobody to ask and is founded by definition: with its store the
//! system's memory is gone.
//!
//! Not built: changing the set of voters.
// spec: GRP-8

mod acceptor;
mod message;
mod proposer;
mod term;

use crate::defects::{Defect, defect};

pub use acceptor::{Acceptor, Answer, Vote};
pub use message::{Accept, Accepted, Ask, CatchUp, Caught, Prepare, Promise, Refused, Reply};
pub use proposer::{Act, Outcome, Proposer, Wish};
pub use term::{Ballot, Change, Member, Term};

/// Voters of one system. More make every change slower and hardly anything safer: five survive two.
pub const VOTERS_MAX: usize = 7;

/// How many are more than half.
pub fn majority(voters: usize) -> usize {
    if defect(Defect::MinorityDecides) { 1 } else { voters / 2 + 1 }
}

/// How many others a voter with a new store must hear: so many that every majority it was ever part of has one of them besides it.
pub fn enough_to_catch_up(voters: usize) -> usize {
    voters + 1 - majority(voters)
}

#[cfg(test)]
mod tests;
