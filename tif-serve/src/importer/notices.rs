//! What the consumer was told of each process last: over a new link everything is asked again, and it is told only what is new.
// spec: PSM-4, MON-5

use std::collections::BTreeMap;

use tif_core::limits::LOOKUPS_MAX;
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Key, Name, Notice};

/// The last notice of each process.
#[derive(Debug, Default)]
pub(super) struct Notices(BTreeMap<Name, (Option<Key>, NoticeEvent)>);

fn is_end(event: &NoticeEvent) -> bool {
    matches!(event, NoticeEvent::Died { .. } | NoticeEvent::Unregistered)
}

impl Notices {
    /// Whether it says anything that was not said. `again`: it is the answer to a question that was asked before. A process ends once, whatever is found out
    /// about its end later.
    pub(super) fn is_news(&mut self, notice: &Notice, again: bool) -> bool {
        let same = self
            .0
            .get(&notice.name)
            .is_some_and(|(key, last)| *key == notice.key && ((is_end(last) && is_end(&notice.event)) || (again && *last == notice.event)));
        if same {
            return false;
        }
        if self.0.len() >= LOOKUPS_MAX && !self.0.contains_key(&notice.name) {
            self.0.pop_first();
        }
        // A new role is nothing that an answer says.
        if !matches!(notice.event, NoticeEvent::Role { .. }) {
            self.0.insert(notice.name.clone(), (notice.key, notice.event.clone()));
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tif_core::model::{Cause, Incarnation, NodeId, ProcId};

    // spec: PSM-4
    #[test]
    fn a_process_ends_once_for_each_watcher_whatever_is_found_out_later() {
        let mut notices = Notices::default();
        let notice = |life, event| {
            let key = Key { node: NodeId(1), proc: ProcId(1), inc: Incarnation::new(1, life) };
            Notice { name: "orders-1".parse().unwrap(), key: Some(key), event }
        };
        let died = |cause| NoticeEvent::Died { cause };
        assert!(notices.is_news(&notice(1, NoticeEvent::Born), false));
        assert!(!notices.is_news(&notice(1, NoticeEvent::Born), true), "asked again");
        assert!(notices.is_news(&notice(1, died(Cause::Hung)), false));
        assert!(!notices.is_news(&notice(1, died(Cause::Unknown)), true));
        assert!(notices.is_news(&notice(2, NoticeEvent::Born), true), "another life");
        assert!(notices.is_news(&notice(2, died(Cause::Unknown)), true));
    }
}
