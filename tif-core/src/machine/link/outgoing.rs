//! The sending half of a stream: what waits, what is on its way, what must go again.

use std::collections::VecDeque;
use std::time::Duration;

use super::rtt::Rtt;
use super::{Overrun, QUEUE_MAX, WINDOW};
use crate::model::Time;

/// So many later frames come through before one is taken for lost rather than late; and it must be later than a round trip, too.
const REORDER: u64 = 3;
/// Frames that go again at once when nothing was acknowledged in time: enough to find out, too few to choke what is choked already.
const RETRY: usize = 4;

#[derive(Clone, Debug)]
struct Flying<T> {
    message: T,
    sent: Time,
    /// The how-manieth transmission of this stream it was.
    turn: u64,
    again: bool,
    arrived: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Outgoing<T> {
    /// The number of the oldest that is on its way.
    first: u64,
    flying: VecDeque<Flying<T>>,
    waiting: VecDeque<T>,
    turns: u64,
    /// The latest transmission that is known to have arrived.
    arrived: u64,
    rtt: Rtt,
    timer: Option<Time>,
    progress: Time,
    /// There may be something to send now.
    ready: Option<Time>,
}

impl<T: Clone> Outgoing<T> {
    pub(super) fn new() -> Outgoing<T> {
        Outgoing {
            first: 1,
            flying: VecDeque::new(),
            waiting: VecDeque::new(),
            turns: 0,
            arrived: 0,
            rtt: Rtt::default(),
            timer: None,
            progress: Time::ZERO,
            ready: None,
        }
    }

    pub(super) fn can_push(&self) -> bool {
        self.len() < QUEUE_MAX
    }

    pub(super) fn len(&self) -> usize {
        self.flying.len() + self.waiting.len()
    }

    pub(super) fn push(&mut self, now: Time, message: T) -> Result<(), Overrun> {
        if !self.can_push() {
            return Err(Overrun);
        }
        self.waiting.push_back(message);
        if self.flying.len() < WINDOW {
            self.ready = Some(now);
        }
        Ok(())
    }

    /// Whether an acknowledgement is of something that was sent.
    pub(super) fn is_possible(&self, ack: u64, beyond: u64) -> bool {
        let end = self.first + self.flying.len() as u64;
        let furthest = match beyond {
            0 => ack,
            bits => ack.saturating_add(65 - u64::from(bits.leading_zeros())),
        };
        furthest < end
    }

    /// The other side has these.
    pub(super) fn on_ack(&mut self, now: Time, ack: u64, beyond: u64) {
        let mut progress = false;
        for (at, frame) in self.flying.iter_mut().enumerate() {
            let number = self.first + at as u64;
            let there = number <= ack || number >= ack + 2 && number - ack - 2 < 64 && beyond >> (number - ack - 2) & 1 == 1;
            if there && !frame.arrived {
                frame.arrived = true;
                progress = true;
                self.arrived = self.arrived.max(frame.turn);
                if !frame.again {
                    // Of one that went twice nobody knows which was answered (Karn).
                    self.rtt.on_sample(now - frame.sent);
                }
            }
        }
        while self.flying.front().is_some_and(|f| f.arrived) {
            self.flying.pop_front();
            self.first += 1;
        }
        if progress {
            self.rtt.on_progress();
            self.progress = now;
            self.timer = (!self.flying.is_empty()).then(|| now + self.rtt.timeout());
            self.ready = Some(now);
        }
    }

    /// What goes now: what was lost, what was not acknowledged in time, what is new.
    pub(super) fn poll(&mut self, now: Time) -> Vec<(u64, T)> {
        let mut out = Vec::new();
        self.ready = None;
        let late = self.timer.is_some_and(|timer| now >= timer);
        if late {
            self.rtt.on_timeout();
        }
        let mut tries = if late { RETRY } else { 0 };
        let patience = self.rtt.patience();
        for (at, frame) in self.flying.iter_mut().enumerate().filter(|(_, f)| !f.arrived) {
            let overtaken = frame.turn + REORDER <= self.arrived;
            let lost = overtaken && now >= frame.sent + patience;
            if !lost && tries == 0 {
                if overtaken {
                    let due = frame.sent + patience;
                    self.ready = Some(self.ready.map_or(due, |ready| ready.min(due)));
                }
                continue;
            }
            tries = tries.saturating_sub(1);
            self.turns += 1;
            (frame.sent, frame.turn, frame.again) = (now, self.turns, true);
            out.push((self.first + at as u64, frame.message.clone()));
        }
        while self.flying.len() < WINDOW
            && let Some(message) = self.waiting.pop_front()
        {
            if self.flying.is_empty() {
                self.progress = now;
            }
            self.turns += 1;
            out.push((self.first + self.flying.len() as u64, message.clone()));
            self.flying.push_back(Flying { message, sent: now, turn: self.turns, again: false, arrived: false });
        }
        if late || self.timer.is_none() {
            self.timer = (!self.flying.is_empty()).then(|| now + self.rtt.timeout());
        }
        out
    }

    /// How long nothing was acknowledged, of what should have been.
    pub(super) fn stuck(&self, now: Time) -> Duration {
        if self.flying.is_empty() { Duration::ZERO } else { now - self.progress }
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        [self.timer, self.ready].into_iter().flatten().min()
    }
}
