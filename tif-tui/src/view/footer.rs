//! The last lines: the caller's, the status or what is typed into the filter, and the keys that do something now.
// spec: TUI-3

use ratatui::Frame;
use ratatui::layout::Position;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::areas::Areas;
use super::theme::Theme;
use crate::app::{App, Dialog};
use crate::keymap::Command;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme, areas: &Areas) {
    if let Some(notice) = &app.ui.notice {
        Line::styled(notice.as_str(), theme.heading()).render(areas.notice, frame.buffer_mut());
    }
    if let Some(Dialog::Filter { input, .. }) = app.ui.dialogs.last() {
        let line = Line::from(vec![Span::styled("filter: ", theme.heading()), Span::raw(input.value().to_owned())]);
        line.render(areas.status, frame.buffer_mut());
        let x = areas.status.x + 8 + u16::try_from(input.visual_cursor()).unwrap_or(0);
        frame.set_cursor_position(Position { x: x.min(areas.status.right().saturating_sub(1)), y: areas.status.y });
    } else if let Some((text, tone)) = app.ui.status.shown() {
        let seen = if app.ui.status.is_error() { " (Esc: seen)" } else { "" };
        let text = super::text::head(text, usize::from(areas.status.width) - seen.len(), theme.cut());
        Line::styled(text + seen, theme.tone(tone)).render(areas.status, frame.buffer_mut());
    }
    let mut x = areas.footer.x;
    for item in items(app) {
        let line = Line::from(vec![Span::styled(item.key, theme.key()), Span::raw(format!(" {}", item.label))]);
        let width = item.width;
        if x + width > areas.footer.right() {
            break;
        }
        frame.buffer_mut().set_line(x, areas.footer.y, &line, width);
        x += width + GAP;
    }
}

const GAP: u16 = 2;

struct Item {
    key: String,
    label: String,
    width: u16,
    command: Command,
}

/// What the footer shows: help and quitting always, then as much of the rest as fits.
fn items(app: &App) -> Vec<Item> {
    let item = |key: String, label: &str, command| {
        let width = u16::try_from(key.chars().count() + 1 + label.chars().count()).unwrap_or(u16::MAX);
        Item { key, label: label.to_owned(), width, command }
    };
    let mut all: Vec<Item> = app
        .valid_bindings()
        .into_iter()
        .filter(|binding| !binding.short.is_empty())
        .filter_map(|binding| Some(item(binding.keys.first()?.to_string(), binding.short, binding.command)))
        .collect();
    if app.ui.dialogs.is_empty()
        && let Some(extra) = &app.settings.extra
        && app.is_valid(Command::Extra)
    {
        all.insert(0, item(extra.key.to_string(), &extra.label, Command::Extra));
    }
    let always = |item: &Item| matches!(item.command, Command::Help | Command::Quit | Command::Cancel);
    let mut room = app.ui.size.width;
    let reserved: u16 = all.iter().filter(|item| always(item)).map(|item| item.width + GAP).sum();
    room = room.saturating_sub(reserved);
    all.into_iter()
        .filter(|item| {
            if always(item) {
                return true;
            }
            let fits = item.width + GAP <= room;
            room = if fits { room - item.width - GAP } else { 0 };
            fits
        })
        .collect()
}

/// What was clicked on.
pub(crate) fn command_at(app: &App, x: u16) -> Option<Command> {
    let mut from = 0;
    for item in items(app) {
        if (from..from + item.width).contains(&x) {
            return Some(item.command);
        }
        from += item.width + GAP;
    }
    None
}
