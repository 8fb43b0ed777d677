//! Changes that are to be confirmed: kept if somebody says so in time, otherwise taken back.
//!
//! A dead man's handle. Who changes something by which he may lock himself out lets the way back be taken by others.
//!
//! | from | event | to |
//! |---|---|---|
//! | none | the change is durable | Pending: its controls are held |
//! | Pending | confirmed in time | Confirming: to be written down |
//! | Confirming | written down | Confirmed |
//! | Confirming | a cause to revert | Confirming, with the cause noted |
//! | Confirming | not written down | Pending; with a cause noted: Reverting |
//! | Pending | time is up, guard out of its range, session ended | Reverting: the old values are to be written down |
//! | Pending | time is up, but not yet noticed; confirm | refused: too late |
//! | Reverting | written down | Reverted, with its cause |
//! | Reverting | not written down | Reverting, to be tried again |
//! | Reverting, Reverted | confirm | refused, with the cause |
//! | Confirmed | confirm | done already |
//! | Confirmed, Reverted | anything else | nothing |
//!
//! Each end is written down before it holds, and of what is on its way to the store no other end is begun: so there is exactly one.
//!
//! Decided here:
//! - A control that is held cannot be changed by another request; [`Confirmations::holder`] says whose it is. If a later change ended the pending one, a step
//!   of many controls would be taken back in part only, or the later change with it, although it was accepted.
//! - After a restart of the agent the whole time counts anew: no clock that may decide has run on (PSM-9). A revert comes late by that, never early.
//!   A session does not outlive the agent, so what was bound to one is reverted.
//! - A guard that is silent has not left its range: then time decides. What is no number, NaN for one, lies in no range.
//!
//! The machine does not know what the values mean nor where they are written.
// spec: CTL-6

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::machine::control::ControlName;
use crate::model::{Key, Name, Number, RequestId, Time, Value};

/// How long it takes until a revert that could not be written down is tried again.
pub const RETRY_AFTER: Duration = Duration::from_secs(1);

/// An indicator, and where it must stay.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Guard {
    /// The indicator's address.
    pub indicator: String,
    /// The least value that is good.
    pub low: Number,
    /// The greatest.
    pub high: Number,
}

impl Guard {
    /// Whether a value is one of the good ones.
    pub fn allows(&self, value: &Value) -> bool {
        Number::of(value).is_some_and(|v| self.low.at_most(v) && v.at_most(self.high))
    }
}

/// On what terms a change is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    within: Duration,
    guard: Option<Guard>,
    session: Option<Key>,
}

impl Terms {
    /// To be confirmed `within`, as long as the guard is in its range, and as long as the process `session` is connected.
    ///
    /// # Errors
    /// If the time is too short or too long, or no value lies in the guard's range.
    // spec: SEC-2
    pub fn new(within: Duration, guard: Option<Guard>, session: Option<Key>) -> Result<Terms, Refused> {
        if !(limits::CONFIRM_WITHIN_MIN..=limits::CONFIRM_WITHIN_MAX).contains(&within) {
            return Err(Refused::Within { got: within });
        }
        if let Some(guard) = guard.as_ref().filter(|guard| !guard.low.at_most(guard.high)) {
            return Err(Refused::EmptyRange { low: guard.low, high: guard.high });
        }
        Ok(Terms { within, guard, session })
    }

    /// Within which time it is to be confirmed.
    pub fn within(&self) -> Duration {
        self.within
    }

    /// The indicator that guards it.
    pub fn guard(&self) -> Option<&Guard> {
        self.guard.as_ref()
    }

    /// The process that must stay connected.
    pub fn session(&self) -> Option<Key> {
        self.session
    }
}

/// Whether a change stays.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Keep {
    /// It does.
    #[default]
    ForGood,
    /// If it is confirmed on these terms.
    Until(Terms),
    /// It is itself the end of an earlier one: confirmed, with no controls, or reverted, with the old values.
    Settles(RequestId, End),
}

/// Why a change was taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Cause {
    /// Nobody confirmed it in time.
    #[error("it was not confirmed in time")]
    NotConfirmed,
    /// The indicator that guards it left its range.
    #[error("its guard left its range")]
    GuardLeft,
    /// The session that made it ended.
    #[error("the session that made it ended")]
    SessionEnded,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum End {
    /// It stays.
    Confirmed,
    /// The old values are back.
    Reverted(Cause),
}

/// Take a change back: write these values down, all in one step, and say then whether that was done.
#[derive(Clone, Debug, PartialEq)]
pub struct Revert {
    /// The request that made the change.
    pub id: RequestId,
    /// Why.
    pub cause: Cause,
    /// The controls of the change, each with the value that it had before.
    pub to: Vec<(ControlName, Value)>,
}

/// What to do for who confirms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// Write down that it is confirmed, and say then whether that was done.
    Write,
    /// That is on its way already.
    UnderWay,
    /// It was confirmed before.
    Done,
}

/// Nothing has changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Refused {
    /// Nothing of that name waits to be confirmed, or it is long over.
    #[error("no change with the request id {0} waits to be confirmed")]
    Unknown(RequestId),
    /// It is being taken back, or was.
    #[error("too late to confirm {id}: {cause}; the old values are back or will be shortly")]
    TooLate {
        /// Which.
        id: RequestId,
        /// Why.
        cause: Cause,
    },
    /// As many wait as are allowed.
    #[error("{} changes wait to be confirmed, no more are allowed: confirm one, or wait for its end", limits::UNCONFIRMED_MAX)]
    TooMany,
    /// No such time is allowed.
    #[error("the time to confirm is {:?} to {:?}, got {got:?}", limits::CONFIRM_WITHIN_MIN, limits::CONFIRM_WITHIN_MAX)]
    Within {
        /// What was given.
        got: Duration,
    },
    /// No value lies in the range of the guard.
    #[error("no value lies in the range of the guard, {low} to {high}")]
    EmptyRange {
        /// The least that is good.
        low: Number,
        /// The greatest.
        high: Number,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Pending,
    Confirming(Option<Cause>),
    /// `again`: when it is to be tried again, unless it is on its way to the store.
    Reverting(Cause, Option<Time>),
}

#[derive(Clone, Debug)]
struct Waiting {
    state: State,
    until: Time,
    terms: Terms,
    /// What it takes to go back.
    before: Vec<(ControlName, Value)>,
}

/// All changes of one CPU that are to be confirmed, and how the latest ended.
#[derive(Clone, Debug, Default)]
pub struct Confirmations {
    waiting: BTreeMap<RequestId, Waiting>,
    /// Which of them holds a control.
    held: BTreeMap<ControlName, RequestId>,
    ended: BTreeMap<RequestId, End>,
    order: VecDeque<RequestId>,
}

impl Confirmations {
    /// Whether one more could begin to wait. To be asked before it is written down; `underway` are on their way to be. Whether its controls are free,
    /// [`Confirmations::holder`] says.
    ///
    /// # Errors
    /// If there are as many as are allowed.
    // spec: CTL-6, SEC-2
    pub fn admit(&self, underway: usize) -> Result<(), Refused> {
        if self.waiting.len() + underway >= limits::UNCONFIRMED_MAX { Err(Refused::TooMany) } else { Ok(()) }
    }

    /// Puts back what the journal holds of a change without an end, be there ever so many. What was bound to a session is to be reverted.
    pub fn restore(&mut self, now: Time, id: RequestId, before: Vec<(ControlName, Value)>, terms: Terms) -> Option<Revert> {
        let bound = terms.session.is_some();
        self.take_up(now, id, before, terms, bound)
    }

    /// A change that was admitted is durable and begins to wait. `before` are its controls with the values that they had; `ended`: its session has ended
    /// meanwhile. It is taken up whatever else waits by now: it must have an end.
    pub fn take_up(&mut self, now: Time, id: RequestId, before: Vec<(ControlName, Value)>, terms: Terms, ended: bool) -> Option<Revert> {
        let until = now + terms.within;
        self.drop_waiting(&id);
        self.held.extend(before.iter().map(|(control, _)| (control.clone(), id.clone())));
        self.waiting.insert(id.clone(), Waiting { state: State::Pending, until, terms, before });
        if ended { self.give_up(&id, Cause::SessionEnded) } else { None }
    }

    /// The requests that made them.
    pub fn ids(&self) -> impl Iterator<Item = &RequestId> {
        self.waiting.keys()
    }

    /// Another CPU decides from now on what becomes of the changes of this source.
    pub fn forget(&mut self, source: &Name) {
        self.waiting.retain(|_, w| w.before.iter().all(|((of, _), _)| of != source));
        self.held.retain(|(of, _), _| of != source);
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The indicators that guard any, each with the source of what it guards.
    pub fn guards(&self) -> impl Iterator<Item = (&Name, &str)> {
        self.waiting.values().filter_map(|w| {
            let ((source, _), _) = w.before.first()?;
            Some((source, w.terms.guard.as_ref()?.indicator.as_str()))
        })
    }

    /// The controls of one that waits.
    pub fn controls(&self, id: &RequestId) -> impl Iterator<Item = &ControlName> {
        self.waiting.get(id).into_iter().flat_map(|w| w.before.iter().map(|(control, _)| control))
    }

    /// The source of the controls of one that waits.
    pub fn source(&self, id: &RequestId) -> Option<&Name> {
        self.waiting.get(id).and_then(|w| w.before.first()).map(|((source, _), _)| source)
    }

    /// Puts back, or adds, how one ended. The oldest are forgotten.
    // spec: SEC-2
    pub fn remember(&mut self, id: RequestId, end: End) {
        if self.ended.insert(id.clone(), end).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > limits::RESULTS_KEPT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.ended.remove(&oldest);
            }
        }
    }

    /// The request whose change holds a control.
    pub fn holder(&self, control: &ControlName) -> Option<&RequestId> {
        self.held.get(control)
    }

    /// How a change ended, if it did.
    pub fn end(&self, id: &RequestId) -> Option<End> {
        self.ended.get(id).copied()
    }

    /// Somebody confirms.
    ///
    /// # Errors
    /// If it is too late, or nothing of that name waits.
    // spec: CTL-6
    pub fn confirm(&mut self, now: Time, id: &RequestId) -> Result<Confirm, Refused> {
        match self.ended.get(id) {
            Some(End::Confirmed) => return Ok(Confirm::Done),
            Some(End::Reverted(cause)) => return Err(Refused::TooLate { id: id.clone(), cause: *cause }),
            None => {}
        }
        let waiting = self.waiting.get_mut(id).ok_or_else(|| Refused::Unknown(id.clone()))?;
        match waiting.state {
            State::Pending if now >= waiting.until => Err(Refused::TooLate { id: id.clone(), cause: Cause::NotConfirmed }),
            State::Pending => {
                waiting.state = State::Confirming(None);
                Ok(Confirm::Write)
            }
            State::Confirming(_) => Ok(Confirm::UnderWay),
            State::Reverting(cause, _) => Err(Refused::TooLate { id: id.clone(), cause }),
        }
    }

    /// An indicator has this value now.
    // spec: CTL-6
    pub fn on_value(&mut self, indicator: &str, value: &Value) -> Vec<Revert> {
        let left = |w: &Waiting| w.terms.guard.as_ref().is_some_and(|g| g.indicator == indicator && !g.allows(value));
        self.give_up_all(left, Cause::GuardLeft)
    }

    /// A process has gone, or its connection.
    // spec: CTL-6
    pub fn on_session_ended(&mut self, session: Key) -> Vec<Revert> {
        self.give_up_all(|w| w.terms.session == Some(session), Cause::SessionEnded)
    }

    /// Time has passed.
    // spec: CTL-6
    pub fn on_time(&mut self, now: Time) -> Vec<Revert> {
        let mut again = Vec::new();
        for (id, waiting) in &mut self.waiting {
            if let State::Reverting(cause, at @ Some(_)) = &mut waiting.state
                && at.is_some_and(|at| at <= now)
            {
                *at = None;
                again.push(Revert { id: id.clone(), cause: *cause, to: waiting.before.clone() });
            }
        }
        again.extend(self.give_up_all(|w| w.until <= now, Cause::NotConfirmed));
        again
    }

    /// When [`Confirmations::on_time`] is next due.
    pub fn deadline(&self) -> Option<Time> {
        let due = |w: &Waiting| match w.state {
            State::Pending => Some(w.until),
            State::Confirming(_) => None,
            State::Reverting(_, again) => again,
        };
        self.waiting.values().filter_map(due).min()
    }

    /// An end is durable: it holds, whoever wrote it down. Whether it is news.
    pub fn on_settled(&mut self, id: &RequestId, end: End) -> bool {
        let waited = self.drop_waiting(id);
        self.remember(id.clone(), end);
        waited
    }

    fn drop_waiting(&mut self, id: &RequestId) -> bool {
        let Some(waiting) = self.waiting.remove(id) else { return false };
        for (control, _) in waiting.before {
            self.held.remove(&control);
        }
        true
    }

    /// It could not be written down.
    pub fn on_not_written(&mut self, now: Time, id: &RequestId) -> Option<Revert> {
        let waiting = self.waiting.get_mut(id)?;
        match &mut waiting.state {
            State::Confirming(noted) => {
                // Time may have run out meanwhile, and nobody was told: it was not due.
                let cause = noted.or_else(|| (now >= waiting.until).then_some(Cause::NotConfirmed));
                waiting.state = State::Pending;
                cause.and_then(|cause| self.give_up(id, cause))
            }
            State::Reverting(_, again) => {
                again.get_or_insert(now + RETRY_AFTER);
                None
            }
            State::Pending => None,
        }
    }

    fn give_up_all(&mut self, whom: impl Fn(&Waiting) -> bool, cause: Cause) -> Vec<Revert> {
        let ids: Vec<RequestId> = self.waiting.iter().filter(|(_, w)| whom(w)).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.give_up(id, cause)).collect()
    }

    fn give_up(&mut self, id: &RequestId, cause: Cause) -> Option<Revert> {
        let waiting = self.waiting.get_mut(id)?;
        match &mut waiting.state {
            State::Pending => {
                waiting.state = State::Reverting(cause, None);
                Some(Revert { id: id.clone(), cause, to: waiting.before.clone() })
            }
            State::Confirming(noted) => {
                noted.get_or_insert(cause);
                None
            }
            State::Reverting(..) => None,
        }
    }
}

#[cfg(test)]
#[path = "confirm_tests.rs"]
mod tests;
