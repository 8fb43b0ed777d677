//! Processes on another kernel, whose connection somebody forwards: their heartbeats are listened to, and what is concluded from silence is done here.
//!
//! A death that the operating system tells is found out again by the agent after this one. That somebody is presumed dead is not: its end is durable before
//! anybody hears of it, or the next agent might let it go on under a key of which others were told that it is dead.
// spec: PSM-6, PSM-10

use std::time::Duration;

use super::ending::Ended;
use super::io::{Conn, Moment, ProcessRecord};
use super::{Agent, Outbox, Timer};
use crate::defects::{Defect, defect};
use crate::machine::heartbeat::{Fact, Pulse};
use crate::model::{Cause, Key, Refusal, Time};
use crate::wire::ToProcess;

/// An agent that comes to what is due so much later was away, and not busy.
const AWAY: Duration = Duration::from_millis(200);

impl Agent {
    /// It is admitted, or it is known from before.
    pub(super) fn listen_to(&mut self, now: Moment, key: Key, pulse: Pulse) {
        // The registry has room for no more than the machine has.
        if self.heartbeats.watch(now.time, key, pulse).is_ok() {
            self.listen_on();
        }
    }

    fn listen_on(&mut self) {
        if let Some(at) = self.heartbeats.deadline() {
            self.timers.set(at, Timer::Heartbeats);
        }
    }

    /// Anything was heard of a process.
    pub(super) fn hear(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        if self.heartbeats.is_watched(key)
            && let Ok(Some(fact)) = self.heartbeats.on_heard(now.time, key)
        {
            self.on_heartbeat_fact(now, fact, out);
        }
    }

    /// If this agent was away itself, that is held against nobody. `due`: when it ought to have been there at the latest.
    // spec: FAB-3
    pub(super) fn heed_own_absence(&mut self, now: Moment, due: Option<Time>) {
        if self.heartbeats.is_empty() {
            return;
        }
        // What is due stays so until its turn has come; the same absence counts once.
        let late = due.map_or(Duration::ZERO, |due| now.time.since(due.max(self.back_since)));
        if late > AWAY {
            self.back_since = now.time;
            self.heartbeats.on_pause(now.time, late);
        }
    }

    /// Heartbeats may be missing.
    pub(super) fn count_heartbeats(&mut self, now: Moment, out: &mut Outbox) {
        for fact in self.heartbeats.poll(now.time) {
            self.on_heartbeat_fact(now, fact, out);
        }
        self.listen_on();
    }

    fn on_heartbeat_fact(&mut self, now: Moment, fact: Fact, out: &mut Outbox) {
        match fact {
            Fact::Suspect(key, suspect) => self.suspect(now, key, suspect, out),
            Fact::Probe { key, nonce } => {
                let conn: Option<Conn> = self.sessions.iter().find(|(_, s)| s.key == key).map(|(conn, _)| *conn);
                if let Some(conn) = conn {
                    self.send(out, conn, ToProcess::Ping { nonce });
                }
            }
            Fact::PresumedDead(_) if defect(Defect::NeverGiveUp) => {}
            Fact::PresumedDead(key) => self.give_up(now, key, out),
        }
    }

    fn give_up(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        let Some(record) = self.record_of(now, key, true) else { return };
        self.given_up.insert(key);
        self.write_end(Ended::of(ProcessRecord { cause: Some(Cause::Silent), since: now.stamp, ..record }), out);
        if defect(Defect::TellPresumedEarly) {
            self.bury_given_up(now, key, out);
        }
    }

    /// The end of one that was given up is durable: it is told. Of one that took its leave meanwhile everything has been.
    pub(super) fn bury_given_up(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        if !self.given_up.contains(&key) {
            return;
        }
        let Some(name) = self.registry.find(key).map(|p| p.name.clone()) else { return };
        let changed = self.registry.on_silent(now.time, key);
        self.announce_process(&name, key, changed);
        self.end_process(now, key, Cause::Silent, out);
    }

    /// Whether a process comes again that is given up, and whose end is not durable yet: it is to ask once more, and hears then what has become of it.
    pub(super) fn refuse_given_up(&self, key: Key) -> Result<(), Refusal> {
        if self.given_up.contains(&key) {
            return Err(Refusal::Store { reason: "the end of its life before is not written yet".into() });
        }
        Ok(())
    }
}
