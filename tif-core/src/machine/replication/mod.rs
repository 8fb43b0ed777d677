//! The log of accepted changes of one service, on the CPU of its primary (*home*) and on those where a standby lives.
//!
//! Think of a cashier and a second book-keeper. The cashier writes a line, the other copies it, and only then the customer gets the receipt. If the
//! other does not answer, the cashier may go on alone only after the notice board (the [witness](super::witness)) says so; and only who stands on
//! the board as having a full copy may open the till when the cashier is gone. If neither the other nor the board can be reached, no receipts.
//!
//! That is primary-backup replication with in-sync members kept in a consensus register (the design of Boxwood and of PacificA: Lin et al.,
//! *PacificA: Replication in log-based distributed storage systems*, 2008; Kafka's in-sync replicas are the same), with epochs that fence and request
//! ids that travel with the log (Liskov and Cowling, *Viewstamped Replication Revisited*, 2012).
//!
//! [`Replica`] is all of it; it is told facts, and puts [`Output`]s into a list that is worked off **in order**: what comes after a
//! [`Output::Store`] may be done only when that is durable, and if it cannot be made durable the rest is dropped and the replica made anew
//! from what is. So nothing that others can see ever runs ahead of the disk, and a crash between two outputs is the same as lost messages.
//!
//! ## The rules
//!
//! Each was found necessary by an exhaustive check; `tif-model --defects` takes them away one at a time and shows what goes wrong.
//!
//! | rule | where it is kept |
//! |---|---|
//! | R1 the client is answered only when every member in sync has the entry durable | `Leader::level` |
//! | R2 a leader goes solo only after the witness took the other out of the members in sync | `Leader::waits_for` |
//! | R3 only a member in sync may take over, by compare-and-set of the next epoch | [`Replica::take_over`] |
//! | R4 members are stores, not CPUs: a lost store is another member | [`Replica::take_over`], [`Member`](super::witness::Member) |
//! | R5 what comes from a lower epoch is refused | `Replica::admits` |
//! | R6 the table of request ids travels with the log, and what is in it is not done again | [`Replica::propose`], [`State`] |
//! | R7 a joining member is added only when its log equals the leader's | `Leader::wanted` |
//! | R8 an older snapshot never replaces a longer log of the same epoch | `Replica::on_snapshot` |
//! | R9 a message counts only for the member that it names, and only from the one that it names | `Replica::is_meant`, `Leader::on_ack` |
//!
//! ## What makes it simple
//!
//! A log belongs to one epoch, and within an epoch there is one writer: all logs of an epoch are prefixes of one. A new leader's first message to
//! everybody is a snapshot of its whole state, which replaces whatever was there of lower epochs; so no two logs are ever merged. A snapshot costs
//! a message of some hundred bytes per remembered request, once per term and follower.
//!
//! While a change of the register is under way or undecided, the members of both the old and the new value are waited for: whichever of the two
//! holds, an acknowledged entry is where it must be.
// spec: CTL-3, CTL-4, GRP-8, GRP-9

mod leader;
mod log;
mod message;
mod replica;

pub use leader::{FOLLOWERS_MAX, PENDING_MAX};
pub use log::{Log, Record, Seq, State};
pub use message::{Body, Message};
pub use replica::{Fact, NotProposed, NotTaken, Output, Proposal, Replica};

#[cfg(test)]
mod tests;
