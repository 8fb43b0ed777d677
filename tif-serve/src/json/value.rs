//! Values as JSON.

use serde_json::{Value as Json, json};
use tif_core::model::histogram::bounds_of;
use tif_core::model::{Number, Value};

/// A value as the module's table says; `choices` are the names of a choice's values.
// spec: INS-3
pub fn value(value: &Value, choices: &[String]) -> Json {
    match value {
        Value::Bool(v) => json!(v),
        Value::I64(v) => json!(v),
        Value::U64(v) => json!(v),
        Value::F64(v) => number(*v),
        Value::Text(v) => json!(v),
        Value::Choice(_) => json!(value.show(choices).to_string()),
        Value::Duration(ns) => number(*ns as f64 / 1e9),
        Value::Histogram(h) => json!({
            "count": h.count,
            "sum": number(h.sum as f64 * h.scale),
            "mean": h.mean().map(number),
            "p50": h.quantile(0.5).map(number),
            "p90": h.quantile(0.9).map(number),
            "p99": h.quantile(0.99).map(number),
            "max_bucket": h.buckets.last().map(|(index, _)| number(bounds_of(usize::from(*index)).1 as f64 * h.scale)),
        }),
    }
}

/// A float; JSON has no word for those that are not finite, so a string has to do.
pub(super) fn number(v: f64) -> Json {
    match serde_json::Number::from_f64(v) {
        Some(number) => Json::Number(number),
        None if v.is_nan() => json!("NaN"),
        None if v > 0.0 => json!("inf"),
        None => json!("-inf"),
    }
}

/// A bound of a declaration: whole numbers as such.
pub(super) fn bound(v: Number) -> Json {
    match v {
        Number::Float(v) => number(v),
        Number::Whole(_) => json!(v),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tif_core::model::histogram::Histogram;

    // spec: INS-3, SRV-3
    #[test]
    fn every_type_has_its_json() {
        let choices = ["fast".to_owned()];
        let check = |v: Value, expect: Json| assert_eq!(value(&v, &choices), expect);
        check(Value::Bool(true), json!(true));
        check(Value::I64(-5), json!(-5));
        check(Value::U64(u64::MAX), json!(18_446_744_073_709_551_615u64));
        check(Value::F64(0.5), json!(0.5));
        check(Value::F64(f64::NAN), json!("NaN"));
        check(Value::F64(f64::NEG_INFINITY), json!("-inf"));
        check(Value::Text("a\"b".into()), json!("a\"b"));
        check(Value::Choice(0), json!("fast"));
        check(Value::Choice(9), json!("?9"));
        check(Value::Duration(250_000_000), json!(0.25));
        let empty = value(&Value::Histogram(Box::default()), &[]);
        assert_eq!((&empty["count"], &empty["p99"]), (&json!(0), &Json::Null));
        let some = Histogram { scale: 1.0, count: 2, sum: 30, buckets: vec![(10, 1), (20, 1)] };
        let some = value(&Value::Histogram(Box::new(some)), &[]);
        assert_eq!((&some["mean"], &some["p50"], &some["max_bucket"]), (&json!(15.0), &json!(10.0), &json!(21.0)));
    }
}
