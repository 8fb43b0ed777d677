//! What other CPUs want of this one: to this agent another is an importer, for all of its own at once.
//!
//! It has a session like a process, with a queue in which the newest value takes the place of one that waits; what the queue holds goes out as far as the
//! stream to it has room. So a value goes to a CPU once, however many importers are interested there.
// spec: MON-2, MON-4, MON-6

use std::collections::BTreeMap;

use super::super::io::{Conn, Moment, Output};
use super::super::session::Session;
use super::super::{Agent, Outbox};
use crate::machine::link::WINDOW;
use crate::model::{Coarsen, Key, Name, NodeId, Pattern};
use crate::wire::{Credentials, ToAgent, ToPeer, ToProcess};

/// Subscriptions of another agent that belong together: one source's values are sent once for all of them.
#[derive(Debug, Default)]
pub(super) struct Batch {
    added: Vec<(Pattern, Coarsen)>,
    replaced: bool,
    /// One was ended on this stream.
    served: bool,
}

impl Agent {
    /// From now on its requests are served.
    pub(super) fn serve(&mut self, now: Moment, node: NodeId, cpu: Name, out: &mut Outbox) {
        let conn = Conn::of_peer(node);
        self.drop_session(conn, out);
        let Some(life) = self.peers.get(node).map(|p| p.life) else { return };
        self.sessions.insert(conn, Session::new(now.time, life, cpu, Credentials::default(), "tif-monitor".into(), false));
    }

    /// This agent asks itself as it asks the others, for what all have together.
    pub(super) fn serve_itself(&mut self, now: Moment) {
        let (key, cpu) = (self.key, self.cpu.clone());
        let session = || Session::new(now.time, key, cpu, Credentials::default(), "tif-monitor".into(), false);
        self.sessions.entry(Conn::of_peer(key.node)).or_insert_with(session);
    }

    /// Another agent asks for something, for one of its processes or for several.
    pub(super) fn on_peer_request(&mut self, now: Moment, node: NodeId, on_behalf: Option<(Name, u32)>, body: ToAgent, out: &mut Outbox) {
        let conn = Conn::of_peer(node);
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        session.heard = now.time;
        if let Some((who, uid)) = on_behalf {
            // For this request it is that process of that user.
            session.name = who;
            session.credentials.uid = uid;
        }
        match body {
            ToAgent::Subscribe { subscription, pattern, coarsen } => {
                let Some(replaced) = self.record_subscription(conn, subscription, &pattern, coarsen, out) else { return };
                if let Some(peer) = self.peers.get_mut(node) {
                    peer.batch.replaced |= replaced;
                    peer.batch.added.push((pattern, coarsen));
                }
            }
            body => self.on_request(now, conn, body, out),
        }
    }

    /// It has said all that it wants for now.
    // spec: SYN-2, SYN-6
    pub(super) fn on_peer_wished(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        let conn = Conn::of_peer(node);
        let Some(peer) = self.peers.get_mut(node) else { return };
        let batch = std::mem::replace(&mut peer.batch, Batch { served: true, ..Batch::default() });
        let changed = self.follow_patterns(conn, batch.added, batch.replaced, out);
        self.show_changed(now, conn, changed, out);
        if batch.served {
            return;
        }
        // It may remember something of sources of which nothing is there for it.
        let live: Vec<(Name, Key)> = self.sources.iter().filter_map(|(source, s)| Some((source.clone(), s.exporter?))).collect();
        for (source, key) in live {
            if self.may_want_none_of(conn, &source, key) {
                self.begin_sync(now, &source, key, BTreeMap::from([(conn, Vec::new())]), None, out);
            }
        }
    }

    /// Whether another agent follows nothing of a source, and may not know it.
    pub(in super::super) fn may_want_none_of(&self, conn: Conn, source: &Name, key: Key) -> bool {
        let Some(exporter) = self.exporters.get(&key).filter(|_| conn.peer().is_some()) else { return false };
        let follows_none =
            |s: &Session| !s.by_source.contains_key(source) && s.subscriptions.values().any(|s| s.pattern.may_fit_below(&exporter.service));
        self.sessions.get(&conn).is_some_and(follows_none)
    }

    /// The end of a step: what was said to the sessions of other agents goes onto their streams instead of into sockets.
    pub(super) fn serve_peers(&mut self, now: Moment, out: &mut Outbox) {
        let for_peer = |output: &mut Output| match output {
            Output::Send { conn, .. } | Output::Close { conn } => conn.peer().is_some(),
            _ => false,
        };
        for output in out.extract_if(.., for_peer).collect::<Vec<_>>() {
            match output {
                Output::Send { conn, message, .. } => match conn.peer() {
                    Some(node) if node == self.key.node => self.on_own_answer(now, *message, out),
                    Some(node) => self.say(now, node, ToPeer::Answer(message), out),
                    None => {}
                },
                Output::Close { conn } => conn.peer().into_iter().for_each(|node| self.reset_peer(now, node, out)),
                _ => {}
            }
        }
        for node in self.filled.extract_if(.., |conn| conn.peer().is_some()).filter_map(Conn::peer) {
            self.peers.stir(node);
        }
        let nodes: Vec<NodeId> =
            self.peers.stirred.iter().copied().filter(|node| self.peers.get(*node).is_some_and(|p| p.greeted)).collect();
        for node in nodes {
            // Only as much as is on its way: what waits here can still be replaced by something newer.
            while self.peers.get(node).is_some_and(|p| p.link.queued() < WINDOW) {
                let Some((_, message)) = self.pull(Conn::of_peer(node)) else { break };
                self.say(now, node, ToPeer::Answer(Box::new(message)), out);
            }
        }
    }

    fn on_own_answer(&mut self, now: Moment, message: ToProcess, out: &mut Outbox) {
        if let Some(req) = message.answers() {
            self.on_answer(now, self.key.node, req, message, out);
        }
    }

    /// What another agent sends: of what is followed there, or the answer to a request.
    pub(super) fn on_peer_answer(&mut self, now: Moment, node: NodeId, message: ToProcess, out: &mut Outbox) {
        match message {
            ToProcess::ReportsBegin { source, key, relieves, last } => self.on_far_begin(now, node, &source, key, relieves, last),
            ToProcess::Announced(announced) => self.on_far_announced(now, node, announced, out),
            ToProcess::Withdrawn { instruments } => self.on_far_withdrawn(node, &instruments, out),
            ToProcess::Reports { reports, .. } => self.on_far_reports(now, node, reports),
            ToProcess::ReportsEnd(end) => self.on_far_end(now, node, end, out),
            ToProcess::Outage(outage) => self.on_far_outage(now, node, &outage, out),
            ToProcess::Notice(notice) | ToProcess::LookedUp { notice, .. } => self.on_far_notice(node, notice),
            ToProcess::Settled { request_id, end } => self.on_far_settled(request_id, end, out),
            other => {
                if let Some(req) = other.answers() {
                    self.on_answer(now, node, req, other, out);
                }
            }
        }
    }
}
