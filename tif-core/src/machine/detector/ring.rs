//! Who exchanges heartbeats with whom, so that every agent finds the same without asking.
//!
//! Up to [`MESH_MAX`] peers, all with all. Above, the agents stand in a circle in the order of a hash of their numbers, so that neighbours in the rack
//! are not neighbours there, and each looks after the four on either side: as many messages for a thousand CPUs as for nine.

use std::collections::BTreeSet;

use crate::model::NodeId;

/// Peers up to which every pair exchanges heartbeats.
pub const MESH_MAX: usize = 16;
/// Neighbours on either side in a larger system.
const SIDE: usize = 4;

/// The neighbours of `own` among `others`.
pub(super) fn neighbours(own: NodeId, others: impl Iterator<Item = NodeId>) -> BTreeSet<NodeId> {
    let mut circle: Vec<(u64, NodeId)> = others.filter(|n| *n != own).map(|n| (mix(u64::from(n.0)), n)).collect();
    if circle.len() <= MESH_MAX {
        return circle.into_iter().map(|(_, n)| n).collect();
    }
    circle.sort_unstable();
    let at = circle.partition_point(|place| *place < (mix(u64::from(own.0)), own));
    let len = circle.len();
    (0..SIDE).flat_map(|step| [circle[(at + step) % len].1, circle[(at + len - 1 - step) % len].1]).collect()
}

/// Spreads numbers evenly (the finaliser of splitmix64).
pub(super) fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: FAB-3
    #[test]
    fn neighbours_are_mutual_and_never_more_than_the_mesh() {
        for count in [1u32, 2, 9, 17, 18, 40, 1000] {
            let of = |n: u32| neighbours(NodeId(n), (1..=count).map(NodeId));
            for n in 1..=count.min(100) {
                let mine = of(n);
                assert!(mine.len() <= MESH_MAX && !mine.contains(&NodeId(n)));
                assert_eq!(mine.len(), if count as usize <= MESH_MAX + 1 { count as usize - 1 } else { 2 * SIDE });
                assert!(mine.iter().all(|other| of(other.0).contains(&NodeId(n))));
            }
        }
    }
}
