//! From an order to whoever does it.

use super::{App, Dialog, Frozen, List, Tone};
use crate::keymap::{Command, Tab};
use crate::model::fact::Now;
use crate::model::filter::Filter;
use crate::model::index::Sort;
use crate::model::row::RowId;

impl App {
    /// Does what a key, a click or the palette has ordered.
    pub(super) fn perform(&mut self, command: Command, now: Now) {
        if let Some(dialog) = self.ui.dialogs.pop() {
            self.in_dialog(dialog, command, now);
            return;
        }
        match command {
            Command::FocusNext => self.turn(1),
            Command::FocusPrevious => self.turn(-1),
            Command::Up => self.step(-1),
            Command::Down => self.step(1),
            Command::PageUp => self.step(-self.page()),
            Command::PageDown => self.step(self.page()),
            // Far beyond any list; the list knows its end.
            Command::First => self.step(isize::MIN / 2),
            Command::Last => self.step(isize::MAX / 2),
            Command::Left => self.left(),
            Command::Right => self.right(),
            Command::Drill => self.drill(now),
            Command::Back => self.back(),
            Command::Filter => self.ui.dialogs.push(Dialog::filter(&self.ui.filter_text, self.ui.selected)),
            Command::Palette => self.ui.dialogs.push(Dialog::palette(self)),
            Command::Help => self.ui.dialogs.push(Dialog::help(self)),
            Command::Edit | Command::Fire | Command::Arm | Command::Disarm => self.begin(command, now),
            Command::Extra => self.begin_extra(now),
            Command::SameOnCli => self.show_command_line(),
            Command::Freeze => self.freeze(now),
            Command::Zoom => self.ui.zoom = !self.ui.zoom,
            Command::Sort => self.sort(Sort { column: self.ui.sort.column.next(), reversed: false }),
            Command::SortBy(column) => self.sort(Sort { column, reversed: self.ui.sort.column == column && !self.ui.sort.reversed }),
            Command::Reverse => self.sort(Sort { reversed: !self.ui.sort.reversed, ..self.ui.sort }),
            Command::ReadOnly => self.switch_read_only(),
            Command::Show(tab) => self.show(tab, now),
            Command::Quit => self.quit = true,
            Command::Accept
            | Command::Cancel
            | Command::NextField
            | Command::PreviousField
            | Command::NextChoice
            | Command::PreviousChoice => {}
        }
    }

    fn sort(&mut self, sort: Sort) {
        self.ui.sort = sort;
        self.say(format!("sorted by {}{}", sort.column.title(), if sort.reversed { ", reversed" } else { "" }), Tone::Plain);
    }

    pub(super) fn show(&mut self, tab: Tab, now: Now) {
        self.ui.tab = tab;
        self.ui.zoom = false;
        if tab == Tab::Processes {
            self.ask_processes(now);
        }
    }

    /// Filters the table. `selected` keeps the cursor if it passes; else the first does.
    pub(super) fn set_filter(&mut self, text: &str, selected: Option<RowId>) {
        (self.ui.selected, self.ui.table) = (selected, List::default());
        self.ui.filter_text = text.to_owned();
        self.ui.filter = Filter::new(text);
    }

    fn freeze(&mut self, now: Now) {
        self.frozen = match self.frozen.take() {
            Some(_) => None,
            None => Some(Frozen { model: self.model.clone(), now }),
        };
        let text = if self.frozen.is_some() { "frozen: what happens is still taken in; p goes on" } else { "live again" };
        self.say(text, Tone::Plain);
    }

    fn switch_read_only(&mut self) {
        if self.settings.read_only {
            self.say("started with --read-only: start again without it to change anything", Tone::Bad);
            return;
        }
        self.ui.read_only = !self.ui.read_only;
        self.say(if self.ui.read_only { "read-only: nothing can be changed from here" } else { "changes are allowed" }, Tone::Plain);
    }
}
