//! Units of measure, in the words of UCUM as far as services need them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Every unit that a declaration may name, with what it means. The macro refuses others at compile time.
// spec: EXP-5, INS-4
pub const KNOWN: &[(&str, &str)] = &[
    ("1", "a plain number"),
    ("%", "per cent"),
    ("ns", "nanoseconds"),
    ("us", "microseconds"),
    ("ms", "milliseconds"),
    ("s", "seconds"),
    ("min", "minutes"),
    ("h", "hours"),
    ("d", "days"),
    ("By", "bytes"),
    ("kBy", "1000 bytes"),
    ("MBy", "1000 kBy"),
    ("GBy", "1000 MBy"),
    ("KiBy", "1024 bytes"),
    ("MiBy", "1024 KiBy"),
    ("GiBy", "1024 MiBy"),
    ("bit", "bits"),
    ("By/s", "bytes per second"),
    ("MiBy/s", "mebibytes per second"),
    ("1/s", "per second"),
    ("Hz", "hertz"),
    ("Cel", "degrees Celsius"),
    ("K", "kelvin"),
    ("V", "volts"),
    ("A", "amperes"),
    ("W", "watts"),
    ("J", "joules"),
    ("m", "metres"),
    ("m/s", "metres per second"),
    ("g", "grams"),
    ("Pa", "pascals"),
    ("deg", "degrees of angle"),
];

/// A unit of [`KNOWN`]: its index there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Unit(u8);

impl Unit {
    /// A plain number.
    pub const ONE: Unit = Unit(0);

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        KNOWN[self.0 as usize].0
    }
}

/// A unit that is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{got}` is not a known unit; known are {}", KNOWN.iter().map(|(u, _)| *u).collect::<Vec<_>>().join(" "))]
pub struct UnitError {
    /// What was given.
    pub got: String,
}

impl FromStr for Unit {
    type Err = UnitError;
    fn from_str(text: &str) -> Result<Unit, UnitError> {
        match KNOWN.iter().position(|(unit, _)| *unit == text) {
            Some(index) => Ok(Unit(index as u8)),
            None => Err(UnitError { got: text.chars().take(32).collect() }),
        }
    }
}

impl TryFrom<String> for Unit {
    type Error = UnitError;
    fn try_from(text: String) -> Result<Unit, UnitError> {
        text.parse()
    }
}

impl From<Unit> for String {
    fn from(unit: Unit) -> String {
        unit.as_str().to_owned()
    }
}

impl fmt::Display for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Unit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Unit({})", self.as_str())
    }
}
