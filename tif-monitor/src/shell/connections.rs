//! Connections: being read in turn, being written, going.
// spec: SEC-2, SEC-3, MON-6

use std::time::Duration;

use tif_core::agent::io::{Conn, Input};
use tif_core::model::{Key, Refusal};
use tif_core::wire::{Envelope, ToAgent, ToProcess};

use super::{Shell, now};
use crate::local::connection::{Cut, Stage};
use crate::local::{Connection, Knock, door};

/// How long a closed connection waits for its process's death. The kernel closes a dying process's files just before it says that it is dead.
const GRACE: Duration = Duration::from_millis(20);
/// Bytes of unfinished frames, over all connections.
const PENDING_MAX: usize = 64 << 20;

impl Shell {
    pub(super) fn on_connection_event(&mut self, conn: Conn, readable: bool, writable: bool) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        if writable {
            connection.on_writable();
            self.dirty.insert(conn);
        }
        if readable {
            self.readable.insert(conn);
        }
    }

    /// Takes a portion of every connection that has something.
    pub(super) fn read_connections(&mut self) {
        for conn in std::mem::take(&mut self.readable) {
            if self.read(conn) {
                self.readable.insert(conn);
            }
        }
        let pending: usize = self.connections.values().map(Connection::pending).sum();
        if pending > PENDING_MAX
            && let Some(greatest) = self.connections.values().max_by_key(|c| c.pending()).map(|c| c.conn)
        {
            self.cut(greatest, "too much of an unfinished message");
        }
    }

    /// Reads a portion. True: there may be more.
    pub(super) fn read(&mut self, conn: Conn) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        if matches!(connection.stage, Stage::Closing { .. }) {
            return false;
        }
        let filled = connection.fill(&mut self.buffer);
        // What came before the end counts.
        while let Some(connection) = self.connections.get_mut(&conn)
            && !matches!(connection.stage, Stage::Closing { .. })
        {
            match connection.next_message() {
                Ok(Some(message)) => self.on_message(conn, message),
                Ok(None) => break,
                Err(cut) => {
                    self.figures.frames_refused += 1;
                    self.refuse(conn, Refusal::Malformed { reason: in_full(&cut) });
                    return false;
                }
            }
        }
        match filled {
            Ok(more) => more,
            Err(Cut::Ended | Cut::Io(_)) => {
                self.hang_up(conn);
                false
            }
            Err(cut) => {
                self.refuse(conn, Refusal::Malformed { reason: in_full(&cut) });
                false
            }
        }
    }

    fn on_message(&mut self, conn: Conn, message: Envelope<ToAgent>) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match (connection.stage, message.body) {
            (Stage::Silent, ToAgent::Hello(hello)) => {
                let fds = std::mem::take(&mut connection.fds);
                match door::open(hello, fds, &connection.credentials) {
                    Ok(knock) => self.on_knock(conn, knock),
                    Err(refusal) => self.refuse(conn, refusal),
                }
            }
            (Stage::Silent, _) => self.refuse(conn, Refusal::Malformed { reason: "the first message is Hello".into() }),
            (_, ToAgent::Hello(_)) => self.refuse(conn, Refusal::Malformed { reason: "there is one Hello in a connection".into() }),
            (_, body) => {
                // What a process wrote into its segment before it spoke is known before it is heard: or a successor would seem to lack instruments.
                if self.processes.get(&message.from).is_some_and(|p| p.conn == Some(conn)) {
                    self.sweep(message.from);
                }
                self.feed(Input::Message { conn, from: message.from, to: message.to, body: Box::new(body) });
            }
        }
    }

    fn on_knock(&mut self, conn: Conn, knock: Knock) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Knock { hello, facts, declared, guest } = knock;
        let credentials = guest.credentials;
        connection.stage = Stage::Known;
        connection.known = true;
        connection.guest = Some(guest);
        self.feed(Input::Hello { conn, credentials, hello: Box::new(hello), segment: facts, declared });
    }

    /// Says why and closes.
    pub(super) fn refuse(&mut self, conn: Conn, refusal: Refusal) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        tracing::info!(target: "tif::door", conn = conn.0, pid = connection.credentials.pid, %refusal, "refused");
        self.figures.refused_at_door += 1;
        let known = std::mem::take(&mut connection.known);
        connection.stage = Stage::Closing { since: now().time };
        connection.guest = None;
        connection.fds.clear();
        // Its key, if it has one, is not needed to understand this.
        if connection.queue(self.own, Key::NONE, ToProcess::Refused { req: 0, refusal }).is_err() {
            self.cut(conn, "it does not read");
        }
        self.dirty.insert(conn);
        if known {
            self.on_closed(conn);
        }
    }

    /// The process has closed. If it is dying, its death follows within a moment and is all that is told.
    fn hang_up(&mut self, conn: Conn) {
        // One that is not admitted yet is not watched: of it the core hears at once, before it can be admitted over a connection that is gone.
        if self.connections.get_mut(&conn).is_some_and(|c| c.guest.is_none() && std::mem::take(&mut c.known)) {
            self.hangups.insert((now().time + GRACE, conn));
        }
        self.cut(conn, "closed by the process");
    }

    /// Those that closed and live.
    pub(super) fn take_hangups(&mut self) {
        let time = now().time;
        while let Some((at, conn)) = self.hangups.first().copied()
            && at <= time
        {
            self.hangups.pop_first();
            self.on_closed(conn);
        }
    }

    /// Closes at once.
    pub(super) fn cut(&mut self, conn: Conn, why: &str) {
        let Some(connection) = self.connections.remove(&conn) else { return };
        tracing::debug!(target: "tif::door", conn = conn.0, pid = connection.credentials.pid, why, "connection closed");
        self.sources.remove(&connection, connection.token);
        self.readable.remove(&conn);
        self.dirty.remove(&conn);
        let known = connection.known;
        drop(connection);
        self.waiting |= std::mem::take(&mut self.scan.accept_again);
        if known {
            self.on_closed(conn);
        }
    }

    fn on_closed(&mut self, conn: Conn) {
        for process in self.processes.values_mut().filter(|p| p.conn == Some(conn)) {
            process.conn = None;
        }
        // Not fed at once: this can happen while outputs are being done. The turn ends with nothing left.
        self.inputs.push_back(Input::Closed { conn });
    }

    /// Writes what is to be written, and pulls reports where there is room.
    // spec: MON-6
    pub(super) fn flush(&mut self) {
        loop {
            self.settle();
            let dirty = std::mem::take(&mut self.dirty);
            if dirty.is_empty() {
                return;
            }
            for conn in dirty {
                match self.write(conn) {
                    Ok(()) => {}
                    Err(Cut::Io(_)) => self.hang_up(conn),
                    Err(cut) => self.cut(conn, &in_full(&cut)),
                }
            }
        }
    }

    fn write(&mut self, conn: Conn) -> Result<(), Cut> {
        loop {
            let Some(connection) = self.connections.get_mut(&conn) else { return Ok(()) };
            while connection.wants_reports() {
                match self.agent.pull(conn) {
                    Some((to, message)) => connection.queue(self.own, to, message)?,
                    None => connection.has_reports = false,
                }
            }
            let all = connection.flush()?;
            if !all || !connection.wants_reports() {
                if all && matches!(connection.stage, Stage::Closing { .. }) {
                    self.cut(conn, "as it was to be");
                }
                return Ok(());
            }
        }
    }
}

/// With its cause.
fn in_full(cut: &Cut) -> String {
    match std::error::Error::source(cut) {
        Some(source) => format!("{cut}: {source}"),
        None => cut.to_string(),
    }
}
