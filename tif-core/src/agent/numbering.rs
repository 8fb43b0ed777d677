//! The members of this CPU find their numbers: what they claim is said on other CPUs, and what is claimed there is heard here.
//!
//! A member is let in, gets ready and may lead before it has its number: nobody waits for that but who wants to call it by it.
// spec: GRP-1, GRP-2

use std::collections::{BTreeMap, BTreeSet};

use super::io::{Moment, Record};
use super::{Agent, Outbox, Timer, Waiting};
use crate::machine::admission::{Admission, Step};
use crate::model::{Key, MemberNumber, Name, NodeId};
use crate::wire::{Member, ToPeer, ToProcess};

/// All services whose members are known here.
pub(super) type Numbers = BTreeMap<Name, Admission>;

impl Agent {
    /// A member was admitted. It comes by its number, unless it has one from before. `resumed`: what it takes for its number may be unknown here, and is not
    /// kept for it.
    pub(super) fn number_member(&mut self, now: Moment, service: &Name, key: Key, resumed: bool, out: &mut Outbox) {
        let alone = self.is_nobody_asked();
        let number = self.numbers.entry(service.clone()).or_default().number(key);
        if number.is_some() || resumed {
            self.tell(out, key, ToProcess::Numbered { number });
        }
        let Some(admission) = self.numbers.get_mut(service).filter(|_| number.is_none()) else { return };
        let steps = admission.on_join(key, alone);
        self.take_numbering_steps(now, steps, out);
    }

    /// A claimant's time has come.
    pub(super) fn on_claim_due(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        let alone = self.is_nobody_asked();
        let Some(service) = self.exporters.get(&key).map(|e| e.service.clone()) else { return };
        let steps = self.numbers.get_mut(&service).map(|a| a.on_due(key, alone)).unwrap_or_default();
        self.take_numbering_steps(now, steps, out);
    }

    /// Another agent says that a member of its claims a number.
    // spec: PSM-11, SEC-2
    pub(super) fn on_claim(&mut self, now: Moment, node: NodeId, service: &Name, key: Key, number: MemberNumber, out: &mut Outbox) {
        if !self.peers.is_member_of(node, key, service) || number == MemberNumber(0) {
            self.stats.stale_keys += 1;
            return;
        }
        let steps = self.numbers.entry(service.clone()).or_default().on_claim(key, number);
        self.take_numbering_steps(now, steps, out);
    }

    /// Another agent says how a member of its stands.
    pub(super) fn heed_number(&mut self, now: Moment, member: &Member, out: &mut Outbox) {
        if !member.grouped {
            return;
        }
        let number = member.number.filter(|number| *number != MemberNumber(0));
        let steps = self.numbers.entry(member.service.clone()).or_default().on_member(member.key, number);
        self.take_numbering_steps(now, steps, out);
    }

    /// A member of another CPU is no more.
    pub(super) fn forget_number(&mut self, key: Key) {
        self.numbers.values_mut().for_each(|admission| admission.on_gone(key));
        self.numbers.retain(|_, admission| !admission.is_empty());
    }

    /// Another CPU has these members, and no others.
    pub(super) fn keep_numbers_of(&mut self, node: NodeId, keys: &BTreeSet<Key>) {
        self.numbers.values_mut().for_each(|admission| admission.keep_of(node, keys));
        self.numbers.retain(|_, admission| !admission.is_empty());
    }

    /// A member of this CPU is no more.
    pub(super) fn drop_number(&mut self, service: &Name, key: Key) {
        self.timers.cancel(Timer::Claim(key));
        if let Some(admission) = self.numbers.get_mut(service) {
            admission.on_left(key);
        }
        self.numbers.retain(|_, admission| !admission.is_empty());
    }

    /// The number of a member of this CPU.
    pub(super) fn number_of(&self, key: Key) -> Option<MemberNumber> {
        let exporter = self.exporters.get(&key).filter(|e| e.grouped)?;
        self.numbers.get(&exporter.service)?.number(key)
    }

    fn is_nobody_asked(&self) -> bool {
        self.peers.greeted().next().is_none()
    }

    fn take_numbering_steps(&mut self, now: Moment, steps: Vec<Step>, out: &mut Outbox) {
        for step in steps {
            match step {
                Step::Wait { key, pause } => {
                    self.timers.cancel(Timer::Claim(key));
                    self.timers.set(now.time + pause, Timer::Claim(key));
                }
                Step::Claim { key, number, to } => {
                    let Some(service) = self.exporters.get(&key).map(|e| e.service.clone()) else { continue };
                    let nodes: Vec<NodeId> = to.map_or_else(|| self.peers.greeted().collect(), |node| vec![node]);
                    for node in nodes {
                        self.say(now, node, ToPeer::Claim { service: service.clone(), key, number }, out);
                    }
                }
                Step::Answer { key, to } => {
                    if let Some(member) = self.member(key) {
                        self.say(now, to, ToPeer::Member(member), out);
                    }
                }
                Step::Lost { key } => {
                    self.touch_member(key);
                    self.tell(out, key, ToProcess::Numbered { number: None });
                }
                Step::Admitted { key, number } => {
                    self.touch_member(key);
                    // An agent that ends before that is written lets the member claim anew.
                    if let Some(record) = self.record_of(now, key, false) {
                        self.store(Record::Process(record), Waiting::Nobody, out);
                    }
                    self.tell(out, key, ToProcess::Numbered { number: Some(number) });
                }
            }
        }
    }
}
