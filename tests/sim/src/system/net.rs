//! The fabric between CPUs: it delays, loses, doubles and reorders, and may be cut in one direction or both.
// spec: FAB-2

use std::collections::{BTreeMap, BTreeSet};

use tif_core::model::NodeId;
use tif_core::wire::PeerFrame;

use crate::Random;
use crate::load::Meter;
use crate::world::MS;

/// What is under way, and how bad the ways are.
#[derive(Debug, Default)]
pub struct Net {
    flying: BTreeMap<(u64, u64), (NodeId, NodeId, Box<PeerFrame>)>,
    order: u64,
    /// Directed ways on which nothing gets through.
    pub cut: BTreeSet<(NodeId, NodeId)>,
    /// Of a hundred datagrams so many are lost.
    pub loss: u64,
    /// Of a hundred datagrams so many come twice.
    pub doubles: u64,
    /// Datagrams that were sent.
    pub sent: u64,
    /// Counts what is sent, if that is wanted.
    pub meter: Option<Meter>,
}

impl Net {
    /// A datagram sets out.
    pub fn send(&mut self, random: &mut Random, now: u64, from: NodeId, to: NodeId, frame: Box<PeerFrame>) {
        self.sent += 1;
        if let Some(meter) = &mut self.meter {
            meter.weigh(from.0, &frame);
        }
        if self.cut.contains(&(from, to)) || random.percent(self.loss) {
            return;
        }
        if random.percent(self.doubles) {
            let late = now + random.between(MS, 2000 * MS);
            self.put(late, from, to, frame.clone());
        }
        let delay = match random.below(100) {
            0..90 => random.between(MS / 20, MS),
            _ => random.between(MS, 20 * MS),
        };
        self.put(now + delay, from, to, frame);
    }

    fn put(&mut self, at: u64, from: NodeId, to: NodeId, frame: Box<PeerFrame>) {
        self.order += 1;
        self.flying.insert((at, self.order), (from, to, frame));
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<u64> {
        self.flying.first_key_value().map(|((at, _), _)| *at)
    }

    /// The next one, unless it is lost on the way.
    pub fn take(&mut self) -> Option<(NodeId, NodeId, Box<PeerFrame>)> {
        let (_, flight) = self.flying.pop_first()?;
        // What is under way when a way is cut is lost, too.
        (!self.cut.contains(&(flight.0, flight.1))).then_some(flight)
    }

    /// All ways are good again.
    pub fn heal(&mut self) {
        (self.loss, self.doubles) = (0, 0);
        self.cut.clear();
    }

    /// Nothing gets through between these two groups any more.
    pub fn part(&mut self, one: &[NodeId], other: &[NodeId], both_ways: bool) {
        for a in one {
            for b in other {
                self.cut.insert((*a, *b));
                if both_ways {
                    self.cut.insert((*b, *a));
                }
            }
        }
    }
}
