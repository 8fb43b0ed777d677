//! Who exports what on which CPU: what the agents tell each other of their exporters.
// spec: GRP-3, GRP-4

use super::super::io::Moment;
use super::super::{Agent, Outbox};
use crate::defects::{Defect, defect};
use crate::model::{Address, Cause, Key, Name, NodeId, Role};
use crate::wire::{Member, ToPeer};

/// Where the instrument is that somebody named, as far as the directory can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Home {
    /// On this CPU, or nowhere.
    Here,
    /// At this one.
    There(NodeId),
    /// In several places: these sources.
    Several(Vec<String>),
}

impl Agent {
    /// Something of an exporter has changed: the other agents are told at the end of the step.
    pub(in super::super) fn touch_member(&mut self, key: Key) {
        self.peers.electing.stir();
        if !self.peers.is_alone() {
            self.peers.touched.entry(key).or_default();
        }
    }

    /// An exporter has ended.
    pub(in super::super) fn touch_ended(&mut self, key: Key, cause: &Cause) {
        if !self.peers.is_alone() {
            self.peers.touched.insert(key, Some(cause.clone()));
        }
    }

    /// Every member of a group: their term has changed.
    pub(in super::super) fn touch_group(&mut self, service: &Name) {
        self.peers.electing.stir();
        if !self.peers.is_alone() {
            let of_group = self.exporters.iter().filter(|(_, e)| e.grouped && e.service == *service).map(|(key, _)| *key);
            for key in of_group.collect::<Vec<Key>>() {
                self.touch_member(key);
            }
        }
    }

    /// An exporter of this CPU as the others are to know it.
    pub(in super::super) fn member(&self, key: Key) -> Option<Member> {
        let e = self.exporters.get(&key)?;
        let epoch = self.groups.get(&e.service).filter(|_| e.grouped).map(crate::machine::group::Group::epoch).unwrap_or_default();
        let (process, service) = (e.name.clone(), e.service.clone());
        Some(Member {
            key,
            process,
            service,
            grouped: e.grouped,
            role: self.role_of(key),
            epoch,
            ready: e.ready,
            weight: e.weight,
            number: self.number_of(key),
            hands_over: self.hands_over(key),
        })
    }

    pub(super) fn members(&self) -> Vec<Member> {
        self.exporters.keys().filter_map(|key| self.member(*key)).collect()
    }

    /// Tells the others what has come or changed of this CPU's exporters. Also those whose own greeting is still on its way: they have had ours.
    pub(super) fn send_members(&mut self, now: Moment, out: &mut Outbox) {
        let there: Vec<Member> = self.peers.touched.keys().filter_map(|key| self.member(*key)).collect();
        for member in there {
            self.peers.touched.remove(&member.key);
            self.say_to_all(now, &ToPeer::Member(member), out);
        }
    }

    /// And what is no more: after the last of its values.
    pub(super) fn send_members_gone(&mut self, now: Moment, out: &mut Outbox) {
        for (key, cause) in std::mem::take(&mut self.peers.touched) {
            self.say_to_all(now, &ToPeer::MemberGone { key, cause: cause.unwrap_or(Cause::Unknown) }, out);
        }
    }

    pub(super) fn say_to_all(&mut self, now: Moment, message: &ToPeer, out: &mut Outbox) {
        let nodes: Vec<NodeId> = self.peers.iter().map(|(node, _)| node).collect();
        for node in nodes {
            self.say(now, node, message.clone(), out);
        }
    }

    pub(super) fn on_member(&mut self, now: Moment, node: NodeId, member: Member, out: &mut Outbox) {
        if member.key.node != node {
            return;
        }
        let Some(peer) = self.peers.get_mut(node) else { return };
        let new_service = !peer.members.values().any(|m| m.service == member.service);
        peer.members.insert(member.key, member.clone());
        self.heed_member(now, &member, out);
        self.heed_successor(now, &member, out);
        if new_service {
            self.send_all_wishes(now, node, out);
        }
    }

    /// An exporter has ended there. Its source is without one, also where its agent knows of nobody here who follows it: that may have been restarted since.
    // spec: OUT-1
    pub(super) fn on_member_gone(&mut self, now: Moment, node: NodeId, key: Key, cause: &Cause, out: &mut Outbox) {
        self.peers.electing.stir();
        let Some(peer) = self.peers.get_mut(node) else { return };
        let member = peer.members.remove(&key);
        self.on_successor_lost(now, |to| to == key, out);
        if let Some(member) = member.filter(|_| *cause == Cause::Unregistered) {
            self.on_left_elsewhere(&member.service);
        }
        self.forget_number(key);
        self.drop_incoming(now, node, key);
        self.lose_exporters(now, node, cause, out);
    }

    /// Whether somebody else leads the group of this source in the term of which this member's agent knows, or in a later one.
    // spec: GRP-8
    pub(super) fn is_deposed(&self, source: &Name, key: Key) -> bool {
        let of_group = || self.peers.members().filter(|m| m.grouped && m.service == *source);
        let Some(epoch) = of_group().find(|m| m.key == key).map(|m| m.epoch) else { return false };
        let here = self.groups.get(source).and_then(|g| Some((g.leader()?, g.epoch())));
        let there = of_group().filter(|m| matches!(m.role, Role::Primary)).map(|m| (m.key, m.epoch));
        there.chain(here).any(|(leader, term)| leader != key && term >= epoch) && !defect(Defect::FollowDeposed)
    }

    /// The primary of a service on another CPU that can be asked.
    pub(super) fn leader_elsewhere(&self, service: &Name) -> Option<&Member> {
        let there = self.peers.iter().filter(|(_, peer)| peer.greeted).flat_map(|(_, peer)| peer.members.values());
        let mut primaries = there.filter(|m| m.grouped && m.service == *service && m.role == Role::Primary);
        primaries.find(|m| !self.is_deposed(service, m.key))
    }

    /// Whether there is one.
    pub(super) fn is_led_elsewhere(&self, service: &Name) -> bool {
        self.leader_elsewhere(service).is_some()
    }

    /// Whether it makes way for another that does not lead yet: its agent keeps what is asked for until that does.
    // spec: OUT-5
    fn keeps_changes(&self, member: &Member) -> bool {
        let is_led_here =
            || self.groups.get(&member.service).is_some_and(|g| g.leader().is_some_and(|key| g.role(key) == Some(Role::Primary)));
        member.hands_over.is_some() && !self.is_led_elsewhere(&member.service) && !is_led_here()
    }

    /// Where a request for an instrument of this name is to go.
    pub(super) fn home_of(&self, text: &str) -> Home {
        let Ok(address) = text.parse::<Address>() else { return Home::Here };
        let below = |service: &Name| address.name.as_str().strip_prefix(service.as_str()).is_some_and(|rest| rest.starts_with('.'));
        let mut found: Vec<(NodeId, String)> = Vec::new();
        for (node, peer) in self.peers.iter().filter(|(_, p)| p.greeted) {
            let Some(cpu) = &peer.cpu else { continue };
            for m in peer.members.values().filter(|m| below(&m.service)) {
                let source = if m.grouped { Ok(m.service.clone()) } else { cpu.join(&m.process) };
                let Ok(source) = source else { continue };
                let leads = !m.grouped || (m.role == Role::Primary && !self.is_deposed(&m.service, m.key)) || self.keeps_changes(m);
                let there = address.at.as_ref().is_none_or(|at| *at == *cpu || *at == m.process || *at == source);
                if leads && there {
                    found.push((node, source.to_string()));
                }
            }
        }
        let here = self.exporters.iter().filter(|(key, e)| {
            let at = address.at.as_ref();
            below(&e.service)
                && matches!(self.role_of(**key), Role::Primary | Role::Solo)
                && at.is_none_or(|at| *at == self.cpu || *at == e.name || *at == e.source())
        });
        let mut here: Vec<String> = here.map(|(_, e)| e.source().to_string()).collect();
        // What is called exactly so here is meant, though a process elsewhere has the same name.
        if let Some(at) =
            address.at.as_ref().filter(|at| here.iter().chain(found.iter().map(|(_, source)| source)).any(|s| s == at.as_str()))
        {
            here.retain(|source| source == at.as_str());
            found.retain(|(_, source)| source == at.as_str());
        }
        match (here.is_empty(), found.as_slice()) {
            (_, []) => Home::Here,
            (true, [(node, _)]) => Home::There(*node),
            // Several processes of one CPU: it is for its agent to say so.
            (true, [(node, _), rest @ ..]) if rest.iter().all(|(n, _)| n == node) => Home::There(*node),
            _ => {
                let all = here.into_iter().chain(found.into_iter().map(|(_, source)| source));
                Home::Several(all.map(|source| format!("{}{}@{source}", address.name, address.dims)).take(8).collect())
            }
        }
    }
}
