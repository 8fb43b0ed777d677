//! How the model is shown. Reads the app, changes nothing, and draws only what is on the screen.

mod actions;
pub(crate) mod areas;
mod chart;
pub(crate) mod detail;
pub(crate) mod dialog;
pub(crate) mod footer;
mod grid;
pub(crate) mod header;
pub(crate) mod outages;
mod processes;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod theme;
mod tree;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Line;
use ratatui::widgets::{Block, Widget};

use crate::app::App;
use crate::keymap::Tab;
use crate::model::fact::Now;
use theme::Theme;

/// Draws the whole screen as it is at `now`.
pub(crate) fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme, now: Now) {
    let size = frame.area();
    if areas::is_too_small(size.as_size()) {
        let text = format!("Too small: {}x{} needed. q quits.", areas::SMALLEST.width, areas::SMALLEST.height);
        grid::lines(frame, size, &text::wrap(&text, usize::from(size.width)), Style::new());
        return;
    }
    if size.as_size() != app.ui.size {
        // The terminal has another size than the model knows of yet: what was laid out for the old one does not fit. The news of it is on its way.
        return;
    }
    let areas = app.areas();
    let shown = app.shown_now(now);
    header::draw(frame, app, theme, now, &areas);
    match app.ui.tab {
        Tab::Instruments => {
            if let Some(area) = areas.tree {
                tree::draw(frame, area, app, theme);
            }
            if let Some(area) = areas.table {
                table::draw(frame, area, app, theme, shown);
            }
            if let Some(area) = areas.detail {
                detail::draw(frame, area, app, theme, shown);
            }
        }
        Tab::Outages => outages::draw(frame, &areas, app, theme, shown),
        Tab::Processes => processes::draw(frame, &areas, app, theme, shown),
        Tab::Actions => actions::draw(frame, &areas, app, theme),
    }
    footer::draw(frame, app, theme, &areas);
    dialog::draw(frame, app, theme, &areas);
    if theme.ascii {
        to_ascii(frame);
    }
}

/// Axes come from a library and texts from services: what the terminal cannot show, it is not sent.
fn to_ascii(frame: &mut Frame<'_>) {
    for cell in &mut frame.buffer_mut().content {
        if !cell.symbol().is_ascii() {
            let plain = match cell.symbol() {
                "│" => '|',
                "─" => '-',
                "└" => '+',
                _ => '?',
            };
            cell.set_char(plain);
        }
    }
}

/// A pane's border with its title; the focused one stands out.
fn pane(frame: &mut Frame<'_>, area: Rect, title: String, focused: bool, theme: &Theme) -> Rect {
    let block = Block::bordered()
        .border_set(theme.border(focused))
        .border_style(theme.frame(focused))
        .title(Line::styled(title, theme.title(focused)));
    let inner = block.inner(area);
    block.render(area, frame.buffer_mut());
    inner
}
