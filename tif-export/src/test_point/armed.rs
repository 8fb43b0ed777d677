//! What an armed test point decides at each pass. Pure: time and randomness are handed in.
// spec: TST-1, TST-5

use std::time::Duration;

use tif_core::limits;
use tif_core::model::control::Comparison;
use tif_core::model::{Argument, Arming, FaultAction, Time, Value, value};

/// What becomes of one pass.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The point is armed no more: its time was over before this pass.
    Expired,
    /// This pass is not one of those meant.
    Spared,
    /// This pass is hit.
    Hit {
        /// What to do to it.
        action: FaultAction,
        /// The captured fields.
        record: Vec<Value>,
        /// That was the last: the point is armed no more.
        last: bool,
    },
}

/// An armed test point.
#[derive(Clone, Debug)]
pub struct Armed {
    arming: Arming,
    conditions: Vec<Check>,
    expires_at: Time,
    hits: u64,
}

/// One condition, its field and its literal resolved.
#[derive(Clone, Debug)]
struct Check {
    field: usize,
    comparison: Comparison,
    value: Value,
}

impl Armed {
    /// Arms, as asked at `now`, a point whose passes have these fields.
    ///
    /// # Errors
    /// With what is wrong with the arming, and what would be right. Nothing is armed.
    pub fn new(arming: Arming, fields: &[Argument], now: Time) -> Result<Armed, String> {
        if !(0.0..=1.0).contains(&arming.probability) {
            return Err(format!("the probability {} is not between 0 and 1", arming.probability));
        }
        if arming.hits_max == Some(0) {
            return Err("a hit limit of 0 would never hit: leave it out for no limit".into());
        }
        if arming.expires_after.is_zero() || arming.expires_after > limits::ARM_EXPIRY_MAX {
            return Err(format!("an arming lasts more than 0 and at most {:?}, not {:?}", limits::ARM_EXPIRY_MAX, arming.expires_after));
        }
        if let FaultAction::Delay(delay) = arming.action
            && delay > limits::ARM_DELAY_MAX
        {
            return Err(format!("a delay of {delay:?}; at most {:?} are allowed", limits::ARM_DELAY_MAX));
        }
        let mut conditions = Vec::new();
        for condition in &arming.conditions {
            let Some(field) = fields.iter().position(|f| f.name == condition.field) else {
                let there = fields.iter().map(|f| f.name.as_str()).collect::<Vec<_>>().join(", ");
                let there = if there.is_empty() { "it has no fields".to_owned() } else { format!("there are {there}") };
                return Err(format!("no field is called `{}`: {there}", condition.field));
            };
            let described = &fields[field];
            let value = value::parse(&condition.literal, described.value_type, &described.choices)
                .map_err(|e| format!("field `{}`: {e}", condition.field))?;
            conditions.push(Check { field, comparison: condition.comparison, value });
        }
        let expires_at = now + arming.expires_after;
        Ok(Armed { arming, conditions, expires_at, hits: 0 })
    }

    /// Decides one pass. `random` is any number, each equally likely; `record` captures the fields and is called only when it matters.
    pub fn pass(&mut self, now: Time, random: u64, record: impl FnOnce() -> Vec<Value>) -> Verdict {
        if now >= self.expires_at {
            return Verdict::Expired;
        }
        // 53 random bits make an even number from 0 to below 1.
        if (random >> 11) as f64 / (1u64 << 53) as f64 >= self.arming.probability {
            return Verdict::Spared;
        }
        let record = record();
        let fits = |c: &Check| record.get(c.field).is_some_and(|v| c.comparison.holds(v, &c.value));
        if !self.conditions.iter().all(fits) {
            return Verdict::Spared;
        }
        self.hits += 1;
        let last = self.arming.hits_max.is_some_and(|max| self.hits >= max);
        Verdict::Hit { action: self.arming.action.clone(), record, last }
    }

    /// When it disarms itself at the latest.
    pub fn expires_at(&self) -> Time {
        self.expires_at
    }

    /// How long from `now` until then.
    pub fn left(&self, now: Time) -> Duration {
        self.expires_at.since(now)
    }

    /// Whether it stays armed when the session that armed it ends.
    pub fn outlives_session(&self) -> bool {
        self.arming.outlives_session
    }
}

/// `delay=50ms p=0.1 hits<=5 if size>4096`
impl std::fmt::Display for Armed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.arming.action)?;
        if self.arming.probability < 1.0 {
            write!(f, " p={}", self.arming.probability)?;
        }
        if let Some(max) = self.arming.hits_max {
            write!(f, " hits<={max}")?;
        }
        for (i, condition) in self.arming.conditions.iter().enumerate() {
            let sign = Comparison::ALL.iter().find(|(_, c)| *c == condition.comparison).map_or("?", |(sign, _)| sign);
            write!(f, "{}{}{sign}{}", if i == 0 { " if " } else { ", " }, condition.field, condition.literal)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "armed_tests.rs"]
mod tests;
