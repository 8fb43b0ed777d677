//! What the process is to its agent from one registration to the next: one life, over any number of connections.

use std::os::fd::OwnedFd;
use std::time::Duration;

use tif_core::model::{Key, Name, Refusal};
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
    key: Option<Key>,
    /// What it was called last.
    name: Option<Name>,
}

impl Life {
    pub(super) fn new(options: Options) -> Life {
        Life { options, nonce: None, key: None, name: None }
    }

    pub(super) fn run_dir(&self) -> RunDir {
        RunDir::resolve(self.options.run_dir.as_deref())
    }

    /// It is registered. Whether that is another life than the one that it had.
    pub(super) fn begin(&mut self, welcome: &Welcome) -> bool {
        self.name = Some(welcome.name.clone());
        self.key.replace(welcome.key).is_some_and(|before| before != welcome.key)
    }

    /// The next registration is another life, under the same name where that is free: nobody else would end what is left of the former one.
    // spec: PSM-7, PSM-10
    pub(super) fn end(&mut self) {
        *self = Life { name: self.name.take(), ..Life::new(self.options.clone()) };
    }

    /// Whether somebody else has its former name by now, so that it takes any.
    pub(super) fn takes_another_name(&mut self, refusal: &Refusal) -> bool {
        let is_taken = self.key.is_none() && self.options.process.is_none() && matches!(refusal, Refusal::NameTaken { .. });
        is_taken && self.name.take().is_some()
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
        let identity = match self.options.process.as_ref().or(self.name.as_ref()) {
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
