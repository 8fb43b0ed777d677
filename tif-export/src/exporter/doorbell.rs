//! How the service's threads wake the exporter's.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use tif_core::model::Slot;

/// An eventfd, and what there is to be done.
pub(crate) struct Doorbell {
    fd: Option<OwnedFd>,
    /// Test points that have disarmed themselves, and which arming that was the end of. At most one entry a slot: the latest.
    disarmed: Mutex<BTreeMap<Slot, u64>>,
    /// Dynamic indicators have come or gone. Release when set, acquire when taken: whoever takes it sees them.
    look: AtomicBool,
    /// Controls have come, whose values may lie on the board already. As `look`.
    retake: AtomicBool,
}

impl Doorbell {
    /// Without a descriptor, if the system has none left: then the exporter looks when it wakes by itself.
    pub(crate) fn new() -> Doorbell {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .inspect_err(|error| tracing::error!(target: "tif::export", %error, "no doorbell for the exporter's thread"))
            .ok();
        Doorbell { fd, disarmed: Mutex::default(), look: AtomicBool::new(false), retake: AtomicBool::new(false) }
    }

    /// Wakes the thread.
    pub(crate) fn ring(&self) {
        if let Some(fd) = &self.fd {
            // Fails only if it is rung 2^64 times without an answer.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }

    /// A test point has disarmed itself, which ended this arming.
    pub(crate) fn disarmed(&self, slot: Slot, arming: u64) {
        self.disarmed.lock().insert(slot, arming);
        self.ring();
    }

    /// Controls have come.
    pub(crate) fn retake(&self) {
        self.retake.store(true, Ordering::Release);
        self.ring();
    }

    /// Dynamic indicators have come or gone.
    pub(crate) fn look(&self) {
        self.look.store(true, Ordering::Release);
        self.ring();
    }

    /// To be polled, for reading.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.fd.as_ref().map(AsFd::as_fd)
    }

    /// Answers the bell: it is quiet again.
    pub(super) fn answer(&self) {
        if let Some(fd) = &self.fd {
            // Non-blocking: there may be nothing to be read.
            let _ = rustix::io::read(fd, &mut [0u8; 8]);
        }
    }

    pub(super) fn take_disarmed(&self) -> BTreeMap<Slot, u64> {
        std::mem::take(&mut *self.disarmed.lock())
    }

    pub(super) fn take_retake(&self) -> bool {
        self.retake.swap(false, Ordering::Acquire)
    }

    pub(super) fn take_look(&self) -> bool {
        self.look.swap(false, Ordering::Acquire)
    }
}
