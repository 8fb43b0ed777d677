//! An indicator whose value is computed when somebody looks.
// spec: INS-2

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::judge::Judge;
use crate::Shown;
use crate::gate::Gate;
use crate::panics;
use crate::value::Cell;

/// Shows what a closure yields: on request, and every so often while somebody watches, never otherwise. The closure runs on a thread of
/// the library.
pub struct Dynamic<T: Shown> {
    side: Arc<Side<T>>,
}

/// What a provider may yield: the value, or a `Result` with an error that can be displayed.
pub trait Provided<T> {
    /// The value, or why there is none.
    fn provided(self) -> Result<T, String>;
}

impl<T: Shown> Provided<T> for T {
    fn provided(self) -> Result<T, String> {
        Ok(self)
    }
}

impl<T: Shown, E: Display> Provided<T> for Result<T, E> {
    fn provided(self) -> Result<T, String> {
        self.map_err(|e| e.to_string())
    }
}

type Provider<T> = Arc<dyn Fn() -> Result<T, String> + Send + Sync>;

struct Side<T: Shown> {
    cell: T::Cell,
    judge: Box<Judge>,
    gate: Gate,
    every: Duration,
    provider: Mutex<Option<Provider<T>>>,
    /// The last computation failed, or was missed. Relaxed: it orders nothing.
    failed: AtomicBool,
}

impl<T: Shown> Dynamic<T> {
    pub(crate) fn new(cell: T::Cell, judge: Box<Judge>, every: Duration) -> Dynamic<T> {
        let side = Side { cell, judge, gate: Gate::new(), every, provider: Mutex::new(None), failed: AtomicBool::new(false) };
        Dynamic { side: Arc::new(side) }
    }

    pub(crate) fn side(&self) -> Arc<dyn DynamicSide> {
        Arc::clone(&self.side) as Arc<dyn DynamicSide>
    }

    /// Sets the closure that yields the value, or a `Result` of it. A later one replaces it.
    pub fn provide<R: Provided<T>>(&self, provider: impl Fn() -> R + Send + Sync + 'static) {
        // The one before is dropped without the lock: it may own what comes back here.
        let before = self.side.provider.lock().replace(Arc::new(move || provider().provided()));
        drop(before);
    }

    /// Calls the closure now, for tests.
    ///
    /// # Errors
    /// With the closure's error, or that there is no closure, or that it panicked.
    pub fn read(&self) -> Result<T, String> {
        self.side.yielded()
    }
}

impl<T: Shown> Side<T> {
    fn yielded(&self) -> Result<T, String> {
        let provider = self.provider.lock().clone();
        let provider = provider.ok_or("the service has not said yet how to compute it")?;
        catch_unwind(AssertUnwindSafe(|| provider())).unwrap_or_else(|payload| Err(format!("panicked: {}", panics::text(&*payload))))
    }
}

/// A dynamic indicator as the exporter sees it.
pub(crate) trait DynamicSide: Send + Sync {
    /// Computes and stores it; one computation after the other. Of one that was withdrawn meanwhile nothing is said.
    fn compute(&self) -> Result<(), String>;
    /// The agent is told that there is no value: the next one is news.
    fn missed(&self);
    /// Stores nothing any more: its place is given back.
    fn close(&self);
    /// How often while watched.
    fn every(&self) -> Duration;
}

impl<T: Shown> DynamicSide for Side<T> {
    fn compute(&self) -> Result<(), String> {
        let result = self.yielded();
        // spec: EXP-8
        let is_there = self.gate.pass(|| match &result {
            Ok(value) => {
                // After a failure the value is news even if it is the old one.
                let was_failed = self.failed.swap(false, Ordering::Relaxed);
                self.cell.put(value, |sent| was_failed || self.judge.is_significant(sent, value));
            }
            Err(_) => self.failed.store(true, Ordering::Relaxed),
        });
        if is_there.is_some() { result.map(|_| ()) } else { Ok(()) }
    }

    fn missed(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    fn close(&self) {
        self.gate.close();
    }

    fn every(&self) -> Duration {
        self.every
    }
}
