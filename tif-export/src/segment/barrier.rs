//! The two halves of an asymmetric barrier: cheap where updates are made, dear where the agent sweeps.
//!
//! A store and a later load of another word may change places in a processor's store buffer. To forbid that, both sides need a barrier between their
//! store and their load. With `membarrier(GLOBAL_EXPEDITED)` the agent can make every thread of the exporter execute one, so that the exporter's half is
//! only an instruction to the compiler. Where the kernel does not offer that, both halves are fences.

use std::sync::atomic::{AtomicU32, Ordering, compiler_fence, fence};

use rustix::thread::{MembarrierCommand, MembarrierQuery, membarrier, membarrier_query};

/// Registers this process for barriers from others. Once per process: it takes the kernel some milliseconds when there are several threads.
pub(crate) fn register() -> bool {
    static DONE: parking_lot::Mutex<Option<bool>> = parking_lot::Mutex::new(None);
    let mut done = DONE.lock();
    *done.get_or_insert_with(|| {
        offered(MembarrierQuery::REGISTER_GLOBAL_EXPEDITED) && membarrier(MembarrierCommand::RegisterGlobalExpedited).is_ok()
    })
}

/// Whether this process can make others execute a barrier.
pub(crate) fn can_reach_others() -> bool {
    offered(MembarrierQuery::GLOBAL_EXPEDITED) && membarrier(MembarrierCommand::GlobalExpedited).is_ok()
}

fn offered(command: MembarrierQuery) -> bool {
    membarrier_query().contains(command)
}

/// The exporter's half. `mode` is the word at [`tif_core::layout::board::BARRIER`] of the board that it goes by.
#[inline]
pub(crate) fn light(mode: &AtomicU32) {
    // Relaxed: the word is written before the board is handed over and never again.
    if mode.load(Ordering::Relaxed) == 1 { compiler_fence(Ordering::SeqCst) } else { fence(Ordering::SeqCst) }
}

/// The agent's half, for a board whose word at [`tif_core::layout::board::BARRIER`] is `asymmetric`.
pub(crate) fn heavy(asymmetric: bool) {
    fence(Ordering::SeqCst);
    // It was tried before `asymmetric` was promised and does not fail later; if it did, a change would be seen a sweep late, not lost for ever.
    if asymmetric && let Err(error) = membarrier(MembarrierCommand::GlobalExpedited) {
        tracing::error!(target: "tif::segment", %error, "the barrier for exporters failed");
    }
}
