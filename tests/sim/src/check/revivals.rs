//! That a lost exporter of another CPU is back is told only when it is: an outage of which its own agent knows, older than the one told of, has ended
//! there before. One that was lost again meanwhile may be told of as back once for each time that it came back.
// spec: OUT-4, PSM-11

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::{Key, Name, Outage, OutageId};
use tif_core::wire::OutageRow;

use super::{Verdict, wrong};

/// An agent tells that an exporter of another CPU is back.
#[derive(Clone, Debug)]
pub struct Revival {
    /// As the agent counts that tells of it.
    id: OutageId,
    source: Name,
    key: Key,
    /// When it was lost, as far as the agent that tells of it knows, in nanoseconds.
    lost: u64,
}

impl Revival {
    /// If this tells of one. It may have waited long for its reader; when it was lost is known by the wall clock, which is so far ahead.
    pub fn of(wall_ahead: i64, own: u32, outage: &Outage) -> Option<Revival> {
        let end = outage.end.as_ref().filter(|end| end.key == outage.key && end.key.node.0 != own && end.counted)?;
        let ended = end.at.0.saturating_add_signed(wall_ahead.saturating_neg());
        Some(Revival { id: outage.id, source: outage.source.clone(), key: end.key, lost: ended.saturating_sub(end.gap_ms * 1_000_000) })
    }

    /// Whose home knows of it.
    pub fn home(&self) -> u32 {
        self.key.node.0
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct Revivals {
    /// By the CPU that told of them, and of whom.
    told: BTreeMap<(u32, Key), BTreeSet<OutageId>>,
}

impl Revivals {
    /// An agent has told an importer of one. `now`: at its home, whose outages these are, and where it has come back so often, whether that is durable or not.
    ///
    /// # Errors
    /// If it has not come back.
    pub fn on_told(&mut self, by: u32, revival: &Revival, now: u64, outages: &[OutageRow], returns: &BTreeSet<(Key, OutageId)>) -> Verdict {
        let Revival { id, source, key, lost } = revival;
        let told = self.told.entry((by, *key)).or_default();
        told.insert(*id);
        let returns = returns.iter().filter(|(returned, _)| returned == key).count();
        let lasting = outages.iter().find(|row| row.outage.key == *key && row.outage.end.is_none());
        match lasting.map(|row| now.saturating_sub(row.lasted_ms * 1_000_000)) {
            // What was told is rounded to milliseconds.
            Some(began) if began + 1_000_000 < *lost && told.len() > returns => wrong(
                "revivals",
                format!("{key} is said to be back for {source}; at home it is lost since {began} ns, here since {lost} ns"),
            ),
            _ => Ok(()),
        }
    }
}
