//! What the modelled services declare: one instrument of each kind that the agent treats differently.

use std::time::Duration;

use tif_core::model::descriptor::Argument;
use tif_core::model::significance::Threshold;
use tif_core::model::{Descriptor, Dimensions, Kind, Limits, Number, Significance, TestPointKind, Value, ValueType};

/// A declared instrument and its first value.
pub type Declaration = (Descriptor, Dimensions, Value);

fn descriptor(path: &str, kind: Kind, value_type: ValueType) -> Descriptor {
    Descriptor { help: "Simulated.".into(), ..Descriptor::bare(path.parse().unwrap_or_else(|_| unreachable!("a name")), kind, value_type) }
}

/// A control of whole numbers from 1 to 4096.
pub fn control(path: &str, memorized: bool, validated: bool) -> Declaration {
    let mut d = descriptor(path, Kind::Control { memorized, validated }, ValueType::U64);
    d.range = Some((Number::Whole(1), Number::Whole(4096)));
    d.default = Some(Value::U64(64));
    (d, Dimensions::NONE, Value::U64(64))
}

/// What comes and goes at run time.
pub fn instance(id: u64) -> Declaration {
    let d = descriptor("session.bytes", Kind::Gauge, ValueType::U64);
    let dims = Dimensions::new([("id", id.to_string())]).unwrap_or_else(|_| unreachable!("dimensions"));
    (d, dims, Value::U64(0))
}

/// What every service declares from the start.
pub fn of_service() -> Vec<Declaration> {
    let none = || Dimensions::NONE;
    let gauge = |path: &str, significance: Significance| {
        let mut d = descriptor(path, Kind::Gauge, ValueType::F64);
        d.significance = significance;
        d
    };
    let band = Some(Threshold::Absolute(10.0));
    let mut level = gauge("queue.level", Significance { up: band, down: band, ..Significance::ANY });
    level.limits = Limits { warn_above: Some(60.0), critical_above: Some(80.0), hysteresis: 5.0, ..Limits::default() };
    let seldom = Significance { at_most_every: Some(Duration::from_millis(100)), ..Significance::ANY };
    let often = Significance { at_least_every: Some(Duration::from_millis(700)), ..Significance::ANY };
    let argument = Argument { name: "count".into(), value_type: ValueType::U64, choices: Vec::new(), range: None };
    let timeout = Duration::from_secs(1);
    let procedure = TestPointKind::Procedure { arguments: vec![argument], returns: "u64".into(), timeout, idempotent: false };
    vec![
        (descriptor("orders.total", Kind::Counter, ValueType::U64), none(), Value::U64(0)),
        (gauge("queue.depth", Significance::ANY), none(), Value::F64(0.0)),
        (level, none(), Value::F64(0.0)),
        (gauge("queue.seldom", seldom), none(), Value::F64(0.0)),
        (gauge("queue.often", often), none(), Value::F64(0.0)),
        (descriptor("state", Kind::Gauge, ValueType::Text), none(), Value::Text("idle".into())),
        (descriptor("memory.used", Kind::Dynamic { every: Duration::from_millis(300) }, ValueType::U64), none(), Value::U64(0)),
        control("batch", true, false),
        control("limit", true, true),
        control("scratch", false, false),
        (descriptor("fault.write", Kind::TestPoint(TestPointKind::InPath { fields: Vec::new() }), ValueType::U64), none(), Value::U64(0)),
        (descriptor("flush", Kind::TestPoint(procedure), ValueType::Text), none(), Value::Text(String::new())),
    ]
}
