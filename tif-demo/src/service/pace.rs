//! The throttle: lets so many files a second pass, all workers together.

use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// A turnstile. Whoever waits at it sees a new rate at once.
#[derive(Debug)]
pub struct Pace {
    turn: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Debug)]
struct Turn {
    /// When the last one passed.
    last: Instant,
    /// Files a second; 0: without limit.
    rate: u32,
}

impl Pace {
    /// With a rate in files a second; 0 is no limit.
    pub fn new(rate: u32) -> Pace {
        Pace { turn: Mutex::new(Turn { last: Instant::now(), rate }), changed: Condvar::new() }
    }

    /// Another rate from now on.
    pub fn set(&self, rate: u32) {
        self.turn.lock().rate = rate;
        self.changed.notify_all();
    }

    /// Everybody who waits looks again whether he should.
    pub fn nudge(&self) {
        // Under the lock: between a waiter's look and its sleep there is no room for a nudge to be lost.
        let _turn = self.turn.lock();
        self.changed.notify_all();
    }

    /// Waits for the next turn. False if `stop` said so before it came.
    pub fn pass(&self, stop: impl Fn() -> bool) -> bool {
        let mut turn = self.turn.lock();
        loop {
            if stop() {
                return false;
            }
            let now = Instant::now();
            let Some(interval) = Duration::from_secs(1).checked_div(turn.rate) else {
                turn.last = now;
                return true;
            };
            let due = turn.last + interval;
            if due <= now {
                // What was missed by up to one interval is made up for, so that the rate is met; what was idle is not.
                turn.last = due.max(now - interval);
                return true;
            }
            self.changed.wait_until(&mut turn, due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_rate_holds_for_all_who_pass_together() {
        let pace = Arc::new(Pace::new(200));
        let begun = Instant::now();
        let one = |pace: Arc<Pace>| move || (0..10).for_each(|_| assert!(pace.pass(|| false)));
        let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(one(pace.clone()))).collect();
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(begun.elapsed() >= Duration::from_millis(180), "40 at 200 a second took {:?}", begun.elapsed());
    }

    #[test]
    fn one_who_waits_sees_a_new_rate_and_the_end_at_once() {
        let pace = Arc::new(Pace::new(1));
        assert!(!pace.pass(|| true));
        let waiter = {
            let pace = pace.clone();
            std::thread::spawn(move || (0..100).all(|_| pace.pass(|| false)))
        };
        pace.set(0);
        assert!(waiter.join().unwrap());
        pace.set(1);
        let stop = Arc::new(AtomicBool::new(false));
        let waiter = {
            let (pace, stop) = (pace.clone(), stop.clone());
            std::thread::spawn(move || pace.pass(|| stop.load(Ordering::Relaxed)))
        };
        stop.store(true, Ordering::Relaxed);
        pace.nudge();
        assert!(!waiter.join().unwrap());
    }
}
