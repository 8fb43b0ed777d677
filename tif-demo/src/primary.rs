//! The primary of the service, as the agent knows it.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use tif_core::model::{Key, Name, Role};
use tif_core::wire::ProcessRow;
use tif_serve::importer::Importer;

use crate::children;
use crate::service;

/// Which process it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Primary {
    /// Its name.
    pub name: Name,
    /// Its key.
    pub key: Key,
    /// The OS process.
    pub pid: u32,
}

impl Primary {
    /// Asks the agent.
    ///
    /// # Errors
    /// If there is none, or the agent does not answer.
    pub fn find(importer: &Importer) -> anyhow::Result<Primary> {
        let primary = members(importer)?.into_iter().find(|row| row.role == Role::Primary).context("there is no primary now")?;
        Ok(Primary { name: primary.name, key: primary.key, pid: primary.pid })
    }

    /// Kills it with SIGKILL; answers when.
    ///
    /// # Errors
    /// If it is gone already, or is not of this demo.
    pub fn kill(&self, place: &Path) -> anyhow::Result<Instant> {
        children::kill(self.pid, place)
    }
}

/// The live processes of the service.
///
/// # Errors
/// If the agent does not answer.
pub fn members(importer: &Importer) -> anyhow::Result<Vec<ProcessRow>> {
    let rows = importer.processes().context("cannot ask for the processes")?;
    Ok(rows.into_iter().filter(|row| row.state.is_live() && row.service.as_ref().is_some_and(|s| s.as_str() == service::NAME)).collect())
}
