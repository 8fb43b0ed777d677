//! Processes of other CPUs: who here wants to know of them, and what they are told.
//!
//! Interest in a name goes to every agent, for nobody knows where it will be born; its first declaration here goes out, and the last withdrawal. What the
//! others say is told here once: one birth, one end of every key, in order, also when a stream had to begin anew in between.
// spec: PSM-3, PSM-4, PSM-10

use std::collections::{BTreeMap, BTreeSet};

use super::super::io::{Conn, Moment};
use super::super::{Agent, Outbox, Resource};
use crate::model::notice::NoticeEvent;
use crate::model::{Cause, Key, Name, NodeId, Notice};
use crate::wire::{ToAgent, ToProcess};

/// What was told here of a process of another CPU.
#[derive(Clone, Debug)]
pub(in super::super) struct Told {
    key: Key,
    event: NoticeEvent,
}

impl Told {
    fn is_over(&self) -> bool {
        matches!(self.event, NoticeEvent::Died { .. } | NoticeEvent::PresumedDead { .. } | NoticeEvent::Unregistered)
    }
}

/// What was told of processes of other CPUs, by name and CPU. Of names that somebody here asked for.
pub(in super::super) type ToldOf = BTreeMap<Name, BTreeMap<NodeId, Told>>;

impl Agent {
    /// Interest in a name has begun or ended here.
    // spec: MON-3
    pub(in super::super) fn look_elsewhere(&mut self, conn: Conn, name: &Name) {
        if conn.peer().is_none() {
            self.peers.looked_for.insert(name.clone());
        }
    }

    /// Whether a process of this CPU asked for a name.
    fn is_looked_for(&self, name: &Name) -> bool {
        self.interest.waiters(&Resource::Process(name.clone())).any(|conn| conn.peer().is_none())
    }

    /// Tells the others which processes are asked for, where that has changed.
    pub(super) fn send_lookups(&mut self, now: Moment, out: &mut Outbox) {
        // Of each step, so not for nothing.
        if self.peers.looked_for.is_empty() {
            return;
        }
        let nodes: Vec<NodeId> = self.peers.greeted().collect();
        for name in std::mem::take(&mut self.peers.looked_for) {
            let wanted = self.is_looked_for(&name);
            if !wanted {
                self.peers.told.remove(&name);
            }
            for node in &nodes {
                let Some(peer) = self.peers.get_mut(*node) else { continue };
                let body = match (wanted, wanted != peer.lookups.contains(&name)) {
                    (_, false) => continue,
                    (true, true) => {
                        peer.lookups.insert(name.clone());
                        ToAgent::Lookup { req: 0, name: name.clone() }
                    }
                    (false, true) => {
                        peer.lookups.remove(&name);
                        ToAgent::Forget { name: name.clone() }
                    }
                };
                self.request_of(now, *node, None, body, out);
            }
        }
    }

    /// All of them, to an agent that knows none.
    pub(super) fn ask_for_all(&mut self) {
        let names: BTreeSet<Name> =
            self.interest.resources().filter_map(|r| if let Resource::Process(name) = r { Some(name.clone()) } else { None }).collect();
        self.peers.looked_for.extend(names);
    }

    /// Another agent says what has become of a process of its own.
    pub(super) fn on_far_notice(&mut self, node: NodeId, notice: Notice) {
        if notice.key.is_some_and(|key| key.node != node) {
            return;
        }
        self.miss_undurable(node, &notice);
        let Notice { name, key: Some(key), event } = notice else { return };
        // Who was told to be dead stays so, whatever is still on its way.
        if self.peers.is_over(key) || !self.is_looked_for(&name) {
            return;
        }
        let before = self.peers.told.get(&name).and_then(|of| of.get(&node)).cloned();
        if let Some(before) = &before {
            if before.key > key || (before.key == key && (before.event == event || before.is_over())) {
                return;
            }
            // Its end was said while nobody could hear it: that comes first.
            if before.key != key && !before.is_over() {
                self.tell_here(&name, before.key, NoticeEvent::Died { cause: Cause::Unknown });
            }
        }
        // Who is told of a life is told of its birth first, even if nobody could hear of it then.
        // spec: PSM-4
        let is_new = before.as_ref().is_some_and(|b| b.key != key);
        let event = if is_new && event == NoticeEvent::Reachable { NoticeEvent::Born } else { event };
        if is_new && event != NoticeEvent::Born {
            self.tell_here(&name, key, NoticeEvent::Born);
        }
        // One that was heard of as alive, and cannot be reached, and can again, was born once.
        let event = match (event, &before) {
            (NoticeEvent::Born, Some(b)) if b.key == key && b.event == NoticeEvent::Unreachable => NoticeEvent::Reachable,
            (NoticeEvent::Born, Some(b)) if b.key == key => return,
            (event, _) => event,
        };
        self.peers.told.entry(name.clone()).or_default().insert(node, Told { key, event: event.clone() });
        self.tell_here(&name, key, event);
    }

    /// What it says is older than what an agent before it on that CPU has said of the name, or nothing: that one could not make the life durable, and nobody will
    /// speak of it again. Its process may go on, in another life: so the end is presumed.
    // spec: PSM-4, SEC-3
    fn miss_undurable(&mut self, node: NodeId, notice: &Notice) {
        let Some(agent) = self.peers.get(node).map(|peer| peer.life) else { return };
        let told = self.peers.told.get_mut(&notice.name).and_then(|of| of.get_mut(&node)).filter(|told| !told.is_over());
        let missed = told.filter(|told| told.key.inc.epoch() < agent.inc.epoch() && notice.key.is_none_or(|key| key < told.key));
        if let Some(told) = missed {
            told.event = NoticeEvent::PresumedDead { cause: Cause::Unknown };
            let (key, event) = (told.key, told.event.clone());
            self.tell_here(&notice.name, key, event);
        }
    }

    /// An agent cannot be reached, can be again, or is down: so are, as far as anybody here knows, its processes.
    // spec: PSM-10
    pub(super) fn tell_of_peer(&mut self, node: NodeId, event: &NoticeEvent) {
        let mut changed = Vec::new();
        for (name, of) in &mut self.peers.told {
            let Some(told) = of.get_mut(&node).filter(|told| !told.is_over()) else { continue };
            let unreachable = told.event == NoticeEvent::Unreachable;
            if (*event == NoticeEvent::Reachable) != unreachable && *event != (NoticeEvent::PresumedDead { cause: Cause::CpuDown }) {
                continue;
            }
            told.event = event.clone();
            changed.push((name.clone(), told.key));
        }
        for (name, key) in changed {
            self.tell_here(&name, key, event.clone());
        }
    }

    /// What is known of a process of another CPU: the one that lives, or was the last to.
    // spec: PSM-3
    pub(in super::super) fn far_notice_of(&self, name: &Name) -> Option<Notice> {
        let of = self.peers.told.get(name)?;
        let told = of.values().find(|t| !t.is_over()).or_else(|| of.values().next())?;
        Some(Notice { name: name.clone(), key: Some(told.key), event: told.event.clone() })
    }

    /// To the processes of this CPU: the others are told by whose process it is.
    fn tell_here(&mut self, name: &Name, key: Key, event: NoticeEvent) {
        let interested: Vec<Conn> = self.interest.waiters(&Resource::Process(name.clone())).filter(|conn| conn.peer().is_none()).collect();
        for conn in interested {
            self.stats.notices += 1;
            self.queue(conn, ToProcess::Notice(Notice { name: name.clone(), key: Some(key), event: event.clone() }));
        }
    }
}
