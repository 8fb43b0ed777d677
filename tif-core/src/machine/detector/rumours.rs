//! News of others that ride on the next few heartbeats.

use std::collections::BTreeMap;

use super::said::Rumour;
use crate::model::NodeId;

/// News in one heartbeat: it stays within one datagram.
pub(super) const RUMOURS_MAX: usize = 16;
/// Rounds of heartbeats that each rides on: with five of a hundred lost, one of a million neighbours hears of it only by the digest.
const ROUNDS: u8 = 5;

/// The latest news of each CPU, as long as it is news.
#[derive(Clone, Debug, Default)]
pub(super) struct Rumours(BTreeMap<NodeId, (u8, Rumour)>);

impl Rumours {
    pub(super) fn add(&mut self, rumour: Rumour) {
        self.0.insert(rumour.life.node, (ROUNDS, rumour));
    }

    /// For the heartbeats of one round: the least told first.
    pub(super) fn round(&mut self) -> Vec<Rumour> {
        let mut order: Vec<(u8, NodeId)> = self.0.iter().map(|(node, (left, _))| (ROUNDS - left, *node)).collect();
        order.sort_unstable();
        let mut said = Vec::new();
        for (_, node) in order.into_iter().take(RUMOURS_MAX) {
            let Some((left, rumour)) = self.0.get_mut(&node) else { continue };
            *left -= 1;
            said.push(*rumour);
            if *left == 0 {
                self.0.remove(&node);
            }
        }
        said
    }
}
