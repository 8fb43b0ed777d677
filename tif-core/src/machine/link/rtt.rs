//! How long an acknowledgement may take, from those that came.

use std::time::Duration;

/// Before anything was measured.
const INITIAL: Duration = Duration::from_millis(200);
/// Never sooner: the other side may hold an acknowledgement back for 10 ms, and its thread may be late.
const TIMEOUT_MIN: Duration = Duration::from_millis(30);
/// Never later: a link that heals is noticed within this.
const TIMEOUT_MAX: Duration = Duration::from_secs(2);

/// Smoothed round trip and its deviation, after Jacobson and Karels (RFC 6298).
#[derive(Clone, Debug, Default)]
pub(super) struct Rtt {
    measured: Option<(Duration, Duration)>,
    /// Timeouts in a row. Doubles the next.
    backoff: u32,
}

impl Rtt {
    pub(super) fn on_sample(&mut self, sample: Duration) {
        let sample = sample.min(TIMEOUT_MAX);
        self.measured = Some(match self.measured {
            None => (sample, sample / 2),
            Some((smooth, deviation)) => ((smooth * 7 + sample) / 8, (deviation * 3 + smooth.abs_diff(sample)) / 4),
        });
    }

    pub(super) fn on_progress(&mut self) {
        self.backoff = 0;
    }

    pub(super) fn on_timeout(&mut self) {
        self.backoff = (self.backoff + 1).min(16);
    }

    /// How long one that was overtaken may still be on its way.
    pub(super) fn patience(&self) -> Duration {
        self.measured.map_or(INITIAL, |(smooth, deviation)| smooth + deviation)
    }

    pub(super) fn timeout(&self) -> Duration {
        let base = self.measured.map_or(INITIAL, |(smooth, deviation)| smooth + deviation * 4);
        base.max(TIMEOUT_MIN).saturating_mul(1 << self.backoff).min(TIMEOUT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_follows_what_was_measured_and_doubles_with_every_failure() {
        let ms = Duration::from_millis;
        let mut rtt = Rtt::default();
        assert_eq!(rtt.timeout(), INITIAL);
        for _ in 0..50 {
            rtt.on_sample(ms(100));
        }
        assert!((ms(100)..ms(105)).contains(&rtt.timeout()), "{:?}", rtt.timeout());
        let before = rtt.timeout();
        rtt.on_timeout();
        assert_eq!(rtt.timeout(), before * 2);
        for _ in 0..100 {
            rtt.on_timeout();
        }
        assert_eq!(rtt.timeout(), TIMEOUT_MAX);
        rtt.on_progress();
        assert_eq!(rtt.timeout(), before);
        for _ in 0..50 {
            rtt.on_sample(Duration::ZERO);
        }
        assert_eq!(rtt.timeout(), TIMEOUT_MIN);
        rtt.on_sample(Duration::MAX);
        assert!(rtt.timeout() <= TIMEOUT_MAX);
    }
}
