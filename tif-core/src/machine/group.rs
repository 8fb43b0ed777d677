//! A service's group: one primary, standbys, and the terms of office.
//!
//! On one CPU every member is seen by the same agent, which is also the witness: a term is durable before its primary is told. What a later
//! version adds (heartbeats between CPUs, negotiation) changes who may be seen, not this table:
//!
//! | event | when | then |
//! |---|---|---|
//! | a member joins | no primary, none becoming | it is elected in the next term |
//! | a member joins | otherwise | it stands by |
//! | primary or to-become-primary lost | a standby is ready | the senior one is elected in the next term |
//! | a standby gets ready | no primary, none becoming | it is elected |
//! | an elected member says it has taken over, in the current term | | it is primary |
//! | the same, in an earlier term | | nothing: fenced |
//! | the primary has let go for a ready member | it leads | that member is elected in the next term |
//! | one that was elected when it joined is never ready | a standby is | the senior one is elected in the next term |
//! | an elected member does not take over in time | | it is passed over: the senior of the others is elected, or, if none is ready, itself once more |
//!
//! Senior is who weighs most, and of equal ones who came first.
//!
//! From the masterless process groups design: priority follows from status, then the configured weight, then identity; roles are fenced by an epoch. A
//! newcomer that weighs more than the primary stands by: the primary's status goes before any weight, and a handover is asked for (`drain`).
// spec: GRP-5, GRP-8, OUT-3

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::defects::{Defect, defect};
use crate::model::{Epoch, Key, Role, Weight};

#[derive(Clone, Debug)]
struct Member {
    role: Role,
    /// It is connected, has declared its instruments and can be told to take over.
    ready: bool,
    /// It was told to, and has not in time. Until it says something of its own accord it is told again only if there is nobody else.
    passed_over: bool,
    weight: Weight,
}

impl Member {
    fn new(role: Role) -> Member {
        Member { role, ready: false, passed_over: false, weight: Weight::default() }
    }

    fn can_lead(&self) -> bool {
        self.ready && !self.passed_over
    }

    /// The least is asked first.
    // spec: GRP-5
    fn rank(&self) -> (bool, Reverse<Weight>) {
        (self.passed_over, Reverse(self.weight))
    }
}

/// The order to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elected {
    /// Who.
    pub key: Key,
    /// In which term.
    pub epoch: Epoch,
}

/// The members of one service on this CPU.
#[derive(Clone, Debug, Default)]
pub struct Group {
    epoch: Epoch,
    /// Who leads is decided by the witness of several CPUs, and not here.
    witnessed: bool,
    members: BTreeMap<Key, Member>,
}

impl Group {
    /// A group whose last known term is this.
    pub fn new(epoch: Epoch) -> Group {
        Group { epoch, ..Group::default() }
    }

    /// The same for one that may have members on other CPUs: nobody is elected here, but who was elected elsewhere is told here.
    // spec: GRP-9
    pub fn witnessed(epoch: Epoch) -> Group {
        Group { epoch, witnessed: true, ..Group::default() }
    }

    /// The member that would be elected if nobody led.
    pub fn senior(&self) -> Option<Key> {
        // Keys grow with the time at which their processes came.
        let ready = self.members.iter().filter(|(_, m)| m.ready || defect(Defect::ElectUnready));
        ready.min_by_key(|(key, m)| (m.rank(), **key)).map(|(key, _)| *key)
    }

    /// The witness has decided: this member leads in this term, and nobody else.
    // spec: GRP-8
    pub fn on_elected(&mut self, key: Key, epoch: Epoch) -> Option<Elected> {
        if !self.members.contains_key(&key) || epoch < self.epoch {
            return None;
        }
        self.on_deposed(epoch);
        self.members.get_mut(&key)?.role = Role::ToBePrimary;
        Some(Elected { key, epoch })
    }

    /// There is a later term, which nobody here leads. Returns who led until now.
    // spec: GRP-8
    pub fn on_deposed(&mut self, epoch: Epoch) -> Option<Key> {
        self.epoch = self.epoch.max(epoch);
        let leader = self.leader()?;
        self.members.get_mut(&leader)?.role = Role::Standby;
        Some(leader)
    }

    /// The current term.
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The member that is, or is becoming, primary.
    pub fn leader(&self) -> Option<Key> {
        self.members.iter().find(|(_, m)| matches!(m.role, Role::Primary | Role::ToBePrimary)).map(|(key, _)| *key)
    }

    /// A member's role.
    pub fn role(&self, key: Key) -> Option<Role> {
        self.members.get(&key).map(|m| m.role)
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// A member comes. If nobody leads it is elected.
    pub fn on_join(&mut self, key: Key) -> Option<Elected> {
        let elected = !self.witnessed && (self.leader().is_none() || defect(Defect::ElectNewcomer));
        self.members.insert(key, Member::new(Role::Standby));
        elected.then(|| self.elect(key))
    }

    /// A member is back that the store remembers in this role.
    pub fn restore(&mut self, key: Key, role: Role) {
        let role = if matches!(role, Role::Primary | Role::ToBePrimary) && self.leader().is_none() { role } else { Role::Standby };
        self.members.insert(key, Member::new(role));
    }

    /// What a member weighs, as it says itself when it comes.
    // spec: GRP-5
    pub fn weigh(&mut self, key: Key, weight: Weight) {
        if let Some(member) = self.members.get_mut(&key) {
            member.weight = weight;
        }
    }

    /// The greatest weight of the members that could take over; none if there is none.
    pub fn weight(&self) -> Option<Weight> {
        self.members.values().filter(|m| m.ready).map(|m| m.weight).max()
    }

    /// A member can be told to take over from now on.
    pub fn on_ready(&mut self, key: Key) -> Option<Elected> {
        let member = self.members.get_mut(&key)?;
        (member.ready, member.passed_over) = (true, false);
        self.succeed()
    }

    /// A member cannot be told anything at the moment. It keeps its role: unreachable is not dead.
    pub fn on_unreachable(&mut self, key: Key) {
        if let Some(member) = self.members.get_mut(&key) {
            member.ready = false;
        }
    }

    /// A member was elected and has not taken over in time: somebody else is, if there is anybody.
    // spec: OUT-3, GRP-7
    pub fn pass_over(&mut self, elected: Elected) -> Option<Elected> {
        self.on_not_elected(elected);
        if let Some(member) = self.members.get_mut(&elected.key) {
            member.passed_over = true;
        }
        self.succeed()
    }

    /// A member that was passed over says something after all: it can be told again.
    pub fn on_heard(&mut self, key: Key) {
        if let Some(member) = self.members.get_mut(&key) {
            member.passed_over = false;
        }
    }

    /// A member is gone. If it led, the senior ready standby is elected.
    pub fn on_lost(&mut self, key: Key) -> Option<Elected> {
        self.members.remove(&key)?;
        self.succeed()
    }

    /// A member says that it has taken over in this term. True if it now is the primary.
    // spec: GRP-8
    pub fn on_promoted(&mut self, key: Key, epoch: Epoch) -> bool {
        if epoch != self.epoch && !defect(Defect::SkipEpochCheck) {
            return false;
        }
        match self.members.get_mut(&key) {
            Some(member) if member.role == Role::ToBePrimary => {
                member.role = Role::Primary;
                true
            }
            _ => false,
        }
    }

    /// The term could not be made durable: nobody was told, nobody leads.
    pub fn on_not_elected(&mut self, elected: Elected) {
        if self.epoch == elected.epoch
            && let Some(member) = self.members.get_mut(&elected.key)
            && member.role == Role::ToBePrimary
        {
            member.role = Role::Standby;
        }
    }

    /// A member that came first and was the primary for that has never been ready. False if nobody else is ready either: then it stays.
    pub fn on_not_begun(&mut self, elected: Elected) -> bool {
        if self.epoch != elected.epoch || !self.members.iter().any(|(key, m)| m.ready && *key != elected.key) {
            return false;
        }
        match self.members.get_mut(&elected.key).filter(|m| m.role == Role::Primary && !m.ready) {
            Some(member) => {
                member.role = Role::Standby;
                true
            }
            None => false,
        }
    }

    /// The primary has let go, or is made to, for this ready member to lead in the next term. The same once more: it leads again. None changes nothing.
    // spec: OUT-5, GRP-6
    pub fn hand_over(&mut self, from: Key, to: Key) -> Option<Elected> {
        let is_ready = self.is_ready(to);
        if self.witnessed || !is_ready || self.role(from) != Some(Role::Primary) {
            return None;
        }
        self.members.get_mut(&from)?.role = Role::Standby;
        Some(self.elect(to))
    }

    /// The primary has let go, or is made to, and several CPUs are to decide who leads next: until then nobody does.
    // spec: OUT-5, GRP-8
    pub fn vacate(&mut self) -> Option<Key> {
        let leader = self.leader()?;
        self.members.get_mut(&leader)?.role = Role::Standby;
        Some(leader)
    }

    /// Who could lead in the place of these: the senior of the ready others.
    pub fn successor(&self, but: &[Key]) -> Option<Key> {
        let others = self.members.iter().filter(|(key, m)| m.can_lead() && !but.contains(key));
        others.min_by_key(|(key, m)| (m.rank(), **key)).map(|(key, _)| *key)
    }

    /// Whether a member can be told to take over now.
    pub fn is_ready(&self, key: Key) -> bool {
        self.members.get(&key).is_some_and(Member::can_lead)
    }

    /// If nobody leads, elects the senior ready member.
    pub fn succeed(&mut self) -> Option<Elected> {
        if self.witnessed || self.leader().is_some() {
            return None;
        }
        let senior = self.senior()?;
        Some(self.elect(senior))
    }

    fn elect(&mut self, key: Key) -> Elected {
        self.epoch = Epoch(self.epoch.0 + u64::from(!defect(Defect::ElectInSameTerm)));
        if let Some(member) = self.members.get_mut(&key) {
            member.role = Role::ToBePrimary;
        }
        Elected { key, epoch: self.epoch }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, NodeId, ProcId};

    fn key(n: u32) -> Key {
        Key { node: NodeId(1), proc: ProcId(u64::from(n)), inc: Incarnation::new(1, n) }
    }

    // spec: GRP-5, OUT-3
    #[test]
    fn the_first_leads_and_the_senior_standby_follows() {
        let mut group = Group::new(Epoch(7));
        assert_eq!(group.on_join(key(1)), Some(Elected { key: key(1), epoch: Epoch(8) }));
        assert!(group.on_promoted(key(1), Epoch(8)));
        assert_eq!(group.on_join(key(2)), None);
        assert_eq!(group.on_join(key(3)), None);
        group.on_ready(key(3));
        group.on_ready(key(2));
        assert_eq!(group.on_lost(key(1)), Some(Elected { key: key(2), epoch: Epoch(9) }));
    }

    // spec: GRP-8, GRP-9
    #[test]
    fn where_a_witness_decides_nobody_is_elected_here_and_who_it_names_leads() {
        let mut group = Group::witnessed(Epoch(3));
        assert_eq!((group.on_join(key(1)), group.on_join(key(2))), (None, None));
        assert_eq!((group.on_ready(key(2)), group.on_ready(key(1)), group.senior()), (None, None, Some(key(1))));
        assert_eq!(group.on_elected(key(2), Epoch(5)), Some(Elected { key: key(2), epoch: Epoch(5) }));
        assert!(group.on_promoted(key(2), Epoch(5)));
        assert_eq!(group.on_elected(key(1), Epoch(4)), None, "that term is over");
        assert_eq!((group.on_deposed(Epoch(6)), group.leader(), group.epoch()), (Some(key(2)), None, Epoch(6)));
    }

    // spec: GRP-8
    #[test]
    fn who_was_elected_in_an_earlier_term_is_fenced() {
        let mut group = Group::default();
        group.on_join(key(1));
        group.on_join(key(2));
        group.on_ready(key(2));
        let second = group.on_lost(key(1)).unwrap();
        assert!(!group.on_promoted(key(1), Epoch(1)));
        assert!(!group.on_promoted(key(2), Epoch(1)));
        assert!(group.on_promoted(key(2), second.epoch));
    }

    // spec: OUT-5, GRP-5, GRP-8
    #[test]
    fn who_has_let_go_is_a_standby_and_the_one_it_let_go_for_leads_in_the_next_term() {
        let mut group = Group::default();
        group.on_join(key(1));
        group.on_promoted(key(1), Epoch(1));
        for n in [1, 2, 3] {
            group.on_join(key(n + 1));
            group.on_ready(key(n));
        }
        assert_eq!(group.hand_over(key(2), key(3)), None, "it does not lead");
        assert_eq!(group.hand_over(key(1), key(4)), None, "it is not ready");
        assert_eq!((group.successor(&[key(1)]), group.successor(&[key(1), key(2)])), (Some(key(2)), Some(key(3))));
        assert_eq!(group.hand_over(key(1), key(3)), Some(Elected { key: key(3), epoch: Epoch(2) }));
        assert_eq!((group.role(key(1)), group.leader()), (Some(Role::Standby), Some(key(3))));
        assert_eq!(group.hand_over(key(1), key(2)), None, "nobody leads yet who could let go");
        assert!(!group.on_promoted(key(1), Epoch(1)) && group.on_promoted(key(3), Epoch(2)));
        assert_eq!(group.hand_over(key(3), key(3)), Some(Elected { key: key(3), epoch: Epoch(3) }));
        assert_eq!(Group::witnessed(Epoch(1)).hand_over(key(1), key(1)), None);
    }

    // spec: GRP-5, GRP-7
    #[test]
    fn who_weighs_most_follows_of_equal_ones_the_senior_and_nobody_is_driven_out_by_weight() {
        let mut group = Group::default();
        for (n, weight) in [(1, 100), (2, 50), (3, 200), (4, 200)] {
            group.on_join(key(n));
            group.weigh(key(n), Weight(weight));
            assert_eq!(group.on_ready(key(n)), None);
        }
        assert_eq!((group.leader(), group.weight()), (Some(key(1)), Some(Weight(200))));
        assert_eq!((group.successor(&[key(1)]), group.successor(&[key(3)])), (Some(key(3)), Some(key(4))));
        let order: Vec<Option<Key>> = [1, 3, 4].map(|n| group.on_lost(key(n)).map(|e| e.key)).into();
        assert_eq!(order, [Some(key(3)), Some(key(4)), Some(key(2))]);
    }

    // spec: OUT-3, GRP-7
    #[test]
    fn who_was_passed_over_is_asked_again_when_nobody_else_is_left_or_it_speaks() {
        let mut group = Group::default();
        for n in [1, 2, 3] {
            group.on_join(key(n));
            group.on_ready(key(n));
        }
        let first = Elected { key: key(1), epoch: Epoch(1) };
        let second = group.pass_over(first).unwrap();
        assert_eq!(second, Elected { key: key(2), epoch: Epoch(2) });
        assert!(group.on_promoted(key(2), Epoch(2)) && !group.is_ready(key(1)));
        assert_eq!(group.on_lost(key(2)).map(|e| e.key), Some(key(3)), "the one that was passed over comes last");
        assert_eq!(group.on_lost(key(3)), Some(Elected { key: key(1), epoch: Epoch(4) }), "there is nobody else");
        assert_eq!(group.pass_over(Elected { key: key(1), epoch: Epoch(4) }), Some(Elected { key: key(1), epoch: Epoch(5) }));
        group.on_heard(key(1));
        assert!(group.is_ready(key(1)));
        group.on_unreachable(key(1));
        assert_eq!((group.pass_over(Elected { key: key(1), epoch: Epoch(5) }), group.leader()), (None, None), "it cannot be told");
        assert_eq!(group.on_ready(key(1)).map(|e| e.epoch), Some(Epoch(6)));
    }

    #[test]
    fn a_standby_that_gets_ready_late_still_takes_over() {
        let mut group = Group::default();
        group.on_join(key(1));
        group.on_join(key(2));
        assert_eq!(group.on_lost(key(1)), None, "nobody is ready yet");
        assert_eq!(group.on_ready(key(2)).map(|e| e.key), Some(key(2)));
    }

    #[test]
    fn a_standby_may_die_without_anybody_noticing() {
        let mut group = Group::default();
        group.on_join(key(1));
        group.on_join(key(2));
        assert_eq!(group.on_lost(key(2)), None);
        assert_eq!(group.leader(), Some(key(1)));
    }
}
