//! The door: who may come in, and whether what they bring is what they say. Behind it nothing is checked twice.
// spec: SEC-1, SEC-2, EXP-7, PSM-9

use std::io;
use std::os::fd::OwnedFd;

use tif::segment::Attachment;
use tif_core::agent::io::{SlotDeclared, TableChange};
use tif_core::machine::versions::agree;
use tif_core::model::{Name, Refusal};
use tif_core::wire::{Credentials, Hello, Registration, SPOKEN, SegmentFacts};
use tif_process::peer;

/// What a process leaves with the agent while it is there.
#[derive(Debug)]
pub struct Guest {
    /// Who it is, by the operating system.
    pub credentials: Credentials,
    /// Becomes readable when it has died.
    pub pidfd: OwnedFd,
    /// Its segment, if it exports.
    pub attachment: Option<Attachment>,
}

/// A `Hello` that was found right.
#[derive(Debug)]
pub struct Knock {
    /// What it said.
    pub hello: Hello,
    /// What the core needs to know of its segment.
    pub facts: Option<SegmentFacts>,
    /// What is declared there.
    pub declared: Vec<SlotDeclared>,
    /// What the shell keeps.
    pub guest: Guest,
}

/// May this user talk to the agent at all?
///
/// # Errors
/// The refusal to send.
// spec: SEC-1
pub fn admit(peer: &Credentials) -> Result<(), Refusal> {
    let own = rustix::process::geteuid().as_raw();
    if peer.uid == own || peer.uid == 0 {
        return Ok(());
    }
    Err(Refusal::Denied { reason: format!("this agent serves user {own} and root, and you are user {}", peer.uid) })
}

/// Looks at a `Hello` and at the descriptors that came with it.
///
/// # Errors
/// The refusal to send. All descriptors are closed.
pub fn open(hello: Hello, fds: Vec<OwnedFd>, peer: &Credentials) -> Result<Knock, Refusal> {
    agree(&SPOKEN, &hello.offer)?;
    let brought = fds.len();
    let mut fds = fds.into_iter();
    let (attachment, pidfd) = match (&hello.registration, fds.next(), fds.next(), fds.next()) {
        (Registration::Exporter { service, .. }, Some(segment), Some(bell), Some(pidfd)) if brought == 3 => {
            (Some(attach(service, segment, bell)?), Some(pidfd))
        }
        (Registration::Importer, pidfd, None, None) => (None, pidfd),
        (Registration::Exporter { .. }, ..) => {
            return Err(malformed(format!("an exporter's Hello brings segment, doorbell and pidfd; {brought} descriptors came")));
        }
        (Registration::Importer, ..) => {
            return Err(malformed(format!("an importer's Hello brings a pidfd at most; {brought} descriptors came")));
        }
    };
    let (credentials, pidfd) = identify(peer, pidfd.as_ref())?;
    let mut guest = Guest { credentials, pidfd, attachment };
    let (facts, declared) = match &mut guest.attachment {
        Some(attachment) => (Some(attachment.facts()), declarations(attachment.scan())),
        None => (None, Vec::new()),
    };
    Ok(Knock { hello, facts, declared, guest })
}

fn malformed(reason: String) -> Refusal {
    Refusal::Malformed { reason }
}

fn attach(service: &Name, segment: OwnedFd, bell: OwnedFd) -> Result<Attachment, Refusal> {
    let attachment = Attachment::open(segment, bell).map_err(|e| malformed(format!("the segment cannot be used: {e}")))?;
    if attachment.service() != *service {
        return Err(malformed(format!("the segment is of service {}, the Hello of {service}", attachment.service())));
    }
    Ok(attachment)
}

/// The process, for certain: while its own pidfd shows that it lives, pid and start time are read and another pidfd is opened by them, so that no
/// process that got its pid later can be meant, and nothing depends on how the process opened the one it sent.
// spec: PSM-9
fn identify(peer: &Credentials, theirs: Option<&OwnedFd>) -> Result<(Credentials, OwnedFd), Refusal> {
    let gone = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => malformed(format!("process {} is gone", peer.pid)),
        _ => malformed(format!("process {} cannot be looked at: {error}", peer.pid)),
    };
    let credentials = Credentials { started: peer::started(peer.pid).map_err(gone)?, ..*peer };
    let shown = theirs.map(peer::pidfd_pid);
    if let Some(shown) = shown
        && shown != Some(peer.pid)
    {
        let of = shown.map_or("of no living process".into(), |pid| format!("of process {pid}"));
        return Err(malformed(format!("the pidfd is {of}; the socket is of process {}", peer.pid)));
    }
    let pidfd = peer::open_pidfd(&credentials).map_err(gone)?;
    Ok((credentials, pidfd))
}

fn declarations(table: Vec<TableChange>) -> Vec<SlotDeclared> {
    let declared = |change| match change {
        TableChange::Declared(declared) => Some(*declared),
        TableChange::Withdrawn(_) => None,
    };
    table.into_iter().filter_map(declared).collect()
}
