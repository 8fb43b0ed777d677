//! The outages: who was lost, why, since when, and how it ended.
// spec: OUT-4, TUI-1

use ratatui::Frame;
use ratatui::style::Style;
use tif_core::model::{Cause, Outage};

use super::areas::Areas;
use super::theme::Theme;
use super::{grid, text};
use crate::app::{App, Tone};
use crate::model::fact::Now;
use crate::model::outages::Standing;

const COLUMNS: [grid::Column; 6] = [("", 1), ("since", 9), ("source", 16), ("process", 14), ("gap", 8), ("cause", 0)];

pub(super) fn draw(frame: &mut Frame<'_>, areas: &Areas, app: &App, theme: &Theme, now: Now) {
    let all: Vec<(&Outage, Standing)> = app.model().outages().collect();
    let open = app.model().outages_open();
    let list = app.ui.outages;
    let inner = super::pane(frame, areas.list, format!("Outages: {open} open, {} others", all.len() - open), true, theme);
    grid::heading(frame, inner, &COLUMNS, theme);
    for (i, (outage, standing)) in all.iter().enumerate().skip(list.top).take(usize::from(inner.height.saturating_sub(1))) {
        let (mark, gap) = match (&outage.end, standing) {
            (Some(end), _) => ("", milliseconds(end.gap_ms)),
            (None, Standing::Open) => ("~", text::age(now.since(outage.since))),
            (None, _) => ("?", "?".to_owned()),
        };
        let cells = [
            mark.to_owned(),
            text::clock(outage.since),
            outage.source.to_string(),
            outage.process.to_string(),
            gap,
            outage.cause.to_string(),
        ];
        let mut style = if *standing == Standing::Open { theme.tone(Tone::Bad) } else { Style::new() };
        if i == list.cursor {
            style = style.patch(theme.selected(true));
        }
        grid::row(frame, inner, 1 + u16::try_from(i - list.top).unwrap_or(0), &COLUMNS, &cells, style, theme);
    }
    let title = all.get(list.cursor).map_or_else(|| "No outage is known".to_owned(), |(outage, _)| format!("Outage {}", outage.id));
    let inner = super::pane(frame, areas.info, title, false, theme);
    let Some((outage, standing)) = all.get(list.cursor) else { return };
    grid::lines(frame, inner, &facts(outage, *standing, now), Style::new());
}

fn facts(outage: &Outage, standing: Standing, now: Now) -> Vec<String> {
    let mut lines = vec![
        format!("{} on {}: process {} with key {} {}", outage.source, outage.cpu, outage.process, outage.key, went(&outage.cause).0),
        format!("cause: {}", outage.cause),
        format!("since {}", text::moment(outage.since)),
    ];
    match &outage.end {
        None if standing == Standing::Forgotten => {
            lines.push("the agent that told of it was restarted: how it ended is not known".to_owned());
        }
        None => lines.push(format!("it lasts, {} by now; values are the last known", text::age(now.since(outage.since)))),
        Some(end) => {
            lines.push(format!("until {}, a gap of {}", text::moment(end.at), milliseconds(end.gap_ms)));
            lines.push(format!("now: process {} with key {}", end.process, end.key));
            let counts = end.counts().map(|[remapped, removed, added]| format!("{remapped} remapped, {removed} removed, {added} added"));
            let counts = counts.unwrap_or_else(|| "not counted, the agent was restarted meanwhile".to_owned());
            lines.push(format!("instruments: {counts}; changes carried over: {}", end.carried));
        }
    }
    lines
}

/// How a process went, in a sentence and in a line: one that left was not lost, though somebody is to follow it.
fn went(cause: &Cause) -> (&'static str, String) {
    match cause {
        Cause::Unregistered => ("has left", cause.to_string()),
        _ => ("was lost", format!("lost, {cause}")),
    }
}

/// One line for the moment when it arrives.
pub(crate) fn headline(outage: &Outage) -> (String, Tone) {
    match &outage.end {
        None => (format!("outage of {}: {} {}", outage.source, outage.process, went(&outage.cause).1), Tone::Bad),
        Some(end) => {
            let remapped = end.counts().map(|[remapped, _, _]| format!("{remapped} remapped, "));
            let text = format!(
                "{} is back: {} exports after {}; {}{} changes carried over",
                outage.source,
                end.process,
                milliseconds(end.gap_ms),
                remapped.unwrap_or_default(),
                end.carried
            );
            (text, Tone::Good)
        }
    }
}

/// A gap as exactly as it matters.
fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{:.1}s", ms as f64 / 1e3),
        _ => text::age(std::time::Duration::from_millis(ms)),
    }
}
