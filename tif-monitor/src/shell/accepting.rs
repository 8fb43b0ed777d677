//! Who comes in, who is sent away again for saying nothing, and what happens when there are no descriptors.
// spec: SEC-1, SEC-2, SEC-3

use std::os::unix::net::UnixStream;
use std::time::Duration;

use tif_core::agent::io::Conn;
use tif_core::limits::CONNECTIONS_MAX;
use tif_core::model::Refusal;
use tif_process::peer;

use super::sources::Source;
use super::{Shell, now};
use crate::local::connection::Stage;
use crate::local::{Connection, door};

/// Connections accepted in one turn.
const ACCEPTS_MAX: usize = 64;
/// Connections that have not yet said who they are; beyond, the one that is silent for longest goes.
const SILENT_MAX: usize = 128;
/// How long one may take to say who it is, and how long a closing one may take to read why.
const PATIENCE: Duration = Duration::from_secs(5);

impl Shell {
    /// Lets in who waits at the door. While there are no descriptors they wait.
    pub(super) fn accept(&mut self) {
        if !std::mem::take(&mut self.waiting) {
            return;
        }
        for _ in 0..ACCEPTS_MAX {
            let accepted = if self.listener.has_room() { self.listener.accept() } else { Err(rustix::io::Errno::MFILE.into()) };
            match accepted {
                Ok(Some(socket)) => self.let_in(socket),
                Ok(None) => return,
                Err(error) => {
                    // Descriptors or memory are used up: again after the next close, at the latest with the next scan.
                    self.figures.accepts_failed += 1;
                    self.scan.accept_again = true;
                    if !std::mem::replace(&mut self.scan.accept_warned, true) {
                        tracing::warn!(target: "tif::door", %error, "cannot accept connections now");
                    }
                    return;
                }
            }
        }
        self.waiting = true;
    }

    fn let_in(&mut self, socket: UnixStream) {
        let conn = Conn(self.conn_last + 1);
        let credentials = match peer::credentials(&socket) {
            Ok(credentials) => credentials,
            // Gone already.
            Err(_) => return,
        };
        let token = match self.sources.add(&socket, Source::Conn(conn)) {
            Ok(token) => token,
            Err(error) => {
                tracing::warn!(target: "tif::door", %error, "cannot watch a connection");
                return;
            }
        };
        self.conn_last = conn.0;
        self.connections.insert(conn, Connection::new(conn, token, socket, credentials, now().time));
        self.figures.connections_accepted += 1;
        if let Err(refusal) = door::admit(&credentials) {
            self.refuse(conn, refusal);
        } else if self.connections.len() > CONNECTIONS_MAX {
            self.refuse(conn, Refusal::TooMany { what: "connections".into(), max: CONNECTIONS_MAX as u64 });
        } else {
            self.readable.insert(conn);
            self.thin_out();
        }
    }

    fn thin_out(&mut self) {
        let silent = || self.connections.values().filter(|c| c.stage == Stage::Silent);
        if silent().count() > SILENT_MAX
            && let Some(oldest) = silent().map(|c| c.conn).min()
        {
            self.cut(oldest, "too many say nothing");
        }
    }

    /// Sends away who has said nothing for too long, or does not go.
    pub(super) fn scan_connections(&mut self) {
        self.waiting |= std::mem::take(&mut self.scan.accept_again);
        let time = now().time;
        let late: Vec<(Conn, Stage)> = self
            .connections
            .values()
            .filter(|c| match c.stage {
                Stage::Silent => time.since(c.since) > PATIENCE,
                Stage::Closing { since } => time.since(since) > PATIENCE,
                Stage::Known => false,
            })
            .map(|c| (c.conn, c.stage))
            .collect();
        for (conn, stage) in late {
            match stage {
                Stage::Silent => self.refuse(conn, Refusal::Malformed { reason: "no Hello came in time".into() }),
                _ => self.cut(conn, "it does not go"),
            }
        }
    }
}
