//! That a lost exporter of another CPU is back is told only when it is: an outage of which its own agent knows, older than the one told of, has ended
//! there before.
// spec: OUT-4, PSM-11

use tif_core::model::{Key, Name, Outage};
use tif_core::wire::OutageRow;

use super::{Verdict, wrong};

/// An agent tells that an exporter of another CPU is back.
#[derive(Clone, Debug)]
pub struct Revival {
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
        Some(Revival { source: outage.source.clone(), key: end.key, lost: ended.saturating_sub(end.gap_ms * 1_000_000) })
    }

    /// Whose home knows of it.
    pub fn home(&self) -> u32 {
        self.key.node.0
    }

    /// `now`: at its home, whose outages these are.
    pub fn look(&self, now: u64, outages: &[OutageRow]) -> Verdict {
        let Revival { source, key, lost } = self;
        let lasting = outages.iter().find(|row| row.outage.key == *key && row.outage.end.is_none());
        match lasting.map(|row| now.saturating_sub(row.lasted_ms * 1_000_000)) {
            // What was told is rounded to milliseconds.
            Some(began) if began + 1_000_000 < *lost => wrong(
                "revivals",
                format!("{key} is said to be back for {source}; at home it is lost since {began} ns, here since {lost} ns"),
            ),
            _ => Ok(()),
        }
    }
}
