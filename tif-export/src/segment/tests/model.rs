//! loom takes the protocol apart: every order of loads and stores that the memory model allows, on the very functions that run.

use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, Ordering, fence};
use loom::thread;

use crate::segment::protocol::{self, Line, Word};

impl Word for AtomicU32 {
    fn load(&self, order: Ordering) -> u32 {
        self.load(order)
    }
    fn store(&self, value: u32, order: Ordering) {
        self.store(value, order);
    }
    fn swap(&self, value: u32, order: Ordering) -> u32 {
        self.swap(value, order)
    }
}

/// Both barriers are fences here: what `membarrier` promises is that the light one counts as one.
fn barrier() {
    fence(Ordering::SeqCst);
}

/// One slot of one group, as it lies in a segment and on its board.
#[derive(Default)]
struct World {
    value: AtomicU32,
    flag: AtomicU32,
    group: AtomicU32,
    rung: AtomicU32,
    sweep: AtomicU32,
    armed: AtomicU32,
    sent: AtomicU32,
    bell: AtomicU32,
}

impl World {
    fn new() -> Arc<World> {
        let world = World::default();
        Word::store(&world.sweep, 1, Ordering::Relaxed);
        Arc::new(world)
    }

    fn tell(&self, light: impl Fn() + Copy) {
        let line = Line { sweep: &self.sweep, armed: &self.armed, rung: &self.rung, flag: &self.flag, group: &self.group };
        protocol::flag(&line, light, || {
            self.bell.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// What an exporter does for a watched instrument.
    fn change(&self, value: u32, light: impl Fn() + Copy) {
        self.value.store(value, Ordering::Relaxed);
        light();
        self.tell(light);
    }

    /// The same where a change of less than two does not matter.
    fn change_if_far(&self, value: u32) {
        self.value.store(value, Ordering::Relaxed);
        barrier();
        if value.abs_diff(self.sent.load(Ordering::Relaxed)) >= 2 {
            self.tell(barrier);
        }
    }
}

/// What an agent remembers.
#[derive(Default)]
struct Agent {
    number: u32,
    group: u32,
    flag: u32,
    value: u32,
    moved: bool,
}

impl Agent {
    /// As `Attachment::sweep`, with sampling. True if the slot was looked at.
    fn sweep(&mut self, world: &World) -> bool {
        self.number = protocol::next(Word::load(&world.sweep, Ordering::Relaxed));
        protocol::begin(&world.sweep, self.number, barrier);
        let mut looked = std::mem::take(&mut self.moved);
        let group = world.group.load(Ordering::Acquire);
        if protocol::is_dirty(group, std::mem::replace(&mut self.group, group), self.number) {
            let flag = world.flag.load(Ordering::Acquire);
            looked |= protocol::is_dirty(flag, std::mem::replace(&mut self.flag, flag), self.number);
        }
        if looked {
            self.value = world.value.load(Ordering::Relaxed);
        }
        looked
    }

    /// As `Attachment::arm`, with what was sent last published.
    fn arm(&mut self, world: &World, publishes: bool) -> bool {
        if publishes {
            world.sent.store(self.value, Ordering::Relaxed);
        }
        protocol::arm(&world.armed, &world.rung, barrier);
        self.moved = publishes && world.value.load(Ordering::Relaxed) != self.value;
        !self.moved && !protocol::is_news(world.group.load(Ordering::Acquire), self.group, self.number)
    }
}

/// Runs exporters against an agent that sweeps at most `rounds` times and then sleeps. Whoever has not been seen must have rung.
fn nothing_is_lost(rounds: usize, publishes: bool, exporters: Vec<fn(&World)>, last: &'static [u32]) {
    let mut builder = loom::model::Builder::new();
    // So many switches away from a running thread find all mistakes that are known of, in a second or two.
    builder.preemption_bound = Some(if exporters.len() == 1 { 3 } else { 2 });
    builder.check(move || {
        let world = World::new();
        let threads: Vec<_> = exporters
            .iter()
            .map(|run| {
                let (world, run) = (Arc::clone(&world), *run);
                thread::spawn(move || run(&world))
            })
            .collect();
        let mut agent = Agent::default();
        let mut asleep = false;
        for _ in 0..rounds {
            agent.sweep(&world);
            asleep = agent.arm(&world, publishes);
            if asleep {
                break;
            }
        }
        threads.into_iter().for_each(|t| t.join().unwrap());
        if !asleep || world.bell.load(Ordering::Relaxed) > 0 {
            agent.sweep(&world);
        }
        if publishes {
            // What does not matter need not be seen.
            let now = world.value.load(Ordering::Relaxed);
            assert!(now.abs_diff(agent.value) < 2, "{now} was not told, {} is known", agent.value);
        } else {
            assert!(last.contains(&agent.value), "{} is known at last", agent.value);
        }
    });
}

#[test]
// spec: INS-8, EXP-2
fn a_change_is_seen_or_the_bell_is_rung() {
    nothing_is_lost(2, false, vec![|w| w.change(1, barrier)], &[1]);
}

#[test]
fn a_second_change_in_the_same_sweep_is_seen_although_the_flag_was_set_already() {
    nothing_is_lost(
        2,
        false,
        vec![|w| {
            w.change(1, barrier);
            w.change(2, barrier);
        }],
        &[2],
    );
}

#[test]
fn two_threads_that_change_the_same_instrument_hide_nothing_from_each_other() {
    nothing_is_lost(1, false, vec![|w| w.change(1, barrier), |w| w.change(2, barrier)], &[1, 2]);
}

#[test]
// spec: INS-6
fn what_is_far_from_the_value_last_sent_is_told_even_while_that_is_being_published() {
    nothing_is_lost(
        2,
        true,
        vec![|w| {
            w.change_if_far(3);
            w.change_if_far(4);
        }],
        &[],
    );
}

/// The model is worth something only if it fails without the barriers.
#[test]
#[should_panic(expected = "is known at last")]
fn without_the_exporters_barrier_a_change_is_lost() {
    nothing_is_lost(1, false, vec![|w| w.change(1, || ())], &[1]);
}
