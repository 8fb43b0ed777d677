//! Changes that are to be confirmed: each has one end, which is not early, and until then nobody else changes its controls; one that is taken back is so whole.
// spec: CTL-6

use std::collections::BTreeMap;
use std::time::Duration;

use tif_core::machine::book::Entry;
use tif_core::machine::confirm::{Cause, End, Keep};
use tif_core::model::{Name, RequestId, Stamp, Value};

use super::{Verdict, wrong};

/// A control: its source, and its name without place.
type Control = (Name, String);

#[derive(Debug)]
struct Pending {
    since: Stamp,
    before: Vec<(Control, Value)>,
}

/// See the module. What is durable in one place, in order.
#[derive(Debug, Default)]
pub struct Keeps {
    pending: BTreeMap<RequestId, Pending>,
    ended: u64,
}

/// The least time that the workload gives for a confirmation.
pub const WITHIN_MIN: Duration = Duration::from_secs(1);

impl Keeps {
    /// A change has become durable.
    pub fn on_entry(&mut self, entry: &Entry) -> Verdict {
        let Entry { controls, change } = entry;
        let names: Vec<Control> = controls.iter().map(|c| (c.source.clone(), c.name.clone())).collect();
        if let Keep::Settles(id, end) = &change.keep {
            return self.on_end(entry, id, *end);
        }
        let holds = |p: &Pending| p.before.iter().any(|(held, _)| names.contains(held));
        if let Some((by, _)) = self.pending.iter().find(|(_, p)| holds(p)) {
            return wrong("keeps", format!("{} changes {names:?}, which {by} holds", change.request_id));
        }
        if let Keep::Until(_) = &change.keep {
            let before = names.into_iter().zip(change.result.changed.iter().map(|c| c.old.clone())).collect();
            self.pending.insert(change.request_id.clone(), Pending { since: change.at, before });
        }
        Ok(())
    }

    fn on_end(&mut self, entry: &Entry, id: &RequestId, end: End) -> Verdict {
        let Some(pending) = self.pending.remove(id) else {
            return wrong("keeps", format!("{id} ends as {end:?}, and did not wait"));
        };
        self.ended += 1;
        let now: Vec<(Control, Value)> = entry.controls.iter().map(|c| ((c.source.clone(), c.name.clone()), c.value.clone())).collect();
        let waited = Duration::from_nanos(entry.change.at.0.saturating_sub(pending.since.0));
        match end {
            End::Confirmed if now.is_empty() => Ok(()),
            End::Confirmed => wrong("keeps", format!("{id} is confirmed, and changes {now:?}")),
            End::Reverted(Cause::NotConfirmed) if waited < WITHIN_MIN => wrong("keeps", format!("{id} is taken back after {waited:?}")),
            // What ended with its service is not taken back.
            End::Reverted(_) if now.iter().all(|row| pending.before.contains(row)) => Ok(()),
            End::Reverted(_) => wrong("keeps", format!("{id} is taken back to {now:?}, and was {:?} before", pending.before)),
        }
    }

    /// Somebody is told that a change is confirmed. `durable`: whether the store has that.
    pub fn on_told(&self, id: &RequestId, durable: bool) -> Verdict {
        if durable { Ok(()) } else { wrong("keeps", format!("{id} is said to be confirmed, and the store does not know")) }
    }

    /// How many have had their end.
    pub fn ended(&self) -> u64 {
        self.ended
    }
}
