//! The fabric within one process: every clone of a [`MemFabric`] made by [`MemFabric::join`] is another CPU.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tif_core::model::NodeId;

use super::inbox::{Inbox, Wake};
use super::{Arrival, Fabric, Outcome, Peer};

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
    inbox: Inbox,
}

impl MemFabric {
    /// Another end of the same net, for another node.
    pub fn join(&self) -> MemFabric {
        MemFabric { net: Arc::clone(&self.net), own: None, wake: None }
    }
}

impl Fabric for MemFabric {
    fn announce(&mut self, own: Peer) {
        self.own = Some(own.node);
        let mut net = self.net.lock();
        let mut inbox = Inbox::new(self.wake.clone());
        for (node, end) in &mut net.ends {
            if *node != own.node {
                end.inbox.push(Arrival::Appeared(own.clone()));
                inbox.push(Arrival::Appeared(end.peer.clone()));
            }
        }
        net.ends.insert(own.node, End { peer: own, inbox });
    }

    fn send(&mut self, to: NodeId, bytes: &[u8]) -> Outcome {
        match (self.own, self.net.lock().ends.get_mut(&to)) {
            (Some(from), Some(end)) => end.inbox.push(Arrival::Message { from, bytes: bytes.to_vec() }),
            _ => Outcome::NoSuchPeer,
        }
    }

    fn receive(&mut self) -> Option<Arrival> {
        self.net.lock().ends.get_mut(&self.own?)?.inbox.pop()
    }

    fn on_arrival(&mut self, wake: Box<dyn Fn() + Send + Sync>) {
        let wake = Wake::new(wake);
        if let Some(end) = self.own.and_then(|own| self.net.lock().ends.get_mut(&own).map(|end| end.inbox.on_arrival(wake.clone()))) {
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
            end.inbox.push(Arrival::Vanished(own));
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
