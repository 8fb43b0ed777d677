//! Thousands of seeds: whatever happens, each stream is delivered once and in order; when it stops, all comes through.

use std::collections::BTreeMap;

use super::super::{Delivered, Frame, Link, WINDOW};
use super::{at, life};
use crate::model::{Key, Time};

/// A message knows the sender's own count of its streams, and its place in one.
type Mark = (Key, u32, u32);

struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.roll() >> 11) % end
    }

    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

struct Side {
    own: Key,
    link: Link<Mark>,
    /// What is sent next: the stream as this side counts it, the place in it.
    part: u32,
    place: u32,
    /// What may come next: none right after a reset.
    expected: Option<(Key, u32, u32)>,
    /// The latest part of each life of the other.
    latest: BTreeMap<Key, u32>,
    resets: u32,
    got: u32,
}

impl Side {
    fn new(own: Key, peer: Key) -> Side {
        let link = Link::new(own, peer);
        Side { own, link, part: 1, place: 0, expected: None, latest: BTreeMap::new(), resets: 0, got: 0 }
    }

    fn anew(&mut self) {
        self.part += 1;
        self.place = 0;
        self.expected = None;
        self.resets += 1;
    }

    fn meets(&mut self, peer: Key) {
        if peer.inc > self.link.peer().inc {
            self.link = Link::new(self.own, peer);
            self.anew();
        }
    }

    fn send(&mut self, now: Time) {
        if self.link.send(now, (self.own, self.part, self.place)).is_ok() {
            self.place += 1;
        }
    }

    fn delivered(&mut self, seed: u64, what: Delivered<Mark>) {
        let (from, part, place) = match what {
            Delivered::Reset(_) => return self.anew(),
            Delivered::Message(mark) => mark,
        };
        self.got += 1;
        match self.expected {
            Some(expected) => assert_eq!((from, part, place), expected, "seed {seed}"),
            None => {
                let before = self.latest.insert(from, part);
                assert!(place == 0 && from == self.link.peer() && before.is_none_or(|b| part > b), "seed {seed}: {from} {part}.{place}");
            }
        }
        self.expected = Some((from, part, place + 1));
    }
}

struct World {
    seed: u64,
    dice: Dice,
    now: Time,
    sides: [Side; 2],
    flying: BTreeMap<(Time, u64), (usize, Frame<Mark>)>,
    sent: u64,
    past: Vec<(usize, Frame<Mark>)>,
    loss: u64,
    delay: u64,
    cut_until: Time,
}

impl World {
    fn new(seed: u64) -> World {
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        dice.roll();
        let (loss, delay) = (dice.below(40), 1 + dice.below(120));
        let sides = [Side::new(life(1, 1), life(2, 1)), Side::new(life(2, 1), life(1, 1))];
        let (flying, past) = (BTreeMap::new(), Vec::new());
        World { seed, dice, now: at(0), sides, flying, sent: 0, past, loss, delay, cut_until: at(0) }
    }

    fn post(&mut self, to: usize, frame: Frame<Mark>) {
        self.sent += 1;
        if self.dice.chance(10) {
            self.past.push((to, frame.clone()));
        }
        if self.now < self.cut_until || self.dice.chance(self.loss) {
            return;
        }
        for copy in 0..1 + u64::from(self.dice.chance(8)) {
            let due = self.now + std::time::Duration::from_micros(200 + self.dice.below((self.delay * 1000).max(1)));
            self.flying.insert((due, self.sent * 2 + copy), (to, frame.clone()));
        }
    }

    fn poll(&mut self, side: usize) {
        let (frames, reset) = self.sides[side].link.poll(self.now);
        if reset.is_some() {
            self.sides[side].anew();
        }
        assert!(frames.len() <= WINDOW + 5);
        for frame in frames {
            self.post(1 - side, frame);
        }
    }

    /// Until then, with what arrives and what is due, each in its turn.
    fn run(&mut self, until: Time) {
        loop {
            let arrival = self.flying.first_key_value().map(|((due, _), _)| *due);
            let due = self.sides.iter().filter_map(|s| s.link.deadline()).min();
            let Some(next) = [arrival, due].into_iter().flatten().min().filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            if arrival == Some(next)
                && let Some((_, (to, frame))) = self.flying.pop_first()
            {
                self.arrive(to, frame);
            }
            for side in 0..2 {
                if self.sides[side].link.deadline().is_some_and(|due| due <= self.now) {
                    self.poll(side);
                }
            }
        }
        self.now = until;
    }

    fn arrive(&mut self, to: usize, frame: Frame<Mark>) {
        let side = &mut self.sides[to];
        side.meets(frame.from);
        for what in side.link.receive(self.now, frame) {
            side.delivered(self.seed, what);
        }
    }

    fn restart(&mut self, side: usize) {
        let old = &self.sides[side];
        let own = life(old.own.node.0, old.own.inc.epoch() + 1);
        let got = old.got;
        let peer = old.link.peer();
        self.sides[side] = Side { got, ..Side::new(own, peer) };
    }

    /// Something goes wrong, or is merely said.
    fn stir(&mut self) {
        let side = self.dice.below(2) as usize;
        match self.dice.below(1000) {
            0..800 => (0..self.dice.below(8)).for_each(|_| self.sides[side].send(self.now)),
            800..806 => self.restart(side),
            806..816 => {
                self.sides[side].link.reset(self.now);
                self.sides[side].anew();
            }
            816..822 => self.cut_until = self.now + std::time::Duration::from_millis(self.dice.below(40_000)),
            822..850 => (0..100).for_each(|_| self.sides[side].send(self.now)),
            850..950 if !self.past.is_empty() => {
                // Out of the depths of some buffer, arbitrarily late.
                let nth = self.dice.below(self.past.len() as u64) as usize;
                let (to, frame) = self.past[nth].clone();
                self.arrive(to, frame);
            }
            _ => {}
        }
    }
}

// spec: FAB-2, PSM-11
#[test]
fn whatever_the_fabric_does_each_stream_is_delivered_once_in_order_and_what_is_sent_after_healing_arrives() {
    let (mut got, mut resets, mut sent) = (0u64, 0u64, 0u64);
    for seed in 1..=2000 {
        let mut world = World::new(seed);
        // Some long enough for a side to give up on the other.
        let storm = if seed % 10 == 0 { at(60_000) } else { at(4_000) };
        while world.now < storm {
            world.stir();
            let until = world.now + std::time::Duration::from_millis(1 + world.dice.below(150));
            world.run(until);
        }
        heal(&mut world);
        got += world.sides.iter().map(|s| u64::from(s.got)).sum::<u64>();
        resets += world.sides.iter().map(|s| u64::from(s.resets)).sum::<u64>();
        sent += world.sent;
    }
    // The storms are storms, and something gets through them.
    assert!(resets > 3_000 && got > 100_000, "{resets} resets, {got} messages");
    println!("{got} messages in {sent} frames, {resets} resets");
}

fn heal(world: &mut World) {
    (world.loss, world.cut_until) = (0, world.now);
    let lives = [world.sides[0].own, world.sides[1].own];
    for side in 0..2 {
        world.sides[side].meets(lives[1 - side]);
    }
    // What was on its way, retried, or begun anew settles first.
    let settled = world.now + std::time::Duration::from_secs(5);
    world.run(settled);
    let before = [world.sides[1].got, world.sides[0].got];
    for _ in 0..100 {
        (0..2).for_each(|side| world.sides[side].send(world.now));
    }
    let end = world.now + std::time::Duration::from_secs(5);
    world.run(end);
    for (side, before) in before.into_iter().enumerate() {
        assert_eq!(world.sides[1 - side].got - before, 100, "seed {}", world.seed);
        assert_eq!(world.sides[side].link.queued(), 0, "seed {}", world.seed);
        assert_eq!(world.sides[side].link.deadline(), None, "seed {}: an idle link sends nothing", world.seed);
    }
}

#[test]
fn on_a_good_fabric_a_message_costs_little_more_than_a_frame() {
    let mut world = World::new(1);
    (world.loss, world.delay) = (0, 0);
    for _ in 0..200 {
        (0..50).for_each(|_| world.sides[0].send(world.now));
        let until = world.now + std::time::Duration::from_millis(5);
        world.run(until);
    }
    let until = world.now + std::time::Duration::from_secs(1);
    world.run(until);
    assert_eq!(world.sides[1].got, 10_000);
    // Doubled ones are not counted, but each makes the receiver say once more what it has.
    assert!(world.sent < 12_500, "{} frames", world.sent);
}
