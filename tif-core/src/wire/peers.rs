//! What agents say to each other.
//!
//! Nothing here relies on the fabric: a [`PeerFrame`] may be lost, doubled, late or out of order. What must arrive, and in order, travels as
//! [`ToPeer`] in the frames of `machine::link`. Towards another agent an agent is an importer like any other, for all its importers at once: it
//! subscribes, and is sent announcements, reports, notices and outages.
// spec: FAB-2, MON-2, PSM-11

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{ToAgent, ToProcess};
use crate::limits;
use crate::machine::book::{Book, Line};
use crate::machine::versions::Offer;
use crate::machine::{detector, link, replication, witness};
use crate::model::{Cause, Epoch, Key, MemberNumber, Name, Role, Time, Weight};

/// One datagram between two agents, with their keys: the key of an agent names its life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerFrame {
    /// The sender.
    pub from: Key,
    /// The receiver; [`Key::NONE`] if not known yet.
    pub to: Key,
    /// What.
    pub body: PeerBody,
}

/// What a datagram carries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum PeerBody {
    /// The first between two lives, until the other has answered: what the sender speaks. This and [`PeerBody::Incompatible`] stay as they are in every
    /// version, so that any two agents can at least part.
    // spec: FAB-5
    Hello {
        /// What the sender speaks.
        offer: Offer,
        /// The sender has not heard yet what the receiver speaks: it is to say so.
        asks: bool,
    },
    /// The answer to a `Hello` with which the sender has nothing in common. Nothing else is said between the two.
    // spec: FAB-5
    Incompatible {
        /// What the sender speaks.
        offer: Offer,
    },
    /// A heartbeat.
    Beat(detector::Beat),
    /// When was that agent last heard there?
    Ask {
        /// Which.
        about: Key,
        /// The asker's own clock; comes back with the answer.
        asked: Time,
    },
    /// The answer.
    Answered {
        /// About whom.
        about: Key,
        /// As it was asked.
        asked: Time,
        /// How long ago it was heard.
        ago: Duration,
        /// How much the answerer doubts itself.
        health: u8,
    },
    /// That life is over, as far as the sender is concerned.
    // spec: PSM-10
    Refused {
        /// Whose.
        whom: Key,
        /// The life of that CPU that counts.
        current: Key,
    },
    /// A part of a stream.
    Link(link::Frame<ToPeer>),
}

/// From one agent to another, once and in order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToPeer {
    /// The first on every stream: who it is and what it exports.
    Greeting(Greeting),
    /// An exporter has come, or something of it has changed.
    Member(Member),
    /// How the sender's CPU stands has changed.
    // spec: GRP-7
    Host(Host),
    /// A member of a group claims a number: whoever has it answers with its [`ToPeer::Member`].
    // spec: GRP-2
    Claim {
        /// Its group's service.
        service: Name,
        /// Which member.
        key: Key,
        /// Which number.
        number: MemberNumber,
    },
    /// An exporter is no more.
    MemberGone {
        /// Which.
        key: Key,
        /// How it ended.
        cause: Cause,
    },
    /// What an importer would ask its agent for.
    Request {
        /// For whom it is asked, where that matters: the process and its user.
        on_behalf: Option<(Name, u32)>,
        /// What.
        body: Box<ToAgent>,
    },
    /// These were all subscriptions for now: what they fit is sent, each source once. After the first on a stream also of sources of which nothing fits any more.
    // spec: SYN-6
    Wished,
    /// The answer, or what was subscribed to.
    Answer(Box<ToProcess>),
    /// About a service's group that may have members on several CPUs.
    Group {
        /// Which service.
        service: Name,
        /// What.
        message: Box<GroupMessage>,
    },
}

/// What the agents say to each other about one service: who leads it, and what was accepted for it.
// spec: CTL-4, GRP-8, GRP-9
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum GroupMessage {
    /// To a voter: what the register is to hold.
    Ask(witness::Ask),
    /// Its answer.
    Reply(witness::Reply),
    /// From a voter whose store is new.
    CatchUp(witness::CatchUp),
    /// The answer.
    Caught(witness::Caught),
    /// The log of accepted changes.
    Log(replication::Message<Book, Line>),
}

/// Who an agent is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Greeting {
    /// Its CPU.
    pub cpu: Name,
    /// Its exporters.
    pub members: Vec<Member>,
    /// It gave up the receiver's lives up to the one with this epoch, and told so of all processes of them: they have to begin other lives. 0: none.
    // spec: PSM-10
    pub over: u32,
    /// How its CPU stands.
    #[serde(default)]
    pub host: Host,
}

/// How a CPU stands where a member of a group is to be introduced.
// spec: GRP-3, GRP-7
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// How busy it is, in percent.
    pub workload: u8,
    /// The services of which it can introduce members where one is missing in the system, each with those that it has or has under way. One that has taken its
    /// leave is not among them, of which its [`ToPeer::MemberGone`] was told before.
    pub introduces: BTreeMap<Name, u32>,
}

impl Host {
    /// The same as far as any agent may say it: what is beyond the bounds counts as the bound.
    // spec: SEC-2
    pub fn bounded(mut self) -> Host {
        self.workload = self.workload.min(100);
        self.introduces.values_mut().for_each(|members| *members = (*members).min(limits::MEMBERS_MAX));
        self
    }
}

/// An exporter as other CPUs know it: where instruments are, and who may lead a group.
// spec: GRP-3
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its key.
    pub key: Key,
    /// Its name.
    pub process: Name,
    /// Its service.
    pub service: Name,
    /// It is a member of the service's group.
    pub grouped: bool,
    /// Its role.
    pub role: Role,
    /// The term of its group as its agent knows it.
    pub epoch: Epoch,
    /// It can be told to take over.
    pub ready: bool,
    /// What it weighs among the members of its group, on whatever CPUs.
    // spec: GRP-5
    #[serde(default)]
    pub weight: Weight,
    /// Its number in its group, once it holds one.
    // spec: GRP-1
    #[serde(default)]
    pub number: Option<MemberNumber>,
    /// It leads no more, and whom it leaves that to.
    // spec: OUT-5
    #[serde(default)]
    pub hands_over: Option<HandsOver>,
}

/// A primary makes way for another member. If that is on another CPU, its agent is to ask the register for the next term.
// spec: OUT-5
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandsOver {
    /// To whom.
    pub to: Key,
    /// It has let go, and its last values are read: nobody who looks on need see more of that than a report. Otherwise it was deposed.
    pub let_go: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: SEC-2, GRP-7
    #[test]
    fn what_an_agent_says_of_its_cpu_is_bounded() {
        let introduces = [("orders", u32::MAX), ("billing", 2)].map(|(service, n)| (service.parse().unwrap(), n)).into();
        let host = Host { workload: 255, introduces }.bounded();
        assert_eq!((host.workload, host.introduces.into_values().collect::<Vec<_>>()), (100, vec![2, limits::MEMBERS_MAX]));
    }
}
