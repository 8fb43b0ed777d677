//! A run that fails is made short: of its acts only those stay without which the same check does not fail.
//!
//! As one finds the fuse that blows: unplug half of the house, then a quarter, then one thing after the other (delta debugging, Zeller and Hildebrandt
//! 2002). Whole sorts of acts go first, for of most processes nothing matters.

use std::collections::BTreeSet;

use crate::acts::{Act, ActId, Script, Track};
use crate::run::{Film, film, film_again};
use crate::world::MS;
use crate::{Outcome, Plan};

/// A run that was made short.
#[derive(Debug)]
pub struct Shrunk {
    /// All acts of the run as it was.
    pub all: Vec<Act>,
    /// What is left of them, as places in that list.
    pub kept: Vec<usize>,
    /// When the trouble ends now, in simulated nanoseconds, if not when it did.
    pub calm_at: Option<u64>,
    /// The acts as they are done now, told.
    pub acts: Vec<Act>,
    /// How the short run ends, with its timeline.
    pub outcome: Outcome,
    /// How often it was flown.
    pub flights: u64,
}

/// Why a run cannot be made short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotShrunk {
    /// Nothing is wrong with it.
    Passes,
    /// It is not the same when it is flown again: something in it is decided by other than the seed.
    NotTheSame,
}

/// Makes a failing run short, with at most so many flights.
///
/// # Errors
/// If it does not fail.
pub fn shrink(plan: Plan, system: bool, flights_max: u64) -> Result<Shrunk, NotShrunk> {
    let Film { outcome, acts: all } = film(Plan { trace: false, ..plan }, system);
    let check = outcome.violation.ok_or(NotShrunk::Passes)?.check;
    let mut flights = 1;
    let mut fails = |kept: &[ActId], calm_at: Option<u64>| {
        flights += 1;
        let script = Script::new(&all, kept.iter().copied(), calm_at);
        film_again(Plan { trace: false, ..plan }, system, script).outcome.violation.is_some_and(|v| v.check == check)
    };
    let ids: Vec<ActId> = all.iter().map(|act| act.id).filter(|id| id.track != Track::Calm).collect();
    if !fails(&ids, None) {
        return Err(NotShrunk::NotTheSame);
    }
    let mut left = flights_max;
    // A sort of acts at a time.
    let sorts: Vec<(u32, Track)> = ids.iter().map(|id| (id.cpu, id.track)).collect::<BTreeSet<_>>().into_iter().collect();
    let of = |sorts: &[(u32, Track)]| -> Vec<ActId> { ids.iter().copied().filter(|id| sorts.contains(&(id.cpu, id.track))).collect() };
    let sorts = minimize(sorts, &mut left, |sorts| fails(&of(sorts), None));
    let mut kept = minimize(of(&sorts), &mut left, |kept| fails(kept, None));
    // What heals is looked at after the trouble: it ends as soon as it may.
    let last = all.iter().filter(|act| kept.contains(&act.id)).map(|act| act.due).max();
    let calm_at = last.map(|last| last + MS).filter(|at| fails(&kept, Some(*at)));
    if calm_at.is_some() {
        kept = minimize(kept, &mut left, |kept| fails(kept, calm_at));
    }
    let script = Script::new(&all, kept.iter().copied(), calm_at);
    let Film { outcome, acts } = film_again(Plan { trace: true, ..plan }, system, script);
    let kept = all.iter().enumerate().filter(|(_, act)| kept.contains(&act.id)).map(|(place, _)| place).collect();
    Ok(Shrunk { all, kept, calm_at, acts, outcome, flights })
}

/// Leaves out of a list what is not needed for it to fail: halves, quarters, at last single items, until none can be left out any more or `left` tries
/// are used up. The whole list is known to fail.
pub fn minimize<T: Clone>(all: Vec<T>, left: &mut u64, mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut items = all;
    let mut parts = 1;
    while !items.is_empty() && *left > 0 {
        let size = items.len().div_ceil(parts);
        let mut start = 0;
        let mut shorter = false;
        while start < items.len() && *left > 0 {
            let end = (start + size).min(items.len());
            let rest: Vec<T> = items[..start].iter().chain(&items[end..]).cloned().collect();
            *left -= 1;
            if fails(&rest) {
                (items, shorter) = (rest, true);
            } else {
                start = end;
            }
        }
        match (size, shorter) {
            (1, false) => break,
            (1, true) => {}
            _ => parts = (parts * 2).max(1),
        }
        parts = parts.min(items.len().max(1));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_stays_and_nothing_else() {
        let needed = [3, 57, 58, 99];
        let fails = |items: &[u32]| needed.iter().all(|n| items.contains(n));
        let (mut left, mut asked) = (10_000, 0);
        let kept = minimize((0..100).collect(), &mut left, |items| {
            asked += 1;
            fails(items)
        });
        assert_eq!(kept, needed);
        assert!(asked < 100, "{asked} tries for 4 of 100");
    }

    #[test]
    fn what_hinders_one_another_is_found_in_another_round() {
        // 2 can only be left out when 7 is gone.
        let fails = |items: &[u32]| items.contains(&5) && (items.contains(&2) || !items.contains(&7));
        assert_eq!(minimize((0..10).collect(), &mut 10_000, fails), [5]);
        assert_eq!(minimize((0..10).collect(), &mut 10_000, |_| true), [] as [u32; 0]);
    }

    #[test]
    fn when_the_tries_are_used_up_what_is_left_still_fails() {
        let fails = |items: &[u32]| [3, 57, 99].iter().all(|n| items.contains(n));
        let mut left = 5;
        let kept = minimize((0..100).collect(), &mut left, fails);
        assert_eq!(left, 0);
        assert!(fails(&kept) && kept.len() < 100);
    }
}
