//! What is known of the other CPUs' agents, in lines for people.

use super::Peers;
use crate::model::NodeId;

impl Peers {
    /// A line for each CPU that was seen.
    pub(in super::super) fn portrait(&self) -> Vec<String> {
        let isolated = self.detector.is_isolated().then(|| "this one takes itself for isolated".to_owned());
        let doubts = (self.detector.health() > 0).then(|| format!("this one doubts itself: {} of 8", self.detector.health()));
        self.seen.iter().map(|node| self.portrait_of(*node)).chain(isolated).chain(doubts).collect()
    }

    fn portrait_of(&self, node: NodeId) -> String {
        let standing = match self.detector.life(node) {
            None => "not met".to_owned(),
            Some((life, true)) => format!("{life} is down"),
            Some((life, false)) if self.detector.is_up(node) => format!("{life} is up"),
            Some((life, false)) => format!("{life} is unreachable"),
        };
        let spoken = match self.met.get(&node).map(|met| met.spoken()) {
            None => "has not said what it speaks".to_owned(),
            Some(Ok(agreed)) => format!("version {} is spoken", agreed.version),
            Some(Err(why)) => why.to_string(),
        };
        let stream = self.peers.get(&node).map(|peer| {
            let greeted = if peer.greeted { "greeted" } else { "not greeted" };
            let (members, wishes, queued) = (peer.members.len(), peer.upstream.len(), peer.link.queued());
            format!("; stream {} {greeted}, {members} exporters, {wishes} subscriptions there, {queued} messages under way", peer.streams)
        });
        let over = self.over.get(&node).map(|epoch| format!("; lives up to {epoch} were given up"));
        format!("cpu{node}: {standing}; {spoken}{}{}", stream.unwrap_or_default(), over.unwrap_or_default())
    }
}
