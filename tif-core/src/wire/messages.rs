//! The messages of the local socket.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::confirm::{End, Guard};
use crate::machine::versions::Offer;
use crate::model::{
    Arming, Cause, Coarsen, Descriptor, Dimensions, Epoch, Incarnation, InstrumentId, Key, Literal, Name, Notice, Outage, Pattern,
    ProcessState, Quality, Refusal, Report, RequestId, Role, SetResult, Setting, Slot, Value, Version,
};

/// A message with its sender's and its receiver's key.
// spec: PSM-11
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Envelope<M> {
    /// Who sends; [`Key::NONE`] in the first `Hello`.
    pub from: Key,
    /// To whom, in which life; [`Key::NONE`] if not known yet.
    pub to: Key,
    /// What.
    pub body: M,
}

/// How a process wants to be called.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Identity {
    /// Exactly so; refused while another live process has the name.
    Exactly(Name),
    /// `prefix-1`, `prefix-2` …: the first that no live process has.
    Pick(Name),
}

/// What an agent knows of an OS process from the operating system itself, never from the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// The OS process.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// When it started, in clock ticks since boot: with the pid and the boot it names the process for certain.
    pub started: u64,
}

impl Credentials {
    /// Of a process on another kernel the operating system here knows only as whom it comes in; what it shows besides is whoever forwards its connection.
    // spec: PSM-6, PSM-9
    pub fn elsewhere(self) -> Credentials {
        Credentials { pid: 0, started: 0, ..self }
    }

    /// Whether it is a process of this kernel, which can be watched.
    pub fn is_here(&self) -> bool {
        self.pid != 0
    }
}

/// The capacities of an exporter's segment, checked by the shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentFacts {
    /// How many instruments fit.
    pub slots_max: u32,
}

/// What a process registers as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Registration {
    /// It imports only.
    Importer,
    /// It exports instruments of this service. Segment, doorbell and pidfd come with the message, in this order.
    Exporter {
        /// The service.
        service: Name,
        /// It joins the service's group: primary if there is none, standby otherwise. If not, it exports for itself beside others.
        grouped: bool,
    },
}

/// The key that a process had before its link or its agent was lost, asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// The key.
    pub key: Key,
}

/// The first message of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// What it speaks.
    // spec: FAB-5
    pub offer: Offer,
    /// How it wants to be called.
    pub identity: Identity,
    /// A random number of its own: the same one again is the same registration, not a second.
    pub nonce: u128,
    /// As what.
    pub registration: Registration,
    /// The key it had.
    pub resume: Option<Resume>,
    /// The process is not on its agent's kernel: somebody forwards its connection, whose life is not its own. It sends [`ToAgent::Heartbeat`] at least this
    /// often instead; from [`limits::HEARTBEAT_PERIOD_MIN`](crate::limits::HEARTBEAT_PERIOD_MIN) to
    /// [`limits::HEARTBEAT_PERIOD_MAX`](crate::limits::HEARTBEAT_PERIOD_MAX). Only for who imports: memory is not shared between kernels.
    // spec: PSM-6
    #[serde(default)]
    pub heartbeat: Option<Duration>,
    /// How it is called by people: program and version.
    pub program: String,
    /// Outages of which it was told that they began, and not yet that they are over. It is told only what it does not know.
    // spec: OUT-2
    #[serde(default)]
    pub outages: Vec<ToldOutage>,
}

/// An outage of which an importer was told that it began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToldOutage {
    /// The exporter that was lost.
    pub key: Key,
    /// What it stood behind.
    pub source: Name,
}

/// The agent's answer. A board (the agent's segment) comes with it for an exporter, one descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The protocol version to speak.
    pub protocol: u16,
    /// The process's key.
    pub key: Key,
    /// Its name.
    pub name: Name,
    /// The agent's key.
    pub agent: Key,
    /// The CPU's name.
    pub cpu: Name,
    /// Its role, for an exporter.
    pub role: Role,
    /// The term, for a group member.
    pub epoch: Epoch,
    /// It goes on under the key it had.
    pub resumed: bool,
}

/// One argument of an admission: kept as a struct so that fields can come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Only from this exporter.
    pub if_key: Option<Key>,
    /// Check all, change nothing.
    pub dry_run: bool,
}

/// On what terms a change is to stay, as it is asked for.
// spec: CTL-6
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeepAsked {
    /// It is taken back unless it is confirmed within this time.
    pub within: Duration,
    /// It is taken back as soon as this indicator leaves its range.
    pub guard: Option<Guard>,
    /// It is taken back when the connection ends on which it is asked for.
    pub while_connected: bool,
}

/// From a process to its agent. `req` numbers requests of one connection; the answer carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Register or resume.
    Hello(Hello),
    /// Everything that it will export from the start is declared, its controls are set: it may be announced.
    Ready,
    /// It takes its leave.
    Unregister,
    /// It lives; from a process on another kernel, which nothing else would say.
    // spec: PSM-6
    Heartbeat,
    /// Answer to a probe.
    Pong {
        /// The probe's number.
        nonce: u64,
    },

    // As an exporter.
    /// The service's validator has spoken.
    Validated {
        /// The agent's question.
        req: u64,
        /// Its refusal, if it refuses.
        result: Result<(), String>,
    },
    /// The service runs with this version of a control.
    Applied {
        /// Which control.
        slot: Slot,
        /// Which version.
        version: Version,
    },
    /// Dynamic indicators were computed and stand in their slots.
    Computed {
        /// The agent's question.
        req: u64,
        /// Those that failed, and why.
        failed: Vec<(Slot, String)>,
    },
    /// A procedure has returned.
    Returned {
        /// The agent's question.
        req: u64,
        /// Its result or its error, as text.
        result: Result<String, String>,
    },
    /// An in-path test point was armed or disarmed as asked, or could not be.
    ArmedAs {
        /// The agent's question.
        req: u64,
        /// Why not.
        result: Result<(), String>,
    },
    /// An in-path test point has disarmed itself.
    Disarmed {
        /// Which.
        slot: Slot,
    },
    /// The standby has taken over.
    Promoted {
        /// In which term.
        epoch: Epoch,
    },

    // As an importer.
    /// Tell me of these instruments, also of those to come.
    Subscribe {
        /// The importer's name for it.
        subscription: u32,
        /// Which instruments.
        pattern: Pattern,
        /// How much less than declared.
        coarsen: Coarsen,
    },
    /// No longer.
    Unsubscribe {
        /// Which.
        subscription: u32,
    },
    /// Discover.
    List {
        /// The request.
        req: u64,
        /// Which.
        pattern: Pattern,
        /// Behind this row of an earlier page.
        after: Option<String>,
        /// How many rows.
        limit: u32,
    },
    /// Read now.
    Sense {
        /// The request.
        req: u64,
        /// Which.
        patterns: Vec<Pattern>,
        /// How long to wait for dynamic ones, at most [`crate::limits::COMPUTE_TIMEOUT`].
        #[serde(default)]
        patience: Option<Duration>,
    },
    /// Change controls of one exporter: all of them, or none.
    // spec: CTL-6
    Set {
        /// The request.
        req: u64,
        /// The change's own id.
        request_id: RequestId,
        /// Which controls, and to what: at least one, at most [`crate::limits::STEP_CONTROLS_MAX`].
        settings: Vec<Setting>,
        /// Under which conditions.
        admission: Admission,
        /// Why.
        reason: Option<String>,
        /// On what terms it is to stay, if it has to be confirmed.
        keep: Option<KeepAsked>,
    },
    /// The change that holds a control may stay.
    // spec: CTL-6
    Confirm {
        /// The request.
        req: u64,
        /// The control, or one of those of the same step.
        name: String,
        /// Only if it is this change.
        request_id: Option<RequestId>,
    },
    /// Call a procedure.
    Fire {
        /// The request.
        req: u64,
        /// The call's own id.
        request_id: RequestId,
        /// Which procedure.
        name: String,
        /// With what, by name.
        arguments: Vec<(String, Literal)>,
    },
    /// Arm an in-path test point.
    Arm {
        /// The request.
        req: u64,
        /// Which.
        name: String,
        /// How.
        arming: Arming,
    },
    /// Disarm it.
    Disarm {
        /// The request.
        req: u64,
        /// Which.
        name: String,
    },
    /// The processes.
    Processes {
        /// The request.
        req: u64,
    },
    /// The outages.
    Outages {
        /// The request.
        req: u64,
    },
    /// What is known of a process, and what becomes of it.
    // spec: PSM-3
    Lookup {
        /// The request.
        req: u64,
        /// Which.
        name: Name,
    },
    /// The same by OS process id, where there is no name at hand.
    LookupPid {
        /// The request.
        req: u64,
        /// Which.
        pid: u32,
    },
    /// Notices of it are no longer wanted.
    Forget {
        /// Which.
        name: Name,
    },

    // As an exporter, too.
    /// A call or a validation could not begin: there is too much to do. It does not begin later.
    Busy {
        /// The agent's question.
        req: u64,
        /// What holds it up.
        reason: String,
    },
    /// The primary has let go: it acts as one no more, and its last values are written.
    // spec: OUT-5
    LetGo {
        /// Of which term.
        epoch: Epoch,
    },

    // As an importer, too.
    /// The primary of a service is to hand over to a standby.
    // spec: OUT-5
    Drain {
        /// The request.
        req: u64,
        /// The service, or the process that is its primary.
        name: Name,
        /// To which standby; none: to the senior one.
        to: Option<Name>,
    },
}

/// From the agent to a process.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToProcess {
    /// Registered.
    Welcome(Box<Welcome>),
    /// The answer to a request that is not done; `req` 0 refuses the `Hello` or the connection.
    Refused {
        /// The request.
        req: u64,
        /// Why.
        refusal: Refusal,
    },
    /// The receiver's or the sender's key of the last message is not current. The message did nothing.
    // spec: PSM-7
    StaleKey {
        /// The receiver's current key, if it has one.
        current: Option<Key>,
    },
    /// Are you there?
    Ping {
        /// To be sent back.
        nonce: u64,
    },

    // To an exporter.
    /// Would the service take this value?
    Validate {
        /// The question.
        req: u64,
        /// Which control.
        slot: Slot,
        /// The value.
        value: Value,
    },
    /// Controls on the board have newer versions: take them.
    Apply,
    /// Compute these dynamic indicators now.
    Compute {
        /// The question.
        req: u64,
        /// Which.
        slots: Vec<Slot>,
    },
    /// The watch words of dynamic indicators or of test points have changed: look at the board.
    WatchChanged,
    /// Call a procedure.
    Call {
        /// The question.
        req: u64,
        /// Which.
        slot: Slot,
        /// The arguments, in declared order.
        arguments: Vec<Value>,
        /// Its time limit.
        timeout: Duration,
    },
    /// Arm an in-path test point; without an arming: disarm it.
    Arm {
        /// The question.
        req: u64,
        /// Which.
        slot: Slot,
        /// How.
        arming: Option<Arming>,
    },
    /// Take over: the board holds the controls.
    Promote {
        /// The term.
        epoch: Epoch,
    },
    /// You are no longer the primary.
    Demote {
        /// The term that began.
        epoch: Epoch,
    },

    // To an importer.
    /// The instruments of a source come now: announcements and reports until [`ToProcess::ReportsEnd`].
    // spec: SYN-2
    ReportsBegin {
        /// Whose.
        source: Name,
        /// Its exporter.
        key: Key,
        /// The exporter before has handed over to it: what that one said is fresh until the end mark.
        // spec: OUT-5
        #[serde(default)]
        relieves: Option<Key>,
    },
    /// Instruments that match a subscription, with what is declared of them. Before any report of them.
    Announced(Announced),
    /// Instruments that are no more.
    Withdrawn {
        /// Which.
        instruments: Vec<InstrumentId>,
    },
    /// Values.
    Reports {
        /// The reports.
        reports: Vec<Report>,
        /// How many reports to this importer were coalesced since it was last told (MON-6, INS-8).
        coalesced: u64,
    },
    /// The end mark.
    // spec: SYN-2, SYN-7
    ReportsEnd(ReportsEnd),
    /// A process was born, has died, has a new role.
    Notice(Notice),
    /// An outage has begun, or (with an end) is over.
    Outage(Outage),

    // Answers.
    /// A page of a listing.
    Listed {
        /// The request.
        req: u64,
        /// Its rows, by address.
        rows: Vec<ListRow>,
        /// What to ask the next page with; none: this was the last.
        next: Option<String>,
    },
    /// Values as they are now.
    Sensed {
        /// The request.
        req: u64,
        /// The instruments that fit, with their current report.
        rows: Vec<(Announcement, Report)>,
        /// For patterns that name one instrument and found none.
        missing: Vec<Refusal>,
        /// There are more than can be sent at once: be more specific.
        truncated: bool,
    },
    /// A change was accepted.
    SetDone {
        /// The request.
        req: u64,
        /// What became of it.
        result: SetResult,
    },
    /// A change stays.
    // spec: CTL-6
    Confirmed {
        /// The request.
        req: u64,
        /// Which.
        request_id: RequestId,
    },
    /// A change that was to be confirmed, and was made on this connection, has its end.
    // spec: CTL-6
    Settled {
        /// Which.
        request_id: RequestId,
        /// How it ended.
        end: End,
    },
    /// A procedure has ended.
    Fired {
        /// The request.
        req: u64,
        /// The call's id.
        request_id: RequestId,
        /// Its result or its error.
        result: Result<String, String>,
        /// This is the recorded answer to an earlier request of the same id.
        repeated: bool,
    },
    /// Armed or disarmed.
    Armed {
        /// The request.
        req: u64,
        /// The full address.
        name: String,
    },
    /// The processes.
    Processes {
        /// The request.
        req: u64,
        /// By name.
        rows: Vec<ProcessRow>,
    },
    /// The outages.
    Outages {
        /// The request.
        req: u64,
        /// Oldest first.
        rows: Vec<OutageRow>,
    },
    /// What is known of a process now. Notices follow.
    LookedUp {
        /// The request.
        req: u64,
        /// What is known.
        notice: Notice,
    },
    /// The standby leads.
    // spec: OUT-5
    Drained {
        /// The request.
        req: u64,
        /// What became of it.
        drained: Box<Drained>,
    },

    // To an exporter, too.
    /// Let go of the primary role: act as primary no more, write the last values, and say so.
    // spec: OUT-5
    LetGo {
        /// Of which term.
        epoch: Epoch,
    },
}

/// A handover that is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drained {
    /// Its report, as importers of the service get it.
    pub outage: Outage,
    /// The term in which the new primary leads.
    pub epoch: Epoch,
    /// The old primary did not let go in time and was deposed as if it had been lost: importers saw its values as stale meanwhile.
    pub deposed: bool,
}

/// One instrument with what is declared of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announcement {
    /// What the agent calls it from now on.
    pub instrument: InstrumentId,
    /// Whose it is: the service, or the process where each exports for itself.
    pub source: Name,
    /// The service and the path: what people call it.
    pub name: Name,
    /// Its dimensions.
    pub dims: Dimensions,
    /// The CPU it is on.
    pub cpu: Name,
    /// The process it is in.
    pub process: Name,
    /// What is declared.
    pub descriptor: Descriptor,
    /// Of a control: its version.
    pub version: Version,
}

/// A part of the announcements of a source.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Announced {
    /// The instruments.
    pub instruments: Vec<Announcement>,
}

/// The end mark of a source: now the importer has all that fits its subscriptions.
// spec: SYN-7
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportsEnd {
    /// Whose.
    pub source: Name,
    /// Its exporter.
    pub key: Key,
    /// How many instruments there are.
    pub count: u64,
    /// [`crate::machine::sync::digest`] of their names.
    pub digest: u64,
}

/// A row of `ls`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ListRow {
    /// The instrument.
    pub announcement: Announcement,
    /// Its exporter's incarnation.
    pub incarnation: Incarnation,
    /// How things stand with it.
    pub quality: Quality,
}

/// A row of `ps`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Its name.
    pub name: Name,
    /// Its CPU.
    pub cpu: Name,
    /// Its key.
    pub key: Key,
    /// What is known.
    pub state: ProcessState,
    /// How it ended, if it did.
    pub cause: Option<Cause>,
    /// Its role.
    pub role: Role,
    /// Its service, if it exports.
    pub service: Option<Name>,
    /// The term of its group.
    pub epoch: Epoch,
    /// The OS process; 0 of one on another kernel.
    pub pid: u32,
    /// The program, in its own words.
    pub program: String,
    /// How long ago the state began.
    pub since_ms: u64,
    /// How many instruments it exports.
    pub instruments: u64,
    /// How many subscriptions it has.
    pub subscriptions: u64,
    /// Reports to it that were coalesced (MON-6).
    pub coalesced: u64,
}

/// A row of `outages`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutageRow {
    /// The outage.
    pub outage: Outage,
    /// How many milliseconds it has lasted, or did.
    pub lasted_ms: u64,
    /// How many importers were told.
    pub told: u64,
}

impl ToProcess {
    /// Which request it answers; none if it is no answer.
    pub fn answers(&self) -> Option<u64> {
        match self {
            ToProcess::Refused { req, .. }
            | ToProcess::Listed { req, .. }
            | ToProcess::Sensed { req, .. }
            | ToProcess::SetDone { req, .. }
            | ToProcess::Fired { req, .. }
            | ToProcess::Confirmed { req, .. }
            | ToProcess::Armed { req, .. }
            | ToProcess::Processes { req, .. }
            | ToProcess::Outages { req, .. }
            | ToProcess::LookedUp { req, .. }
            | ToProcess::Drained { req, .. } => Some(*req),
            _ => None,
        }
    }
}
