//! A heading and rows of cells in columns: what the tabs have in common.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::text;
use super::theme::Theme;

/// A column: its heading and its width; the one of width 0 takes what is left.
pub(super) type Column = (&'static str, u16);

/// Draws the heading.
pub(super) fn heading(frame: &mut Frame<'_>, area: Rect, columns: &[Column], theme: &Theme) {
    let cells: Vec<String> = columns.iter().map(|(title, _)| (*title).to_owned()).collect();
    row(frame, area, 0, columns, &cells, theme.heading(), theme);
}

/// Draws a row `line` lines below the top of `area`.
pub(super) fn row(frame: &mut Frame<'_>, area: Rect, line: u16, columns: &[Column], cells: &[String], style: Style, theme: &Theme) {
    let fixed: u16 = columns.iter().map(|(_, width)| width + 1).sum();
    let mut spans = Vec::new();
    for ((_, width), cell) in columns.iter().zip(cells) {
        let width = usize::from(if *width == 0 { (area.width + 1).saturating_sub(fixed) } else { *width });
        spans.push(Span::styled(text::left(text::head(cell, width, theme.cut()), width + 1), style));
    }
    if line < area.height {
        frame.buffer_mut().set_line(area.x, area.y + line, &Line::from(spans), area.width);
    }
}

/// Draws lines, cut at the width.
pub(super) fn lines(frame: &mut Frame<'_>, area: Rect, lines: &[String], style: Style) {
    for (i, line) in lines.iter().take(usize::from(area.height)).enumerate() {
        frame.buffer_mut().set_stringn(area.x, area.y + u16::try_from(i).unwrap_or(0), line, usize::from(area.width), style);
    }
}
