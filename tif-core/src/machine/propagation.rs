//! Which values of an instrument go out, and when.
//!
//! Compared with the value last *sent*, never with the one last seen: a slow drift of many small steps is a change like any other.
// spec: INS-6, INS-7, INS-10

use std::time::Duration;

use crate::defects::{Defect, defect};
use crate::model::{Alarm, Coarsen, Descriptor, Quality, Time, Value};

/// What was sent of an instrument last.
#[derive(Clone, Debug)]
struct Sent {
    value: Option<Value>,
    quality: Quality,
    alarm: Alarm,
    at: Time,
}

/// What is to be done with a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes out.
    Send,
    /// It matters, but it is too early: look again then.
    Hold {
        /// When.
        until: Time,
    },
    /// It does not matter.
    Drop,
}

/// What a report says beside the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Going {
    /// Its number.
    pub seq: u64,
    /// Its alarm state.
    pub alarm: Alarm,
    /// How many significant values it stands for beyond itself.
    pub coalesced: u64,
    /// Quality, alarm or exporter changed: it passes every subscriber's own limits.
    pub always: bool,
}

/// The sending side of one watched instrument.
#[derive(Clone, Debug, Default)]
pub struct Propagation {
    last: Option<Sent>,
    seq: u64,
    held: u64,
    alarm: Alarm,
}

impl Propagation {
    /// Judges a value that was just read.
    pub fn judge(&mut self, now: Time, descriptor: &Descriptor, value: Option<&Value>, quality: &Quality) -> Verdict {
        if let Some(number) = value.and_then(Value::as_f64) {
            self.alarm = descriptor.limits.judge(self.alarm, number);
        }
        let Some(last) = &self.last else { return Verdict::Send };
        let significance = &descriptor.significance;
        let alarm = self.alarm != last.alarm && !defect(Defect::IgnoreAlarm);
        let quality = *quality != last.quality && !defect(Defect::IgnoreQuality);
        if alarm || quality || value.is_some() != last.value.is_some() {
            return Verdict::Send;
        }
        if significance.at_least_every.is_some_and(|every| now >= last.at + every) {
            return Verdict::Send;
        }
        let matters = match (&last.value, value) {
            (Some(old), Some(new)) => significance.is_significant(old, new),
            _ => false,
        };
        if !matters {
            if defect(Defect::CompareWithSampled) {
                self.last = self.last.take().map(|last| Sent { value: value.cloned(), ..last });
            }
            return Verdict::Drop;
        }
        match significance.at_most_every {
            Some(every) if now < last.at + every => {
                self.held += 1;
                Verdict::Hold { until: last.at + every }
            }
            _ => Verdict::Send,
        }
    }

    /// The value goes out.
    pub fn on_sent(&mut self, now: Time, value: Option<Value>, quality: Quality) -> Going {
        self.seq += 1;
        let always = self.last.as_ref().is_none_or(|last| last.quality != quality || last.alarm != self.alarm);
        self.last = Some(Sent { value, quality, alarm: self.alarm, at: now });
        // A held value that goes out itself is not one it stands for.
        Going { seq: self.seq, alarm: self.alarm, coalesced: std::mem::take(&mut self.held).saturating_sub(1), always }
    }

    /// A value comes that another agent judged and sent: it goes out as it came.
    // spec: MON-2, INS-7
    pub fn on_relayed(&mut self, now: Time, value: Option<Value>, quality: Quality, going: Going) -> Going {
        let always = self.last.as_ref().is_none_or(|last| last.quality != quality || last.alarm != going.alarm);
        self.seq = going.seq;
        self.alarm = going.alarm;
        self.held = 0;
        self.last = Some(Sent { value, quality, alarm: going.alarm, at: now });
        Going { always, ..going }
    }

    /// Another exporter stands behind it from now on: the next value goes out whatever it is, and is counted from one.
    pub fn on_remapped(&mut self) {
        self.last = None;
        self.seq = 0;
        self.held = 0;
    }

    /// The same exporter stands behind it in another place, or after its link was lost: the next value goes out whatever it is.
    pub fn on_rebound(&mut self) {
        self.last = None;
        self.held = 0;
    }

    /// Nobody watches any more: what was sent is no longer what anybody has.
    pub fn on_unwatched(&mut self) {
        self.last = None;
        self.held = 0;
    }

    /// What was sent last since it is watched: what every follower has, and what new values are compared with.
    pub fn last_sent(&self) -> Option<(Option<&Value>, &Quality, Alarm)> {
        self.last.as_ref().map(|last| (last.value.as_ref(), &last.quality, last.alarm))
    }

    /// The number of the last report.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The alarm state.
    pub fn alarm(&self) -> Alarm {
        self.alarm
    }

    /// When a report is due though nothing changed.
    pub fn at_least_due(&self, descriptor: &Descriptor) -> Option<Time> {
        let every = descriptor.significance.at_least_every?;
        self.last.as_ref().map(|last| last.at + every.max(Duration::from_millis(1)))
    }
}

/// What one subscriber adds: its own, coarser significance, against the value last sent to it.
#[derive(Clone, Debug, Default)]
pub struct Follow {
    coarsen: Coarsen,
    last: Option<(Value, Time)>,
    suppressed: u64,
}

impl Follow {
    /// A follower that wants this much less than declared.
    pub fn new(coarsen: Coarsen) -> Follow {
        Follow { coarsen, last: None, suppressed: 0 }
    }

    /// Wants it as another does from now on; what was sent before still counts. True if that is a change.
    pub fn take_wish(&mut self, of: &Follow) -> bool {
        let changed = self.coarsen != of.coarsen;
        self.coarsen = of.coarsen;
        changed
    }

    /// As [`Follow::refine`]; true if that changed anything.
    pub fn wish_finer(&mut self, other: Coarsen) -> bool {
        let before = self.coarsen;
        self.refine(other);
        self.coarsen != before
    }

    /// How much less than declared it wants.
    pub fn wished(&self) -> Coarsen {
        self.coarsen
    }

    /// A value is sent to it whatever it wishes: the first, for example.
    pub fn on_sent(&mut self, now: Time, value: Option<&Value>) {
        if let Some(value) = value {
            self.last = Some((value.clone(), now));
        }
        self.suppressed = 0;
    }

    /// Another subscription of the same importer wants it, too: the finer of both holds.
    pub fn refine(&mut self, other: Coarsen) {
        self.coarsen.deadband = match (self.coarsen.deadband, other.deadband) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) if defect(Defect::CoarserWins) => a.or(b),
            _ => None,
        };
        self.coarsen.at_most_every = match (self.coarsen.at_most_every, other.at_most_every) {
            (Some(a), Some(b)) => Some(a.min(b)),
            _ => None,
        };
    }

    /// Whether this follower is to get a significant value; `always` for changes of quality, alarm and exporter. What it is to get counts the ones it did not.
    pub fn judge(&mut self, now: Time, value: Option<&Value>, always: bool) -> Verdict {
        self.judge_rest(now, value, always, 0.0)
    }

    /// The same where another CPU has left out what does not differ by more than `already`: together both leave out no more than is wished here.
    // spec: MON-2, INS-6
    pub fn judge_rest(&mut self, now: Time, value: Option<&Value>, always: bool, already: f64) -> Verdict {
        if self.coarsen == Coarsen::default() {
            // Not worth a copy: should it want less one day, the first value after that is sent.
            self.last = None;
            return Verdict::Send;
        }
        let verdict = match (&self.last, value) {
            (Some((last, at)), Some(new)) if !always => {
                if !self.coarsen.less(already).passes(last, new) || (already > 0.0 && last == new) {
                    return Verdict::Drop;
                }
                match self.coarsen.at_most_every {
                    Some(every) if now < *at + every => {
                        self.suppressed += 1;
                        Verdict::Hold { until: *at + every }
                    }
                    _ => Verdict::Send,
                }
            }
            _ => Verdict::Send,
        };
        if verdict == Verdict::Send
            && let Some(value) = value
        {
            self.last = Some((value.clone(), now));
        }
        verdict
    }

    /// How many significant values this follower was spared since it was last asked.
    pub fn take_suppressed(&mut self) -> u64 {
        std::mem::take(&mut self.suppressed).saturating_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::significance::{Significance, Threshold};
    use crate::model::{Limits, descriptor};

    fn gauge(significance: Significance) -> Descriptor {
        let mut d = descriptor::tests::control(None);
        d.kind = crate::model::Kind::Gauge;
        d.significance = significance;
        d.limits = Limits { warn_above: Some(100.0), ..Limits::default() };
        d
    }

    fn at(ms: u64) -> Time {
        Time::ZERO + Duration::from_millis(ms)
    }

    // spec: INS-6
    #[test]
    fn a_slow_drift_is_seen_because_the_value_last_sent_is_what_counts() {
        let d = gauge(Significance { up: Some(Threshold::Absolute(10.0)), down: Some(Threshold::Absolute(10.0)), ..Significance::ANY });
        let mut p = Propagation::default();
        let mut sent = Vec::new();
        for v in 0..=30u64 {
            if p.judge(at(v), &d, Some(&Value::U64(v)), &Quality::Good) == Verdict::Send {
                p.on_sent(at(v), Some(Value::U64(v)), Quality::Good);
                sent.push(v);
            }
        }
        assert_eq!(sent, [0, 10, 20, 30]);
    }

    // spec: INS-6, INS-8
    #[test]
    fn what_comes_too_early_is_held_and_counted() {
        let d = gauge(Significance { at_most_every: Some(Duration::from_millis(100)), ..Significance::ANY });
        let mut p = Propagation::default();
        p.on_sent(at(0), Some(Value::U64(0)), Quality::Good);
        for v in 1..=3 {
            assert_eq!(p.judge(at(v), &d, Some(&Value::U64(v)), &Quality::Good), Verdict::Hold { until: at(100) });
        }
        assert_eq!(p.judge(at(100), &d, Some(&Value::U64(3)), &Quality::Good), Verdict::Send);
        let going = p.on_sent(at(100), Some(Value::U64(3)), Quality::Good);
        assert_eq!(going, Going { seq: 2, alarm: Alarm::Ok, coalesced: 2, always: false });
    }

    // spec: INS-6, INS-10
    #[test]
    fn alarms_and_quality_pass_every_limit() {
        let wide = Some(Threshold::Absolute(1e9));
        let d = gauge(Significance { up: wide, down: wide, at_most_every: Some(Duration::from_secs(9)), at_least_every: None });
        let mut p = Propagation::default();
        p.on_sent(at(0), Some(Value::U64(0)), Quality::Good);
        assert_eq!(p.judge(at(1), &d, Some(&Value::U64(99)), &Quality::Good), Verdict::Drop);
        assert_eq!(p.judge(at(1), &d, Some(&Value::U64(100)), &Quality::Good), Verdict::Send, "the alarm changed");
        p.on_sent(at(1), Some(Value::U64(100)), Quality::Good);
        assert_eq!(p.judge(at(2), &d, Some(&Value::U64(100)), &Quality::Failed { reason: "x".into() }), Verdict::Send);
    }

    // spec: INS-6
    #[test]
    fn at_least_every_sends_though_nothing_changed() {
        let d = gauge(Significance { at_least_every: Some(Duration::from_millis(50)), ..Significance::ANY });
        let mut p = Propagation::default();
        p.on_sent(at(0), Some(Value::U64(1)), Quality::Good);
        assert_eq!(p.at_least_due(&d), Some(at(50)));
        assert_eq!(p.judge(at(49), &d, Some(&Value::U64(1)), &Quality::Good), Verdict::Drop);
        assert_eq!(p.judge(at(50), &d, Some(&Value::U64(1)), &Quality::Good), Verdict::Send);
    }

    // spec: INS-6
    #[test]
    fn a_subscriber_can_only_coarsen_and_its_finer_wish_holds() {
        let mut follow = Follow::new(Coarsen { deadband: Some(10.0), at_most_every: None });
        assert_eq!(follow.judge(at(0), Some(&Value::U64(0)), false), Verdict::Send);
        assert_eq!(follow.judge(at(1), Some(&Value::U64(9)), false), Verdict::Drop);
        assert_eq!(follow.judge(at(1), Some(&Value::U64(9)), true), Verdict::Send);
        follow.refine(Coarsen { deadband: Some(2.0), at_most_every: None });
        assert_eq!(follow.judge(at(2), Some(&Value::U64(11)), false), Verdict::Send);
        follow.refine(Coarsen::default());
        assert_eq!(follow.judge(at(3), Some(&Value::U64(11)), false), Verdict::Send);
    }

    // spec: INS-6
    #[test]
    fn what_two_cpus_leave_out_is_together_no_more_than_is_wished() {
        let mut follow = Follow::new(Coarsen { deadband: Some(20.0), at_most_every: None });
        let mut judge = |value, already| follow.judge_rest(Time(0), Some(&Value::F64(value)), false, already);
        assert_eq!(judge(0.0, 20.0), Verdict::Send);
        assert_eq!(judge(18.0, 20.0), Verdict::Send, "the other counts from here");
        assert_eq!(judge(18.0, 20.0), Verdict::Drop, "it has that");
        assert_eq!(judge(27.0, 10.0), Verdict::Drop);
        assert_eq!(judge(28.0, 10.0), Verdict::Send);
        assert_eq!(judge(47.0, 0.0), Verdict::Drop);
    }

    #[test]
    fn a_follower_that_wants_less_from_now_on_is_not_compared_with_a_value_of_long_ago() {
        let coarse = Follow::new(Coarsen { deadband: Some(10.0), at_most_every: None });
        let mut follow = coarse.clone();
        assert_eq!(follow.judge(at(0), Some(&Value::U64(0)), false), Verdict::Send);
        assert!(follow.take_wish(&Follow::new(Coarsen::default())));
        assert_eq!(follow.judge(at(1), Some(&Value::U64(50)), false), Verdict::Send);
        assert!(follow.take_wish(&coarse) && !follow.take_wish(&coarse));
        assert_eq!(follow.judge(at(2), Some(&Value::U64(1)), false), Verdict::Send);
    }
}
