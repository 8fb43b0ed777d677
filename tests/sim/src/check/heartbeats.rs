//! Who cannot be seen by its agent is taken for dead after silence, and not before.
// spec: PSM-6, PSM-10

use std::collections::BTreeMap;

use tif_core::machine::heartbeat::MISSED_MAX;
use tif_core::model::Key;

use super::{Verdict, wrong};

#[derive(Clone, Copy, Debug)]
struct Heard {
    at: u64,
    period: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Heartbeats {
    of: BTreeMap<Key, Heard>,
    presumed: u64,
}

impl Heartbeats {
    /// The agent hears of it, or starts and knows it from before; how often it ought to.
    pub fn on_heard(&mut self, now: u64, key: Key, period: u64) {
        self.of.insert(key, Heard { at: now, period });
    }

    /// Its end is written down.
    pub fn on_ended(&mut self, now: u64, key: Key, presumed: bool) -> Verdict {
        let Some(Heard { at, period }) = self.of.remove(&key) else { return Ok(()) };
        self.presumed += u64::from(presumed);
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

    /// When the agent must have given up the last of these, if it hears nothing of them any more.
    pub fn given_up_at(&self, over: impl Fn(Key) -> bool) -> u64 {
        let over = self.of.iter().filter(|(key, _)| over(**key));
        over.map(|(_, heard)| heard.at + heard.period * u64::from(MISSED_MAX + 2)).max().unwrap_or_default()
    }

    /// How many were presumed dead.
    pub fn presumed(&self) -> u64 {
        self.presumed
    }
}
