//! Which key does what: the only place that says so. The footer, the help and the palette read it, too.
// spec: TUI-3

mod command;
mod key;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

pub(crate) use command::{Command, Context, Tab};
pub(crate) use key::Key;
use key::{ch, ctrl, key};

/// Keys, what they order, where, and in which words.
pub(crate) struct Binding {
    pub(crate) keys: &'static [Key],
    pub(crate) command: Command,
    pub(crate) contexts: &'static [Context],
    /// In the footer; empty: not there.
    pub(crate) short: &'static str,
    /// In the help and the palette.
    pub(crate) help: &'static str,
}

const fn bind(keys: &'static [Key], command: Command, contexts: &'static [Context], short: &'static str, help: &'static str) -> Binding {
    Binding { keys, command, contexts, short, help }
}

use Context as C;

const PANES: &[Context] = &[C::Tree, C::Table, C::Detail, C::Outages, C::Processes, C::Actions];
const INSTRUMENTS: &[Context] = &[C::Tree, C::Table, C::Detail];
const LISTS: &[Context] = &[C::Table];
const DRILLS: &[Context] = &[C::Tree, C::Table, C::Detail, C::Outages, C::Processes];

/// All bindings of panes and dialogs. Order is the order in the footer.
pub(crate) const BINDINGS: &[Binding] = &[
    bind(&[key(KeyCode::Enter)], Command::Drill, DRILLS, "open", "go deeper: open, look at, jump to"),
    bind(&[ch('e')], Command::Edit, INSTRUMENTS, "edit", "edit the selected control"),
    bind(&[ch('f')], Command::Fire, INSTRUMENTS, "fire", "fire the selected procedure"),
    bind(&[ch('a')], Command::Arm, INSTRUMENTS, "arm", "arm the selected test point"),
    bind(&[ch('d')], Command::Disarm, INSTRUMENTS, "disarm", "disarm the selected test point"),
    bind(&[key(KeyCode::Esc)], Command::Back, PANES, "back", "back: error seen, unzoom, clear the filter, leave the pane"),
    bind(&[ch('/')], Command::Filter, INSTRUMENTS, "filter", "filter the table by a part of the name; * is anything"),
    bind(&[key(KeyCode::Tab)], Command::FocusNext, PANES, "next", "next pane"),
    bind(&[ch('s')], Command::Sort, LISTS, "sort", "sort the table by the next column"),
    bind(&[ch('z')], Command::Zoom, INSTRUMENTS, "zoom", "give the pane the whole screen"),
    bind(&[ch('p')], Command::Freeze, PANES, "freeze", "freeze the display; what happens is still taken in"),
    bind(&[ch('y')], Command::SameOnCli, INSTRUMENTS, "cli", "show the equivalent command line"),
    bind(&[ch(':')], Command::Palette, PANES, "actions", "find an action by some of its letters"),
    bind(&[ch('r')], Command::ReadOnly, PANES, "", "switch read-only on or off"),
    bind(&[ch('S')], Command::Reverse, LISTS, "", "reverse the order of the table"),
    bind(&[key(KeyCode::BackTab)], Command::FocusPrevious, PANES, "", "previous pane"),
    bind(&[key(KeyCode::Up), ch('k')], Command::Up, PANES, "", "up"),
    bind(&[key(KeyCode::Down), ch('j')], Command::Down, PANES, "", "down"),
    bind(&[key(KeyCode::Left), ch('h')], Command::Left, PANES, "", "close the node; to the pane on the left"),
    bind(&[key(KeyCode::Right), ch('l')], Command::Right, PANES, "", "open the node; to the pane on the right"),
    bind(&[key(KeyCode::PageUp), ctrl('b')], Command::PageUp, PANES, "", "a page up"),
    bind(&[key(KeyCode::PageDown), ctrl('f')], Command::PageDown, PANES, "", "a page down"),
    bind(&[key(KeyCode::Home), ch('g')], Command::First, PANES, "", "to the top"),
    bind(&[key(KeyCode::End), ch('G')], Command::Last, PANES, "", "to the end"),
    bind(&[ch('1')], Command::Show(Tab::Instruments), PANES, "", "instruments"),
    bind(&[ch('2')], Command::Show(Tab::Outages), PANES, "", "outages"),
    bind(&[ch('3')], Command::Show(Tab::Processes), PANES, "", "processes with their keys"),
    bind(&[ch('4')], Command::Show(Tab::Actions), PANES, "", "what was done from here, as command lines"),
    bind(&[ch('?')], Command::Help, PANES, "help", "this help"),
    bind(&[ch('q'), ctrl('c')], Command::Quit, PANES, "quit", "quit"),
    // Dialogs.
    bind(&[key(KeyCode::Enter)], Command::Accept, &[C::Form], "go on", "check, then confirm"),
    bind(&[key(KeyCode::Enter), ch('y')], Command::Accept, &[C::Confirm], "do it", "do it"),
    bind(&[key(KeyCode::Enter)], Command::Accept, &[C::Palette], "do it", "do it"),
    bind(&[key(KeyCode::Enter)], Command::Accept, &[C::Filter], "keep", "keep the filter"),
    bind(&[key(KeyCode::Tab)], Command::NextField, &[C::Form], "next field", "next field"),
    bind(&[key(KeyCode::BackTab)], Command::PreviousField, &[C::Form], "", "previous field"),
    bind(&[key(KeyCode::Down), ctrl('n')], Command::NextChoice, &[C::Form, C::Palette], "next choice", "next choice"),
    bind(&[key(KeyCode::Up), ctrl('p')], Command::PreviousChoice, &[C::Form, C::Palette], "", "previous choice"),
    bind(&[key(KeyCode::Esc), ctrl('c')], Command::Cancel, &[C::Form, C::Palette, C::Filter], "cancel", "cancel"),
    bind(&[key(KeyCode::Esc), ch('n'), ctrl('c')], Command::Cancel, &[C::Confirm], "no", "do not"),
    bind(&[key(KeyCode::Up), ch('k')], Command::Up, &[C::Text], "", "up"),
    bind(&[key(KeyCode::Down), ch('j')], Command::Down, &[C::Text], "scroll", "down"),
    bind(&[key(KeyCode::PageUp), ctrl('b')], Command::PageUp, &[C::Text], "", "a page up"),
    bind(&[key(KeyCode::PageDown), ctrl('f')], Command::PageDown, &[C::Text], "", "a page down"),
    bind(&[key(KeyCode::Home), ch('g')], Command::First, &[C::Text], "", "to the top"),
    bind(&[key(KeyCode::End), ch('G')], Command::Last, &[C::Text], "", "to the end"),
    bind(&[key(KeyCode::Esc), key(KeyCode::Enter), ch('q'), ch('?'), ctrl('c')], Command::Cancel, &[C::Text], "close", "close"),
];

/// What `event` orders where the keys go to `context`. `extra` is the caller's own key.
pub(crate) fn command(context: Context, event: KeyEvent, extra: Option<char>) -> Option<Command> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let pressed = Key { code: event.code, control };
    let bound = of(context).find(|binding| binding.keys.contains(&pressed)).map(|binding| binding.command);
    bound.or_else(|| {
        let is_extra = PANES.contains(&context) && !control && extra.is_some_and(|c| event.code == KeyCode::Char(c));
        is_extra.then_some(Command::Extra)
    })
}

/// The bindings of a context.
pub(crate) fn of(context: Context) -> impl Iterator<Item = &'static Binding> {
    BINDINGS.iter().filter(move |binding| binding.contexts.contains(&context))
}

/// Whether a pane uses the key for itself, so that it cannot be the caller's extra key.
pub(crate) fn is_taken(c: char) -> bool {
    BINDINGS.iter().any(|binding| PANES.iter().any(|pane| binding.contexts.contains(pane)) && binding.keys.contains(&ch(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &[Context] =
        &[C::Tree, C::Table, C::Detail, C::Outages, C::Processes, C::Actions, C::Form, C::Confirm, C::Palette, C::Filter, C::Text];

    #[test]
    fn no_key_orders_two_things_in_one_place() {
        for context in ALL {
            let mut seen: Vec<Key> = Vec::new();
            for key in of(*context).flat_map(|binding| binding.keys) {
                assert!(!seen.contains(key), "{key} is bound twice in the {}", context.title());
                seen.push(*key);
            }
        }
    }

    #[test]
    fn every_dialog_can_be_left_and_every_pane_has_help() {
        for context in ALL {
            let has = |command| of(*context).any(|binding| binding.command == command);
            assert!(has(Command::Cancel) || (has(Command::Help) && has(Command::Quit)), "{}", context.title());
        }
    }

    #[test]
    fn what_is_typed_into_a_field_is_never_an_order() {
        for binding in BINDINGS.iter().filter(|binding| binding.contexts.iter().any(|c| c.takes_text())) {
            assert!(binding.keys.iter().all(|key| key.control || !matches!(key.code, KeyCode::Char(_))), "{}", binding.help);
        }
    }
}
