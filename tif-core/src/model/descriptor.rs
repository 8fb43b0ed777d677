//! What is declared of an instrument.
// spec: INS-4

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alarm::Limits;
use super::name::Name;
use super::number::Number;
use super::significance::Significance;
use super::unit::Unit;
use super::value::{self, Value, ValueType};
use crate::limits;

/// Which kind of instrument it is.
// spec: INS-1, INS-2
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    /// Shows a value that only grows.
    Counter,
    /// Shows a value that goes up and down.
    Gauge,
    /// Shows a value that a procedure yields on request, and every so often while somebody watches.
    Dynamic {
        /// How often while watched.
        every: Duration,
    },
    /// Shows a distribution.
    Histogram,
    /// Shows a value and lets it be changed from outside.
    Control {
        /// Restored by the agent when the service restarts.
        memorized: bool,
        /// The service has a validator of its own, to be asked before a change is admitted.
        validated: bool,
    },
    /// Logic at a selected point of the service.
    TestPoint(TestPointKind),
}

impl Kind {
    /// Its word in listings: `counter`, `gauge`, `dynamic`, `histogram`, `control`, `test_point` or `procedure`.
    pub fn word(&self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Dynamic { .. } => "dynamic",
            Kind::Histogram => "histogram",
            Kind::Control { .. } => "control",
            Kind::TestPoint(TestPointKind::InPath { .. }) => "test_point",
            Kind::TestPoint(TestPointKind::Procedure { .. }) => "procedure",
        }
    }
}

/// The two sorts of test point.
// spec: TST-1, TST-2
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum TestPointKind {
    /// Code passes it; it can be armed.
    InPath {
        /// What is captured of each pass, and may be named in a predicate.
        fields: Vec<Argument>,
    },
    /// It can be called.
    Procedure {
        /// What it takes.
        arguments: Vec<Argument>,
        /// What it answers, in words for the listing: `u64`, `Result<u64, FlushError>`.
        returns: String,
        /// How long it may take.
        timeout: Duration,
        /// Whether calling it twice is the same as calling it once.
        idempotent: bool,
    },
}

/// One typed argument of a procedure or field of a record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type.
    pub value_type: ValueType,
    /// The choices, for a choice.
    #[serde(default)]
    pub choices: Vec<String>,
    /// The least and the greatest value allowed, both included: what the type of the service's own takes.
    #[serde(default)]
    pub range: Option<(Number, Number)>,
}

impl Argument {
    /// Reads a value for this argument and checks type, choices and range.
    ///
    /// # Errors
    /// With the first thing that is wrong and what would be right.
    // spec: TST-2
    pub fn admit(&self, literal: &str) -> Result<Value, Unfit> {
        let value = value::parse(literal, self.value_type, &self.choices).map_err(Unfit::Type)?;
        within(&value, self.range, Unit::ONE, literal)?;
        Ok(value)
    }
}

/// Where in the source it was declared.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Declared {
    /// The crate.
    #[serde(rename = "crate")]
    pub crate_name: String,
    /// Its version.
    pub version: String,
    /// The file.
    pub file: String,
    /// The line in it.
    pub line: u32,
}

/// Everything declared of one instrument. Stands, MessagePack-encoded with field names, in the exporter's segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its path below the service: `queue.depth`.
    pub path: Name,
    /// What it tells, in a sentence or two.
    pub help: String,
    /// Which kind it is.
    pub kind: Kind,
    /// The type of its value.
    #[serde(rename = "type")]
    pub value_type: ValueType,
    /// The unit of its value.
    pub unit: Unit,
    /// The least and the greatest value allowed, both included, in the unit.
    #[serde(default)]
    pub range: Option<(Number, Number)>,
    /// Values are the range's start (or 0) plus whole multiples of this.
    #[serde(default)]
    pub step: Option<Number>,
    /// A control's value before anybody changed it.
    #[serde(default)]
    pub default: Option<Value>,
    /// The names of a choice's values.
    #[serde(default)]
    pub choices: Vec<String>,
    /// Which changes are worth sending.
    #[serde(default)]
    pub significance: Significance,
    /// Alarm limits.
    #[serde(default)]
    pub limits: Limits,
    /// Of a histogram: what one recorded step is in the unit.
    #[serde(default = "one")]
    pub scale: f64,
    /// The keys of its dimensions.
    #[serde(default)]
    pub dimensions: Vec<String>,
    /// Who may change it; empty: whoever the agent's policy lets.
    #[serde(default)]
    pub writers: Vec<String>,
    /// Where it was declared.
    #[serde(default)]
    pub declared: Declared,
}

fn one() -> f64 {
    1.0
}

/// Why a value is not one that a control may have.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Unfit {
    /// It is not of the type.
    #[error("wrong type: {0}")]
    Type(value::ParseError),
    /// It is out of the range.
    #[error("{got} is out of range: allowed are {min} to {max}{unit}")]
    Range {
        /// What was given.
        got: String,
        /// The least allowed.
        min: Number,
        /// The greatest allowed.
        max: Number,
        /// The unit, with a space before it; empty for plain numbers.
        unit: String,
    },
    /// It is between two steps.
    #[error("{got} is between two steps: allowed are multiples of {step} from {from}; {nearest}")]
    Step {
        /// What was given.
        got: String,
        /// The step.
        step: Number,
        /// Where the steps start.
        from: Number,
        /// The nearest allowed values, in words.
        nearest: String,
    },
}

impl Descriptor {
    /// Of this path, kind and type, and nothing else declared: a plain number without help, limits or default, where any change is significant.
    pub fn bare(path: Name, kind: Kind, value_type: ValueType) -> Descriptor {
        Descriptor {
            path,
            help: String::new(),
            kind,
            value_type,
            unit: Unit::ONE,
            range: None,
            step: None,
            default: None,
            choices: Vec::new(),
            significance: Significance::ANY,
            limits: Limits::default(),
            scale: 1.0,
            dimensions: Vec::new(),
            writers: Vec::new(),
            declared: Declared::default(),
        }
    }

    /// Reads a value for this instrument and checks type, range, step and choices.
    ///
    /// # Errors
    /// With the first thing that is wrong and what would be right.
    // spec: CTL-1
    pub fn admit(&self, literal: &str) -> Result<Value, Unfit> {
        let value = value::parse(literal, self.value_type, &self.choices).map_err(Unfit::Type)?;
        self.check(&value, literal)?;
        Ok(value)
    }

    /// Range and step of a value that has the right type.
    ///
    /// # Errors
    /// With what would be right.
    pub fn check(&self, value: &Value, shown: &str) -> Result<(), Unfit> {
        within(value, self.range, self.unit, shown)?;
        let (Some(step), Some(number)) = (self.step, Number::of(value)) else { return Ok(()) };
        let from = self.range.map_or(Number::Whole(0), |(min, _)| min);
        let Some((below, above)) = number.off_step(from, step) else { return Ok(()) };
        let nearest = match self.range {
            Some((_, max)) if !above.at_most(max) => format!("the nearest is {below}"),
            _ => format!("the nearest are {below} and {above}"),
        };
        Err(Unfit::Step { got: cut(shown), step, from, nearest })
    }

    /// Whether the bounds of [`limits`] hold and the parts fit one another. A declaration in a segment is a stranger's.
    ///
    /// # Errors
    /// With what is wrong with it.
    // spec: EXP-7, SEC-2
    pub fn verify(&self) -> Result<(), String> {
        let count = |what: &str, got: usize, max: usize| {
            if got > max { Err(format!("{got} {what}; at most {max} are allowed")) } else { Ok(()) }
        };
        count("bytes of help", self.help.len(), 4096)?;
        count("choices", self.choices.len(), limits::CHOICES_MAX)?;
        count("dimensions", self.dimensions.len(), limits::DIMENSIONS_MAX)?;
        count("writers", self.writers.len(), 64)?;
        if self.choices.iter().chain(&self.dimensions).chain(&self.writers).any(|s| s.is_empty() || s.len() > 64) {
            return Err("a choice, dimension or writer is empty or longer than 64 bytes".into());
        }
        if self.value_type == ValueType::Choice && self.choices.is_empty() {
            return Err("a choice without choices".into());
        }
        if matches!(self.kind, Kind::Histogram) != (self.value_type == ValueType::Histogram) {
            return Err("a histogram must be of type histogram, and nothing else may be".into());
        }
        if matches!(self.kind, Kind::Counter) && self.value_type != ValueType::U64 {
            return Err("a counter must be of type u64".into());
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err("the scale must be a positive number".into());
        }
        if self.range.is_some_and(|(min, max)| !min.at_most(max))
            || self.step.map(Number::as_f64).is_some_and(|s| !(s.is_finite() && s > 0.0))
        {
            return Err("the range is empty or the step is not a positive number".into());
        }
        let arguments = match &self.kind {
            Kind::TestPoint(TestPointKind::InPath { fields }) => fields,
            Kind::TestPoint(TestPointKind::Procedure { arguments, timeout, returns, .. }) => {
                if timeout.is_zero() || *timeout > limits::PROCEDURE_TIMEOUT_MAX || returns.len() > 256 {
                    return Err("a procedure's time limit or result type is out of bounds".into());
                }
                arguments
            }
            Kind::Control { .. } => {
                let Some(default) = &self.default else { return Err("a control without a default".into()) };
                if default.value_type() != self.value_type {
                    return Err("the default has another type than the control".into());
                }
                return self.check(default, "the default").map_err(|e| e.to_string());
            }
            Kind::Dynamic { every } if every.as_millis() < 10 => return Err("a dynamic indicator more often than every 10 ms".into()),
            _ => return Ok(()),
        };
        count("arguments or fields", arguments.len(), limits::ARGUMENTS_MAX)?;
        if arguments.iter().any(|a| a.name.len() > 64 || a.choices.len() > limits::CHOICES_MAX || a.choices.iter().any(|c| c.len() > 64)) {
            return Err("an argument's name or choices are too long".into());
        }
        if arguments.iter().any(|a| a.range.is_some_and(|(min, max)| !min.at_most(max))) {
            return Err("an argument's range is empty".into());
        }
        Ok(())
    }

    /// Whether it can be changed from outside.
    pub fn is_control(&self) -> bool {
        matches!(self.kind, Kind::Control { .. })
    }
}

/// Whether a value is in the range.
fn within(value: &Value, range: Option<(Number, Number)>, unit: Unit, shown: &str) -> Result<(), Unfit> {
    let (Some((min, max)), Some(number)) = (range, Number::of(value)) else { return Ok(()) };
    if min.at_most(number) && number.at_most(max) {
        return Ok(());
    }
    let unit = if unit == Unit::ONE { String::new() } else { format!(" {unit}") };
    Err(Unfit::Range { got: cut(shown), min, max, unit })
}

/// What was given, as far as it is told back.
fn cut(shown: &str) -> String {
    shown.chars().take(64).collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A control of whole numbers from 1 to 4096, in steps of `step`.
    pub(crate) fn control(step: Option<i128>) -> Descriptor {
        Descriptor {
            help: "Orders in one batch.".into(),
            range: Some((Number::Whole(1), Number::Whole(4096))),
            step: step.map(Number::Whole),
            default: Some(Value::U64(64)),
            ..Descriptor::bare("batch".parse().unwrap(), Kind::Control { memorized: true, validated: false }, ValueType::U64)
        }
    }

    // spec: CTL-1
    #[test]
    fn a_value_must_fit_type_range_and_step_and_a_refusal_says_which() {
        let check = |step, text: &str, expect: Result<u64, &str>| match (control(step).admit(text), expect) {
            (Ok(value), Ok(expect)) => assert_eq!(value, Value::U64(expect)),
            (Err(e), Err(expect)) => assert!(e.to_string().contains(expect), "{e}"),
            (got, expect) => panic!("{text}: {got:?} instead of {expect:?}"),
        };
        check(None, "4096", Ok(4096));
        check(None, "4097", Err("allowed are 1 to 4096"));
        check(None, "0", Err("allowed are 1 to 4096"));
        check(None, "many", Err("a whole number"));
        check(Some(5), "11", Ok(11));
        check(Some(5), "12", Err("nearest are 11 and 16"));
        check(Some(100), "4096", Err("the nearest is 4001"));
    }

    // spec: CTL-1
    #[test]
    fn bounds_of_whole_numbers_are_exact() {
        let most = (1u64 << 53) + 1;
        let descriptor = Descriptor { range: Some((Number::Whole(0), Number::Whole(most.into()))), ..control(None) };
        assert_eq!(descriptor.admit(&most.to_string()).unwrap(), Value::U64(most));
        let refused = descriptor.admit(&(most + 1).to_string()).unwrap_err().to_string();
        assert!(refused.ends_with("allowed are 0 to 9007199254740993"), "{refused}");
    }

    // spec: TST-2
    #[test]
    fn an_argument_is_one_that_its_type_can_hold() {
        let range = Some((Number::Whole(0), Number::Whole(u32::MAX.into())));
        let argument = Argument { name: "limit".into(), value_type: ValueType::U64, choices: Vec::new(), range };
        assert_eq!(argument.admit("4294967295").unwrap(), Value::U64(u32::MAX.into()));
        let refused = argument.admit("4294967296").unwrap_err().to_string();
        assert_eq!(refused, "4294967296 is out of range: allowed are 0 to 4294967295");
    }

    // spec: EXP-7
    #[test]
    fn a_strangers_descriptor_is_checked_before_it_is_believed() {
        assert_eq!(control(None).verify(), Ok(()));
        let breaks: [fn(&mut Descriptor); 7] = [
            |d| d.default = None,
            |d| d.default = Some(Value::Bool(true)),
            |d| d.default = Some(Value::U64(0)),
            |d| d.scale = f64::NAN,
            |d| d.range = Some((Number::Float(f64::NAN), Number::Float(1.0))),
            |d| d.choices = vec!["x".into(); 65],
            |d| d.value_type = ValueType::Histogram,
        ];
        for (i, break_it) in breaks.iter().enumerate() {
            let mut descriptor = control(None);
            break_it(&mut descriptor);
            assert!(descriptor.verify().is_err(), "defect {i} must be seen");
        }
    }
}
