//! After each message: lists, cursors and windows in line with the model; and what can be done now.

use tif_core::model::{Kind, TestPointKind, Value};

use super::{App, List, Pane};
use crate::keymap::{self, Command, Tab};
use crate::model::fact::Now;
use crate::model::tree::Tree;
use crate::view::areas;

impl App {
    /// Brings lists, cursors and windows in line with the model and the size of the screen.
    pub(super) fn settle(&mut self, now: Now) {
        let now = self.shown_now(now);
        let model = self.frozen.as_ref().map_or(&self.model, |frozen| &frozen.model);
        let areas = areas::of(&self.ui);
        let ui = &mut self.ui;
        ui.tree.refresh(model, now);
        ui.tree.list.settle(ui.tree.lines().len(), areas.tree_rows());
        let scope = ui.tree.scope(model).unwrap_or(Tree::ROOT);
        let remade = ui.index.refresh(model, scope, &ui.filter, ui.sort, now);
        let rows = ui.index.rows();
        if remade {
            // The cursor stays on its instrument, wherever that is now.
            match ui.selected.and_then(|id| rows.iter().position(|row| *row == id)) {
                Some(at) => ui.table.cursor = at,
                None => ui.selected = None,
            }
        }
        ui.table.settle(rows.len(), areas.table_rows());
        if ui.selected.is_none() {
            ui.selected = rows.get(ui.table.cursor).copied();
            ui.detail = List::default();
        }
        let rows = areas.body_rows();
        let outages = model.outages().map(|(outage, _)| (outage.since, outage.id));
        ui.outage.settle(&mut ui.outages, outages, model.outages_count(), rows);
        ui.process.settle(&mut ui.processes, model.processes.iter().map(|row| row.name.clone()), model.processes.len(), rows);
        ui.action.settle(&mut ui.actions, self.log.entries().map(|entry| entry.ticket), self.log.len(), rows);
        if let Some(id) = ui.selected
            && self.frozen.is_none()
        {
            let value = self.model.row(id).and_then(|row| row.value().and_then(Value::as_f64));
            self.model.histories.pin(id, now.mono, value);
        }
    }

    /// The bindings that do something now, in the order of the footer.
    pub(crate) fn valid_bindings(&self) -> Vec<&'static keymap::Binding> {
        let kind = self.selected_kind();
        keymap::of(self.context()).filter(|binding| self.would_do(binding.command, kind)).collect()
    }

    /// Whether a command would do something now.
    pub(crate) fn is_valid(&self, command: Command) -> bool {
        self.would_do(command, self.selected_kind())
    }

    fn selected_kind(&self) -> Option<&Kind> {
        self.selected_row().map(|row| &row.announcement.descriptor.kind)
    }

    fn would_do(&self, command: Command, kind: Option<&Kind>) -> bool {
        match command {
            Command::Edit => !self.ui.read_only && matches!(kind, Some(Kind::Control { .. })),
            Command::Fire => !self.ui.read_only && matches!(kind, Some(Kind::TestPoint(TestPointKind::Procedure { .. }))),
            Command::Arm | Command::Disarm => !self.ui.read_only && matches!(kind, Some(Kind::TestPoint(TestPointKind::InPath { .. }))),
            Command::SameOnCli => kind.is_some(),
            Command::Back => {
                self.ui.status.has_error()
                    || self.ui.zoom
                    || self.ui.tab != Tab::Instruments
                    || self.ui.pane != Pane::Tree
                    || !self.ui.filter.is_empty()
            }
            Command::Extra => !self.ui.read_only,
            _ => true,
        }
    }
}
