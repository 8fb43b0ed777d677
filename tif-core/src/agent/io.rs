//! What goes into the agent and what comes out of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::book::{Book, Entry, Line, Unsettled};
use crate::machine::calls::CallRecord;
use crate::machine::confirm::Keep;
use crate::machine::versions::{Incompatible, Offer};
use crate::machine::{replication, witness};
use crate::model::{
    Cause, Descriptor, Dimensions, Epoch, Incarnation, Key, MemberNumber, Name, NodeId, Outage, RequestId, Role, SetResult, Slot, Stamp,
    Time, Value, Version,
};
use crate::wire::{Credentials, Hello, PeerFrame, SegmentFacts, ToAgent, ToProcess};

/// A connection, as the shell numbers them. Never used again for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Conn(pub u64);

/// The numbers from here on are not the shell's: they stand for other CPUs' agents.
const PEERS: u64 = 1 << 63;

impl Conn {
    /// What stands for the agent itself, where it looks at an indicator that guards a change. Far beyond what the shell counts to.
    pub(crate) const GUARD: Conn = Conn(PEERS - 1);

    /// What stands for another CPU's agent where a connection is meant.
    pub(crate) fn of_peer(node: NodeId) -> Conn {
        Conn(PEERS | u64::from(node.0))
    }

    /// Which agent it stands for, if it does.
    pub(crate) fn peer(self) -> Option<NodeId> {
        (self.0 >= PEERS).then_some(NodeId(self.0 as u32))
    }
}

/// A write to the store that something waits for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// An instrument that the shell read from a segment's table. Already parsed and bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct SlotDeclared {
    /// Its place.
    pub slot: Slot,
    /// The table entry's generation: tells one instrument in a slot from the next.
    pub generation: u32,
    /// What is declared.
    pub descriptor: Descriptor,
    /// Its dimensions.
    pub dims: Dimensions,
}

/// A change of a segment's table.
#[derive(Clone, Debug, PartialEq)]
pub enum TableChange {
    /// An instrument came.
    Declared(Box<SlotDeclared>),
    /// The instrument in this slot went.
    Withdrawn(Slot),
}

/// A value that the shell read.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Whose.
    pub slot: Slot,
    /// The value, or why there is none (a dynamic indicator that failed).
    pub value: Result<Value, String>,
}

/// What the operating system shows of a process that lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Observed {
    /// It runs or sleeps.
    Running,
    /// It is stopped.
    Stopped,
}

/// When something happens: the clock that decides, and the one for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic; stands still while the machine is suspended.
    pub time: Time,
    /// The same clock, but for the time that the machine was suspended.
    pub boot: Time,
    /// Wall clock.
    pub stamp: Stamp,
}

impl Moment {
    /// When a moment of the wall clock was, as far as that can be trusted: for what a store remembers.
    pub fn time_of(&self, stamp: Stamp) -> Time {
        Time(self.time.0.saturating_sub(self.stamp.0.saturating_sub(stamp.0)))
    }

    /// The wall clock at an earlier time.
    pub fn stamp_of(&self, time: Time) -> Stamp {
        Stamp(self.stamp.0.saturating_sub(self.time.0.saturating_sub(time.0)))
    }
}

/// All that can happen to an agent.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// A process has connected and said who it is. With its segment already opened and its table read, if it exports.
    Hello {
        /// The connection.
        conn: Conn,
        /// What the operating system says of it.
        credentials: Credentials,
        /// What it says itself.
        hello: Box<Hello>,
        /// Its segment; none for an importer.
        segment: Option<SegmentFacts>,
        /// What is declared there.
        declared: Vec<SlotDeclared>,
    },
    /// Any later message, with the keys it named.
    Message {
        /// The connection.
        conn: Conn,
        /// The sender, as it says.
        from: Key,
        /// The receiver, as it says.
        to: Key,
        /// What.
        body: Box<ToAgent>,
    },
    /// The connection is closed.
    Closed {
        /// Which.
        conn: Conn,
    },
    /// How busy this CPU is, in percent.
    // spec: GRP-3, GRP-7
    Workload {
        /// 0 to 100.
        percent: u8,
    },
    /// Another CPU's agent can be seen on the fabric. A hint, never the authority.
    // spec: FAB-2
    PeerSeen {
        /// The CPU's number.
        node: NodeId,
    },
    /// A datagram of another agent.
    Peer {
        /// Where it came from.
        from: NodeId,
        /// What it is.
        frame: Box<PeerFrame>,
    },
    /// [`super::Agent::deadline`] has come.
    Tick,
    /// The operating system says that the process is dead. Its segment's last samples were handed in before.
    Exited {
        /// Which.
        key: Key,
        /// How.
        cause: Cause,
    },
    /// What the scan saw of a living process, when it changed.
    Observed {
        /// Which.
        key: Key,
        /// What.
        observed: Observed,
    },
    /// A segment's table has changed.
    Table {
        /// Whose.
        key: Key,
        /// How.
        changes: Vec<TableChange>,
    },
    /// Values were read, because they changed or because [`Output::Sample`] asked for them.
    Sampled {
        /// Whose.
        key: Key,
        /// The values.
        samples: Vec<Sample>,
        /// What the question was, if it was one.
        token: Option<u64>,
    },
    /// A write is durable.
    Stored(Ticket),
    /// A write has failed; the store is as before.
    StoreFailed(Ticket, String),
    /// A launch has succeeded as far as the operating system can tell.
    Launched {
        /// Of which service.
        service: Name,
        /// The child.
        pid: u32,
    },
    /// A launch has failed.
    LaunchFailed {
        /// Of which service.
        service: Name,
        /// Why.
        reason: String,
    },
}

/// One value for a control on a board.
#[derive(Clone, Debug, PartialEq)]
pub struct ControlValue {
    /// Which control.
    pub slot: Slot,
    /// Its version.
    pub version: Version,
    /// Its value.
    pub value: Value,
}

/// All that an agent can want done. Done in order.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    /// Make a board for this exporter, with these controls on it, and watch its pidfd under this key; then send the welcome with the board's descriptor.
    /// For an importer: watch its pidfd, send the welcome.
    Admit {
        /// The connection.
        conn: Conn,
        /// The key.
        key: Key,
        /// It is on another kernel: whoever holds the other end of the connection is not the process, and its pidfd says nothing of it.
        // spec: PSM-6
        elsewhere: bool,
        /// The term of its group.
        epoch: Epoch,
        /// What to set on the board first.
        controls: Vec<ControlValue>,
        /// The welcome.
        welcome: Box<ToProcess>,
    },
    /// Send.
    Send {
        /// On which connection.
        conn: Conn,
        /// To which key.
        to: Key,
        /// What.
        message: Box<ToProcess>,
    },
    /// The queue of this connection has something: call [`super::Agent::pull`] when it can be written to.
    HasReports {
        /// Which connection.
        conn: Conn,
    },
    /// Close the connection, after what was sent.
    Close {
        /// Which.
        conn: Conn,
    },
    /// Set or clear a watch word. Read the slot once more a moment after setting it: a store of the exporter may have been under way. The first sample
    /// is asked for with [`Output::Sample`].
    Watch {
        /// Whose.
        key: Key,
        /// Which.
        slot: Slot,
        /// Whether somebody watches.
        on: bool,
    },
    /// The value last sampled of this slot is the one last sent: publish its bits on the board.
    Sent {
        /// Whose.
        key: Key,
        /// Which.
        slot: Slot,
    },
    /// Read these slots now; answer with [`Input::Sampled`] and the token.
    Sample {
        /// Whose.
        key: Key,
        /// Which.
        slots: Vec<Slot>,
        /// The question.
        token: u64,
    },
    /// Set a control on the board.
    Control {
        /// Whose.
        key: Key,
        /// What.
        control: ControlValue,
    },
    /// Set the term on the board.
    Epoch {
        /// Whose.
        key: Key,
        /// The term.
        epoch: Epoch,
    },
    /// This process is over: its pidfd, and an exporter's segment and board, are no longer needed.
    Release {
        /// Whose.
        key: Key,
    },
    /// End this process (SIGKILL through its pidfd): it is replaced, or hung.
    Kill {
        /// Which.
        key: Key,
    },
    /// Start a process of this service from its launch specification.
    Launch {
        /// Which service.
        service: Name,
    },
    /// Send to another CPU's agent. It may get lost.
    ToPeer {
        /// Where to.
        to: NodeId,
        /// What.
        frame: Box<PeerFrame>,
    },
    /// Another CPU's agent and this one have no protocol version in common: nothing is said between them. Once for each life of it; say it to people.
    // spec: FAB-5
    Incompatible {
        /// Which CPU.
        node: NodeId,
        /// What each speaks, and what to do.
        why: Incompatible,
    },
    /// The other agents have given this one's life up: end, and start anew with an epoch greater than that of this incarnation.
    // spec: PSM-10
    BeginAnew {
        /// Greater than this.
        above: Incarnation,
    },
    /// Make durable; answer with [`Input::Stored`] or [`Input::StoreFailed`]. Writes are done in order, one commit each or many in one.
    Store {
        /// Who waits.
        ticket: Ticket,
        /// What.
        record: Box<Record>,
    },
}

/// What is kept durably.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// A process has this key now.
    Process(ProcessRecord),
    /// Controls were changed, by this request: all of them in one step.
    // spec: CTL-6
    Change(Entry),
    /// A procedure is called, or it is known what became of its call.
    // spec: TST-4
    Call(CallRecord),
    /// A call that was entered did not begin: its id may be used again.
    NotCalled(crate::model::RequestId),
    /// Values of a source's controls that are not memorized end with it.
    Forget {
        /// Which source.
        source: Name,
        /// But those of these controls, which its next life has set since.
        but: Vec<String>,
    },
    /// An outage has begun, or is over.
    Outage {
        /// As it is now.
        outage: Outage,
        /// How many importers were told that it began.
        told: u64,
    },
    /// A service's term has begun.
    Term {
        /// Which service.
        service: Name,
        /// The term.
        epoch: Epoch,
        /// Who was elected in it, written in the same step. None for a process that is not admitted yet.
        leader: Option<Box<ProcessRecord>>,
    },
    /// What this CPU has promised and holds as a voter on who leads a service.
    // spec: GRP-9
    Vote {
        /// Which service.
        service: Name,
        /// All of it.
        vote: witness::Vote,
    },
    /// The log of a service's accepted changes, which several CPUs keep, goes on.
    // spec: CTL-4
    Replicated {
        /// Which service.
        service: Name,
        /// How: see [`replication::Log::take_in`].
        record: Box<replication::Record<Book, Line>>,
    },
}

/// A process as the store remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessRecord {
    /// Its name.
    pub name: Name,
    /// Its latest key.
    pub key: Key,
    /// The registration's nonce.
    pub nonce: u128,
    /// The OS process, to find it again after a restart of the agent.
    pub credentials: Credentials,
    /// Its service, if it exports.
    pub service: Option<Name>,
    /// Whether it is a member of the service's group.
    pub grouped: bool,
    /// Its role.
    pub role: Role,
    /// The term of its group when this was written: in a later one the role means nothing.
    // spec: GRP-8
    pub term: Epoch,
    /// Its number in its group, if it holds one.
    // spec: GRP-1
    pub number: Option<MemberNumber>,
    /// Whether it was dead or unregistered when last heard of.
    pub ended: bool,
    /// The program, in its own words.
    pub program: String,
    /// How it ended, if it did and somebody saw it.
    pub cause: Option<Cause>,
    /// Since when it is as it is: registered, or ended.
    pub since: Stamp,
}

/// A control's value as the store remembers it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ControlRecord {
    /// The service, or the process where each exports for itself.
    pub source: Name,
    /// Name with dimensions.
    pub name: String,
    /// How many changes were accepted.
    pub version: Version,
    /// Its value.
    pub value: Value,
    /// Kept when the service ends.
    pub memorized: bool,
}

/// One change, as the audit and the table of results remember it.
// spec: CTL-3, CTL-8
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeRecord {
    /// The requester's id.
    pub request_id: RequestId,
    /// What was asked, to tell a repetition from a reuse: `set NAME=VALUE …`.
    pub request: String,
    /// The answer.
    pub result: SetResult,
    /// Who: the process.
    pub who: Name,
    /// Its user.
    pub uid: u32,
    /// Why, in the requester's words.
    pub reason: Option<String>,
    /// When, on the wall clock.
    pub at: Stamp,
    /// Whether it stays.
    // spec: CTL-6
    #[serde(default)]
    pub keep: Keep,
}

/// What an agent is told when it starts: its configuration, and what its store remembers.
#[derive(Clone, Debug, Default)]
pub struct Start {
    /// The CPU's number.
    pub node: crate::model::NodeId,
    /// The CPU's name.
    pub cpu: Option<Name>,
    /// What it speaks; as a rule what this release speaks.
    // spec: FAB-5
    pub offer: Offer,
    /// This start's number: durable, greater than any before.
    pub agent_epoch: u32,
    /// The greatest process number that may have been given out. The next [`crate::limits::PROCESS_NUMBERS_AHEAD`] are durably this agent's.
    pub proc_max: u64,
    /// Whether the kernel is the one under which the store was written last: else all processes died with the one before.
    pub same_boot: bool,
    /// When the agent before this one, in the same boot, last saw to it that all that it knew as living lived.
    pub last_seen: Option<Moment>,
    /// The processes.
    pub processes: Vec<ProcessRecord>,
    /// Those of them that the shell found alive just now (by pid and start time), whose pidfd it watches.
    pub alive: Vec<Key>,
    /// The controls.
    pub controls: Vec<ControlRecord>,
    /// The latest changes, oldest first, at most [`crate::limits::RESULTS_KEPT_MAX`].
    pub changes: Vec<ChangeRecord>,
    /// Those that wait to be confirmed, however old.
    // spec: CTL-6
    pub unsettled: Unsettled,
    /// The latest calls, in the order in which they began, at most [`crate::limits::CALLS_KEPT_MAX`].
    pub calls: Vec<CallRecord>,
    /// The terms of services.
    pub terms: Vec<(Name, Epoch)>,
    /// The latest outages, oldest first, at most [`crate::limits::OUTAGES_KEPT_MAX`], each with how many importers were told.
    pub outages: Vec<(Outage, u64)>,
    /// Services that can be launched, with what the machine needs to know of them.
    pub launchable: Vec<LaunchPolicy>,
    /// The CPUs that vote on who leads. None, or this one alone: no other CPU is asked, and the store is the witness.
    // spec: GRP-9
    pub voters: Vec<NodeId>,
    /// A random number that the store was given when it was made.
    pub store: u64,
    /// The store was there when the system was formed: it has forgotten nothing.
    pub founding: bool,
    /// What this CPU has promised as a voter, by service.
    pub votes: Vec<(Name, witness::Vote)>,
    /// The logs of accepted changes that several CPUs keep, by service.
    pub logs: Vec<(Name, replication::Log<Book>)>,
}

/// What the pure part needs to know of a launch specification.
#[derive(Clone, Debug, PartialEq)]
pub struct LaunchPolicy {
    /// The service.
    pub service: Name,
    /// How many members it should have; when there are fewer, what is missing is launched.
    pub members: u32,
    /// So many on all CPUs together.
    // spec: GRP-7
    pub everywhere: bool,
    /// Also those that are missing though none was lost: when the agent starts.
    pub starts: bool,
    /// A process that is alive but silent for so long is ended. None: never.
    pub hung_after: Option<Duration>,
}
