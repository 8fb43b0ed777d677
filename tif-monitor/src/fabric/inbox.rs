//! What has come and waits to be taken: bounded, the oldest are dropped and counted.
// spec: FAB-1, SEC-2

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::{Arrival, Outcome};

/// Arrivals that wait for one node.
pub(super) const ARRIVALS_MAX: usize = 1024;
/// Bytes of all messages that wait for one node. More than one of the greatest fits.
const BYTES_MAX: usize = 32 << 20;

/// Called after something arrived.
#[derive(Clone)]
pub(super) struct Wake(Arc<dyn Fn() + Send + Sync>);

impl Wake {
    pub fn new(wake: Box<dyn Fn() + Send + Sync>) -> Wake {
        Wake(Arc::from(wake))
    }
}

impl fmt::Debug for Wake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Wake")
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    queue: VecDeque<Arrival>,
    bytes: usize,
    dropped: u64,
    wake: Option<Wake>,
}

fn len(arrival: &Arrival) -> usize {
    match arrival {
        Arrival::Message { bytes, .. } => bytes.len(),
        _ => 0,
    }
}

impl Inbox {
    pub fn new(wake: Option<Wake>) -> Inbox {
        Inbox { wake, ..Inbox::default() }
    }

    pub fn on_arrival(&mut self, wake: Wake) {
        self.wake = Some(wake);
    }

    /// Whether anything had to go for it.
    pub fn push(&mut self, arrival: Arrival) -> Outcome {
        self.bytes += len(&arrival);
        self.queue.push_back(arrival);
        let before = self.dropped;
        while self.queue.len() > ARRIVALS_MAX || self.bytes > BYTES_MAX {
            let Some(oldest) = self.queue.pop_front() else { break };
            self.bytes -= len(&oldest);
            self.dropped += 1;
        }
        if let Some(Wake(wake)) = &self.wake {
            wake();
        }
        if self.dropped == before { Outcome::Sent } else { Outcome::Dropped }
    }

    /// The next; the gap lies before what is left.
    pub fn pop(&mut self) -> Option<Arrival> {
        match std::mem::take(&mut self.dropped) {
            0 => {
                let arrival = self.queue.pop_front()?;
                self.bytes -= len(&arrival);
                Some(arrival)
            }
            dropped => Some(Arrival::Gap(dropped)),
        }
    }
}

#[cfg(test)]
mod tests {
    use tif_core::model::NodeId;

    use super::*;

    // spec: SEC-2
    #[test]
    fn many_small_arrivals_and_few_great_ones_are_bounded() {
        let message = |len: usize| Arrival::Message { from: NodeId(2), bytes: vec![0; len] };
        let mut inbox = Inbox::default();
        for _ in 0..ARRIVALS_MAX {
            assert_eq!(inbox.push(message(1)), Outcome::Sent);
        }
        assert_eq!(inbox.push(message(1)), Outcome::Dropped);
        assert_eq!(inbox.pop(), Some(Arrival::Gap(1)));
        while inbox.pop().is_some() {}
        assert_eq!(inbox.bytes, 0);
        for _ in 0..8 {
            inbox.push(message(4 << 20));
        }
        assert_eq!(inbox.dropped, 0);
        inbox.push(message(4 << 20));
        assert_eq!((inbox.queue.len(), inbox.dropped), (8, 1));
    }
}
