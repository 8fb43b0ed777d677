//! What was done from here: the command line that does the same, and what came of it.
// spec: TUI-2

use ratatui::Frame;
use ratatui::style::Style;

use super::areas::Areas;
use super::theme::Theme;
use super::{grid, text};
use crate::app::{App, Outcome, Tone};

const COLUMNS: [grid::Column; 3] = [("at", 9), ("outcome", 9), ("command line", 0)];

pub(super) fn draw(frame: &mut Frame<'_>, areas: &Areas, app: &App, theme: &Theme) {
    let list = app.ui.actions;
    let inner = super::pane(frame, areas.list, format!("Actions: {}", app.log.len()), true, theme);
    grid::heading(frame, inner, &COLUMNS, theme);
    for (i, entry) in app.log.entries().enumerate().skip(list.top).take(usize::from(inner.height.saturating_sub(1))) {
        let (word, tone) = match &entry.outcome {
            Outcome::UnderWay => ("...", Tone::Plain),
            Outcome::Done(_) => ("done", Tone::Good),
            Outcome::Failed(_) => ("not done", Tone::Bad),
            Outcome::Unknown(_) => ("unknown", Tone::Bad),
        };
        let mut style = theme.tone(tone);
        if i == list.cursor {
            style = style.patch(theme.selected(true));
        }
        let cells = [text::clock(entry.at), word.to_owned(), entry.line.clone()];
        grid::row(frame, inner, 1 + u16::try_from(i - list.top).unwrap_or(0), &COLUMNS, &cells, style, theme);
    }
    let inner = super::pane(frame, areas.info, "Outcome".to_owned(), false, theme);
    let Some(entry) = app.log.entries().nth(list.cursor) else {
        grid::lines(frame, inner, &["Nothing was done from here yet.".to_owned()], theme.dim());
        return;
    };
    let width = usize::from(inner.width);
    let mut lines = text::wrap(&entry.line, width);
    match &entry.outcome {
        Outcome::UnderWay => lines.push("under way".to_owned()),
        Outcome::Done(text) | Outcome::Failed(text) | Outcome::Unknown(text) => lines.extend(text::wrap(text, width)),
    }
    grid::lines(frame, inner, &lines, Style::new());
}
