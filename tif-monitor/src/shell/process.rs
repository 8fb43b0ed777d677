//! A registered process, as far as the shell has to do with it.

use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::Token;
use tif::segment::Attachment;
use tif_core::agent::io::{Conn, Observed};
use tif_core::model::Time;
use tif_core::wire::Credentials;

/// What the shell holds of a process that lives.
#[derive(Debug)]
pub struct Process {
    /// Who it is, by the operating system.
    pub credentials: Credentials,
    /// Readable when it is dead.
    pub pidfd: OwnedFd,
    /// The pidfd's place in the poll; none when it is known to be dead.
    pub token: Option<Token>,
    /// Its connection, while it has one.
    pub conn: Option<Conn>,
    /// Its segment, if it exports and has connected since the agent started.
    pub exporter: Option<Exporter>,
    /// What the core was last told of how it runs.
    pub told: Observed,
    /// It was seen stopped in the last scan.
    pub stopped: bool,
}

/// An exporter's segment, board and bell.
#[derive(Debug)]
pub struct Exporter {
    /// The three of them.
    pub attachment: Attachment,
    /// The bell's place in the poll; none while it is muted.
    pub bell: Option<Token>,
    /// When it will be looked at without being rung for; none while it is armed.
    pub look: Option<Time>,
    /// How long its last sweep took, with all that it brought.
    pub took: Duration,
    /// When a watch began last: a store that was under way then is done a moment later.
    pub watched: Time,
    /// How often it rang since it was armed. Once is right.
    pub rings: u32,
}
