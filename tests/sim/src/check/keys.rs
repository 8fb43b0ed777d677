//! A key names one process for ever; a name keeps its number, and its incarnations grow; nobody has a key that is not durable.
// spec: PSM-1, PSM-9

use std::collections::BTreeMap;

use tif_core::model::{Key, Name};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Keys {
    owners: BTreeMap<Key, usize>,
    latest: BTreeMap<Name, Key>,
}

impl Keys {
    /// A process is given a key.
    pub fn on_admit(&mut self, key: Key, who: usize, name: &Name) -> Verdict {
        let owner = *self.owners.entry(key).or_insert(who);
        if owner != who {
            return wrong("keys", format!("{key} was process {owner} and is given to process {who}"));
        }
        match self.latest.insert(name.clone(), key) {
            Some(before) if before != key && (before.proc != key.proc || before.inc >= key.inc) => {
                wrong("keys", format!("{name} was {before} and is now {key}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the store has it.
    pub fn on_durable(&self, key: Key, durable: bool) -> Verdict {
        if durable { Ok(()) } else { wrong("keys", format!("{key} is given out and not durable")) }
    }

    /// Who has or had a key.
    pub fn owner(&self, key: Key) -> Option<usize> {
        self.owners.get(&key).copied()
    }
}
