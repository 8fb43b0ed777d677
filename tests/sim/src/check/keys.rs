//! A key names one process for ever, and a number one name; a name keeps its number, and its incarnations grow. Nobody has a key that is not durable, but
//! for importers while the store cannot be written: their names may be forgotten, their numbers are not given to others.
// spec: PSM-1, PSM-9

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::{Key, Name, ProcId};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Keys {
    owners: BTreeMap<Key, usize>,
    latest: BTreeMap<Name, Key>,
    names: BTreeMap<ProcId, Name>,
    /// Given out while the store could not be written, and not written since.
    volatile: BTreeSet<Key>,
}

impl Keys {
    /// A process is given a key.
    pub fn on_admit(&mut self, key: Key, who: usize, name: &Name) -> Verdict {
        let owner = *self.owners.entry(key).or_insert(who);
        if owner != who {
            return wrong("keys", format!("{key} was process {owner} and is given to process {who}"));
        }
        let named = self.names.entry(key.proc).or_insert_with(|| name.clone());
        if named != name {
            return wrong("keys", format!("the number of {key} was {named}'s and is {name}'s now"));
        }
        let forgotten = |key: &Key| self.volatile.contains(key);
        match self.latest.insert(name.clone(), key) {
            Some(before) if before != key && ((before.proc != key.proc && !forgotten(&before)) || before.inc >= key.inc) => {
                wrong("keys", format!("{name} was {before} and is now {key}"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the store has it; if not, whether it is an importer's of which it could not be told.
    // spec: SEC-3
    pub fn on_durable(&mut self, key: Key, durable: bool, excused: bool) -> Verdict {
        if !durable && excused {
            self.volatile.insert(key);
            return Ok(());
        }
        if durable { Ok(()) } else { wrong("keys", format!("{key} is given out and not durable")) }
    }

    /// The store has it after all.
    pub fn on_commit(&mut self, key: Key) {
        self.volatile.remove(&key);
    }

    /// Who has or had a key.
    pub fn owner(&self, key: Key) -> Option<usize> {
        self.owners.get(&key).copied()
    }
}
