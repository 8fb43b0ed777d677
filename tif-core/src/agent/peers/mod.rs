//! Other CPUs' agents: seen, greeted, listened to, taken for down; and a stream to each.
//!
//! - `meeting`: what is spoken with whom. `directory`: who exports what where. `following`: what this CPU's importers want of other CPUs. `serving`: what other CPUs want of this one.
//! - `electing`: who leads a group that may have members on several CPUs. `replicating`: what was accepted for it.
//! - `guarding`: indicators of other CPUs that guard a change here.
//! - `introducing`: where a member of a group is started that is missing in the system.
//! - `relieving`: a primary makes way for a member on another CPU.
//! - `forwarding`: requests that others have to answer. `noticing`: processes of other CPUs.
//!
//! Another agent is seen by chance (the fabric hints), greeted (versions are compared), introduced to the detector, and given a stream. On every new
//! stream both say who they are and what they export; what was followed is asked for again, and set against what is known, as after the restart of a
//! process. When the detector presumes a life down, every process of it is presumed dead and every source of it is in an outage.
// spec: FAB-2, FAB-3, FAB-5, SYN-6

mod directory;
mod electing;
mod following;
mod forwarding;
mod guarding;
mod introducing;
mod meeting;
mod noticing;
mod portrait;
mod relieving;
pub(super) mod replicating;
mod serving;
mod surveying;

use std::collections::{BTreeMap, BTreeSet};

use super::io::{Conn, Moment, Output};
use super::{Agent, Outbox, Timer};
use crate::defects::{Defect, defect};
use crate::machine::detector::{Clocks, Detector, Fact, Profile};
use crate::machine::link::{Delivered, Link};
use crate::model::notice::NoticeEvent;
use crate::model::{Cause, Coarsen, InstrumentId, Key, Name, NodeId, Pattern, RequestId, Time};
use crate::wire::{Greeting, Host, Member, PeerBody, PeerFrame, ToPeer, ToProcess};
pub(super) use forwarding::{Forwarded, Gathering};
pub(super) use guarding::GuardAsked;

/// All that is known of other agents.
#[derive(Debug)]
pub(super) struct Peers {
    detector: Detector,
    /// CPUs that were seen, whether they have answered or not.
    seen: BTreeSet<NodeId>,
    /// What is spoken with those that have answered.
    met: BTreeMap<NodeId, meeting::Met>,
    peers: BTreeMap<NodeId, Peer>,
    /// Sources of other CPUs that somebody here follows, by their name here.
    sources: BTreeMap<Name, following::FarSource>,
    /// Lives of agents that were given up, and with them every process of that or an earlier one.
    over: BTreeMap<NodeId, u32>,
    told: noticing::ToldOf,
    routes: forwarding::Routes,
    /// What the others are to be told at the end of the step: exporters, patterns, names that somebody here asks for.
    touched: BTreeMap<Key, Option<Cause>>,
    wishes: BTreeSet<Pattern>,
    /// What this agent follows itself, to know when an outage that began here is over.
    awaited: BTreeSet<Pattern>,
    looked_for: BTreeSet<Name>,
    /// Indicators of other CPUs that guard changes here: this agent follows them.
    guards: BTreeSet<Pattern>,
    /// Who here has asked another CPU for a change that is to be confirmed.
    makers: BTreeMap<RequestId, Conn>,
    /// How this CPU stands, as the others were told.
    host: Host,
    workload: u8,
    /// Streams on which something has happened in this step.
    stirred: BTreeSet<NodeId>,
    /// Services whose groups may have members on several CPUs.
    pub(super) electing: electing::Electing,
}

/// One other agent's life.
#[derive(Debug)]
pub(super) struct Peer {
    life: Key,
    link: Link<ToPeer>,
    /// It was given up: nothing is said to this life any more.
    down: bool,
    /// How many streams there were.
    streams: u64,
    /// Its greeting has come on the present stream: it can be asked.
    greeted: bool,
    cpu: Option<Name>,
    members: BTreeMap<Key, Member>,
    /// How its CPU stands.
    host: Host,
    /// What was subscribed to there, and under which number.
    upstream: BTreeMap<Pattern, (u32, Coarsen)>,
    last_subscription: u32,
    lookups: BTreeSet<Name>,
    /// What its numbers mean: source and record.
    places: BTreeMap<InstrumentId, (Name, String)>,
    incoming: BTreeMap<Name, following::Incoming>,
    /// What it has subscribed to since it last said that that was all.
    batch: serving::Batch,
}

impl Peers {
    pub fn new(own: Key) -> Peers {
        Peers {
            detector: Detector::new(own, Profile::default()),
            seen: BTreeSet::new(),
            met: BTreeMap::new(),
            peers: BTreeMap::new(),
            sources: BTreeMap::new(),
            over: BTreeMap::new(),
            told: BTreeMap::new(),
            routes: forwarding::Routes::default(),
            touched: BTreeMap::new(),
            wishes: BTreeSet::new(),
            awaited: BTreeSet::new(),
            looked_for: BTreeSet::new(),
            guards: BTreeSet::new(),
            makers: BTreeMap::new(),
            host: Host::default(),
            workload: 0,
            stirred: BTreeSet::new(),
            electing: electing::Electing::default(),
        }
    }

    /// Whether this CPU has never seen another.
    fn is_alone(&self) -> bool {
        self.peers.is_empty()
    }

    fn get(&self, node: NodeId) -> Option<&Peer> {
        self.peers.get(&node)
    }

    fn get_mut(&mut self, node: NodeId) -> Option<&mut Peer> {
        self.peers.get_mut(&node)
    }

    fn iter(&self) -> impl Iterator<Item = (NodeId, &Peer)> {
        self.peers.iter().map(|(node, peer)| (*node, peer))
    }

    /// Something has happened on a stream, or is due there.
    pub fn stir(&mut self, node: NodeId) {
        self.stirred.insert(node);
    }

    /// Those that can be asked.
    pub(super) fn greeted(&self) -> impl Iterator<Item = NodeId> {
        self.iter().filter(|(_, p)| p.greeted).map(|(node, _)| node)
    }

    /// Whether this is a member of a service's group, as its agent says.
    pub(super) fn is_member_of(&self, node: NodeId, key: Key, service: &Name) -> bool {
        self.peers.get(&node).and_then(|p| p.members.get(&key)).is_some_and(|m| m.grouped && m.service == *service)
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.peers.values().flat_map(|p| p.members.values())
    }

    /// Whether a process's agent was given up while it lived.
    // spec: PSM-10
    fn is_over(&self, key: Key) -> bool {
        self.over.get(&key.node).is_some_and(|epoch| key.inc.epoch() <= *epoch)
    }

    /// When something is due; the streams have timers.
    pub fn deadline(&self) -> Option<Time> {
        self.detector.deadline()
    }
}

impl Peer {
    fn new(own: Key, life: Key) -> Peer {
        Peer {
            life,
            link: Link::new(own, life),
            down: false,
            streams: 0,
            greeted: false,
            cpu: None,
            members: BTreeMap::new(),
            host: Host::default(),
            upstream: BTreeMap::new(),
            last_subscription: 0,
            lookups: BTreeSet::new(),
            places: BTreeMap::new(),
            incoming: BTreeMap::new(),
            batch: serving::Batch::default(),
        }
    }

    /// A new stream: what was said on the one before is not known to have arrived.
    fn forget_stream(&mut self) {
        self.greeted = false;
        self.streams += 1;
        self.upstream.clear();
        self.lookups.clear();
        self.places.clear();
        self.incoming.clear();
        self.batch = serving::Batch::default();
    }
}

fn clocks(now: Moment) -> Clocks {
    Clocks { mono: now.time, boot: now.boot }
}

impl Agent {
    fn post(&self, node: NodeId, to: Key, body: PeerBody, out: &mut Outbox) {
        out.push(Output::ToPeer { to: node, frame: Box::new(PeerFrame { from: self.key, to, body }) });
    }

    /// A datagram has come.
    pub(super) fn on_peer_frame(&mut self, now: Moment, from: NodeId, frame: PeerFrame, out: &mut Outbox) {
        let life = frame.from;
        // Whoever speaks for another life than its own says nothing of either.
        let is_its_own = match &frame.body {
            PeerBody::Beat(beat) => beat.from == life && beat.to == frame.to,
            _ => true,
        };
        // spec: PSM-11
        if life.node != from || from == self.key.node || !is_its_own {
            self.stats.stale_keys += 1;
            return;
        }
        let for_us = frame.to == self.key || (defect(Defect::TakeOtherLife) && frame.to.node == self.key.node);
        let facts = match frame.body {
            PeerBody::Hello { offer, asks } => return self.on_peer_hello(now, life, frame.to, &offer, asks, out),
            PeerBody::Incompatible { offer } if for_us => return self.on_peer_incompatible(life, &offer, out),
            _ if !self.is_spoken_with(life, out) => return,
            PeerBody::Beat(beat) => self.peers.detector.on_beat(clocks(now), &beat),
            PeerBody::Ask { about, asked } if for_us => self.peers.detector.on_ask(clocks(now), life, about, asked),
            PeerBody::Answered { about, asked, ago, health } if for_us => {
                self.peers.detector.on_answer(clocks(now), life, about, asked, ago, health)
            }
            PeerBody::Refused { whom, current } => self.peers.detector.on_refused(clocks(now), life, whom, current),
            _ if !for_us => {
                self.stats.stale_keys += 1;
                self.peers.detector.on_heard(clocks(now), life)
            }
            PeerBody::Link(part) => {
                let facts = self.peers.detector.on_heard(clocks(now), life);
                self.act_on(now, facts, out);
                return self.on_part(now, life, part, out);
            }
            PeerBody::Ask { .. } | PeerBody::Answered { .. } | PeerBody::Incompatible { .. } => return,
        };
        self.act_on(now, facts, out);
    }

    fn on_part(&mut self, now: Moment, life: Key, part: crate::machine::link::Frame<ToPeer>, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(life.node).filter(|p| p.life == life && !p.down) else { return };
        let all = peer.link.receive(now.time, part);
        let mut stream = peer.streams;
        self.peers.stir(life.node);
        for delivered in all {
            if self.peers.get(life.node).is_none_or(|p| p.life != life || p.streams != stream) {
                // What the message before was, has ended the stream: nothing of it counts any more.
                return;
            }
            let begins = matches!(delivered, Delivered::Reset(_));
            match delivered {
                Delivered::Message(message) => self.on_peer_message(now, life.node, message, out),
                Delivered::Reset(_) => self.begin_stream(now, life.node, out),
            }
            if begins {
                stream = self.peers.get(life.node).map_or(stream, |p| p.streams);
            }
        }
    }

    /// What the detector believes now.
    fn act_on(&mut self, now: Moment, facts: Vec<Fact>, out: &mut Outbox) {
        for fact in facts {
            match fact {
                Fact::SendBeat(beat) => {
                    let to = beat.to;
                    self.post(to.node, to, PeerBody::Beat(beat), out);
                }
                Fact::AskConfirm { via, about, asked } => self.post(via.node, via, PeerBody::Ask { about, asked }, out),
                Fact::AnswerConfirm { to, about, asked, ago, health } => {
                    self.post(to.node, to, PeerBody::Answered { about, asked, ago, health }, out);
                }
                Fact::Refuse { to, current } => self.post(to.node, to, PeerBody::Refused { whom: to, current }, out),
                Fact::Stranger { life } => self.greet(life.node, life, out),
                Fact::Up { life } => self.on_peer_life(now, life, out),
                Fact::Superseded { old, new } => {
                    self.end_stream(now, old.node, out);
                    self.on_peer_life(now, new, out);
                }
                Fact::Unreachable { node } if defect(Defect::SilenceIsDeath) => {
                    self.tell_of_peer(node, &NoticeEvent::Died { cause: Cause::Unknown });
                }
                Fact::Unreachable { node } => self.tell_of_peer(node, &NoticeEvent::Unreachable),
                Fact::Reachable { node } => self.tell_of_peer(node, &NoticeEvent::Reachable),
                Fact::Down { life } => self.on_peer_down(now, life, out),
                Fact::Isolated(_) => {}
                Fact::TakeNewLife { above } => out.push(Output::BeginAnew { above }),
            }
        }
    }

    /// A life of another agent begins, as far as can be seen here: a stream to it.
    fn on_peer_life(&mut self, now: Moment, life: Key, out: &mut Outbox) {
        // What it has is as it was, until it says so itself.
        let (cpu, host) = self.peers.get(life.node).map(|p| (p.cpu.clone(), p.host.clone())).unwrap_or_default();
        self.peers.peers.insert(life.node, Peer { cpu, host, ..Peer::new(self.key, life) });
        self.begin_stream(now, life.node, out);
    }

    /// A stream begins: first of all who this is.
    fn begin_stream(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        self.end_stream(now, node, out);
        let over = self.peers.over.get(&node).copied().unwrap_or_default();
        let greeting = Greeting { cpu: self.cpu.clone(), members: self.members(), over, host: self.peers.host.clone() };
        self.say(now, node, ToPeer::Greeting(greeting), out);
    }

    /// What was said on the stream so far is void.
    fn end_stream(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.forget_stream();
        }
        self.doubt_sources(now, node);
        self.drop_session(Conn::of_peer(node), out);
        self.drop_questions_of(node, out);
    }

    /// The stream is no good: begin another.
    fn reset_peer(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        if let Some(peer) = self.peers.get_mut(node) {
            peer.link.reset(now.time);
            self.peers.stir(node);
            self.begin_stream(now, node, out);
        }
    }

    /// A life of another agent is given up, and all processes with it.
    // spec: FAB-3, OUT-1, PSM-10
    fn on_peer_down(&mut self, now: Moment, life: Key, out: &mut Outbox) {
        let node = life.node;
        self.end_stream(now, node, out);
        self.peers.over.insert(node, life.inc.epoch());
        if let Some(peer) = self.peers.get_mut(node) {
            peer.members.clear();
            peer.host = Host::default();
            peer.down = true;
        }
        self.on_successor_lost(now, |to| to.node == node, out);
        self.keep_numbers_of(node, &BTreeSet::new());
        self.peers.electing.stir();
        self.tell_of_peer(node, &NoticeEvent::PresumedDead { cause: Cause::CpuDown });
        self.lose_exporters(now, node, &Cause::CpuDown, out);
    }

    /// Says something on the stream to another agent.
    pub(super) fn say(&mut self, now: Moment, node: NodeId, message: ToPeer, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(node).filter(|p| !p.down) else { return };
        let sent = peer.link.send(now.time, message);
        self.peers.stir(node);
        if sent.is_err() {
            // It is so far behind that it has to begin anew.
            // spec: SEC-2
            self.reset_peer(now, node, out);
        }
    }

    fn on_peer_message(&mut self, now: Moment, node: NodeId, message: ToPeer, out: &mut Outbox) {
        match message {
            ToPeer::Greeting(greeting) => self.on_greeting(now, node, greeting, out),
            ToPeer::Member(member) => self.on_member(now, node, member, out),
            ToPeer::Host(host) => self.on_host(node, host),
            ToPeer::MemberGone { key, cause } => self.on_member_gone(now, node, key, &cause, out),
            ToPeer::Claim { service, key, number } => self.on_claim(now, node, &service, key, number, out),
            ToPeer::Group { service, message } => self.on_group_message(now, node, &service, *message, out),
            ToPeer::Request { on_behalf, body } => self.on_peer_request(now, node, on_behalf, *body, out),
            ToPeer::Wished => self.on_peer_wished(now, node, out),
            ToPeer::Answer(message) => self.on_peer_answer(now, node, *message, out),
        }
    }

    /// It has said who it is: it is served, and asked for what is wanted of it.
    fn on_greeting(&mut self, now: Moment, node: NodeId, greeting: Greeting, out: &mut Outbox) {
        let Some(peer) = self.peers.get_mut(node) else { return };
        peer.greeted = true;
        peer.cpu = Some(greeting.cpu.clone());
        peer.host = greeting.host.bounded();
        peer.members = greeting.members.into_iter().filter(|m| m.key.node == node).map(|m| (m.key, m)).collect();
        let keys = peer.members.keys().copied().collect();
        self.keep_numbers_of(node, &keys);
        self.serve(now, node, greeting.cpu, out);
        self.heed_members(now, node, out);
        self.on_successor_lost(now, |to| to.node == node && !keys.contains(&to), out);
        self.renew_processes(greeting.over, out);
        // Exporters that it had and has not are gone, and nobody saw how.
        self.lose_exporters(now, node, &Cause::Unknown, out);
        self.forget_unfollowed(node, out);
        self.send_all_wishes(now, node, out);
        self.ask_for_all();
    }

    /// Another agent presumed the processes of these lives of ours dead. They live, and begin other lives: who is told that its key is not current
    /// registers anew, and cannot resume.
    // spec: PSM-7, PSM-10
    fn renew_processes(&mut self, over: u32, out: &mut Outbox) {
        if over <= self.over {
            return;
        }
        self.over = over;
        let refused: Vec<Conn> =
            self.sessions.iter().filter(|(c, s)| c.peer().is_none() && s.key.inc.epoch() <= over).map(|(c, _)| *c).collect();
        for conn in refused {
            self.send(out, conn, ToProcess::StaleKey { current: None });
            out.push(Output::Close { conn });
        }
    }

    /// The end of a step: what is for other agents goes to them.
    pub(super) fn route(&mut self, now: Moment, out: &mut Outbox) {
        if self.peers.is_alone() {
            self.peers.wishes.clear();
            self.peers.looked_for.clear();
            self.peers.touched.clear();
            return;
        }
        self.send_members(now, out);
        self.send_wishes(now, out);
        self.send_lookups(now, out);
        self.serve_peers(now, out);
        self.send_members_gone(now, out);
        self.send_host(now, out);
        while let Some(node) = self.peers.stirred.pop_first() {
            self.work_stream(now, node, out);
            if self.filled.iter().any(|conn| conn.peer().is_some()) {
                self.serve_peers(now, out);
            }
        }
    }

    /// What is due on the stream to another agent is sent.
    fn work_stream(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        self.timers.cancel(Timer::Stream(node));
        let Some(peer) = self.peers.get_mut(node).filter(|p| !p.down) else { return };
        let life = peer.life;
        let (parts, reset) = peer.link.poll(now.time);
        if let Some(at) = peer.link.deadline() {
            self.timers.set(at, Timer::Stream(node));
        }
        for part in parts {
            self.post(node, life, PeerBody::Link(part), out);
        }
        if reset.is_some() {
            self.begin_stream(now, node, out);
        }
    }

    /// The detector's time has come.
    pub(super) fn look_after_peers(&mut self, now: Moment, out: &mut Outbox) {
        let facts = self.peers.detector.poll(clocks(now));
        self.act_on(now, facts, out);
    }
}
