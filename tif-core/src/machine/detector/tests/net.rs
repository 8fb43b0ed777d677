//! A discrete-event net of detectors.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::{Beat, Clocks, Detector, Fact, Profile};
use super::{life, said};
use crate::model::{Key, Time};

enum Message {
    Beat(Beat),
    Ask(Key, Key, Time),
    Answer(Key, Key, Time, Duration, u8),
    Refuse(Key, Key, Key),
}

enum Event {
    Arrives(Message),
    Wakes,
}

pub(super) struct Net {
    pub(super) now: Time,
    pub(super) agents: Vec<Detector>,
    /// Percent.
    pub(super) loss: u64,
    /// Pairs between which nothing comes through, as indices.
    pub(super) cut: BTreeSet<(usize, usize)>,
    /// Who does not run until then; for ever, if dead.
    pub(super) away: BTreeMap<usize, Time>,
    inbox: BTreeMap<usize, Vec<Message>>,
    events: BTreeMap<(Time, u64), (usize, Event)>,
    count: u64,
    dice: u64,
    /// What each came to know.
    pub(super) log: Vec<(Time, usize, Fact)>,
    pub(super) sent: Vec<u64>,
}

impl Net {
    /// Agents with the numbers 1 to `count`, all of whom know all.
    pub(super) fn new(seed: u64, count: usize, profile: Profile) -> Net {
        let agents: Vec<Detector> = (1..=count as u32).map(|n| Detector::new(life(n, 1), profile)).collect();
        let mut net = Net {
            now: Time(1_000_000_000),
            agents,
            loss: 0,
            cut: BTreeSet::new(),
            away: BTreeMap::new(),
            inbox: BTreeMap::new(),
            events: BTreeMap::new(),
            count: 0,
            dice: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            log: Vec::new(),
            sent: vec![0; count],
        };
        for at in 0..count {
            for other in (0..count as u32).filter(|o| *o as usize != at) {
                let clocks = net.clocks();
                net.agents[at].introduce(clocks, life(other + 1, 1)).expect("there is room");
            }
            let begin = net.now + Duration::from_micros(net.roll() % 100_000);
            net.put(begin, at, Event::Wakes);
        }
        net
    }

    pub(super) fn roll(&mut self) -> u64 {
        self.dice ^= self.dice << 13;
        self.dice ^= self.dice >> 7;
        self.dice ^= self.dice << 17;
        self.dice >> 11
    }

    fn clocks(&self) -> Clocks {
        Clocks { mono: self.now, boot: self.now }
    }

    fn put(&mut self, due: Time, whom: usize, event: Event) {
        self.count += 1;
        self.events.insert((due, self.count), (whom, event));
    }

    /// For so long.
    pub(super) fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.events.first_key_value().map(|((due, _), _)| *due).filter(|due| *due <= end) {
            self.now = self.now.max(next);
            let Some((_, (whom, event))) = self.events.pop_first() else { break };
            if let Some(until) = self.away.get(&whom).copied() {
                if until > self.now {
                    match event {
                        Event::Arrives(message) => self.inbox.entry(whom).or_default().push(message),
                        Event::Wakes => self.put(until, whom, Event::Wakes),
                    }
                    continue;
                }
                self.away.remove(&whom);
                // What waits in the sockets first.
                for message in self.inbox.remove(&whom).unwrap_or_default() {
                    self.take(whom, message);
                }
            }
            match event {
                Event::Arrives(message) => self.take(whom, message),
                Event::Wakes => {
                    let clocks = self.clocks();
                    let facts = self.agents[whom].poll(clocks);
                    self.route(whom, facts);
                    let late = Duration::from_micros(self.roll() % 5_000);
                    let due = self.agents[whom].deadline().unwrap_or(self.now + Duration::from_millis(100));
                    self.put(due.max(self.now) + late, whom, Event::Wakes);
                }
            }
        }
        self.now = end;
    }

    fn take(&mut self, whom: usize, message: Message) {
        let (clocks, agent) = (self.clocks(), &mut self.agents[whom]);
        let facts = match message {
            Message::Beat(beat) => agent.on_beat(clocks, &beat),
            Message::Ask(from, about, asked) => agent.on_ask(clocks, from, about, asked),
            Message::Answer(from, about, asked, ago, health) => agent.on_answer(clocks, from, about, asked, ago, health),
            Message::Refuse(from, to, current) => agent.on_refused(clocks, from, to, current),
        };
        self.route(whom, facts);
    }

    fn route(&mut self, whom: usize, facts: Vec<Fact>) {
        let from = self.agents[whom].own();
        for fact in facts {
            match fact {
                Fact::SendBeat(beat) => self.send(whom, beat.to, Message::Beat(beat)),
                Fact::AskConfirm { via, about, asked } => self.send(whom, via, Message::Ask(from, about, asked)),
                Fact::AnswerConfirm { to, about, asked, ago, health } => {
                    self.send(whom, to, Message::Answer(from, about, asked, ago, health))
                }
                Fact::Refuse { to, current } => self.send(whom, to, Message::Refuse(from, to, current)),
                Fact::TakeNewLife { above } => {
                    let (clocks, own) = (self.clocks(), life(from.node.0, above.epoch() + 1));
                    self.agents[whom].renew(clocks, own);
                    self.log.push((self.now, whom, Fact::TakeNewLife { above }));
                }
                fact => self.log.push((self.now, whom, fact)),
            }
        }
    }

    fn send(&mut self, whom: usize, to: Key, message: Message) {
        self.sent[whom] += 1;
        let to = to.node.0 as usize - 1;
        if self.cut.contains(&(whom.min(to), whom.max(to))) || self.roll() % 100 < self.loss {
            return;
        }
        let due = self.now + Duration::from_micros(100 + self.roll() % 4_900);
        self.put(due, to, Event::Arrives(message));
    }

    pub(super) fn kill(&mut self, whom: usize) {
        self.pause(whom, Duration::from_secs(1 << 30));
    }

    pub(super) fn pause(&mut self, whom: usize, span: Duration) {
        self.away.insert(whom, self.now + span);
    }

    /// Between the first `few` and the others nothing comes through.
    pub(super) fn split(&mut self, few: usize) {
        let count = self.agents.len();
        self.cut = (0..few).flat_map(|a| (few..count).map(move |b| (a, b))).collect();
    }

    /// What was said of this kind since then, by whom.
    pub(super) fn heard(&self, since: Time, kind: impl Fn(usize, &Fact) -> bool) -> Vec<(Time, usize, Fact)> {
        let known = said(self.log.iter().map(|(_, _, fact)| fact.clone()).collect());
        assert_eq!(known.len(), self.log.len());
        self.log.iter().filter(|(time, whom, fact)| *time >= since && kind(*whom, fact)).cloned().collect()
    }

    pub(super) fn downs(&self, since: Time) -> Vec<(Time, usize, Fact)> {
        self.heard(since, |_, fact| matches!(fact, Fact::Down { .. }))
    }

    /// Whether everybody takes everybody for up, in the life it has.
    pub(super) fn is_whole(&self) -> bool {
        let lives: Vec<Key> = self.agents.iter().map(Detector::own).collect();
        let agrees = |a: &Detector| lives.iter().all(|l| *l == a.own() || a.life(l.node) == Some((*l, false)) && a.is_up(l.node));
        self.agents.iter().all(agrees)
    }
}
