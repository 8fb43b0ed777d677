//! What can be ordered, and where keys go.

use crate::model::index::Column;

/// What a key can order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    FocusNext,
    FocusPrevious,
    Up,
    Down,
    Left,
    Right,
    PageUp,
    PageDown,
    First,
    Last,
    Drill,
    Back,
    Filter,
    Palette,
    Help,
    Edit,
    Fire,
    Arm,
    Disarm,
    Freeze,
    Zoom,
    Sort,
    SortBy(Column),
    Reverse,
    SameOnCli,
    ReadOnly,
    Show(Tab),
    Quit,
    /// The extra key that the caller of [`crate::run`] has asked for.
    Extra,
    // In dialogs.
    Accept,
    Cancel,
    NextField,
    PreviousField,
    NextChoice,
    PreviousChoice,
}

/// What fills the body of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tab {
    Instruments,
    Outages,
    Processes,
    Actions,
}

impl Tab {
    /// All, in the order of their digits.
    pub(crate) const ALL: [Tab; 4] = [Tab::Instruments, Tab::Outages, Tab::Processes, Tab::Actions];

    /// Its title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Tab::Instruments => "Instruments",
            Tab::Outages => "Outages",
            Tab::Processes => "Processes",
            Tab::Actions => "Actions",
        }
    }
}

/// Where keys go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Context {
    Tree,
    Table,
    Detail,
    Outages,
    Processes,
    Actions,
    Form,
    Confirm,
    Palette,
    Filter,
    Text,
}

impl Context {
    /// Its title in the help.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Context::Tree => "tree",
            Context::Table => "table",
            Context::Detail => "detail",
            Context::Outages => "outages",
            Context::Processes => "processes",
            Context::Actions => "actions",
            Context::Form => "form",
            Context::Confirm => "confirmation",
            Context::Palette => "palette",
            Context::Filter => "filter",
            Context::Text => "text",
        }
    }

    /// Whether what is typed is text.
    pub(crate) fn takes_text(self) -> bool {
        matches!(self, Context::Form | Context::Palette | Context::Filter)
    }
}
