//! How the service's threads wake the exporter's.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use tif_core::model::Slot;

/// An eventfd, and what there is to be done.
pub(crate) struct Doorbell {
    fd: Option<OwnedFd>,
    /// Test points that have disarmed themselves. At most one entry a point.
    disarmed: Mutex<Vec<Slot>>,
    /// Dynamic indicators have come. Release when set, acquire when taken: whoever takes it sees them.
    look: AtomicBool,
}

impl Doorbell {
    /// Without a descriptor, if the system has none left: then the exporter looks when it wakes by itself.
    pub(crate) fn new() -> Doorbell {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .inspect_err(|error| tracing::error!(target: "tif::export", %error, "no doorbell for the exporter's thread"))
            .ok();
        Doorbell { fd, disarmed: Mutex::new(Vec::new()), look: AtomicBool::new(false) }
    }

    /// Wakes the thread.
    pub(crate) fn ring(&self) {
        if let Some(fd) = &self.fd {
            // Fails only if it is rung 2^64 times without an answer.
            let _ = rustix::io::write(fd, &1u64.to_ne_bytes());
        }
    }

    /// A test point has disarmed itself.
    pub(crate) fn disarmed(&self, slot: Slot) {
        let mut disarmed = self.disarmed.lock();
        if !disarmed.contains(&slot) {
            disarmed.push(slot);
        }
        drop(disarmed);
        self.ring();
    }

    /// Dynamic indicators have come.
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

    pub(super) fn take_disarmed(&self) -> Vec<Slot> {
        std::mem::take(&mut *self.disarmed.lock())
    }

    pub(super) fn take_look(&self) -> bool {
        self.look.swap(false, Ordering::Acquire)
    }
}
