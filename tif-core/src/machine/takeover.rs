//! Launching what is missing of a service's members: how fast, how often, and when to stop hurrying.
//!
//! A service has as many members as its launch specification says. A lost one is replaced; those that are missing when the agent starts are started after
//! a moment in which survivors and others may come, unless the specification says that somebody else starts them. A member that took its leave is not missed,
//! until the next boot or until somebody starts one in its place.
//!
//! Each death of a member adds one to the service's penalty, which halves every minute. Up to four, a replacement is launched at once; above,
//! each further point doubles a pause from 0.1 s up to 30 s. All services of a CPU together launch at most five in ten seconds. A child that was
//! started and does not register in ten seconds counts as one more death.
//!
//! A specification may count the members of all CPUs together. Then each CPU that has it knows how many the others have and have under way, and one that is
//! missing is introduced by one CPU: that with the fewest members of the service, of those the one with the least workload, of those the first. Each of the
//! others waits a moment longer than the one before it in this order, and finds by then that somebody has begun. A CPU that does not reach a majority of the
//! voters introduces nobody: what it misses may be alive on the other side of a cut, and what it started could not lead.
//!
//! The damping is that of route flap damping (RFC 2439), the bucket that of every supervisor that was ever sorry not to have one.
// spec: OUT-3, GRP-7

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::defects::{Defect, defect};
use crate::model::{Name, NodeId, Time};

/// How long a penalty takes to halve.
pub const PENALTY_HALF_LIFE: Duration = Duration::from_secs(60);
/// Up to this penalty nothing is delayed.
pub const PENALTY_FREE: f64 = 4.0;
/// The first pause above it; each further point doubles it.
pub const PAUSE_MIN: Duration = Duration::from_millis(100);
/// The longest pause.
pub const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Launches of all services together in [`BUCKET_PERIOD`].
pub const BUCKET: usize = 5;
/// See [`BUCKET`].
pub const BUCKET_PERIOD: Duration = Duration::from_secs(10);
/// How long a child may take to register.
pub const REGISTER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long after its start an agent waits for children of the agent before it.
pub const START_GRACE: Duration = Duration::from_secs(2);

/// How much longer each CPU waits than the one before it, before it introduces a member.
pub const TURN_PAUSE: Duration = Duration::from_millis(500);

/// A CPU that could introduce a member; the least does so first.
// spec: GRP-7
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// Members of the service that it has, or has under way.
    pub members: u32,
    /// How busy it is, in tenths.
    pub workload: u8,
    /// Which.
    pub node: NodeId,
}

impl Candidate {
    /// How long it leaves that to others.
    pub fn waits(self, others: impl Iterator<Item = Candidate>) -> Duration {
        TURN_PAUSE * others.filter(|other| *other < self).count() as u32
    }
}

/// Members on other CPUs, of a service that counts them all.
#[derive(Clone, Copy, Debug, Default)]
struct Elsewhere {
    /// Alive, or under way.
    members: u32,
    /// So many are missing, and not under way,
    missing: u32,
    /// since then.
    since: Time,
    /// How long this CPU leaves that to others; none: for good.
    waits: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Service {
    members: u32,
    /// The members of all CPUs count.
    elsewhere: Option<Elsewhere>,
    live: u32,
    /// Children that were ordered and have not registered: when each was, and whether it runs.
    under_way: VecDeque<Time>,
    penalty: f64,
    penalty_at: Time,
    /// It has lost a member: what is missing is replaced at once.
    lost: bool,
    /// Members that took their leave and are not missed.
    left: u32,
    /// From when on what is missing is started though nobody was lost; none: never.
    starts_at: Option<Time>,
    not_before: Time,
}

/// The launches of one CPU.
#[derive(Clone, Debug, Default)]
pub struct Launcher {
    services: BTreeMap<Name, Service>,
    recent: VecDeque<Time>,
}

impl Launcher {
    /// A service that can be launched, and how many members it should have. `starts`: also those that were never there.
    /// `everywhere`: as many on all CPUs together.
    pub fn allow(&mut self, now: Time, service: Name, members: u32, starts: bool, everywhere: bool) {
        let fresh = Service {
            members,
            elsewhere: everywhere.then(Elsewhere::default),
            live: 0,
            under_way: VecDeque::new(),
            penalty: 0.0,
            penalty_at: Time::ZERO,
            lost: false,
            left: 0,
            starts_at: starts.then_some(now + START_GRACE),
            not_before: Time::ZERO,
        };
        self.services.insert(service, fresh);
    }

    /// The services whose members count on all CPUs, each with those of this one, alive and under way.
    pub fn counted_everywhere(&self) -> impl Iterator<Item = (&Name, u32)> {
        self.services.iter().filter(|(_, s)| s.elsewhere.is_some()).map(|(name, s)| (name, s.live + s.under_way.len() as u32))
    }

    /// So many members are alive or under way on other CPUs. If there are fewer than before, those are missed.
    // spec: GRP-7
    pub fn on_elsewhere(&mut self, service: &Name, members: u32) {
        let Some(s) = self.services.get_mut(service) else { return };
        let Some(elsewhere) = &mut s.elsewhere else { return };
        let before = std::mem::replace(&mut elsewhere.members, members);
        s.lost |= members < before;
        if members > before && s.live + members + s.left > s.members {
            // Somebody has come in the place of one that had left.
            s.left = s.members.saturating_sub(s.live + members);
        }
        s.lost &= s.missing() > 0;
    }

    /// A member on another CPU takes its leave, and is about to count no more: it is not replaced.
    pub fn on_left_elsewhere(&mut self, service: &Name) {
        if let Some(s) = self.services.get_mut(service).filter(|s| s.elsewhere.is_some()) {
            s.left += u32::from(s.live + s.elsewhere() + s.left <= s.members);
        }
    }

    /// Whether this CPU may introduce what is missing, and how long after it is missed; none: it may not.
    // spec: GRP-7
    pub fn take_turn(&mut self, now: Time, service: &Name, waits: Option<Duration>) {
        let Some(s) = self.services.get_mut(service) else { return };
        let missing = s.missing().saturating_sub(s.under_way.len() as u32);
        let Some(elsewhere) = &mut s.elsewhere else { return };
        if std::mem::replace(&mut elsewhere.missing, missing) != missing {
            elsewhere.since = now;
        }
        elsewhere.waits = waits;
    }

    /// Whether a successor may be expected.
    pub fn can_launch(&self, service: &Name) -> bool {
        self.services.contains_key(service)
    }

    /// A member has registered.
    pub fn on_registered(&mut self, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.live += 1;
            if s.under_way.pop_front().is_none() {
                // Started by somebody else, in the place of one that had left.
                s.left = s.left.saturating_sub(1);
            }
        }
    }

    /// Its registration is durable. If all are there again, who leaves from now on is not missed.
    pub fn on_admitted(&mut self, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.lost &= s.live + s.elsewhere() < s.members;
        }
    }

    /// A member took its leave: it is not replaced. One that there were too many of stood for nobody.
    pub fn on_left(&mut self, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.live = s.live.saturating_sub(1);
            s.left += u32::from(s.missing() > 0);
        }
    }

    /// At the agent's start: so many took their leave under the agent before, and nobody came in their place.
    pub fn on_had_left(&mut self, service: &Name, left: u32) {
        if let Some(s) = self.services.get_mut(service) {
            s.left = left.min(s.members);
        }
    }

    /// A member that had registered was not admitted after all. Where one is missing it is waited for as for a child under way: it tries again, or the
    /// patience ends.
    pub fn on_not_admitted(&mut self, now: Time, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.live = s.live.saturating_sub(1);
            if s.missing() > 0 {
                s.under_way.push_back(now);
            }
        }
    }

    /// At the agent's start: the last member that there was is dead. A successor that was launched before may be on its way.
    pub fn on_found_dead(&mut self, now: Time, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.punish(now);
            s.not_before = s.not_before.max(now + START_GRACE);
        }
    }

    /// A member has died.
    pub fn on_died(&mut self, now: Time, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.live = s.live.saturating_sub(1);
            s.punish(now);
        }
    }

    /// The operating system could not start one.
    pub fn on_failed(&mut self, now: Time, service: &Name) {
        if let Some(s) = self.services.get_mut(service) {
            s.under_way.pop_front();
            s.punish(now);
        }
    }

    /// The services of which one member is to be launched now. They count as under way from here on.
    pub fn due(&mut self, now: Time) -> Vec<Name> {
        let mut launch = Vec::new();
        while self.recent.front().is_some_and(|at| now >= *at + BUCKET_PERIOD) {
            self.recent.pop_front();
        }
        for (name, s) in &mut self.services {
            while s.under_way.front().is_some_and(|at| now >= *at + REGISTER_TIMEOUT) {
                s.under_way.pop_front();
                s.punish(now);
            }
            while s.next().is_some_and(|at| now >= at) && (self.recent.len() < BUCKET || defect(Defect::LaunchWithoutLimit)) {
                self.recent.push_back(now);
                s.under_way.push_back(now);
                launch.push(name.clone());
                // Whose turn it is next has to be seen first.
                if let Some(elsewhere) = &mut s.elsewhere {
                    elsewhere.waits = None;
                }
            }
        }
        launch
    }

    /// When the next member of a service is launched, as far as it alone is concerned; none if none is missing.
    pub fn next(&self, service: &Name) -> Option<Time> {
        self.services.get(service).and_then(Service::next)
    }

    /// When [`Launcher::due`] may have something next.
    pub fn deadline(&self) -> Option<Time> {
        let bucket = if self.recent.len() < BUCKET { None } else { self.recent.front().map(|at| *at + BUCKET_PERIOD) };
        let one = |s: &Service| {
            let launch = s.next().map(|at| bucket.map_or(at, |b| b.max(at)));
            let patience = s.under_way.front().map(|at| *at + REGISTER_TIMEOUT);
            [launch, patience].into_iter().flatten().min()
        };
        self.services.values().filter_map(one).min()
    }
}

impl Service {
    fn elsewhere(&self) -> u32 {
        self.elsewhere.map_or(0, |e| e.members)
    }

    fn missing(&self) -> u32 {
        self.members.saturating_sub(self.live + self.elsewhere() + self.left)
    }

    /// When the next one is to be launched; none if enough are there or under way.
    fn next(&self) -> Option<Time> {
        let under_way = if defect(Defect::LaunchAgain) { 0 } else { self.under_way.len() as u32 };
        if self.missing() <= under_way {
            return None;
        }
        let at = if self.lost { self.not_before } else { self.starts_at?.max(self.not_before) };
        match &self.elsewhere {
            None => Some(at),
            Some(elsewhere) => Some(at.max(elsewhere.since) + elsewhere.waits?),
        }
    }

    fn punish(&mut self, now: Time) {
        let halves = now.since(self.penalty_at).as_secs_f64() / PENALTY_HALF_LIFE.as_secs_f64();
        self.penalty = self.penalty * 0.5f64.powf(halves) + 1.0;
        self.penalty_at = now;
        self.lost = true;
        let above = self.penalty - PENALTY_FREE;
        if above > 0.0 {
            let pause = PAUSE_MIN.as_secs_f64() * 2f64.powf(above.min(20.0));
            self.not_before = now + Duration::from_secs_f64(pause.min(PAUSE_MAX.as_secs_f64()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Name {
        "orders".parse().unwrap()
    }

    fn launcher(members: u32) -> Launcher {
        let mut launcher = Launcher::default();
        launcher.allow(at(0), service(), members, false, false);
        launcher
    }

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    // spec: OUT-3
    #[test]
    fn a_lost_member_is_replaced_at_once_and_only_once() {
        let mut l = launcher(1);
        assert!(l.due(at(0)).is_empty(), "never seen: not started");
        l.on_registered(&service());
        l.on_died(at(10), &service());
        assert_eq!(l.due(at(10)), [service()]);
        assert!(l.due(at(11)).is_empty(), "one is under way");
        l.on_registered(&service());
        assert!(l.due(at(20_000)).is_empty());
    }

    // spec: OUT-3, GRP-7
    #[test]
    fn members_that_were_never_there_are_started_after_a_moment_for_those_that_come_by_themselves() {
        let mut l = Launcher::default();
        l.allow(at(0), service(), 3, true, false);
        l.on_registered(&service());
        assert!(l.due(at(1_999)).is_empty());
        assert_eq!(l.deadline(), Some(at(0) + START_GRACE));
        assert_eq!(l.due(at(2_000)).len(), 2);
        assert!(l.due(at(3_000)).is_empty(), "both are under way");
        l.on_registered(&service());
        l.on_registered(&service());
        // One takes its leave: not missed, also when another dies.
        l.on_left(&service());
        assert!(l.due(at(100_000)).is_empty());
        l.on_died(at(100_000), &service());
        assert_eq!(l.due(at(100_000)).len(), 1);
        l.on_registered(&service());
        assert!(l.due(at(200_000)).is_empty());
        // Somebody starts it again: from now on it is missed.
        l.on_registered(&service());
        l.on_died(at(200_000), &service());
        assert_eq!(l.due(at(200_000)).len(), 1);
        // An agent that starts later knows who had left.
        let mut later = Launcher::default();
        later.allow(at(0), service(), 3, true, false);
        later.on_had_left(&service(), 2);
        assert_eq!(later.due(at(5_000)).len(), 1);
    }

    #[test]
    fn a_member_that_took_its_leave_is_not_replaced() {
        let mut l = launcher(1);
        l.on_registered(&service());
        l.on_left(&service());
        assert!(l.due(at(60_000)).is_empty());
    }

    // spec: OUT-3
    #[test]
    fn one_too_many_that_took_its_leave_leaves_the_last_one_to_be_replaced() {
        let mut l = launcher(1);
        l.on_registered(&service());
        l.on_registered(&service());
        l.on_left(&service());
        l.on_died(at(10), &service());
        assert_eq!(l.due(at(10)), [service()]);
    }

    // spec: OUT-3
    #[test]
    fn a_crash_loop_is_slowed_down_to_one_in_half_a_minute() {
        let mut l = launcher(1);
        l.on_registered(&service());
        l.on_died(at(0), &service());
        let mut launches = Vec::new();
        // Each launched one registers and dies a millisecond later, for five minutes.
        let mut now = at(0);
        while now < at(300_000) {
            for _ in l.due(now) {
                launches.push(now);
                l.on_registered(&service());
                l.on_died(now + Duration::from_millis(1), &service());
            }
            now = l.deadline().expect("it never gives up").max(now + Duration::from_millis(1));
        }
        let last = launches[launches.len() - 1].since(launches[launches.len() - 2]);
        assert!(last >= Duration::from_secs(5), "{last:?} between the last two");
        assert!(launches.len() < 60, "{} launches", launches.len());
        for window in launches.windows(BUCKET + 1) {
            assert!(window[BUCKET].since(window[0]) >= BUCKET_PERIOD);
        }
    }

    #[test]
    fn a_child_that_never_registers_is_tried_again() {
        let mut l = launcher(1);
        l.on_registered(&service());
        l.on_died(at(0), &service());
        assert_eq!(l.due(at(0)).len(), 1);
        assert_eq!(l.deadline(), Some(at(0) + REGISTER_TIMEOUT));
        assert_eq!(l.due(at(10_000)).len(), 1);
    }

    #[test]
    fn who_leaves_after_a_dead_one_was_replaced_is_not_missed() {
        let mut l = launcher(2);
        l.on_registered(&service());
        l.on_registered(&service());
        l.on_died(at(0), &service());
        assert_eq!(l.due(at(0)).len(), 1);
        l.on_registered(&service());
        l.on_admitted(&service());
        l.on_left(&service());
        assert!(l.due(at(60_000)).is_empty());
    }

    // spec: OUT-3
    #[test]
    fn a_child_whose_registration_failed_is_waited_for_and_then_replaced() {
        let mut l = launcher(1);
        l.on_registered(&service());
        l.on_died(at(0), &service());
        assert_eq!(l.due(at(0)).len(), 1);
        l.on_registered(&service());
        l.on_not_admitted(at(100), &service());
        assert!(l.due(at(200)).is_empty(), "it tries again");
        assert_eq!(l.due(at(10_100)).len(), 1);
    }

    // spec: GRP-7
    #[test]
    fn one_that_is_missing_anywhere_is_introduced_by_the_cpu_whose_turn_it_is_and_one_at_a_time() {
        let candidate = |members, workload, node| Candidate { members, workload, node: NodeId(node) };
        let all = [candidate(1, 0, 1), candidate(0, 7, 2), candidate(0, 3, 3)];
        assert_eq!(all.map(|c| c.waits(all.into_iter())), [TURN_PAUSE * 2, TURN_PAUSE, Duration::ZERO]);
        let (mut l, wait) = (Launcher::default(), |n: u32| Some(TURN_PAUSE * n));
        l.allow(at(0), service(), 3, true, true);
        l.take_turn(at(0), &service(), wait(1));
        let start = at(0) + START_GRACE;
        assert_eq!(
            (l.due(start), l.next(&service())),
            (vec![], Some(start + TURN_PAUSE)),
            "the first is given time from when it may begin"
        );
        assert_eq!(l.due(start + TURN_PAUSE), [service()]);
        assert_eq!(l.next(&service()), None, "whose turn it is next is to be seen first");
        l.on_elsewhere(&service(), 2);
        l.take_turn(start + TURN_PAUSE, &service(), wait(0));
        assert_eq!(l.next(&service()), None, "one is under way here, two are there");
        l.on_registered(&service());
        l.on_admitted(&service());
        // One leaves, one is lost.
        let later = at(60_000);
        l.on_left_elsewhere(&service());
        l.on_elsewhere(&service(), 1);
        l.take_turn(later, &service(), wait(0));
        assert_eq!(l.due(later), Vec::<Name>::new());
        l.on_elsewhere(&service(), 0);
        l.take_turn(later, &service(), None);
        assert_eq!(l.next(&service()), None, "it may be cut off");
        l.take_turn(later, &service(), wait(2));
        assert_eq!((l.next(&service()), l.due(later + TURN_PAUSE * 2)), (Some(later + TURN_PAUSE * 2), vec![service()]));
    }
}
