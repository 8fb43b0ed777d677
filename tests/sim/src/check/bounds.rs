//! Nothing grows without bound, and of each instrument one report waits at most, unless they differ in quality, alarm or exporter.
// spec: MON-6, SEC-2

use std::collections::BTreeMap;

use tif_core::agent::Stats;
use tif_core::limits;
use tif_core::model::{Alarm, InstrumentId, Key, Outage, Quality};
use tif_core::wire::ToProcess;

use super::{Verdict, wrong};

/// See the module.
#[derive(Debug)]
pub struct Bounds {
    /// So many instruments there are at most, here and on other CPUs.
    instruments_max: u64,
}

impl Default for Bounds {
    // A dozen exporters with twenty instruments, and some that are just going.
    fn default() -> Bounds {
        Bounds { instruments_max: 400 }
    }
}

/// What came out of one queue in one go.
#[derive(Debug, Default)]
pub struct Drained {
    seen: BTreeMap<InstrumentId, (Key, Quality, Alarm)>,
    messages: usize,
}

impl Bounds {
    /// This world has so many instruments.
    pub fn expect(&mut self, instruments_max: u64) {
        self.instruments_max = instruments_max;
    }

    /// The agent's figures.
    pub fn look(&self, stats: &Stats) -> Verdict {
        let max = self.instruments_max;
        // Three importers with five wishes each.
        for (what, got, max) in
            [("subscriptions", stats.subscriptions, 64), ("instruments", stats.instruments, max), ("watched", stats.watched, max)]
        {
            if got > max {
                return wrong("bounds", format!("{got} {what}, more than the {max} that this world can account for"));
            }
        }
        Ok(())
    }

    /// A queue is emptied.
    pub fn drain(&self) -> Drained {
        Drained::default()
    }
}

impl Drained {
    /// One message of it.
    pub fn on_pulled(&mut self, message: &ToProcess) -> Verdict {
        self.messages += 1;
        if self.messages > limits::NOTICES_QUEUED_MAX {
            return wrong("bounds", format!("{} messages waited in one queue", self.messages));
        }
        // Who has handed over may lead again while all that waits: what it says then is something else.
        if let ToProcess::ReportsBegin { relieves: Some(before), .. } = message {
            self.seen.retain(|_, (key, _, _)| key != before);
        }
        // So may who was deposed.
        if let ToProcess::Outage(Outage { key: lost, end: None, .. }) = message {
            self.seen.retain(|_, (key, _, _)| key != lost);
        }
        if let ToProcess::Reports { reports, .. } = message {
            for report in reports {
                let says = (report.key, report.quality.clone(), report.alarm);
                if self.seen.insert(report.instrument, says.clone()) == Some(says) {
                    return wrong(
                        "bounds",
                        format!("two reports of instrument {} that say the same of it waited in one queue", report.instrument),
                    );
                }
            }
        }
        Ok(())
    }
}
