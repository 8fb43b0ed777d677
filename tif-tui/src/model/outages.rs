//! The outages that were told, by this and by earlier lives of the agent.

use std::collections::BTreeMap;

use tif_core::limits;
use tif_core::model::{Key, Name, Outage, OutageId, Stamp};

/// How an outage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It lasts.
    Open,
    /// It is over, and how is known.
    Ended,
    /// The agent that told of it is no more, and the present one knows nothing of it: nobody can say how it ended.
    Forgotten,
}

#[derive(Clone, Debug)]
struct Known {
    outage: Outage,
    /// Who told.
    agent: Option<Key>,
}

/// All outages. Numbers start anew with each life of an agent, so the beginning belongs to the name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outages {
    known: BTreeMap<(Stamp, Name, OutageId), Known>,
}

impl Outages {
    /// `agent` tells of one: that it began, that it is over, or that it remembers it.
    pub(crate) fn tell(&mut self, agent: Option<Key>, outage: Outage) {
        self.known.insert((outage.since, outage.cpu.clone(), outage.id), Known { outage, agent });
        while self.known.len() > limits::OUTAGES_KEPT_MAX {
            self.known.pop_first();
        }
    }

    /// How many are known.
    pub(crate) fn len(&self) -> usize {
        self.known.len()
    }

    /// Latest first, and how each stands while `agent` is the agent.
    pub(crate) fn all(&self, agent: Option<Key>) -> impl Iterator<Item = (&Outage, Standing)> + Clone {
        self.known.values().rev().map(move |known| {
            let standing = match &known.outage.end {
                Some(_) => Standing::Ended,
                None if known.agent == agent => Standing::Open,
                None => Standing::Forgotten,
            };
            (&known.outage, standing)
        })
    }
}
