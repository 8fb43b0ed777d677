//! One process's connection, the agent's end: never waits, holds at most a frame of input and a bounded output.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tif_core::agent::io::Conn;
use tif_core::limits::FRAME_LEN_MAX;
use tif_core::model::{Key, Refusal, Time};
use tif_core::wire::{CodecError, Credentials, Envelope, FrameReader, ToAgent, ToProcess, encode};
use tif_process::fd::receive_with_fds;

use super::door::Guest;
use super::outgoing::Outgoing;

/// Bytes taken from one connection in one turn of the loop: a flood from one is others' waiting time.
pub const READ_TURN_MAX: usize = 64 << 10;
/// Bytes before the end of `Hello`. It holds three names and some numbers.
pub const HELLO_LEN_MAX: usize = 16 << 10;
/// Reports are put into the output only while less than this waits there: what waits in the core can still be coalesced.
pub const REPORTS_LOW: usize = 64 << 10;
/// Bytes that may wait for a process that does not read its answers and notices. Some frames of the longest kind.
pub const OUTPUT_LEN_MAX: usize = 4 * FRAME_LEN_MAX;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has not yet said who it is.
    Silent,
    /// The core knows of it.
    Known,
    /// Nothing more is read; it goes as soon as its output went.
    Closing {
        /// Since when.
        since: Time,
    },
}

/// Why a connection is cut.
#[derive(Debug, thiserror::Error)]
pub enum Cut {
    /// The other end has closed.
    #[error("closed by the process")]
    Ended,
    /// The operating system said so.
    #[error("the socket failed")]
    Io(#[from] io::Error),
    /// What came is no frame.
    #[error("what came is no message")]
    Codec(#[from] CodecError),
    /// It does not read.
    #[error("the process does not read: {0} bytes wait for it")]
    Slow(usize),
    /// The first frame is too long for what it should be.
    #[error("more than {HELLO_LEN_MAX} bytes and no Hello")]
    Babbling,
    /// More descriptors than belong to a `Hello`.
    #[error("too many descriptors")]
    Descriptors,
}

/// A connection.
#[derive(Debug)]
pub struct Connection {
    /// What the core calls it.
    pub conn: Conn,
    /// Its place in the poll.
    pub token: mio::Token,
    /// Who is at the other end, by the operating system.
    pub credentials: Credentials,
    /// When it came.
    pub since: Time,
    /// How far it has come.
    pub stage: Stage,
    /// The core was told of it, and not yet that it has closed.
    pub known: bool,
    /// What came in by the door and waits for the core's word.
    pub guest: Option<Guest>,
    /// The core has reports for it.
    pub has_reports: bool,
    /// Its process's segment was looked at since the last portion was taken.
    pub swept: bool,
    /// Descriptors that came with the `Hello`.
    pub fds: Vec<OwnedFd>,
    socket: UnixStream,
    reader: FrameReader,
    out: Outgoing,
    blocked: bool,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(conn: Conn, token: mio::Token, socket: UnixStream, credentials: Credentials, since: Time) -> Connection {
        Connection {
            conn,
            token,
            credentials,
            since,
            stage: Stage::Silent,
            known: false,
            guest: None,
            has_reports: false,
            swept: false,
            fds: Vec::new(),
            socket,
            reader: FrameReader::default(),
            out: Outgoing::default(),
            blocked: false,
        }
    }

    /// Takes at most [`READ_TURN_MAX`] bytes. True: more may be there.
    pub fn fill(&mut self, buffer: &mut [u8]) -> Result<bool, Cut> {
        let mut taken = 0;
        while taken < READ_TURN_MAX {
            let n = match self.receive(buffer) {
                Ok(0) => return Err(Cut::Ended),
                Ok(n) => n,
                Err(Cut::Io(e)) if e.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(Cut::Io(e)) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(cut) => return Err(cut),
            };
            self.reader.push(&buffer[..n]);
            taken += n;
            if self.stage == Stage::Silent && self.reader.pending() > HELLO_LEN_MAX {
                // What comes behind a Hello in the same breath is read after it.
                return Ok(true);
            }
        }
        Ok(true)
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Result<usize, Cut> {
        if self.stage != Stage::Silent {
            // Descriptors that come with a plain read are closed by the kernel.
            return Ok((&self.socket).read(buffer)?);
        }
        let n = receive_with_fds(&self.socket, buffer, &mut self.fds).map_err(|e| match e {
            rustix::io::Errno::MSGSIZE => Cut::Descriptors,
            e => Cut::Io(e.into()),
        })?;
        if self.fds.len() > tif_process::fd::FDS_MAX { Err(Cut::Descriptors) } else { Ok(n) }
    }

    /// The next message, if a whole one has come.
    pub fn next_message(&mut self) -> Result<Option<Envelope<ToAgent>>, Cut> {
        let message = self.reader.next()?;
        if message.is_none() && self.stage == Stage::Silent && self.reader.pending() > HELLO_LEN_MAX {
            return Err(Cut::Babbling);
        }
        Ok(message)
    }

    /// Bytes of a frame that is not whole yet.
    pub fn pending(&self) -> usize {
        self.reader.pending()
    }

    /// Puts a message into the output.
    // spec: MON-6
    pub fn queue(&mut self, from: Key, to: Key, body: ToProcess) -> Result<(), Cut> {
        let answers = body.answers();
        match (encode(&Envelope { from, to, body }, self.out.tail()), answers) {
            // An answer that is too long: whoever asked is told, and goes on.
            // spec: SEC-2
            (Err(CodecError::TooLong { got }), Some(req)) => {
                let refusal = Refusal::TooMany { what: format!("bytes in one answer ({got})"), max: FRAME_LEN_MAX as u64 };
                encode(&Envelope { from, to, body: ToProcess::Refused { req, refusal } }, self.out.tail())?;
            }
            (result, _) => result?,
        }
        if self.out.len() > OUTPUT_LEN_MAX { Err(Cut::Slow(self.out.len())) } else { Ok(()) }
    }

    /// A descriptor to go with the message queued next. Only for the first message.
    pub fn attach(&mut self, fd: OwnedFd) {
        self.out.attach(fd);
    }

    /// Whether reports should be pulled for it now.
    pub fn wants_reports(&self) -> bool {
        self.has_reports && !self.blocked && self.stage == Stage::Known && self.out.len() < REPORTS_LOW
    }

    /// Writes what goes. True: all of it went.
    pub fn flush(&mut self) -> Result<bool, Cut> {
        if self.blocked {
            return Ok(false);
        }
        let all = self.out.write(&self.socket).map_err(|e| Cut::Io(e.into()))?;
        self.blocked = !all;
        Ok(all)
    }

    /// The other end has read: there is room again.
    pub fn on_writable(&mut self) {
        self.blocked = false;
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    // spec: SEC-2
    #[test]
    fn an_answer_that_is_too_long_becomes_a_refusal_and_the_connection_goes_on() {
        let (socket, mut theirs) = UnixStream::pair().unwrap();
        let mut connection = Connection::new(Conn(1), mio::Token(1), socket, Credentials::default(), Time::ZERO);
        let missing = vec![Refusal::Malformed { reason: "x".repeat(FRAME_LEN_MAX) }];
        connection.queue(Key::NONE, Key::NONE, ToProcess::Sensed { req: 7, rows: vec![], missing, truncated: false }).unwrap();
        connection.queue(Key::NONE, Key::NONE, ToProcess::Ping { nonce: 1 }).unwrap();
        assert!(connection.flush().unwrap());
        drop(connection);
        let (mut bytes, mut reader, mut told) = (Vec::new(), FrameReader::default(), Vec::new());
        theirs.read_to_end(&mut bytes).unwrap();
        reader.push(&bytes);
        while let Some(Envelope { body, .. }) = reader.next::<Envelope<ToProcess>>().unwrap() {
            told.push(body);
        }
        let expected = [
            |m: &ToProcess| matches!(m, ToProcess::Refused { req: 7, refusal: Refusal::TooMany { .. } }),
            |m: &ToProcess| matches!(m, ToProcess::Ping { nonce: 1 }),
        ];
        assert!(told.len() == 2 && told.iter().zip(expected).all(|(m, is)| is(m)), "{told:?}");
    }
}
