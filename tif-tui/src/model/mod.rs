//! What the screen knows. Knows nothing of how it is shown.

mod apply;
pub(crate) mod fact;
pub(crate) mod filter;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod natural;
pub(crate) mod outages;
mod place;
pub(crate) mod row;
pub(crate) mod tally;
pub(crate) mod tree;

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use tif_core::model::{Alarm, InstrumentId, Key, Name, Outage, Stamp};
use tif_core::wire::{OutageRow, ProcessRow};

use fact::{Fact, Link, Now};
use history::Histories;
use outages::Outages;
use row::{Row, RowId};
use tally::Tally;
use tree::Tree;

/// Everything the screen knows of the system.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    rows: HashMap<RowId, Row>,
    next: u64,
    by_instrument: HashMap<InstrumentId, RowId>,
    /// By name, dimensions and source, which stay when the agent's numbers change.
    by_identity: HashMap<String, RowId>,
    sources: HashMap<Name, HashSet<RowId>>,
    /// The tree over all rows.
    pub(crate) tree: Tree,
    /// The last minutes.
    pub(crate) histories: Histories,
    outages: Outages,
    /// As they were when last asked for.
    pub(crate) processes: Vec<ProcessRow>,
    /// When that was.
    pub(crate) processes_at: Option<Stamp>,
    /// The link to the agent.
    pub(crate) link: Link,
    /// The agent's CPU; kept while the link is down.
    pub(crate) cpu: Option<Name>,
    /// The agent, or the last one.
    agent: Option<Key>,
    /// Reports that were coalesced on the way here.
    pub(crate) coalesced: u64,
    structure: u64,
    values: u64,
    visits: Cell<u64>,
}

impl Model {
    /// Nothing known yet; the link is down since `now`.
    pub(crate) fn new(now: Now) -> Model {
        Model {
            rows: HashMap::new(),
            next: 0,
            by_instrument: HashMap::new(),
            by_identity: HashMap::new(),
            sources: HashMap::new(),
            tree: Tree::new(),
            histories: Histories::default(),
            outages: Outages::default(),
            processes: Vec::new(),
            processes_at: None,
            link: Link::Down { since: now.wall },
            cpu: None,
            agent: None,
            coalesced: 0,
            structure: 1,
            values: 1,
            visits: Cell::new(0),
        }
    }

    /// A row. Every look is counted, so that a test can say how many a frame took.
    pub(crate) fn row(&self, id: RowId) -> Option<&Row> {
        self.visits.set(self.visits.get() + 1);
        self.rows.get(&id)
    }

    /// How many looks at rows there were.
    #[cfg(test)]
    pub(crate) fn visits(&self) -> u64 {
        self.visits.get()
    }

    /// Changes when rows come, go or move.
    pub(crate) fn structure(&self) -> u64 {
        self.structure
    }

    /// Changes when values do.
    pub(crate) fn values(&self) -> u64 {
        self.values
    }

    /// How many instruments there are, and how they fare.
    pub(crate) fn tally(&self) -> Tally {
        let all = self.tree.node(Tree::ROOT).map_or_else(Tally::default, |root| root.tally);
        // Behind a cut link nothing is fresh, whatever was last said of it.
        if self.link_down().is_some() { Tally { old: all.rows, ..all } } else { all }
    }

    /// Since when the link is down; none while it is up.
    pub(crate) fn link_down(&self) -> Option<Stamp> {
        match self.link {
            Link::Up { .. } => None,
            Link::Down { since } => Some(since),
        }
    }

    /// The outages, latest first, and how each stands.
    pub(crate) fn outages(&self) -> impl Iterator<Item = (&Outage, outages::Standing)> + Clone {
        self.outages.all(self.agent)
    }

    /// How many are known.
    pub(crate) fn outages_count(&self) -> usize {
        self.outages.len()
    }

    /// How many of them last.
    pub(crate) fn outages_open(&self) -> usize {
        self.outages().filter(|(_, standing)| *standing == outages::Standing::Open).count()
    }

    /// Takes in what happened.
    pub(crate) fn apply(&mut self, fact: Fact, now: Now) {
        match fact {
            Fact::Announced(announcement) => {
                self.announce(announcement);
            }
            Fact::Report { announcement, report } => self.report(announcement, report, now),
            Fact::Removed(announcement) => self.remove(&announcement),
            Fact::Standing { source, standing } => self.stand(&source, standing, now),
            Fact::Outage(outage) => self.outages.tell(self.agent, outage),
            // The processes are asked for anew.
            Fact::ProcessChanged => {}
            Fact::Link(link) => {
                if let Link::Up { cpu, agent } = &link {
                    (self.cpu, self.agent) = (Some(cpu.clone()), Some(*agent));
                }
                self.values += 1;
                self.link = link;
            }
            Fact::Coalesced(count) => self.coalesced += count,
        }
    }

    /// The outages as the agent remembers them.
    pub(crate) fn remember(&mut self, outages: Vec<OutageRow>) {
        for row in outages {
            self.outages.tell(self.agent, row.outage);
        }
    }

    /// How many instruments are in each alarm state, for the header: warning and critical.
    pub(crate) fn alarms(&self) -> [(Alarm, usize); 2] {
        let tally = self.tally();
        [(Alarm::Critical, tally.critical), (Alarm::Warning, tally.warning)]
    }
}
