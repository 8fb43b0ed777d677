//! Threads of the service.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::thread::{Builder, JoinHandle};

/// The status of a process that a panic has ended, as of a `main` that panics.
const STATUS_PANIC: i32 = 101;

/// Starts a thread without which the service cannot go on: if it panics, the process ends and the standby takes over.
///
/// # Errors
/// If the system gives no thread.
pub fn start(name: String, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    Builder::new().name(name).spawn(|| {
        // The panic's own message is on standard error already.
        if catch_unwind(AssertUnwindSafe(run)).is_err() {
            process::exit(STATUS_PANIC);
        }
    })
}
