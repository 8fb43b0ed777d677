//! Verdicts: unreachable, isolated, presumed down.
// spec: FAB-3

use super::peer::Standing;
use super::{Detector, Fact, Rumour, ring};
use crate::defects::{Defect, defect};
use crate::model::{Key, NodeId, Time};

/// Third CPUs that are asked at a time.
const THIRDS: usize = 3;
/// So many vanish at once before it is taken for our own fault; and half of all.
const MASS_MIN: usize = 3;
/// Times T_suspect without anybody's word after which a peer counts as vanished. Questions go out once in T_suspect, an answer may be as old, and one may be lost.
const UNHEARD: u32 = 3;

impl Detector {
    /// Passes what verdicts are due. None rests on silence while we doubt that we listened.
    pub(super) fn judge(&mut self, now: Time, out: &mut Vec<Fact>) {
        if !self.doubt.may_judge(now) {
            return;
        }
        let limit = self.profile.beat + self.profile.suspect * self.doubt.patience();
        let partners = self.peers.values().filter(|p| p.standing == Standing::Up && self.partner(p, now));
        let silent: Vec<NodeId> = partners.filter(|p| p.silence(now) >= limit).map(|p| p.life.node).collect();
        for node in silent {
            // Only who owes us heartbeats can be late with them. A guest that left may still be heard by its neighbours.
            self.lose(now, node, out);
        }
        self.ask(now, out);
        self.weigh(now, out);
        if self.isolated.is_none() {
            let due: Vec<NodeId> = self.peers.values().filter(|p| self.is_due(p, now)).map(|p| p.life.node).collect();
            for node in due {
                if let Some(peer) = self.peers.get_mut(&node) {
                    peer.judged = true;
                }
                self.declare(now, node, out);
            }
        }
    }

    pub(super) fn lose(&mut self, now: Time, node: NodeId, out: &mut Vec<Fact>) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        if !self.neighbours.contains(&node) && peer.closed.is_none() {
            peer.guest_until = now;
            return;
        }
        peer.stands(now, Standing::Unreachable);
        out.push(Fact::Unreachable { node });
    }

    /// Three others are asked about each that is unreachable, every time other ones.
    fn ask(&mut self, now: Time, out: &mut Vec<Fact>) {
        let pace = self.profile.suspect;
        let due = self.peers.values().filter(|p| p.standing == Standing::Unreachable && p.asked.is_none_or(|at| now >= at + pace));
        let about: Vec<(Key, u32)> = due.map(|p| (p.life, p.round)).collect();
        for (about, round) in about {
            for via in self.thirds(about.node, round) {
                out.push(Fact::AskConfirm { via, about, asked: now });
            }
            if let Some(peer) = self.peers.get_mut(&about.node) {
                peer.asked = Some(now);
                peer.round = peer.round.wrapping_add(1);
            }
        }
    }

    /// Who is likely to hear it: its neighbours, as far as we hear those.
    fn thirds(&self, about: NodeId, round: u32) -> Vec<Key> {
        let living = self.peers.values().filter(|p| p.standing != Standing::Down).map(|p| p.life.node);
        let around = ring::neighbours(about, living.chain([self.own.node]));
        let up: Vec<Key> = around.iter().filter_map(|n| self.peers.get(n)).filter(|p| p.standing == Standing::Up).map(|p| p.life).collect();
        if up.is_empty() {
            return up;
        }
        let first = round as usize * THIRDS % up.len();
        (0..up.len().min(THIRDS)).map(|i| up[(first + i) % up.len()]).collect()
    }

    /// Whether its time is up, and confirmed.
    // spec: FAB-3
    fn is_due(&self, peer: &super::Peer, now: Time) -> bool {
        if peer.standing != Standing::Unreachable || now < peer.until {
            return false;
        }
        // A closed link says that the other kernel lives: the agent alone may have gone, and comes back.
        if peer.closed.is_some_and(|at| now < at + self.profile.restart) {
            return false;
        }
        let (patience, suspect) = (self.doubt.patience(), self.profile.suspect);
        let limit = self.profile.beat + self.profile.down * patience;
        let absence = peer.absence(now);
        // Thirds that do not answer may be gone themselves; those that doubt themselves count for less. They are not waited for
        // without end, but after a pause of ours they must have had the time to answer.
        let confirmed = || defect(Defect::IgnoreVouching) || peer.agreed.suffice() || self.thirds(peer.life.node, 0).is_empty();
        let mute = absence >= limit + suspect * patience && now >= peer.since + suspect * 2;
        absence >= limit && now >= peer.since + suspect && (confirmed() || mute)
    }

    /// Presumed down.
    // spec: PSM-10
    pub(super) fn declare(&mut self, now: Time, node: NodeId, out: &mut Vec<Fact>) {
        let Some(peer) = self.peers.get_mut(&node) else { return };
        peer.stands(now, Standing::Down);
        peer.knocked = now;
        let life = peer.life;
        self.rumours.add(Rumour { life, down: true });
        out.push(Fact::Down { life });
        self.regroup(now);
    }

    /// Have so many vanished at once that it is rather us?
    pub(super) fn weigh(&mut self, now: Time, out: &mut Vec<Fact>) {
        let (window, unheard) = (self.profile.down, self.profile.suspect * UNHEARD);
        // Once isolated, those that vanished then and later are counted until they return.
        let began = self.isolated.unwrap_or(now);
        let lately = |at: Time| at + window > began;
        let (mut all, mut vanished) = (0, 0);
        for peer in self.peers.values() {
            let ours = self.neighbours.contains(&peer.life.node) || peer.closed.is_some();
            match peer.standing {
                Standing::Up if ours => all += 1,
                Standing::Unreachable if ours => {
                    all += 1;
                    // Somebody still hears it: only the way between us is broken. Who said that it would restart has not vanished.
                    let vouched = peer.alive > peer.heard && peer.absence(now) < unheard;
                    vanished += usize::from(!vouched && lately(peer.since.max(peer.alive + unheard)) && now >= peer.until);
                }
                Standing::Down if peer.judged && lately(peer.since) => {
                    all += 1;
                    vanished += 1;
                }
                _ => {}
            }
        }
        let isolated = vanished >= MASS_MIN && vanished * 2 >= all && !defect(Defect::NoIsolation);
        if isolated == self.isolated.is_some() {
            return;
        }
        self.isolated = isolated.then_some(now);
        out.push(Fact::Isolated(isolated));
        if !isolated {
            // Those still silent get the whole time from here: what was not held against them is not held against them now.
            for peer in self.peers.values_mut().filter(|p| p.standing == Standing::Unreachable) {
                peer.floor = now;
                peer.agreed = super::peer::Witnesses::default();
            }
        }
    }
}
