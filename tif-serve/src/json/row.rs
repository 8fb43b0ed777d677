//! The rows of the commands.

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value as Json, json};
use tif_core::model::significance::{Significance, Threshold};
use tif_core::model::{Changed, Kind, OutageEnd, Quality, Report, SetResult, Stamp, TestPointKind, ValueType};
use tif_core::wire;

use super::value::{bound, number};
use super::{VERSION, rfc3339, value};
use crate::importer::address;

/// A row of `ls`: what is declared of an instrument and how things stand with it.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are named as the declaration's are, in tif_core::model::Descriptor")]
pub struct DeclarationRow {
    pub v: u8,
    pub name: String,
    pub kind: &'static str,
    #[serde(rename = "type")]
    pub value_type: String,
    pub unit: String,
    pub help: String,
    pub cpu: String,
    pub process: String,
    pub incarnation: String,
    pub quality: &'static str,
    pub source: String,
    pub dimensions: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    pub range: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    pub step: Json,
    #[serde(skip_serializing_if = "Json::is_null")]
    pub default: Json,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub choices: Vec<String>,
    #[serde(skip_serializing_if = "Json::is_null")]
    pub limits: Json,
    /// Which changes are worth sending, if not any.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub significance: Json,
    /// Of a control: how often it was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memorized: Option<bool>,
    /// Of a control: whether the service has a say, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validated: Option<bool>,
    /// Of a dynamic indicator: how often it is computed while watched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub every_s: Option<f64>,
    /// Of a procedure: what it takes.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub arguments: Json,
    /// Of a procedure: what it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub returns: Option<String>,
    /// Of a procedure: how long it may take.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
    /// Of an in-path test point: what it captures.
    #[serde(skip_serializing_if = "Json::is_null")]
    pub fields: Json,
    pub declared: Json,
}

impl DeclarationRow {
    /// From the agent's row.
    pub fn new(row: &wire::ListRow) -> DeclarationRow {
        let a = &row.announcement;
        let d = &a.descriptor;
        let arguments = |list: &[tif_core::model::Argument]| {
            let range = |a: &tif_core::model::Argument| a.range.map_or(Json::Null, |(min, max)| json!([bound(min), bound(max)]));
            list.iter()
                .map(|a| json!({"name": a.name, "type": a.value_type.to_string(), "choices": a.choices, "range": range(a)}))
                .collect::<Json>()
        };
        let mut r = DeclarationRow {
            v: VERSION,
            name: address(a),
            kind: d.kind.word(),
            value_type: d.value_type.to_string(),
            unit: d.unit.to_string(),
            help: d.help.clone(),
            cpu: a.cpu.to_string(),
            process: a.process.to_string(),
            incarnation: row.incarnation.to_string(),
            quality: row.quality.word(),
            source: a.source.to_string(),
            dimensions: a.dims.iter().map(|(k, v)| (k.to_owned(), json!(v))).collect::<serde_json::Map<_, _>>().into(),
            range: d.range.map_or(Json::Null, |(min, max)| json!([bound(min), bound(max)])),
            step: d.step.map_or(Json::Null, bound),
            default: d.default.as_ref().map_or(Json::Null, |v| value(v, &d.choices)),
            choices: d.choices.clone(),
            limits: if d.limits.is_empty() { Json::Null } else { json!(d.limits) },
            significance: significance(&d.significance),
            version: None,
            memorized: None,
            validated: None,
            every_s: None,
            arguments: Json::Null,
            returns: None,
            timeout_s: None,
            fields: Json::Null,
            declared: json!(d.declared),
        };
        match &d.kind {
            Kind::Control { memorized, validated } => {
                (r.version, r.memorized, r.validated) = (Some(a.version.0), Some(*memorized), Some(*validated));
            }
            Kind::Dynamic { every } => r.every_s = Some(every.as_secs_f64()),
            Kind::TestPoint(TestPointKind::Procedure { arguments: list, returns, timeout, .. }) => {
                (r.arguments, r.returns, r.timeout_s) = (arguments(list), Some(returns.clone()), Some(timeout.as_secs_f64()));
            }
            Kind::TestPoint(TestPointKind::InPath { fields }) => r.fields = arguments(fields),
            Kind::Counter | Kind::Gauge | Kind::Histogram => {}
        }
        r
    }
}

/// Null for "any change". A threshold is `{"absolute": x}` or `{"relative": share}`, null for any.
fn significance(s: &Significance) -> Json {
    let threshold = |t: Threshold| match t {
        Threshold::Absolute(band) => json!({"absolute": number(band)}),
        Threshold::Relative(share) => json!({"relative": number(share)}),
    };
    let seconds = |t: Option<Duration>| t.map(|t| t.as_secs_f64());
    if *s == Significance::ANY {
        return Json::Null;
    }
    json!({
        "up": s.up.map(threshold),
        "down": s.down.map(threshold),
        "at_most_every_s": seconds(s.at_most_every),
        "at_least_every_s": seconds(s.at_least_every),
    })
}

/// A row of `get`: a value and how far to trust it.
// spec: INS-7, SRV-8
#[derive(Clone, Debug, Serialize)]
pub struct ValueRow {
    /// The format's version.
    pub v: u8,
    /// The instrument's address.
    pub name: String,
    /// The value.
    pub value: Json,
    /// `good`, `stale`, `outage` or `failed`.
    pub quality: &'static str,
    /// If it failed: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// If it is old: since when nobody stands behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// How long ago the value was picked up; none if it never was.
    pub age_ms: Option<u64>,
    /// The CPU it is from.
    pub cpu: String,
    /// The process it is from.
    pub process: String,
    /// Which life of it.
    pub incarnation: String,
    /// The report's number.
    pub seq: u64,
    /// `ok`, `warning` or `critical`.
    pub alarm: String,
}

impl ValueRow {
    /// From an instrument and its report.
    pub fn new(announcement: &wire::Announcement, report: &Report, now: Stamp) -> ValueRow {
        let (reason, since) = match &report.quality {
            Quality::Good => (None, None),
            Quality::Failed { reason } => (Some(reason.clone()), None),
            Quality::Stale { since } | Quality::Outage { since, .. } => (None, Some(rfc3339(*since))),
        };
        ValueRow {
            v: VERSION,
            name: address(announcement),
            value: report.value.as_ref().map_or(Json::Null, |v| value(v, &announcement.descriptor.choices)),
            quality: report.quality.word(),
            reason,
            since,
            age_ms: age_ms(report.stamp, now),
            cpu: announcement.cpu.to_string(),
            process: announcement.process.to_string(),
            incarnation: report.key.inc.to_string(),
            seq: report.seq,
            alarm: report.alarm.to_string(),
        }
    }
}

/// How long ago a value was picked up, in milliseconds; none if it never was.
pub(crate) fn age_ms(stamp: Stamp, now: Stamp) -> Option<u64> {
    (stamp != Stamp::default()).then(|| now.0.saturating_sub(stamp.0) / 1_000_000)
}

/// What became of a change.
#[derive(Clone, Debug, Serialize)]
pub struct SetRow {
    /// The format's version.
    pub v: u8,
    /// The change's id: ask again with it.
    pub request_id: String,
    /// `accepted`, or `checked` for a dry run.
    pub result: &'static str,
    /// The control's version with this change.
    pub version: u64,
    /// Whether another CPU has it, too.
    pub replicated: bool,
    /// The value before.
    pub old: Json,
    /// The value now.
    pub new: Json,
    /// The control's address.
    pub name: String,
    /// Whether the service has said that it runs with it.
    pub applied: bool,
    /// The recorded answer to an earlier request of the same id.
    pub repeated: bool,
    /// Only checked.
    pub dry_run: bool,
    /// It is taken back unless it is confirmed within this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confirm_within_ms: Option<u64>,
}

impl SetRow {
    /// From the agent's answer, of one of its controls.
    pub fn new(result: &SetResult, changed: &Changed, within: Option<Duration>) -> SetRow {
        SetRow {
            v: VERSION,
            request_id: result.request_id.to_string(),
            result: if result.dry_run { "checked" } else { "accepted" },
            version: changed.version.0,
            replicated: result.replicated,
            old: value(&changed.old, &changed.choices),
            new: value(&changed.new, &changed.choices),
            name: changed.name.clone(),
            applied: result.applied,
            repeated: result.repeated,
            dry_run: result.dry_run,
            confirm_within_ms: within.map(|within| u64::try_from(within.as_millis()).unwrap_or(u64::MAX)),
        }
    }
}

/// A row of `ps`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of tif_core::wire::ProcessRow")]
pub struct ProcessRow {
    pub v: u8,
    pub name: String,
    pub cpu: String,
    pub key: String,
    pub incarnation: String,
    pub state: &'static str,
    pub cause: Option<String>,
    pub role: &'static str,
    pub service: Option<String>,
    pub epoch: u64,
    pub number: Option<u32>,
    pub weight: Option<u8>,
    pub pid: Option<u32>,
    pub program: String,
    pub since_ms: u64,
    pub instruments: u64,
    pub subscriptions: u64,
    pub coalesced: u64,
}

impl ProcessRow {
    /// From the agent's row.
    pub fn new(row: &wire::ProcessRow) -> ProcessRow {
        ProcessRow {
            v: VERSION,
            name: row.name.to_string(),
            cpu: row.cpu.to_string(),
            key: row.key.to_string(),
            incarnation: row.key.inc.to_string(),
            state: row.state.word(),
            cause: row.cause.as_ref().map(ToString::to_string),
            role: row.role.word(),
            service: row.service.as_ref().map(ToString::to_string),
            epoch: row.epoch.0,
            number: row.number.map(|number| number.0),
            weight: row.weight.map(|weight| weight.0),
            pid: Some(row.pid).filter(|pid| *pid != 0),
            program: row.program.clone(),
            since_ms: row.since_ms,
            instruments: row.instruments,
            subscriptions: row.subscriptions,
            coalesced: row.coalesced,
        }
    }
}

/// An outage, as `outages` lists it and `watch` tells it.
// spec: OUT-4
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of tif_core::model::Outage and OutageEnd")]
pub struct OutageRow {
    pub v: u8,
    /// Only in a stream: `outage`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub event: Option<&'static str>,
    pub id: u64,
    pub cpu: String,
    pub source: String,
    pub process: String,
    pub key: String,
    pub cause: String,
    pub since: String,
    /// If nobody saw it begin: when the process was found dead. It was lost some time since `since`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// Whether it is over; the fields below are there only then.
    pub over: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_process: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gap_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remapped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub carried: Option<u64>,
    /// Only in a list: how long it has lasted, or did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasted_ms: Option<u64>,
    /// Only in a list: how many importers were told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub told: Option<u64>,
}

impl OutageRow {
    /// As `outages` lists it.
    pub fn listed(row: &wire::OutageRow) -> OutageRow {
        OutageRow { event: None, lasted_ms: Some(row.lasted_ms), told: Some(row.told), ..OutageRow::told(&row.outage) }
    }

    /// As an importer is told of it.
    pub fn told(outage: &tif_core::model::Outage) -> OutageRow {
        let end = outage.end.as_ref();
        let counts = end.and_then(OutageEnd::counts);
        OutageRow {
            v: VERSION,
            event: Some("outage"),
            id: outage.id.0,
            cpu: outage.cpu.to_string(),
            source: outage.source.to_string(),
            process: outage.process.to_string(),
            key: outage.key.to_string(),
            cause: outage.cause.to_string(),
            since: rfc3339(outage.since),
            found: outage.found.map(rfc3339),
            over: end.is_some(),
            new_process: end.map(|e| e.process.to_string()),
            new_key: end.map(|e| e.key.to_string()),
            at: end.map(|e| rfc3339(e.at)),
            gap_ms: end.map(|e| e.gap_ms),
            remapped: counts.map(|[remapped, _, _]| remapped),
            removed: counts.map(|[_, removed, _]| removed),
            added: counts.map(|[_, _, added]| added),
            carried: end.map(|e| e.carried),
            lasted_ms: None,
            told: None,
        }
    }
}

/// Whether a value of this type is a plain number, shown flush right.
pub(crate) fn is_number(value_type: ValueType) -> bool {
    matches!(value_type, ValueType::I64 | ValueType::U64 | ValueType::F64 | ValueType::Duration)
}

/// A row of `cpus`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of tif_core::wire::CpuRow")]
pub struct CpuRow {
    pub v: u8,
    pub node: u32,
    pub cpu: Option<String>,
    pub key: Option<String>,
    pub state: &'static str,
    pub silent_ms: u64,
    pub exporters: u64,
    pub votes: bool,
    pub workload: Option<u8>,
}

impl CpuRow {
    /// From the agent's row.
    pub fn new(row: &wire::CpuRow) -> CpuRow {
        CpuRow {
            v: VERSION,
            node: row.node.0,
            cpu: row.cpu.as_ref().map(ToString::to_string),
            key: row.key.map(|key| key.to_string()),
            state: row.state.word(),
            silent_ms: row.silent_ms,
            exporters: row.exporters,
            votes: row.votes,
            workload: row.workload,
        }
    }
}

/// A row of `groups`.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of tif_core::wire::GroupRow")]
pub struct GroupRow {
    pub v: u8,
    pub service: String,
    pub epoch: u64,
    pub in_sync: Vec<String>,
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the fields are those of tif_core::wire::GroupMember")]
pub struct GroupMember {
    pub cpu: String,
    pub process: String,
    pub key: String,
    pub incarnation: String,
    pub role: &'static str,
    pub number: Option<u32>,
    pub weight: u8,
    pub ready: bool,
    pub in_sync: bool,
}

impl GroupRow {
    /// From the agent's row.
    pub fn new(row: &wire::GroupRow) -> GroupRow {
        let member = |m: &wire::GroupMember| GroupMember {
            cpu: m.cpu.to_string(),
            process: m.process.to_string(),
            key: m.key.to_string(),
            incarnation: m.key.inc.to_string(),
            role: m.role.word(),
            number: m.number.map(|number| number.0),
            weight: m.weight.0,
            ready: m.ready,
            in_sync: m.in_sync,
        };
        GroupRow {
            v: VERSION,
            service: row.service.to_string(),
            epoch: row.epoch.0,
            in_sync: row.in_sync.iter().map(ToString::to_string).collect(),
            members: row.members.iter().map(member).collect(),
        }
    }
}
