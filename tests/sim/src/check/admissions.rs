//! What is answered is what was asked: this value, from the version that was expected, with the validator's consent, and a dry run stays one.
// spec: CTL-3, CTL-5, CTL-6, CTL-9
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
        let ToAgent::Set { settings, admission, .. } = asked else { return Ok(()) };
        let said = |problem: &str| wrong("admissions", format!("{asked:?} is answered with {result:?}: {problem}"));
        if settings.len() != result.changed.len() {
            return said("all of a step are changed, or none");
        }
        for (setting, changed) in settings.iter().zip(&result.changed) {
            if !matches!(&changed.new, Value::U64(new) if new.to_string() == setting.value) {
                return said("another value was asked for");
            }
            if changed.name.contains(".limit") && refusable(&changed.new) {
                return said("the validator refuses it");
            }
        }
        // The recorded answer is that of the first request under this id.
        if result.repeated {
            return Ok(());
        }
        if result.dry_run != admission.dry_run {
            return said("a dry run is one, and nothing else is");
        }
        for (setting, changed) in settings.iter().zip(&result.changed) {
            if setting.if_version.is_some_and(|expected| !result.dry_run && changed.version.0 != expected.0 + 1) {
                return said("another version was expected");
            }
        }
        Ok(())
    }
}
