//! Events as JSON lines, each with `"event"`.

use serde::Serialize;
use serde_json::{Value as Json, json};
use tif_core::machine::confirm::End;
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Notice, Stamp};

use super::{OutageRow, VERSION, ValueRow, rfc3339};
use crate::importer::{Event, Link, Standing, address};

/// One line of a stream.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum EventLine {
    /// `"event":"report"`: the fields of `get`, and how many changes it stands for beyond itself.
    Report {
        /// Always `report`.
        event: &'static str,
        /// The value.
        #[serde(flatten)]
        row: Box<ValueRow>,
        /// When it was picked up.
        at: String,
        /// How many significant changes it stands for beyond itself.
        coalesced: u64,
    },
    /// `"event":"outage"`.
    Outage(Box<OutageRow>),
    /// `notice`, `standing`, `removed`, `link` or `coalesced`.
    Other(Json),
}

/// An event as a line; none for those that say nothing to a reader of values (announcements, end marks).
pub fn event(event: &Event, now: Stamp) -> Option<EventLine> {
    Some(match event {
        Event::Announced(_) | Event::Synced { .. } => return None,
        Event::Report { announcement, report } => EventLine::Report {
            event: "report",
            row: Box::new(ValueRow::new(announcement, report, now)),
            at: rfc3339(report.stamp),
            coalesced: report.coalesced,
        },
        Event::Outage(outage) => EventLine::Outage(Box::new(OutageRow::told(outage))),
        Event::Notice(notice) => EventLine::Other(notice_line(notice)),
        Event::Standing { source, standing } => {
            let since = match standing {
                Standing::Stale { since } => Some(rfc3339(*since)),
                Standing::Live | Standing::Lost => None,
            };
            EventLine::Other(json!({"v": VERSION, "event": "standing", "source": source, "standing": standing.word(), "since": since}))
        }
        Event::Removed(announcement) => EventLine::Other(json!({"v": VERSION, "event": "removed", "name": address(announcement)})),
        Event::Link(Link::Up { cpu, agent }) => {
            EventLine::Other(json!({"v": VERSION, "event": "link", "link": "up", "cpu": cpu, "agent": agent.to_string()}))
        }
        Event::Link(Link::Down { since }) => {
            EventLine::Other(json!({"v": VERSION, "event": "link", "link": "down", "since": rfc3339(*since)}))
        }
        Event::Settled { request_id, end } => {
            let cause = if let End::Reverted(cause) = end { Some(cause.to_string()) } else { None };
            let (id, stays) = (request_id.to_string(), *end == End::Confirmed);
            EventLine::Other(json!({"v": VERSION, "event": "settled", "request_id": id, "confirmed": stays, "cause": cause}))
        }
        Event::Coalesced(count) => EventLine::Other(json!({"v": VERSION, "event": "coalesced", "count": count})),
    })
}

fn notice_line(notice: &Notice) -> Json {
    let mut line = json!({
        "v": VERSION,
        "event": "notice",
        "process": notice.name,
        "key": notice.key.map(|k| k.to_string()),
        "what": notice_word(&notice.event),
    });
    match &notice.event {
        NoticeEvent::Died { cause } | NoticeEvent::PresumedDead { cause } => line["cause"] = json!(cause.to_string()),
        NoticeEvent::Role { role, epoch } => (line["role"], line["epoch"]) = (json!(role.word()), json!(epoch)),
        _ => {}
    }
    line
}

/// What a notice tells, in a word.
pub(crate) fn notice_word(event: &NoticeEvent) -> &'static str {
    match event {
        NoticeEvent::NotAvailable => "not_available",
        NoticeEvent::Born => "born",
        NoticeEvent::Died { .. } => "died",
        NoticeEvent::PresumedDead { .. } => "presumed_dead",
        NoticeEvent::Unreachable => "unreachable",
        NoticeEvent::Reachable => "reachable",
        NoticeEvent::Unregistered => "unregistered",
        NoticeEvent::Role { .. } => "role",
    }
}
