//! The fabric between agents, carried by Zenoh in peer mode.
//!
//! Each agent has one box, `tif/1/REALM/to/NODE/from/*`, into which the others put their datagrams, and one sign at its door,
//! `tif/1/REALM/at/NODE/CPU/EPOCH`, which Zenoh takes down when the agent is gone. So what is declared grows with agents, and not with instruments.
//!
//! Nothing else of Zenoh is relied on. Datagrams are sent such that a link without room drops them; a sign at a door is a hint; what never came, came twice or came
//! late is made good by the agents' own links. Peers do not pass on what others send: each connects to all that it is to speak with.
//!
//! A thread of its own sends, because Zenoh waits up to a millisecond for each link that is full, and the agent must not.
// spec: FAB-1, FAB-2, SEC-2

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;

use ::zenoh::liveliness::LivelinessToken;
use ::zenoh::pubsub::{Publisher, Subscriber};
use ::zenoh::qos::CongestionControl;
use ::zenoh::sample::{Sample, SampleKind};
use ::zenoh::{Session, Wait};
use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use parking_lot::Mutex;
use tif_core::limits::FRAME_LEN_MAX;
use tif_core::machine::detector::PEERS_MAX;
use tif_core::model::{Name, NodeId};

use super::endpoint::Endpoint;
use super::inbox::{Inbox, Wake};
use super::{Arrival, Fabric, Outcome, Peer};

/// Datagrams that wait for the sending thread; further ones are dropped.
const UNSENT_MAX: usize = 1024;

/// Which net, and how to get into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Net {
    /// Agents of different realms do not see each other, though they share a network.
    pub realm: Name,
    /// Where this agent can be reached.
    pub listen: Vec<Endpoint>,
    /// Where others are. Who is not there is tried again and again.
    pub connect: Vec<Endpoint>,
}

/// Why an agent is not on the fabric.
#[derive(Debug, thiserror::Error)]
#[error("the fabric cannot be opened at {}: {what}", .at.join(", "))]
pub struct CannotOpen {
    at: Vec<String>,
    what: String,
}

/// An agent's end. Dropping it takes the sign down and closes all links.
pub struct ZenohFabric {
    realm: Name,
    session: Session,
    seen: Arc<Mutex<Seen>>,
    own: Option<Own>,
}

/// What it has once it is announced.
struct Own {
    sends: Option<Sender<(NodeId, Vec<u8>)>>,
    sender: Option<JoinHandle<()>>,
    _door: LivelinessToken,
    _doors: Subscriber<()>,
    _boxed: Subscriber<()>,
}

/// What Zenoh's threads have brought.
#[derive(Debug, Default)]
struct Seen {
    own: Option<Peer>,
    inbox: Inbox,
    /// The signs that are up. A new life's may come before the old one's goes.
    doors: BTreeMap<NodeId, BTreeSet<Peer>>,
    /// Who was heard though no sign of it is up: the sign is a hint only.
    heard: BTreeSet<NodeId>,
}

impl fmt::Debug for ZenohFabric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZenohFabric").field("realm", &self.realm).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl ZenohFabric {
    /// Listens, and connects to whoever is there. Must not be called from within an async runtime.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn open(net: Net) -> Result<ZenohFabric, CannotOpen> {
        let at = || net.listen.iter().map(Endpoint::to_string).collect();
        let fail = |error: ::zenoh::Error| CannotOpen { at: at(), what: error.to_string() };
        let session = configured(&net).and_then(|config| ::zenoh::open(config).wait()).map_err(fail)?;
        Ok(ZenohFabric { realm: net.realm, session, seen: Arc::default(), own: None })
    }

    fn declare(&self, own: &Peer) -> ::zenoh::Result<Own> {
        let prefix = format!("tif/1/{}", self.realm);
        let seen = Arc::clone(&self.seen);
        let boxed = self.session.declare_subscriber(format!("{prefix}/to/{}/from/*", own.node));
        let boxed = boxed.callback(move |sample| seen.lock().on_datagram(&sample)).wait()?;
        let (seen, at) = (Arc::clone(&self.seen), format!("{prefix}/at/"));
        let doors = self.session.liveliness().declare_subscriber(format!("{prefix}/at/*/*/*")).history(true);
        let doors = doors.callback(move |sample| seen.lock().on_door(&at, &sample)).wait()?;
        let door = self.session.liveliness().declare_token(format!("{prefix}/at/{}/{}/{}", own.node, own.cpu, own.agent_epoch)).wait()?;
        let (sends, unsent) = bounded(UNSENT_MAX);
        let (session, from) = (self.session.clone(), own.node);
        let sender = std::thread::Builder::new().name("tif-fabric".into()).spawn(move || send_all(&session, &prefix, from, &unsent))?;
        Ok(Own { sends: Some(sends), sender: Some(sender), _door: door, _doors: doors, _boxed: boxed })
    }
}

/// Peers that are told whom to connect to. They find each other through one another, too.
fn configured(net: &Net) -> ::zenoh::Result<::zenoh::Config> {
    let list = |endpoints: &[Endpoint]| {
        let all: Vec<String> = endpoints.iter().map(|endpoint| format!("\"{endpoint}\"")).collect();
        format!("[{}]", all.join(", "))
    };
    let mut config = ::zenoh::Config::default();
    for (key, value) in [
        ("mode", "\"peer\""),
        ("listen/endpoints", list(&net.listen).as_str()),
        ("connect/endpoints", list(&net.connect).as_str()),
        // Who is not there yet is waited for, in the background.
        ("connect/timeout_ms", "0"),
        ("connect/exit_on_failure", "false"),
        ("connect/retry", "{ period_init_ms: 100, period_max_ms: 2000, period_increase_factor: 2 }"),
        ("scouting/multicast/enabled", "false"),
        ("scouting/gossip/enabled", "true"),
    ] {
        config.insert_json5(key, value)?;
    }
    Ok(config)
}

fn send_all(session: &Session, prefix: &str, from: NodeId, unsent: &Receiver<(NodeId, Vec<u8>)>) {
    let mut boxes: BTreeMap<NodeId, Publisher<'_>> = BTreeMap::new();
    while let Ok((to, bytes)) = unsent.recv() {
        let publisher = match boxes.entry(to) {
            std::collections::btree_map::Entry::Occupied(open) => open.into_mut(),
            std::collections::btree_map::Entry::Vacant(new) => {
                let publisher = session.declare_publisher(format!("{prefix}/to/{to}/from/{from}"));
                match publisher.congestion_control(CongestionControl::Drop).express(true).wait() {
                    Ok(publisher) => new.insert(publisher),
                    Err(error) => {
                        tracing::error!(target: "tif::fabric", node = %to, %error, "not sent");
                        continue;
                    }
                }
            }
        };
        // The session is closed: nobody is to be told.
        if publisher.put(bytes).wait().is_err() {
            return;
        }
    }
}

impl Seen {
    /// `…/from/NODE`: what is before it is this agent's box.
    fn on_datagram(&mut self, sample: &Sample) {
        let from = sample.key_expr().as_str().rsplit('/').next().and_then(|node| node.parse().ok()).map(NodeId);
        let len = sample.payload().len();
        let Some(from) = from.filter(|_| len <= FRAME_LEN_MAX && sample.kind() == SampleKind::Put) else {
            tracing::warn!(target: "tif::fabric", key = %sample.key_expr(), len, "no datagram of an agent");
            return;
        };
        if self.heard.len() < PEERS_MAX {
            self.heard.insert(from);
        }
        self.inbox.push(Arrival::Message { from, bytes: sample.payload().to_bytes().into_owned() });
    }

    fn on_door(&mut self, at: &str, sample: &Sample) {
        let Some(peer) = sample.key_expr().as_str().strip_prefix(at).and_then(peer_of) else {
            tracing::warn!(target: "tif::fabric", key = %sample.key_expr(), "no sign of an agent");
            return;
        };
        // Its own sign, or that of a life before.
        if self.own.as_ref().is_some_and(|own| own.node == peer.node && own.cpu == peer.cpu) {
            return;
        }
        let node = peer.node;
        match sample.kind() {
            SampleKind::Put if self.doors.len() < PEERS_MAX || self.doors.contains_key(&node) => {
                if self.doors.entry(node).or_default().insert(peer.clone()) {
                    self.inbox.push(Arrival::Appeared(peer));
                }
            }
            SampleKind::Put => tracing::warn!(target: "tif::fabric", "more than {PEERS_MAX} CPUs: {node} is left out"),
            SampleKind::Delete => {
                let Some(doors) = self.doors.get_mut(&node) else { return };
                doors.remove(&peer);
                if doors.is_empty() {
                    self.doors.remove(&node);
                    self.heard.remove(&node);
                    self.inbox.push(Arrival::Vanished(node));
                }
            }
        }
    }

    fn can_be_sent_to(&self, node: NodeId) -> bool {
        self.doors.contains_key(&node) || self.heard.contains(&node)
    }
}

/// `NODE/CPU/EPOCH`.
fn peer_of(sign: &str) -> Option<Peer> {
    let mut parts = sign.split('/');
    let (node, cpu, epoch) = (parts.next()?, parts.next()?, parts.next()?);
    let peer = Peer { node: NodeId(node.parse().ok()?), cpu: cpu.parse().ok()?, agent_epoch: epoch.parse().ok()? };
    parts.next().is_none().then_some(peer)
}

impl Fabric for ZenohFabric {
    fn announce(&mut self, own: Peer) {
        self.seen.lock().own = Some(own.clone());
        match self.declare(&own) {
            Ok(declared) => self.own = Some(declared),
            Err(error) => tracing::error!(target: "tif::fabric", %error, "this CPU is not announced: no other will see it"),
        }
    }

    fn send(&mut self, to: NodeId, bytes: &[u8]) -> Outcome {
        let Some(sends) = self.own.as_ref().and_then(|own| own.sends.as_ref()) else { return Outcome::NoSuchPeer };
        if !self.seen.lock().can_be_sent_to(to) {
            return Outcome::NoSuchPeer;
        }
        match sends.try_send((to, bytes.to_vec())) {
            Ok(()) => Outcome::Sent,
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Outcome::Dropped,
        }
    }

    fn receive(&mut self) -> Option<Arrival> {
        self.seen.lock().inbox.pop()
    }

    fn on_arrival(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        self.seen.lock().inbox.on_arrival(Wake::new(wake));
    }
}

impl Drop for ZenohFabric {
    fn drop(&mut self) {
        // What waits is still sent: a leave, perhaps.
        if let Some(mut own) = self.own.take() {
            drop(own.sends.take());
            if let Some(sender) = own.sender.take() {
                let _ = sender.join();
            }
        }
        if let Err(error) = self.session.close().wait() {
            tracing::warn!(target: "tif::fabric", %error, "the links were not closed in good order");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::fabric::conformance;

    /// Ports that nobody listens on, for as many ends.
    fn endpoints(count: usize) -> Vec<Endpoint> {
        let all: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        all.iter().map(|l| format!("tcp/{}", l.local_addr().unwrap()).parse().unwrap()).collect()
    }

    // spec: FAB-1
    #[test]
    fn zenoh_keeps_the_contract() {
        conformance::suite(|| {
            let all = endpoints(3);
            let joined = Mutex::new(0);
            Box::new(move || {
                let at = std::mem::replace(&mut *joined.lock(), 0);
                *joined.lock() = at + 1;
                let connect = all.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, endpoint)| *endpoint).collect();
                let net = Net { realm: "tests".parse().unwrap(), listen: vec![all[at]], connect };
                Box::new(ZenohFabric::open(net).unwrap())
            })
        });
    }

    // spec: SEC-2
    #[test]
    fn a_sign_that_is_none_is_not_taken_for_one() {
        let peer = Peer { node: NodeId(3), cpu: "c".parse().unwrap(), agent_epoch: 7 };
        assert_eq!(peer_of("3/c/7"), Some(peer));
        for bad in ["", "3", "3/c", "3/c/7/8", "-3/c/7", "3/C !/7", "3/c/99999999999", "x/c/7"] {
            assert_eq!(peer_of(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_address_that_is_taken_is_told() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint: Endpoint = format!("tcp/{}", taken.local_addr().unwrap()).parse().unwrap();
        let error = ZenohFabric::open(Net { realm: "tests".parse().unwrap(), listen: vec![endpoint], connect: Vec::new() }).unwrap_err();
        assert!(error.to_string().contains(&endpoint.to_string()), "{error}");
    }
}
