//! Whether an instrument still has its place.

use parking_lot::Mutex;

/// Open while an instrument has its place in the segment. What the exporter stores there, on threads of its own, it stores through the gate:
/// the service may drop the instrument at any moment, and another may get the place.
// spec: EXP-8
pub(crate) struct Gate(Mutex<bool>);

impl Gate {
    pub(crate) fn new() -> Gate {
        Gate(Mutex::new(true))
    }

    /// Stores, unless the place is no longer the instrument's. Must not run the service's code: whoever withdraws waits for it.
    pub(crate) fn pass<R>(&self, store: impl FnOnce() -> R) -> Option<R> {
        let is_open = self.0.lock();
        is_open.then(store)
    }

    /// Nothing is stored any more when this has returned.
    pub(crate) fn close(&self) {
        *self.0.lock() = false;
    }
}
