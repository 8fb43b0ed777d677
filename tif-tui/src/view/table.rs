//! The table of instruments. Only the rows on the screen are looked at.
// spec: TUI-4

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use tif_core::model::Unit;

use super::text;
use super::theme::Theme;
use crate::app::{App, Pane};
use crate::model::fact::Now;
use crate::model::index::Column;
use crate::model::row::{Row, Trust};

/// Where each column starts and how wide it is, within an area of `width`.
fn columns(width: u16) -> Vec<(Column, u16, u16)> {
    let wide = width >= 76;
    let fixed = [
        (Column::Value, if wide { 16 } else { 11 }),
        (Column::Unit, if wide { 6 } else { 4 }),
        (Column::Quality, 7),
        (Column::Alarm, if wide { 10 } else { 2 }),
        (Column::Age, 5),
        (Column::Rate, if wide { 9 } else { 6 }),
    ];
    let name = width.saturating_sub(fixed.iter().map(|(_, width)| width + 1).sum());
    let mut x = 0;
    std::iter::once((Column::Name, name))
        .chain(fixed)
        .map(|(column, width)| {
            let start = x;
            x += width + 1;
            (column, start, width)
        })
        .collect()
}

/// The column that was clicked on, in the heading of a table in `area`.
pub(crate) fn column_at(area: Rect, x: u16) -> Option<Column> {
    let x = x.checked_sub(area.x + 1)?;
    columns(area.width.saturating_sub(2))
        .into_iter()
        .find(|(_, start, width)| (*start..=start + width).contains(&x))
        .map(|(column, ..)| column)
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme, now: Now) {
    let focused = app.ui.pane == Pane::Table;
    let rows = app.ui.index.rows();
    let scope = app.model().tree.name_of(app.scope());
    let mut title = if scope.is_empty() { "All".to_owned() } else { scope.clone() };
    if !app.ui.filter_text.is_empty() {
        title.push_str(&format!(" /{}", app.ui.filter_text));
    }
    title.push_str(&format!(" {} of {}", if rows.is_empty() { 0 } else { app.ui.table.cursor + 1 }, text::count(rows.len())));
    let inner = super::pane(frame, area, title, focused, theme);
    let columns = columns(inner.width);
    heading(frame, inner, &columns, app, theme);
    let down = app.model().link_down();
    let height = usize::from(inner.height.saturating_sub(1));
    for (i, id) in rows.iter().enumerate().skip(app.ui.table.top).take(height) {
        let y = inner.y + 1 + u16::try_from(i - app.ui.table.top).unwrap_or(0);
        // Gone since the order was last made.
        let Some(row) = app.model().row(*id) else { continue };
        let trust = row.trust(down);
        let mut style = theme.trust(&trust);
        if i == app.ui.table.cursor {
            style = style.patch(theme.selected(focused));
        }
        let cells = Cells { row, trust: &trust, scope: &scope, alone: app.model().tree.is_alone(row.node), now, down, theme };
        let mut spans = Vec::new();
        for (column, _, width) in &columns {
            let (text, patch) = cells.cell(*column, usize::from(*width));
            spans.push(Span::styled(text, style.patch(patch)));
            spans.push(Span::styled(" ", style));
        }
        frame.buffer_mut().set_line(inner.x, y, &Line::from(spans), inner.width);
    }
    if rows.is_empty() && inner.height > 2 {
        let text = if app.ui.filter_text.is_empty() { "no instruments yet" } else { "nothing fits the filter; Esc clears it" };
        frame.buffer_mut().set_stringn(inner.x, inner.y + 2, text, usize::from(inner.width), theme.dim());
    }
}

fn heading(frame: &mut Frame<'_>, inner: Rect, columns: &[(Column, u16, u16)], app: &App, theme: &Theme) {
    for (column, x, width) in columns {
        let mut title = match (column, *width < 7) {
            (Column::Quality, true) => "qual".to_owned(),
            (Column::Alarm, true) => "al".to_owned(),
            (column, _) => column.title().to_owned(),
        };
        if app.ui.sort.column == *column && usize::from(*width) > title.len() {
            title.push_str(match (app.ui.sort.reversed, theme.ascii) {
                (false, false) => "▾",
                (true, false) => "▴",
                (false, true) => " v",
                (true, true) => " ^",
            });
        }
        let width = usize::from(*width);
        let title = match column {
            Column::Value | Column::Age | Column::Rate => format!("{title:>width$}"),
            _ => title,
        };
        let style = if app.ui.sort.column == *column { theme.key() } else { theme.heading() };
        frame.buffer_mut().set_stringn(inner.x + x, inner.y, title, width, style);
    }
}

/// What the cells of one row show.
struct Cells<'a> {
    row: &'a Row,
    trust: &'a Trust,
    scope: &'a str,
    /// No other process exports for the same service: its name need not be said with each instrument.
    alone: bool,
    now: Now,
    down: Option<tif_core::model::Stamp>,
    theme: &'a Theme,
}

impl Cells<'_> {
    fn cell(&self, column: Column, width: usize) -> (String, Style) {
        let (row, theme) = (self.row, self.theme);
        let cut = theme.cut();
        let plain = Style::new();
        match column {
            Column::Name => {
                let whole = row.address.as_str();
                let at = format!("@{}", row.announcement.process);
                let address = whole.strip_suffix(&at).filter(|_| self.alone).unwrap_or(whole);
                let below = address.strip_prefix(self.scope).and_then(|rest| rest.strip_prefix('.')).unwrap_or(address);
                (text::left(text::name(below, width, cut), width), plain)
            }
            Column::Value => {
                let alarm = if self.trust.old_since().is_some() { plain } else { theme.alarm(row.alarm()) };
                (text::right(&text::head(&text::value(row, width), width, cut), width), alarm)
            }
            Column::Unit => {
                let unit = row.announcement.descriptor.unit;
                (text::left(text::head(if unit == Unit::ONE { "" } else { unit.as_str() }, width, cut), width), plain)
            }
            Column::Quality => (text::left(text::head(self.trust.word(), width, cut), width), plain),
            Column::Alarm => {
                let mark = theme.alarm_mark(row.alarm());
                let word = if width >= 8 && !mark.is_empty() { format!("{mark} {}", row.alarm()) } else { mark.to_owned() };
                (format!("{word:<width$}"), theme.alarm(row.alarm()))
            }
            Column::Age => {
                let old = if self.trust.old_since().is_some() { "~" } else { "" };
                let age = row.age(self.now, self.down).map_or_else(String::new, |age| format!("{old}{}", text::age(age)));
                (format!("{:>width$}", text::head(&age, width, cut)), plain)
            }
            Column::Rate => {
                let rate = row.rate_at(self.now, self.down).map_or_else(String::new, |rate| {
                    let short = text::short(rate);
                    if width >= 9 { format!("{short}/s") } else { short }
                });
                (format!("{:>width$}", text::head(&rate, width, cut)), plain)
            }
        }
    }
}
