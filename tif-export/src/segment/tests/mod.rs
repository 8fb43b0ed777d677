//! Both sides of a segment together.

mod death;
mod hostile;
mod lanes;
mod model;
mod pair;

use std::os::fd::OwnedFd;

use tif_core::agent::io::TableChange;
use tif_core::layout::Capacity;
use tif_core::model::{Descriptor, Dimensions, Epoch, Incarnation, Key, Kind, Name, NodeId, ProcId, Slot, Value, ValueType};

use super::{Attachment, Segment};

const KEY: Key = Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation(9) };

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// Small, but with room for some of each.
fn small() -> Capacity {
    Capacity { slots_max: 128, lanes_max: 8, counters_max: 64, histograms_max: 4, wides_max: 16, declarations_max: 64 << 10 }
}

fn descriptor(path: &str, kind: Kind, value_type: ValueType) -> Descriptor {
    let is_control = matches!(kind, Kind::Control { .. });
    let default = match value_type {
        ValueType::Text => Value::Text("none".into()),
        ValueType::F64 => Value::F64(1.0),
        _ => Value::U64(1),
    };
    Descriptor {
        help: "Something to look at.".into(),
        default: is_control.then_some(default),
        ..Descriptor::bare(name(path), kind, value_type)
    }
}

fn gauge(path: &str) -> Descriptor {
    descriptor(path, Kind::Gauge, ValueType::U64)
}

fn counter(path: &str) -> Descriptor {
    descriptor(path, Kind::Counter, ValueType::U64)
}

fn control(path: &str, value_type: ValueType) -> Descriptor {
    descriptor(path, Kind::Control { memorized: false, validated: false }, value_type)
}

fn dims(text: &str) -> Dimensions {
    Dimensions::from_inner_text(text).unwrap()
}

fn duplicate(fd: std::os::fd::BorrowedFd<'_>) -> OwnedFd {
    fd.try_clone_to_owned().unwrap()
}

fn open(segment: &Segment) -> Attachment {
    Attachment::open(duplicate(segment.fd()), duplicate(segment.bell())).unwrap()
}

/// Attaches an agent's side and hands its board over, as after a welcome.
fn attach(segment: &Segment) -> Attachment {
    let mut agent = open(segment);
    agent.scan();
    let board = duplicate(agent.create_board(KEY, Epoch(3), &[]).unwrap());
    segment.attach_board(board).unwrap();
    agent
}

/// Sweeps until the bell is armed; everything that was found changed.
fn drain(agent: &mut Attachment) -> (Vec<TableChange>, Vec<Slot>) {
    let (mut table, mut changed) = (Vec::new(), Vec::new());
    loop {
        let swept = agent.sweep();
        table.extend(swept.table);
        changed.extend(swept.changed);
        if agent.arm() {
            changed.sort();
            changed.dedup();
            return (table, changed);
        }
    }
}

/// How often the bell was rung since last asked.
fn rings(segment: &Segment) -> u64 {
    let mut count = [0; 8];
    match rustix::io::read(segment.bell(), &mut count) {
        Ok(_) => u64::from_ne_bytes(count),
        Err(_) => 0,
    }
}
