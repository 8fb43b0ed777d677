//! Segments to measure on.

use std::os::fd::OwnedFd;

use tif::segment::{Attachment, Place, Segment};
use tif_core::layout::Capacity;
use tif_core::model::{Declared, Descriptor, Dimensions, Epoch, Incarnation, Key, Kind, Name, NodeId, ProcId, Slot, ValueType};

/// A segment of these capacities.
pub fn segment(capacity: Capacity) -> Segment {
    let service: Name = "bench".parse().expect("a name");
    Segment::create(&service, capacity).expect("shared memory")
}

/// A plain declaration, as a macro would write it.
pub fn descriptor(path: &str, kind: Kind, value_type: ValueType) -> Descriptor {
    Descriptor {
        help: "Orders accepted since start.".into(),
        declared: Declared { crate_name: "orders".into(), version: "1.2.3".into(), file: "src/intake.rs".into(), line: 42 },
        ..Descriptor::bare(path.parse().expect("a name"), kind, value_type)
    }
}

/// Declares it without dimensions.
pub fn declare(segment: &Segment, descriptor: &Descriptor) -> Place {
    segment.declare(descriptor, &Dimensions::NONE).expect("room")
}

/// The agent's side of a segment, with its board handed over and these slots watched.
pub fn watch(segment: &Segment, slots: &[Slot]) -> Attachment {
    let own = |fd: std::os::fd::BorrowedFd<'_>| -> OwnedFd { fd.try_clone_to_owned().expect("descriptors") };
    let mut agent = Attachment::open(own(segment.fd()), own(segment.bell())).expect("a segment");
    agent.scan();
    let key = Key { node: NodeId(1), proc: ProcId(2), inc: Incarnation(3) };
    let board = own(agent.create_board(key, Epoch(0), &[]).expect("shared memory"));
    segment.attach_board(board).expect("a board");
    for slot in slots {
        agent.watch(*slot, true);
        agent.sample(*slot);
        agent.sent(*slot);
    }
    while !agent.arm() {
        agent.sweep();
    }
    agent
}
