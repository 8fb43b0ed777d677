//! Alarm limits with hysteresis.
// spec: INS-10

use std::fmt;

use serde::{Deserialize, Serialize};

/// How bad a value is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// Within limits, or there are none.
    #[default]
    Ok,
    /// Beyond the warning limit.
    Warning,
    /// Beyond the critical limit.
    Critical,
}

impl fmt::Display for Alarm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Alarm::Ok => "ok",
            Alarm::Warning => "warning",
            Alarm::Critical => "critical",
        })
    }
}

/// The declared limits of an instrument, in its unit. Any of them may be missing.
///
/// An alarm is raised at its limit and falls only when the value is back by `hysteresis`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Limits {
    /// Warning at or above.
    #[serde(default)]
    pub warn_above: Option<f64>,
    /// Critical at or above.
    #[serde(default)]
    pub critical_above: Option<f64>,
    /// Warning at or below.
    #[serde(default)]
    pub warn_below: Option<f64>,
    /// Critical at or below.
    #[serde(default)]
    pub critical_below: Option<f64>,
    /// How far back within a limit the value must be before the alarm falls.
    #[serde(default)]
    pub hysteresis: f64,
}

impl Limits {
    /// Whether there is any limit.
    pub fn is_empty(&self) -> bool {
        self.warn_above.is_none() && self.critical_above.is_none() && self.warn_below.is_none() && self.critical_below.is_none()
    }

    /// The alarm state at `value`, coming from `before`. NaN is critical where there is a limit: nobody can say it is within.
    pub fn judge(&self, before: Alarm, value: f64) -> Alarm {
        if self.is_empty() {
            return Alarm::Ok;
        }
        if value.is_nan() {
            return Alarm::Critical;
        }
        let beyond = |above: Option<f64>, below: Option<f64>, slack: f64| {
            above.is_some_and(|limit| value >= limit - slack) || below.is_some_and(|limit| value <= limit + slack)
        };
        // A level that was held is held on while the value is within the hysteresis of its limit.
        let slack = |level: Alarm| if before >= level { self.hysteresis } else { 0.0 };
        if beyond(self.critical_above, self.critical_below, slack(Alarm::Critical)) {
            Alarm::Critical
        } else if beyond(self.warn_above, self.warn_below, slack(Alarm::Warning)) {
            Alarm::Warning
        } else {
            Alarm::Ok
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: INS-10
    #[test]
    fn an_alarm_falls_only_beyond_its_hysteresis() {
        let limits = Limits { warn_above: Some(100.0), critical_above: Some(200.0), hysteresis: 10.0, ..Limits::default() };
        let mut state = Alarm::Ok;
        for (value, expect) in [
            (99.9, Alarm::Ok),
            (100.0, Alarm::Warning),
            (95.0, Alarm::Warning),
            (90.0, Alarm::Warning),
            (89.9, Alarm::Ok),
            (250.0, Alarm::Critical),
            (195.0, Alarm::Critical),
            (180.0, Alarm::Warning),
            (91.0, Alarm::Warning),
            (f64::NAN, Alarm::Critical),
            (0.0, Alarm::Ok),
        ] {
            state = limits.judge(state, value);
            assert_eq!(state, expect, "at {value}");
        }
        assert_eq!(Limits::default().judge(Alarm::Ok, f64::NAN), Alarm::Ok);
    }
}
