//! One process's connection to its agent, from `Hello` on: frames in, frames out, each with both keys.

use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with, sockopt};
use tif_core::model::Key;
use tif_core::wire::{Envelope, FrameReader, Hello, ToAgent, ToProcess, Welcome, encode};

use crate::RunDir;
use crate::error::{ConnectError, ProtocolError};
use crate::fd::{receive_with_fds, send_with_fds};

/// How long a frame may take to go when the agent does not read. A live agent reads within milliseconds; one that hangs so long is cut off.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes taken from the socket at once: a batch of reports.
const READ_LEN: usize = 64 << 10;

/// A connection that the agent has accepted. Received from by one thread; sent to by any number, through [`Sender`].
#[derive(Debug)]
pub struct Connection {
    line: Arc<Line>,
    reader: FrameReader,
    buffer: Box<[u8]>,
}

/// The sending half. One frame at a time, whole.
#[derive(Clone, Debug)]
pub struct Sender {
    line: Arc<Line>,
}

#[derive(Debug)]
struct Line {
    socket: UnixStream,
    own: Key,
    agent: Key,
    /// The frame under way; kept for its memory.
    outgoing: Mutex<Vec<u8>>,
    /// Frames that were meant for another key. Relaxed: a figure, it orders nothing.
    misaddressed: AtomicU64,
}

impl Connection {
    /// Connects, says `hello` with `fds`, and waits for the answer: the welcome, and the descriptors that came with it (at most one: the board).
    ///
    /// # Errors
    /// If there is no agent, it refuses, or it does not answer within `timeout`. No connection remains.
    pub fn open(
        run_dir: &RunDir,
        hello: Hello,
        fds: &[BorrowedFd<'_>],
        timeout: Duration,
    ) -> Result<(Connection, Welcome, Vec<OwnedFd>), ConnectError> {
        let deadline = Deadline::after(timeout);
        let socket = dial(run_dir, timeout)?;
        Connection::greet(socket, hello, fds, deadline)
    }

    /// The same over a socket that is connected already.
    fn greet(
        socket: UnixStream,
        hello: Hello,
        fds: &[BorrowedFd<'_>],
        deadline: Deadline,
    ) -> Result<(Connection, Welcome, Vec<OwnedFd>), ConnectError> {
        let mut frame = Vec::new();
        encode(&Envelope { from: Key::NONE, to: Key::NONE, body: ToAgent::Hello(hello) }, &mut frame)?;
        send_all(&socket, &frame, fds, deadline)?;
        let (mut reader, mut buffer, mut fds) = (FrameReader::default(), vec![0; READ_LEN].into_boxed_slice(), Vec::new());
        let welcome = loop {
            if let Some(envelope) = reader.next::<Envelope<ToProcess>>()? {
                match envelope.body {
                    // spec: PSM-11
                    ToProcess::Welcome(welcome) if envelope.to == Key::NONE || envelope.to == welcome.key => break *welcome,
                    ToProcess::Refused { refusal, .. } => return Err(ConnectError::Refused(refusal)),
                    other => return Err(unexpected("a welcome or a refusal", &other)),
                }
            }
            wait(&socket, PollFlags::IN, deadline)?;
            match take(&socket, &mut buffer, &mut fds) {
                Ok(n) => reader.push(&buffer[..n]),
                Err(Taken::Nothing) => {}
                Err(Taken::Failed(e)) => return Err(e),
            }
        };
        if fds.len() > 1 {
            return Err(ConnectError::Protocol(ProtocolError::Descriptors));
        }
        let line = Line { socket, own: welcome.key, agent: welcome.agent, outgoing: Mutex::new(frame), misaddressed: AtomicU64::new(0) };
        Ok((Connection { line: Arc::new(line), reader, buffer }, welcome, fds))
    }

    /// A sending half.
    pub fn sender(&self) -> Sender {
        Sender { line: Arc::clone(&self.line) }
    }

    /// The next message; none if none came in time. Without a timeout it waits for ever.
    ///
    /// # Errors
    /// If the connection has ended. It stays so.
    pub fn receive(&mut self, timeout: Option<Duration>) -> Result<Option<ToProcess>, ConnectError> {
        let deadline = timeout.map_or(Deadline::NEVER, Deadline::after);
        loop {
            if let Some(message) = self.try_receive()? {
                return Ok(Some(message));
            }
            match wait(&self.line.socket, PollFlags::IN, deadline) {
                Err(ConnectError::TimedOut) => return Ok(None),
                other => other?,
            }
        }
    }

    /// The next message if one is there already; for loops that poll [`Connection::as_fd`]. Call it until it answers none: a message that
    /// came together with others does not make the descriptor readable again.
    ///
    /// # Errors
    /// If the connection has ended. It stays so.
    pub fn try_receive(&mut self) -> Result<Option<ToProcess>, ConnectError> {
        loop {
            while let Some(envelope) = self.reader.next::<Envelope<ToProcess>>()? {
                // spec: PSM-7, PSM-11
                if envelope.to == self.line.own {
                    return Ok(Some(envelope.body));
                }
                self.line.misaddressed.fetch_add(1, Ordering::Relaxed);
                tracing::debug!(target: "tif::process", to = %envelope.to, own = %self.line.own, "a message for another key was dropped");
            }
            // Descriptors come with the welcome only; others are closed at once.
            match take(&self.line.socket, &mut self.buffer, &mut Vec::new()) {
                Ok(n) => self.reader.push(&self.buffer[..n]),
                Err(Taken::Nothing) => return Ok(None),
                Err(Taken::Failed(e)) => return Err(e),
            }
        }
    }

    /// How many messages came that were addressed to another key and were dropped.
    pub fn misaddressed(&self) -> u64 {
        self.line.misaddressed.load(Ordering::Relaxed)
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.line.socket.as_fd()
    }
}

impl Sender {
    /// Sends one message.
    ///
    /// # Errors
    /// If it is too long (the connection is as before), or the connection has ended. If the agent does not read for ten seconds the connection is ended.
    pub fn send(&self, body: ToAgent) -> Result<(), ConnectError> {
        let mut frame = self.line.outgoing.lock();
        frame.clear();
        // spec: PSM-11
        encode(&Envelope { from: self.line.own, to: self.line.agent, body }, &mut frame)?;
        send_all(&self.line.socket, &frame, &[], Deadline::after(SEND_TIMEOUT)).inspect_err(|_| {
            // A frame that went in part leaves nothing to be said. The receiving thread sees the end, too.
            self.close();
        })
    }

    /// Ends the connection for both halves: a receiving thread wakes with [`ConnectError::Closed`].
    pub fn close(&self) {
        // Only fails if it is shut down already.
        let _ = self.line.socket.shutdown(Shutdown::Both);
    }

    /// The process's own key.
    pub fn own(&self) -> Key {
        self.line.own
    }

    /// The agent's key.
    pub fn agent(&self) -> Key {
        self.line.agent
    }
}

/// An instant to be done by; none: never.
#[derive(Clone, Copy)]
struct Deadline(Option<Instant>);

impl Deadline {
    const NEVER: Deadline = Deadline(None);

    fn after(timeout: Duration) -> Deadline {
        Deadline(Instant::now().checked_add(timeout))
    }

    fn left(self) -> Option<Timespec> {
        let left = self.0?.saturating_duration_since(Instant::now());
        Some(Timespec { tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX), tv_nsec: left.subsec_nanos().into() })
    }
}

fn dial(run_dir: &RunDir, timeout: Duration) -> Result<UnixStream, ConnectError> {
    connect_to(&run_dir.socket(), timeout).map_err(|errno| match errno {
        Errno::AGAIN => ConnectError::TimedOut,
        other => ConnectError::NoAgent { run_dir: run_dir.path().to_owned(), source: other.into() },
    })
}

/// Connects to a socket file; `AGAIN` if its owner does not accept in time.
pub(crate) fn connect_to(path: &Path, timeout: Duration) -> Result<UnixStream, Errno> {
    let address = SocketAddrUnix::new(path)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    // The send timeout is also how long connect() waits for a place in the queue of a hanging agent. Zero would mean for ever.
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, Some(timeout.max(Duration::from_millis(1))))?;
    loop {
        match connect(&socket, &address) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    }
    Ok(UnixStream::from(socket))
}

enum Taken {
    Nothing,
    Failed(ConnectError),
}

fn take(socket: &UnixStream, buffer: &mut [u8], fds: &mut Vec<OwnedFd>) -> Result<usize, Taken> {
    match receive_with_fds(socket, buffer, fds) {
        Ok(0) => Err(Taken::Failed(ConnectError::Closed)),
        Ok(n) => Ok(n),
        Err(Errno::AGAIN) => Err(Taken::Nothing),
        Err(Errno::MSGSIZE) => Err(Taken::Failed(ConnectError::Protocol(ProtocolError::Descriptors))),
        Err(errno) => Err(Taken::Failed(errno.into())),
    }
}

fn send_all(socket: &UnixStream, mut bytes: &[u8], mut fds: &[BorrowedFd<'_>], deadline: Deadline) -> Result<(), ConnectError> {
    while !bytes.is_empty() {
        match send_with_fds(socket, bytes, fds) {
            Ok(n) => (bytes, fds) = (&bytes[n..], &[]),
            Err(Errno::AGAIN) => wait(socket, PollFlags::OUT, deadline)?,
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn wait(socket: &UnixStream, events: PollFlags, deadline: Deadline) -> Result<(), ConnectError> {
    loop {
        let left = deadline.left();
        match poll(&mut [PollFd::new(socket, events)], left.as_ref()) {
            Ok(0) => return Err(ConnectError::TimedOut),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn unexpected(wanted: &'static str, got: &ToProcess) -> ConnectError {
    let got = format!("{got:?}").chars().take(64).collect();
    ConnectError::Protocol(ProtocolError::Unexpected { wanted, got })
}

#[cfg(test)]
#[path = "connection_tests.rs"]
mod tests;
