//! What the agent remembers when it is killed: a ledger that is written before anybody is told.
//!
//! [`StateStore`] is the small interface; [`Sqlite`] keeps it in one file, [`Memory`] in the process (tests). One suite
//! (`conformance`) runs on both. [`Writer`] is the thread that owns the store while the agent runs, so that a disk that thinks does not
//! keep the loop from reporting a death.
// spec: MON-7, PSM-1, CTL-7

#[cfg(test)]
mod conformance;
mod logs;
mod memory;
mod migrations;
mod rows;
mod sqlite;
mod trouble;
mod writer;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use tif_core::agent::io::{ChangeRecord, ControlRecord, ProcessRecord, Record};
#[cfg(doc)]
use tif_core::limits::PROCESS_NUMBERS_AHEAD;
use tif_core::machine::book::{Book, Unsettled};
use tif_core::machine::calls::CallRecord;
use tif_core::machine::replication::Log;
use tif_core::machine::witness::Vote;
use tif_core::model::{Epoch, Name, NodeId, Outage};

pub use memory::Memory;
pub use sqlite::Sqlite;
pub use trouble::Trouble;
pub use writer::{Done, Writer};

/// Which CPU of which system a store is for. It never changes: keys name the CPU, and a majority of other voters would not know what these have accepted.
// spec: PSM-1, GRP-9
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The CPU's number.
    pub node: NodeId,
    /// The CPUs that vote on who leads. None: each is on its own.
    pub voters: BTreeSet<NodeId>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let voters: Vec<String> = self.voters.iter().map(NodeId::to_string).collect();
        write!(f, "CPU {} with `node = {}` and `voters = [{}]`", self.node, self.node, voters.join(", "))
    }
}

/// Everything that a store remembers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Remembered {
    /// The CPU's number.
    pub node: NodeId,
    /// The boot in which the processes were last seen; their pids and start times mean nothing in another.
    // spec: PSM-9
    pub boot: String,
    /// The greatest process number that may have been given out.
    pub proc_max: u64,
    /// The processes, by name.
    pub processes: Vec<ProcessRecord>,
    /// The controls, by source and name.
    pub controls: Vec<ControlRecord>,
    /// The latest changes, oldest first.
    pub changes: Vec<ChangeRecord>,
    /// Those that wait to be confirmed, however old.
    pub unsettled: Unsettled,
    /// The latest calls of procedures, in the order in which they began.
    pub calls: Vec<CallRecord>,
    /// The terms of services, by name.
    pub terms: Vec<(Name, Epoch)>,
    /// The latest outages, oldest first, each with how many importers were told.
    pub outages: Vec<(Outage, u64)>,
    /// A random number that the store was given when it was made: a store that was lost and made anew is another.
    // spec: GRP-9
    pub store: u64,
    /// It was made when the system was founded: nobody had voted yet.
    // spec: GRP-9
    pub founding: bool,
    /// What this CPU has promised as a voter on who leads, by service.
    pub votes: Vec<(Name, Vote)>,
    /// The logs of accepted changes that several CPUs keep, by service.
    pub logs: Vec<(Name, Log<Book>)>,
}

/// Durable state of one agent.
pub trait StateStore: Send + std::fmt::Debug {
    /// Begins another life: the agent's epoch, greater than any before and at least `least`, is durable when this returns. `boot` is
    /// remembered from now on as the boot in which processes were seen. So many process numbers after [`Remembered::proc_max`], as it was loaded before,
    /// are this life's: [`PROCESS_NUMBERS_AHEAD`].
    ///
    /// # Errors
    /// If it is not durable; then no key may be given out.
    fn begin(&mut self, least: u32, boot: &str) -> Result<u32, StoreError>;

    /// All that is remembered.
    ///
    /// # Errors
    /// If it cannot be read, or what is read makes no sense.
    fn load(&mut self) -> Result<Remembered, StoreError>;

    /// Makes all of these durable, in order, or none.
    ///
    /// # Errors
    /// The store is as before.
    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError>;
}

/// Why the store does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What is there is no store, or a broken one. Nothing was changed.
    #[error(
        "the store {} is damaged: {what}. The agent does not start, because beginning anew would forget accepted control changes. Put a \
         copy of the file back, or, to give up what was in it, move it and its -wal and -shm away and start again",
        .path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Written by a newer agent.
    #[error("the store {} has version {found}; this agent knows versions up to {known}: start the newer agent", .path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest known here.
        known: i64,
    },
    /// It was used in another place of a system, and what stands in it is true of that. Nothing was changed.
    #[error("the store {} is of {is}, and this agent is to be {asked}: say so in the configuration, or take another state directory", .path.display())]
    OtherPlace {
        /// The file.
        path: PathBuf,
        /// Its place.
        is: Place,
        /// What it was to be.
        asked: Place,
    },
    /// There is a store, so its system has been founded. Nothing was changed.
    #[error("there is a store {}: only a CPU that has none can be among the founders of a system", .path.display())]
    NotFirst {
        /// The file.
        path: PathBuf,
    },
    /// The database said no, and the file is as good as it was.
    #[error("the store {} {what}: {trouble}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// Of what kind it is, and what to do.
        trouble: Trouble,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
    /// The file system said no.
    #[error("the store {} {what}: {trouble}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        what: &'static str,
        /// Of what kind it is, and what to do.
        trouble: Trouble,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// There is no next epoch, or (in tests) the store was told to fail.
    #[error("{0}")]
    Refused(&'static str),
}

impl StoreError {
    /// Why a write failed and what to do, in one line, for the requester of the change.
    pub fn in_brief(&self) -> String {
        match self {
            StoreError::Database { path, trouble, source, .. } => format!("{trouble} ({}: {source})", path.display()),
            StoreError::Io { path, trouble, source, .. } => format!("{trouble} ({}: {source})", path.display()),
            other => other.to_string(),
        }
    }
}
