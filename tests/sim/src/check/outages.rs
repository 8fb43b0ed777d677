//! An importer is told once that an outage began, and once that it is over.
// spec: OUT-2, OUT-4

use std::collections::BTreeMap;

use tif_core::model::{Outage, OutageId};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Outages {
    /// Whether it is over.
    told: BTreeMap<(usize, OutageId), bool>,
}

impl Outages {
    /// The importer begins anew.
    pub fn on_link_lost(&mut self, who: usize) {
        self.told.retain(|(of, _), _| *of != who);
    }

    /// An importer is told.
    pub fn on_outage(&mut self, who: usize, outage: &Outage) -> Verdict {
        let over = outage.end.is_some();
        match (self.told.insert((who, outage.id), over), over) {
            (None, false) | (Some(false), true) => Ok(()),
            (before, _) => wrong("outages", format!("process {who} is told of outage {} (over: {over}) after {before:?}", outage.id)),
        }
    }
}
