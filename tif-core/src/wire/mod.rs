//! What processes and their agent say to each other on the local socket, and the bytes of it.
//!
//! A frame is a little-endian `u32` length and that many bytes of MessagePack: an [`Envelope`] whose body is a [`ToAgent`] or a [`ToProcess`].
//! File descriptors travel only with `Hello` and `Welcome`.

pub mod codec;
pub mod hello;
pub mod peers;
pub mod to_agent;
pub mod to_process;

use crate::machine::versions::Offer;

pub use codec::{CodecError, FrameReader, decode, encode};
pub use hello::{Credentials, Envelope, Hello, Identity, Registration, Resume, SegmentFacts, ToldOutage, Welcome};
pub use peers::{Greeting, GroupMessage, HandsOver, Host, Member, PeerBody, PeerFrame, ToPeer};
pub use to_agent::{Admission, KeepAsked, ToAgent};
pub use to_process::{
    Announced, Announcement, CpuRow, CpuState, Drained, GroupMember, GroupRow, ListRow, OutageRow, ProcessRow, ReportsEnd, ToProcess,
};

/// What this release speaks.
// spec: FAB-5
pub const SPOKEN: Offer = Offer { min: 1, max: 1, features: 0, schema: 1 };
