//! Changes of controls, calls and armings, as they travel.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::id::{RequestId, Version};
use super::value::Value;

/// A value as the requester wrote it. The home agent reads it by the instrument's type.
pub type Literal = String;

/// What one control is to be, of those that are changed in one step.
// spec: CTL-5, CTL-6
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// Which control.
    pub name: String,
    /// To what.
    pub value: Literal,
    /// Only if it is at this version.
    pub if_version: Option<Version>,
}

impl Setting {
    /// Whatever its version is.
    pub fn new(name: impl Into<String>, value: impl Into<Literal>) -> Setting {
        Setting { name: name.into(), value: value.into(), if_version: None }
    }
}

/// What became of one control of a change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// The control's full address.
    pub name: String,
    /// The value before.
    pub old: Value,
    /// The value now.
    pub new: Value,
    /// The names of its choices, so that both can be shown.
    pub choices: Vec<String>,
    /// The control's version with this change.
    pub version: Version,
}

/// What became of a change. Also what a repetition of its request id is answered.
// spec: CTL-3, CTL-6
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SetResult {
    /// The requester's id.
    pub request_id: RequestId,
    /// Its controls, in the order in which they were given: all of them, or it was refused.
    pub changed: Vec<Changed>,
    /// Whether a standby's agent on another CPU has it, too.
    pub replicated: bool,
    /// Whether the service has said that it runs with it. If not, it is accepted and durable, and the service will.
    pub applied: bool,
    /// Only checked, nothing changed.
    pub dry_run: bool,
    /// This is the recorded answer to an earlier request of the same id.
    pub repeated: bool,
}

/// What an armed in-path test point does to code that passes.
// spec: TST-1
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultAction {
    /// Counts only.
    Count,
    /// Captures the declared fields.
    Record,
    /// Sleeps.
    Delay(Duration),
    /// Gives the caller the declared error.
    Fail,
    /// Panics.
    Panic,
    /// Waits until disarmed or expired.
    Pause,
}

impl fmt::Display for FaultAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FaultAction::Count => f.write_str("count"),
            FaultAction::Record => f.write_str("record"),
            FaultAction::Delay(d) => write!(f, "delay={d:?}"),
            FaultAction::Fail => f.write_str("fail"),
            FaultAction::Panic => f.write_str("panic"),
            FaultAction::Pause => f.write_str("pause"),
        }
    }
}

/// How a comparison in a predicate compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Longest first, so that `<=` is not read as `<`.
    pub const ALL: [(&'static str, Comparison); 6] = [
        ("==", Comparison::Equal),
        ("!=", Comparison::NotEqual),
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
    ];

    /// Whether `a` compares so to `b`. Values of different types never do; NaN only is not equal.
    pub fn holds(self, a: &Value, b: &Value) -> bool {
        use std::cmp::Ordering;
        let order = match (a, b) {
            (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Value::U64(a), Value::U64(b)) => Some(a.cmp(b)),
            (Value::I64(a), Value::I64(b)) => Some(a.cmp(b)),
            _ => match (a.as_f64(), b.as_f64()) {
                (Some(a), Some(b)) => a.partial_cmp(&b),
                _ => None,
            },
        };
        match self {
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::NotEqual => order != Some(Ordering::Equal),
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::LessOrEqual => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Greater => order == Some(Ordering::Greater),
            Comparison::GreaterOrEqual => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

/// One condition on a declared field: `size>4096`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// The field.
    pub field: String,
    /// How it is compared.
    pub comparison: Comparison,
    /// With what, as written; read by the field's type.
    pub literal: Literal,
}

impl std::str::FromStr for Condition {
    type Err = String;
    fn from_str(text: &str) -> Result<Condition, String> {
        for (sign, comparison) in Comparison::ALL {
            if let Some((field, literal)) = text.split_once(sign) {
                let (field, literal) = (field.trim(), literal.trim());
                if field.is_empty() || literal.is_empty() {
                    break;
                }
                return Ok(Condition { field: field.to_owned(), comparison, literal: literal.to_owned() });
            }
        }
        Err(format!("{text:?} is not a condition: write field, one of == != <= >= < >, and a value, as size>4096"))
    }
}

/// How a test point is armed.
// spec: TST-1, TST-5
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Arming {
    /// What it does.
    pub action: FaultAction,
    /// To which share of the passes, 0 to 1.
    pub probability: f64,
    /// It disarms itself after this many hits.
    pub hits_max: Option<u64>,
    /// It disarms itself after this time. There is always one.
    pub expires_after: Duration,
    /// Only passes that fulfil all of these.
    pub conditions: Vec<Condition>,
    /// It stays armed when the session that armed it ends.
    pub outlives_session: bool,
}
