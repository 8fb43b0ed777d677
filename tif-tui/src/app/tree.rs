//! Which nodes of the tree are open, and the lines that this makes.

use std::collections::HashSet;
use std::time::Duration;

use tif_core::model::Time;

use super::list::List;
use crate::model::Model;
use crate::model::fact::Now;
use crate::model::tree::{Level, NodeId, Tree};

/// One line of the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) node: NodeId,
    pub(crate) depth: u16,
}

/// As for the table: a long list is not made anew with everything that comes and goes.
const REMAKE_AT_ONCE_MAX: usize = 500;
const REMAKE_PAUSE: Duration = Duration::from_secs(1);

/// The tree as it is open now.
#[derive(Clone, Debug)]
pub(crate) struct TreeState {
    pub(crate) list: List,
    lines: Vec<Line>,
    /// Nodes that are not as they are by default: open down to the processes, closed below.
    flipped: HashSet<NodeId>,
    flips: u64,
    made_for: (u64, u64),
    made_at: Time,
    selected: Option<NodeId>,
}

impl TreeState {
    /// As it is by default.
    pub(crate) fn new() -> TreeState {
        TreeState {
            list: List::default(),
            lines: Vec::new(),
            flipped: HashSet::new(),
            flips: 0,
            made_for: (0, 0),
            made_at: Time::ZERO,
            selected: None,
        }
    }

    /// The lines, from top to bottom. Nodes may be gone from the model by now.
    pub(crate) fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The node that the cursor is on.
    pub(crate) fn selected(&self) -> Option<NodeId> {
        self.lines.get(self.list.cursor).map(|line| line.node)
    }

    /// The node whose instruments are in the table: the selected one, or the one above if that is a single instrument.
    pub(crate) fn scope(&self, model: &Model) -> Option<NodeId> {
        let id = self.selected()?;
        let node = model.tree.node(id)?;
        if node.is_open_able() { Some(id) } else { node.parent }
    }

    /// Whether a node is open.
    pub(crate) fn is_open(&self, model: &Model, id: NodeId) -> bool {
        model.tree.node(id).is_some_and(|node| (node.level < Level::Process) != self.flipped.contains(&id))
    }

    /// Opens or closes a node.
    pub(crate) fn open(&mut self, model: &Model, id: NodeId, open: bool) {
        if self.is_open(model, id) != open {
            if !self.flipped.remove(&id) {
                self.flipped.insert(id);
            }
            self.flips += 1;
        }
    }

    /// Opens all above a node and puts the cursor on it.
    pub(crate) fn reveal(&mut self, model: &Model, id: NodeId, now: Now) {
        let mut above = model.tree.node(id).and_then(|node| node.parent);
        while let Some(at) = above {
            self.open(model, at, true);
            above = model.tree.node(at).and_then(|node| node.parent);
        }
        self.flips += 1;
        self.refresh(model, now);
        if let Some(at) = self.lines.iter().position(|line| line.node == id) {
            self.list.cursor = at;
        }
    }

    /// When the lines should be made anew because the model has changed; none if they fit.
    pub(crate) fn overdue(&self, model: &Model) -> Option<Time> {
        match self.made_for.0 == model.structure() {
            true => None,
            false if self.lines.len() <= REMAKE_AT_ONCE_MAX => Some(self.made_at),
            false => Some(self.made_at + REMAKE_PAUSE),
        }
    }

    /// Makes the lines anew if they must be. The cursor stays on its node.
    pub(crate) fn refresh(&mut self, model: &Model, now: Now) {
        if self.made_for.1 == self.flips && self.overdue(model).is_none_or(|due| now.mono < due) {
            return;
        }
        self.selected = self.selected().or(self.selected);
        self.lines.clear();
        let mut waiting = vec![Line { node: Tree::ROOT, depth: 0 }];
        while let Some(line) = waiting.pop() {
            let Some(node) = model.tree.node(line.node) else { continue };
            self.lines.push(line);
            if self.is_open(model, line.node) {
                waiting.extend(node.children().rev().map(|child| Line { node: child, depth: line.depth + 1 }));
            }
        }
        self.made_for = (model.structure(), self.flips);
        self.made_at = now.mono;
        // What was selected may have gone, or lie in a node that was closed: then the nearest line above.
        let mut wanted = self.selected;
        while let Some(id) = wanted {
            if let Some(at) = self.lines.iter().position(|line| line.node == id) {
                self.list.cursor = at;
                break;
            }
            wanted = model.tree.node(id).and_then(|node| node.parent);
        }
    }
}
