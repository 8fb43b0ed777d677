//! An accepted change is durable before that is said, each id changes once, and versions grow by one.
// spec: CTL-3, CTL-4, CTL-6

use std::collections::BTreeMap;

use tif_core::agent::io::Record;
use tif_core::machine::book::Entry;
use tif_core::model::{Name, RequestId, SetResult, Version};

use super::{Verdict, wrong};

/// The versions that a change gave its controls.
pub fn versions_of(result: &SetResult) -> Vec<Version> {
    result.changed.iter().map(|changed| changed.version).collect()
}

/// See the module.
#[derive(Debug, Default)]
pub struct Controls {
    by_id: BTreeMap<RequestId, Vec<Version>>,
    versions: BTreeMap<(Name, String), (Version, bool)>,
}

impl Controls {
    /// A write has become durable.
    pub fn on_commit(&mut self, record: &Record) -> Verdict {
        match record {
            Record::Change(Entry { controls, change }) => {
                let versions = versions_of(&change.result);
                if let Some(before) = self.by_id.insert(change.request_id.clone(), versions.clone()) {
                    let id = &change.request_id;
                    return wrong("controls", format!("{id} was applied twice: as version {before:?} and {versions:?}"));
                }
                if controls.len() != versions.len() {
                    let what = format!("of {} {} controls are written and {} told", change.request_id, controls.len(), versions.len());
                    return wrong("controls", what);
                }
                for control in controls {
                    let name = (control.source.clone(), control.name.clone());
                    let before = self.versions.insert(name, (control.version, control.memorized)).map_or(Version(0), |(v, _)| v);
                    if control.memorized && control.version.0 != before.0 + 1 {
                        return wrong("controls", format!("{} went from version {before} to {}", control.name, control.version));
                    }
                }
            }
            Record::Forget { source, but } => {
                self.versions.retain(|(of, name), (_, memorized)| of != source || *memorized || but.contains(name));
            }
            Record::Vote { .. } | Record::Replicated { .. } => {}
            Record::Call(_) | Record::NotCalled(_) => {}
            Record::Process(_) | Record::Term { .. } | Record::Outage { .. } => {}
        }
        Ok(())
    }

    /// The agent says that a change is accepted. `durable`: the versions with which the store has its controls.
    pub fn on_answer(&mut self, result: &SetResult, durable: Option<Vec<Version>>) -> Verdict {
        let told = versions_of(result);
        if !result.dry_run && durable.as_ref() != Some(&told) {
            let id = &result.request_id;
            return wrong("controls", format!("{id} is answered as version {told:?}, the store has {durable:?}"));
        }
        Ok(())
    }
}
