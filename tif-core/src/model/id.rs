//! The identities. Each is a type of its own, so that none can be taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;

macro_rules! number {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// A CPU, as number. The first CPU of a system is 1; 0 means "not known yet".
    NodeId(u32)
}
number! {
    /// A process name's number at its agent: the same for ever. Never an operating system pid.
    ProcId(u64)
}
number! {
    /// What an agent calls one instrument towards importers, from its first announcement until the agent ends.
    InstrumentId(u64)
}
number! {
    /// An instrument's place in its exporter's segment.
    Slot(u32)
}
number! {
    /// A group's term of office: at most one primary in each.
    Epoch(u64)
}
number! {
    /// What a member of a service's group is called by all: no two that live have the same. From 1, and the same for the member's life.
    // spec: GRP-1
    MemberNumber(u32)
}
number! {
    /// Of a control: how many changes were accepted. 0 is the declared default.
    Version(u64)
}
number! {
    /// One outage at one agent; grows.
    OutageId(u64)
}

/// What a member of a group weighs: of those that could take over the one that weighs most does, of equal ones the senior.
// spec: GRP-5
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Weight(pub u8);

impl Default for Weight {
    /// In the middle: who is to follow first weighs more, who is to follow last less.
    fn default() -> Weight {
        Weight(100)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which life of a process: the agent's epoch in the upper half, a counter within it in the lower.
///
/// Grows with every registration at a CPU, also across restarts and loss of what the agent only held in memory, because an agent's epoch
/// is durable before the first key is given out.
// spec: PSM-1
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Incarnation(pub u64);

impl Incarnation {
    /// The `counter`th registration in agent epoch `epoch`.
    pub fn new(epoch: u32, counter: u32) -> Self {
        Incarnation(u64::from(epoch) << 32 | u64::from(counter))
    }

    /// The agent epoch that gave it out.
    pub fn epoch(self) -> u32 {
        (self.0 >> 32) as u32
    }

    /// The registration within that epoch.
    pub fn counter(self) -> u32 {
        self.0 as u32
    }
}

/// `3.17`: the agent's third start, its seventeenth registration.
impl fmt::Display for Incarnation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.epoch(), self.counter())
    }
}

impl std::str::FromStr for Incarnation {
    type Err = std::num::ParseIntError;
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        match s.split_once('.') {
            Some((epoch, counter)) => Ok(Incarnation::new(epoch.parse()?, counter.parse()?)),
            None => Ok(Incarnation(s.parse()?)),
        }
    }
}

/// The communication key: who one is talking to, and in which life.
///
/// Every message names the sender's and the receiver's key.
// spec: PSM-1, PSM-11
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// The CPU that gave the key out.
    pub node: NodeId,
    /// The process, for ever.
    pub proc: ProcId,
    /// Which of its lives.
    pub inc: Incarnation,
}

impl Key {
    /// No process: what a process that has no key yet says it is.
    pub const NONE: Key = Key { node: NodeId(0), proc: ProcId(0), inc: Incarnation(0) };
}

/// `1:12#3.17`: process 12 of CPU 1 in incarnation 3.17.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}#{}", self.node, self.proc, self.inc)
    }
}

/// What a requester calls a change or a call, so that saying it twice does it once.
///
/// 1 to 64 characters of `A-Z a-z 0-9 . _ : -`.
// spec: CTL-3
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RequestId(String);

impl RequestId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is wrong with a request id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a request id is 1 to {} characters of A-Z a-z 0-9 . _ : -, got {got:?}", limits::REQUEST_ID_LEN_MAX)]
pub struct RequestIdError {
    /// What was given, cut.
    pub got: String,
}

impl TryFrom<String> for RequestId {
    type Error = RequestIdError;
    fn try_from(text: String) -> Result<Self, RequestIdError> {
        let fits = (1..=limits::REQUEST_ID_LEN_MAX).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b)) {
            Ok(RequestId(text))
        } else {
            Err(RequestIdError { got: text.chars().take(limits::REQUEST_ID_LEN_MAX).collect() })
        }
    }
}

impl std::str::FromStr for RequestId {
    type Err = RequestIdError;
    fn from_str(s: &str) -> Result<Self, RequestIdError> {
        RequestId::try_from(s.to_owned())
    }
}

impl From<RequestId> for String {
    fn from(id: RequestId) -> String {
        id.0
    }
}
