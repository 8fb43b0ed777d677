//! Who leads a service whose group may have members on several CPUs: one primary in the whole system.
//!
//! A register per service, kept by the CPUs that vote, says who leads, on which CPU, and which CPUs have every accepted change. Nobody leads whom it does not
//! name. When its primary is gone, CPUs with a ready member and all that was accepted try to put theirs in its place, the nearest at once, the others a
//! little later; one succeeds, and the others hear who it is.
//!
//! | the register | what is seen here | then |
//! |---|---|---|
//! | not read yet | | it is read |
//! | empty | a ready member is here | it is asked to name that, in the first term |
//! | names a process of this CPU | all of its log is where it must be | that is promoted (`leading`) |
//! | names a process of this CPU that has let go | a ready member is here, the chosen one at best | it is asked to name that, in the next term |
//! | names one elsewhere that has let go for a member of this CPU (`relieving`) | that is ready, and this CPU is in sync | it is asked to name that, in the next term |
//! | names one that is gone | a ready member is here, and this CPU is in sync | it is asked to name that, in the next term |
//! | names one elsewhere, in a later term | somebody leads here | that is demoted |
//!
//! With no voters, or this CPU as the only one, none of this happens: the store is the witness, and no message is sent.
// spec: GRP-5, GRP-6, GRP-7, GRP-8, GRP-9

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::exporting::Exporter;
use super::super::io::{Moment, Output, Record, Start};
use super::super::{Agent, Outbox, Question, Timer, Waiting};
use super::replicating::Shared;
use crate::machine::book::Book;
use crate::machine::group::{Elected, Group};
use crate::machine::replication::NotTaken;
use crate::machine::witness::{Act, Member, Outcome, Term};
use crate::model::{Address, Cause, Epoch, Key, Name, NodeId, Role, Time};
use crate::wire::{GroupMessage, ToProcess};

/// How often the groups are looked at when nothing happens.
pub(super) const PERIOD: Duration = Duration::from_millis(100);
/// How long after its start an agent waits to see the others before it takes them for gone.
const START_GRACE: Duration = Duration::from_secs(3);
/// How much longer each CPU waits than the one before it in rank.
const RANK_PAUSE: Duration = Duration::from_millis(250);
/// How long an attempt may take before it is made again; and at most.
pub(super) const ATTEMPT: (Duration, Duration) = (Duration::from_millis(150), Duration::from_millis(1200));
/// The least pause after another CPU's ballot was greater; each CPU has its own multiple.
const OUTBID: Duration = Duration::from_millis(20);
/// How often the register is read while something seems to have changed.
const READ_AGAIN: Duration = Duration::from_millis(700);
/// How long who has nothing to decide waits before it reads the register: whoever has just been elected is not to wait for the disks of all that are curious.
pub(super) const NO_HURRY: Duration = Duration::from_millis(250);
/// Services whose groups a CPU votes on.
// spec: SEC-2
const SERVICES_MAX: usize = 1024;

/// All services whose groups may have members on several CPUs, as this CPU knows them.
#[derive(Debug, Default)]
pub(in super::super) struct Electing {
    pub me: Member,
    pub agent_epoch: u32,
    pub voters: BTreeSet<NodeId>,
    pub founding: bool,
    began: Time,
    pub groups: BTreeMap<Name, Shared>,
    /// Something has changed since they were looked at.
    due: bool,
}

impl Electing {
    /// Whether other CPUs vote.
    pub fn is_on(&self) -> bool {
        !self.voters.is_empty()
    }

    /// Whether this CPU decides what is accepted for a source: it leads that, and knows all that was accepted before, or no other CPU is asked.
    pub fn may_decide(&self, source: &Name) -> bool {
        self.groups.get(source).is_none_or(|shared| shared.established.is_some())
    }

    /// A group as it begins here.
    pub fn group(&self, epoch: Epoch) -> Group {
        if self.is_on() { Group::witnessed(epoch) } else { Group::new(epoch) }
    }

    pub fn stir(&mut self) {
        self.due = true;
    }
}

impl Agent {
    /// What the configuration says, and the store remembers.
    pub(in super::super) fn restore_electing(&mut self, now: Moment, start: &mut Start) {
        let voters: BTreeSet<NodeId> = start.voters.iter().copied().collect();
        if voters.iter().all(|node| *node == start.node) {
            return;
        }
        let me = Member { node: start.node, store: start.store };
        let mut electing = Electing {
            me,
            agent_epoch: start.agent_epoch,
            voters,
            founding: start.founding,
            began: now.time,
            groups: BTreeMap::new(),
            due: true,
        };
        let mut votes: BTreeMap<Name, _> = std::mem::take(&mut start.votes).into_iter().collect();
        let mut logs: BTreeMap<Name, _> = std::mem::take(&mut start.logs).into_iter().collect();
        let services: BTreeSet<Name> = votes.keys().chain(logs.keys()).cloned().collect();
        for service in services {
            let shared = Shared::new(&electing, votes.remove(&service), logs.remove(&service));
            electing.groups.insert(service, shared);
        }
        self.peers.electing = electing;
        self.timers.set(now.time + PERIOD, Timer::Groups);
    }

    /// Whether changes of this service's group are accepted only with other CPUs' consent.
    pub(in super::super) fn is_shared(&self, service: &Name) -> bool {
        self.peers.electing.is_on() && self.groups.contains_key(service)
    }

    /// The time has come to look at all groups.
    pub(in super::super) fn on_groups_due(&mut self, now: Moment, out: &mut Outbox) {
        self.timers.set(now.time + PERIOD, Timer::Groups);
        self.peers.electing.stir();
        let services: Vec<Name> = self.peers.electing.groups.keys().cloned().collect();
        for service in services {
            self.try_again(now, &service, out);
            self.remind_followers(now, &service, out);
        }
        self.give_answers_up(now, out);
    }

    /// The end of a step: groups are looked at if something has changed.
    pub(in super::super) fn look_at_groups(&mut self, now: Moment, out: &mut Outbox) {
        if !self.peers.electing.is_on() || !std::mem::take(&mut self.peers.electing.due) {
            return;
        }
        let here = self.groups.iter().filter(|(_, g)| !g.is_empty()).map(|(service, _)| service.clone());
        let services: BTreeSet<Name> = here.chain(self.peers.electing.groups.keys().cloned()).collect();
        for service in services {
            self.shared_of(&service, out);
            self.consider(now, &service, out);
            self.await_end(&service);
        }
        self.look_at_introductions(now);
    }

    /// What this CPU knows of a group; it begins to if it is asked.
    pub(super) fn shared_of(&mut self, service: &Name, out: &mut Outbox) -> Option<&mut Shared> {
        if !self.peers.electing.groups.contains_key(service) {
            if !self.peers.electing.is_on() || self.peers.electing.groups.len() >= SERVICES_MAX {
                return None;
            }
            let mut shared = Shared::new(&self.peers.electing, None, None);
            // What was accepted while this CPU was the only one.
            let unsettled = self.ledger.unsettled().of_source(service).cloned().collect();
            let calls = self.calls.journal.iter().filter(|call| is_below(service, &call.name)).cloned();
            shared.begin_with(Book::of(self.ledger.of_source(service), unsettled, calls), service);
            self.peers.electing.groups.insert(service.clone(), shared);
            self.take_steps(Moment::default(), service, out);
        }
        self.peers.electing.groups.get_mut(service)
    }

    /// Asks the register again if nobody has answered.
    fn try_again(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        let rank = 1 + self.key.node.0 % 8;
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        if now.time < shared.again_at {
            return self.timers.set(shared.again_at.min(now.time + PERIOD), Timer::Groups);
        }
        let voters = &self.peers.electing.voters;
        let blank = shared.acceptor.as_ref().map(|a| a.catch_up(voters)).unwrap_or_default();
        shared.outbid();
        let asks = shared.proposer.retry();
        if !asks.is_empty() || !blank.is_empty() {
            shared.attempts += 1;
            shared.again_at = now.time + (ATTEMPT.0 * 2u32.pow(shared.attempts.min(3))).min(ATTEMPT.1) + OUTBID * rank;
        }
        for question in blank {
            self.tell_of_group(now, question.to, service, GroupMessage::CatchUp(question), out);
        }
        self.ask_voters(now, service, asks, out);
    }

    /// Who leads, who ought to, and what this CPU does about it.
    fn consider(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        let senior = self.groups.get(service).and_then(Group::senior);
        let hosts = self.groups.get(service).is_some_and(|g| !g.is_empty());
        self.heed_reach(service, now, out);
        self.take_steps(now, service, out);
        let Some(shared) = self.peers.electing.groups.get(service) else { return };
        if shared.proposer.is_busy() {
            return;
        }
        let led = self.groups.get(service).is_some_and(|g| g.leader().is_some());
        match shared.register.clone() {
            None if !led && now.time < shared.unhurried_until => {}
            // Who has the log may be the only one that has it, and others wait for it, members or not.
            None if hosts || shared.replica.log().epoch > Epoch(0) => self.read_register(now, service, out),
            None => {}
            Some(None) => {
                let Some(primary) = senior else { return };
                if self.is_its_turn(now, service, None) {
                    let last = self.groups.get(service).map(Group::epoch).unwrap_or_default();
                    self.with_replica(now, service, out, |replica, outputs| replica.found(last, Some(primary), outputs));
                }
            }
            Some(Some(term)) => self.consider_term(now, service, &term, senior, hosts, out),
        }
    }

    fn consider_term(&mut self, now: Moment, service: &Name, term: &Term, senior: Option<Key>, hosts: bool, out: &mut Outbox) {
        let me = self.peers.electing.me;
        let Some(shared) = self.peers.electing.groups.get(service) else { return };
        let later = self.peers.members().any(|m| m.grouped && m.service == *service && m.epoch > term.epoch);
        let follows = hosts && term.home != me;
        let is_old = later || (follows && !term.in_sync.contains(&me));
        // It may have come in sync since, and be the one to take over.
        let is_lost = follows && shared.gone_since.is_none() && self.is_gone(now, term.primary);
        let offered = self.offered(service).filter(|_| follows);
        let is_new_offer = offered.is_some_and(|offer| offer.epoch >= term.epoch && shared.offered < offer.epoch);
        let old_since = is_old.then(|| shared.old_since.unwrap_or(now.time));
        let is_due = now.time.since(shared.read) >= READ_AGAIN && old_since.is_some_and(|since| now.time.since(since) >= NO_HURRY);
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        shared.old_since = old_since;
        if is_old && (is_lost || is_new_offer || is_due) {
            shared.gone_since = if is_lost { Some(now.time) } else { shared.gone_since };
            shared.offered = offered.map_or(shared.offered, |offer| offer.epoch);
            return self.read_register(now, service, out);
        }
        let (vacated, established) = (shared.vacated, shared.established == Some(term.epoch));
        if let Some((_, chosen)) = vacated.filter(|(epoch, _)| *epoch == term.epoch && term.home == me) {
            // It is for the agent of the chosen one to ask.
            if self.hands_over_elsewhere(service) {
                return;
            }
            let chosen = self.groups.get(service).filter(|g| g.is_ready(chosen)).map(|_| chosen).or(senior);
            if let Some(chosen) = chosen {
                return self.stand(now, service, term, chosen, out);
            }
        }
        if let Some(offer) = offered.filter(|offer| offer.epoch == term.epoch && term.in_sync.contains(&me)) {
            return self.stand(now, service, term, offer.key, out);
        }
        if let Some(primary) = term.primary.filter(|_| term.home == me).filter(|key| self.exporters.contains_key(key)) {
            let Some(group) = self.groups.get(service) else { return };
            if !established {
                return;
            }
            if group.leader() == Some(primary) && group.epoch() == term.epoch {
                return self.promote_again(now, service, Elected { key: primary, epoch: term.epoch }, out);
            }
            if group.epoch() < term.epoch && !self.is_led_beside(service, primary) {
                return self.promote_elected(now, service, primary, term.epoch, out);
            }
        } else if !self.is_gone(now, term.primary) {
            if let Some(shared) = self.peers.electing.groups.get_mut(service) {
                shared.gone_since = None;
            }
            return;
        }
        let Some(primary) = senior else { return };
        if !self.is_its_turn(now, service, Some(term)) {
            return;
        }
        self.stand(now, service, term, primary, out);
    }

    /// Whether another member of this CPU may still believe to lead: it did when the agent before this one wrote it down, and is not back. Beside it nobody of
    /// this CPU leads: it comes back, and finds its term over, or ends.
    // spec: GRP-8
    fn is_led_beside(&self, service: &Name, primary: Key) -> bool {
        let may_lead = |key: &Key, e: &Exporter| e.grouped && e.service == *service && e.led_before && *key != primary;
        self.exporters.iter().any(|(key, e)| may_lead(key, e))
    }

    /// Asks the register to name a member of this CPU in the next term.
    fn stand(&mut self, now: Moment, service: &Name, term: &Term, primary: Key, out: &mut Outbox) {
        // Members elsewhere need not wait.
        if self.is_led_beside(service, primary) {
            return;
        }
        let me = self.peers.electing.me;
        let out_of_reach = |m: &Member| m.node != me.node && !self.is_in_reach(now, m.node);
        let lost: BTreeSet<Member> = term.in_sync.iter().copied().filter(out_of_reach).collect();
        let mut refused = None;
        self.with_replica(now, service, out, |replica, outputs| refused = replica.take_over(term, Some(primary), &lost, outputs).err());
        if refused == Some(NotTaken::Over) {
            self.read_register(now, service, out);
        }
    }

    /// Whether all that was accepted in the terms before this one is known here.
    pub(in super::super) fn is_established(&self, service: &Name, epoch: Epoch) -> bool {
        self.peers.electing.groups.get(service).is_some_and(|shared| shared.established == Some(epoch))
    }

    /// Whether a primary is known to lead no more. One that cannot be reached, and is not given up, may.
    // spec: PSM-10
    fn is_gone(&self, now: Moment, primary: Option<Key>) -> bool {
        let Some(key) = primary else { return true };
        if key.node == self.key.node {
            return !self.exporters.contains_key(&key);
        }
        match self.peers.get(key.node) {
            _ if self.peers.is_over(key) => true,
            Some(peer) => peer.greeted && !peer.members.contains_key(&key),
            None => now.time.since(self.peers.electing.began) >= START_GRACE,
        }
    }

    /// Whether a CPU can be reached, or may well be soon.
    pub(super) fn is_in_reach(&self, now: Moment, node: NodeId) -> bool {
        match self.peers.detector.life(node) {
            Some(_) => self.peers.detector.is_up(node),
            None => now.time.since(self.peers.electing.began) < START_GRACE,
        }
    }

    /// Those who could lead stand one after the other: where a member weighs most, of equal ones the CPU of the last primary, then by number.
    // spec: GRP-5
    fn is_its_turn(&mut self, now: Moment, service: &Name, term: Option<&Term>) -> bool {
        let me = self.peers.electing.me;
        let may = |node: NodeId| term.is_none_or(|t| t.in_sync.iter().any(|m| m.node == node));
        if term.is_some_and(|t| !t.in_sync.contains(&me)) {
            return false;
        }
        let there = self.peers.iter().filter(|(node, p)| p.greeted && self.peers.detector.is_up(*node) && may(*node));
        let heaviest =
            |p: &super::Peer| p.members.values().filter(|m| m.grouped && m.ready && m.service == *service).map(|m| m.weight).max();
        let there = there.filter_map(|(node, p)| Some((node, heaviest(p)?)));
        let here = self.groups.get(service).and_then(Group::weight).unwrap_or_default();
        let home = term.map(|t| t.home.node);
        let place = |(node, weight)| (Reverse(weight), home != Some(node), node);
        let mut all: Vec<_> = there.chain([(me.node, here)]).map(place).collect();
        all.sort_unstable();
        let rank = all.iter().position(|(_, _, node)| *node == me.node).unwrap_or_default();
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return false };
        let since = *shared.gone_since.get_or_insert(now.time);
        // One that was named and could not begin is not named again and again.
        let again = shared.stood.is_none_or(|stood| now.time.since(stood) >= READ_AGAIN);
        let turn = again && now.time.since(since) >= RANK_PAUSE * u32::try_from(rank).unwrap_or(u32::MAX);
        if turn {
            shared.stood = Some(now.time);
        }
        turn
    }

    /// Reads the register, unless that was done just now.
    pub(super) fn read_if_old(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        if self.peers.electing.groups.get(service).is_some_and(|s| now.time.since(s.read) >= READ_AGAIN) {
            self.read_register(now, service, out);
        }
    }

    pub(super) fn read_register(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        if shared.proposer.is_busy() {
            return;
        }
        shared.begin_attempt(now.time);
        shared.read = now.time;
        let asks = shared.proposer.read();
        self.ask_voters(now, service, asks, out);
    }

    /// What came of an attempt.
    pub(super) fn on_act(&mut self, now: Moment, service: &Name, act: Act, out: &mut Outbox) {
        match act {
            Act::Ask(asks) => self.ask_voters(now, service, asks, out),
            // Somebody else was quicker: again, after a pause that is longer for each, so that they come apart.
            Act::Decided(Outcome::Undecided) => {
                let rank = 1 + self.key.node.0 % 8;
                if let Some(shared) = self.peers.electing.groups.get_mut(service) {
                    shared.again_at = now.time + OUTBID * rank * 2u32.pow(shared.attempts.min(4));
                    self.timers.set(shared.again_at, Timer::Groups);
                }
            }
            Act::Decided(Outcome::Chosen(term)) => self.on_register(now, service, Some(term), out),
            Act::Decided(Outcome::Holds(held) | Outcome::Lost(held)) => self.on_register(now, service, held, out),
        }
    }

    /// What the register holds.
    fn on_register(&mut self, now: Moment, service: &Name, held: Option<Term>, out: &mut Outbox) {
        let me = self.peers.electing.me;
        self.peers.electing.stir();
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        if shared.register.as_ref() != Some(&held) {
            shared.gone_since = None;
        }
        shared.attempts = 0;
        shared.register = Some(held.clone());
        let Some(term) = held else { return };
        if shared.established.is_some_and(|epoch| epoch != term.epoch) {
            shared.established = None;
        }
        self.with_replica(now, service, out, |replica, outputs| replica.on_term(&term, outputs));
        if term.home != me && self.groups.get(service).is_some_and(|g| g.epoch() < term.epoch) {
            if let Some(primary) = term.primary {
                self.is_handed_over(service, primary, term.epoch);
            }
            self.depose(now, service, term.epoch, out);
        }
    }

    /// Another CPU's agent says who leads there: if that is in a later term, nobody leads here.
    // spec: GRP-8
    pub(super) fn heed_member(&mut self, now: Moment, member: &crate::wire::Member, out: &mut Outbox) {
        self.peers.electing.stir();
        self.heed_number(now, member, out);
        let later = self.groups.get(&member.service).is_some_and(|g| g.epoch() < member.epoch && g.leader().is_some());
        if self.peers.electing.is_on() && member.grouped && member.role == Role::Primary && later {
            self.depose(now, &member.service, member.epoch, out);
            self.read_register(now, &member.service, out);
        }
    }

    /// The same for all that it has.
    pub(super) fn heed_members(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        let members: Vec<_> = self.peers.get(node).map(|p| p.members.values().cloned().collect()).unwrap_or_default();
        for member in members {
            self.heed_member(now, &member, out);
        }
    }

    /// Whether a name is that of an instrument of a group that may have members on several CPUs.
    pub(super) fn is_of_shared(&self, text: &str) -> bool {
        let Ok(address) = text.parse::<Address>() else { return false };
        let far = self.peers.members().filter(|m| m.grouped).map(|m| &m.service);
        self.peers.electing.is_on() && self.groups.keys().chain(far).any(|service| is_below(service, address.name.as_str()))
    }

    fn promote_elected(&mut self, now: Moment, service: &Name, key: Key, epoch: Epoch, out: &mut Outbox) {
        let before = self.groups.get(service).and_then(Group::leader);
        if !self.is_handed_over(service, key, epoch) {
            match before {
                Some(_) => self.depose(now, service, epoch, out),
                None => self.break_handover(now, service, epoch, out),
            }
        }
        let elected = self.groups.get_mut(service).and_then(|g| g.on_elected(key, epoch));
        self.elect(now, service, elected, out);
    }

    /// A later term has begun, and whoever leads here does not lead in it.
    // spec: GRP-6, GRP-8, OUT-6
    fn depose(&mut self, now: Moment, service: &Name, epoch: Epoch, out: &mut Outbox) {
        self.break_handover(now, service, epoch, out);
        let led = self.groups.get_mut(service).and_then(|g| g.on_deposed(epoch));
        self.touch_group(service);
        for (member, _) in self.exporters.iter().filter(|(_, e)| e.grouped && e.service == *service) {
            out.push(Output::Epoch { key: *member, epoch });
        }
        self.store(Record::Term { service: service.clone(), epoch, leader: None }, Waiting::Nobody, out);
        // Who has let go is the primary no more, and its last values are shown.
        let stands = self.sources.get(service).and_then(|s| s.exporter).filter(|key| self.exporters.contains_key(key));
        let stands = stands.filter(|_| !self.awaits_relief(service, epoch));
        if let Some(key) = led {
            self.tell(out, key, ToProcess::Demote { epoch });
        }
        let asked = self.questions.iter().find(|(_, q)| matches!(q, Question::Promote(of, _) if of == service)).map(|(number, _)| *number);
        if let Some(number) = asked {
            self.answered(number);
        }
        if let Some(key) = stands {
            self.unbind(key, out);
            let process = self.exporters.get(&key).map_or_else(|| service.clone(), |e| e.name.clone());
            self.begin_outage(now, service, &process, key, Cause::Handover, out);
        }
    }

    /// It stands behind its source no longer, and lives: nobody watches its slots.
    pub(in super::super) fn unbind(&mut self, key: Key, out: &mut Outbox) {
        let Some(exporter) = self.exporters.get_mut(&key) else { return };
        let slots = std::mem::take(&mut exporter.slots);
        for slot in slots.into_keys() {
            out.push(Output::Watch { key, slot, on: false });
        }
        self.tell(out, key, ToProcess::WatchChanged);
    }

    /// A source that was followed on another CPU has its exporter here from now on.
    pub(in super::super) fn take_home(&mut self, source: &Name) {
        if self.peers.sources.remove(source).is_some() {
            for peer in self.peers.peers.values_mut() {
                peer.incoming.remove(source);
            }
        }
    }

    /// The primary of the term that stands has let go, or is to be deposed: another of this CPU is to lead in the next.
    // spec: OUT-5, GRP-6
    pub(in super::super) fn vacate(&mut self, service: &Name, to: Key, out: &mut Outbox) {
        let Some(group) = self.groups.get_mut(service) else { return };
        let epoch = group.epoch();
        // Its term is over on its board before anybody is asked: should this agent end now, the next one may find another named.
        if let Some(key) = group.vacate() {
            out.push(Output::Epoch { key, epoch: Epoch(epoch.0 + 1) });
        }
        if let Some(shared) = self.peers.electing.groups.get_mut(service) {
            shared.vacated = Some((epoch, to));
        }
        self.touch_group(service);
        self.peers.electing.stir();
    }

    /// Whether another CPU has members of the group that could follow one of this.
    pub(in super::super) fn has_members_elsewhere(&self, service: &Name) -> bool {
        self.is_shared(service) && self.peers.members().any(|m| m.grouped && m.service == *service)
    }
}

/// Whether a name is that of something of a source.
fn is_below(source: &Name, name: &str) -> bool {
    name.strip_prefix(source.as_str()).is_some_and(|rest| rest.starts_with('.'))
}
