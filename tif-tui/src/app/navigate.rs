//! Moving about: focus, cursors, drilling in and coming back.

use super::{App, List, Pane, Tone};
use crate::keymap::Tab;
use crate::model::fact::Now;
use crate::model::tree::{Level, NodeId, Tree};

impl App {
    /// Tab goes through the panes of the instruments, and through the other tabs.
    pub(super) fn turn(&mut self, by: isize) {
        const ALL: [(Tab, Pane); 6] = [
            (Tab::Instruments, Pane::Tree),
            (Tab::Instruments, Pane::Table),
            (Tab::Instruments, Pane::Detail),
            (Tab::Outages, Pane::Table),
            (Tab::Processes, Pane::Table),
            (Tab::Actions, Pane::Table),
        ];
        let here = |(tab, pane): &(Tab, Pane)| *tab == self.ui.tab && (*tab != Tab::Instruments || *pane == self.ui.pane);
        let at = ALL.iter().position(here).unwrap_or(0);
        let to = (at as isize + by).rem_euclid(ALL.len() as isize) as usize;
        self.ui.tab = ALL[to].0;
        if self.ui.tab == Tab::Instruments {
            self.ui.pane = ALL[to].1;
        }
        if self.ui.tab != Tab::Instruments {
            self.ui.zoom = false;
        }
    }

    /// The list that arrows move in.
    fn list(&mut self) -> &mut List {
        match (self.ui.tab, self.ui.pane) {
            (Tab::Instruments, Pane::Tree) => &mut self.ui.tree.list,
            (Tab::Instruments, Pane::Table) => &mut self.ui.table,
            (Tab::Instruments, Pane::Detail) => &mut self.ui.detail,
            (Tab::Outages, _) => &mut self.ui.outages,
            (Tab::Processes, _) => &mut self.ui.processes,
            (Tab::Actions, _) => &mut self.ui.actions,
        }
    }

    pub(super) fn page(&self) -> isize {
        let areas = self.areas();
        let rows = match (self.ui.tab, self.ui.pane) {
            (Tab::Instruments, Pane::Tree) => areas.tree_rows(),
            (Tab::Instruments, Pane::Table) => areas.table_rows(),
            (Tab::Instruments, Pane::Detail) => areas.detail_rows(),
            _ => areas.body_rows(),
        };
        isize::try_from(rows.saturating_sub(1)).unwrap_or(1).max(1)
    }

    pub(super) fn step(&mut self, by: isize) {
        self.list().step(by);
        match (self.ui.tab, self.ui.pane) {
            (Tab::Instruments, Pane::Table) => {
                let rows = self.ui.index.rows();
                self.ui.table.cursor = self.ui.table.cursor.min(rows.len().saturating_sub(1));
                self.select(rows.get(self.ui.table.cursor).copied());
            }
            (Tab::Instruments, Pane::Tree) => {
                self.ui.tree.list.cursor = self.ui.tree.list.cursor.min(self.ui.tree.lines().len().saturating_sub(1));
                self.follow_tree();
            }
            (Tab::Instruments, Pane::Detail) => {
                let most = crate::view::detail::lines(self).saturating_sub(self.areas().detail_rows());
                self.ui.detail.cursor = self.ui.detail.cursor.min(most);
            }
            _ => {}
        }
    }

    /// The tree's cursor has moved: a leaf selects its instrument.
    fn follow_tree(&mut self) {
        let node = self.ui.tree.selected().and_then(|id| self.model().tree.node(id));
        let row = node.and_then(|node| node.row);
        self.ui.table = List::default();
        self.select(row);
    }

    pub(super) fn select(&mut self, row: Option<crate::model::row::RowId>) {
        if self.ui.selected != row {
            self.ui.detail = List::default();
        }
        self.ui.selected = row;
        if let Some(at) = row.and_then(|id| self.ui.index.rows().iter().position(|other| *other == id)) {
            self.ui.table.cursor = at;
        }
    }

    pub(super) fn left(&mut self) {
        if self.ui.tab != Tab::Instruments {
            return;
        }
        match self.ui.pane {
            Pane::Tree => {
                let Some(id) = self.ui.tree.selected() else { return };
                if self.ui.tree.is_open(self.model(), id) && self.model().tree.node(id).is_some_and(|node| node.is_open_able()) {
                    self.open(id, false);
                } else if let Some(parent) = self.model().tree.node(id).and_then(|node| node.parent) {
                    if let Some(at) = self.ui.tree.lines().iter().position(|line| line.node == parent) {
                        self.ui.tree.list.cursor = at;
                    }
                    self.follow_tree();
                }
            }
            Pane::Table => self.ui.pane = Pane::Tree,
            Pane::Detail => self.ui.pane = Pane::Table,
        }
    }

    pub(super) fn right(&mut self) {
        if self.ui.tab != Tab::Instruments {
            return;
        }
        match self.ui.pane {
            Pane::Tree => {
                let Some(id) = self.ui.tree.selected() else { return };
                let closed = self.model().tree.node(id).is_some_and(|node| node.is_open_able()) && !self.ui.tree.is_open(self.model(), id);
                if closed { self.open(id, true) } else { self.ui.pane = Pane::Table }
            }
            Pane::Table => self.ui.pane = Pane::Detail,
            Pane::Detail => {}
        }
    }

    pub(super) fn open(&mut self, id: NodeId, open: bool) {
        let model = self.frozen.as_ref().map_or(&self.model, |frozen| &frozen.model);
        self.ui.tree.open(model, id, open);
    }

    pub(super) fn drill(&mut self, now: Now) {
        match (self.ui.tab, self.ui.pane) {
            (Tab::Instruments, Pane::Tree) => {
                if let Some(id) = self.ui.tree.selected() {
                    self.open(id, true);
                }
                self.ui.pane = Pane::Table;
            }
            (Tab::Instruments, Pane::Table) => self.ui.pane = Pane::Detail,
            (Tab::Instruments, Pane::Detail) => self.ui.zoom = true,
            (Tab::Outages, _) => {
                let source = self.model().outages().nth(self.ui.outages.cursor).map(|(outage, _)| outage.source.to_string());
                self.jump(source, now);
            }
            (Tab::Processes, _) => {
                let row = self.model().processes.get(self.ui.processes.cursor);
                let name = row.map(|row| row.name.to_string());
                self.jump(name, now);
            }
            (Tab::Actions, _) => {}
        }
    }

    /// To the service or process of that name in the tree.
    fn jump(&mut self, name: Option<String>, now: Now) {
        let Some(name) = name else { return };
        let Some(id) = self.find_node(&name) else {
            self.say(format!("{name} has no instruments here"), Tone::Plain);
            return;
        };
        let now = self.shown_now(now);
        let model = self.frozen.as_ref().map_or(&self.model, |frozen| &frozen.model);
        self.ui.tree.reveal(model, id, now);
        self.follow_tree();
        self.ui.tab = Tab::Instruments;
        self.ui.pane = Pane::Table;
    }

    fn find_node(&self, name: &str) -> Option<NodeId> {
        let tree = &self.model().tree;
        let mut waiting = vec![Tree::ROOT];
        while let Some(id) = waiting.pop() {
            let node = tree.node(id)?;
            if matches!(node.level, Level::Service | Level::Process) && *node.label == *name {
                return Some(id);
            }
            // A group's name is its service's; deeper than processes there is nothing to find.
            if node.level < Level::Process {
                waiting.extend(node.children());
            }
        }
        None
    }

    pub(super) fn back(&mut self) {
        if self.ui.status.acknowledge() {
            return;
        }
        if self.ui.zoom {
            self.ui.zoom = false;
        } else if self.ui.tab != Tab::Instruments {
            self.ui.tab = Tab::Instruments;
        } else if self.ui.pane != Pane::Detail && !self.ui.filter.is_empty() {
            self.set_filter("", self.ui.selected);
        } else {
            self.ui.pane = match self.ui.pane {
                Pane::Detail => Pane::Table,
                Pane::Table | Pane::Tree => Pane::Tree,
            };
        }
    }
}
