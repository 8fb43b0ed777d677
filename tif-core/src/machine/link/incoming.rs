//! The receiving half of a stream: puts in order what came, once.

use std::collections::BTreeMap;
use std::time::Duration;

use super::WINDOW;
use crate::defects::{Defect, defect};
use crate::model::Time;

/// How long an acknowledgement waits for something to ride on.
pub(super) const ACK_DELAY: Duration = Duration::from_millis(10);
/// Messages after which it does not wait: the sender gets on with a quarter of its window used up.
const ACK_EVERY: u32 = WINDOW as u32 / 4;

#[derive(Clone, Debug)]
pub(super) struct Incoming<T> {
    /// All up to this number were handed up.
    upto: u64,
    early: BTreeMap<u64, T>,
    ack_due: Option<Time>,
    unacked: u32,
}

/// What a message was.
pub(super) enum Came<T> {
    Next(Vec<T>),
    Repeated,
    Impossible,
}

impl<T> Incoming<T> {
    pub(super) fn new() -> Incoming<T> {
        Incoming { upto: 0, early: BTreeMap::new(), ack_due: None, unacked: 0 }
    }

    pub(super) fn on_message(&mut self, now: Time, number: u64, message: T) -> Came<T> {
        if number == 0 || number > self.upto.saturating_add(WINDOW as u64) {
            return Came::Impossible;
        }
        self.unacked += 1;
        if number <= self.upto && defect(Defect::TakeRepeated) {
            self.owe(now);
            return Came::Next(vec![message]);
        }
        if number <= self.upto || self.early.contains_key(&number) {
            // It was sent again, so our acknowledgement was lost or late.
            self.owe(now);
            return Came::Repeated;
        }
        if defect(Defect::SkipGap) {
            self.upto = number - 1;
        }
        self.early.insert(number, message);
        let mut next = Vec::new();
        while let Some(message) = self.early.remove(&(self.upto + 1)) {
            self.upto += 1;
            next.push(message);
        }
        if self.early.is_empty() && self.unacked < ACK_EVERY {
            self.ack_due.get_or_insert(now + ACK_DELAY);
        } else {
            // One is missing: the sender learns of it from what came after.
            self.owe(now);
        }
        Came::Next(next)
    }

    /// An acknowledgement goes at once.
    pub(super) fn owe(&mut self, now: Time) {
        self.ack_due = Some(self.ack_due.map_or(now, |due| due.min(now)));
    }

    /// What the next frame acknowledges. It is on its way then.
    pub(super) fn acknowledge(&mut self) -> (u64, u64) {
        self.ack_due = None;
        self.unacked = 0;
        let bits = self.early.keys().map(|number| number - self.upto - 2).filter(|bit| *bit < 64);
        (self.upto, bits.fold(0, |beyond, bit| beyond | 1 << bit))
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.ack_due
    }
}
