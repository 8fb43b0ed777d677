//! Which changes are worth sending.
// spec: INS-6

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::value::Value;

/// How far a number must move to matter.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum Threshold {
    /// By at least this much, in the declared unit.
    Absolute(f64),
    /// By at least this share of the value last sent (0.05 is five per cent).
    Relative(f64),
}

impl Threshold {
    fn reached(self, last: f64, moved: f64) -> bool {
        match self {
            Threshold::Absolute(band) => moved >= band,
            Threshold::Relative(share) => moved >= share * last.abs(),
        }
    }
}

/// When a change is significant, as declared with the instrument. The default: any change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Significance {
    /// How far up.
    #[serde(default)]
    pub up: Option<Threshold>,
    /// How far down.
    #[serde(default)]
    pub down: Option<Threshold>,
    /// Not more often than this.
    #[serde(default)]
    pub at_most_every: Option<Duration>,
    /// At least this often, changed or not.
    #[serde(default)]
    pub at_least_every: Option<Duration>,
}

impl Significance {
    /// Any change.
    pub const ANY: Significance = Significance { up: None, down: None, at_most_every: None, at_least_every: None };

    /// Whether going from `last` (the value last sent) to `new` matters. Time limits are the caller's.
    ///
    /// Changes to or from NaN and the infinities always matter. Texts and choices matter when they differ; a histogram when its count does.
    pub fn is_significant(&self, last: &Value, new: &Value) -> bool {
        match (last, new) {
            (Value::Text(a), Value::Text(b)) => a != b,
            (Value::Choice(a), Value::Choice(b)) => a != b,
            (Value::Bool(a), Value::Bool(b)) => a != b,
            (Value::U64(a), Value::U64(b)) if self.up.is_none() && self.down.is_none() => a != b,
            (Value::I64(a), Value::I64(b)) if self.up.is_none() && self.down.is_none() => a != b,
            (Value::Duration(a), Value::Duration(b)) if self.up.is_none() && self.down.is_none() => a != b,
            (a, b) => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => self.is_number_significant(a, b),
                _ => a != b,
            },
        }
    }

    /// The same for numbers, as the exporter's side asks it.
    #[inline]
    pub fn is_number_significant(&self, last: f64, new: f64) -> bool {
        if !(last.is_finite() && new.is_finite()) {
            // NaN to NaN is no change; to, from and between the infinities is one.
            return last.to_bits() != new.to_bits() && !(last.is_nan() && new.is_nan());
        }
        if new > last {
            self.up.is_none_or(|t| t.reached(last, new - last))
        } else if new < last {
            self.down.is_none_or(|t| t.reached(last, last - new))
        } else {
            false
        }
    }
}

/// What a subscriber adds: it can only make the declared significance coarser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Coarsen {
    /// Numbers must have moved at least this far since the value last sent to this subscriber.
    #[serde(default)]
    pub deadband: Option<f64>,
    /// Not more often than this.
    #[serde(default)]
    pub at_most_every: Option<Duration>,
}

impl Coarsen {
    /// What is still to be left out where so much is left out already.
    pub fn less(self, already: f64) -> Coarsen {
        Coarsen { deadband: self.deadband.map(|band| band - already).filter(|rest| *rest > 0.0), ..self }
    }

    /// Whether going from what this subscriber was last sent to `new` is still worth sending to it.
    pub fn passes(&self, last: &Value, new: &Value) -> bool {
        match self.deadband {
            None => true,
            Some(band) => match (last.as_f64(), new.as_f64()) {
                (Some(a), Some(b)) => {
                    Significance { up: Some(Threshold::Absolute(band)), down: Some(Threshold::Absolute(band)), ..Significance::ANY }
                        .is_number_significant(a, b)
                }
                _ => true,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(up: Option<Threshold>, down: Option<Threshold>, last: f64, new: f64, expect: bool) {
        let s = Significance { up, down, ..Significance::ANY };
        assert_eq!(s.is_number_significant(last, new), expect, "{up:?} {down:?}: {last} to {new}");
        assert_eq!(s.is_significant(&Value::F64(last), &Value::F64(new)), expect);
    }

    // spec: INS-6
    #[test]
    fn a_change_matters_when_it_crosses_its_threshold_in_its_direction() {
        use Threshold::*;
        check(None, None, 1.0, 1.0, false);
        check(None, None, 1.0, 1.0000001, true);
        check(Some(Absolute(10.0)), Some(Absolute(10.0)), 5.0, 14.9, false);
        check(Some(Absolute(10.0)), Some(Absolute(10.0)), 5.0, 15.0, true);
        check(Some(Absolute(10.0)), Some(Absolute(1.0)), 5.0, 4.0, true);
        check(Some(Absolute(10.0)), Some(Absolute(1.0)), 5.0, 6.0, false);
        check(Some(Relative(0.1)), Some(Relative(0.1)), -100.0, -91.0, false);
        check(Some(Relative(0.1)), Some(Relative(0.1)), -100.0, -90.0, true);
        check(Some(Relative(0.1)), None, 0.0, 1e-12, true);
    }

    // spec: INS-6
    #[test]
    fn nan_and_the_infinities_always_matter() {
        let wide = Some(Threshold::Absolute(1e300));
        for (last, new, expect) in [
            (1.0, f64::NAN, true),
            (f64::NAN, 1.0, true),
            (f64::NAN, -f64::NAN, false),
            (1.0, f64::INFINITY, true),
            (f64::INFINITY, f64::NEG_INFINITY, true),
            (f64::INFINITY, f64::INFINITY, false),
        ] {
            check(wide, wide, last, new, expect);
        }
    }

    // spec: INS-6
    #[test]
    fn a_whole_number_too_great_for_a_float_still_shows_its_change() {
        let s = Significance::ANY;
        assert!(s.is_significant(&Value::U64(u64::MAX - 1), &Value::U64(u64::MAX)));
    }
}
