//! Connections: being read in turn, being written, going.
// spec: SEC-2, SEC-3, MON-6

use std::time::Duration;

use tif_core::agent::io::{Conn, Input};
use tif_core::limits::REGISTRATIONS_MAX;
use tif_core::model::{Key, Refusal, Time};
use tif_core::wire::{Envelope, ToAgent, ToProcess};

use super::{Shell, now};
use crate::local::connection::{Cut, Stage};
use crate::local::{Knock, door};

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
        for conn in too_much(self.connections.values().map(|c| (c.conn, c.pending())), PENDING_MAX) {
            self.cut(conn, "too much of an unfinished message");
        }
    }

    /// Reads a portion. True: there may be more.
    pub(super) fn read(&mut self, conn: Conn) -> bool {
        let Some(connection) = self.connections.get_mut(&conn) else { return false };
        if matches!(connection.stage, Stage::Closing { .. }) {
            return false;
        }
        connection.swept = false;
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
                // The whole portion was there before this look, so that one is enough for all messages in it, however many they are.
                if !connection.swept && self.processes.get(&message.from).is_some_and(|p| p.conn == Some(conn)) {
                    connection.swept = true;
                    self.sweep(message.from);
                }
                self.feed(Input::Message { conn, from: message.from, to: message.to, body: Box::new(body) });
            }
        }
    }

    fn on_knock(&mut self, conn: Conn, knock: Knock) {
        self.bury_the_dead();
        if let Err(refusal) = self.has_room_for(&knock) {
            return self.refuse(conn, refusal);
        }
        self.hasten_hangups(&knock);
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

    /// Bounds what one OS process can make the agent hold by registering again and again. To come back for what it has costs nothing.
    // spec: SEC-2, SEC-3
    fn has_room_for(&self, knock: &Knock) -> Result<(), Refusal> {
        let credentials = &knock.guest.credentials;
        if knock.hello.resume.as_ref().and_then(|r| self.processes.get(&r.key)).is_some_and(|p| p.is(credentials)) {
            return Ok(());
        }
        let registered = self.processes.values().filter(|p| p.is(credentials)).count();
        let waiting = self.connections.values().filter_map(|c| c.guest.as_ref()).filter(|g| g.credentials == *credentials).count();
        if registered + waiting < REGISTRATIONS_MAX {
            return Ok(());
        }
        Err(Refusal::TooMany { what: "registrations of one process".into(), max: REGISTRATIONS_MAX as u64 })
    }

    /// Whose process closed a connection and now begins another life over a new one: it lives, its death need not be waited for. The core hears of
    /// the end of the old connection first; one that has executed itself would else be kept out by its former self.
    // spec: PSM-1, PSM-8
    fn hasten_hangups(&mut self, knock: &Knock) {
        if knock.hello.resume.is_some() {
            return;
        }
        let credentials = &knock.guest.credentials;
        let own: Vec<Conn> = self.processes.values().filter(|p| p.is(credentials)).filter_map(|p| p.conn).collect();
        let hasty: Vec<(Time, Conn)> = self.hangups.iter().filter(|(_, conn)| own.contains(conn)).copied().collect();
        for hangup in hasty {
            self.hangups.remove(&hangup);
            self.on_closed(hangup.1);
        }
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

/// Who must go so that no more than `max` bytes wait in all: those with the most. In one turn a whole crowd can have gone beyond.
// spec: SEC-2
fn too_much(pending: impl Iterator<Item = (Conn, usize)>, max: usize) -> Vec<Conn> {
    let mut pending: Vec<(Conn, usize)> = pending.filter(|(_, bytes)| *bytes > 0).collect();
    let mut sum: usize = pending.iter().map(|(_, bytes)| bytes).sum();
    if sum <= max {
        return Vec::new();
    }
    pending.sort_by_key(|(_, bytes)| *bytes);
    let mut go = Vec::new();
    while sum > max
        && let Some((conn, bytes)) = pending.pop()
    {
        sum -= bytes;
        go.push(conn);
    }
    go
}

/// With its cause.
fn in_full(cut: &Cut) -> String {
    match std::error::Error::source(cut) {
        Some(source) => format!("{cut}: {source}"),
        None => cut.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: SEC-2
    #[test]
    fn as_many_are_cut_as_it_takes_until_what_waits_is_within_bounds() {
        let pending = |bytes: &[usize]| (1..).map(Conn).zip(bytes.to_vec()).collect::<Vec<_>>().into_iter();
        assert_eq!(too_much(pending(&[4, 3, 0, 3]), 10), []);
        assert_eq!(too_much(pending(&[4, 9, 0, 7, 2]), 10), [Conn(2), Conn(4)], "those with the most");
        assert_eq!(too_much(pending(&[5, 5]), 0).len(), 2);
    }
}
