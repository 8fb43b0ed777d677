//! A counter.

use crate::segment::CounterCell;

/// Counts events; only grows.
///
/// Adding costs about as much as adding to a variable: each thread has a cell of its own. Safe in a signal handler.
// spec: EXP-2
pub struct Counter {
    cell: CounterCell,
}

impl Counter {
    pub(crate) fn new(cell: CounterCell) -> Counter {
        Counter { cell }
    }

    /// One more.
    #[inline]
    pub fn inc(&self) {
        self.cell.add(1);
    }

    /// `n` more.
    #[inline]
    pub fn add(&self, n: u64) {
        self.cell.add(n);
    }

    /// How many there were, over all threads. Not for the hot path: it adds up the threads' cells.
    pub fn get(&self) -> u64 {
        self.cell.sum()
    }
}
