//! The source, its consumer, and what is between them.

use std::collections::VecDeque;
use std::hash::Hash;
use std::time::Duration;

use tif_core::machine::sync::{self, Ended, Source, State};
use tif_core::model::{Incarnation, Key, NodeId, ProcId, Time};

use super::step::Step;
use super::truth::Truth;
use crate::World;

/// How many records there can be.
pub const RECORDS: usize = 2;
const NAMES: [&str; RECORDS] = ["a", "b"];
/// How long stale data is kept, in units.
const LIMIT: u8 = 2;

/// How much may happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// How many lives the source has.
    pub lives: u8,
    /// How many units of time pass.
    pub time: u8,
    /// How often the stream breaks.
    pub breaks: u8,
    /// How many records are lost on the way.
    pub losses: u8,
    /// How often a record comes or goes after an end mark.
    pub changes: u8,
    /// How often what a later life says arrives before what an earlier one said.
    pub overtakes: u8,
    /// How many messages are under way at most.
    pub way: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Message {
    Begin(u8),
    Record(u8, u8),
    Withdrawn(u8, u8),
    End(u8, u8),
}

impl Message {
    fn life(self) -> u8 {
        match self {
            Message::Begin(life) | Message::Record(life, _) | Message::Withdrawn(life, _) | Message::End(life, _) => life,
        }
    }
}

/// How far the present life is with what it has to say on the present stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Silent,
    /// It has begun, and this record is next.
    Saying(u8),
    Ended,
}

/// See the [module](super).
#[derive(Clone, Debug, Hash)]
pub struct Restart {
    left: Bounds,
    now: u8,
    consumer: Source,
    life: u8,
    alive: bool,
    set: u8,
    phase: Phase,
    way: VecDeque<Message>,
    /// Lives that are over and of which the consumer was not told, a bit each.
    untold: u8,
    truth: Truth,
    wrong: Option<&'static str>,
}

impl Restart {
    /// A consumer that knows nothing, and no source yet.
    pub fn new(bounds: Bounds) -> Restart {
        Restart {
            left: bounds,
            now: 0,
            consumer: Source::new(Duration::from_secs(u64::from(LIMIT))),
            life: 0,
            alive: false,
            set: 0,
            phase: Phase::Silent,
            way: VecDeque::new(),
            untold: 0,
            truth: Truth::default(),
            wrong: None,
        }
    }

    fn time(&self) -> Time {
        Time::ZERO + Duration::from_secs(u64::from(self.now))
    }

    fn held(&self) -> u8 {
        (0..RECORDS).filter(|r| self.consumer.holds(NAMES[*r])).map(|r| 1 << r).sum()
    }

    fn start(&mut self, set: u8) {
        self.left.lives -= 1;
        self.life += 1;
        (self.alive, self.set, self.phase) = (true, set, Phase::Silent);
    }

    fn send(&mut self) {
        let (message, phase) = match self.phase {
            Phase::Silent => (Message::Begin(self.life), Phase::Saying(0)),
            Phase::Saying(next) => match (next..RECORDS as u8).find(|r| self.set >> r & 1 == 1) {
                Some(record) => (Message::Record(self.life, record), Phase::Saying(record + 1)),
                None => (Message::End(self.life, self.set), Phase::Ended),
            },
            Phase::Ended => return,
        };
        self.way.push_back(message);
        self.phase = phase;
    }

    fn change(&mut self, record: u8) {
        self.left.changes -= 1;
        self.set ^= 1 << record;
        let there = self.set >> record & 1 == 1;
        self.way.push_back(if there { Message::Record(self.life, record) } else { Message::Withdrawn(self.life, record) });
    }

    /// Where the first message under way is of a life that has a successor, and that of the successor.
    fn overtaking(&self) -> Option<usize> {
        let first = self.way.front()?.life();
        self.way.iter().position(|message| message.life() != first)
    }

    fn deliver(&mut self, at: usize) {
        let Some(message) = self.way.remove(at) else { return };
        let now = self.time();
        match message {
            Message::Begin(life) => {
                self.consumer.on_begin(now, key(life));
                self.truth.begin(life);
            }
            Message::Record(life, record) => {
                self.consumer.on_record(key(life), NAMES[usize::from(record)]);
                self.truth.say(life, usize::from(record));
            }
            Message::Withdrawn(life, record) => {
                self.consumer.on_withdrawn(key(life), NAMES[usize::from(record)]);
                self.truth.withdraw(life, usize::from(record));
            }
            Message::End(life, set) => self.end(life, set),
        }
    }

    fn end(&mut self, life: u8, set: u8) {
        let before = self.held();
        let names = (0..RECORDS).filter(|r| set >> r & 1 == 1).map(|r| NAMES[r]);
        match self.consumer.on_end(key(life), u64::from(set.count_ones()), sync::digest(names)) {
            // I10
            Ended::Complete(_) if self.held() != set => {
                self.wrong = Some("after the end mark the consumer does not hold what the source has")
            }
            Ended::Complete(_) => {}
            // I12
            Ended::Mismatch | Ended::NotCurrent if self.held() != before => {
                self.wrong = Some("an end mark that does not fit swept something")
            }
            // The consumer asks for all of it again.
            Ended::Mismatch if self.alive && self.life == life => self.phase = Phase::Silent,
            Ended::Mismatch | Ended::NotCurrent => {}
        }
    }

    /// As the agents do it: what a sync that was cut off brought makes nothing younger.
    fn break_stream(&mut self) {
        self.left.breaks -= 1;
        self.way.clear();
        self.phase = Phase::Silent;
        if matches!(self.consumer.state(), State::Syncing(_)) {
            self.consumer.on_still_lost(self.time());
        }
        self.consumer.on_link_lost(self.time());
        self.truth.unknown();
    }

    fn tell(&mut self, life: u8) {
        self.untold &= !(1 << life);
        self.consumer.on_life_lost(self.time(), key(life));
        self.truth.lose(life);
    }

    fn wait(&mut self) {
        self.left.time -= 1;
        self.now += 1;
        self.truth.stamp(self.now);
        self.consumer.on_tick(self.time());
    }

    /// Looks at the machine with the eyes of the truth.
    fn judge(&mut self) {
        self.truth.stamp(self.now);
        for (record, name) in NAMES.iter().enumerate() {
            let (holds, fresh) = (self.consumer.holds(name), self.consumer.is_fresh(name));
            // I8
            if fresh && !self.truth.is_fresh(record) {
                self.wrong = Some("a record is said to be fresh that no living source said to be there");
            }
            // I11
            if self.truth.is_fresh(record) && !fresh {
                self.wrong = Some("a record that the living source said to be there is not fresh");
            }
            // I9
            if holds && self.truth.fresh_at(record).is_none_or(|at| self.now >= at + LIMIT) && !fresh {
                self.wrong = Some("a record is held longer than its limit after it was last fresh");
            }
            if !holds {
                self.truth.forget(record);
            }
        }
    }
}

fn key(life: u8) -> Key {
    Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation::new(1, u32::from(life)) }
}

impl World for Restart {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let room = self.way.len() < usize::from(self.left.way);
        if !self.alive && self.left.lives > 0 {
            steps.extend((0..1 << RECORDS).map(Step::Start));
        }
        if self.alive {
            steps.push(Step::Die);
        }
        if self.alive && room {
            if self.phase != Phase::Ended {
                steps.push(Step::Send);
            } else if self.left.changes > 0 {
                steps.extend((0..RECORDS as u8).map(Step::Change));
            }
        }
        if let Some(first) = self.way.front() {
            steps.push(Step::Deliver);
            if matches!(first, Message::Record(..)) && self.left.losses > 0 {
                steps.push(Step::Lose);
            }
        }
        if self.left.overtakes > 0 && self.overtaking().is_some() {
            steps.push(Step::Overtake);
        }
        if self.left.breaks > 0 {
            steps.push(Step::Break);
        }
        steps.extend((1..=self.life).filter(|life| self.untold >> life & 1 == 1).map(Step::Tell));
        if self.left.time > 0 {
            steps.push(Step::Wait);
        }
        steps
    }

    fn after(&self, step: &Step) -> Option<Restart> {
        let mut next = self.clone();
        match step {
            Step::Start(set) => next.start(*set),
            Step::Die => {
                next.alive = false;
                next.untold |= 1 << next.life;
            }
            Step::Send => next.send(),
            Step::Change(record) => next.change(*record),
            Step::Deliver => next.deliver(0),
            Step::Overtake => {
                next.left.overtakes -= 1;
                next.deliver(next.overtaking()?);
            }
            Step::Lose => {
                next.left.losses -= 1;
                next.way.pop_front();
            }
            Step::Break => next.break_stream(),
            Step::Tell(life) => next.tell(*life),
            Step::Wait => next.wait(),
        }
        next.judge();
        Some(next)
    }

    fn wrong(&self) -> Option<String> {
        self.wrong.map(str::to_owned)
    }
}
