//! Numbers of declarations: whole ones exactly, all others as floats.
// spec: INS-4

use std::cmp::Ordering;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, Visitor};
use serde::{Serialize, Serializer};

use super::value::Value;

/// A bound or a step. Written down it is a plain number, whole or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// Exact for all of u64 and i64.
    Whole(i128),
    /// Of a float, or a duration in seconds.
    Float(f64),
}

impl Number {
    /// Of a value as it is compared with bounds; none for texts. A choice is its index, a duration its seconds, a histogram its count.
    pub fn of(value: &Value) -> Option<Number> {
        Some(match value {
            Value::Bool(v) => Number::Whole(i128::from(*v)),
            Value::I64(v) => Number::Whole(i128::from(*v)),
            Value::U64(v) => Number::Whole(i128::from(*v)),
            Value::Choice(v) => Number::Whole(i128::from(*v)),
            Value::Histogram(h) => Number::Whole(i128::from(h.count)),
            Value::F64(_) | Value::Duration(_) => Number::Float(value.as_f64()?),
            Value::Text(_) => return None,
        })
    }

    /// The nearest float.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Whole(v) => v as f64,
            Number::Float(v) => v,
        }
    }

    /// Whether it is less than the other or equal to it. NaN never is.
    pub fn at_most(self, other: Number) -> bool {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a <= b,
            (a, b) => matches!(a.as_f64().partial_cmp(&b.as_f64()), Some(Ordering::Less | Ordering::Equal)),
        }
    }

    /// The allowed values next to this one, if values are whole multiples of `step` from `from` and this is none of them.
    pub fn off_step(self, from: Number, step: Number) -> Option<(Number, Number)> {
        if let (Number::Whole(v), Number::Whole(from), Number::Whole(step @ 1..)) = (self, from, step) {
            let over = v.checked_sub(from)?.rem_euclid(step);
            return (over != 0).then(|| (Number::Whole(v - over), Number::Whole(v - over + step)));
        }
        let (v, from, step) = (self.as_f64(), from.as_f64(), step.as_f64());
        let steps = (v - from) / step;
        // Decimal steps are not exact in binary: a millionth of a step is not a difference.
        let is_off = steps.is_nan() || (steps - steps.round()).abs() >= 1e-6;
        is_off.then(|| (Number::Float(tidy(from + steps.floor() * step)), Number::Float(tidy(from + steps.ceil() * step))))
    }
}

/// Without what sums of decimal steps leave in the last places: 0.3, not 0.30000000000000004.
fn tidy(v: f64) -> f64 {
    format!("{v:.12e}").parse().unwrap_or(v)
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(v) => v.fmt(f),
            Number::Float(v) => v.fmt(f),
        }
    }
}

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Number::Float(v) => serializer.serialize_f64(*v),
            Number::Whole(v) => match (u64::try_from(*v), i64::try_from(*v)) {
                (Ok(v), _) => serializer.serialize_u64(v),
                (_, Ok(v)) => serializer.serialize_i64(v),
                // No value of any type is so far out.
                _ => serializer.serialize_f64(*v as f64),
            },
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Number, D::Error> {
        struct Plain;
        impl Visitor<'_> for Plain {
            type Value = Number;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }
            fn visit_u64<E: Error>(self, v: u64) -> Result<Number, E> {
                Ok(Number::Whole(v.into()))
            }
            fn visit_i64<E: Error>(self, v: i64) -> Result<Number, E> {
                Ok(Number::Whole(v.into()))
            }
            fn visit_f64<E: Error>(self, v: f64) -> Result<Number, E> {
                Ok(Number::Float(v))
            }
        }
        deserializer.deserialize_any(Plain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Number::{Float, Whole};

    // spec: INS-4
    #[test]
    fn whole_numbers_are_exact_to_the_ends_of_their_types_also_when_written_down() {
        for n in [Whole(u64::MAX.into()), Whole(i64::MIN.into()), Whole((1 << 53) + 1), Whole(0), Float(1.0), Float(-0.5)] {
            let bytes = rmp_serde::to_vec(&n).unwrap();
            assert_eq!(rmp_serde::from_slice::<Number>(&bytes).unwrap(), n);
        }
        assert!(!Whole((1 << 53) + 1).at_most(Whole(1 << 53)));
        assert!(!Float(f64::NAN).at_most(Float(f64::NAN)));
    }

    // spec: CTL-1
    #[test]
    fn the_steps_next_to_a_number_are_named_without_noise() {
        let check = |v: Number, from: Number, step: Number, expect: Option<(&str, &str)>| {
            let got = v.off_step(from, step).map(|(a, b)| (a.to_string(), b.to_string()));
            assert_eq!(got, expect.map(|(a, b)| (a.to_owned(), b.to_owned())), "{v}");
        };
        check(Float(0.35), Float(0.0), Float(0.1), Some(("0.3", "0.4")));
        check(Float(0.3), Float(0.0), Float(0.1), None);
        check(Whole(12), Whole(1), Whole(5), Some(("11", "16")));
        check(Whole(-12), Whole(0), Whole(5), Some(("-15", "-10")));
        check(Whole(u64::MAX.into()), Whole(0), Whole(2), Some(("18446744073709551614", "18446744073709551616")));
        check(Float(f64::NAN), Float(0.0), Float(0.1), Some(("NaN", "NaN")));
    }
}
