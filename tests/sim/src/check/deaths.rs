//! Nobody is told of the death of a process that lives.
// spec: PSM-10

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Key, Notice};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Deaths {
    known: BTreeSet<Key>,
    at: BTreeMap<Key, u64>,
    told: u64,
}

impl Deaths {
    /// The agent knows of a death.
    pub fn on_exit(&mut self, key: Key, now: u64) {
        self.known.insert(key);
        self.at.entry(key).or_insert(now);
    }

    /// Of which deaths it knows.
    pub fn known(&self) -> &BTreeSet<Key> {
        &self.known
    }

    /// Whether it knew of a death at this time.
    pub fn known_before(&self, key: Key, time: u64) -> bool {
        self.at.get(&key).is_some_and(|at| *at < time)
    }

    /// How many were told.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// Somebody is told something of a process; `lives` is the truth.
    pub fn on_notice(&mut self, notice: &Notice, lives: bool) -> Verdict {
        if let NoticeEvent::Died { cause } = &notice.event {
            self.told += 1;
            if lives {
                return wrong("deaths", format!("{} {:?} is said to be dead ({cause}) and lives", notice.name, notice.key));
            }
        }
        Ok(())
    }
}
