//! What a test point captures of a pass, and what its caller gets when it is armed to fail.

use std::time::Duration;

use tif_core::model::{Argument, Number, Value, ValueType};

use crate::Shown;
use crate::value::cut;

/// What a test point captures of each pass. Derive it on a struct: `#[derive(tif::Record)]`; `()` captures nothing.
pub trait Record: 'static {
    /// What the caller gets when the point is armed to fail.
    type Error: From<Injected>;
    /// The fields.
    fn fields() -> Vec<Argument>;
    /// Their values, in the same order.
    fn values(&self) -> Vec<Value>;
}

impl Record for () {
    type Error = Injected;
    fn fields() -> Vec<Argument> {
        Vec::new()
    }
    fn values(&self) -> Vec<Value> {
        Vec::new()
    }
}

/// The error of a test point that is armed to fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("injected at test point {point}")]
pub struct Injected {
    /// The point's full name.
    pub point: String,
}

/// A field that can be captured: any type of values, and static texts.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a field of type `{Self}` cannot be captured",
    note = "fields of a record are bool, i32, u32, i64, u64, f64, String, &'static str, Duration, or an enum with #[derive(tif::Choice)]"
)]
pub trait Captured {
    const TYPE: ValueType;
    const RANGE: Option<(Number, Number)> = None;
    fn choices() -> Vec<String>;
    fn capture(&self) -> Value;
}

impl<T: Shown> Captured for T {
    const TYPE: ValueType = T::TYPE;
    const RANGE: Option<(Number, Number)> = T::RANGE;
    fn choices() -> Vec<String> {
        T::choices()
    }
    fn capture(&self) -> Value {
        self.to_value()
    }
}

impl Captured for &'static str {
    const TYPE: ValueType = ValueType::Text;
    fn choices() -> Vec<String> {
        Vec::new()
    }
    fn capture(&self) -> Value {
        Value::Text(cut(self, tif_core::limits::TEXT_LEN_MAX).to_owned())
    }
}

/// A captured record as one line: `size=4096 urgent=true`.
pub(crate) fn line(fields: &[Argument], values: &[Value]) -> String {
    let mut line = String::new();
    for (field, value) in fields.iter().zip(values) {
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&field.name);
        line.push('=');
        line.push_str(&value.show(&field.choices).to_string());
    }
    line.truncate(cut(&line, tif_core::limits::TEXT_LEN_MAX).len());
    line
}

/// The time of the facility's own clock in this process.
pub(crate) fn now() -> tif_core::model::Time {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    tif_core::model::Time::ZERO + START.get_or_init(Instant::now).elapsed() + Duration::from_nanos(1)
}
