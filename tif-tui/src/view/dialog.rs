//! What lies over the panes.

use ratatui::Frame;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Clear, Widget};

use super::areas::Areas;
use super::text;
use super::theme::Theme;
use crate::app::form::{Form, Purpose};
use crate::app::palette::{self, Palette};
use crate::app::{App, Confirm, Dialog, Tone};

/// Columns of a dialog; a narrow screen has less.
const WIDTH: u16 = 72;

pub(super) fn draw(frame: &mut Frame<'_>, app: &App, theme: &Theme, areas: &Areas) {
    match app.ui.dialogs.last() {
        None | Some(Dialog::Filter { .. }) => {}
        Some(Dialog::Form(form)) => draw_form(frame, app, form, theme, areas),
        Some(Dialog::Confirm(confirm)) => draw_confirm(frame, confirm, theme, areas),
        Some(Dialog::Palette(palette)) => draw_palette(frame, palette, theme, areas),
        Some(Dialog::Text { title, lines, list }) => {
            let wrapped: Vec<(String, Style)> =
                text_lines(lines, areas).into_iter().map(|line| (line, Style::new())).skip(list.cursor).collect();
            let more = if wrapped.len() > areas.text_rows() { " (more below)" } else { "" };
            draw_box(frame, areas, &format!("{title}{more}"), &wrapped, theme);
        }
    }
}

/// The lines of a text as they fit into its box.
pub(crate) fn text_lines(lines: &[String], areas: &Areas) -> Vec<String> {
    let width = inner_width(areas);
    lines.iter().flat_map(|line| text::wrap(line, width)).collect()
}

/// A box with lines; returns its inside.
fn draw_box(frame: &mut Frame<'_>, areas: &Areas, title: &str, lines: &[(String, Style)], theme: &Theme) -> Rect {
    let area = areas.dialog(WIDTH, lines.len());
    Clear.render(area, frame.buffer_mut());
    let inner = super::pane(frame, area, title.to_owned(), true, theme);
    for (i, (line, style)) in lines.iter().take(usize::from(inner.height)).enumerate() {
        let y = inner.y + u16::try_from(i).unwrap_or(0);
        let line = text::head(line, usize::from(inner.width), theme.cut());
        frame.buffer_mut().set_stringn(inner.x, y, line, usize::from(inner.width), *style);
    }
    inner
}

fn inner_width(areas: &Areas) -> usize {
    usize::from(areas.dialog(WIDTH, 1).width.saturating_sub(2))
}

fn draw_form(frame: &mut Frame<'_>, app: &App, form: &Form, theme: &Theme, areas: &Areas) {
    let width = inner_width(areas);
    let mut lines: Vec<(String, Style)> = Vec::new();
    let title = match &form.purpose {
        Purpose::Set { .. } => "Edit control",
        Purpose::Fire { .. } => "Fire procedure",
        Purpose::Arm => "Arm test point",
    };
    lines.push((form.name.clone(), theme.heading()));
    for about in &form.about {
        lines.extend(text::wrap(about, width).into_iter().map(|line| (line, theme.dim())));
    }
    if let Purpose::Set { old } = &form.purpose {
        let old = app.current(form, old);
        lines.push((format!("now {old} {}", if form.unit == tif_core::model::Unit::ONE { "" } else { form.unit.as_str() }), Style::new()));
    }
    lines.push((String::new(), Style::new()));
    let label_width = form.fields.iter().map(|field| text::width(&field.label)).max().unwrap_or(0);
    let (mut cursor, mut selected) = (None, None);
    for (i, field) in form.fields.iter().enumerate() {
        let here = i == form.cursor;
        let prompt = format!("{} {}: ", if here { ">" } else { " " }, text::left(field.label.clone(), label_width));
        if here {
            let x = text::width(&prompt) + field.input.visual_cursor();
            cursor = Some((x, lines.len()));
        }
        if here && field.prefilled {
            selected = Some((text::width(&prompt), lines.len(), field.input.value()));
        }
        lines.push((format!("{prompt}{}", field.input.value()), if here { theme.heading() } else { Style::new() }));
        lines.push((format!("  {:label_width$}  {}", "", field.hint), theme.dim()));
        if let Some(error) = field.error().filter(|_| form.tried) {
            for line in text::wrap(&error, width.saturating_sub(4)) {
                lines.push((format!("  x {line}"), theme.tone(Tone::Bad)));
            }
        }
    }
    let inner = draw_box(frame, areas, title, &lines, theme);
    if let Some((x, y, text)) = selected.filter(|(_, y, _)| *y < usize::from(inner.height)) {
        // What the first character typed will replace.
        let (x, y) = (inner.x + u16::try_from(x).unwrap_or(0), inner.y + u16::try_from(y).unwrap_or(0));
        let width = usize::from(inner.right().saturating_sub(x));
        frame.buffer_mut().set_stringn(x, y, text, width, theme.selected(true));
    }
    if let Some((x, y)) = cursor {
        let x = inner.x + u16::try_from(x).unwrap_or(0);
        let y = inner.y + u16::try_from(y).unwrap_or(0);
        frame.set_cursor_position(Position { x: x.min(inner.right().saturating_sub(1)), y: y.min(inner.bottom().saturating_sub(1)) });
    }
}

fn draw_confirm(frame: &mut Frame<'_>, confirm: &Confirm, theme: &Theme, areas: &Areas) {
    let width = inner_width(areas);
    let mut lines: Vec<(String, Style)> = Vec::new();
    for (i, line) in confirm.lines.iter().enumerate() {
        let style = if i == 1 { theme.heading() } else { Style::new() };
        lines.extend(text::wrap(line, width).into_iter().map(|line| (line, style)));
    }
    if let Some(line) = &confirm.line {
        lines.push((String::new(), Style::new()));
        lines.push(("the same on the command line:".to_owned(), theme.dim()));
        lines.extend(text::wrap(line, width).into_iter().map(|line| (line, Style::new())));
    }
    lines.push((String::new(), Style::new()));
    lines.push(("Enter or y does it, Esc or n does not.".to_owned(), theme.dim()));
    draw_box(frame, areas, &confirm.title, &lines, theme);
}

fn draw_palette(frame: &mut Frame<'_>, palette: &Palette, theme: &Theme, areas: &Areas) {
    let mut lines = vec![(format!(": {}", palette.input.value()), theme.heading())];
    lines.extend(std::iter::repeat_n((String::new(), Style::new()), palette::LINES));
    let inner = draw_box(frame, areas, "Actions", &lines, theme);
    let rows = usize::from(inner.height.saturating_sub(1));
    for (i, item) in palette.fitting().iter().enumerate().skip(palette.list.top).take(rows) {
        let y = inner.y + 1 + u16::try_from(i - palette.list.top).unwrap_or(0);
        let style = if i == palette.list.cursor { theme.selected(true) } else { Style::new() };
        let width = usize::from(inner.width).saturating_sub(14);
        let title = text::head(&item.title, width, theme.cut());
        let line = Line::from(vec![
            Span::styled(text::left(title, width + 1), style),
            Span::styled(format!("{:>12}", item.keys), style.patch(theme.dim())),
        ]);
        frame.buffer_mut().set_line(inner.x, y, &line, inner.width);
    }
    if palette.fitting().is_empty() {
        frame.buffer_mut().set_stringn(inner.x, inner.y + 1, "no action fits", usize::from(inner.width), theme.dim());
    }
    let x = inner.x + 2 + u16::try_from(palette.input.visual_cursor()).unwrap_or(0);
    frame.set_cursor_position(Position { x: x.min(inner.right().saturating_sub(1)), y: inner.y });
}
