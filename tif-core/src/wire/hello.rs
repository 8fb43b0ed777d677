//! Who speaks: the envelope of every message, and how a process registers with its agent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::machine::versions::Offer;
use crate::model::{Epoch, Key, Name, Role, Weight};

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
        /// What it weighs among the members.
        // spec: GRP-5
        #[serde(default)]
        weight: Weight,
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
    /// The process is not on its agent's kernel: somebody forwards its connection, whose life is not its own. It sends [`ToAgent::Heartbeat`](super::ToAgent::Heartbeat) at least this
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
