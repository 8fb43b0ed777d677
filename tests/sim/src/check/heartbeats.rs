//! Who cannot be seen by its agent is taken for dead after silence, and not before.
// spec: PSM-6, PSM-10

use std::collections::{BTreeMap, BTreeSet};

use tif_core::machine::heartbeat::MISSED_MAX;
use tif_core::model::Key;

use super::{Verdict, wrong};

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: u64,
    period: u64,
    /// How long its agent had been away by then.
    away: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Heartbeats {
    of: BTreeMap<Key, Heard>,
    /// By the agent that runs. What they say any more changes nothing.
    given_up: BTreeSet<Key>,
    presumed: u64,
    /// How long the agent was away, all in all.
    away: u64,
}

impl Heartbeats {
    /// Nothing happens on this CPU for so long.
    pub fn on_pause(&mut self, gap: u64) {
        self.away += gap;
    }

    /// An agent starts: what the one before it has given up, and could not write down, it knows nothing of.
    pub fn on_start(&mut self) {
        self.given_up.clear();
    }

    /// The agent hears of it, or starts and knows it from before; how often it ought to.
    pub fn on_heard(&mut self, now: u64, key: Key, period: u64) {
        if self.given_up.contains(&key) {
            return;
        }
        self.of.insert(key, Heard { at: now, period, away: self.away });
    }

    /// Its end is written down.
    pub fn on_ended(&mut self, now: u64, key: Key, presumed: bool) -> Verdict {
        if !presumed {
            self.given_up.remove(&key);
        }
        let Some(Heard { at, period, .. }) = self.of.remove(&key) else { return Ok(()) };
        self.presumed += u64::from(presumed);
        if presumed {
            self.given_up.insert(key);
        }
        // The periods that it may miss, one more, and the time for an answer.
        if presumed && now < at + period * u64::from(MISSED_MAX + 2) {
            return wrong(
                "heartbeats",
                format!(
                    "{key} is presumed dead {} ms after it was heard; it speaks every {} ms",
                    (now - at) / 1_000_000,
                    period / 1_000_000
                ),
            );
        }
        Ok(())
    }

    /// The agent has done with a process, and tells so; whether its end is durable.
    pub fn on_released(&self, key: Key, is_durable: bool) -> Verdict {
        if self.given_up.contains(&key) && !is_durable {
            return wrong("heartbeats", format!("that {key} is presumed dead is told, and is not durable"));
        }
        Ok(())
    }

    /// When the agent must have given up the last of these, if it hears nothing of them any more.
    pub fn given_up_at(&self, over: impl Fn(Key) -> bool) -> u64 {
        let over = self.of.iter().filter(|(key, _)| over(**key));
        // What it was away is not held against anybody, and for as long it believes nothing.
        let away = |heard: &Heard| 2 * (self.away - heard.away);
        over.map(|(_, heard)| heard.at + heard.period * u64::from(MISSED_MAX + 2) + away(heard)).max().unwrap_or_default()
    }

    /// How many were presumed dead.
    pub fn presumed(&self) -> u64 {
        self.presumed
    }
}
