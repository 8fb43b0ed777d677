//! A process of a service that was started.

use std::time::Duration;

use tif_core::model::{Epoch, Key, MemberNumber, Name, Role};

use crate::exporter::Exporter;

/// The process, as the agent sees it. When the last handle of a service is dropped, the process takes its leave of the agent.
///
/// A process that simply ends is noticed, too; taking leave tells that it meant to.
#[must_use = "dropping the handle unregisters the process"]
pub struct ServiceHandle {
    exporter: Exporter,
}

impl ServiceHandle {
    pub(super) fn new(exporter: Exporter) -> ServiceHandle {
        ServiceHandle { exporter }
    }

    /// Whether the agent knows this process now.
    pub fn is_connected(&self) -> bool {
        self.exporter.standing().is_connected()
    }

    /// Waits until it does; false: the time is over.
    pub fn wait_connected(&self, timeout: Duration) -> bool {
        self.exporter.standing().wait_connected(timeout)
    }

    /// What it is to its service. Of what is dormant in a standby only the service knows: it asks here, or is called.
    pub fn role(&self) -> Role {
        self.exporter.standing().role()
    }

    /// Whether it is the primary.
    pub fn is_primary(&self) -> bool {
        self.role() == Role::Primary
    }

    /// The term in which it is so.
    pub fn epoch(&self) -> Epoch {
        self.exporter.standing().epoch()
    }

    /// Its key; none before the first registration.
    pub fn key(&self) -> Option<Key> {
        self.exporter.standing().key()
    }

    /// Its name; none before the first registration.
    pub fn name(&self) -> Option<Name> {
        self.exporter.standing().name()
    }

    /// What it is called among the members of its service's group, on whatever CPUs they are: no two that live have the same number, and it keeps its own for
    /// its life. None where it is no member, and until it has found one: where there are other CPUs that takes a moment after its registration. If CPUs that
    /// were cut apart find that members of theirs have the same, one of the two has none for a moment, and then another.
    // spec: GRP-1, GRP-2
    pub fn member_number(&self) -> Option<MemberNumber> {
        self.exporter.standing().number()
    }

    /// Waits until it is the primary, and in which term; none: the time is over.
    pub fn wait_primary(&self, timeout: Duration) -> Option<Epoch> {
        self.exporter.standing().wait_primary(timeout)
    }

    /// How many instruments are not exported because they did not fit or their name was taken.
    // spec: EXP-8
    pub fn overflow(&self) -> u64 {
        self.exporter.home().overflow()
    }

    /// Takes leave now; the same as dropping the handle.
    pub fn unregister(self) {}
}

impl Drop for ServiceHandle {
    fn drop(&mut self) {
        self.exporter.release();
    }
}
