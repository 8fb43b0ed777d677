//! Sync restart: what a consumer does with a source's data when the source dies and comes back.
//!
//! Think of a warehouse whose supplier burnt down. What is on the shelves stays on sale, with a "may be old" sticker, until a date. When a new
//! supplier delivers, its goods are put behind a curtain; only when it says "that was all" are shelves and delivery compared: what is the
//! same stays where it is, what is new comes, what was not delivered goes. If the new supplier burns down too before it said so, the date on
//! the old goods does not move.
//!
//! One machine per source. Keeps no values itself: only which records exist, which life of the source confirmed each, and since when.
//! From the process sync restart design; its closest living relative is BGP graceful restart, whose mistakes it avoids (it sweeps neither too early, on a second death, nor never).
// spec: SYN-1, SYN-3, SYN-4, SYN-5, SYN-6

use std::collections::BTreeMap;
use std::time::Duration;

use crate::defects::{Defect, defect};
use crate::model::{Key, Time};

/// What names a record within its source: name and dimensions as text.
pub type RecordName = String;

/// FNV-1a over the sorted record names, each ended by a zero byte: what an end mark carries.
pub fn digest<'a>(names: impl IntoIterator<Item = &'a str>) -> u64 {
    let mut sorted: Vec<&str> = names.into_iter().collect();
    sorted.sort_unstable();
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for name in sorted {
        for byte in name.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }
    hash
}

/// How things stand with a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Its data is what this life of it says.
    Live(Key),
    /// It is dead or out of reach; its data is old.
    Stale,
    /// A new life of it is sending; until its end mark the old data stays.
    Syncing(Key),
}

#[derive(Clone, Debug, Hash)]
struct Held {
    confirmed_by: Key,
    /// When it was last known to be fresh: the start of its source's latest silence; none while fresh.
    stale_since: Option<Time>,
    /// The same as it was before the present life sent it: what counts if that turns out to be no life at all.
    before: Option<Time>,
}

/// What the consumer has to do with its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records that are no more.
    pub removed: Vec<RecordName>,
}

/// What an end mark led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All is as the source says; these are gone.
    Complete(Swept),
    /// The mark does not fit what came: ask for all of it again. Nothing was swept.
    // spec: SYN-7
    Mismatch,
    /// The mark is of another life of the source. It did nothing.
    NotCurrent,
}

/// One source's data at one consumer.
#[derive(Clone, Debug, Hash)]
pub struct Source {
    state: State,
    limit: Duration,
    records: BTreeMap<RecordName, Held>,
    /// The life before, which has handed over to the one that is sending: what it said holds until that one's end mark. And
    /// since when that one sends.
    relieved: Option<(Key, Time)>,
}

impl Source {
    /// Nothing known yet. `limit`: how long stale data is kept.
    pub fn new(limit: Duration) -> Source {
        Source { state: State::Stale, limit, records: BTreeMap::new(), relieved: None }
    }

    /// How things stand.
    pub fn state(&self) -> State {
        self.state
    }

    /// How many records are held.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether none is held.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Whether a record is held, fresh or stale.
    pub fn holds(&self, record: &str) -> bool {
        self.records.contains_key(record)
    }

    /// Whether a record is fresh: confirmed by the source's present life.
    // spec: SYN-1, SRV-8
    pub fn is_fresh(&self, record: &str) -> bool {
        match (self.state, self.records.get(record)) {
            (State::Live(_) | State::Syncing(_), Some(_)) if defect(Defect::ReviveStale) => true,
            (State::Live(key) | State::Syncing(key), Some(held)) => {
                (held.confirmed_by == key || self.relieved.is_some_and(|(before, _)| before == held.confirmed_by))
                    && held.stale_since.is_none()
            }
            _ => false,
        }
    }

    /// Whether the present life itself has said a record: not so what holds only because its predecessor handed over.
    pub fn is_confirmed(&self, record: &str) -> bool {
        match (self.state, self.records.get(record)) {
            (State::Live(key) | State::Syncing(key), Some(held)) => held.confirmed_by == key && held.stale_since.is_none(),
            _ => false,
        }
    }

    /// Whether the life before has handed over, and the end mark of its successor is not there yet.
    pub fn is_relieved(&self) -> bool {
        self.relieved.is_some()
    }

    /// The source is dead, out of reach or deposed: everything fresh is stale from now on. What was stale before keeps its date.
    // spec: SYN-1, SYN-4
    pub fn on_lost(&mut self, now: Time) {
        self.state = State::Stale;
        self.relieved = None;
        for held in self.records.values_mut() {
            held.stale_since = held.stale_since.filter(|_| !defect(Defect::RestartStaleClock)).or(Some(now));
            held.before = None;
        }
    }

    /// This life of the source is over. Its successor may have begun already: what that sends is not lost with it.
    pub fn on_life_lost(&mut self, now: Time, key: Key) {
        match self.state {
            State::Live(life) | State::Syncing(life) if life != key && !defect(Defect::LoseSuccessor) => {}
            _ => self.on_lost(now),
        }
    }

    /// What was sent since [`Source::on_begin`] were the last values of a life that is over: to know them once more makes nothing younger. To be called
    /// instead of [`Source::on_lost`].
    // spec: SYN-4
    pub fn on_still_lost(&mut self, now: Time) {
        for held in self.records.values_mut() {
            held.stale_since = held.stale_since.or(held.before);
        }
        self.on_lost(now);
    }

    /// The way to the source is lost, and with it all that it may have said meanwhile: the same life must say everything again.
    // spec: SYN-6
    pub fn on_link_lost(&mut self, now: Time) {
        self.on_lost(now);
        for held in self.records.values_mut() {
            held.confirmed_by = Key::NONE;
        }
    }

    /// A life of the source begins to send. Its data is kept apart from what older lives left.
    pub fn on_begin(&mut self, now: Time, key: Key) {
        if self.state == State::Live(key) {
            // The same life sends all again, for a new subscription or after a mismatch: what is there stays fresh.
            self.state = State::Syncing(key);
            return;
        }
        if self.state != State::Syncing(key) {
            self.on_lost(now);
            self.state = State::Syncing(key);
        }
    }

    /// The same where the life before has handed over: what of it is fresh is so until the end mark.
    // spec: OUT-5
    pub fn on_relieved(&mut self, now: Time, key: Key) {
        match self.state {
            State::Live(before) | State::Syncing(before) if before != key => {
                // Also what an earlier one has said that handed over to it.
                let earlier = self.relieved.map(|(earlier, _)| earlier);
                for held in self.records.values_mut().filter(|held| Some(held.confirmed_by) == earlier) {
                    held.confirmed_by = before;
                }
                self.state = State::Syncing(key);
                self.relieved = Some((before, now));
            }
            _ => self.on_begin(now, key),
        }
    }

    /// What holds only because of a handover holds no longer: nobody has said it since the successor began.
    fn end_relief(&mut self) {
        if let Some((before, since)) = self.relieved.take() {
            for held in self.records.values_mut().filter(|held| held.confirmed_by == before) {
                held.stale_since.get_or_insert(since);
            }
        }
    }

    /// A record of this life. Returns whether it counts; if not, the consumer drops it.
    // spec: SYN-3
    pub fn on_record(&mut self, key: Key, record: &str) -> bool {
        match self.state {
            State::Live(current) | State::Syncing(current) if current == key || defect(Defect::RecordOfOtherLife) => {
                let syncing = self.state == State::Syncing(key);
                let before = self.records.get(record).filter(|_| syncing).and_then(|held| held.stale_since.or(held.before));
                self.records.insert(record.to_owned(), Held { confirmed_by: key, stale_since: None, before });
                true
            }
            _ => false,
        }
    }

    /// The source itself says that a record is no more.
    pub fn on_withdrawn(&mut self, key: Key, record: &str) -> bool {
        match self.state {
            State::Live(current) | State::Syncing(current) if current == key => self.records.remove(record).is_some(),
            _ => false,
        }
    }

    /// The consumer itself no longer wants a record.
    pub fn forget(&mut self, record: &str) {
        self.records.remove(record);
    }

    /// The end mark: `count` records, of this digest.
    // spec: SYN-3, SYN-7
    pub fn on_end(&mut self, key: Key, count: u64, mark: u64) -> Ended {
        match self.state {
            State::Syncing(current) | State::Live(current) if current == key || defect(Defect::EndOfOtherLife) => {}
            _ => return Ended::NotCurrent,
        }
        let confirmed: Vec<&str> =
            self.records.iter().filter(|(_, held)| held.confirmed_by == key).map(|(name, _)| name.as_str()).collect();
        if (confirmed.len() as u64 != count && !defect(Defect::SweepOnMismatch))
            || digest(confirmed) != mark && !defect(Defect::SweepOnMismatch)
        {
            self.end_relief();
            return Ended::Mismatch;
        }
        self.state = State::Live(key);
        self.relieved = None;
        Ended::Complete(self.sweep(|held| held.confirmed_by != key))
    }

    /// When [`Source::on_tick`] has something to do next.
    pub fn deadline(&self) -> Option<Time> {
        self.records.values().filter_map(|held| held.stale_since).min().map(|since| since + self.limit)
    }

    /// Clears what has been stale for longer than the limit. Nothing fresh ever goes.
    // spec: SYN-4
    pub fn on_tick(&mut self, now: Time) -> Swept {
        let limit = self.limit;
        if defect(Defect::KeepExpired) {
            return Swept::default();
        }
        if defect(Defect::ExpireFresh) && self.deadline().is_some_and(|due| now >= due) {
            return self.sweep(|_| true);
        }
        self.sweep(|held| held.stale_since.is_some_and(|since| now >= since + limit))
    }

    fn sweep(&mut self, mut goes: impl FnMut(&Held) -> bool) -> Swept {
        let removed: Vec<RecordName> = self.records.iter().filter(|(_, held)| goes(held)).map(|(name, _)| name.clone()).collect();
        for name in &removed {
            self.records.remove(name);
        }
        Swept { removed }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, NodeId, ProcId};

    fn life(n: u32) -> Key {
        Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation::new(1, n) }
    }

    fn at(seconds: u64) -> Time {
        Time::ZERO + Duration::from_secs(seconds)
    }

    fn complete(source: &mut Source, now: Time, key: Key, names: &[&str]) -> Ended {
        source.on_begin(now, key);
        for name in names {
            assert!(source.on_record(key, name));
        }
        source.on_end(key, names.len() as u64, digest(names.iter().copied()))
    }

    // spec: SYN-1, SYN-3
    #[test]
    fn after_a_restart_only_what_was_not_sent_again_goes() {
        let mut source = Source::new(Duration::from_secs(30));
        assert_eq!(complete(&mut source, at(0), life(1), &["a", "b"]), Ended::Complete(Swept::default()));
        source.on_lost(at(10));
        assert!(!source.is_fresh("a") && source.len() == 2, "stale, and still there");
        assert_eq!(complete(&mut source, at(11), life(2), &["b", "c"]), Ended::Complete(Swept { removed: vec!["a".into()] }));
        assert!(source.is_fresh("b") && source.is_fresh("c"));
        assert_eq!(source.deadline(), None);
    }

    // spec: SYN-4
    #[test]
    fn a_crash_loop_cannot_keep_old_data_alive() {
        let mut source = Source::new(Duration::from_secs(30));
        complete(&mut source, at(0), life(1), &["a"]);
        source.on_lost(at(10));
        for n in 2..8 {
            // Each life sends a little of something else and dies before its end mark.
            source.on_begin(at(10 + u64::from(n) * 4 - 1), life(n));
            source.on_record(life(n), "b");
            source.on_lost(at(10 + u64::from(n) * 4));
        }
        assert_eq!(source.on_tick(at(39)), Swept::default());
        assert_eq!(source.on_tick(at(40)), Swept { removed: vec!["a".into()] });
        assert_eq!(source.on_tick(at(10 + 28 + 30)), Swept { removed: vec!["b".into()] });
    }

    // spec: SYN-4
    #[test]
    fn the_timer_never_takes_what_was_sent_again_before_the_mark() {
        let mut source = Source::new(Duration::from_secs(30));
        complete(&mut source, at(0), life(1), &["a", "b"]);
        source.on_lost(at(10));
        source.on_begin(at(12), life(2));
        source.on_record(life(2), "a");
        assert_eq!(source.on_tick(at(100)), Swept { removed: vec!["b".into()] });
        assert!(source.is_fresh("a"));
    }

    // spec: SYN-7
    #[test]
    fn a_mark_that_does_not_fit_sweeps_nothing() {
        let mut source = Source::new(Duration::from_secs(30));
        complete(&mut source, at(0), life(1), &["a", "b"]);
        source.on_lost(at(1));
        source.on_begin(at(2), life(2));
        source.on_record(life(2), "a");
        assert_eq!(source.on_end(life(2), 2, digest(["a", "c"])), Ended::Mismatch);
        assert_eq!(source.on_end(life(1), 1, digest(["a"])), Ended::NotCurrent);
        assert_eq!(source.len(), 2);
        assert!(!source.on_record(life(1), "z"), "what an older life still says is dropped");
    }

    // spec: SYN-6
    #[test]
    fn after_a_lost_link_the_same_life_must_say_everything_again() {
        let mut source = Source::new(Duration::from_secs(30));
        complete(&mut source, at(0), life(1), &["a", "b"]);
        source.on_link_lost(at(1));
        assert_eq!(complete(&mut source, at(2), life(1), &["a"]), Ended::Complete(Swept { removed: vec!["b".into()] }));
    }

    // spec: OUT-5, SYN-1, SYN-3
    #[test]
    fn what_was_handed_over_is_fresh_until_the_end_mark_and_no_longer() {
        let (mut source, names) = (Source::new(Duration::from_secs(30)), ["a", "b"]);
        let handed_over = |source: &mut Source| {
            complete(source, at(0), life(1), &names);
            source.on_relieved(at(1), life(2));
            source.on_record(life(2), "a");
            assert!(source.is_fresh("a") && source.is_fresh("b") && source.is_relieved());
            assert!(source.is_confirmed("a") && !source.is_confirmed("b"));
        };
        handed_over(&mut source);
        assert!(!source.on_record(life(1), "b"), "the old life has nothing more to say");
        let ended = source.on_end(life(2), 1, digest(["a"]));
        assert_eq!(ended, Ended::Complete(Swept { removed: vec!["b".into()] }));
        assert!(source.is_fresh("a") && !source.is_relieved());

        let mut lost = Source::new(Duration::from_secs(30));
        handed_over(&mut lost);
        lost.on_life_lost(at(2), life(1));
        assert!(lost.is_fresh("b"), "it has handed over, so its end says nothing");
        lost.on_life_lost(at(3), life(2));
        assert!(!lost.is_fresh("a") && !lost.is_fresh("b"));

        let mut mismatched = Source::new(Duration::from_secs(30));
        handed_over(&mut mismatched);
        assert_eq!(mismatched.on_end(life(2), 2, digest(names)), Ended::Mismatch);
        assert!(mismatched.is_fresh("a") && !mismatched.is_fresh("b"));
        assert_eq!(mismatched.deadline(), Some(at(31)), "stale since the successor began");

        // It had been asked for everything once more, and its successor hands over before that has sent all.
        let mut again = Source::new(Duration::from_secs(30));
        complete(&mut again, at(0), life(1), &names);
        again.on_begin(at(1), life(1));
        again.on_relieved(at(1), life(2));
        again.on_record(life(2), "a");
        again.on_relieved(at(2), life(3));
        assert!(again.is_fresh("a") && again.is_fresh("b") && !again.is_confirmed("a"));
        assert_eq!(again.on_end(life(2), 1, digest(["a"])), Ended::NotCurrent);

        // Of a life that was not live nothing is fresh, whoever relieves it.
        let mut stale = Source::new(Duration::from_secs(30));
        complete(&mut stale, at(0), life(1), &names);
        stale.on_lost(at(1));
        stale.on_relieved(at(2), life(2));
        assert!(!stale.is_fresh("a") && !stale.is_relieved());
    }

    // spec: SYN-4
    #[test]
    fn the_last_values_of_the_dead_get_no_younger_by_being_sent_again() {
        let mut source = Source::new(Duration::from_secs(30));
        complete(&mut source, at(0), life(1), &["a", "b"]);
        source.on_link_lost(at(10));
        for n in [15, 20, 25] {
            complete(&mut source, at(n), life(1), &["a", "b"]);
            source.on_still_lost(at(n));
            source.on_link_lost(at(n + 1));
        }
        assert_eq!(source.on_tick(at(39)), Swept::default());
        assert_eq!(source.on_tick(at(40)), Swept { removed: vec!["a".into(), "b".into()] });
    }
}
