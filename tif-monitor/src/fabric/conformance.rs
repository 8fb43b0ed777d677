//! What every fabric must do: one suite, run on each of them.

use std::sync::mpsc;
use std::time::{Duration, Instant};

use tif_core::model::NodeId;

use super::inbox::ARRIVALS_MAX;
use super::{Arrival, Fabric, Outcome, Peer};

/// Another node's end of the same net.
pub type Join = Box<dyn Fn() -> Box<dyn Fabric>>;

/// Runs everything, each story on a net of its own.
pub fn suite(net: impl Fn() -> Join) {
    whoever_comes_later_sees_who_is_there_and_is_seen(&net());
    bytes_reach_the_one_they_are_for(&net());
    a_node_that_goes_is_told_of(&net());
    what_nobody_takes_is_dropped_and_counted(&net());
}

fn peer(node: u32) -> Peer {
    Peer { node: NodeId(node), cpu: format!("cpu{node}").parse().unwrap(), agent_epoch: 1 }
}

struct Node {
    fabric: Box<dyn Fabric>,
    woken: mpsc::Receiver<()>,
}

impl Node {
    fn new(join: &Join, number: u32) -> Node {
        let mut fabric = join();
        let (wake, woken) = mpsc::channel();
        fabric.on_arrival(Box::new(move || {
            let _ = wake.send(());
        }));
        fabric.announce(peer(number));
        Node { fabric, woken }
    }

    /// Waits for the next arrival; every one is announced by a wake-up or there before the waiting.
    fn next(&mut self) -> Arrival {
        loop {
            if let Some(arrival) = self.fabric.receive() {
                return arrival;
            }
            self.woken.recv_timeout(Duration::from_secs(10)).expect("something arrives");
        }
    }
}

fn whoever_comes_later_sees_who_is_there_and_is_seen(join: &Join) {
    let mut a = Node::new(join, 1);
    let mut b = Node::new(join, 2);
    assert_eq!(a.next(), Arrival::Appeared(peer(2)));
    assert_eq!(b.next(), Arrival::Appeared(peer(1)));
    assert_eq!(b.fabric.receive(), None, "nobody sees itself");
}

fn bytes_reach_the_one_they_are_for(join: &Join) {
    let mut nodes = [Node::new(join, 1), Node::new(join, 2), Node::new(join, 3)];
    for (own, node) in (1..).zip(&mut nodes) {
        let others = (1..=3).filter(|other| *other != own);
        let mut seen: Vec<Arrival> = (0..2).map(|_| node.next()).collect();
        seen.sort_by_key(|arrival| match arrival {
            Arrival::Appeared(peer) => peer.node,
            other => panic!("{other:?}"),
        });
        assert_eq!(seen, others.map(|other| Arrival::Appeared(peer(other))).collect::<Vec<_>>());
    }
    assert_eq!(nodes[2].fabric.send(NodeId(1), b"hello"), Outcome::Sent);
    assert_eq!(nodes[0].next(), Arrival::Message { from: NodeId(3), bytes: b"hello".to_vec() });
    assert_eq!(nodes[1].fabric.receive(), None);
    assert_eq!(nodes[0].fabric.send(NodeId(9), b"hello"), Outcome::NoSuchPeer);
}

fn a_node_that_goes_is_told_of(join: &Join) {
    let mut a = Node::new(join, 1);
    let b = Node::new(join, 2);
    assert_eq!(a.next(), Arrival::Appeared(peer(2)));
    drop(b);
    assert_eq!(a.next(), Arrival::Vanished(NodeId(2)));
    assert_eq!(a.fabric.send(NodeId(2), b"hello"), Outcome::NoSuchPeer);
}

// spec: SEC-2
fn what_nobody_takes_is_dropped_and_counted(join: &Join) {
    let mut a = Node::new(join, 1);
    let mut b = Node::new(join, 2);
    assert_eq!(b.next(), Arrival::Appeared(peer(1)));
    assert_eq!(a.next(), Arrival::Appeared(peer(2)));
    b.woken.try_iter().for_each(drop);
    // A fabric may drop on the way, too: sent is as long as it takes until more than there is room for has come.
    let (mut sent, mut came) = (0u64, 0);
    let until = Instant::now() + Duration::from_secs(10);
    while came <= 2 * ARRIVALS_MAX as u64 {
        a.fabric.send(NodeId(2), &sent.to_le_bytes());
        sent += 1;
        came += b.woken.try_iter().count() as u64;
        if sent.is_multiple_of(256) && b.woken.recv_timeout(Duration::from_millis(10)).is_ok() {
            came += 1;
        }
        assert!(Instant::now() < until, "{came} of {sent} came");
    }
    let (mut seen, mut missing) = (0, 0);
    while let Some(arrival) = b.fabric.receive() {
        match arrival {
            Arrival::Gap(dropped) => missing += dropped,
            Arrival::Message { from, .. } => {
                assert_eq!(from, NodeId(1));
                seen += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(
        missing > 0 && (came..=sent).contains(&(seen + missing)),
        "{came} of {sent} came: {seen} are there, {missing} are said to be missing"
    );
}
