//! How many files are between the queue and the index.

use parking_lot::{Condvar, Mutex};

/// Counts files under way, so that one can wait until there are none.
#[derive(Debug, Default)]
pub struct Flow {
    count: Mutex<usize>,
    empty: Condvar,
}

impl Flow {
    /// One more.
    pub fn enter(&self) {
        *self.count.lock() += 1;
    }

    /// So many less.
    pub fn leave(&self, files: usize) {
        let mut count = self.count.lock();
        // More cannot have left than have entered.
        *count -= files;
        if *count == 0 {
            self.empty.notify_all();
        }
    }

    /// Waits until there are none.
    pub fn wait_empty(&self) {
        let mut count = self.count.lock();
        while *count > 0 {
            self.empty.wait(&mut count);
        }
    }
}
