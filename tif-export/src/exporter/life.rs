//! What the process is to its agent from one registration to the next: one life, over any number of connections.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tif_core::model::{Key, Refusal};
use tif_core::wire::{Hello, Identity, Registration, Resume, Welcome};
use tif_process::{ConnectError, Connection, RunDir};

use super::registry::Exporter;
use super::standing::Options;

/// How long the agent may take to answer a `Hello`.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A registration: the options it was made with, its nonce, and its key when it has one.
pub(super) struct Life {
    pub(super) options: Options,
    nonce: Option<u128>,
    pub(super) key: Option<Key>,
}

impl Life {
    pub(super) fn new(options: Options) -> Life {
        Life { options, nonce: None, key: None }
    }

    pub(super) fn run_dir(&self) -> RunDir {
        RunDir::resolve(self.options.run_dir.as_deref())
    }

    /// The next registration is another life.
    pub(super) fn end(&mut self) {
        *self = Life::new(self.options.clone());
    }

    /// Connects, and goes on under the key that it had, if it had one.
    // spec: EXP-3
    pub(super) fn connect(&mut self, exporter: &Exporter) -> Result<(Connection, Welcome, Vec<OwnedFd>), ConnectError> {
        let segment = exporter.home().segment().ok_or(ConnectError::Closed)?;
        let hello = self.hello(exporter);
        let pidfd = tif_process::own_pidfd().map_err(ConnectError::Io)?;
        let fds = [segment.fd(), segment.bell(), std::os::fd::AsFd::as_fd(&pidfd)];
        Connection::open(&self.run_dir(), hello, &fds, ANSWER_TIMEOUT)
    }

    fn hello(&mut self, exporter: &Exporter) -> Hello {
        let service = exporter.service().clone();
        let identity = match &self.options.process {
            Some(name) => Identity::Exactly(name.clone()),
            None => Identity::Pick(service.clone()),
        };
        let registration = Registration::Exporter { service, grouped: self.options.grouped, weight: self.options.weight };
        let mut hello = tif_process::hello(identity, registration, program(), self.key.map(|key| Resume { key }));
        // The same registration again has the same number.
        hello.nonce = *self.nonce.get_or_insert(hello.nonce);
        hello
    }

    /// Whether a refusal means that another process, or another life, has taken this one's place.
    // spec: PSM-7
    pub(super) fn is_over(&self, refusal: &Refusal) -> bool {
        self.key.is_some() && matches!(refusal, Refusal::StaleKey { .. } | Refusal::NameTaken { .. })
    }
}

/// What people call this program.
fn program() -> String {
    let path = std::env::current_exe().ok();
    let name = path.as_deref().and_then(|p| p.file_name()).map(|n| n.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "unknown".to_owned())
}
