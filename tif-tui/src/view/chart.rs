//! The chart of the selected instrument: a curve over the last minutes, or the bars of a distribution.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Axis, Chart, Dataset, GraphType, Widget};
use tif_core::model::histogram::{BUCKETS, Histogram, bounds_of};
use tif_core::model::{Time, Value};

use super::text;
use super::theme::Theme;
use crate::app::App;
use crate::model::fact::Now;
use crate::model::row::RowId;

/// How much time a curve covers, in seconds: the first that the oldest point fits.
const SPANS: [f64; 4] = [30.0, 60.0, 120.0, 300.0];

/// Draws what suits the value.
pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, id: RowId, theme: &Theme, now: Now) {
    let Some(row) = app.model().row(id) else { return };
    let old = row.trust(app.model().link_down()).old_since().is_some();
    let style = if old { theme.dim() } else { theme.plot() };
    match row.value() {
        Some(Value::Histogram(histogram)) => bars(frame, area, histogram, theme, style),
        Some(Value::Text(_)) | None => {}
        Some(_) => curve(frame, area, app, id, old, theme, style, now),
    }
}

#[expect(clippy::too_many_arguments, reason = "all of them are what is drawn, where and how; a struct would only repeat them")]
fn curve(frame: &mut Frame<'_>, area: Rect, app: &App, id: RowId, old: bool, theme: &Theme, style: Style, now: Now) {
    if area.width < 16 || area.height < 4 {
        return;
    }
    let points: Vec<(Time, Option<f64>)> =
        app.model().histories.of(id).map(|point| (point.at, point.value.filter(|v| v.is_finite()))).collect();
    let Some((first, _)) = points.first() else { return };
    let oldest = now.mono.since(*first).as_secs_f64();
    let span = SPANS.into_iter().find(|span| *span >= oldest).unwrap_or(SPANS[SPANS.len() - 1]);
    let x = |at: Time| -now.mono.since(at).as_secs_f64();
    // Steps, not slopes: a value holds until the next one comes. A gap ends the line.
    let mut lines: Vec<Vec<(f64, f64)>> = vec![Vec::new()];
    let mut last: Option<f64> = None;
    for (at, value) in points.iter().copied().chain((!old).then_some((now.mono, None))) {
        if let (Some(last), Some(line)) = (last, lines.last_mut()) {
            line.push((x(at).max(-span), last));
        }
        match (value, lines.last_mut()) {
            (Some(value), Some(line)) => line.push((x(at), value)),
            (None, Some(line)) if !line.is_empty() => lines.push(Vec::new()),
            _ => {}
        }
        last = value;
    }
    lines.iter_mut().for_each(|line| line.retain(|(x, _)| *x >= -span));
    let all = || lines.iter().flatten().map(|(_, y)| *y);
    let (low, high) = (all().fold(f64::INFINITY, f64::min), all().fold(f64::NEG_INFINITY, f64::max));
    if !low.is_finite() {
        return;
    }
    let (low, high) = if low == high { (low - 1.0, high + 1.0) } else { (low, high) };
    let datasets = lines
        .iter()
        .filter(|line| !line.is_empty())
        .map(|line| Dataset::default().marker(theme.marker()).graph_type(GraphType::Line).style(style).data(line))
        .collect();
    let labels = |texts: [String; 2]| texts.map(|text| Span::styled(text, theme.dim()));
    let x_axis = Axis::default()
        .bounds([-span, 0.0])
        .labels(labels([format!("-{}", text::age(std::time::Duration::from_secs_f64(span))), "now".to_owned()]));
    let y_axis = Axis::default().bounds([low, high]).labels(labels([text::short(low), text::short(high)]));
    Chart::new(datasets).x_axis(x_axis.style(theme.dim())).y_axis(y_axis.style(theme.dim())).render(area, frame.buffer_mut());
}

/// One bar per line, over equal ranges of the logarithm of the value; quantiles below.
fn bars(frame: &mut Frame<'_>, area: Rect, histogram: &Histogram, theme: &Theme, style: Style) {
    let (Some((first, _)), Some((last, _))) = (histogram.buckets.first(), histogram.buckets.last()) else { return };
    let quantiles = text::wrap(&quantiles(histogram), usize::from(area.width));
    let room = usize::from(area.height).saturating_sub(quantiles.len());
    if room == 0 {
        return;
    }
    let span = usize::from(last - first) + 1;
    let per_bar = span.div_ceil(room.min(span));
    let mut bars: Vec<(f64, u64)> = Vec::new();
    for from in (usize::from(*first)..=usize::from(*last)).step_by(per_bar) {
        let to = from + per_bar;
        let count = histogram.buckets.iter().filter(|(i, _)| (from..to).contains(&usize::from(*i))).map(|(_, n)| *n).sum();
        bars.push((bounds_of(to.min(BUCKETS)).0 as f64 * histogram.scale, count));
    }
    let most = bars.iter().map(|(_, n)| *n).max().unwrap_or(1).max(1);
    let width = usize::from(area.width).saturating_sub(22);
    for (i, (below, count)) in bars.iter().enumerate().take(room) {
        let len = (*count as f64 / most as f64 * width as f64).ceil() as usize;
        let line = Line::from(vec![
            Span::raw(format!("< {:<9} ", text::short(*below))),
            Span::styled(theme.bar().repeat(len.min(width)), style),
            Span::raw(format!(" {}", text::short(*count as f64))),
        ]);
        frame.buffer_mut().set_line(area.x, area.y + u16::try_from(i).unwrap_or(0), &line, area.width);
    }
    let at = area.y + u16::try_from(bars.len().min(room)).unwrap_or(0);
    for (line, y) in quantiles.iter().zip(at..area.bottom()) {
        frame.buffer_mut().set_stringn(area.x, y, line, usize::from(area.width), theme.heading());
    }
}

/// `p50 1.2 p90 3.4 p99 5.6 max 7.8`.
fn quantiles(histogram: &Histogram) -> String {
    [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)]
        .into_iter()
        .filter_map(|(name, q)| Some(format!("{name} {}", text::short(histogram.quantile(q)?))))
        .collect::<Vec<_>>()
        .join("  ")
}
