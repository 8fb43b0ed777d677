//! What is answered is what was asked: this value, from the version that was expected, with the validator's consent, and a dry run stays one.
// spec: CTL-3, CTL-5, CTL-9
// I15

use tif_core::model::{SetResult, Value};
use tif_core::wire::ToAgent;

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Admissions;

impl Admissions {
    /// A client gets the answer to its change. `refusable`: what the validator of this control never lets through.
    pub fn on_answer(&self, asked: &ToAgent, result: &SetResult, refusable: fn(&Value) -> bool) -> Verdict {
        let ToAgent::Set { value, admission, .. } = asked else { return Ok(()) };
        let said = |problem: &str| wrong("admissions", format!("{asked:?} is answered with {result:?}: {problem}"));
        if !matches!(&result.new, Value::U64(new) if new.to_string() == *value) {
            return said("another value was asked for");
        }
        if result.name.contains(".limit") && refusable(&result.new) {
            return said("the validator refuses it");
        }
        // The recorded answer is that of the first request under this id.
        if result.repeated {
            return Ok(());
        }
        if result.dry_run != admission.dry_run {
            return said("a dry run is one, and nothing else is");
        }
        match admission.if_version {
            Some(expected) if !result.dry_run && result.version.0 != expected.0 + 1 => said("another version was expected"),
            _ => Ok(()),
        }
    }
}
