//! What an agent says to a process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hello::Welcome;
use crate::machine::confirm::End;
use crate::model::{
    Arming, Cause, Descriptor, Dimensions, Epoch, Incarnation, InstrumentId, Key, MemberNumber, Name, NodeId, Notice, Outage, ProcessState,
    Quality, Refusal, Report, RequestId, Role, SetResult, Slot, Value, Version, Weight,
};

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

    /// The number that tells it from all other members of its group; none: it had one that another member has, too, and looks for another.
    // spec: GRP-1
    Numbered {
        /// Which.
        number: Option<MemberNumber>,
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
        /// It exports no more: these are the last values that it left.
        // spec: SYN-4
        #[serde(default)]
        last: bool,
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
    /// The CPUs.
    Cpus {
        /// The request.
        req: u64,
        /// By number.
        rows: Vec<CpuRow>,
    },
    /// The groups.
    Groups {
        /// The request.
        req: u64,
        /// By service.
        rows: Vec<GroupRow>,
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
    /// Its number in its group, if it is a member and holds one.
    // spec: GRP-1
    #[serde(default)]
    pub number: Option<MemberNumber>,
    /// What it weighs among the members of its group, if it is one and lives.
    // spec: GRP-5
    #[serde(default)]
    pub weight: Option<Weight>,
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

/// What an agent believes of a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CpuState {
    /// It is the one that was asked.
    Own,
    /// It is heard.
    Up,
    /// It is not heard for a moment.
    Unreachable,
    /// It was not heard for so long that it is presumed down.
    Down,
    /// Its agent and this one have no protocol version in common.
    Incompatible,
    /// It was seen on the fabric, and has not said anything yet.
    Seen,
}

impl CpuState {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            CpuState::Own => "own",
            CpuState::Up => "up",
            CpuState::Unreachable => "unreachable",
            CpuState::Down => "down",
            CpuState::Incompatible => "incompatible",
            CpuState::Seen => "seen",
        }
    }
}

/// A row of `cpus`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CpuRow {
    /// Its number.
    pub node: NodeId,
    /// Its name, once it has said it.
    pub cpu: Option<Name>,
    /// The latest known life of its agent.
    pub key: Option<Key>,
    /// What is believed of it.
    pub state: CpuState,
    /// For how many milliseconds it was not heard.
    pub silent_ms: u64,
    /// How many processes export there.
    pub exporters: u64,
    /// Whether it votes on who leads.
    pub votes: bool,
    /// How busy it is, in percent, as it last said; none if it cannot be asked.
    // spec: GRP-3
    #[serde(default)]
    pub workload: Option<u8>,
}

/// A row of `groups`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRow {
    /// The service.
    pub service: Name,
    /// The latest term that is known.
    pub epoch: Epoch,
    /// The CPUs that have every accepted change. None, if no other CPU is asked.
    pub in_sync: Vec<Name>,
    /// Its members.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupMember {
    /// Where it is.
    pub cpu: Name,
    /// What it is called there.
    pub process: Name,
    /// Its key.
    pub key: Key,
    /// Whether it leads.
    pub role: Role,
    /// Its number in the group.
    pub number: Option<MemberNumber>,
    /// What it weighs.
    pub weight: Weight,
    /// It could lead.
    pub ready: bool,
    /// Its CPU has every accepted change.
    pub in_sync: bool,
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
            | ToProcess::Cpus { req, .. }
            | ToProcess::Groups { req, .. }
            | ToProcess::LookedUp { req, .. }
            | ToProcess::Drained { req, .. } => Some(*req),
            _ => None,
        }
    }
}
