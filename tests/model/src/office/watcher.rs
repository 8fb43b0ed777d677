//! What one watcher was told, and what it must not be told.

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::{Key, ProcId};

/// What it is told of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Told {
    /// It is ready.
    Born,
    /// It is there, in whatever state.
    Lives,
    /// It is dead, or has left.
    Over,
}

/// Its memory, and its link.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Watcher {
    /// It has a link, and was told of these lives on it.
    pub link: Option<BTreeSet<Key>>,
    /// The latest life of each name, by its number, and whether that is over. Longer than any link.
    latest: BTreeMap<ProcId, (Key, bool)>,
}

impl Watcher {
    /// It is told; what is wrong with that. `asked`: what is known as it connects, which may be known already.
    pub fn hear(&mut self, key: Key, told: Told, asked: bool) -> Option<String> {
        let heard = self.link.as_mut()?;
        let is_first = heard.insert(key);
        if is_first && !asked && told != Told::Born {
            return Some(format!("the watcher hears {told:?} of {key} before its birth"));
        }
        let over = told == Told::Over;
        match self.latest.insert(key.proc, (key, over)) {
            Some((latest, _)) if key.inc < latest.inc => Some(format!("the watcher is told of {key} after {latest}")),
            Some((latest, true)) if latest == key && !over => Some(format!("the watcher hears {told:?} of {key} after its end")),
            Some((latest, true)) if latest == key && !asked => Some(format!("the watcher is told twice that {key} is over")),
            Some((latest, false)) if latest != key && !asked => Some(format!("the watcher is told of {key} before the end of {latest}")),
            _ => None,
        }
    }
}
