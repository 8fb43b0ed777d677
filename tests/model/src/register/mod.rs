//! The witness itself: two proposers, three voters, and messages that may do anything.
//!
//! What is promised, in every world that can be reached:
//!
//! - a change is made once or never: of each epoch all who are told a value are told the same;
//! - the register does not go back: who asks after another was answered is not told an older value;
//! - a voter that restarts from its last record is the same voter.
//!
//! That also holds when a voter's store is lost: see [`Flaw`] for what happens when it is not treated as lost.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use tif_core::machine::witness::{Accept, Acceptor, Act, Answer, Ask, Ballot, Change, Member, Outcome, Prepare, Proposer, Reply, Term};
use tif_core::model::{Epoch, NodeId};

use crate::World;
use crate::intern::{Interned, insert};

thread_local! {
    static MESSAGES: RefCell<Interned<Ask>> = RefCell::default();
}

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Voters: CPUs 1 to this.
    pub voters: u32,
    /// Attempts of each proposer, reads included.
    pub attempts: u8,
    /// The last epoch that anybody tries to begin.
    pub epochs: u64,
    /// How often each proposer's agent may restart.
    pub restarts: u8,
    /// How often a voter's store may be lost, in all.
    pub losses: u8,
    /// What is deliberately wrong.
    pub flaw: Option<Flaw>,
}

/// What is deliberately wrong with the world around the machines, to see that it would be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A voter answers before its record is durable, and its agent restarts in between.
    AnswerBeforeWrite,
    /// A voter whose store was lost votes at once.
    VoteWithNewStore,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Flaw; 2] = [Flaw::AnswerBeforeWrite, Flaw::VoteWithNewStore];
}

#[derive(Clone, Debug, Hash)]
struct Asker {
    proposer: Proposer,
    life: u32,
    restarts: u8,
    attempts: u8,
    /// What it read last.
    knows: Option<Term>,
    /// The greatest epoch that anybody had been told when its wish began.
    floor: u64,
}

/// Voters and two proposers, on CPUs 1 and 2.
#[derive(Clone, Debug)]
pub struct Council {
    bounds: Bounds,
    voters: BTreeSet<NodeId>,
    acceptors: Vec<Acceptor>,
    lost: u8,
    askers: [Asker; 2],
    network: Vec<u16>,
    /// What the register was said to hold, epoch by epoch.
    told: Vec<Term>,
    wrong: Option<String>,
}

impl std::hash::Hash for Council {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.acceptors, self.lost, &self.askers, &self.network, &self.told, &self.wrong).hash(state);
    }
}

/// Sender, receiver and attempt.
fn parts(ask: &Ask) -> (usize, usize, Ballot) {
    let (Ask::Prepare(Prepare { from, to, ballot }) | Ask::Accept(Accept { from, to, ballot, .. })) = ask;
    (from.node.0 as usize - 1, to.0 as usize - 1, *ballot)
}

/// What can happen to a council.
#[derive(Clone, Debug)]
pub enum Step {
    /// A proposer reads.
    Read(usize),
    /// A proposer wants the next epoch after what it read.
    Change(usize),
    /// A proposer tries again with a higher ballot.
    Retry(usize),
    /// A proposer's agent restarts.
    Restart(usize),
    /// A voter's store is lost.
    Lose(usize),
    /// A voter with a new store is told by another what that holds.
    CatchUp {
        /// The voter.
        blank: usize,
        /// The other.
        by: usize,
    },
    /// A proposer's message reaches a voter. Its answer gets through at once or never: what an answer that is late can do, an answer at once can do, too,
    /// because all that it makes the proposer do, but to send messages that may be late, is to be told.
    Deliver {
        /// Its number.
        ask: u16,
        /// The answer gets through.
        heard: bool,
    },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::Deliver { ask, heard } => {
                match MESSAGES.with_borrow(|all| all.content(*ask)) {
                    Ask::Prepare(m) => write!(f, "voter {} gets prepare {} of {}", m.to, m.ballot.round, m.from)?,
                    Ask::Accept(m) => write!(f, "voter {} gets accept {} of {}: epoch {}", m.to, m.ballot.round, m.from, m.value.epoch)?,
                }
                f.write_str(if *heard { ", and answers" } else { ", and its answer is lost" })
            }
            other => write!(f, "{other:?}"),
        }
    }
}

impl Council {
    /// A council that is being founded.
    pub fn new(bounds: Bounds) -> Council {
        let voters: BTreeSet<NodeId> = (1..=bounds.voters).map(NodeId).collect();
        let acceptors = voters.iter().map(|&node| Acceptor::founding(Member { node, store: 0 })).collect();
        let asker = |node| {
            let proposer = Proposer::new(Member { node: NodeId(node), store: 0 }, 1, voters.clone());
            Asker { proposer, life: 1, restarts: 0, attempts: 0, knows: None, floor: 0 }
        };
        let askers = [asker(1), asker(2)];
        Council { bounds, voters, acceptors, lost: 0, askers, network: Vec::new(), told: Vec::new(), wrong: None }
    }

    fn send(&mut self, message: Ask) {
        insert(&mut self.network, MESSAGES.with_borrow_mut(|all| all.number(message)));
    }

    fn ask(&mut self, at: usize, asks: impl FnOnce(&mut Proposer, Option<&Term>) -> Vec<Ask>) {
        let floor = self.told.iter().map(|t| t.epoch.0).max().unwrap_or(0);
        let asker = &mut self.askers[at];
        asker.attempts += 1;
        asker.floor = floor;
        let knows = asker.knows.clone();
        for ask in asks(&mut asker.proposer, knows.as_ref()) {
            self.send(ask);
        }
    }

    fn vote(&mut self, at: usize, ask: &Ask) -> Option<Reply> {
        let before = self.acceptors[at].vote().clone();
        let Answer { record, reply } = self.acceptors[at].on_ask(ask)?;
        if record.is_none() && *self.acceptors[at].vote() != before {
            self.wrong = Some("a voter has changed without a record".into());
        }
        if record.as_ref().is_some_and(|record| record != self.acceptors[at].vote()) {
            self.wrong = Some("a record is not what the voter holds".into());
        }
        if self.bounds.flaw == Some(Flaw::AnswerBeforeWrite) && matches!(ask, Ask::Accept(_)) {
            self.acceptors[at] = Acceptor::restored(self.acceptors[at].member(), before);
        }
        Some(reply)
    }

    fn hear(&mut self, at: usize, reply: Reply) {
        match self.askers[at].proposer.on_reply(reply) {
            None | Some(Act::Decided(Outcome::Undecided)) => {}
            Some(Act::Ask(asks)) => asks.into_iter().for_each(|ask| self.send(ask)),
            Some(Act::Decided(Outcome::Chosen(term))) => self.tell(at, Some(term)),
            Some(Act::Decided(Outcome::Holds(term) | Outcome::Lost(term))) => self.tell(at, term),
        }
    }

    /// Somebody is told what the register holds.
    fn tell(&mut self, at: usize, term: Option<Term>) {
        let epoch = term.as_ref().map_or(0, |t| t.epoch.0);
        if epoch < self.askers[at].floor {
            self.wrong = Some(format!("the register goes back: from epoch {} to {epoch}", self.askers[at].floor));
        }
        if let Some(other) = term.as_ref().and_then(|term| self.told.iter().find(|t| t.epoch == term.epoch && *t != term)) {
            self.wrong = Some(format!("epoch {} is said to be of {} and of another", other.epoch, other.home));
        }
        self.told.extend(term.clone().filter(|term| !self.told.contains(term)));
        self.told.sort_unstable();
        self.askers[at].knows = term;
    }

    fn deliver(&mut self, number: u16, heard: bool) {
        let ask = MESSAGES.with_borrow(|all| all.content(number));
        let (from, to, _) = parts(&ask);
        if let Some(reply) = self.vote(to, &ask).filter(|_| heard) {
            self.hear(from, reply);
        }
    }

    fn catch_up(&mut self, blank: usize, by: usize) {
        let to = NodeId(by as u32 + 1);
        let Some(ask) = self.acceptors[blank].catch_up(&self.voters).into_iter().find(|ask| ask.to == to) else { return };
        if let Some(Answer { reply, .. }) = self.acceptors[by].on_catch_up(&ask) {
            self.acceptors[blank].on_caught(reply, &self.voters);
        }
    }

    /// Forgets messages that can change nothing any more, whatever happens: a voter's promise only grows as long as no store is lost, so what it takes no
    /// notice of, and whose sender does not wait for it, never will matter. Not relied on when something is deliberately wrong.
    fn forget(&mut self) {
        if self.bounds.flaw.is_some() || self.lost < self.bounds.losses {
            return;
        }
        let vain = |number: &u16| {
            let ask = MESSAGES.with_borrow(|all| all.content(*number));
            let (from, to, ballot) = parts(&ask);
            let waits = self.askers[from].proposer.ballot() == Some(ballot);
            let mut acceptor = self.acceptors[to].clone();
            acceptor.vote().voting && !waits && acceptor.on_ask(&ask).is_some() && acceptor == self.acceptors[to]
        };
        let kept = self.network.iter().copied().filter(|n| !vain(n)).collect();
        self.network = kept;
    }

    fn restart(&mut self, at: usize) {
        let voters = self.voters.clone();
        let asker = &mut self.askers[at];
        asker.restarts += 1;
        asker.life += 1;
        asker.proposer = Proposer::new(Member { node: NodeId(at as u32 + 1), store: 0 }, asker.life, voters);
        asker.knows = None;
    }

    /// The voter's store is lost. The proposer on its CPU is left as it is: the two do not know of each other.
    fn lose(&mut self, at: usize) {
        self.lost += 1;
        let me = Member { node: NodeId(at as u32 + 1), store: u64::from(self.lost) };
        let at_once = self.bounds.flaw == Some(Flaw::VoteWithNewStore);
        self.acceptors[at] = if at_once { Acceptor::founding(me) } else { Acceptor::blank(me) };
    }
}

impl World for Council {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps: Vec<Step> = self.network.iter().flat_map(|&ask| [true, false].map(|heard| Step::Deliver { ask, heard })).collect();
        for (at, asker) in self.askers.iter().enumerate() {
            if asker.attempts < self.bounds.attempts {
                let next = asker.knows.as_ref().map_or(0, |t| t.epoch.0) < self.bounds.epochs;
                if asker.proposer.is_busy() {
                    steps.push(Step::Retry(at));
                } else {
                    steps.push(Step::Read(at));
                    steps.extend(next.then_some(Step::Change(at)));
                }
            }
            steps.extend((asker.restarts < self.bounds.restarts).then_some(Step::Restart(at)));
        }
        for (at, acceptor) in self.acceptors.iter().enumerate() {
            // More stores lost at once than a minority is more than any witness survives.
            let blank = self.acceptors.iter().any(|a| !a.vote().voting);
            steps.extend((self.lost < self.bounds.losses && !blank).then_some(Step::Lose(at)));
            let others = (0..self.acceptors.len()).filter(|by| !acceptor.vote().voting && *by != at);
            steps.extend(others.map(|by| Step::CatchUp { blank: at, by }));
        }
        steps
    }

    fn after(&self, step: &Step) -> Option<Council> {
        let mut next = self.clone();
        match step {
            Step::Read(at) => next.ask(*at, |proposer, _| proposer.read()),
            Step::Change(at) => next.ask(*at, |proposer, knows| {
                let home = Member { node: NodeId(*at as u32 + 1), store: 0 };
                let epoch = Epoch(knows.map_or(0, |t| t.epoch.0) + 1);
                let new = Term { epoch, primary: None, home, in_sync: BTreeSet::from([home]) };
                proposer.change(Change { expect: knows.cloned(), new })
            }),
            Step::Retry(at) => next.ask(*at, |proposer, _| proposer.retry()),
            Step::Restart(at) => next.restart(*at),
            Step::Lose(at) => next.lose(*at),
            Step::CatchUp { blank, by } => next.catch_up(*blank, *by),
            Step::Deliver { ask, heard } => next.deliver(*ask, *heard),
        }
        next.forget();
        Some(next)
    }

    fn wrong(&self) -> Option<String> {
        self.wrong.clone()
    }
}
