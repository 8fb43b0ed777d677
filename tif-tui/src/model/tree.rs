//! The tree: CPU, service, process, path, instrument. Every node knows how many instruments lie below it and how they fare.

use std::collections::{BTreeMap, HashMap};

use tif_core::wire::Announcement;

use super::natural::Natural;
use super::place::steps;
use super::row::{Row, RowId};
use super::tally::Tally;

/// Names a node for as long as the screen runs; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u64);

/// What a node stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// All.
    Root,
    /// A CPU.
    Cpu,
    /// A service.
    Service,
    /// A process.
    Process,
    /// A segment of a name.
    Path,
}

/// One node.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) label: Box<str>,
    pub(crate) level: Level,
    pub(crate) parent: Option<NodeId>,
    /// The instrument that this node is, if it is one.
    pub(crate) row: Option<RowId>,
    pub(crate) tally: Tally,
    key: Natural,
    children: BTreeMap<Natural, NodeId>,
}

impl Node {
    /// Whether it can be opened.
    pub(crate) fn is_open_able(&self) -> bool {
        !self.children.is_empty()
    }

    /// Its children, in order.
    pub(crate) fn children(&self) -> impl DoubleEndedIterator<Item = NodeId> {
        self.children.values().copied()
    }
}

/// All nodes.
#[derive(Clone, Debug)]
pub(crate) struct Tree {
    nodes: HashMap<NodeId, Node>,
    next: u64,
}

impl Tree {
    /// The node above all.
    pub(crate) const ROOT: NodeId = NodeId(0);

    /// Only the root.
    pub(crate) fn new() -> Tree {
        let root = Node {
            label: "all".into(),
            level: Level::Root,
            parent: None,
            row: None,
            tally: Tally::default(),
            key: Natural("".into()),
            children: BTreeMap::new(),
        };
        Tree { nodes: HashMap::from([(Tree::ROOT, root)]), next: 1 }
    }

    /// A node, if it is still there.
    pub(crate) fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// Puts an instrument in its place. Its tally is added with [`Tree::count`].
    pub(crate) fn insert(&mut self, announcement: &Announcement, row: RowId) -> NodeId {
        let mut at = Tree::ROOT;
        for step in steps(announcement) {
            let key = Natural(step.key);
            let known = self.nodes.get(&at).and_then(|node| node.children.get(&key).copied());
            let id = known.unwrap_or_else(|| {
                let id = NodeId(self.next);
                self.next += 1;
                let node = Node {
                    label: step.label.clone(),
                    level: step.level,
                    parent: Some(at),
                    row: None,
                    tally: Tally::default(),
                    key: key.clone(),
                    children: BTreeMap::new(),
                };
                self.nodes.insert(id, node);
                if let Some(parent) = self.nodes.get_mut(&at) {
                    parent.children.insert(key, id);
                }
                id
            });
            // A group's process node stays when the role moves; only its name changes.
            if let Some(node) = self.nodes.get_mut(&id)
                && node.label != step.label
            {
                node.label = step.label;
            }
            at = id;
        }
        if let Some(leaf) = self.nodes.get_mut(&at) {
            leaf.row = Some(row);
        }
        at
    }

    /// Counts a row at its leaf and above.
    pub(crate) fn count(&mut self, row: &Row) {
        self.climb(row.node, |tally| tally.add(Tally::of(row)));
    }

    /// Takes a row out of the counts, before it changes.
    pub(crate) fn discount(&mut self, row: &Row) {
        self.climb(row.node, |tally| tally.subtract(Tally::of(row)));
    }

    fn climb(&mut self, leaf: NodeId, mut change: impl FnMut(&mut Tally)) {
        let mut at = Some(leaf);
        while let Some(node) = at.and_then(|id| self.nodes.get_mut(&id)) {
            change(&mut node.tally);
            at = node.parent;
        }
    }

    /// Takes an instrument out, with the nodes that nothing lies below any more. Its row is already discounted.
    pub(crate) fn remove(&mut self, leaf: NodeId) {
        if let Some(node) = self.nodes.get_mut(&leaf) {
            node.row = None;
        }
        let mut at = leaf;
        while at != Tree::ROOT {
            let Some(node) = self.nodes.get(&at) else { return };
            if node.row.is_some() || !node.children.is_empty() {
                return;
            }
            let (parent, key) = (node.parent.unwrap_or(Tree::ROOT), node.key.clone());
            self.nodes.remove(&at);
            if let Some(parent) = self.nodes.get_mut(&parent) {
                parent.children.remove(&key);
            }
            at = parent;
        }
    }

    /// Whether the process above a node is the only one of its service.
    pub(crate) fn is_alone(&self, node: NodeId) -> bool {
        let above = |node: &Node| node.parent.and_then(|id| self.nodes.get(&id));
        let mut at = self.nodes.get(&node);
        while let Some(node) = at.filter(|node| node.level > Level::Service) {
            at = above(node);
        }
        at.is_some_and(|service| service.children.len() == 1)
    }

    /// The instruments at and below a node, in the order of the tree.
    pub(crate) fn rows_below(&self, node: NodeId) -> Vec<RowId> {
        let mut rows = Vec::new();
        let mut waiting = vec![node];
        while let Some(node) = waiting.pop().and_then(|id| self.nodes.get(&id)) {
            rows.extend(node.row);
            waiting.extend(node.children().rev());
        }
        rows
    }

    /// The labels from a level on down to a node, joined with dots: `orders.queue`.
    pub(crate) fn name_of(&self, node: NodeId) -> String {
        let mut labels = Vec::new();
        let mut at = self.nodes.get(&node);
        while let Some(node) = at {
            match node.level {
                Level::Path | Level::Service => labels.push(&*node.label),
                Level::Root | Level::Cpu | Level::Process => {}
            }
            at = node.parent.and_then(|id| self.nodes.get(&id));
        }
        labels.reverse();
        labels.join(".").replace(".{", "{")
    }
}
