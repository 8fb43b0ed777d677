//! The observer's doubt of itself: whoever was asleep cannot say that the others were silent.
//!
//! Measures how long it was since the detector was last given the word, on both clocks. Too long, and it passes no verdict for as long as it was
//! away, and is slower to judge until it has kept time for a while.
// spec: FAB-3

use std::time::Duration;

use super::profile::{GUARD_MAX, Profile};
use super::said::Clocks;
use crate::defects::{Defect, defect};
use crate::model::Time;

/// The most that an observer can doubt itself.
pub const HEALTH_MAX: u8 = 8;

#[derive(Clone, Debug, Default)]
pub(super) struct Doubt {
    last: Option<Clocks>,
    health: u8,
    calm: Time,
    silent_until: Time,
}

impl Doubt {
    /// Before anything else, every time. Whether there was a pause.
    pub(super) fn begin(&mut self, clocks: Clocks, profile: &Profile, awaited: bool) -> bool {
        let now = clocks.mono;
        let gap = self.last.map_or(Duration::ZERO, |last| (now - last.mono).max(clocks.boot - last.boot));
        self.last = Some(clocks);
        // Without peers nothing was due, and to be called late is no sign of anything.
        if awaited && gap > profile.beat * 2 {
            self.strain(now);
            self.silent_until = self.silent_until.max(now + gap.clamp(profile.suspect, GUARD_MAX));
            return true;
        }
        while self.health > 0 && now >= self.calm + profile.down {
            self.health -= 1;
            self.calm = self.calm + profile.down;
        }
        false
    }

    /// A reason to doubt: a pause, or pressure and stolen time that the host reports.
    pub(super) fn strain(&mut self, now: Time) {
        self.health = (self.health + 1).min(HEALTH_MAX);
        self.calm = now;
    }

    pub(super) fn health(&self) -> u8 {
        self.health
    }

    /// Own timeouts are so many times as long.
    pub(super) fn patience(&self) -> u32 {
        if defect(Defect::IgnoreOwnHealth) { 1 } else { u32::from(self.health) + 1 }
    }

    /// Whether a verdict may rest on silence now.
    pub(super) fn may_judge(&self, now: Time) -> bool {
        now >= self.silent_until || defect(Defect::JudgeAfterPause)
    }
}
