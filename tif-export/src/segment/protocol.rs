//! Flag, sweep and doorbell: how a change gets noticed without a lock, a call into the kernel or a locked instruction on the way.
//!
//! Picture a caretaker who walks the wall of pigeonholes in numbered rounds. Who changes a slip puts the number of the current round on a flag beside it,
//! and on the flag at the end of the row; the caretaker looks only where a flag is new. When he wants to sleep he arms the bell, looks at the row flags
//! once more, and then sleeps; who sets a flag and finds the bell armed rings it.
//!
//! The functions are generic over the words and the barriers: what runs is what `tests/model.rs` lets loom take apart.

use std::sync::atomic::{AtomicU32, Ordering};

/// A shared 32-bit word.
pub(crate) trait Word {
    fn load(&self, order: Ordering) -> u32;
    fn store(&self, value: u32, order: Ordering);
    fn swap(&self, value: u32, order: Ordering) -> u32;
}

impl Word for AtomicU32 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }
    #[inline(always)]
    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }
    #[inline(always)]
    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }
}

/// The words that one change touches.
pub(crate) struct Line<'a, W> {
    /// On the board: the number of the agent's sweep. 0: there is no agent.
    pub(crate) sweep: &'a W,
    /// On the board: the doorbell's number.
    pub(crate) armed: &'a W,
    /// In the segment: the doorbell number last answered.
    pub(crate) rung: &'a W,
    /// In the segment: the slot's flag.
    pub(crate) flag: &'a W,
    /// In the segment: its group's flag.
    pub(crate) group: &'a W,
}

/// Says that a slot has changed. The change itself was stored before, with `light` between (the caller's, since it also stands before its judgement).
///
/// Never waits; called at any time by any number of threads and signal handlers.
#[inline]
pub(crate) fn flag<W: Word>(line: &Line<'_, W>, light: impl Fn(), ring: impl FnOnce()) {
    loop {
        // Pairs with `begin`: either this is the new number, or the agent's reads after its barrier see the change itself.
        let sweep = line.sweep.load(Ordering::Relaxed);
        if sweep == 0 {
            return;
        }
        // Flagged in this sweep already, by whomever: the agent will read this slot again after it has begun the next one.
        if line.flag.load(Ordering::Relaxed) == sweep && line.group.load(Ordering::Relaxed) == sweep {
            light();
            break;
        }
        // Slot before group: who sees the group's sees the slot's (release here, acquire in `is_dirty`'s callers). The slot's also publishes the change.
        line.flag.store(sweep, Ordering::Release);
        line.group.store(sweep, Ordering::Release);
        // Between the flags and both loads that follow; pairs with the barrier in `begin` and in `arm`.
        light();
        // Whoever was held up between load and store may have put an old number over a newer one: then again, with the number that is current.
        if line.sweep.load(Ordering::Relaxed) == sweep {
            break;
        }
    }
    // Pairs with `arm`: either this sees the bell armed, or the agent, looking once more, sees the flag.
    let armed = line.armed.load(Ordering::Relaxed);
    if line.rung.load(Ordering::Relaxed) != armed && line.rung.swap(armed, Ordering::Relaxed) != armed {
        ring();
    }
}

/// The number after this one; 0 is none.
pub(crate) fn next(number: u32) -> u32 {
    number.wrapping_add(1).max(1)
}

fn previous(number: u32) -> u32 {
    match number {
        0 | 1 => u32::MAX,
        n => n - 1,
    }
}

/// Begins the sweep `number`.
pub(crate) fn begin<W: Word>(sweep: &W, number: u32, heavy: impl FnOnce()) {
    sweep.store(number, Ordering::Relaxed);
    // Pairs with `light` in `flag` and before it.
    heavy();
}

/// Whether to look behind a flag in sweep `number`. `seen` is what it was when last looked at.
///
/// It is new; or it was set in the sweep before this or in this one, and may have hidden further changes since it was looked at.
pub(crate) fn is_dirty(flag: u32, seen: u32, number: u32) -> bool {
    flag != seen || (flag != 0 && (flag == number || flag == previous(number)))
}

/// Whether a group's flag keeps the agent from sleeping after sweep `number`, having seen `seen`.
pub(crate) fn is_news(flag: u32, seen: u32, number: u32) -> bool {
    flag != seen || flag == number
}

/// Arms the bell with a number that is not the one last answered. Then look at every group once more ([`is_news`]), and sleep only if there is no news.
pub(crate) fn arm<W: Word>(armed: &W, rung: &W, heavy: impl Fn()) {
    let mut number = next(armed.load(Ordering::Relaxed));
    // A bell that counts as answered would never be rung. Twice is enough: this word is the agent's own, the other one changes to it only by ringing.
    if number == rung.load(Ordering::Relaxed) {
        number = next(number);
    }
    armed.store(number, Ordering::Relaxed);
    // Pairs with `light` in `flag`.
    heavy();
}
