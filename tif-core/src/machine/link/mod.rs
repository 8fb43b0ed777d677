//! A reliable, ordered stream of messages between two lives of agents, over a fabric that loses, doubles, delays and reorders what it is given.
//!
//! Two clerks who number their letters, keep a copy of each until the other has confirmed it, and open them in order. If one hears nothing for too long, he closes the
//! book, opens the next volume, and writes its number on every letter from then on; the other does the same as soon as he sees the higher number. Letters of
//! an earlier volume, whenever they arrive, go into the fire.
//!
//! | on | event | then |
//! |---|---|---|
//! | both | frame of other lives | dropped |
//! | stream n | frame of an earlier stream | dropped, and the sender is told n |
//! | stream n | frame of stream m > n | stream m; all that waited is lost: Reset |
//! | stream n | nothing acknowledged for [`GIVE_UP`] | stream n + 1, said until the other knows: Reset |
//! | both at once | stream n + 1 by both | they agree: nothing was ever sent in it by another |
//!
//! One per pair of lives. A new life of either is a new link ([`Link::new`]); two links for the same two lives must not follow one another, since the second
//! would begin its streams at 1 again. An idle link sends nothing: whether the other lives is the detector's business. Its memory is bounded by [`QUEUE_MAX`] messages
//! out and [`WINDOW`] in.
//!
//! From TCP (selective acknowledgement, RFC 2018; timers, RFC 6298; loss by later transmissions, RFC 8985) without its handshake: the lives' keys are
//! already unique.
// spec: FAB-2, PSM-11

mod frame;
mod incoming;
mod outgoing;
mod rtt;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use frame::{Body, Delivered, Dropped, Frame, Reset};
use incoming::{Came, Incoming};
use outgoing::Outgoing;

use crate::defects::{Defect, defect};
use crate::model::{Key, Time};

/// Frames on their way in each direction: as many as one acknowledgement can name.
pub const WINDOW: usize = 64;
/// Messages that wait for the other side to confirm them. More, and the sender is too fast: it resets and says all anew.
// spec: SEC-2
pub const QUEUE_MAX: usize = 4096;
/// How long a peer may acknowledge nothing. As long as a planned restart may take; the detector is much faster.
pub const GIVE_UP: Duration = Duration::from_secs(30);
/// How often a new stream is said, at first and at last, until the other side knows.
const BEGIN_AGAIN: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));
/// A stream number so far ahead was not counted up to. Nobody can make us run out of numbers.
const JUMP_MAX: u64 = 1 << 32;

/// Too much waits for the other side. The message was not taken; nothing else has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{QUEUE_MAX} messages wait for the other CPU")]
pub struct Overrun;

/// One side of a stream.
#[derive(Clone, Debug)]
pub struct Link<T> {
    own: Key,
    peer: Key,
    stream: u64,
    outgoing: Outgoing<T>,
    incoming: Incoming<T>,
    /// The other side does not know the stream yet: when to say so next, and how long to wait then.
    begin: Option<(Time, Duration)>,
    dropped: Dropped,
}

impl<T: Clone> Link<T> {
    /// Between this life of ours and that life of theirs. Sends nothing by itself.
    pub fn new(own: Key, peer: Key) -> Link<T> {
        Link { own, peer, stream: 1, outgoing: Outgoing::new(), incoming: Incoming::new(), begin: None, dropped: Dropped::default() }
    }

    /// The other life.
    pub fn peer(&self) -> Key {
        self.peer
    }

    /// The own life.
    pub fn own(&self) -> Key {
        self.own
    }

    /// Frames that came in and did nothing.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Messages that the other side has not confirmed.
    pub fn queued(&self) -> usize {
        self.outgoing.len()
    }

    /// Whether there is room for one more.
    pub fn can_send(&self) -> bool {
        self.outgoing.can_push()
    }

    /// Takes a message. It is delivered once, in order, or else a [`Delivered::Reset`] is, on both sides.
    ///
    /// # Errors
    /// If too much waits already. Nothing has changed then.
    // spec: FAB-2, SEC-2
    pub fn send(&mut self, now: Time, message: T) -> Result<(), Overrun> {
        self.outgoing.push(now, message)
    }

    /// Begins anew, because the upper layer is overrun or has lost track. All that waited is lost; the other side is told.
    pub fn reset(&mut self, now: Time) {
        self.restart(self.stream.saturating_add(1));
        self.begin = Some((now, BEGIN_AGAIN.0));
    }

    fn restart(&mut self, stream: u64) {
        self.stream = stream;
        self.outgoing = Outgoing::new();
        self.incoming = Incoming::new();
        self.begin = None;
    }

    /// A frame came. What it delivers, in order.
    // spec: FAB-2, PSM-11
    pub fn receive(&mut self, now: Time, frame: Frame<T>) -> Vec<Delivered<T>> {
        let mut out = Vec::new();
        let is_meant = frame.to == self.own || (defect(Defect::TakeOtherLife) && frame.to.node == self.own.node);
        if !is_meant || frame.from != self.peer {
            self.dropped.other_life += 1;
            return out;
        }
        if frame.stream < self.stream && !defect(Defect::TakeOldStream) {
            self.dropped.old_stream += 1;
            // The sender may not know. If it does, this was late, and one frame too many does no harm.
            self.incoming.owe(now);
            return out;
        }
        if frame.stream.saturating_sub(self.stream) > JUMP_MAX {
            self.dropped.malformed += 1;
            return out;
        }
        if frame.stream > self.stream {
            self.restart(frame.stream);
            self.incoming.owe(now);
            out.push(Delivered::Reset(Reset::ByPeer));
        }
        self.begin = None;
        if !self.outgoing.is_possible(frame.ack, frame.beyond) {
            self.dropped.malformed += 1;
            return out;
        }
        self.outgoing.on_ack(now, frame.ack, frame.beyond);
        match frame.body {
            Body::Ack => {}
            Body::Begin => self.incoming.owe(now),
            Body::Message(number, message) => match self.incoming.on_message(now, number, message) {
                Came::Next(messages) => out.extend(messages.into_iter().map(Delivered::Message)),
                Came::Repeated => self.dropped.repeated += 1,
                Came::Impossible => self.dropped.malformed += 1,
            },
        }
        out
    }

    /// What is due: frames to send into the fabric, and a reset if the other side was silent for too long.
    pub fn poll(&mut self, now: Time) -> (Vec<Frame<T>>, Option<Reset>) {
        let mut reset = None;
        if self.outgoing.stuck(now) >= GIVE_UP {
            self.reset(now);
            reset = Some(Reset::Unacknowledged);
        }
        let mut bodies: Vec<Body<T>> = Vec::new();
        if let Some((due, wait)) = self.begin
            && now >= due
        {
            self.begin = Some((now + wait, (wait * 2).min(BEGIN_AGAIN.1)));
            bodies.push(Body::Begin);
        }
        bodies.extend(self.outgoing.poll(now).into_iter().map(|(number, message)| Body::Message(number, message)));
        if bodies.is_empty() && self.incoming.deadline().is_some_and(|due| now >= due) {
            bodies.push(Body::Ack);
        }
        let frames = bodies.into_iter().map(|body| {
            let (ack, beyond) = self.incoming.acknowledge();
            Frame { from: self.own, to: self.peer, stream: self.stream, ack, beyond, body }
        });
        (frames.collect(), reset)
    }

    /// When [`Link::poll`] is next due; never on an idle link.
    pub fn deadline(&self) -> Option<Time> {
        [self.outgoing.deadline(), self.incoming.deadline(), self.begin.map(|(due, _)| due)].into_iter().flatten().min()
    }
}
