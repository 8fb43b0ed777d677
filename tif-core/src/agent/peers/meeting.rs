//! Meeting another agent: who is seen is greeted until it answers, and what both speak is settled before anything else is said.
//!
//! Both sides come to the same end from the two offers. With whom nothing is spoken is as good as not there: it is told so, people are told on both sides,
//! and all else that it sends is dropped. Another life of it, perhaps of another release, is met anew.
// spec: FAB-2, FAB-5

use super::super::io::{Moment, Output};
use super::super::{Agent, Outbox};
use super::clocks;
use crate::defects::{Defect, defect};
use crate::limits::PEERS_SEEN_MAX;
use crate::machine::versions::{Agreed, Incompatible, Offer, agree};
use crate::model::{Key, NodeId};
use crate::wire::PeerBody;

/// The latest life of another agent that has said what it speaks.
#[derive(Debug)]
pub(super) struct Met {
    life: Key,
    spoken: Result<Agreed, Incompatible>,
}

impl Met {
    pub(super) fn spoken(&self) -> &Result<Agreed, Incompatible> {
        &self.spoken
    }
}

impl Agent {
    /// What is spoken with another CPU's agent, or why nothing is; none: it has not said yet what it speaks.
    pub fn spoken_with(&self, node: NodeId) -> Option<Result<Agreed, Incompatible>> {
        self.peers.met.get(&node).map(|met| met.spoken)
    }

    /// The fabric hints at another agent: it is greeted, until it answers.
    pub(in super::super) fn on_peer_seen(&mut self, node: NodeId, out: &mut Outbox) {
        if node != self.key.node && !self.peers.seen.contains(&node) && self.notice_peer(node) {
            self.greet(node, Key::NONE, out);
        }
    }

    /// Whether another agent is one of those that are looked at.
    // spec: SEC-2
    fn notice_peer(&mut self, node: NodeId) -> bool {
        let seen = self.peers.seen.contains(&node) || self.peers.seen.len() < PEERS_SEEN_MAX && self.peers.seen.insert(node);
        self.stats.refusals += u64::from(!seen);
        seen
    }

    /// Those that were seen and have not answered.
    pub(in super::super) fn greet_again(&mut self, out: &mut Outbox) {
        let is_settled =
            |node: &NodeId| self.peers.peers.contains_key(node) || self.peers.met.get(node).is_some_and(|met| met.spoken.is_err());
        let silent: Vec<NodeId> = self.peers.seen.iter().filter(|node| !is_settled(node)).copied().collect();
        for node in silent {
            self.greet(node, Key::NONE, out);
        }
    }

    pub(super) fn greet(&self, node: NodeId, to: Key, out: &mut Outbox) {
        self.post(node, to, PeerBody::Hello { offer: self.offer, asks: true }, out);
    }

    /// Another agent says who it is and what it speaks.
    pub(super) fn on_peer_hello(&mut self, now: Moment, life: Key, to: Key, offer: &Offer, asks: bool, out: &mut Outbox) {
        let is_over = self.peers.met.get(&life.node).is_some_and(|met| met.life.inc > life.inc);
        if is_over || !self.notice_peer(life.node) {
            return;
        }
        let spoken = match agree(&self.offer, offer) {
            Err(_) if defect(Defect::IgnoreVersionOffer) => agree(&self.offer, &self.offer),
            spoken => spoken,
        };
        self.meet(life, spoken, out);
        if spoken.is_err() {
            // Each time: what was said before may not have arrived.
            return self.post(life.node, life, PeerBody::Incompatible { offer: self.offer }, out);
        }
        match self.peers.detector.introduce(clocks(now), life) {
            Ok(facts) => self.act_on(now, facts, out),
            Err(_) => self.stats.refusals += 1,
        }
        // It has not heard ours, or not that of this life: also one that is well known here may have missed it.
        if asks || to != self.key {
            self.post(life.node, life, PeerBody::Hello { offer: self.offer, asks: false }, out);
        }
    }

    /// Another agent has found that the two have nothing in common. It is believed if that is so: there is nothing to be gained by saying it.
    pub(super) fn on_peer_incompatible(&mut self, life: Key, offer: &Offer, out: &mut Outbox) {
        let is_over = self.peers.met.get(&life.node).is_some_and(|met| met.life.inc > life.inc);
        let spoken = agree(&self.offer, offer);
        if spoken.is_err() && !is_over && self.notice_peer(life.node) {
            self.meet(life, spoken, out);
        }
    }

    fn meet(&mut self, life: Key, spoken: Result<Agreed, Incompatible>, out: &mut Outbox) {
        let before = self.peers.met.insert(life.node, Met { life, spoken });
        if let Err(why) = spoken
            && before.is_none_or(|met| met.life != life)
        {
            self.stats.refusals += 1;
            out.push(Output::Incompatible { node: life.node, why });
        }
    }

    /// Whether what this life says counts. One that has not said what it speaks is asked to. One that is over has no say, as the detector will tell it; it is
    /// told nothing if its successor is not spoken with, of which the detector does not know.
    pub(super) fn is_spoken_with(&self, life: Key, out: &mut Outbox) -> bool {
        match self.peers.met.get(&life.node) {
            Some(met) if met.life == life || met.life.inc > life.inc => met.spoken.is_ok(),
            _ => {
                self.greet(life.node, life, out);
                false
            }
        }
    }
}
