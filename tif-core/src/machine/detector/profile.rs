//! How patient a detector is.

use std::time::Duration;

/// No verdict is passed sooner: timers of virtual machines were measured to be up to 214 ms late, and even those of real-time threads 100 ms.
pub const VERDICT_MIN: Duration = Duration::from_millis(250);
/// The longest that an announced restart is waited for.
pub const RESTART_PLANNED_MAX: Duration = Duration::from_secs(30);
/// The longest that a detector keeps silent after a pause: whoever slept for a night need not be blind for another.
pub const GUARD_MAX: Duration = Duration::from_secs(30);

/// The times of a detector. Silence counts from when the next heartbeat was due.
// spec: FAB-3
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    pub(super) beat: Duration,
    pub(super) suspect: Duration,
    pub(super) down: Duration,
    pub(super) restart: Duration,
}

impl Default for Profile {
    fn default() -> Profile {
        let ms = Duration::from_millis;
        Profile { beat: ms(100), suspect: ms(300), down: ms(1000), restart: ms(3000) }
    }
}

impl Profile {
    /// For agents with a real-time priority and locked memory.
    pub fn fast() -> Profile {
        let ms = Duration::from_millis;
        Profile::new(ms(50), VERDICT_MIN, ms(500))
    }

    /// Other times: a heartbeat's, and how long a silence makes suspect and down. None is taken below what a machine can keep.
    pub fn new(beat: Duration, suspect: Duration, down: Duration) -> Profile {
        let beat = beat.max(Duration::from_millis(10));
        let suspect = suspect.max(VERDICT_MIN).max(beat * 2);
        Profile { beat, suspect, down: down.max(suspect + beat), restart: Profile::default().restart }
    }

    /// How often each pair of agents exchanges heartbeats.
    pub fn beat(&self) -> Duration {
        self.beat
    }
}
