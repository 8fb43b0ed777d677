//! Heartbeats: to whom, and what rides on them.

use std::ops::Bound;

use super::peer::Standing;
use super::rumours::RUMOURS_MAX;
use super::{Beat, Detector, Fact, Rumour};
use crate::model::{Key, NodeId, Time};

/// Heartbeats in a row with another digest than ours, before the sender is told all we know: news on the way account for the first few.
const DIFFERING_MAX: u8 = 10;

impl Detector {
    /// One round.
    pub(super) fn beat(&mut self, now: Time, out: &mut Vec<Fact>) {
        let news = self.rumours.round();
        let ring = self.is_ring();
        let partners: Vec<Key> = self.peers.values().filter(|p| self.partner(p, now)).map(|p| p.life).collect();
        for to in partners {
            let mut said = if ring { news.clone() } else { Vec::new() };
            if ring {
                self.recite(to.node, &mut said);
            }
            out.push(Fact::SendBeat(self.a_beat(to, now, said)));
        }
        self.knock(now, out);
    }

    pub(super) fn a_beat(&self, to: Key, now: Time, rumours: Vec<Rumour>) -> Beat {
        let restarting = self.restarting.filter(|until| *until > now).map(|until| until - now);
        Beat { from: self.own, to, health: self.doubt.health(), digest: self.digest, restarting, rumours }
    }

    /// Rumours get lost. To whom believes something else for long, all we know is told bit by bit, until the digests agree.
    fn recite(&mut self, to: NodeId, said: &mut Vec<Rumour>) {
        let Some(peer) = self.peers.get(&to).filter(|p| p.differing >= DIFFERING_MAX) else { return };
        let from = peer.told;
        let mut last = NodeId(0);
        for (node, other) in self.peers.range((Bound::Excluded(from), Bound::Unbounded)) {
            if said.len() == RUMOURS_MAX {
                break;
            }
            last = *node;
            said.push(Rumour { life: other.life, down: other.standing == Standing::Down });
        }
        let round_again = self.peers.last_key_value().is_none_or(|(end, _)| *end <= last) || last == NodeId(0);
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.told = if round_again { NodeId(0) } else { last };
        }
    }

    /// Those that are down may only have been cut off, and think the same of us. One of them a round gets a heartbeat, so that somebody speaks first.
    fn knock(&mut self, now: Time, out: &mut Vec<Fact>) {
        let pace = self.profile.down;
        let down = self.peers.values_mut().filter(|p| p.standing == Standing::Down && now >= p.knocked + pace);
        if let Some(peer) = down.min_by_key(|p| (p.knocked, p.life)) {
            peer.knocked = now;
            let to = peer.life;
            out.push(Fact::SendBeat(self.a_beat(to, now, Vec::new())));
        }
    }
}
