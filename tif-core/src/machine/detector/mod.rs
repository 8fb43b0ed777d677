//! Suspicion between CPUs: which of the other agents can be reached, and which is presumed down.
//!
//! Picture sentries on a wall who call to each other. Who misses a call says so; before he reports a comrade fallen he asks three others whether they
//! hear him; if half of the wall falls silent at once he rather believes that he has gone deaf; and if he dozed off himself, he reports nobody until
//! he has listened for as long again. A comrade reported fallen who calls later does not get his post back: he is told, and enlists anew.
//!
//! | from | event | to |
//! |---|---|---|
//! | none | introduced | Up |
//! | Up | no heartbeat for T_suspect, or its link is closed | Unreachable; three others are asked, again and again |
//! | Unreachable | heard, whatever it says | Up |
//! | Unreachable | for T_down neither heard nor vouched for, confirmed by a third where there is one | Down (presumed) |
//! | Unreachable | it announced a restart; its link was closed | waits 30 s at most; 3 s |
//! | Up, Unreachable | a greater incarnation speaks | Up, that life |
//! | Down | the same life speaks | as it was: it is refused |
//! | Down | a greater incarnation speaks | Up, that life |
//! | many | three or more, and half of all, vanish within T_down | Isolated: nobody goes Down until they return |
//!
//! One per agent. Any traffic counts as a heartbeat. Everything takes the [`Clocks`], and gives [`Fact`]s. After a pause hand in what waits in the sockets before
//! [`Detector::poll`]. Up to sixteen peers everybody judges for itself; in a larger system (see [`ring`]) neighbours judge and tell the others.
//!
//! From the processor-down protocol of message-based multiprocessors, SWIM (indirect probes, gossip) and Lifeguard (local health).
// spec: FAB-3, PSM-10

mod beating;
mod doubt;
mod hearing;
mod judging;
mod peer;
mod profile;
pub mod ring;
mod rumours;
mod said;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::{Key, NodeId, Time};
use doubt::Doubt;
pub use doubt::HEALTH_MAX;
use peer::{Peer, Standing};
pub use profile::{GUARD_MAX, Profile, RESTART_PLANNED_MAX, VERDICT_MIN};
use rumours::Rumours;
pub use said::{Beat, Clocks, Fact, Rumour};

/// CPUs that one agent knows, those that are down included.
// spec: SEC-2
pub const PEERS_MAX: usize = 1024;

/// There are as many CPUs as an agent can know, and all live. The one introduced is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {PEERS_MAX} CPUs in one system")]
pub struct TooManyPeers;

/// What one agent believes of the others.
#[derive(Clone, Debug)]
pub struct Detector {
    own: Key,
    profile: Profile,
    doubt: Doubt,
    peers: BTreeMap<NodeId, Peer>,
    /// With whom heartbeats are exchanged.
    neighbours: BTreeSet<NodeId>,
    rumours: Rumours,
    digest: u64,
    next_beat: Time,
    looked: Time,
    /// Somebody was overdue then: it is looked at again sooner than the next heartbeat.
    overdue: bool,
    /// Since when so many are gone that it is rather us.
    isolated: Option<Time>,
    restarting: Option<Time>,
    /// It was said that this life is over.
    given_up: bool,
}

impl Detector {
    /// Knows nobody. `own`: the agent's key.
    pub fn new(own: Key, profile: Profile) -> Detector {
        let mut new = Detector {
            own,
            profile,
            doubt: Doubt::default(),
            peers: BTreeMap::new(),
            neighbours: BTreeSet::new(),
            rumours: Rumours::default(),
            digest: 0,
            next_beat: Time::ZERO,
            looked: Time::ZERO,
            overdue: false,
            isolated: None,
            restarting: None,
            given_up: false,
        };
        new.count();
        new
    }

    /// A peer was seen and greeted. A later life takes the place of an earlier one; one that is known, older or down changes nothing.
    ///
    /// # Errors
    /// If there are too many that live. Nothing has changed then.
    pub fn introduce(&mut self, clocks: Clocks, life: Key) -> Result<Vec<Fact>, TooManyPeers> {
        self.begin(clocks);
        let mut out = Vec::new();
        let now = clocks.mono;
        match self.peers.get(&life.node).map(|p| p.life) {
            _ if life.node == self.own.node => {}
            Some(known) if life.inc > known.inc => self.succeed(now, life, &mut out),
            Some(_) => {}
            None => {
                self.make_room()?;
                if self.peers.is_empty() {
                    self.next_beat = now;
                }
                self.peers.insert(life.node, Peer::new(now, life));
                self.regroup(now);
                out.push(Fact::Up { life });
            }
        }
        Ok(out)
    }

    /// Those that are down make room for the living, oldest first.
    // spec: SEC-2
    fn make_room(&mut self) -> Result<(), TooManyPeers> {
        if self.peers.len() < PEERS_MAX {
            return Ok(());
        }
        let down = self.peers.values().filter(|p| p.standing == Standing::Down);
        let oldest = down.min_by_key(|p| (p.since, p.life)).ok_or(TooManyPeers)?.life.node;
        self.peers.remove(&oldest);
        Ok(())
    }

    /// The agent's own new life, after [`Fact::TakeNewLife`] and once it is durable. What is known of the others stays.
    pub fn renew(&mut self, clocks: Clocks, own: Key) {
        self.begin(clocks);
        self.own = own;
        self.given_up = false;
        self.next_beat = clocks.mono;
        self.rumours.add(Rumour { life: own, down: false });
        self.count();
    }

    /// The agent is about to restart and means to be back within this: its heartbeats say so from now on.
    pub fn announce_restart(&mut self, clocks: Clocks, within: Duration) {
        self.begin(clocks);
        self.restarting = Some(clocks.mono + within.min(RESTART_PLANNED_MAX));
        self.next_beat = clocks.mono;
    }

    /// The host reports pressure or stolen time: a cause for doubt, where pauses are only its effect.
    pub fn on_strain(&mut self, clocks: Clocks) {
        self.begin(clocks);
        self.doubt.strain(clocks.mono);
    }

    /// What is due: heartbeats, questions, verdicts.
    pub fn poll(&mut self, clocks: Clocks) -> Vec<Fact> {
        self.begin(clocks);
        let mut out = Vec::new();
        if self.peers.is_empty() {
            return out;
        }
        let now = clocks.mono;
        self.looked = now;
        if now >= self.next_beat {
            let next = self.next_beat + self.profile.beat;
            self.next_beat = if next > now { next } else { now + self.profile.beat };
            self.beat(now, &mut out);
        }
        self.judge(now, &mut out);
        self.overdue = self.is_somebody_overdue();
        out
    }

    /// When [`Detector::poll`] is next due: with every heartbeat, twice as often while somebody is overdue; never without peers.
    pub fn deadline(&self) -> Option<Time> {
        let sooner = self.looked + self.profile.beat / 2;
        (!self.peers.is_empty()).then(|| if self.overdue { self.next_beat.min(sooner) } else { self.next_beat })
    }

    fn is_somebody_overdue(&self) -> bool {
        let slack = self.profile.beat + self.profile.beat / 2;
        self.peers.values().any(|p| match p.standing {
            Standing::Up => self.partner(p, self.looked) && p.silence(self.looked) > slack,
            Standing::Unreachable => true,
            Standing::Down => false,
        })
    }

    /// Whether so many vanished at once that nobody is declared down.
    pub fn is_isolated(&self) -> bool {
        self.isolated.is_some()
    }

    /// The agent's life, as the others are told.
    pub fn own(&self) -> Key {
        self.own
    }

    /// How much it doubts itself, 0 to 8.
    pub fn health(&self) -> u8 {
        self.doubt.health()
    }

    /// The latest known life of a CPU, and whether it is presumed down.
    pub fn life(&self, node: NodeId) -> Option<(Key, bool)> {
        self.peers.get(&node).map(|p| (p.life, p.standing == Standing::Down))
    }

    /// Whether a CPU is neither unreachable nor down, as far as is known here.
    pub fn is_up(&self, node: NodeId) -> bool {
        self.peers.get(&node).is_some_and(|p| p.standing == Standing::Up)
    }

    /// When a CPU was last heard here.
    pub fn heard(&self, node: NodeId) -> Option<Time> {
        self.peers.get(&node).map(|p| p.heard)
    }

    /// When a CPU was last heard that is unreachable or down now.
    pub fn silent_since(&self, node: NodeId) -> Option<Time> {
        self.heard(node).filter(|_| !self.is_up(node))
    }

    /// Before anything else, every time: was the agent itself away?
    fn begin(&mut self, clocks: Clocks) {
        if self.doubt.begin(clocks, &self.profile, !self.peers.is_empty()) {
            for peer in self.peers.values_mut() {
                peer.floor = clocks.mono;
            }
        }
    }

    /// Whether heartbeats are exchanged with it, so that its silence says something.
    fn partner(&self, peer: &Peer, now: Time) -> bool {
        match peer.standing {
            Standing::Up => now < peer.guest_until || self.neighbours.contains(&peer.life.node),
            Standing::Unreachable => true,
            Standing::Down => false,
        }
    }

    /// Somebody came or went: who looks after whom?
    fn regroup(&mut self, now: Time) {
        let living = self.peers.values().filter(|p| p.standing != Standing::Down).map(|p| p.life.node);
        let neighbours = ring::neighbours(self.own.node, living);
        for node in neighbours.difference(&self.neighbours) {
            // Nobody listened for it before.
            if let Some(peer) = self.peers.get_mut(node) {
                peer.floor = now;
            }
        }
        self.neighbours = neighbours;
        self.count();
    }

    fn count(&mut self) {
        let one = |life: Key, down: bool| ring::mix(ring::mix(u64::from(life.node.0)) ^ life.inc.0 ^ u64::from(down) << 63);
        self.digest = self.peers.values().fold(one(self.own, false), |sum, p| sum ^ one(p.life, p.standing == Standing::Down));
    }

    /// Whether there are too many for each to judge for itself.
    fn is_ring(&self) -> bool {
        self.peers.values().filter(|p| p.standing != Standing::Down).count() > ring::MESH_MAX
    }
}
