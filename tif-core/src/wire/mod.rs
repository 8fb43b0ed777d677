//! What processes and their agent say to each other on the local socket, and the bytes of it.
//!
//! A frame is a little-endian `u32` length and that many bytes of MessagePack: an [`Envelope`] whose body is a [`ToAgent`] or a [`ToProcess`].
//! File descriptors travel only with `Hello` and `Welcome`.

pub mod codec;
pub mod messages;
pub mod peers;

use crate::machine::versions::Offer;

pub use codec::{CodecError, FrameReader, decode, encode};
pub use messages::{
    Admission, Announced, Announcement, Credentials, Drained, Envelope, Hello, Identity, KeepAsked, ListRow, OutageRow, ProcessRow,
    Registration, ReportsEnd, Resume, SegmentFacts, ToAgent, ToProcess, ToldOutage, Welcome,
};

pub use peers::{Greeting, GroupMessage, Member, PeerBody, PeerFrame, ToPeer};

/// What this release speaks.
// spec: FAB-5
pub const SPOKEN: Offer = Offer { min: 1, max: 1, features: 0, schema: 1 };
