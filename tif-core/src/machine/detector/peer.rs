//! What is known of one other agent.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::{Key, NodeId, Time};

/// One healthy witness weighs this much, one that doubts itself a fraction. Divides by 1 to 9.
const WITNESS: u32 = 2520;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    Up,
    Unreachable,
    Down,
}

#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) life: Key,
    pub(super) standing: Standing,
    /// Since when it stands so.
    pub(super) since: Time,
    /// When it was last heard here.
    pub(super) heard: Time,
    /// The latest proof of its life, its own or a third's.
    pub(super) alive: Time,
    /// Silence before this does not count: nobody listened.
    pub(super) floor: Time,
    /// Its link was said to be closed, and it was not heard since.
    pub(super) closed: Option<Time>,
    /// It announced a restart and is waited for.
    pub(super) until: Time,
    /// It sends us heartbeats, so it gets some, neighbour or not.
    pub(super) guest_until: Time,
    /// When others were last asked about it, and how often.
    pub(super) asked: Option<Time>,
    pub(super) round: u32,
    /// Who does not hear it either, and how much they doubt themselves.
    pub(super) agreed: Witnesses,
    /// Who says that it is down.
    pub(super) accused: Witnesses,
    /// Presumed down here, not on the word of others.
    pub(super) judged: bool,
    pub(super) refused: Option<Time>,
    pub(super) knocked: Time,
    /// Heartbeats of it in a row whose digest was not ours.
    pub(super) differing: u8,
    /// Up to where it was told what we know, since the digests differ.
    pub(super) told: NodeId,
}

impl Peer {
    pub(super) fn new(now: Time, life: Key) -> Peer {
        Peer {
            life,
            standing: Standing::Up,
            since: now,
            heard: now,
            alive: now,
            floor: now,
            closed: None,
            until: Time::ZERO,
            guest_until: Time::ZERO,
            asked: None,
            round: 0,
            agreed: Witnesses::default(),
            accused: Witnesses::default(),
            judged: false,
            refused: None,
            knocked: now,
            differing: 0,
            told: NodeId(0),
        }
    }

    pub(super) fn stands(&mut self, now: Time, standing: Standing) {
        self.standing = standing;
        self.since = now;
    }

    /// How long it was not heard while somebody listened.
    pub(super) fn silence(&self, now: Time) -> Duration {
        now - self.heard.max(self.floor)
    }

    /// How long there is no proof of its life.
    pub(super) fn absence(&self, now: Time) -> Duration {
        now - self.alive.max(self.floor)
    }

    /// Heard by itself: all that was said against it is void.
    pub(super) fn hear(&mut self, now: Time) {
        self.heard = now;
        self.alive = now;
        self.closed = None;
        self.asked = None;
        self.agreed = Witnesses::default();
        self.accused = Witnesses::default();
    }
}

/// Who says the same of somebody. At most as many as there are peers.
#[derive(Clone, Debug, Default)]
pub(super) struct Witnesses(BTreeMap<NodeId, u8>);

impl Witnesses {
    pub(super) fn add(&mut self, who: NodeId, health: u8) {
        self.0.insert(who, health);
    }

    pub(super) fn remove(&mut self, who: NodeId) {
        self.0.remove(&who);
    }

    /// Whether they weigh as much as one that does not doubt itself.
    // spec: FAB-3
    pub(super) fn suffice(&self) -> bool {
        self.0.values().map(|health| WITNESS / (u32::from(*health).min(u32::from(super::HEALTH_MAX)) + 1)).sum::<u32>() >= WITNESS
    }
}
