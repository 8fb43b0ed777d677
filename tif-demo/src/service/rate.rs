//! Files per second, from a counter that is looked at now and then.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Looks that are kept: more than a window holds at the fastest that an indicator is computed.
const LOOKS_MAX: usize = 256;

/// Remembers when the counter was how far.
#[derive(Debug)]
pub struct Rate {
    looks: Mutex<VecDeque<(Instant, u64)>>,
}

impl Rate {
    /// The counter is at `count` now.
    pub fn new(count: u64) -> Rate {
        Rate { looks: Mutex::new(VecDeque::from([(Instant::now(), count)])) }
    }

    /// The counter is at `count` now: how many a second that was, over about the last `window`.
    pub fn over_last(&self, window: Duration, count: u64) -> f64 {
        let now = Instant::now();
        let mut looks = self.looks.lock();
        looks.push_back((now, count));
        // The oldest look that is kept is the youngest that is at least a window old.
        while looks.len() > LOOKS_MAX || looks.get(1).is_some_and(|(at, _)| now.duration_since(*at) >= window) {
            looks.pop_front();
        }
        let (at, from) = looks[0];
        let seconds = now.duration_since(at).as_secs_f64();
        if seconds > 0.0 { count.saturating_sub(from) as f64 / seconds } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_was_counted_over_the_time_it_took() {
        let rate = Rate::new(100);
        let begun = Instant::now();
        std::thread::sleep(Duration::from_millis(50));
        let measured = rate.over_last(Duration::from_secs(2), 110);
        let most = 10.0 / 0.05;
        let least = 10.0 / begun.elapsed().as_secs_f64();
        assert!(least <= measured && measured <= most, "{least} <= {measured} <= {most}");
    }

    #[test]
    fn what_is_older_than_the_window_does_not_count() {
        let rate = Rate::new(0);
        let window = Duration::from_millis(20);
        rate.over_last(window, 1_000_000);
        std::thread::sleep(window);
        rate.over_last(window, 1_000_000);
        std::thread::sleep(window);
        assert_eq!(rate.over_last(window, 1_000_000), 0.0);
    }
}
