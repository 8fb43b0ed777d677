//! What can be the value of an instrument, an argument or a captured field.
// spec: INS-3

mod cell;
mod choice;

use std::time::Duration;

use tif_core::limits;
use tif_core::model::{Number, Value, ValueType};

use crate::segment::{ScalarCell, WideCell};
pub use cell::Cell;
pub use choice::Choice;

/// A type whose values instruments can show: `bool`, `i32`, `u32`, `i64`, `u64`, `f64`, `String`, `Duration`, and enums with
/// `#[derive(tif::Choice)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of an instrument",
    label = "not a type of values",
    note = "values are bool, i32, u32, i64, u64, f64, String, Duration, or an enum with #[derive(tif::Choice)]"
)]
pub trait Shown: Clone + Send + Sync + 'static {
    /// Its type in descriptors and on the wire.
    const TYPE: ValueType;
    /// The least and the greatest value that it can hold, if these are not those of [`Shown::TYPE`].
    const RANGE: Option<(Number, Number)> = None;
    /// Where such a value lies in the segment.
    type Cell: Cell<Self> + Clone;
    /// The names of a choice's values; none for other types.
    fn choices() -> Vec<String> {
        Vec::new()
    }
    /// As it travels.
    fn to_value(&self) -> Value;
    /// From what has come; none if it is of another type or does not fit.
    fn from_value(value: &Value) -> Option<Self>;
}

/// A value of 64 bits: everything but texts.
pub trait Scalar: Shown<Cell = ScalarCell> + Copy {
    /// As it stands in the segment.
    fn to_bits(self) -> u64;
    /// The reverse, for bits that [`Scalar::to_bits`] has made.
    fn from_bits(bits: u64) -> Self;
}

macro_rules! scalar {
    ($ty:ty, $type:ident, $value:ident($to:expr, $from:expr), $to_bits:expr, $from_bits:expr $(, $range:expr)?) => {
        impl Shown for $ty {
            const TYPE: ValueType = ValueType::$type;
            $(const RANGE: Option<(Number, Number)> = Some($range);)?
            type Cell = ScalarCell;
            fn to_value(&self) -> Value {
                Value::$value($to(*self))
            }
            fn from_value(value: &Value) -> Option<Self> {
                match value {
                    Value::$value(v) => $from(*v),
                    _ => None,
                }
            }
        }
        impl Scalar for $ty {
            #[inline]
            fn to_bits(self) -> u64 {
                $to_bits(self)
            }
            #[inline]
            fn from_bits(bits: u64) -> Self {
                $from_bits(bits)
            }
        }
    };
}

scalar!(bool, Bool, Bool(|v| v, Some), u64::from, |bits| bits != 0);
scalar!(i64, I64, I64(|v| v, Some), |v| v as u64, |bits| bits as i64);
scalar!(u64, U64, U64(|v| v, Some), |v| v, |bits| bits);
scalar!(
    i32,
    I64,
    I64(i64::from, |v| i32::try_from(v).ok()),
    |v| i64::from(v) as u64,
    |bits| bits as i32,
    (Number::Whole(i32::MIN as i128), Number::Whole(i32::MAX as i128))
);
scalar!(
    u32,
    U64,
    U64(u64::from, |v| u32::try_from(v).ok()),
    u64::from,
    |bits| bits as u32,
    (Number::Whole(0), Number::Whole(u32::MAX as i128))
);
scalar!(f64, F64, F64(|v| v, Some), f64::to_bits, f64::from_bits);
scalar!(Duration, Duration, Duration(nanoseconds, |v| Some(Duration::from_nanos(v))), nanoseconds, Duration::from_nanos);

/// A duration as it is kept: nanoseconds, at most 584 years of them.
#[inline]
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    // Not u64::try_from(as_nanos()): that divides 128 bits.
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(duration.subsec_nanos()))
}

impl Shown for String {
    const TYPE: ValueType = ValueType::Text;
    type Cell = WideCell;
    fn to_value(&self) -> Value {
        Value::Text(cut(self, limits::TEXT_LEN_MAX).to_owned())
    }
    fn from_value(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

/// At most the first `max` bytes, whole characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: Scalar + PartialEq + std::fmt::Debug>(value: T) {
        assert_eq!(T::from_bits(value.to_bits()), value);
        assert_eq!(T::from_value(&value.to_value()), Some(value));
        assert_eq!(value.to_value().to_bits(), Some(value.to_bits()), "the agent reads the same bits: {value:?}");
    }

    // spec: INS-3
    #[test]
    fn bits_values_and_types_are_the_same_thing_to_the_agent() {
        check(true);
        check(-5i64);
        check(u64::MAX);
        check(i32::MIN);
        check(u32::MAX);
        check(-0.5f64);
        check(Duration::from_micros(1_500_001));
        assert_eq!(u32::from_value(&Value::U64(1 << 40)), None);
    }

    #[test]
    fn a_text_is_cut_between_characters() {
        let long = "é".repeat(200);
        let Value::Text(text) = long.to_value() else { panic!("not a text") };
        assert_eq!(text.len(), 254);
    }
}
