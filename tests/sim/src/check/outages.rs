//! An importer is told once that an outage began, and once that it is over, however often its link or its agent is lost meanwhile.
// spec: OUT-2, OUT-4

use std::collections::BTreeMap;

use tif_core::model::{Cause, Key, Outage, Stamp};

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug, Default)]
pub struct Outages {
    /// When it was over, if it is.
    told: BTreeMap<(usize, Key), Option<Stamp>>,
    /// When the present agent started.
    started: Stamp,
}

impl Outages {
    /// That an outage is over may have been told by the agent before and not been written down: the next one tells it as one that lasts, and ends it again.
    /// The importer knows better.
    pub fn on_agent_start(&mut self, now: Stamp) {
        self.started = now;
    }

    /// An exporter's values are to take the place of those of another, `replaced`, that are shown as fresh, though that has not handed over.
    ///
    /// # Errors
    /// If there was one: nobody has said that it is lost.
    pub fn on_replaced(who: usize, replaced: Option<Key>, by: Key) -> Verdict {
        match replaced {
            Some(lost) => wrong("outages", format!("process {who} is to see {by} in place of {lost}, and was not told that this is lost")),
            None => Ok(()),
        }
    }

    /// An importer is told.
    pub fn on_outage(&mut self, who: usize, outage: &Outage) -> Verdict {
        let over = outage.end.as_ref().map(|end| end.at);
        if outage.end.as_ref().is_some_and(|end| end.key == outage.key) {
            // It was presumed lost and was not: it can be lost another time.
            return match self.told.remove(&(who, outage.key)) {
                Some(None) => Ok(()),
                before => wrong("outages", format!("process {who} is told that {} is back after {before:?}", outage.key)),
            };
        }
        match (self.told.insert((who, outage.key), over), over) {
            (None, None) | (Some(None), Some(_)) => Ok(()),
            // Of a handover it hears when that is over.
            // spec: OUT-5
            (None, Some(_)) if outage.cause == Cause::Handover => Ok(()),
            (Some(Some(before)), Some(at)) if outage.cause == Cause::Handover && before != at => Ok(()),
            // Who was deposed, led again and is lost since can be told of once more.
            (Some(Some(at)), None) if at < self.started || outage.since > at => Ok(()),
            (before, _) => wrong("outages", format!("process {who} is told of outage {} (over: {over:?}) after {before:?}", outage.id)),
        }
    }
}
