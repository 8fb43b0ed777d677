//! What a condition is, given what is known of its instruments.

use std::time::Duration;

use tif_core::model::value::{self, parse_duration, parse_float};
use tif_core::model::{Descriptor, Unit, Value, ValueType};

use super::parse::{Compared, Node};
use super::{Expression, Instrument, ParseError};

/// What is known of one instrument.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// What is declared of it.
    pub descriptor: &'a Descriptor,
    /// Its value; none if it is not live.
    pub live: Option<&'a Value>,
}

/// A condition that cannot be judged, whatever the values are: a literal does not fit its instrument's type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct EvaluateError(pub ParseError);

impl Expression {
    /// True, false, or unknown (none). `see` tells what is known of an instrument; none if it is not there.
    ///
    /// # Errors
    /// If a literal does not fit its instrument's type.
    // spec: SRV-8
    pub fn evaluate<'a>(&self, mut see: impl FnMut(&Instrument) -> Option<Seen<'a>>) -> Result<Option<bool>, EvaluateError> {
        self.judge(&self.root, &mut |place| see(&self.instruments()[place]))
    }

    fn judge<'a>(&self, node: &Node, see: &mut dyn FnMut(usize) -> Option<Seen<'a>>) -> Result<Option<bool>, EvaluateError> {
        match node {
            Node::Not(inner) => Ok(self.judge(inner, see)?.map(|known| !known)),
            // One false decides all of them, one true any of them; else one unknown leaves it unknown.
            Node::All(parts) => self.decided_by(false, parts, see),
            Node::Any(parts) => self.decided_by(true, parts, see),
            Node::Is { instrument, compared, at } => {
                let Some(seen) = see(*instrument) else { return Ok(None) };
                let wrong = |at: &std::ops::Range<usize>, wanted: String| EvaluateError(ParseError::new(&self.text, at.clone(), wanted));
                match compared {
                    None if seen.descriptor.value_type != ValueType::Bool => {
                        Err(wrong(at, format!("this is a {}: compare it with a value", seen.descriptor.value_type)))
                    }
                    None => Ok(seen.live.map(|v| *v == Value::Bool(true))),
                    Some(compared) => {
                        let literal = read(compared, seen.descriptor).map_err(|wanted| wrong(&compared.at, wanted))?;
                        Ok(seen.live.map(|v| compared.comparison.holds(v, &literal)))
                    }
                }
            }
        }
    }

    fn decided_by<'a>(
        &self,
        decisive: bool,
        parts: &[Node],
        see: &mut dyn FnMut(usize) -> Option<Seen<'a>>,
    ) -> Result<Option<bool>, EvaluateError> {
        let mut all = Some(!decisive);
        // All are judged, so that a literal that does not fit is told of whatever the others are.
        for part in parts {
            match self.judge(part, see)? {
                Some(known) if known == decisive => all = Some(decisive),
                Some(_) => {}
                None => all = all.filter(|so_far| *so_far == decisive),
            }
        }
        Ok(all)
    }
}

/// A literal by the instrument's type. Numbers may also be compared with fractions, and spans of time in any unit with numbers of seconds.
fn read(compared: &Compared, descriptor: &Descriptor) -> Result<Value, String> {
    let literal = compared.literal.as_str();
    let value_type = descriptor.value_type;
    if compared.quoted && !matches!(value_type, ValueType::Text | ValueType::Choice) {
        return Err(format!("this is a text, the instrument is a {value_type}"));
    }
    let numeric = matches!(value_type, ValueType::I64 | ValueType::U64 | ValueType::F64 | ValueType::Histogram);
    if value_type == ValueType::Histogram {
        // By its count, as everywhere where a histogram has to be one number.
        return parse_float(literal).map(Value::F64).ok_or_else(|| "a histogram is compared by its count: write a number".to_owned());
    }
    let error = match value::parse(literal, value_type, &descriptor.choices) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if numeric {
        if let Some(number) = parse_float(literal) {
            return Ok(Value::F64(number));
        }
        if let (Some(span), Some(unit)) = (parse_duration(literal), seconds(descriptor.unit)) {
            return Ok(Value::F64(span.as_secs_f64() / unit.as_secs_f64()));
        }
    }
    Err(error.to_string())
}

/// How long one of a unit of time is.
fn seconds(unit: Unit) -> Option<Duration> {
    matches!(unit.as_str(), "ns" | "us" | "ms" | "s" | "min" | "h" | "d").then(|| parse_duration(&format!("1{unit}")))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importer::test_data::descriptor;

    fn judge(text: &str, value_type: ValueType, live: Option<Value>) -> Result<Option<bool>, String> {
        let mut descriptor = descriptor("x", value_type);
        descriptor.choices = vec!["fast".into(), "safe".into()];
        descriptor.unit = "ms".parse().unwrap();
        let seen = |i: &Instrument| (i.text == "d.x").then_some(Seen { descriptor: &descriptor, live: live.as_ref() });
        Expression::parse(text).unwrap().evaluate(seen).map_err(|e| e.to_string())
    }

    // spec: SRV-8
    #[test]
    fn what_is_not_live_is_unknown_and_never_makes_a_condition_true() {
        for (text, expect) in [("d.x > 1", None), ("!(d.x > 1)", None), ("d.x > 1 || d.nope == 1", None), ("d.x > 1 && d.x < 0", None)] {
            assert_eq!(judge(text, ValueType::U64, None), Ok(expect), "{text}");
        }
        let five = || Some(Value::U64(5));
        for (text, expect) in [
            ("d.x > 1 && d.nope == 1", None),
            ("d.x > 9 && d.nope == 1", Some(false)),
            ("d.x > 1 || d.nope == 1", Some(true)),
            ("!(d.x > 9)", Some(true)),
            ("d.x > 1 && d.x < 6 && d.x != 4", Some(true)),
            ("d.x > 4.5 && d.x > -3", Some(true)),
            ("d.x < 1s", Some(true)),
        ] {
            assert_eq!(judge(text, ValueType::U64, five()), Ok(expect), "{text}");
        }
    }

    #[test]
    fn a_literal_is_read_by_its_instruments_type() {
        for (text, value, expect) in [
            ("d.x == safe", Value::Choice(1), true),
            ("d.x == \"fast\"", Value::Choice(1), false),
            ("d.x >= 250ms", Value::Duration(250_000_000), true),
            ("d.x", Value::Bool(true), true),
            ("!d.x", Value::Bool(true), false),
            ("d.x == false", Value::Bool(false), true),
            ("d.x == \"a b\"", Value::Text("a b".into()), true),
            ("d.x < 1.5", Value::F64(f64::NAN), false),
            ("d.x != 1.5", Value::F64(f64::NAN), true),
            ("d.x == 18446744073709551615", Value::U64(u64::MAX), true),
            ("d.x == 18446744073709551614", Value::U64(u64::MAX), false),
        ] {
            assert_eq!(judge(text, value.value_type(), Some(value)), Ok(Some(expect)), "{text}");
        }
        for (text, value_type, expect) in [
            ("d.x == slow", ValueType::Choice, "fast, safe"),
            ("d.x > many", ValueType::U64, "whole number"),
            ("d.x", ValueType::U64, "compare it with a value"),
            ("d.x > \"1\"", ValueType::U64, "this is a text"),
        ] {
            let error = judge(text, value_type, None).unwrap_err();
            assert!(error.contains(expect) && error.contains('^'), "{error}");
        }
    }
}
