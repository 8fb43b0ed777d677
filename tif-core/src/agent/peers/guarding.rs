//! Indicators of other CPUs that guard a change here, and who made one from another CPU.
//!
//! Before a change is admitted, the agent of the CPU where its guard is says what that is and how it stands: a name that is nowhere, or a value that is out
//! of the range already, is refused at the door as one next door is. From then on this agent follows the indicator as an importer does; while it is not heard
//! it has not left its range, and time decides.
// spec: CTL-6, MON-2

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::changing::Asked;
use super::super::io::{Conn, Moment};
use super::super::{Agent, Outbox, Question};
use super::directory::Home;
use crate::machine::confirm::{End, Guard};
use crate::model::{Name, NodeId, Pattern, Refusal, Report, RequestId};
use crate::wire::{Announcement, ToAgent, ToProcess};

/// How long the other agent may take to say how a guard stands.
const GUARD_TIMEOUT: Duration = Duration::from_secs(3);

/// A change that waits to hear how its guard stands.
#[derive(Debug)]
pub(in super::super) struct GuardAsked {
    conn: Conn,
    req: u64,
    node: NodeId,
    /// For whom it is made: the session of another agent speaks for many.
    who: (Name, u32),
    asked: Asked,
}

impl GuardAsked {
    /// Who was asked.
    pub(super) fn node(&self) -> NodeId {
        self.node
    }
}

impl super::Peers {
    /// Whether no guard on another CPU is followed.
    pub(in super::super) fn follows_no_guard(&self) -> bool {
        self.guards.is_empty()
    }
}

impl Agent {
    /// Takes over a change whose guard is on another CPU, until that is known. Gives back any other.
    pub(in super::super) fn ask_for_guard(&mut self, now: Moment, conn: Conn, req: u64, asked: Asked, out: &mut Outbox) -> Option<Asked> {
        let guard = asked.keep.as_ref().and_then(|keep| keep.guard.as_ref()).filter(|_| !asked.guard_is_known);
        let Some(indicator) = guard.map(|guard| guard.indicator.clone()) else { return Some(asked) };
        let found = self.table.resolve(&indicator, |i, at| self.is_at(i, at));
        if found.is_ok_and(|id| self.table.find(id).is_some_and(|i| i.here().is_some())) {
            return Some(asked);
        }
        let (node, pattern) = match (self.home_of(&indicator), indicator.parse::<Pattern>()) {
            (Home::There(node), Ok(pattern)) => (node, pattern),
            (Home::Several(candidates), _) => {
                self.refuse(out, conn, req, Refusal::Ambiguous { name: indicator, candidates });
                return None;
            }
            _ => return Some(asked),
        };
        let who = self.sessions.get(&conn).map(|s| (s.name.clone(), s.credentials.uid))?;
        if self.begin_request(conn, req, out) {
            let number = self.ask(now, Question::Guard(Box::new(GuardAsked { conn, req, node, who, asked })), GUARD_TIMEOUT);
            self.request_of(now, node, None, ToAgent::Sense { req: number, patterns: vec![pattern], patience: None }, out);
        }
        None
    }

    /// The other agent has answered.
    pub(super) fn on_guard_answer(&mut self, now: Moment, guard_asked: GuardAsked, answer: ToProcess, out: &mut Outbox) {
        let GuardAsked { conn, req, node, who, mut asked } = guard_asked;
        self.end_request(conn);
        let Some(guard) = asked.keep.as_mut().and_then(|keep| keep.guard.as_mut()) else { return };
        match self.look_at_far_guard(node, guard, answer) {
            Err(refusal) => self.refuse(out, conn, req, refusal),
            Ok(address) => {
                guard.indicator = address;
                asked.guard_is_known = true;
                let Some(session) = self.sessions.get_mut(&conn) else { return };
                (session.name, session.credentials.uid) = who;
                self.on_set(now, conn, req, asked, out);
            }
        }
    }

    /// What a guard on another CPU is called on all of them, if it can be one and is in its range.
    fn look_at_far_guard(&self, node: NodeId, guard: &Guard, answer: ToProcess) -> Result<String, Refusal> {
        let name = guard.indicator.clone();
        let (rows, missing): (Vec<(Announcement, Report)>, Vec<Refusal>) = match answer {
            ToProcess::Sensed { rows, missing, .. } => (rows, missing),
            ToProcess::Refused { refusal, .. } => return Err(refusal),
            _ => (Vec::new(), Vec::new()),
        };
        let (a, report) = match rows.as_slice() {
            [one] => one,
            [] => return Err(missing.into_iter().next().unwrap_or(Refusal::NotFound { name, nearest: Vec::new() })),
            some => {
                let candidates = some.iter().take(8).map(|(a, _)| format!("{}{}@{}", a.name, a.dims, a.process)).collect();
                return Err(Refusal::Ambiguous { name, candidates });
            }
        };
        super::super::settling::check_guard(guard, &name, &a.descriptor, report.value.as_ref())?;
        let grouped = self.peers.get(node).is_some_and(|p| p.members.values().any(|m| m.grouped && m.process == a.process));
        let at = if grouped {
            a.source.to_string()
        } else {
            a.cpu.join(&a.process).map_err(|e| Refusal::Malformed { reason: e.to_string() })?.to_string()
        };
        Ok(format!("{}{}@{at}", a.name, a.dims))
    }

    /// Nobody has said how the guard stands. Nothing was changed.
    pub(in super::super) fn on_no_guard_answer(&mut self, guard_asked: GuardAsked, out: &mut Outbox) {
        let GuardAsked { conn, req, node, asked, .. } = guard_asked;
        self.end_request(conn);
        let name = asked.keep.and_then(|keep| keep.guard).map(|guard| guard.indicator).unwrap_or_default();
        let reason = format!("CPU `{}` has not said how this guard stands; nothing was changed", self.cpu_name(node));
        self.refuse(out, conn, req, Refusal::TimedOut { name, reason, request_id: Some(asked.request_id) });
    }

    /// These guards are on other CPUs now, or on none: they are followed there, and others no longer.
    pub(in super::super) fn follow_guards(&mut self, wanted: BTreeSet<Pattern>) {
        let before = std::mem::replace(&mut self.peers.guards, wanted);
        for changed in before.symmetric_difference(&self.peers.guards) {
            self.peers.wishes.insert(changed.clone());
        }
    }

    /// Somebody here has asked another CPU for a change that is to be confirmed.
    pub(super) fn remember_maker(&mut self, id: &RequestId, conn: Conn) {
        let sessions = &self.sessions;
        self.peers.makers.retain(|_, conn| sessions.contains_key(conn));
        if self.peers.makers.len() < crate::limits::RESULTS_KEPT_MAX {
            self.peers.makers.insert(id.clone(), conn);
        }
    }

    /// What became of it: whoever made it is told, if that is still there.
    pub(super) fn on_far_settled(&mut self, request_id: RequestId, end: End, out: &mut Outbox) {
        if let Some(conn) = self.peers.makers.remove(&request_id).filter(|conn| self.sessions.contains_key(conn)) {
            self.send(out, conn, ToProcess::Settled { request_id, end });
        }
    }
}
