//! Admission to a group: each member finds a number for itself that no other member has, and nobody hands them out.
//!
//! Guests who arrive at a party where each wants a place card of their own. A newcomer waits a moment, says aloud which number it takes, three times, and
//! whoever has that number says so. Of two who say the same at once the younger keeps it, and the other takes the next that is free. Where
//! nobody else can hear, the number is taken at once; if it turns out later that another has the same, one of the two looks for another.
//!
//! | who | hears, or is due | then |
//! |---|---|---|
//! | newcomer | nobody else is there | holds the least free number |
//! | newcomer | otherwise | waits, longer where others are being admitted too, then claims the least free number |
//! | claimant | its time has come, fewer than three claims | claims again |
//! | claimant | its time has come after the third | holds it |
//! | claimant | an older claims the same | claims it towards that one |
//! | claimant | a younger claims the same, or one holds it | takes the next free number, waits, claims that |
//! | holder | one claims the same | tells that one that it holds it |
//! | holder | an older holds the same | tells that one that it holds it |
//! | holder | a younger holds the same | has none any more, and is a newcomer |
//!
//! *Younger*: of the greater incarnation, then of the greater key; it is the same for all who compare. A member keeps its number for its life: also over the
//! restarts of its agent, and whatever its role is.
//!
//! From the masterless process groups design: a process gives itself an identity that does not depend on its platform, asks all members to answer with a
//! heartbeat, listens for a set time, and waits longer when others are being admitted. Its relatives are address claiming in Zeroconf and in
//! SAE J1939.
// spec: GRP-1, GRP-2

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::defects::{Defect, defect};
use crate::model::{Key, MemberNumber, NodeId};

/// How often a number is claimed before it is held.
pub const CLAIMS: u8 = 3;
/// How long is listened after each claim.
pub const LISTENS: Duration = Duration::from_millis(50);
/// How much longer a newcomer waits at most when others are being admitted.
const CROWDED: u64 = 100;
/// After so many numbers that were another's something is wrong, and it is tried more slowly.
const PATIENT_AFTER: u8 = 5;
const PATIENCE: Duration = Duration::from_secs(5);

/// What is to be done for a member of this CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Say on other CPUs that it claims the number: on all, or on this one.
    Claim {
        /// Who.
        key: Key,
        /// Which.
        number: MemberNumber,
        /// Where.
        to: Option<NodeId>,
    },
    /// Call [`Admission::on_due`] for it in this time, and not before.
    Wait {
        /// Who.
        key: Key,
        /// How long.
        pause: Duration,
    },
    /// It holds its number from now on: tell it, and all.
    Admitted {
        /// Who.
        key: Key,
        /// Which.
        number: MemberNumber,
    },
    /// It has no number any more: tell it, and all. It looks for another.
    Lost {
        /// Who.
        key: Key,
    },
    /// Tell this CPU that it holds its number.
    Answer {
        /// Who.
        key: Key,
        /// Whom.
        to: NodeId,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    /// It has claimed this number so often, and had to give up so many.
    Claims {
        number: MemberNumber,
        claims: u8,
        given_up: u8,
    },
    Holds(MemberNumber),
}

impl Standing {
    fn number(self) -> MemberNumber {
        match self {
            Standing::Claims { number, .. } | Standing::Holds(number) => number,
        }
    }
}

/// What is known of a member of another CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Heard {
    number: MemberNumber,
    holds: bool,
}

/// The numbers of one service's members, as one CPU knows them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Admission {
    here: BTreeMap<Key, Standing>,
    there: BTreeMap<Key, Heard>,
}

/// Whether the first of two that want the same number gets it.
fn is_younger(one: Key, other: Key) -> bool {
    (one.inc, one) > (other.inc, other)
}

/// A number below this bound that is as good as random, and the member's own.
fn spread(key: Key, salt: u64, bound: u64) -> u64 {
    let mut x = u64::from(key.node.0) << 48 ^ key.proc.0 << 32 ^ key.inc.0 ^ salt << 56;
    for factor in [0x9e37_79b9_7f4a_7c15, 0xd6e8_feb8_6659_fd93] {
        x = (x ^ x >> 32).wrapping_mul(factor);
    }
    (x >> 32) % bound
}

impl Admission {
    /// A member comes that has no number. `alone`: there is nobody on another CPU to ask.
    // spec: GRP-2
    pub fn on_join(&mut self, key: Key, alone: bool) -> Vec<Step> {
        if self.here.contains_key(&key) {
            return Vec::new();
        }
        let number = self.free(key, 0);
        if alone {
            self.here.insert(key, Standing::Holds(number));
            return vec![Step::Admitted { key, number }];
        }
        let is_crowded = self.here.values().any(|s| matches!(s, Standing::Claims { .. })) || self.there.values().any(|h| !h.holds);
        self.here.insert(key, Standing::Claims { number, claims: 0, given_up: 0 });
        let first = spread(key, 1, LISTENS.as_millis() as u64);
        let more = if is_crowded { spread(key, 2, CROWDED) } else { 0 };
        vec![Step::Wait { key, pause: Duration::from_millis(first + more) }]
    }

    /// A member is back that holds this number, as the store remembers. If it remembers two with one number, it could not be told that the older had to give way:
    /// that one has none, and comes by another.
    // spec: MON-7, SEC-3
    pub fn restore(&mut self, key: Key, number: MemberNumber) {
        match self.who_has(number) {
            Some((other, _)) if is_younger(other, key) => return,
            Some((other, _)) => drop(self.here.remove(&other)),
            None => {}
        }
        self.here.insert(key, Standing::Holds(number));
    }

    /// The time that a claimant was to wait is over.
    pub fn on_due(&mut self, key: Key, alone: bool) -> Vec<Step> {
        let Some(Standing::Claims { number, claims, .. }) = self.here.get_mut(&key) else { return Vec::new() };
        let number = *number;
        if alone || *claims >= CLAIMS || defect(Defect::HoldUnasked) {
            self.here.insert(key, Standing::Holds(number));
            return vec![Step::Admitted { key, number }];
        }
        *claims += 1;
        vec![Step::Claim { key, number, to: None }, Step::Wait { key, pause: LISTENS }]
    }

    /// A member of another CPU claims a number.
    // spec: GRP-2
    pub fn on_claim(&mut self, of: Key, number: MemberNumber) -> Vec<Step> {
        self.there.insert(of, Heard { number, holds: false });
        match self.who_has(number) {
            Some((key, Standing::Holds(_))) => vec![Step::Answer { key, to: of.node }],
            Some((_, Standing::Claims { .. })) if defect(Defect::IgnoreClaim) => Vec::new(),
            Some((key, Standing::Claims { .. })) if is_younger(of, key) => self.give_way(key),
            Some((key, Standing::Claims { .. })) => vec![Step::Claim { key, number, to: Some(of.node) }],
            None => Vec::new(),
        }
    }

    /// A member of another CPU says what it holds: in its heartbeat, or when it is asked.
    pub fn on_member(&mut self, of: Key, number: Option<MemberNumber>) -> Vec<Step> {
        let Some(number) = number else {
            if self.there.get(&of).is_some_and(|h| h.holds) {
                self.there.remove(&of);
            }
            return Vec::new();
        };
        self.there.insert(of, Heard { number, holds: true });
        match self.who_has(number) {
            Some((key, Standing::Claims { .. })) => self.give_way(key),
            Some((_, Standing::Holds(_))) if defect(Defect::KeepSharedNumber) => Vec::new(),
            Some((key, Standing::Holds(_))) if is_younger(of, key) => {
                let mut steps = vec![Step::Lost { key }];
                steps.extend(self.give_way(key));
                steps
            }
            // It may not have heard so.
            Some((key, Standing::Holds(_))) => vec![Step::Answer { key, to: of.node }],
            None => Vec::new(),
        }
    }

    /// A member of this CPU is no more.
    pub fn on_left(&mut self, key: Key) {
        self.here.remove(&key);
    }

    /// A member of another CPU is no more.
    pub fn on_gone(&mut self, of: Key) {
        self.there.remove(&of);
    }

    /// Of another CPU's members there are only these.
    pub fn keep_of(&mut self, node: NodeId, keys: &BTreeSet<Key>) {
        self.there.retain(|of, _| of.node != node || keys.contains(of));
    }

    /// The number that a member of this CPU holds.
    pub fn number(&self, key: Key) -> Option<MemberNumber> {
        match self.here.get(&key) {
            Some(Standing::Holds(number)) => Some(*number),
            _ => None,
        }
    }

    /// Whether it knows of nobody.
    pub fn is_empty(&self) -> bool {
        self.here.is_empty() && self.there.is_empty()
    }

    fn who_has(&self, number: MemberNumber) -> Option<(Key, Standing)> {
        self.here.iter().find(|(_, standing)| standing.number() == number).map(|(key, standing)| (*key, *standing))
    }

    /// Another has the number. Of several that have to give way to one at the same time each takes another of the next, by their age: so the second round is
    /// the last.
    fn give_way(&mut self, key: Key) -> Vec<Step> {
        let Some(standing) = self.here.get(&key).copied() else { return Vec::new() };
        let given_up = match standing {
            Standing::Claims { given_up, .. } => given_up.saturating_add(1),
            Standing::Holds(_) => 0,
        };
        let rivals = self.there.iter().filter(|(_, heard)| heard.number == standing.number());
        let (holders, claimants): (Vec<_>, Vec<_>) = rivals.partition(|(_, heard)| heard.holds);
        let younger = claimants.iter().filter(|(of, _)| is_younger(**of, key)).count();
        let before = if holders.is_empty() { younger.saturating_sub(1) } else { younger };
        let number = self.free(key, before);
        self.here.insert(key, Standing::Claims { number, claims: 0, given_up });
        let pause = if given_up > PATIENT_AFTER { PATIENCE } else { LISTENS * (before as u32 + 1) };
        vec![Step::Wait { key, pause }]
    }

    /// The least number that is nobody else's, but for so many.
    fn free(&self, key: Key, but: usize) -> MemberNumber {
        let here = self.here.iter().filter(|(k, _)| **k != key).map(|(_, standing)| standing.number());
        let taken: BTreeSet<MemberNumber> = here.chain(self.there.values().map(|heard| heard.number)).collect();
        (1..=u32::MAX).map(MemberNumber).filter(|number| !taken.contains(number)).nth(but).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, ProcId};

    fn key(node: u32, n: u32) -> Key {
        Key { node: NodeId(node), proc: ProcId(u64::from(n)), inc: Incarnation::new(1, n) }
    }

    fn is_waiting(steps: &[Step]) -> bool {
        matches!(steps, [Step::Wait { .. }])
    }

    /// Admitted after all claims, if nobody says anything.
    fn admit(admission: &mut Admission, key: Key) -> MemberNumber {
        for _ in 0..CLAIMS {
            assert!(matches!(admission.on_due(key, false)[..], [Step::Claim { to: None, .. }, Step::Wait { .. }]));
        }
        match admission.on_due(key, false)[..] {
            [Step::Admitted { number, .. }] => number,
            ref other => panic!("{other:?}"),
        }
    }

    // spec: GRP-1
    #[test]
    fn where_nobody_else_is_the_least_free_number_is_taken_at_once() {
        let mut all = Admission::default();
        for n in 1..=3 {
            assert_eq!(all.on_join(key(1, n), true), [Step::Admitted { key: key(1, n), number: MemberNumber(n) }]);
        }
        all.on_left(key(1, 2));
        assert_eq!(all.on_join(key(1, 4), true), [Step::Admitted { key: key(1, 4), number: MemberNumber(2) }]);
        assert_eq!(all.on_join(key(1, 4), true), [], "it has one");
    }

    // spec: GRP-1, GRP-2
    #[test]
    fn a_newcomer_claims_three_times_and_then_holds() {
        let mut all = Admission::default();
        assert!(is_waiting(&all.on_join(key(1, 1), false)));
        assert_eq!((admit(&mut all, key(1, 1)), all.number(key(1, 1))), (MemberNumber(1), Some(MemberNumber(1))));
        assert_eq!(all.on_due(key(1, 1), false), []);
    }

    // spec: GRP-1, SEC-3
    #[test]
    fn of_two_that_the_store_remembers_with_one_number_the_younger_has_it_and_the_other_finds_another() {
        for order in [[1, 2], [2, 1]] {
            let mut all = Admission::default();
            for n in order {
                all.restore(key(1, n), MemberNumber(1));
            }
            assert_eq!((all.number(key(1, 1)), all.number(key(1, 2))), (None, Some(MemberNumber(1))));
            assert_eq!(all.on_join(key(1, 1), true), [Step::Admitted { key: key(1, 1), number: MemberNumber(2) }]);
        }
    }

    // spec: GRP-2
    #[test]
    fn who_holds_a_number_says_so_and_the_claimant_takes_another() {
        let (mut one, mut two) = (Admission::default(), Admission::default());
        one.on_join(key(1, 1), true);
        two.on_join(key(2, 9), false);
        two.on_due(key(2, 9), false);
        assert_eq!(one.on_claim(key(2, 9), MemberNumber(1)), [Step::Answer { key: key(1, 1), to: NodeId(2) }]);
        assert!(is_waiting(&two.on_member(key(1, 1), Some(MemberNumber(1)))));
        assert_eq!(admit(&mut two, key(2, 9)), MemberNumber(2));
    }

    // spec: GRP-2
    #[test]
    fn of_two_that_are_admitted_at_once_the_younger_keeps_the_number_and_both_know_it() {
        let (mut one, mut two) = (Admission::default(), Admission::default());
        one.on_join(key(1, 1), false);
        two.on_join(key(2, 2), false);
        one.on_due(key(1, 1), false);
        two.on_due(key(2, 2), false);
        let insists = [Step::Claim { key: key(2, 2), number: MemberNumber(1), to: Some(NodeId(1)) }];
        assert_eq!(two.on_claim(key(1, 1), MemberNumber(1)), insists);
        assert!(is_waiting(&one.on_claim(key(2, 2), MemberNumber(1))));
        assert_eq!(admit(&mut one, key(1, 1)), MemberNumber(2));
    }

    // spec: GRP-2
    #[test]
    fn many_that_are_admitted_at_once_have_a_number_each_after_the_second_round() {
        let mut all: BTreeMap<u32, Admission> = (1..=9).map(|n| (n, Admission::default())).collect();
        for (n, admission) in &mut all {
            admission.on_join(key(*n, *n), false);
            admission.on_due(key(*n, *n), false);
        }
        // Everybody hears everybody claim the first number, and then the next ones.
        for _ in 0..2 {
            let claims: Vec<(u32, MemberNumber)> = all.iter().map(|(n, a)| (*n, a.here[&key(*n, *n)].number())).collect();
            for (n, admission) in &mut all {
                for (of, number) in claims.iter().filter(|(of, _)| of != n) {
                    admission.there.insert(key(*of, *of), Heard { number: *number, holds: false });
                }
                let own = key(*n, *n);
                if claims.iter().any(|(of, number)| of != n && is_younger(key(*of, *of), own) && *number == admission.here[&own].number()) {
                    admission.give_way(own);
                }
            }
        }
        let numbers: BTreeSet<MemberNumber> = all.iter().map(|(n, a)| a.here[&key(*n, *n)].number()).collect();
        assert_eq!(numbers.len(), 9, "{numbers:?}");
    }

    // spec: GRP-1
    #[test]
    fn when_a_cut_heals_and_two_hold_the_same_number_the_older_looks_for_another() {
        let (mut one, mut two) = (Admission::default(), Admission::default());
        one.on_join(key(1, 1), true);
        two.on_join(key(2, 2), true);
        assert_eq!(two.on_member(key(1, 1), Some(MemberNumber(1))), [Step::Answer { key: key(2, 2), to: NodeId(1) }]);
        let steps = one.on_member(key(2, 2), Some(MemberNumber(1)));
        assert!(matches!(steps[..], [Step::Lost { .. }, Step::Wait { .. }]), "{steps:?}");
        assert_eq!((one.number(key(1, 1)), admit(&mut one, key(1, 1))), (None, MemberNumber(2)));
        assert_eq!(two.on_member(key(1, 1), Some(MemberNumber(2))), []);
    }

    // spec: GRP-2
    #[test]
    fn where_others_are_being_admitted_a_newcomer_waits_longer() {
        let pause = |crowded: bool, n: u32| {
            let mut all = Admission::default();
            if crowded {
                all.on_claim(key(9, 9), MemberNumber(1));
            }
            match all.on_join(key(1, n), false)[..] {
                [Step::Wait { pause, .. }] => pause,
                ref other => panic!("{other:?}"),
            }
        };
        let (calm, crowded): (Duration, Duration) =
            (1..=64).map(|n| (pause(false, n), pause(true, n))).fold(Default::default(), |a, b| (a.0 + b.0, a.1 + b.1));
        assert!(calm > LISTENS * 64 / 4 && calm < LISTENS * 64 * 3 / 4, "{calm:?}: they differ from one another");
        assert!(crowded > calm * 2, "{crowded:?} is not much longer than {calm:?}");
    }

    #[test]
    fn who_finds_no_number_of_its_own_becomes_patient() {
        let mut all = Admission::default();
        all.on_join(key(1, 1), false);
        for n in 1..=6 {
            all.on_due(key(1, 1), false);
            let steps = all.on_member(key(2, n), Some(MemberNumber(n)));
            let [Step::Wait { pause, .. }] = steps[..] else { panic!("{steps:?}") };
            assert_eq!(pause == PATIENCE, n == 6, "{n}: {pause:?}");
        }
    }
}
