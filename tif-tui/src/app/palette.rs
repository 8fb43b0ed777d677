//! The palette: every action that is possible now, found by some of its letters.
// spec: TUI-3

use nucleo_matcher::pattern::{CaseMatching, Normalization, Pattern};
use nucleo_matcher::{Config, Matcher};
use tui_input::Input;

use super::{App, List};
use crate::keymap::{self, Command};
use crate::model::index::Column;

/// One action.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) title: String,
    pub(crate) keys: String,
    pub(crate) command: Command,
}

impl AsRef<str> for Item {
    fn as_ref(&self) -> &str {
        &self.title
    }
}

/// What was typed, and what fits it.
#[derive(Clone, Debug)]
pub(crate) struct Palette {
    pub(crate) input: Input,
    pub(crate) list: List,
    all: Vec<Item>,
    fitting: Vec<Item>,
}

/// Lines of actions on the screen.
pub(crate) const LINES: usize = 12;

impl Palette {
    /// All actions that do something now.
    pub(crate) fn new(app: &App) -> Palette {
        let useful =
            |command: &Command| !matches!(command, Command::Up | Command::Down | Command::Left | Command::Right | Command::Palette);
        let mut all: Vec<Item> = keymap::of(app.pane_context())
            .filter(|binding| app.is_valid(binding.command) && useful(&binding.command))
            .map(|binding| Item { title: binding.help.to_owned(), keys: keys(binding), command: binding.command })
            .collect();
        all.extend(Column::ALL.map(|column| Item {
            title: format!("sort by {}", column.title()),
            keys: String::new(),
            command: Command::SortBy(column),
        }));
        if let Some(extra) = &app.settings.extra
            && app.is_valid(Command::Extra)
        {
            all.push(Item { title: extra.label.clone(), keys: extra.key.to_string(), command: Command::Extra });
        }
        Palette { input: Input::default(), list: List::default(), fitting: all.clone(), all }
    }

    /// What fits, best first.
    pub(crate) fn fitting(&self) -> &[Item] {
        &self.fitting
    }

    /// What is typed has changed.
    pub(crate) fn refresh(&mut self) {
        let pattern = Pattern::parse(self.input.value(), CaseMatching::Ignore, Normalization::Smart);
        let mut matcher = Matcher::new(Config::DEFAULT);
        self.fitting = pattern.match_list(self.all.iter().cloned(), &mut matcher).into_iter().map(|(item, _)| item).collect();
        self.list = List::default();
    }

    /// Moves the cursor.
    pub(crate) fn step(&mut self, by: isize) {
        self.list.step(by);
        self.list.settle(self.fitting.len(), LINES);
    }

    /// The action that the cursor is on.
    pub(crate) fn chosen(&self) -> Option<Command> {
        self.fitting.get(self.list.cursor).map(|item| item.command)
    }
}

/// The keys of a binding, as the help writes them.
pub(crate) fn keys(binding: &keymap::Binding) -> String {
    binding.keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
