//! The mouse: a click does what keys would do there; the wheel moves the list under it.

use crossterm::event::{MouseButton, MouseEvent, MouseEventKind};
use ratatui::layout::{Position, Rect};

use super::{App, Pane};
use crate::keymap::{Command, Context, Tab};
use crate::model::fact::Now;
use crate::view::{areas, footer, header, table};

/// Lines per notch of the wheel.
const WHEEL: isize = 3;

impl App {
    pub(super) fn mouse(&mut self, event: MouseEvent, now: Now) {
        let at = Position { x: event.column, y: event.row };
        if areas::is_too_small(self.ui.size) {
            return;
        }
        match event.kind {
            MouseEventKind::Down(MouseButton::Left) => self.click(at, now),
            MouseEventKind::ScrollUp => self.wheel(at, -WHEEL, now),
            MouseEventKind::ScrollDown => self.wheel(at, WHEEL, now),
            _ => {}
        }
    }

    fn click(&mut self, at: Position, now: Now) {
        self.ui.status.on_key();
        let areas = self.areas();
        if areas.footer.contains(at) {
            if let Some(command) = footer::command_at(self, at.x) {
                self.perform(command, now);
            }
            return;
        }
        if !self.ui.dialogs.is_empty() {
            return;
        }
        if areas.tabs.contains(at) {
            if let Some(tab) = header::tab_at(self, at.x) {
                self.show(tab, now);
            }
            return;
        }
        if self.ui.tab != Tab::Instruments {
            if let Some(line) = inside(areas.list, at, 2) {
                let list = match self.ui.tab {
                    Tab::Outages => &mut self.ui.outages,
                    Tab::Processes => &mut self.ui.processes,
                    _ => &mut self.ui.actions,
                };
                list.cursor = list.top + line;
            }
            return;
        }
        if let Some(area) = areas.tree.filter(|area| area.contains(at)) {
            self.ui.pane = Pane::Tree;
            if let Some(line) = inside(area, at, 1) {
                let before = self.ui.tree.selected();
                let line = self.ui.tree.list.top + line;
                if line < self.ui.tree.lines().len() {
                    self.ui.tree.list.cursor = line;
                    self.step(0);
                }
                // A second click on the same node opens or closes it.
                if let Some(id) = self.ui.tree.selected().filter(|id| before == Some(*id)) {
                    let open = self.ui.tree.is_open(self.model(), id);
                    self.open(id, !open);
                }
            }
        } else if let Some(area) = areas.table.filter(|area| area.contains(at)) {
            self.ui.pane = Pane::Table;
            if at.y == area.y + 1 {
                if let Some(column) = table::column_at(area, at.x) {
                    self.perform(Command::SortBy(column), now);
                }
            } else if let Some(line) = inside(area, at, 2) {
                self.ui.table.cursor = self.ui.table.top + line;
                self.step(0);
            }
        } else if areas.detail.is_some_and(|area| area.contains(at)) {
            self.ui.pane = Pane::Detail;
        }
    }

    fn wheel(&mut self, at: Position, by: isize, now: Now) {
        if self.context() == Context::Text {
            let command = if by < 0 { Command::Up } else { Command::Down };
            (0..by.unsigned_abs()).for_each(|_| self.perform(command, now));
        }
        if !self.ui.dialogs.is_empty() {
            return;
        }
        let areas = self.areas();
        let pane = [(areas.tree, Pane::Tree), (areas.table, Pane::Table), (areas.detail, Pane::Detail)];
        let under = pane.into_iter().find(|(area, _)| area.is_some_and(|area| area.contains(at))).map(|(_, pane)| pane);
        let before = self.ui.pane;
        if self.ui.tab == Tab::Instruments
            && let Some(pane) = under
        {
            self.ui.pane = pane;
        }
        self.step(by);
        self.ui.pane = before;
    }
}

/// Which line of a bordered area, below `above` lines of border and heading.
fn inside(area: Rect, at: Position, above: u16) -> Option<usize> {
    let (top, bottom) = (area.y + above, (area.y + area.height).saturating_sub(1));
    (top..bottom).contains(&at.y).then(|| usize::from(at.y - top))
}
