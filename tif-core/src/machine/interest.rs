//! The one interest registry: who wants to be told of what.
//!
//! Instruments, processes and (later) connections are all *resources*: somebody says "tell me when this changes". The first declaration for
//! a resource has an effect outside, so has the withdrawal of the last; all between are only counted. A waiter that declares twice must
//! withdraw twice: whether duplicates come from one process or from two makes no difference.
//!
//! From the distributed select design: duplicates are recorded and not sent, and the answer goes to every waiter.
// spec: MON-2, MON-3

use crate::defects::{Defect, defect};
use std::collections::BTreeMap;

/// Resource → waiters, each with how often it declared.
#[derive(Clone, Debug)]
pub struct Interest<R, W> {
    by_resource: BTreeMap<R, BTreeMap<W, u32>>,
}

impl<R, W> Default for Interest<R, W> {
    fn default() -> Self {
        Interest { by_resource: BTreeMap::new() }
    }
}

impl<R: Ord + Clone, W: Ord + Copy> Interest<R, W> {
    /// Declares interest. True for the first on this resource: it has to go out.
    pub fn declare(&mut self, resource: &R, waiter: W) -> bool {
        match self.by_resource.get_mut(resource) {
            Some(waiters) => {
                *waiters.entry(waiter).or_default() += u32::from(!defect(Defect::WithdrawTooEarly));
                defect(Defect::DeclareTwice)
            }
            None => {
                self.by_resource.insert(resource.clone(), BTreeMap::from([(waiter, 1)]));
                true
            }
        }
    }

    /// Withdraws one declaration. True if nobody is left: the withdrawal has to go out. Without a declaration nothing happens.
    pub fn withdraw(&mut self, resource: &R, waiter: W) -> bool {
        let Some(waiters) = self.by_resource.get_mut(resource) else { return false };
        if let Some(count) = waiters.get_mut(&waiter) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                waiters.remove(&waiter);
            }
        }
        self.drop_if_empty(resource)
    }

    /// Withdraws all declarations of a waiter on a resource. True if nobody is left and somebody was.
    pub fn withdraw_all(&mut self, resource: &R, waiter: W) -> bool {
        let Some(waiters) = self.by_resource.get_mut(resource) else { return false };
        waiters.remove(&waiter);
        self.drop_if_empty(resource)
    }

    /// The waiter is gone. Returns the resources that nobody wants any more.
    // spec: MON-5
    pub fn forget(&mut self, waiter: W) -> Vec<R> {
        let mut orphaned = Vec::new();
        if defect(Defect::KeepInterestOfGone) {
            return orphaned;
        }
        self.by_resource.retain(|resource, waiters| {
            let was_there = waiters.remove(&waiter).is_some();
            if was_there && waiters.is_empty() {
                orphaned.push(resource.clone());
            }
            !waiters.is_empty()
        });
        orphaned
    }

    /// Everybody who is to be told.
    pub fn waiters(&self, resource: &R) -> impl Iterator<Item = W> {
        self.by_resource.get(resource).into_iter().flat_map(|waiters| waiters.keys().copied())
    }

    /// Whether this one is.
    pub fn is_waiting(&self, resource: &R, waiter: W) -> bool {
        self.by_resource.get(resource).is_some_and(|waiters| waiters.contains_key(&waiter))
    }

    /// Whether anybody is.
    pub fn is_wanted(&self, resource: &R) -> bool {
        self.by_resource.contains_key(resource)
    }

    /// All that are wanted.
    pub fn resources(&self) -> impl Iterator<Item = &R> {
        self.by_resource.keys()
    }

    /// Those that this one wants.
    pub fn of(&self, waiter: W) -> impl Iterator<Item = &R> {
        self.by_resource.iter().filter(move |(_, waiters)| waiters.contains_key(&waiter)).map(|(resource, _)| resource)
    }

    /// How many resources are wanted.
    pub fn len(&self) -> usize {
        self.by_resource.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.by_resource.is_empty()
    }

    fn drop_if_empty(&mut self, resource: &R) -> bool {
        let empty = self.by_resource.get(resource).is_some_and(BTreeMap::is_empty) && !defect(Defect::DropLastWithdrawal);
        if empty {
            self.by_resource.remove(resource);
        }
        empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    // spec: MON-3
    #[test]
    fn only_the_first_declaration_and_the_last_withdrawal_go_out() {
        let mut interest = Interest::default();
        assert!(interest.declare(&"depth", 1));
        assert!(!interest.declare(&"depth", 1), "a duplicate by the same process");
        assert!(!interest.declare(&"depth", 2), "and by another");
        assert!(!interest.withdraw(&"depth", 1));
        assert!(!interest.withdraw(&"depth", 2));
        assert!(interest.withdraw(&"depth", 1));
        assert!(!interest.withdraw(&"depth", 1), "nothing left to withdraw");
    }

    // spec: MON-5
    #[test]
    fn the_interest_of_a_dead_waiter_goes() {
        let mut interest = Interest::default();
        interest.declare(&"depth", 1);
        interest.declare(&"depth", 1);
        interest.declare(&"rate", 1);
        interest.declare(&"rate", 2);
        assert_eq!(interest.forget(1), ["depth"]);
        assert_eq!(interest.waiters(&"rate").collect::<Vec<_>>(), [2]);
    }

    proptest! {
        // spec: MON-2, MON-3
        #[test]
        fn outside_one_sees_exactly_whether_somebody_is_left(steps in prop::collection::vec((0u8..3, 0u8..3, 0u8..4), 0..200)) {
            let mut interest = Interest::default();
            let mut truth: Vec<(u8, u8)> = Vec::new();
            let mut outside = [false; 3];
            for (what, resource, waiter) in steps {
                match what {
                    0 => {
                        truth.push((resource, waiter));
                        if interest.declare(&resource, waiter) { outside[resource as usize] = true }
                    }
                    1 => {
                        if let Some(at) = truth.iter().position(|t| *t == (resource, waiter)) { truth.remove(at); }
                        if interest.withdraw(&resource, waiter) { outside[resource as usize] = false }
                    }
                    _ => {
                        truth.retain(|t| t.1 != waiter);
                        for r in interest.forget(waiter) { outside[r as usize] = false }
                    }
                }
                for r in 0..3u8 {
                    prop_assert_eq!(outside[r as usize], truth.iter().any(|t| t.0 == r));
                }
            }
        }
    }
}
