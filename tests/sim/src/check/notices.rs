//! Of each process a watcher is told in order, once per change, and nothing after the end.
// spec: PSM-3, PSM-4

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Cause, Key, Name, Notice};

use super::{Verdict, wrong};

/// How things stand, as far as a watcher was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    /// Nobody of that name.
    #[default]
    Nobody,
    /// It lives.
    Alive,
    /// It lives and cannot be reached.
    Unreachable,
    /// It is no more.
    Ended,
}

#[derive(Debug, Default)]
struct Watch {
    key: Option<Key>,
    told: Told,
    born: BTreeSet<Key>,
    ended: BTreeSet<Key>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Notices {
    watches: BTreeMap<(usize, Name), Watch>,
}

impl Notices {
    /// The watcher begins anew.
    pub fn on_link_lost(&mut self, who: usize) {
        self.watches.retain(|(of, _), _| *of != who);
    }

    /// What a watcher was told last.
    pub fn told(&self, who: usize, name: &Name) -> Option<(Option<Key>, Told)> {
        self.watches.get(&(who, name.clone())).map(|w| (w.key, w.told))
    }

    /// A watcher is told something, or (`asked`) how things stand. What is known of a `far` process comes a little after the question.
    pub fn on_notice(&mut self, who: usize, notice: &Notice, asked: bool, far: bool) -> Verdict {
        let watch = self.watches.entry((who, notice.name.clone())).or_default();
        let said = |problem: &str| wrong("notices", format!("process {who} is told {notice:?}: {problem} (before: {:?})", watch.told));
        let Some(key) = notice.key else {
            if !asked || notice.event != NoticeEvent::NotAvailable {
                return said("a notice without a key");
            }
            // A new life may have begun and not be born yet.
            watch.told = Told::Nobody;
            return Ok(());
        };
        let lives = matches!(watch.told, Told::Alive | Told::Unreachable);
        let ends = matches!(notice.event, NoticeEvent::Died { .. } | NoticeEvent::PresumedDead { .. } | NoticeEvent::Unregistered);
        if watch.ended.contains(&key) && !(asked && ends) {
            return said("after its end");
        }
        if watch.key.is_some_and(|before| before.inc > key.inc) {
            return said("of an older life");
        }
        if watch.key.is_some_and(|before| before != key) && lives {
            return said("before the end of the life before it");
        }
        if !asked {
            let ok = match notice.event {
                NoticeEvent::Born => !watch.born.contains(&key),
                _ if far && watch.told == Told::Nobody && !watch.born.contains(&key) => true,
                NoticeEvent::Died { .. } | NoticeEvent::Unregistered => watch.born.contains(&key),
                NoticeEvent::PresumedDead { cause: Cause::Silent } => watch.born.contains(&key),
                NoticeEvent::PresumedDead { .. } => far && watch.born.contains(&key),
                NoticeEvent::Unreachable => watch.told == Told::Alive,
                NoticeEvent::Reachable => watch.told == Told::Unreachable,
                NoticeEvent::Role { .. } => lives,
                NoticeEvent::NotAvailable => false,
            };
            if !ok {
                return said("not in order");
            }
        }
        watch.key = Some(key);
        watch.told = match notice.event {
            NoticeEvent::Unreachable => Told::Unreachable,
            _ if ends => Told::Ended,
            _ => Told::Alive,
        };
        if ends {
            watch.ended.insert(key);
        } else {
            watch.born.insert(key);
        }
        Ok(())
    }
}
