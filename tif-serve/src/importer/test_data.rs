//! Things that tests make many of.

use std::sync::Arc;

use tif_core::model::{
    Alarm, Cause, Descriptor, Dimensions, Incarnation, InstrumentId, Key, Kind, NodeId, Outage, OutageEnd, OutageId, ProcId, Quality,
    Report, Stamp, Value, ValueType, Version,
};
use tif_core::wire::Announcement;

/// A key of the one exporter, in its `n`th life.
pub(crate) fn life(n: u32) -> Key {
    Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation::new(1, n) }
}

pub(crate) fn descriptor(path: &str, value_type: ValueType) -> Descriptor {
    Descriptor { help: "For tests.".into(), ..Descriptor::bare(path.parse().unwrap(), Kind::Gauge, value_type) }
}

pub(crate) fn announcement(id: u64, source: &str, name: &str) -> Arc<Announcement> {
    Arc::new(Announcement {
        instrument: InstrumentId(id),
        source: source.parse().unwrap(),
        name: name.parse().unwrap(),
        dims: Dimensions::NONE,
        cpu: "cpu1".parse().unwrap(),
        process: "demo-1".parse().unwrap(),
        descriptor: descriptor(name.split_once('.').unwrap().1, ValueType::U64),
        version: Version(0),
    })
}

pub(crate) fn report(id: u64, n: u64) -> Report {
    Report {
        instrument: InstrumentId(id),
        value: Some(Value::U64(n)),
        quality: Quality::Good,
        key: life(1),
        seq: n,
        stamp: Stamp(n),
        coalesced: 0,
        alarm: Alarm::Ok,
    }
}

pub(crate) fn outage(source: &str, end: Option<OutageEnd>) -> Outage {
    Outage {
        id: OutageId(1),
        cpu: "cpu1".parse().unwrap(),
        source: source.parse().unwrap(),
        process: "demo-1".parse().unwrap(),
        key: life(1),
        cause: Cause::Signal { signal: 9, core: false },
        since: Stamp(5),
        end,
        found: None,
    }
}
