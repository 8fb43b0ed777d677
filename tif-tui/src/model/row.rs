//! One instrument as the screen knows it.

use std::sync::Arc;
use std::time::Duration;

use tif_core::model::{Alarm, Kind, Quality, Report, Stamp, Time, Value};
use tif_core::wire::Announcement;

use super::fact::{Now, Standing};
use super::tree::NodeId;

/// Names a row for as long as the screen runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RowId(pub(crate) u64);

/// One instrument: what is declared of it, its last report, and how far that can be trusted.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) announcement: Arc<Announcement>,
    /// What the command line calls it: `name{dims}`, with `@process` where each process exports for itself.
    pub(crate) address: String,
    pub(crate) report: Option<Report>,
    pub(crate) standing: Standing,
    /// Its leaf in the tree.
    pub(crate) node: NodeId,
    pub(crate) rate: Rate,
}

/// How far a value can be trusted, and since when not.
// spec: SRV-8
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// No report yet.
    Nothing,
    /// From the living exporter.
    Good,
    /// The exporter lives and could not say.
    Failed(String),
    /// The last known; old since then.
    Stale(Stamp),
    /// The last known; there is an outage since then.
    Outage(Stamp),
    /// The last known; the source was given up then.
    Lost(Stamp),
}

impl Trust {
    /// Its word in the table.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Trust::Nothing => "none",
            Trust::Good => "good",
            Trust::Failed(_) => "failed",
            Trust::Stale(_) => "stale",
            Trust::Outage(_) => "outage",
            Trust::Lost(_) => "lost",
        }
    }

    /// Since when it is old; none while it is not.
    pub(crate) fn old_since(&self) -> Option<Stamp> {
        match self {
            Trust::Stale(since) | Trust::Outage(since) | Trust::Lost(since) => Some(*since),
            _ => None,
        }
    }
}

impl Row {
    /// How far its value can be trusted while `link_down` says since when the link to the agent is gone.
    pub(crate) fn trust(&self, link_down: Option<Stamp>) -> Trust {
        let quality = self.report.as_ref().map(|report| &report.quality);
        match (quality, self.standing) {
            (Some(Quality::Outage { since, .. }), _) => Trust::Outage(*since),
            (Some(Quality::Stale { since }), _) => Trust::Stale(*since),
            (_, Standing::Lost { since }) => Trust::Lost(since),
            (_, Standing::Stale { since }) => Trust::Stale(since),
            (quality, Standing::Live) => match (quality, link_down) {
                (_, Some(since)) => Trust::Stale(since),
                (None, None) => Trust::Nothing,
                (Some(Quality::Failed { reason }), None) => Trust::Failed(reason.clone()),
                (Some(_), None) => Trust::Good,
            },
        }
    }

    /// Its alarm state.
    pub(crate) fn alarm(&self) -> Alarm {
        self.report.as_ref().map_or(Alarm::Ok, |report| report.alarm)
    }

    /// Its value.
    pub(crate) fn value(&self) -> Option<&Value> {
        self.report.as_ref()?.value.as_ref()
    }

    /// Its value as a person reads it; `-` if there is none.
    pub(crate) fn shown_value(&self) -> String {
        self.value().map_or_else(|| "-".to_owned(), |value| value.show(&self.announcement.descriptor.choices).to_string())
    }

    /// How old its value is: since it was picked up, or, for one that is old, since it became so.
    pub(crate) fn age(&self, now: Now, link_down: Option<Stamp>) -> Option<Duration> {
        let report = self.report.as_ref()?;
        Some(now.since(self.trust(link_down).old_since().unwrap_or(report.stamp)))
    }

    /// Its change per second, where that says something; none for what is old.
    pub(crate) fn rate_at(&self, now: Now, link_down: Option<Stamp>) -> Option<f64> {
        if self.trust(link_down).old_since().is_some() {
            return None;
        }
        match self.announcement.descriptor.kind {
            Kind::Counter | Kind::Gauge | Kind::Dynamic { .. } | Kind::Histogram => self.rate.at(now.mono),
            Kind::Control { .. } | Kind::TestPoint(_) => None,
        }
    }

    /// Whether it counts as old in the tallies.
    pub(crate) fn is_old(&self) -> bool {
        self.trust(None).old_since().is_some()
    }
}

/// After this long without a report nothing has changed, so the rate is zero.
const RATE_QUIET: Duration = Duration::from_secs(5);
/// Changes are counted over at least this long, so that two quick reports do not look like a flood.
const RATE_SPAN: Duration = Duration::from_secs(1);

/// The change per second of a number.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rate {
    base: Option<(Time, f64)>,
    per_second: Option<f64>,
    reported_at: Time,
}

impl Rate {
    /// A new value of the same exporter.
    pub(crate) fn on_value(&mut self, now: Time, value: f64) {
        if !value.is_finite() {
            return;
        }
        let quiet = now.since(self.reported_at) > RATE_QUIET;
        self.reported_at = now;
        match self.base {
            Some((since, base)) if now.since(since) >= RATE_SPAN => {
                let span = now.since(since).as_secs_f64();
                self.per_second = Some((value - base) / span);
                self.base = Some((now, value));
            }
            Some(_) if !quiet => {}
            _ => self.base = Some((now, value)),
        }
    }

    /// What comes now is of another exporter: nothing can be said yet.
    pub(crate) fn restart(&mut self) {
        *self = Rate::default();
    }

    fn at(&self, now: Time) -> Option<f64> {
        let rate = self.per_second?;
        Some(if now.since(self.reported_at) > RATE_QUIET { 0.0 } else { rate })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_falls_to_zero_when_nothing_comes_any_more() {
        let at = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let mut rate = Rate::default();
        for i in 0..=20u64 {
            rate.on_value(at(i * 100), (i * 5) as f64);
        }
        assert_eq!(rate.at(at(2_000)), Some(50.0));
        assert_eq!(rate.at(at(9_000)), Some(0.0));
        rate.restart();
        assert_eq!(rate.at(at(9_000)), None);
    }
}
