//! What the loop waits on. Each source gets a token that is never used again, so that an event of something just closed is nobody's.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token, Waker};
use signal_hook::consts::{SIGINT, SIGTERM};
use tif_core::agent::io::Conn;
use tif_core::model::Key;

/// Events taken in one turn; the rest comes in the next.
const EVENTS_MAX: usize = 256;
const WAKE: Token = Token(0);

/// Where an event comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Another thread has something.
    Wake,
    /// A signal.
    Signal,
    /// Somebody is at the door.
    Listener,
    /// A connection.
    Conn(Conn),
    /// A registered process has died.
    Pidfd(Key),
    /// An exporter has rung.
    Bell(Key),
    /// A launched process has ended.
    Child(u32),
}

/// Something that happened.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// Where.
    pub source: Source,
    /// Something can be read, or the other end has closed.
    pub readable: bool,
    /// Something can be written.
    pub writable: bool,
}

/// SIGTERM and SIGINT as something to wait on.
#[derive(Debug)]
pub struct Signals(UnixStream);

impl Signals {
    /// From now on these signals end the agent in good order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn catch() -> io::Result<Signals> {
        let (read, write) = UnixStream::pair()?;
        read.set_nonblocking(true)?;
        for signal in [SIGTERM, SIGINT] {
            signal_hook::low_level::pipe::register(signal, write.try_clone()?)?;
        }
        Ok(Signals(read))
    }
}

/// The poll, and what its tokens stand for.
#[derive(Debug)]
pub struct Sources {
    poll: Poll,
    events: Events,
    waker: Arc<Waker>,
    by_token: BTreeMap<Token, Source>,
    last: usize,
    signals: Option<Signals>,
}

impl Sources {
    /// Nothing but the waker, and the signals if they are to be caught.
    pub fn new(signals: Option<Signals>) -> io::Result<Sources> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        let by_token = BTreeMap::from([(WAKE, Source::Wake)]);
        let mut sources = Sources { poll, events: Events::with_capacity(EVENTS_MAX), waker, by_token, last: 0, signals: None };
        if let Some(signals) = signals {
            sources.add(&signals.0, Source::Signal)?;
            sources.signals = Some(signals);
        }
        Ok(sources)
    }

    /// For other threads.
    pub fn waker(&self) -> impl Fn() + Send + Sync + 'static + use<> {
        let waker = Arc::clone(&self.waker);
        move || {
            // It can only fail for an eventfd that is full, and then the loop is awake.
            let _ = waker.wake();
        }
    }

    /// Waits on this, too.
    pub fn add(&mut self, fd: impl AsFd, source: Source) -> io::Result<Token> {
        let interest = match source {
            Source::Conn(_) => Interest::READABLE | Interest::WRITABLE,
            _ => Interest::READABLE,
        };
        let token = Token(self.last + 1);
        self.poll.registry().register(&mut SourceFd(&fd.as_fd().as_raw_fd()), token, interest)?;
        self.last += 1;
        self.by_token.insert(token, source);
        Ok(token)
    }

    /// No longer. Must be called before the descriptor is closed: another process may hold the same open file, and the kernel would go on telling of it.
    pub fn remove(&mut self, fd: impl AsFd, token: Token) {
        if self.by_token.remove(&token).is_some()
            && let Err(error) = self.poll.registry().deregister(&mut SourceFd(&fd.as_fd().as_raw_fd()))
        {
            tracing::warn!(target: "tif::shell", %error, "a descriptor could not be taken out of the poll");
        }
    }

    /// What happened, at the latest after this time.
    pub fn wait(&mut self, timeout: Option<Duration>) -> io::Result<Vec<Event>> {
        match self.poll.poll(&mut self.events, timeout) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Ok(Vec::new()),
            other => other?,
        }
        let known = |event: &mio::event::Event| {
            let source = *self.by_token.get(&event.token())?;
            // An error is found by reading.
            let readable = event.is_readable() || event.is_read_closed() || event.is_error();
            Some(Event { source, readable, writable: event.is_writable() })
        };
        Ok(self.events.iter().filter_map(known).collect())
    }

    /// Whether a signal has come.
    pub fn signalled(&mut self) -> bool {
        let mut buffer = [0; 16];
        self.signals.as_mut().is_some_and(|signals| matches!(signals.0.read(&mut buffer), Ok(n) if n > 0))
    }
}
