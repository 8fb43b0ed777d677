//! A handover that ends well: the primary had let go before, its last values were read, and no importer saw anything of it but the report.
// spec: OUT-5

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::{Cause, Key, Name, Outage, Stamp, Version};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Handovers {
    /// Who has let go since it last led.
    let_go: BTreeSet<Key>,
    /// Members when a term was written down: whether it had let go, and what of it was not read then.
    terms: BTreeMap<(Key, Stamp), (bool, Option<String>)>,
    /// What was fresh at an importer until this successor began.
    marked: BTreeMap<(usize, Key), String>,
    /// Of whose loss an importer was told as of any: that is no handover that ended well.
    begun: BTreeSet<(usize, Key)>,
    ended_well: u64,
}

impl Handovers {
    /// A process says that it has let go.
    pub fn on_let_go(&mut self, key: Key) {
        self.let_go.insert(key);
    }

    /// A process leads.
    pub fn on_office(&mut self, key: Key) {
        self.let_go.remove(&key);
    }

    /// The next term of a service is being written down: what of this member is not read by now.
    pub fn on_term(&mut self, now: Stamp, member: Key, unread: Option<String>) {
        self.terms.insert((member, now), (self.let_go.contains(&member), unread));
    }

    /// Another exporter begins to send, and an importer shows this as stale for that.
    pub fn on_marked(&mut self, who: usize, key: Key, source: &Name, record: &str) {
        self.marked.insert((who, key), format!("{record} of {source}"));
    }

    /// Somebody leads after a handover: its controls, each with the version that was accepted last and that on its board.
    pub fn on_carried(&self, service: &Name, key: Key, controls: &[(String, Version, Version)]) -> Verdict {
        match controls.iter().find(|(_, accepted, board)| accepted > board) {
            Some((record, accepted, board)) => {
                wrong("handovers", format!("{key} leads {service} with {record} at version {board}; accepted was {accepted}"))
            }
            None => Ok(()),
        }
    }

    /// An importer's link is lost, and with it all that was said on it.
    pub fn on_link_lost(&mut self, who: usize) {
        self.marked.retain(|(of, _), _| *of != who);
    }

    /// An importer is told of an outage.
    pub fn on_outage(&mut self, who: usize, outage: &Outage) -> Verdict {
        let key = outage.key;
        let Some(end) = &outage.end else {
            self.begun.insert((who, key));
            return Ok(());
        };
        let marked = self.marked.remove(&(who, end.key));
        if self.begun.remove(&(who, key)) || outage.cause != Cause::Handover || end.key == key {
            return Ok(());
        }
        self.ended_well += 1;
        // Where the wall clock was set back meanwhile nothing is found.
        let terms = (outage.since <= end.at).then(|| self.terms.range((key, outage.since)..=(key, end.at)));
        match terms.into_iter().flatten().next_back() {
            Some((_, (false, _))) => {
                return wrong("handovers", format!("{} leads {}, and {key} had not let go", end.key, outage.source));
            }
            Some((_, (true, Some(record)))) => {
                return wrong("handovers", format!("{key} had let go of {}, and {record} was not read", outage.source));
            }
            Some((_, (true, None))) | None => {}
        }
        match marked {
            Some(what) => wrong("handovers", format!("process {who} saw {what} as stale while {key} handed over to {}", end.key)),
            None => Ok(()),
        }
    }

    /// How often an importer was told of one that ended well.
    pub fn count(&self) -> u64 {
        self.ended_well
    }
}
