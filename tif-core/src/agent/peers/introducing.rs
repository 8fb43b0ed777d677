//! Where a member of a group is started that is missing in the system.
//!
//! Each agent says how busy its CPU is, of which services it could start a member, and how many it has under way; so all see the same, and each works out by
//! itself whose turn it is (`machine::takeover`). Nobody is asked, and nobody commands.
// spec: GRP-3, GRP-4, GRP-7

use std::time::Duration;

use super::super::io::Moment;
use super::super::{Agent, Outbox};
use crate::machine::takeover::Candidate;
use crate::model::{Name, NodeId};
use crate::wire::{Host, ToPeer};

/// By how much a CPU's workload has to change before the others are told, in percent.
const WORKLOAD_STEP: u8 = 10;

impl Agent {
    pub(in super::super) fn on_workload(&mut self, percent: u8) {
        self.peers.workload = percent.min(100);
    }

    /// Tells the others how this CPU stands, where that has changed.
    pub(super) fn send_host(&mut self, now: Moment, out: &mut Outbox) {
        let told = &self.peers.host;
        let introduces = self.launcher.counted_everywhere().map(|(service, members)| (service.clone(), members)).collect();
        let is_another = self.peers.workload.abs_diff(told.workload) >= WORKLOAD_STEP;
        let host = Host { workload: if is_another { self.peers.workload } else { told.workload }, introduces };
        if host != self.peers.host {
            self.peers.host = host.clone();
            self.say_to_all(now, &ToPeer::Host(host), out);
        }
    }

    pub(super) fn on_host(&mut self, node: NodeId, host: Host) {
        self.peers.electing.stir();
        if let Some(peer) = self.peers.get_mut(node) {
            peer.host = host.bounded();
        }
    }

    /// A member on another CPU took its leave.
    pub(super) fn on_left_elsewhere(&mut self, service: &Name) {
        self.launcher.on_left_elsewhere(service);
    }

    /// How many members of its services there are, and whose turn it is where one is missing.
    pub(super) fn look_at_introductions(&mut self, now: Moment) {
        let own: Vec<(Name, u32)> = self.launcher.counted_everywhere().map(|(service, members)| (service.clone(), members)).collect();
        for (service, members) in own {
            let elsewhere = self.members_elsewhere(&service);
            self.launcher.on_elsewhere(&service, elsewhere);
            let waits = self.reaches_majority().then(|| self.waits(&service, members));
            self.launcher.take_turn(now.time, &service, waits);
        }
    }

    /// How long this CPU leaves it to others to introduce a member.
    fn waits(&self, service: &Name, members: u32) -> Duration {
        let own = Candidate { members, workload: self.peers.host.workload / 10, node: self.key.node };
        let others = self.peers.iter().filter(|(node, peer)| peer.greeted && self.peers.detector.is_up(*node));
        let others = others.filter(|(_, peer)| peer.host.introduces.contains_key(service));
        own.waits(others.map(|(node, peer)| Candidate { members: members_of(peer, service), workload: peer.host.workload / 10, node }))
    }

    /// Alive or under way, on CPUs that are not given up.
    fn members_elsewhere(&self, service: &Name) -> u32 {
        self.peers.iter().filter(|(_, peer)| !peer.down).map(|(_, peer)| members_of(peer, service)).sum()
    }

    /// Who does not, or has not heard from there yet what is alive, may be the one that is cut off.
    fn reaches_majority(&self) -> bool {
        let electing = &self.peers.electing;
        let is_met = |node: &NodeId| self.peers.detector.is_up(*node) && self.peers.get(*node).is_some_and(|peer| peer.greeted);
        let reached = electing.voters.iter().filter(|node| **node == self.key.node || is_met(node)).count();
        2 * reached > electing.voters.len()
    }
}

fn members_of(peer: &super::Peer, service: &Name) -> u32 {
    let alive = || peer.members.values().filter(|m| m.service == *service).count() as u32;
    peer.host.introduces.get(service).copied().unwrap_or_else(alive)
}
