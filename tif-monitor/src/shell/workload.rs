//! How busy this CPU is, for the decision where a member of a service is introduced.
// spec: GRP-3, GRP-7

use crate::host::cpu::{Mode, Ticks};

/// How much of a new reading counts: a moment's work is no workload.
const WEIGHT: f64 = 0.2;
/// By how much it has to change before it is told, in percent.
const STEP: f64 = 5.0;

/// The share of time in which the processors did something, smoothed.
#[derive(Debug, Default)]
pub struct Workload {
    last: Option<Ticks>,
    percent: Option<f64>,
    told: Option<f64>,
}

impl Workload {
    /// Reads it; what it is now, in percent, if that has changed since it was last told. Nothing where the system does not say.
    pub fn look(&mut self) -> Option<u8> {
        self.take(Ticks::read().ok()?)
    }

    fn take(&mut self, ticks: Ticks) -> Option<u8> {
        let ticks = ticks.since(&self.last.replace(ticks)?);
        if ticks == Ticks::default() {
            return None;
        }
        let now = ticks.share(Mode::Busy);
        let percent = self.percent.map_or(now, |before| before + WEIGHT * (now - before));
        self.percent = Some(percent);
        if self.told.is_some_and(|told| (told - percent).abs() < STEP) {
            return None;
        }
        self.told = Some(percent);
        Some(percent.clamp(0.0, 100.0).round() as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: GRP-3
    #[test]
    fn what_lasts_is_a_workload_and_what_is_over_in_a_moment_is_none() {
        let mut workload = Workload::default();
        assert_eq!(workload.take(Ticks::of_work(1000, 9000)), None, "a share takes two readings");
        assert_eq!(workload.take(Ticks::of_work(1010, 9090)), Some(10));
        assert_eq!(workload.take(Ticks::of_work(1022, 9178)), None, "hardly more");
        assert_eq!(workload.take(Ticks::of_work(1122, 9178)), Some(28), "a busy second");
        let told: Vec<u8> = (1..=20u64).filter_map(|s| workload.take(Ticks::of_work(1122 + 100 * s, 9178))).collect();
        assert!(told.is_sorted() && told.last() >= Some(&93), "{told:?}");
        assert_eq!(workload.take(Ticks::of_work(3122, 9178)), None, "no time has passed");
    }
}
