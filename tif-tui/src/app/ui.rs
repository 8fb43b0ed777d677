//! What only the screen knows: where one looks, what is open, what is typed.

use ratatui::layout::Size;

use tif_core::model::{Name, OutageId, Stamp};

use super::list::Anchor;
use super::{Dialog, List, Status, TreeState};
use crate::backend::Ticket;
use crate::command_line::Writer;
use crate::keymap::Tab;
use crate::model::filter::Filter;
use crate::model::index::{Column, Index, Sort};
use crate::model::row::RowId;

/// A key of the caller's own.
#[derive(Clone, Debug)]
pub(crate) struct ExtraKey {
    pub(crate) key: char,
    pub(crate) label: String,
    /// Asked before it is done; none: done at once.
    pub(crate) confirm: Option<String>,
}

/// What does not change while the screen runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    /// Nothing can be changed from here, and that cannot be switched off.
    pub(crate) read_only: bool,
    pub(crate) writer: Writer,
    pub(crate) extra: Option<ExtraKey>,
}

/// How bad the text in the status line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
}

/// The three panes of the instruments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pane {
    Tree,
    Table,
    Detail,
}

/// What only the screen knows: where one looks, what is open, what is typed.
#[derive(Clone, Debug)]
pub(crate) struct Ui {
    pub(crate) size: Size,
    pub(crate) tab: Tab,
    pub(crate) pane: Pane,
    pub(crate) zoom: bool,
    pub(crate) tree: TreeState,
    pub(crate) index: Index,
    pub(crate) table: List,
    /// The instrument that the table's cursor and the detail are on.
    pub(crate) selected: Option<RowId>,
    pub(crate) filter_text: String,
    pub(super) filter: Filter,
    pub(crate) sort: Sort,
    pub(crate) detail: List,
    pub(crate) outages: List,
    pub(crate) processes: List,
    pub(crate) actions: List,
    pub(super) outage: Anchor<(Stamp, OutageId)>,
    pub(super) process: Anchor<Name>,
    pub(super) action: Anchor<Ticket>,
    pub(crate) dialogs: Vec<Dialog>,
    pub(crate) status: Status,
    pub(crate) read_only: bool,
    /// The caller's line.
    pub(crate) notice: Option<String>,
}

impl Ui {
    /// As it is at the start.
    pub(super) fn new(settings: &Settings, size: Size) -> Ui {
        Ui {
            size,
            tab: Tab::Instruments,
            pane: Pane::Table,
            zoom: false,
            tree: TreeState::new(),
            index: Index::new(),
            table: List::default(),
            selected: None,
            filter_text: String::new(),
            filter: Filter::default(),
            sort: Sort { column: Column::Name, reversed: false },
            detail: List::default(),
            outages: List::default(),
            processes: List::default(),
            actions: List::default(),
            outage: Anchor::default(),
            process: Anchor::default(),
            action: Anchor::default(),
            dialogs: Vec::new(),
            status: Status::default(),
            read_only: settings.read_only,
            notice: None,
        }
    }
}
