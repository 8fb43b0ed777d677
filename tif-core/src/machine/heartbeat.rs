//! Processes that no agent can observe through its operating system, because they run on another kernel: they send heartbeats.
//!
//! A lighthouse keeper's log. Each period without a signal is a stroke; too many, and the keeper hails; no answer to that either, and the ship is presumed
//! lost. A ship presumed lost that signals later is not the ship in the log any more: it must be entered anew.
//!
//! | from | event | to |
//! |---|---|---|
//! | none | watched | Heard |
//! | Heard | a period without a heartbeat | one more missed |
//! | Heard | more missed than allowed | Probed |
//! | Probed | heartbeat or answer | Heard |
//! | Probed | no answer in time | Lost: presumed dead, and its key is poisoned |
//! | Lost | anything | refused: it must register anew |
//!
//! Who is not watched is refused, so the lost need not be remembered, and a key that was lost cannot come back: the registry gives none out twice.
//! The machine does not count while the agent itself was away: see [`Heartbeats::on_pause`].
// spec: PSM-6, PSM-10

use std::collections::BTreeMap;
use std::time::Duration;

use super::detector::{GUARD_MAX, VERDICT_MIN};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::model::{Key, Time};

/// How often a process sends, and what is made of its not sending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    period: Duration,
    missed_max: u32,
    answer_within: Duration,
}

/// So many heartbeats in a row may be missing.
pub const MISSED_MAX: u32 = 3;

impl Pulse {
    /// The slowest that there is: for one whose own is not known, because its agent has ended since.
    pub const SLOWEST: Pulse =
        Pulse { period: limits::HEARTBEAT_PERIOD_MAX, missed_max: MISSED_MAX, answer_within: limits::HEARTBEAT_PERIOD_MAX };

    /// A heartbeat each `period`, within the limits, and as long for an answer to the probe, but not less than anybody needs.
    pub fn every(period: Duration) -> Pulse {
        let period = period.clamp(limits::HEARTBEAT_PERIOD_MIN, limits::HEARTBEAT_PERIOD_MAX);
        Pulse { period, missed_max: MISSED_MAX, answer_within: period.max(VERDICT_MIN) }
    }
}

#[derive(Clone, Debug)]
struct Watched {
    pulse: Pulse,
    /// From when on periods are counted.
    heard: Time,
    missed: u32,
    probe: Option<Probe>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    nonce: u64,
    until: Time,
}

/// What is to be done, or known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// Ask it to answer with this number.
    Probe {
        /// Whom.
        key: Key,
        /// The number.
        nonce: u64,
    },
    /// It missed too many heartbeats and is being probed, or (false) it speaks again.
    Suspect(Key, bool),
    /// Presumed dead: silent, and no answer to the probe. Never certain.
    PresumedDead(Key),
}

/// A key that is not watched: never was, took its leave, or was given up. It must register anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got} is not among those that send heartbeats; it must register anew")]
pub struct Refused {
    /// What it says it is.
    pub got: Key,
}

/// As many are watched as an agent can know. The one that came is not watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("more than {} processes that send heartbeats", limits::PROCESSES_MAX)]
pub struct TooMany;

/// All that are watched by their heartbeats.
#[derive(Clone, Debug, Default)]
pub struct Heartbeats {
    watched: BTreeMap<Key, Watched>,
    nonce: u64,
    blind_until: Time,
}

impl Heartbeats {
    /// Watches a process that has just been given this key. Again: with the new pulse.
    ///
    /// # Errors
    /// If there are too many. Nothing has changed then.
    // spec: PSM-6, SEC-2
    pub fn watch(&mut self, now: Time, key: Key, pulse: Pulse) -> Result<(), TooMany> {
        if self.watched.len() >= limits::PROCESSES_MAX && !self.watched.contains_key(&key) {
            return Err(TooMany);
        }
        self.watched.insert(key, Watched { pulse, heard: now, missed: 0, probe: None });
        Ok(())
    }

    /// It took its leave, or its death is known otherwise.
    pub fn forget(&mut self, key: Key) {
        self.watched.remove(&key);
    }

    /// A heartbeat, or anything else from it.
    ///
    /// # Errors
    /// If it is not watched, or no longer: nothing has changed.
    // spec: PSM-6, PSM-10
    pub fn on_heard(&mut self, now: Time, key: Key) -> Result<Option<Fact>, Refused> {
        let watched = self.watched.get_mut(&key).ok_or(Refused { got: key })?;
        watched.heard = watched.heard.max(now);
        watched.missed = 0;
        Ok(watched.probe.take().map(|_| Fact::Suspect(key, false)))
    }

    /// The answer to a probe. One to an earlier probe, late or repeated, says nothing of now.
    ///
    /// # Errors
    /// If it is not watched, or no longer: nothing has changed.
    pub fn on_answer(&mut self, now: Time, key: Key, nonce: u64) -> Result<Option<Fact>, Refused> {
        match self.watched.get(&key).ok_or(Refused { got: key })?.probe {
            Some(probe) if probe.nonce == nonce => self.on_heard(now, key),
            _ => Ok(None),
        }
    }

    /// The agent was away for so long: what came meanwhile is not read yet, and periods that nobody listened to are not held against anybody.
    // spec: FAB-3
    pub fn on_pause(&mut self, now: Time, gap: Duration) {
        self.blind_until = self.blind_until.max(now + gap.clamp(VERDICT_MIN, GUARD_MAX));
        for watched in self.watched.values_mut() {
            watched.heard = (watched.heard + gap).min(now);
            if let Some(probe) = &mut watched.probe {
                probe.until = probe.until.max(Time(now.0.saturating_sub(gap.as_nanos() as u64))) + gap;
            }
        }
    }

    /// Counts what was missed, probes, and gives up.
    // spec: PSM-6
    pub fn poll(&mut self, now: Time) -> Vec<Fact> {
        let mut out = Vec::new();
        if now < self.blind_until {
            return out;
        }
        for (key, watched) in &mut self.watched {
            let Pulse { period, missed_max, answer_within } = watched.pulse;
            let periods = (now - watched.heard).as_nanos() / period.as_nanos();
            watched.missed = watched.missed.max(u32::try_from(periods).unwrap_or(u32::MAX));
            match watched.probe {
                None if watched.missed > missed_max => {
                    self.nonce += 1;
                    let until = if defect(Defect::GiveUpUnprobed) { now } else { now + answer_within };
                    watched.probe = Some(Probe { nonce: self.nonce, until });
                    out.extend([Fact::Suspect(*key, true), Fact::Probe { key: *key, nonce: self.nonce }]);
                }
                Some(probe) if now >= probe.until => out.push(Fact::PresumedDead(*key)),
                _ => {}
            }
        }
        for fact in &out {
            if let Fact::PresumedDead(key) = fact {
                self.watched.remove(key);
            }
        }
        out
    }

    /// When [`Heartbeats::poll`] can next find something.
    pub fn deadline(&self) -> Option<Time> {
        let due = self.watched.values().map(|w| match w.probe {
            Some(probe) => probe.until,
            None => w.heard + w.pulse.period * (w.pulse.missed_max + 1),
        });
        due.min().map(|first| first.max(self.blind_until))
    }

    /// Whether nobody is watched.
    pub fn is_empty(&self) -> bool {
        self.watched.is_empty()
    }

    /// Whether this one is watched.
    pub fn is_watched(&self, key: Key) -> bool {
        self.watched.contains_key(&key)
    }

    /// Heartbeats that it missed in a row; none if it is not watched.
    pub fn missed(&self, key: Key) -> Option<u32> {
        self.watched.get(&key).map(|w| w.missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Incarnation, NodeId, ProcId};

    fn key(life: u32) -> Key {
        Key { node: NodeId(1), proc: ProcId(9), inc: Incarnation::new(1, life) }
    }

    fn at(ms: u64) -> Time {
        Time(ms * 1_000_000)
    }

    fn watching() -> Heartbeats {
        let mut h = Heartbeats::default();
        h.watch(at(0), key(1), Pulse::every(Duration::from_secs(1))).unwrap();
        h
    }

    // spec: PSM-6
    #[test]
    fn a_counter_past_its_limit_means_dead_only_after_a_probe_without_an_answer() {
        let mut h = watching();
        assert_eq!(h.deadline(), Some(at(4000)));
        assert_eq!(h.poll(at(3999)), []);
        assert_eq!(h.missed(key(1)), Some(3));
        assert_eq!(h.poll(at(4000)), [Fact::Suspect(key(1), true), Fact::Probe { key: key(1), nonce: 1 }]);
        assert_eq!(h.deadline(), Some(at(5000)));
        assert_eq!(h.poll(at(4999)), []);
        assert_eq!(h.poll(at(5000)), [Fact::PresumedDead(key(1))]);
        assert_eq!((h.poll(at(9000)), h.deadline()), (vec![], None));
    }

    // spec: PSM-6
    #[test]
    fn an_answer_to_the_probe_saves_it_and_a_late_one_to_an_earlier_probe_does_not() {
        let mut h = watching();
        h.poll(at(4000));
        assert_eq!(h.on_answer(at(4500), key(1), 1), Ok(Some(Fact::Suspect(key(1), false))));
        assert_eq!(h.deadline(), Some(at(8500)));
        h.poll(at(8500));
        assert_eq!(h.on_answer(at(8600), key(1), 1), Ok(None));
        assert_eq!(h.poll(at(9500)), [Fact::PresumedDead(key(1))]);
    }

    // spec: PSM-6
    #[test]
    fn whoever_sends_in_time_is_never_probed() {
        let mut h = watching();
        for second in 1..1000 {
            assert_eq!(h.on_heard(at(second * 3_999), key(1)), Ok(None));
            assert_eq!(h.poll(at(second * 3_999 + 3_998)), []);
        }
    }

    // spec: PSM-6, PSM-10
    #[test]
    fn one_that_was_given_up_is_refused_and_registers_anew() {
        let mut h = watching();
        h.poll(at(4000));
        h.poll(at(5000));
        assert_eq!(h.on_heard(at(5001), key(1)), Err(Refused { got: key(1) }));
        assert_eq!(h.on_answer(at(5001), key(1), 1), Err(Refused { got: key(1) }));
        h.watch(at(5002), key(2), Pulse::every(Duration::from_secs(1))).unwrap();
        assert_eq!(h.on_heard(at(5003), key(2)), Ok(None));
        assert_eq!(h.on_heard(at(5003), key(1)), Err(Refused { got: key(1) }), "the old life stays poisoned");
    }

    // spec: PSM-6
    #[test]
    fn whoever_took_its_leave_is_not_missed() {
        let mut h = watching();
        h.forget(key(1));
        assert_eq!((h.deadline(), h.poll(at(60_000))), (None, vec![]));
        assert!(h.on_heard(at(60_000), key(1)).is_err());
    }

    // spec: PSM-6, FAB-3
    #[test]
    fn what_an_agent_slept_through_is_not_held_against_anybody() {
        let mut h = watching();
        h.poll(at(4000));
        h.on_pause(at(64_000), Duration::from_secs(60));
        assert_eq!(h.poll(at(64_000)), []);
        assert_eq!(h.deadline(), Some(at(94_000)), "as long as the pause, at most half a minute");
        assert_eq!(h.poll(at(93_999)), []);
        assert_eq!(h.poll(at(94_000)), [Fact::PresumedDead(key(1))]);
    }

    // spec: PSM-6, FAB-3
    #[test]
    fn of_a_pause_nothing_counts_but_what_was_missed_before_and_is_missed_after() {
        let mut h = watching();
        h.poll(at(3900));
        h.on_pause(at(5900), Duration::from_millis(2000));
        assert_eq!(h.poll(at(7899)), [], "as long again as it was away, to read what has come meanwhile");
        assert_eq!(h.missed(key(1)), Some(3));
        assert_eq!(h.poll(at(7900)), [Fact::Suspect(key(1), true), Fact::Probe { key: key(1), nonce: 1 }]);
        // However often it is away, who is gone is given up.
        let mut h = watching();
        let mut given_up = false;
        for second in 1..20 {
            h.on_pause(at(second * 1000), Duration::from_millis(300));
            given_up |= h.poll(at(second * 1000 + 500)).contains(&Fact::PresumedDead(key(1)));
        }
        assert!(given_up);
    }

    // spec: SEC-2
    #[test]
    fn nobody_can_ask_for_a_pulse_at_which_everybody_is_dead_or_nobody_ever() {
        let mut h = Heartbeats::default();
        h.watch(at(0), key(1), Pulse::every(Duration::ZERO)).unwrap();
        assert_eq!(h.deadline(), Some(at(400)));
        h.watch(at(0), key(1), Pulse::every(Duration::MAX)).unwrap();
        assert_eq!(h.deadline(), Some(at(40_000)));
    }

    // spec: SEC-2
    #[test]
    fn there_is_a_bound_on_how_many_are_watched() {
        let mut h = Heartbeats::default();
        let nth = |n: u64| Key { proc: ProcId(n), ..key(1) };
        for n in 0..limits::PROCESSES_MAX as u64 {
            h.watch(at(0), nth(n), Pulse::every(Duration::from_secs(1))).unwrap();
        }
        assert_eq!(h.watch(at(0), nth(u64::MAX), Pulse::every(Duration::from_secs(1))), Err(TooMany));
        assert_eq!(h.watch(at(1), nth(0), Pulse::every(Duration::from_secs(1))), Ok(()), "one that is known may come again");
    }
}
