//! The detail of the selected instrument: its chart, its value, everything that is declared of it.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::Style;
use tif_core::model::significance::Threshold;
use tif_core::model::{Alarm, Descriptor, Kind, Significance, Stamp, TestPointKind, Unit, Value};

use super::theme::Theme;
use super::{chart, text};
use crate::app::{App, Pane};
use crate::model::fact::Now;
use crate::model::row::{Row, Trust};

/// The facts' part and the chart's part of the pane, without its border.
pub(crate) fn split(area: Rect) -> (Rect, Rect) {
    let inner = Rect { x: area.x + 1, y: area.y + 1, width: area.width.saturating_sub(2), height: area.height.saturating_sub(2) };
    if inner.width >= 56 && inner.height < 20 {
        let [facts, _, chart] = Layout::horizontal([Constraint::Percentage(50), Constraint::Length(1), Constraint::Fill(1)]).areas(inner);
        (facts, chart)
    } else {
        let height = (inner.height / 3).clamp(0, 14);
        let [chart, facts] = Layout::vertical([Constraint::Length(height), Constraint::Fill(1)]).areas(inner);
        (facts, chart)
    }
}

/// One line of the facts.
struct Fact {
    text: String,
    style: Style,
}

/// How many lines the facts of the selected instrument take.
pub(crate) fn lines(app: &App) -> usize {
    let Some(area) = app.areas().detail else { return 0 };
    let width = usize::from(split(area).0.width);
    // The moment changes words, hardly ever lines.
    let now = Now { mono: tif_core::model::Time::ZERO, wall: Stamp(0) };
    let plain = Theme { color: false, ascii: true };
    app.selected_row().map_or(0, |row| facts(row, app, now, width, &plain).len())
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme, now: Now) {
    let focused = app.ui.pane == Pane::Detail;
    let row = app.selected_row();
    let room = usize::from(area.width).saturating_sub(4);
    let title = row.map_or_else(|| "Detail".to_owned(), |row| text::tail(&row.address, room, theme.cut()));
    super::pane(frame, area, title, focused, theme);
    let (Some(row), Some(id)) = (row, app.ui.selected) else { return };
    let (left, right) = split(area);
    chart::draw(frame, right, app, id, theme, now);
    let facts = facts(row, app, now, usize::from(left.width), theme);
    for (i, fact) in facts.iter().skip(app.ui.detail.cursor).take(usize::from(left.height)).enumerate() {
        let y = left.y + u16::try_from(i).unwrap_or(0);
        frame.buffer_mut().set_stringn(left.x, y, &fact.text, usize::from(left.width), fact.style);
    }
}

fn facts(row: &Row, app: &App, now: Now, width: usize, theme: &Theme) -> Vec<Fact> {
    let mut facts: Vec<Fact> = Vec::new();
    let plain = Style::new();
    let mut add = |text: String, style: Style| {
        for (i, line) in text::wrap(&text, width.saturating_sub(2)).into_iter().enumerate() {
            facts.push(Fact { text: if i == 0 { line } else { format!("  {line}") }, style });
        }
    };
    let (a, d) = (&row.announcement, &row.announcement.descriptor);
    let down = app.model().link_down();
    let trust = row.trust(down);
    let unit = if d.unit == Unit::ONE { String::new() } else { format!(" {}", d.unit) };
    let value_style = if trust.old_since().is_some() { theme.dim() } else { theme.heading().patch(theme.alarm(row.alarm())) };
    add(format!("{}{unit}", text::value(row, width.saturating_sub(2 + unit.len()))), value_style);
    add(standing(&trust, row, now), theme.trust(&trust));
    if row.alarm() != Alarm::Ok {
        add(format!("{} {}", theme.alarm_mark(row.alarm()), row.alarm()), theme.alarm(row.alarm()));
    }
    if let Some(Value::Histogram(histogram)) = row.value()
        && let Some(mean) = histogram.mean()
    {
        add(format!("{} values, mean {}{unit}", histogram.count, text::short(mean)), plain);
    }
    add(d.help.clone(), plain);
    let (kind, value_type) = (d.kind.word(), d.value_type.to_string());
    let of_type = if kind == value_type { String::new() } else { format!(" of {value_type}") };
    add(format!("{kind}{of_type}{}", kind_facts(&d.kind)), plain);
    for line in declared(d) {
        add(line, plain);
    }
    if d.is_control() {
        add(format!("version {}", a.version), plain);
    }
    for (key, value) in a.dims.iter() {
        add(format!("{key} = {value}"), plain);
    }
    if !d.dimensions.is_empty() {
        add(format!("dimensions {}", d.dimensions.join(", ")), plain);
    }
    add(format!("process {} on {}, source {}", a.process, a.cpu, a.source), plain);
    if let Some(report) = &row.report {
        add(format!("key {}  seq {}", report.key, report.seq), plain);
        add(format!("picked up {}", text::moment(report.stamp)), plain);
        if report.coalesced > 0 {
            add(format!("stands for {} more changes", report.coalesced), plain);
        }
    }
    let at = &d.declared;
    if !at.crate_name.is_empty() {
        add(format!("declared in {} {} at {}:{}", at.crate_name, at.version, at.file, at.line), theme.dim());
    }
    facts
}

/// How far the value can be trusted, and from when it is.
// spec: SRV-8
fn standing(trust: &Trust, row: &Row, now: Now) -> String {
    let since = |since: Stamp| format!("since {} ({} ago)", text::clock(since), text::age(now.since(since)));
    match (trust, &row.report) {
        (Trust::Good, Some(report)) => format!("good, unchanged for {}", text::age(now.since(report.stamp))),
        (Trust::Good, None) | (Trust::Nothing, _) => "no value yet".to_owned(),
        (Trust::Failed(reason), _) => format!("failed: {reason}"),
        (Trust::Stale(at), _) => format!("~ stale {}", since(*at)),
        (Trust::Outage(at), _) => format!("~ outage {}", since(*at)),
        (Trust::Lost(at), _) => format!("~ lost {}", since(*at)),
    }
}

fn kind_facts(kind: &Kind) -> String {
    match kind {
        Kind::Dynamic { every } => format!(", computed every {every:?} while watched"),
        Kind::Control { memorized, validated } => {
            let memorized = if *memorized { ", memorized" } else { "" };
            format!("{memorized}{}", if *validated { ", the service validates it" } else { "" })
        }
        Kind::TestPoint(TestPointKind::InPath { fields }) if !fields.is_empty() => {
            let fields: Vec<String> = fields.iter().map(|field| format!("{}: {}", field.name, field.value_type)).collect();
            format!(", fields {}", fields.join(", "))
        }
        Kind::TestPoint(TestPointKind::Procedure { arguments, returns, timeout, idempotent }) => {
            let arguments: Vec<String> = arguments.iter().map(|argument| format!("{}: {}", argument.name, argument.value_type)).collect();
            let again = if *idempotent { ", idempotent" } else { "" };
            format!(", ({}) -> {returns}, within {timeout:?}{again}", arguments.join(", "))
        }
        _ => String::new(),
    }
}

/// What the declaration says of the values.
fn declared(d: &Descriptor) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(d.range.map(|(min, max)| format!("range {min} to {max}")));
    lines.extend(d.step.map(|step| format!("step {step}")));
    lines.extend(d.default.as_ref().map(|default| format!("default {}", default.show(&d.choices))));
    if !d.choices.is_empty() {
        lines.push(format!("choices {}", d.choices.join(", ")));
    }
    let limits = [
        ("critical from", d.limits.critical_above),
        ("warning from", d.limits.warn_above),
        ("warning down from", d.limits.warn_below),
        ("critical down from", d.limits.critical_below),
    ];
    let mut limits: Vec<String> = limits.iter().filter_map(|(words, limit)| Some(format!("{words} {}", (*limit)?))).collect();
    if !limits.is_empty() {
        limits.push(format!("hysteresis {}", d.limits.hysteresis));
        lines.push(limits.join(", "));
    }
    lines.push(format!("significant: {}", significant(&d.significance)));
    if d.is_control() {
        let who = if d.writers.is_empty() { "whoever the policy lets".to_owned() } else { d.writers.join(", ") };
        lines.push(format!("changed by {who}"));
    }
    lines
}

fn significant(s: &Significance) -> String {
    let threshold = |threshold: Threshold| match threshold {
        Threshold::Absolute(band) => format!("{band}"),
        Threshold::Relative(share) => format!("{} %", share * 100.0),
    };
    let mut parts = match (s.up, s.down) {
        (None, None) => vec!["any change".to_owned()],
        (up, down) if up == down => up.into_iter().map(|band| format!("by {}", threshold(band))).collect(),
        (up, down) => {
            let up = up.map_or_else(|| "any way up".to_owned(), |band| format!("up by {}", threshold(band)));
            let down = down.map_or_else(|| "any way down".to_owned(), |band| format!("down by {}", threshold(band)));
            vec![up, down]
        }
    };
    parts.extend(s.at_most_every.map(|every| format!("at most every {every:?}")));
    parts.extend(s.at_least_every.map(|every| format!("at least every {every:?}")));
    parts.join(", ")
}
