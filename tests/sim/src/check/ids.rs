//! An instrument's number is never used for another name within an agent's life.

use std::collections::BTreeMap;

use tif_core::model::{InstrumentId, Key};
use tif_core::wire::Announced;

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Ids {
    /// By the agent that gave the number out.
    names: BTreeMap<(Key, InstrumentId), String>,
}

impl Ids {
    /// An importer is told what numbers mean.
    pub fn on_announced(&mut self, agent: Key, announced: &Announced) -> Verdict {
        for a in &announced.instruments {
            let name = format!("{}{}@{}", a.name, a.dims, a.source);
            let before = self.names.entry((agent, a.instrument)).or_insert_with(|| name.clone());
            if *before != name {
                return wrong("ids", format!("instrument {} was {before} and is {name}", a.instrument));
            }
        }
        Ok(())
    }
}
