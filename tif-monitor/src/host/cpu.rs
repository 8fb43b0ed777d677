//! Where the CPUs' time went: shares over a short window, not since boot.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use procfs::{CpuTime, CurrentSI, KernelStats};

/// A window is used again for questions that come so soon after its end: one look at the kernel serves all shares.
const FRESH: Duration = Duration::from_millis(500);
/// A window that began longer ago says nothing of now.
const WINDOW_MAX: Duration = Duration::from_secs(5);
/// How long a window is measured when there is no earlier reading to measure from.
const WINDOW_MIN: Duration = Duration::from_millis(100);

/// What the CPUs did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Anything but waiting for work.
    Busy,
    /// Programs.
    User,
    /// The kernel, interrupts included.
    System,
    /// Idle while a disk was waited for.
    Iowait,
    /// Taken by the machine below.
    Steal,
}

/// The shares. Clones look through the same window.
#[derive(Clone, Debug, Default)]
pub struct Cpu(Arc<Mutex<Option<Window>>>);

#[derive(Clone, Copy, Debug)]
struct Window {
    until: Instant,
    end: Ticks,
    ticks: Ticks,
}

/// Ticks by mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ticks {
    user: u64,
    system: u64,
    iowait: u64,
    steal: u64,
    idle: u64,
}

impl Ticks {
    /// So many of work, so many of nothing.
    #[cfg(test)]
    pub(crate) fn of_work(user: u64, idle: u64) -> Ticks {
        Ticks { user, idle, ..Ticks::default() }
    }

    fn of(t: &CpuTime) -> Ticks {
        Ticks {
            user: t.user + t.nice,
            system: t.system + t.irq.unwrap_or(0) + t.softirq.unwrap_or(0),
            iowait: t.iowait.unwrap_or(0),
            steal: t.steal.unwrap_or(0),
            idle: t.idle,
        }
    }

    pub(crate) fn read() -> Result<Ticks, String> {
        KernelStats::current().map(|stats| Ticks::of(&stats.total)).map_err(|e| e.to_string())
    }

    /// From `earlier` until now. The kernel's counts of idle and of waiting can go back a little.
    pub(crate) fn since(&self, earlier: &Ticks) -> Ticks {
        Ticks {
            user: self.user.saturating_sub(earlier.user),
            system: self.system.saturating_sub(earlier.system),
            iowait: self.iowait.saturating_sub(earlier.iowait),
            steal: self.steal.saturating_sub(earlier.steal),
            idle: self.idle.saturating_sub(earlier.idle),
        }
    }

    pub(crate) fn share(&self, mode: Mode) -> f64 {
        let all = self.user + self.system + self.iowait + self.steal + self.idle;
        let part = match mode {
            Mode::Busy => self.user + self.system + self.steal,
            Mode::User => self.user,
            Mode::System => self.system,
            Mode::Iowait => self.iowait,
            Mode::Steal => self.steal,
        };
        if all == 0 { 0.0 } else { part as f64 * 100.0 / all as f64 }
    }
}

impl Cpu {
    /// The share of a mode, in per cent.
    ///
    /// # Errors
    /// If the kernel does not say.
    pub fn share(&self, mode: Mode) -> Result<f64, String> {
        let mut last = self.0.lock();
        let window = match *last {
            Some(window) if window.until.elapsed() < FRESH => window,
            Some(window) if window.until.elapsed() < WINDOW_MAX => Window::from(&window.end)?,
            _ => {
                let begin = Ticks::read()?;
                // Nothing to await: the kernel's ticks have to pass. This is a thread of the exporter's, for just such work.
                std::thread::sleep(WINDOW_MIN);
                Window::from(&begin)?
            }
        };
        *last = Some(window);
        Ok(window.ticks.share(mode))
    }
}

impl Window {
    fn from(begin: &Ticks) -> Result<Window, String> {
        let end = Ticks::read()?;
        Ok(Window { until: Instant::now(), end, ticks: end.since(begin) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_the_window_and_add_up() {
        let begin = Ticks { user: 1000, system: 1000, iowait: 50, steal: 0, idle: 9000 };
        let end = Ticks { user: 1060, system: 1020, iowait: 40, steal: 10, idle: 9010 };
        let ticks = end.since(&begin);
        assert_eq!(ticks.share(Mode::User), 60.0);
        assert_eq!(ticks.share(Mode::Busy), 90.0);
        assert_eq!(ticks.share(Mode::Iowait), 0.0, "a count that went back is none");
        assert_eq!(Ticks::default().share(Mode::Busy), 0.0);
    }

    #[test]
    fn this_machines_shares_can_be_read() {
        let busy = Cpu::default().share(Mode::Busy).unwrap();
        assert!((0.0..=100.0).contains(&busy), "{busy}");
    }
}
