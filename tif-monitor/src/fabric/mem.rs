//! The fabric within one process: every clone of a [`MemFabric`] made by [`MemFabric::join`] is another CPU.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use tif_core::model::NodeId;

use super::{Arrival, Fabric, Outcome, Peer};

/// Arrivals that wait for one node; then the oldest are dropped and counted.
const ARRIVALS_QUEUED_MAX: usize = 1024;

/// One node's end. Dropping it makes the node vanish.
#[derive(Debug, Default)]
pub struct MemFabric {
    net: Arc<Mutex<Net>>,
    own: Option<NodeId>,
    wake: Option<Wake>,
}

#[derive(Debug, Default)]
struct Net {
    ends: BTreeMap<NodeId, End>,
}

#[derive(Debug)]
struct End {
    peer: Peer,
    queue: VecDeque<Arrival>,
    dropped: u64,
    wake: Option<Wake>,
}

#[derive(Clone)]
struct Wake(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

impl MemFabric {
    /// Another end of the same net, for another node.
    pub fn join(&self) -> MemFabric {
        MemFabric { net: Arc::clone(&self.net), own: None, wake: None }
    }
}

impl End {
    fn push(&mut self, arrival: Arrival) -> Outcome {
        let full = self.queue.len() >= ARRIVALS_QUEUED_MAX;
        if full {
            self.queue.pop_front();
            self.dropped += 1;
        }
        self.queue.push_back(arrival);
        if let Some(Wake(wake)) = &self.wake {
            wake();
        }
        if full { Outcome::Dropped } else { Outcome::Sent }
    }
}

impl Fabric for MemFabric {
    fn announce(&mut self, own: Peer) {
        self.own = Some(own.node);
        let mut net = self.net.lock();
        let mut queue = VecDeque::new();
        for (node, end) in &mut net.ends {
            if *node != own.node {
                end.push(Arrival::Appeared(own.clone()));
                queue.push_back(Arrival::Appeared(end.peer.clone()));
            }
        }
        net.ends.insert(own.node, End { peer: own, queue, dropped: 0, wake: self.wake.clone() });
    }

    fn send(&mut self, to: NodeId, bytes: &[u8]) -> Outcome {
        match (self.own, self.net.lock().ends.get_mut(&to)) {
            (Some(from), Some(end)) => end.push(Arrival::Message { from, bytes: bytes.to_vec() }),
            _ => Outcome::NoSuchPeer,
        }
    }

    fn receive(&mut self) -> Option<Arrival> {
        let mut net = self.net.lock();
        let end = net.ends.get_mut(&self.own?)?;
        // The gap lies before what is left.
        match std::mem::take(&mut end.dropped) {
            0 => end.queue.pop_front(),
            dropped => Some(Arrival::Gap(dropped)),
        }
    }

    fn on_arrival(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        let wake = Wake(Arc::from(wake));
        if let Some(end) = self.own.and_then(|own| self.net.lock().ends.get_mut(&own).map(|end| end.wake = Some(wake.clone()))) {
            return end;
        }
        self.wake = Some(wake);
    }
}

impl Drop for MemFabric {
    fn drop(&mut self) {
        let Some(own) = self.own else { return };
        let mut net = self.net.lock();
        net.ends.remove(&own);
        for end in net.ends.values_mut() {
            end.push(Arrival::Vanished(own));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fabric::conformance;

    // spec: FAB-1
    #[test]
    fn the_fabric_in_memory_keeps_the_contract() {
        conformance::suite(|| {
            let net = MemFabric::default();
            Box::new(move || Box::new(net.join()))
        });
    }
}
