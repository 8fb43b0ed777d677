//! Where everything is, for a size of the screen. The view draws there; the mouse and the lists ask, too.

use ratatui::layout::{Constraint, Layout, Rect, Size};

use crate::app::{Pane, Ui};
use crate::keymap::Tab;

/// The smallest screen that everything fits.
pub(crate) const SMALLEST: Size = Size { width: 60, height: 16 };
/// From this width on, the detail has a column of its own.
const WIDE: u16 = 116;
/// Lines for what is selected in the outages, processes and actions.
const INFO: u16 = 8;

/// The parts of the screen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Areas {
    pub(crate) header: Rect,
    pub(crate) tabs: Rect,
    /// All between the tabs and the status line.
    pub(crate) body: Rect,
    /// The caller's line; without height if there is none.
    pub(crate) notice: Rect,
    pub(crate) status: Rect,
    pub(crate) footer: Rect,
    pub(crate) tree: Option<Rect>,
    pub(crate) table: Option<Rect>,
    pub(crate) detail: Option<Rect>,
    /// The list of a tab other than the instruments.
    pub(crate) list: Rect,
    /// What is selected in it.
    pub(crate) info: Rect,
}

/// Whether nothing but a word about it fits.
pub(crate) fn is_too_small(size: Size) -> bool {
    size.width < SMALLEST.width || size.height < SMALLEST.height
}

/// Where everything is.
pub(crate) fn of(ui: &Ui) -> Areas {
    let all = Rect::new(0, 0, ui.size.width, ui.size.height);
    let notice = u16::from(ui.notice.is_some());
    let lines = [1, 1].map(Constraint::Length);
    let [header, tabs, body, notice, status, footer] = Layout::vertical([
        lines[0],
        lines[1],
        Constraint::Min(0),
        Constraint::Length(notice),
        Constraint::Length(1),
        Constraint::Length(1),
    ])
    .areas(all);
    let [list, info] = Layout::vertical([Constraint::Min(5), Constraint::Length(INFO)]).areas(body);
    let mut areas = Areas { header, tabs, body, notice, status, footer, tree: None, table: None, detail: None, list, info };
    if ui.tab != Tab::Instruments {
        return areas;
    }
    if ui.zoom {
        match ui.pane {
            Pane::Tree => areas.tree = Some(body),
            Pane::Table => areas.table = Some(body),
            Pane::Detail => areas.detail = Some(body),
        }
        return areas;
    }
    let (tree, table, detail) = if all.width >= WIDE {
        let [tree, table, detail] = Layout::horizontal([Constraint::Length(22), Constraint::Min(40), Constraint::Length(36)]).areas(body);
        (tree, table, detail)
    } else {
        let [tree, rest] = Layout::horizontal([Constraint::Length(20), Constraint::Min(30)]).areas(body);
        let [table, detail] = Layout::vertical([Constraint::Fill(3), Constraint::Fill(2)]).areas(rest);
        (tree, table, detail)
    };
    (areas.tree, areas.table, areas.detail) = (Some(tree), Some(table), Some(detail));
    areas
}

impl Areas {
    /// Lines of the tree.
    pub(crate) fn tree_rows(&self) -> usize {
        rows(self.tree, 2)
    }

    /// Rows of the table.
    pub(crate) fn table_rows(&self) -> usize {
        rows(self.table, 3)
    }

    /// Lines of the detail's facts.
    pub(crate) fn detail_rows(&self) -> usize {
        self.detail.map_or(0, |area| usize::from(super::detail::split(area).0.height))
    }

    /// Rows of the list of another tab.
    pub(crate) fn body_rows(&self) -> usize {
        rows(Some(self.list), 3)
    }

    /// The box of a dialog of that many lines.
    pub(crate) fn dialog(&self, width: u16, lines: usize) -> Rect {
        let width = width.min(self.body.width.saturating_sub(4));
        let height = u16::try_from(lines + 2).unwrap_or(u16::MAX).min(self.body.height);
        let x = self.body.x + (self.body.width - width) / 2;
        let y = self.body.y + (self.body.height - height) / 2;
        Rect { x, y, width, height }
    }

    /// Lines of a text dialog.
    pub(crate) fn text_rows(&self) -> usize {
        usize::from(self.body.height.saturating_sub(2))
    }
}

fn rows(area: Option<Rect>, borders: u16) -> usize {
    area.map_or(0, |area| usize::from(area.height.saturating_sub(borders)))
}
