//! An importer is told once that an outage began, and once that it is over, however often its link or its agent is lost meanwhile.
// spec: OUT-2, OUT-4

use std::collections::BTreeMap;

use tif_core::model::{Key, Outage};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Outages {
    /// Whether it is over.
    told: BTreeMap<(usize, Key), bool>,
}

impl Outages {
    /// That an outage is over may have been told and not been written down: another agent may tell it as one that lasts, and end it again. The importer
    /// knows better.
    pub fn on_agent_start(&mut self) {
        self.told.retain(|_, over| !*over);
    }

    /// An importer is told.
    pub fn on_outage(&mut self, who: usize, outage: &Outage) -> Verdict {
        let over = outage.end.is_some();
        match (self.told.insert((who, outage.key), over), over) {
            (None, false) | (Some(false), true) => Ok(()),
            (before, _) => wrong("outages", format!("process {who} is told of outage {} (over: {over}) after {before:?}", outage.id)),
        }
    }
}
