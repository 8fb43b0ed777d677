//! The first lines: the CPU, the link, what needs attention; then the tabs.

use ratatui::Frame;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;
use tif_core::model::Alarm;

use super::areas::Areas;
use super::text;
use super::theme::Theme;
use crate::app::{App, Tone};
use crate::keymap::Tab;
use crate::model::fact::{Link, Now};

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme, now: Now, areas: &Areas) {
    let model = app.model();
    let shown = app.shown_now(now);
    let bad = theme.tone(Tone::Bad);
    let cpu = model.cpu.as_ref().map_or("?", |cpu| cpu.as_str());
    let mut spans = vec![Span::styled(format!("TIF {cpu}"), theme.heading())];
    match &model.link {
        Link::Up { agent, .. } => spans.push(Span::raw(format!("  up, agent {agent}"))),
        Link::Down { since } => {
            let text = format!("  LINK DOWN {} (since {})", text::age(shown.since(*since)), text::clock(*since));
            spans.push(Span::styled(text, bad));
        }
    }
    let tally = model.tally();
    let open = model.outages_open();
    if open > 0 {
        spans.push(Span::styled(format!("  {open} outage{}", if open == 1 { "" } else { "s" }), bad));
    }
    for (alarm, count) in model.alarms() {
        if count > 0 {
            spans.push(Span::styled(format!("  {} {}", theme.alarm_mark(alarm), text::count(count)), theme.alarm(alarm)));
        }
    }
    if tally.old > 0 {
        spans.push(Span::styled(format!("  ~ {} old", text::count(tally.old)), theme.alarm(Alarm::Warning)));
    }
    spans.push(Span::raw(format!("  {} instruments", text::count(tally.rows))));
    if model.coalesced > 0 {
        spans.push(Span::styled(format!("  coalesced {}", model.coalesced), theme.dim()));
    }
    Line::from(spans).render(areas.header, frame.buffer_mut());
    let mut spans = Vec::new();
    for (tab, title) in titles(app) {
        spans.push(Span::styled(title, if tab == app.ui.tab { theme.selected(true) } else { theme.dim() }));
        spans.push(Span::raw(" "));
    }
    Line::from(spans).render(areas.tabs, frame.buffer_mut());
    let mut modes = Vec::new();
    if let Some(frozen) = app.frozen_at() {
        modes.push(Span::styled(format!("FROZEN {}", text::clock(frozen.wall)), bad));
    }
    if app.ui.read_only {
        modes.push(Span::styled(" READ-ONLY", theme.heading()));
    }
    Line::from(modes).right_aligned().render(areas.tabs, frame.buffer_mut());
}

/// Each tab with its title, and how many there are of what it lists.
fn titles(app: &App) -> Vec<(Tab, String)> {
    let model = app.model();
    Tab::ALL
        .iter()
        .enumerate()
        .map(|(i, tab)| {
            let count = match tab {
                Tab::Instruments => 0,
                Tab::Outages => model.outages_count(),
                Tab::Processes => model.processes.len(),
                Tab::Actions => app.log.len(),
            };
            let count = if count > 0 { format!(" ({count})") } else { String::new() };
            (*tab, format!(" {} {}{count} ", i + 1, tab.title()))
        })
        .collect()
}

/// The tab that was clicked on.
pub(crate) fn tab_at(app: &App, x: u16) -> Option<Tab> {
    let mut from = 0usize;
    for (tab, title) in titles(app) {
        let to = from + title.len();
        if (from..to).contains(&usize::from(x)) {
            return Some(tab);
        }
        from = to + 1;
    }
    None
}
