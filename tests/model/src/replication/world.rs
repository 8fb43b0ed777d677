//! The pair, its register, its network, and what an outsider knows to be true of them.

use std::cell::RefCell;
use std::collections::BTreeSet;

use tif_core::defects::Defect;
use tif_core::machine::replication::{Body, Fact, Log, Message, Output, Proposal, Replica};
use tif_core::machine::witness::{Change, Member, Term};
use tif_core::model::{Epoch, NodeId};

use super::{Book, Entry, Step};
use crate::World;
use crate::intern::{Interned, insert};

thread_local! {
    static MESSAGES: RefCell<Interned<Message<Book, Entry>>> = RefCell::default();
}

/// A message by its number.
pub(super) fn content(message: u16) -> Message<Book, Entry> {
    MESSAGES.with_borrow(|all| all.content(message))
}

fn receiver(message: u16) -> usize {
    MESSAGES.with_borrow(|all| all.get(message).to.node.0 as usize - 1)
}

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The last term that anybody tries to begin.
    pub epochs: u64,
    /// Requests of the client. Each may be asked any number of times, of any node.
    pub writes: u8,
    /// How often each node's agent may restart with its store.
    pub restarts: u8,
    /// How often each node's store may be lost.
    pub losses: u8,
    /// Leaders send again, and tell how far they are.
    pub resend: bool,
    /// A leader may begin another term itself, as it does for a new primary on its CPU.
    pub again: bool,
    /// Who takes over may keep the others in sync.
    pub keep: bool,
    /// Attempts at the same request are told apart, so that one that never happened is known when it happens after all.
    pub attempts: bool,
    /// The rule that is not kept.
    pub without: Option<Defect>,
}

/// A node's dealings with the register: one at a time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Dealing {
    None,
    /// The change may be made at any time until the node's next dealing, even if the node does not live to hear of it.
    UnderWay(Change),
    /// It was decided, or read: this was the value then.
    Decided(Term),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Node {
    replica: Replica<Book>,
    dealing: Dealing,
    restarts: u8,
    losses: u8,
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Answer {
    request: u8,
    version: u8,
    epoch: u8,
}

/// Two CPUs and a register.
#[derive(Clone, Debug)]
pub struct Pair {
    bounds: Bounds,
    register: Term,
    nodes: [Node; 2],
    network: Vec<u16>,
    asked: u8,
    done: Vec<Answer>,
    refused: Vec<Entry>,
    wrong: Option<String>,
}

impl std::hash::Hash for Pair {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.register, &self.nodes, &self.network, self.asked, &self.done, &self.refused, &self.wrong).hash(state);
    }
}

fn member(node: usize, store: u8) -> Member {
    Member { node: NodeId(node as u32 + 1), store: u64::from(store) }
}

impl Pair {
    /// The first CPU leads the first term alone; the second has nothing.
    pub fn new(bounds: Bounds) -> Pair {
        let home = member(0, 0);
        let register = Term { epoch: Epoch(1), primary: None, home, in_sync: BTreeSet::from([home]) };
        let node = |n| Node { replica: Replica::new(member(n, 0), Log::default()), dealing: Dealing::None, restarts: 0, losses: 0 };
        let mut pair = Pair {
            bounds,
            register,
            nodes: [node(0), node(1)],
            network: Vec::new(),
            asked: 0,
            done: Vec::new(),
            refused: Vec::new(),
            wrong: None,
        };
        let first = pair.register.clone();
        pair.on(0, |replica, out| replica.on_term(&first, out));
        pair
    }

    /// Gives a node's replica an input and does what it wants done.
    fn on<R>(&mut self, node: usize, input: impl FnOnce(&mut Replica<Book>, &mut Vec<Output<Book, Entry>>) -> R) -> R {
        let mut out = Vec::new();
        let result = input(&mut self.nodes[node].replica, &mut out);
        for output in out {
            match output {
                Output::Store(_) => {}
                Output::Send(message) => insert(&mut self.network, MESSAGES.with_borrow_mut(|all| all.number(message))),
                Output::Tell(Fact::Needs(change)) => self.nodes[node].dealing = Dealing::UnderWay(change),
                Output::Tell(Fact::Acknowledged { entry, .. }) => self.acknowledge(node, entry),
                Output::Tell(Fact::Settled { entry, kept: true, .. }) => self.answer_known(node, entry.request),
                Output::Tell(Fact::Settled { kept: false, .. }) if !self.bounds.attempts => {}
                Output::Tell(Fact::Settled { entry, .. }) => {
                    self.refused.push(entry);
                    self.refused.sort_unstable();
                    self.refused.dedup();
                }
                Output::Tell(Fact::Established { .. } | Fact::Deposed { .. }) => {}
            }
        }
        result
    }

    /// The client gets an answer.
    fn acknowledge(&mut self, node: usize, entry: Entry) {
        let epoch = self.nodes[node].replica.log().epoch.0 as u8;
        if let Some(before) = self.done.iter().find(|a| a.request == entry.request) {
            if before.version != entry.version {
                self.wrong = Some(format!("request {} was answered with version {} and {}", entry.request, before.version, entry.version));
            }
            return;
        }
        self.done.push(Answer { request: entry.request, version: entry.version, epoch });
        self.done.sort_unstable();
    }

    /// The client gets the answer that the node's state has.
    fn answer_known(&mut self, node: usize, request: u8) {
        let entry = self.nodes[node].replica.log().state.entries.iter().find(|e| e.request == request).copied();
        self.acknowledge(node, entry.expect("it is said to be known"));
    }

    fn write(&mut self, node: usize, request: u8) {
        let log = self.nodes[node].replica.log();
        let epoch = if self.bounds.attempts { log.epoch.0 as u8 } else { 0 };
        let entry = Entry { request, version: log.seq.0 as u8 + 1, epoch };
        self.asked = self.asked.max(request + 1);
        if let Ok(Proposal::Known { acknowledged: true }) = self.on(node, |replica, out| replica.propose(entry, out)) {
            self.answer_known(node, request);
        }
    }

    fn restart(&mut self, node: usize, lost: bool) {
        let node = &mut self.nodes[node];
        let (me, log) = if lost {
            node.losses += 1;
            (member(node.replica.member().node.0 as usize - 1, node.losses), Log::default())
        } else {
            node.restarts += 1;
            (node.replica.member(), node.replica.log().clone())
        };
        node.replica = Replica::new(me, log);
        if matches!(node.dealing, Dealing::Decided(_)) {
            node.dealing = Dealing::None;
        }
    }

    fn decide(&mut self, node: usize) {
        let Dealing::UnderWay(change) = &self.nodes[node].dealing else { return };
        if change.expect.as_ref() == Some(&self.register) {
            if change.new.epoch.0 > self.register.epoch.0 + 1 || change.new.epoch < self.register.epoch {
                self.wrong = Some(format!("the register goes from epoch {} to {}", self.register.epoch, change.new.epoch));
            }
            self.register = change.new.clone();
        }
        self.hear(node);
    }

    /// A node is told what the register holds. If that is a term of its own, it hears of it in a step of its own, later or never. If another leads, it
    /// hears at once: that only makes it send a message, or lead no longer, and both can just as well be late.
    fn hear(&mut self, node: usize) {
        let term = self.register.clone();
        if term.home == self.nodes[node].replica.member() {
            self.nodes[node].dealing = Dealing::Decided(term);
        } else {
            self.nodes[node].dealing = Dealing::None;
            self.on(node, |replica, out| replica.on_term(&term, out));
        }
    }

    /// Forgets messages that can change nothing any more, whatever happens. A member's epoch never falls, and within an epoch its log never gets
    /// shorter; so what is below its epoch, or brings what it has, stays without effect if it is without effect now, and so does what
    /// is addressed to a store that is gone. Where a rule is taken away none of this is relied on.
    fn forget(&mut self) {
        if self.bounds.without.is_some() {
            return;
        }
        for node in &mut self.nodes {
            // Its decision would only tell what a read tells, too.
            if let Dealing::UnderWay(change) = &node.dealing
                && change.expect.as_ref().is_some_and(|expected| expected.epoch < self.register.epoch)
            {
                node.dealing = Dealing::None;
            }
        }
        for number in self.network.clone() {
            let node = receiver(number);
            let replica = &self.nodes[node].replica;
            let log = replica.log();
            let message = content(number);
            let outdated = message.epoch < log.epoch;
            let has = match &message.body {
                Body::Snapshot { log: of } => message.epoch == log.epoch && of.seq <= log.seq,
                Body::Append { prev, entries } => message.epoch == log.epoch && prev.0 + entries.len() as u64 <= log.seq.0,
                Body::Acknowledged { seq } => message.epoch == log.epoch && *seq <= log.seq,
                _ => false,
            };
            // Only the home of a term leads it, and never again once it has begun a later one, or the register holds one and it has not begun.
            let leads = replica.leads().is_some_and(|t| t.epoch == message.epoch);
            let may_lead = leads || self.register.home == message.to || matches!(self.nodes[node].dealing, Dealing::Decided(_));
            let final_life = self.nodes[node].restarts == self.bounds.restarts && self.nodes[node].losses == self.bounds.losses;
            let has = has
                || match message.body {
                    Body::Join | Body::Ack { .. } if !may_lead => true,
                    Body::Ack { .. } => leads && final_life,
                    _ => false,
                };
            if message.to != replica.member() || ((outdated || has) && self.ignores(node, message)) {
                self.network.retain(|n| *n != number);
            }
        }
    }

    /// Whether a message would change nothing: not the receiver, and what it would answer is on its way already.
    fn ignores(&self, node: usize, message: Message<Book, Entry>) -> bool {
        let mut replica = self.nodes[node].replica.clone();
        let mut out = Vec::new();
        replica.on_message(message, &mut out);
        let known = |o: &Output<Book, Entry>| match o {
            Output::Send(answer) => MESSAGES.with_borrow_mut(|all| self.network.binary_search(&all.number(answer.clone())).is_ok()),
            Output::Store(_) | Output::Tell(_) => false,
        };
        replica == self.nodes[node].replica && out.iter().all(known)
    }

    /// Whether a node leads and everybody whom it waits for would still listen to it: it can acknowledge a change.
    fn can_acknowledge(&self, node: usize) -> bool {
        let leader = &self.nodes[node].replica;
        let listens = |m: &Member| {
            let other = &self.nodes[m.node.0 as usize - 1].replica;
            other.member() == *m && other.leads().is_none_or(|t| t.epoch < leader.log().epoch) && other.log().epoch <= leader.log().epoch
        };
        leader.waits_for().is_some_and(|others| others.iter().all(listens))
    }

    /// What an outsider who sees everything knows to be wrong.
    fn look(&self) -> Option<String> {
        if (0..2).all(|node| self.can_acknowledge(node)) {
            return Some("both can acknowledge".into());
        }
        for node in &self.nodes {
            let log = node.replica.log();
            let entries = &log.state.entries;
            if log.epoch > self.register.epoch {
                return Some(format!("{} has a log of epoch {}, which the register never had", node.replica.member(), log.epoch));
            }
            if (1..entries.len()).any(|at| entries[..at].iter().any(|e| e.request == entries[at].request)) {
                return Some(format!("{} has done a request twice", node.replica.member()));
            }
            if node.replica.leads().is_none() {
                continue;
            }
            let holds = |a: &&Answer| entries.iter().any(|e| e.request == a.request && e.version == a.version);
            if let Some(lost) = self.done.iter().filter(|a| u64::from(a.epoch) <= log.epoch.0).find(|a| !holds(a)) {
                let Answer { request, epoch, .. } = lost;
                let me = node.replica.member();
                return Some(format!(
                    "request {request}, acknowledged in epoch {epoch}, is lost: {me} leads epoch {} without it",
                    log.epoch
                ));
            }
            let acknowledged = node.replica.acknowledged().map_or(0, |seq| seq.0 as usize).min(entries.len());
            if let Some(entry) = self.refused.iter().find(|e| entries[..acknowledged].contains(e)) {
                return Some(format!("request {} is done though its client was told that it never will be", entry.request));
            }
        }
        None
    }
}

impl World for Pair {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for &number in &self.network {
            steps.push(Step::Deliver { node: receiver(number), message: number });
        }
        for (n, node) in self.nodes.iter().enumerate() {
            if let Some(term) = node.replica.leads() {
                // Requests are alike, so the first is asked first.
                steps.extend((0..self.bounds.writes.min(self.asked + 1)).map(|request| Step::Write { node: n, request }));
                let others: Vec<Member> = term.in_sync.iter().copied().filter(|m| *m != node.replica.member()).collect();
                steps.extend(others.iter().map(|m| Step::Suspect(n, *m)));
                let there = self.nodes[1 - n].replica.member();
                steps.extend(others.iter().chain(Some(&there).filter(|m| !others.contains(m))).map(|m| Step::Reach(n, *m)));
                steps.extend(self.bounds.resend.then_some(Step::Resend(n)));
            }
            steps.extend((node.restarts < self.bounds.restarts).then_some(Step::Restart(n)));
            steps.extend((node.losses < self.bounds.losses).then_some(Step::Lose(n)));
            match &node.dealing {
                Dealing::UnderWay(_) => steps.extend([Step::Decide(n), Step::Read(n)]),
                Dealing::Decided(_) => steps.extend([Step::Learn(n), Step::Read(n)]),
                // A leader that reads what it knows learns nothing.
                Dealing::None => steps.extend((node.replica.leads() != Some(&self.register)).then_some(Step::Read(n))),
            }
            if self.register.epoch.0 < self.bounds.epochs && (self.bounds.again || node.replica.leads().is_none()) {
                steps.push(Step::TakeOver { node: n, keep: false });
                steps.extend((self.bounds.keep && self.register.in_sync.len() > 1).then_some(Step::TakeOver { node: n, keep: true }));
            }
        }
        steps
    }

    fn after(&self, step: &Step) -> Option<Pair> {
        let mut next = self.clone();
        match step {
            Step::Write { node, request } => next.write(*node, *request),
            Step::Deliver { node, message } => next.on(*node, |replica, out| replica.on_message(content(*message), out)),
            Step::Restart(node) => next.restart(*node, false),
            Step::Lose(node) => next.restart(*node, true),
            Step::Suspect(node, member) => next.on(*node, |replica, out| replica.on_unreachable(*member, out)),
            Step::Reach(node, member) => next.on(*node, |replica, out| replica.on_reachable(*member, out)),
            Step::Read(node) => next.hear(*node),
            Step::Decide(node) => next.decide(*node),
            Step::Learn(node) => {
                let Dealing::Decided(term) = std::mem::replace(&mut next.nodes[*node].dealing, Dealing::None) else { return None };
                next.on(*node, |replica, out| replica.on_term(&term, out));
            }
            Step::TakeOver { node, keep } => {
                let term = next.register.clone();
                let lost = if *keep { BTreeSet::new() } else { term.in_sync.clone() };
                next.on(*node, |replica, out| replica.take_over(&term, None, &lost, out)).ok()?;
            }
            Step::Resend(node) => next.on(*node, |replica, out| replica.resend(out)),
        }
        if next.wrong.is_none() {
            next.wrong = next.look();
        }
        next.forget();
        Some(next)
    }

    fn wrong(&self) -> Option<String> {
        self.wrong.clone()
    }
}
