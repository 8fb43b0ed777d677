//! An event as one line for people.

use tif_core::machine::confirm::End;
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Alarm, Cause, Outage, Quality, Stamp, Unit};

use super::screen::escaped;
use crate::importer::{Event, Link, Standing, address};
use crate::json::{notice_word, rfc3339};

/// The line; none for events that say nothing to a reader of values. Starts with the time of day in UTC.
pub(super) fn line(event: &Event, now: Stamp) -> Option<String> {
    let (at, text) = match event {
        Event::Announced(_) | Event::Synced { .. } => return None,
        Event::Report { announcement, report } => {
            let descriptor = &announcement.descriptor;
            let value = report.value.as_ref().map_or("-".to_owned(), |v| v.show(&descriptor.choices).to_string());
            let unit = if descriptor.unit == Unit::ONE { String::new() } else { format!(" {}", descriptor.unit) };
            let mut text = format!("{} = {value}{unit}", address(announcement));
            if report.quality != Quality::Good {
                text += &format!("  [{}]", report.quality);
            }
            if report.alarm != Alarm::Ok {
                text += &format!("  alarm: {}", report.alarm);
            }
            if report.coalesced > 0 {
                text += &format!("  (+{} coalesced)", report.coalesced);
            }
            (report.stamp, text)
        }
        Event::Standing { source, standing } => match standing {
            Standing::Live => (now, format!("{source}: live")),
            Standing::Stale { since } => (*since, format!("{source}: stale; its values are the last ones known")),
            Standing::Lost => (now, format!("{source}: lost; its values were stale for too long")),
        },
        Event::Removed(announcement) => (now, format!("{}: removed", address(announcement))),
        Event::Notice(notice) => {
            let key = notice.key.map_or(String::new(), |key| format!(" ({key})"));
            let what = match &notice.event {
                NoticeEvent::Died { cause } => format!("died: {cause}"),
                NoticeEvent::PresumedDead { cause } => format!("presumed dead: {cause}"),
                NoticeEvent::Role { role, epoch } => format!("is {} in term {epoch}", role.word()),
                other => notice_word(other).replace('_', " "),
            };
            (now, format!("process {}{key}: {what}", notice.name))
        }
        Event::Outage(outage) => outage_line(outage),
        Event::Link(Link::Up { cpu, .. }) => (now, format!("agent of {cpu}: connected")),
        Event::Link(Link::Down { since }) => (*since, "agent: connection lost".to_owned()),
        Event::Settled { request_id, end: End::Confirmed } => (now, format!("the change {request_id} stays")),
        Event::Settled { request_id, end: End::Reverted(cause) } => (now, format!("the change {request_id} was taken back: {cause}")),
        Event::Coalesced(count) => {
            (now, format!("{count} {} coalesced on the way", if *count == 1 { "report was" } else { "reports were" }))
        }
    };
    // Not even by a line of its own, that would look like another event.
    let text = escaped(&text);
    let at = rfc3339(at);
    let time = at.split_once('T').map_or(at.as_str(), |(_, time)| time);
    Some(format!("{time}  {text}"))
}

fn outage_line(outage: &Outage) -> (Stamp, String) {
    let Outage { id, source, process, key, cause, since, found, .. } = outage;
    let found = found.map(|at| format!(", found dead at {}", rfc3339(at))).unwrap_or_default();
    match &outage.end {
        None => (*since, format!("outage {id} of {source}: {process}#{} lost, {cause}{found}", key.inc)),
        Some(end) => {
            let counts = end.counts().map(|[remapped, removed, added]| format!("{remapped} remapped, {removed} removed, {added} added, "));
            // Of one that nobody saw begin there is nothing to be over.
            // spec: OUT-5
            let what = match cause {
                Cause::Handover => format!("handover {id} of {source} from {process}#{}", key.inc),
                _ => format!("outage {id} of {source} over"),
            };
            let text = format!(
                "{what}: {}#{} exports now, gap {}ms, {}{} changes carried over",
                end.process,
                end.key.inc,
                end.gap_ms,
                counts.unwrap_or_default(),
                end.carried
            );
            (end.at, text)
        }
    }
}
