//! What others say, and what follows from their saying it at all.

use std::time::Duration;

use super::peer::Standing;
use super::rumours::RUMOURS_MAX;
use super::{Beat, Clocks, Detector, Fact, RESTART_PLANNED_MAX, Rumour};
use crate::defects::{Defect, defect};
use crate::model::{Incarnation, Key, Time};

impl Detector {
    /// Anything came from this agent: it lives.
    pub fn on_heard(&mut self, clocks: Clocks, from: Key) -> Vec<Fact> {
        self.begin(clocks);
        let mut out = Vec::new();
        self.hear(clocks.mono, from, &mut out);
        out
    }

    /// A heartbeat came.
    pub fn on_beat(&mut self, clocks: Clocks, beat: &Beat) -> Vec<Fact> {
        self.begin(clocks);
        let (now, mut out) = (clocks.mono, Vec::new());
        let Beat { from, to, health, .. } = *beat;
        if to.node == self.own.node && to.inc > self.own.inc {
            // It remembers a life of ours that we do not: our store was lost.
            self.give_up(to.inc, &mut out);
        }
        if !self.hear(now, from, &mut out) {
            return out;
        }
        let own_digest = self.digest;
        if let Some(peer) = self.peers.get_mut(&from.node) {
            peer.guest_until = now + self.profile.down;
            if let Some(within) = beat.restarting {
                peer.until = now + within.min(RESTART_PLANNED_MAX);
            }
            peer.differing = if beat.digest == own_digest { 0 } else { peer.differing.saturating_add(1) };
        }
        for rumour in beat.rumours.iter().take(RUMOURS_MAX) {
            self.on_rumour(now, from, health, *rumour, &mut out);
        }
        out
    }

    /// Somebody asks when `about` was last heard here.
    pub fn on_ask(&mut self, clocks: Clocks, from: Key, about: Key, asked: Time) -> Vec<Fact> {
        self.begin(clocks);
        let (now, mut out) = (clocks.mono, Vec::new());
        if !self.hear(now, from, &mut out) {
            return out;
        }
        let Some(peer) = self.peers.get(&about.node).filter(|p| p.life == about) else { return out };
        let ago = now - peer.heard;
        let heard = ago < self.profile.suspect;
        if heard || (self.partner(peer, now) || peer.standing == Standing::Down) && self.doubt.may_judge(now) {
            out.push(Fact::AnswerConfirm { to: from, about, asked, ago, health: self.doubt.health() });
        } else if peer.standing == Standing::Up {
            // Not listened to so far. A heartbeat makes it send some, and the next question will find an answer.
            out.push(Fact::SendBeat(self.a_beat(about, now, Vec::new())));
        }
        out
    }

    /// The answer to such a question.
    pub fn on_answer(&mut self, clocks: Clocks, from: Key, about: Key, asked: Time, ago: Duration, health: u8) -> Vec<Fact> {
        self.begin(clocks);
        let (now, mut out) = (clocks.mono, Vec::new());
        if !self.hear(now, from, &mut out) || asked > now || from.node == about.node {
            return out;
        }
        let suspect = self.profile.suspect;
        let Some(peer) = self.peers.get_mut(&about.node).filter(|p| p.life == about && p.standing == Standing::Unreachable) else {
            return out;
        };
        if ago < suspect && !defect(Defect::IgnoreVouching) {
            // It answered after it was asked, so it heard it after that time at the least.
            peer.alive = peer.alive.max(Time(asked.0.saturating_sub(u64::try_from(ago.as_nanos()).unwrap_or(u64::MAX))));
            peer.agreed.remove(from.node);
        } else if asked >= peer.heard {
            peer.agreed.add(from.node, health);
        }
        out
    }

    /// Somebody refuses to hear `to`, because `current` is the life that counts.
    // spec: PSM-10, PSM-11
    pub fn on_refused(&mut self, clocks: Clocks, from: Key, to: Key, current: Key) -> Vec<Fact> {
        self.begin(clocks);
        let mut out = Vec::new();
        self.hear(clocks.mono, from, &mut out);
        if to == self.own && current.node == self.own.node && current.inc >= self.own.inc {
            self.give_up(current.inc, &mut out);
        }
        out
    }

    /// The fabric says that the link to this life is closed. A hint: its silence need not be waited for, but it may only be restarting.
    pub fn on_link_closed(&mut self, clocks: Clocks, life: Key) -> Vec<Fact> {
        self.begin(clocks);
        let (now, mut out) = (clocks.mono, Vec::new());
        let Some(peer) = self.peers.get_mut(&life.node).filter(|p| p.life == life && p.standing != Standing::Down) else { return out };
        peer.closed.get_or_insert(now);
        if peer.standing == Standing::Up {
            self.lose(now, life.node, &mut out);
            self.weigh(now, &mut out);
        }
        out
    }

    /// Whether it is a life that counts. Makes it known if it is new, refuses it if it is over.
    fn hear(&mut self, now: Time, from: Key, out: &mut Vec<Fact>) -> bool {
        if from.node == self.own.node {
            return false;
        }
        let Some(peer) = self.peers.get_mut(&from.node) else {
            out.push(Fact::Stranger { life: from });
            return false;
        };
        if from.inc > peer.life.inc {
            self.succeed(now, from, out);
            return true;
        }
        if from != peer.life || (peer.standing == Standing::Down && !defect(Defect::HearTheDown)) {
            // spec: PSM-10
            self.refuse(now, from, out);
            return false;
        }
        peer.hear(now);
        if peer.standing != Standing::Up {
            peer.stands(now, Standing::Up);
            out.push(Fact::Reachable { node: from.node });
        }
        true
    }

    /// At most once a heartbeat, so that a chatterer does not make us one.
    fn refuse(&mut self, now: Time, whom: Key, out: &mut Vec<Fact>) {
        let pace = self.profile.beat;
        let Some(peer) = self.peers.get_mut(&whom.node) else { return };
        if peer.refused.is_none_or(|last| now >= last + pace) {
            peer.refused = Some(now);
            out.push(Fact::Refuse { to: whom, current: peer.life });
        }
    }

    /// A later life of a known CPU.
    // spec: PSM-10
    pub(super) fn succeed(&mut self, now: Time, life: Key, out: &mut Vec<Fact>) {
        let Some(peer) = self.peers.get_mut(&life.node) else { return };
        let old = std::mem::replace(peer, super::Peer::new(now, life));
        out.push(match old.standing {
            Standing::Down => Fact::Up { life },
            _ => Fact::Superseded { old: old.life, new: life },
        });
        self.rumours.add(Rumour { life, down: false });
        self.regroup(now);
    }

    /// Said once a life.
    fn give_up(&mut self, above: Incarnation, out: &mut Vec<Fact>) {
        if !std::mem::replace(&mut self.given_up, true) && !defect(Defect::KeepGivenUpLife) {
            out.push(Fact::TakeNewLife { above });
        }
    }

    /// What neighbours found out.
    fn on_rumour(&mut self, now: Time, from: Key, health: u8, rumour: Rumour, out: &mut Vec<Fact>) {
        let Rumour { life, down } = rumour;
        if life.node == self.own.node {
            if life.inc > self.own.inc || life == self.own && down {
                self.give_up(life.inc, out);
            }
            return;
        }
        match self.peers.get(&life.node) {
            Some(peer) if life.inc > peer.life.inc => self.succeed(now, life, out),
            Some(_) => {}
            None => return,
        }
        let suspect = self.profile.suspect;
        let Some(peer) = self.peers.get_mut(&life.node).filter(|p| p.life == life && p.standing != Standing::Down) else { return };
        if !down || self.isolated.is_some() || life.node == from.node {
            return;
        }
        if now - peer.heard < suspect {
            // We hear it and they do not. It cannot go on with those, so it must know.
            return self.refuse(now, life, out);
        }
        peer.accused.add(from.node, health);
        if peer.accused.suffice() {
            self.declare(now, life.node, out);
        }
    }
}
