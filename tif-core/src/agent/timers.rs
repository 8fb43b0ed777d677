//! What is due at what time: of each thing at most one time, the earliest that was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::Timer;
use crate::model::Time;

/// All that is due some time.
#[derive(Debug, Default)]
pub(super) struct Timers {
    by_time: BTreeSet<(Time, Timer)>,
    due: BTreeMap<Timer, Time>,
}

impl Timers {
    /// It is due at this time, unless it is earlier already.
    pub fn set(&mut self, at: Time, timer: Timer) {
        if let Some(before) = self.due.get(&timer) {
            if *before <= at {
                return;
            }
            self.by_time.remove(&(*before, timer));
        }
        self.due.insert(timer, at);
        self.by_time.insert((at, timer));
    }

    /// It is not due any more.
    pub fn cancel(&mut self, timer: Timer) {
        if let Some(at) = self.due.remove(&timer) {
            self.by_time.remove(&(at, timer));
        }
    }

    /// When the first is due.
    pub fn first(&self) -> Option<Time> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes the first that is due by now.
    pub fn pop_due(&mut self, now: Time) -> Option<Timer> {
        let (at, timer) = self.by_time.first().copied().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, timer));
        self.due.remove(&timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::InstrumentId;

    // spec: SEC-2
    #[test]
    fn however_often_something_is_asked_for_it_waits_once_and_for_the_earliest_time() {
        let mut timers = Timers::default();
        let timer = Timer::Propagate(InstrumentId(1));
        for at in [50, 30, 40] {
            timers.set(Time(at), timer);
        }
        assert_eq!((timers.first(), timers.by_time.len()), (Some(Time(30)), 1));
        assert_eq!(timers.pop_due(Time(29)), None);
        assert_eq!(timers.pop_due(Time(30)), Some(timer));
        assert_eq!(timers.first(), None);
        timers.set(Time(60), timer);
        timers.cancel(timer);
        assert_eq!(timers.pop_due(Time(100)), None);
    }
}
