//! Who has a protocol version in common speaks the newest of these; who has none says nothing but that, and both sides know it.
// spec: FAB-5

use tif_core::machine::versions::Offer;
use tif_core::model::NodeId;
use tif_core::wire::{PeerBody, PeerFrame};

use super::{Verdict, wrong};
use crate::world::World;

/// The newest version that both speak, by counting.
fn newest(a: &Offer, b: &Offer) -> Option<u16> {
    (a.min..=a.max).rev().find(|version| (b.min..=b.max).contains(version))
}

/// Whether two CPUs can work together.
pub fn are_compatible(a: &World, b: &World) -> bool {
    newest(&a.speaks, &b.speaks).is_some()
}

/// An agent sends something to another. What is meant for a life that is over, says nothing of what its successor speaks.
pub fn on_sent(from: &World, to: &World, frame: &PeerFrame) -> Verdict {
    let is_current = to.agent.as_ref().is_some_and(|agent| agent.key() == frame.to);
    if !is_current || are_compatible(from, to) || matches!(frame.body, PeerBody::Hello { .. } | PeerBody::Incompatible { .. }) {
        return Ok(());
    }
    wrong("versions", format!("{} has no version in common with {} and sends it {:?}", from.cpu(), to.cpu(), frame.body))
}

/// A process was let in.
pub fn on_welcome(agent: &Offer, process: &Offer, protocol: u16) -> Verdict {
    let expected = newest(agent, process);
    if expected == Some(protocol) {
        return Ok(());
    }
    wrong("versions", format!("a process that speaks {process:?} is to speak {protocol} with an agent that speaks {agent:?}"))
}

/// After the trouble: all know what they speak with whom.
///
/// # Errors
/// With the first pair that does not.
pub fn look(worlds: &[&World]) -> Verdict {
    for (i, world) in worlds.iter().enumerate() {
        for other in worlds.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, other)| other) {
            look_at_pair(world, other)?;
        }
    }
    Ok(())
}

fn look_at_pair(world: &World, other: &World) -> Verdict {
    let (own, peer) = (&world.speaks, &other.speaks);
    let at = NodeId(other.node);
    let spoken = world.agent.as_ref().and_then(|agent| agent.spoken_with(at)).and_then(Result::ok).map(|agreed| agreed.version);
    if spoken != newest(own, peer) {
        return wrong("versions", format!("{} speaks {spoken:?} with {}: {own:?}, {peer:?}", world.cpu(), other.cpu()));
    }
    // Both ranges and who has to be upgraded.
    let says = world.incompatible.get(&at);
    let remedy = if peer.max < own.min { "upgrade the other agent" } else { "upgrade this agent" };
    let names =
        |said: &String| [own.min, own.max, peer.min, peer.max].iter().all(|v| said.contains(&v.to_string())) && said.ends_with(remedy);
    let is_right = if spoken.is_some() { says.is_none() } else { says.is_some_and(names) };
    if is_right {
        return Ok(());
    }
    wrong("versions", format!("{} says of what it speaks with {}: {says:?}", world.cpu(), other.cpu()))
}
