//! Which version two agents speak with each other, and what they say if there is none.
//!
//! Each says which versions it speaks; the greatest that both speak is used. Both sides compute the same from the same two offers, so both know of a refusal and
//! can name its remedy. Nobody is admitted halfway.
// spec: FAB-5

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Refusal;
use crate::wire::SPOKEN;

/// What one agent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The oldest protocol version.
    pub min: u16,
    /// The newest.
    pub max: u16,
    /// What it can do beyond the version, one bit each.
    pub features: u64,
    /// Over the definitions of what it keeps for others, so that a replica is fed only what it understands.
    pub schema: u64,
}

/// What this release speaks.
impl Default for Offer {
    fn default() -> Offer {
        SPOKEN
    }
}

/// What two agents speak with each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// The protocol version.
    pub version: u16,
    /// What both can do.
    pub features: u64,
    /// Whether each can keep the other's data.
    pub same_schema: bool,
}

/// They cannot talk. Nothing was agreed; the connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Incompatible {
    /// No common version.
    Disjoint {
        /// What this agent speaks.
        own: Offer,
        /// What the other speaks.
        peer: Offer,
    },
    /// The other offers a range without a version in it.
    Empty {
        /// What it offers.
        peer: Offer,
    },
}

impl fmt::Display for Incompatible {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Incompatible::Disjoint { own, peer } => {
                let remedy = if peer.max < own.min { "upgrade the other agent" } else { "upgrade this agent" };
                write!(f, "this agent speaks {}, the other one {}: {remedy}", Range(own), Range(peer))
            }
            Incompatible::Empty { peer } => {
                write!(f, "the other side offers protocol versions {} to {}, which is none", peer.min, peer.max)
            }
        }
    }
}

struct Range<'a>(&'a Offer);

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Offer { min, max, .. } if min == max => write!(f, "protocol version {min}"),
            Offer { min, max, .. } => write!(f, "protocol versions {min} to {max}"),
        }
    }
}

/// A process is told the same in the words of all refusals.
impl From<Incompatible> for Refusal {
    fn from(incompatible: Incompatible) -> Refusal {
        match incompatible {
            Incompatible::Disjoint { own, peer } => {
                Refusal::Protocol { min: peer.min, max: peer.max, ours_min: own.min, ours_max: own.max }
            }
            Incompatible::Empty { .. } => Refusal::Malformed { reason: incompatible.to_string() },
        }
    }
}

/// What to speak, seen from the side of `own`.
///
/// # Errors
/// If there is no common version. The other side finds the same.
// spec: FAB-5
pub fn agree(own: &Offer, peer: &Offer) -> Result<Agreed, Incompatible> {
    if peer.min > peer.max {
        return Err(Incompatible::Empty { peer: *peer });
    }
    let version = own.max.min(peer.max);
    if version < own.min.max(peer.min) {
        return Err(Incompatible::Disjoint { own: *own, peer: *peer });
    }
    Ok(Agreed { version, features: own.features & peer.features, same_schema: own.schema == peer.schema })
}

/// What everybody in a group can do: a feature is switched on when the last member offers it, so that members can be upgraded one by one.
pub fn common_features<'a>(members: impl IntoIterator<Item = &'a Offer>) -> u64 {
    members.into_iter().map(|offer| offer.features).reduce(|all, each| all & each).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaks(min: u16, max: u16) -> Offer {
        Offer { min, max, features: 0b0110, schema: 7 }
    }

    // spec: FAB-5
    #[test]
    fn adjacent_versions_speak_the_newest_that_both_know() {
        assert_eq!(agree(&speaks(1, 3), &speaks(2, 4)), Ok(Agreed { version: 3, features: 0b0110, same_schema: true }));
        assert_eq!(agree(&speaks(2, 4), &speaks(1, 3)).unwrap().version, 3);
        assert_eq!(agree(&speaks(3, 3), &speaks(3, 9)).unwrap().version, 3);
    }

    // spec: FAB-5
    #[test]
    fn a_refusal_names_both_ranges_and_the_remedy_on_both_sides() {
        let (old, new) = (speaks(1, 1), speaks(2, 4));
        let at_new = agree(&new, &old).unwrap_err().to_string();
        let at_old = agree(&old, &new).unwrap_err().to_string();
        assert_eq!(at_new, "this agent speaks protocol versions 2 to 4, the other one protocol version 1: upgrade the other agent");
        assert_eq!(at_old, "this agent speaks protocol version 1, the other one protocol versions 2 to 4: upgrade this agent");
    }

    // spec: FAB-5, SEC-2
    #[test]
    fn whatever_two_sides_offer_they_come_to_the_same_end() {
        let ends = [0, 1, 2, 3, u16::MAX];
        let all = || ends.iter().flat_map(|min| ends.iter().map(|max| speaks(*min, *max))).filter(|offer| offer.min <= offer.max);
        for own in all() {
            for peer in all() {
                let (here, there) = (agree(&own, &peer), agree(&peer, &own));
                assert_eq!(here.ok(), there.ok());
                if let Ok(agreed) = here {
                    assert!((own.min..=own.max).contains(&agreed.version) && (peer.min..=peer.max).contains(&agreed.version));
                }
            }
        }
    }

    #[test]
    fn an_empty_range_is_refused_as_such() {
        let refusal = agree(&speaks(1, 2), &speaks(5, 4)).unwrap_err();
        assert_eq!(refusal.to_string(), "the other side offers protocol versions 5 to 4, which is none");
    }

    // spec: FAB-5
    #[test]
    fn a_feature_is_on_only_when_every_member_offers_it() {
        let with = |features| Offer { features, ..speaks(1, 2) };
        assert_eq!(common_features(&[with(0b111), with(0b110), with(0b011)]), 0b010);
        assert_eq!(common_features(&[]), 0);
        assert_eq!(agree(&with(0b101), &with(0b110)).unwrap().features, 0b100);
    }

    #[test]
    fn another_schema_is_said_and_does_not_part_them() {
        assert!(!agree(&speaks(1, 2), &Offer { schema: 8, ..speaks(1, 2) }).unwrap().same_schema);
    }
}
