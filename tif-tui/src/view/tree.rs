//! The tree on the left, with how many instruments lie below each node and how they fare.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use tif_core::model::Alarm;

use super::text;
use super::theme::Theme;
use crate::app::{App, Pane};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, app: &App, theme: &Theme) {
    let focused = app.ui.pane == Pane::Tree;
    let inner = super::pane(frame, area, "Tree".to_owned(), focused, theme);
    let (model, tree) = (app.model(), &app.ui.tree);
    let down = model.link_down().is_some();
    for (i, line) in tree.lines().iter().enumerate().skip(tree.list.top).take(usize::from(inner.height)) {
        let Some(node) = model.tree.node(line.node) else { continue };
        let alarm = match node.tally {
            tally if tally.critical > 0 => Alarm::Critical,
            tally if tally.warning > 0 => Alarm::Warning,
            _ => Alarm::Ok,
        };
        let old = down || node.tally.old > 0;
        let count = if node.is_open_able() { text::count(node.tally.rows) } else { String::new() };
        // Right behind the label, so that nobody takes the count for one of alarms.
        let marks = match format!("{}{}", if old { "~" } else { "" }, theme.alarm_mark(alarm)) {
            none if none.is_empty() => none,
            marks => format!(" {marks}"),
        };
        let width = usize::from(inner.width);
        let left = format!("{}{} ", " ".repeat(usize::from(line.depth)), theme.node(node.is_open_able(), tree.is_open(model, line.node)));
        let used = text::width(&left) + text::width(&marks) + text::width(&count);
        let label = text::head(&node.label, width.saturating_sub(used + 1), theme.cut());
        let gap = width.saturating_sub(used + text::width(&label));
        let mut style = if down || (node.tally.rows > 0 && node.tally.old == node.tally.rows) { theme.dim() } else { Style::new() };
        if i == tree.list.cursor {
            style = style.patch(theme.selected(focused));
        }
        let spans = vec![
            Span::styled(left, style),
            Span::styled(label, style),
            Span::styled(marks, style.patch(theme.alarm(alarm))),
            Span::styled(" ".repeat(gap), style),
            Span::styled(count, style),
        ];
        let y = inner.y + u16::try_from(i - tree.list.top).unwrap_or(0);
        frame.buffer_mut().set_line(inner.x, y, &Line::from(spans), inner.width);
    }
}
