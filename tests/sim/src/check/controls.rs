//! An accepted change is durable before that is said, each id changes once, and versions grow by one.
// spec: CTL-3, CTL-4

use std::collections::BTreeMap;

use tif_core::agent::io::Record;
use tif_core::model::{Name, RequestId, SetResult, Version};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Controls {
    by_id: BTreeMap<RequestId, Version>,
    versions: BTreeMap<(Name, String), (Version, bool)>,
}

impl Controls {
    /// A write has become durable.
    pub fn on_commit(&mut self, record: &Record) -> Verdict {
        match record {
            Record::Control { control, change } => {
                if let Some(before) = self.by_id.insert(change.request_id.clone(), control.version) {
                    return wrong(
                        "controls",
                        format!("{} was applied twice: as version {before} and {}", change.request_id, control.version),
                    );
                }
                let name = (control.source.clone(), control.name.clone());
                let before = self.versions.insert(name, (control.version, control.memorized)).map_or(Version(0), |(v, _)| v);
                if control.memorized && control.version.0 != before.0 + 1 {
                    return wrong("controls", format!("{} went from version {before} to {}", control.name, control.version));
                }
            }
            Record::Forget { source } => self.versions.retain(|(of, _), (_, memorized)| of != source || *memorized),
            Record::Vote { .. } | Record::Replicated { .. } => {}
            Record::Call(_) | Record::NotCalled(_) => {}
            Record::Process(_) | Record::Term { .. } | Record::Outage { .. } => {}
        }
        Ok(())
    }

    /// The agent says that a change is accepted. `durable`: the version with which the store has it.
    pub fn on_answer(&mut self, result: &SetResult, durable: Option<Version>) -> Verdict {
        if !result.dry_run && durable != Some(result.version) {
            let id = &result.request_id;
            return wrong("controls", format!("{id} is answered as version {}, the store has {durable:?}", result.version));
        }
        Ok(())
    }
}
