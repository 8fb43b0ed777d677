//! Values and their types.
// spec: INS-3

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::histogram::Histogram;
use crate::limits;

/// What type a value has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueType {
    /// true or false.
    Bool,
    /// A signed whole number.
    I64,
    /// An unsigned whole number.
    U64,
    /// A floating-point number.
    F64,
    /// At most 255 bytes of UTF-8.
    Text,
    /// One of the declared choices.
    Choice,
    /// A span of time, in nanoseconds.
    Duration,
    /// A distribution.
    Histogram,
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            ValueType::Bool => "bool",
            ValueType::I64 => "i64",
            ValueType::U64 => "u64",
            ValueType::F64 => "f64",
            ValueType::Text => "string",
            ValueType::Choice => "choice",
            ValueType::Duration => "duration",
            ValueType::Histogram => "histogram",
        })
    }
}

/// One value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Value {
    /// true or false.
    Bool(bool),
    /// A signed whole number.
    I64(i64),
    /// An unsigned whole number.
    U64(u64),
    /// A floating-point number.
    F64(f64),
    /// At most 255 bytes.
    Text(String),
    /// The index into the descriptor's choices.
    Choice(u32),
    /// Nanoseconds.
    Duration(u64),
    /// A distribution.
    Histogram(Box<Histogram>),
}

impl Value {
    /// Its type.
    pub fn value_type(&self) -> ValueType {
        match self {
            Value::Bool(_) => ValueType::Bool,
            Value::I64(_) => ValueType::I64,
            Value::U64(_) => ValueType::U64,
            Value::F64(_) => ValueType::F64,
            Value::Text(_) => ValueType::Text,
            Value::Choice(_) => ValueType::Choice,
            Value::Duration(_) => ValueType::Duration,
            Value::Histogram(_) => ValueType::Histogram,
        }
    }

    /// As a number for comparing, plotting and alarms; none for texts. A choice is its index, a duration its seconds, a histogram its count.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Bool(b) => Some(f64::from(u8::from(*b))),
            Value::I64(v) => Some(*v as f64),
            Value::U64(v) => Some(*v as f64),
            Value::F64(v) => Some(*v),
            Value::Text(_) => None,
            Value::Choice(v) => Some(f64::from(*v)),
            Value::Duration(ns) => Some(*ns as f64 / 1e9),
            Value::Histogram(h) => Some(h.count as f64),
        }
    }

    /// The 64 bits of a scalar as they stand in a slot; none for texts and histograms.
    pub fn to_bits(&self) -> Option<u64> {
        match self {
            Value::Bool(b) => Some(u64::from(*b)),
            Value::I64(v) => Some(*v as u64),
            Value::U64(v) | Value::Duration(v) => Some(*v),
            Value::F64(v) => Some(v.to_bits()),
            Value::Choice(v) => Some(u64::from(*v)),
            Value::Text(_) | Value::Histogram(_) => None,
        }
    }

    /// The reverse: any 64 bits are a value of any scalar type (a strange choice shows as its number). None for texts and histograms.
    pub fn from_bits(value_type: ValueType, bits: u64) -> Option<Value> {
        Some(match value_type {
            ValueType::Bool => Value::Bool(bits != 0),
            ValueType::I64 => Value::I64(bits as i64),
            ValueType::U64 => Value::U64(bits),
            ValueType::F64 => Value::F64(f64::from_bits(bits)),
            ValueType::Choice => Value::Choice(u32::try_from(bits).unwrap_or(u32::MAX)),
            ValueType::Duration => Value::Duration(bits),
            ValueType::Text | ValueType::Histogram => return None,
        })
    }

    /// As a person reads it, with the names of choices.
    pub fn show<'a>(&'a self, choices: &'a [String]) -> Show<'a> {
        Show { value: self, choices }
    }
}

/// Displays a [`Value`] with its choices' names.
pub struct Show<'a> {
    value: &'a Value,
    choices: &'a [String],
}

impl fmt::Display for Show<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.value {
            Value::Bool(v) => v.fmt(f),
            Value::I64(v) => v.fmt(f),
            Value::U64(v) => v.fmt(f),
            Value::F64(v) => write!(f, "{}", Float(*v)),
            Value::Text(v) => f.pad(v),
            Value::Choice(v) => match self.choices.get(*v as usize) {
                Some(name) => f.pad(name),
                None => write!(f, "?{v}"),
            },
            Value::Duration(ns) => write!(f, "{}", Span(*ns)),
            Value::Histogram(h) => match (h.quantile(0.5), h.quantile(0.99)) {
                (Some(p50), Some(p99)) => write!(f, "n={} p50={} p99={}", h.count, Float(p50), Float(p99)),
                _ => f.pad("n=0"),
            },
        }
    }
}

/// A float in at most six significant digits, without an exponent where one can do without.
struct Float(f64);

impl fmt::Display for Float {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let v = self.0;
        if !v.is_finite() || v == 0.0 {
            return write!(f, "{v}");
        }
        let magnitude = v.abs().log10().floor() as i32;
        if (-5..15).contains(&magnitude) {
            let decimals = usize::try_from(5 - magnitude).unwrap_or(0);
            let text = format!("{v:.decimals$}");
            let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
            f.write_str(text)
        } else {
            let text = format!("{v:.5e}");
            let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            write!(f, "{}e{exponent}", digits.trim_end_matches('0').trim_end_matches('.'))
        }
    }
}

/// Nanoseconds as `250ms`, `1.5s`, `2h`.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0;
        let (unit, name) = match ns {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        if ns.is_multiple_of(unit) { write!(f, "{}{name}", ns / unit) } else { write!(f, "{}{name}", Float(ns as f64 / unit as f64)) }
    }
}

/// A text that is not a value of the wanted type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{got:?} is not {wanted}")]
pub struct ParseError {
    /// What was given, cut.
    pub got: String,
    /// What would have been right, in words.
    pub wanted: String,
}

/// Reads a value of the given type.
///
/// # Errors
/// With what would have been right.
pub fn parse(text: &str, value_type: ValueType, choices: &[String]) -> Result<Value, ParseError> {
    let wrong = |wanted: String| ParseError { got: text.chars().take(64).collect(), wanted };
    match value_type {
        ValueType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(Value::Bool(true)),
            "false" | "off" | "no" | "0" => Ok(Value::Bool(false)),
            _ => Err(wrong("a bool: write true or false (or on, off, yes, no, 1, 0)".into())),
        },
        ValueType::I64 => text.replace('_', "").parse().map(Value::I64).map_err(|_| wrong("an i64: write a whole number, as -12".into())),
        ValueType::U64 => {
            text.replace('_', "").parse().map(Value::U64).map_err(|_| wrong("a u64: write a whole number from 0, as 12".into()))
        }
        ValueType::F64 => match text.replace('_', "").parse::<f64>() {
            Ok(_) if parse_float(text).is_none() => Err(wrong("an f64: its size is beyond what an f64 can say".into())),
            Ok(number) => Ok(Value::F64(number)),
            Err(_) => Err(wrong("an f64: write a number, as 1.5".into())),
        },
        ValueType::Text if text.len() > limits::TEXT_LEN_MAX => {
            Err(wrong(format!("a string of at most {} bytes ({} given)", limits::TEXT_LEN_MAX, text.len())))
        }
        ValueType::Text => Ok(Value::Text(text.to_owned())),
        ValueType::Choice => match choices.iter().position(|c| c == text) {
            Some(index) => Ok(Value::Choice(index as u32)),
            None => Err(wrong(format!("one of the choices {}", choices.join(", ")))),
        },
        ValueType::Duration => parse_duration(text)
            .map(|d| Value::Duration(u64::try_from(d.as_nanos()).unwrap_or(u64::MAX)))
            .ok_or_else(|| wrong("a duration: write a number with ns, us, ms, s, min or h, as 250ms, down to whole nanoseconds".into())),
        ValueType::Histogram => Err(wrong("settable: a histogram is only shown".into())),
    }
}

/// A float. None if it is none, or if it would become an infinity or nothing although something else was written.
pub fn parse_float(text: &str) -> Option<f64> {
    let text = text.replace('_', "");
    let number: f64 = text.parse().ok()?;
    let written =
        |digits: std::ops::RangeInclusive<char>| text.split(['e', 'E']).next().is_some_and(|m| m.contains(|c| digits.contains(&c)));
    let lost = (number.is_infinite() && written('0'..='9')) || (number == 0.0 && written('1'..='9'));
    (!lost).then_some(number)
}

/// `250ms`, `1.5s`, `5min`, `2h`. None if it is not a duration, is longer than 2^64 ns or not of whole nanoseconds: nothing is rounded.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let split = text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '_'))?;
    let unit: u128 = match text[split..].trim() {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" | "min" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    };
    let number = text[..split].replace('_', "");
    let (whole, fraction) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let fraction = fraction.trim_end_matches('0');
    // A longer one is none of whole nanoseconds in any unit.
    let scale = 10u128.checked_pow(u32::try_from(fraction.len()).ok()?).filter(|scale| *scale <= 10u128.pow(20))?;
    let part = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? * unit };
    let nanos = whole.checked_mul(unit)?.checked_add(part / scale)?;
    (part % scale == 0).then_some(nanos).and_then(|nanos| u64::try_from(nanos).ok()).map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // spec: INS-3
        #[test]
        fn any_bits_are_a_value_and_the_bits_come_back(bits: u64) {
            for t in [ValueType::I64, ValueType::U64, ValueType::F64, ValueType::Duration] {
                prop_assert_eq!(Value::from_bits(t, bits).unwrap().to_bits(), Some(bits));
            }
            prop_assert!(Value::from_bits(ValueType::Bool, bits).is_some());
            prop_assert!(Value::from_bits(ValueType::Choice, bits).is_some());
        }

        #[test]
        fn parsing_never_panics(text in ".{0,80}") {
            for t in [ValueType::Bool, ValueType::I64, ValueType::U64, ValueType::F64, ValueType::Text, ValueType::Choice, ValueType::Duration, ValueType::Histogram] {
                let _ = parse(&text, t, &["a".into()]);
            }
        }
    }

    #[test]
    fn a_refusal_says_what_would_have_been_right() {
        let choices = ["fast".to_owned(), "safe".to_owned()];
        for (text, t, expect) in [
            ("maybe", ValueType::Bool, "write true or false"),
            ("-1", ValueType::U64, "a whole number from 0"),
            ("slow", ValueType::Choice, "fast, safe"),
            ("5", ValueType::Duration, "as 250ms"),
        ] {
            let error = parse(text, t, &choices).unwrap_err().to_string();
            assert!(error.contains(expect), "{error}");
        }
    }

    // spec: CTL-1
    #[test]
    fn what_is_read_is_what_was_written_or_it_is_refused() {
        let read = |text: &str, t| parse(text, t, &[]).ok();
        for (text, expect) in [
            ("1e999", None),
            ("-1e999", None),
            ("1e-999", None),
            ("0e-999", Some(0.0)),
            ("inf", Some(f64::INFINITY)),
            ("1_000.5", Some(1000.5)),
        ] {
            assert_eq!(read(text, ValueType::F64), expect.map(Value::F64), "{text}");
        }
        for (text, expect) in [
            ("0.0000000001ns", None),
            ("1.5ns", None),
            ("0ns", Some(0)),
            ("1.50us", Some(1_500)),
            (".5h", Some(1_800_000_000_000)),
            ("18446744073709551615ns", Some(u64::MAX)),
            ("18446744073709551616ns", None),
            ("9007199254740993ns", Some(9_007_199_254_740_993)),
            ("1.2.3s", None),
            (".s", None),
        ] {
            assert_eq!(read(text, ValueType::Duration), expect.map(Value::Duration), "{text}");
        }
        for (text, expect) in [("True", true), ("YES", true), ("1", true), ("Off", false)] {
            assert_eq!(read(text, ValueType::Bool), Some(Value::Bool(expect)), "{text}");
        }
    }

    #[test]
    fn values_read_as_a_person_writes_them() {
        let show = |v: Value| v.show(&["fast".into()]).to_string();
        assert_eq!(show(Value::F64(0.1 + 0.2)), "0.3");
        assert_eq!(show(Value::F64(1234567.0)), "1234567");
        assert_eq!(show(Value::F64(1.504e-6)), "1.504e-6");
        assert_eq!(show(Value::F64(-3e20)), "-3e20");
        assert_eq!(show(Value::F64(f64::NAN)), "NaN");
        assert_eq!(show(Value::Duration(1_500_000_000)), "1.5s");
        assert_eq!(show(Value::Duration(250_000_000)), "250ms");
        assert_eq!(show(Value::Choice(0)), "fast");
        assert_eq!(show(Value::Choice(9)), "?9");
        assert_eq!(parse("2.5ms", ValueType::Duration, &[]).unwrap(), Value::Duration(2_500_000));
    }
}
