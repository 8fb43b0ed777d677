//! Services whose groups have members on several CPUs: one primary in the whole system, and nothing accepted is lost.
// spec: CTL-3, CTL-4, GRP-8, GRP-9

use std::collections::BTreeMap;

use tif_core::agent::io::ChangeRecord;
use tif_core::machine::book::Book;
use tif_core::machine::confirm::Keep;
use tif_core::machine::replication::Log;
use tif_core::model::{Epoch, Name, RequestId, SetResult, Value, Version};

use tif_core::wire::OutageRow;

use super::{Verdict, wrong};
use crate::world::{Who, World};

/// What was told to be accepted.
#[derive(Clone, Debug)]
struct Accepted {
    controls: Vec<(String, Version, Value)>,
    /// In which term.
    epoch: Epoch,
}

/// Somebody takes office: on a CPU, in a term.
#[derive(Clone, Debug)]
pub struct Office {
    /// The service.
    pub service: Name,
    /// The term.
    pub epoch: Epoch,
    /// The process.
    pub who: Who,
    /// With which versions of its controls it runs.
    pub runs: BTreeMap<String, Version>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct SharedGroups {
    offices: BTreeMap<(Name, Epoch), (u32, Who)>,
    accepted: BTreeMap<Name, BTreeMap<RequestId, Accepted>>,
}

impl SharedGroups {
    /// I13, I14: one per term, and it has all that was accepted before.
    ///
    /// # Errors
    /// If not.
    pub fn on_office(&mut self, node: u32, office: &Office, log: Option<&Log<Book>>) -> Verdict {
        let Office { service, epoch, who, runs } = office;
        let first = self.offices.insert((service.clone(), *epoch), (node, *who));
        if let Some(first) = first.filter(|first| *first != (node, *who)) {
            return wrong("shared", format!("process {who} of cpu{node} leads {service} in term {epoch}, as {first:?} did"));
        }
        let Some(log) = log else { return wrong("shared", format!("process {who} of cpu{node} leads {service} without a log")) };
        if log.epoch < *epoch {
            return wrong("shared", format!("cpu{node} leads {service} in term {epoch} with a log of term {}", log.epoch));
        }
        for (id, accepted) in self.accepted.get(service).into_iter().flatten() {
            if accepted.epoch <= *epoch && !log.state.is_answered(id) {
                return wrong("shared", format!("{id} ({accepted:?}) of {service} is lost to cpu{node} in term {epoch}"));
            }
        }
        // One that was declared anew a moment ago is not known to its agent yet.
        let is_late = |name: &str, version: Version| version == Version(0) && name.ends_with(".batch");
        // That a change is taken back may be on its way to the others, and to the board.
        // spec: CTL-6
        let settles = |change: &&ChangeRecord| matches!(change.keep, Keep::Settles(..));
        let ends: Vec<&ChangeRecord> = log.state.answers().filter(settles).collect();
        let is_ending = |name: &str, version: Version| {
            let changed = ends.iter().flat_map(|change| &change.result.changed);
            changed.into_iter().any(|c| c.name.split('@').next() == Some(name) && c.version == Version(version.0 + 1))
        };
        for control in log.state.controls().filter(|_| log.epoch == *epoch) {
            if runs.get(&control.name).is_some_and(|version| is_ending(&control.name, *version)) {
                continue;
            }
            // What nobody was told to be accepted may come a moment later: it was accepted while the primary was on its way into office, or is as soon as the others
            // consent to what is in the log of one that led in this term before its agent ended.
            let least = self.accepted_version(service, *epoch, &control.name);
            let fits = |version: Version| (least..=control.version).contains(&version) || is_late(&control.name, version);
            if let Some(version) = runs.get(&control.name).filter(|version| !fits(**version)) {
                let what = format!("cpu{node} leads {service} in term {epoch} with version {version} of {control:?}");
                return wrong("shared", what);
            }
        }
        Ok(())
    }

    /// The last version of a control that somebody was told is accepted, in this term or an earlier one.
    fn accepted_version(&self, service: &Name, epoch: Epoch, control: &str) -> Version {
        let all = self.accepted.get(service).into_iter().flatten().filter(|(_, accepted)| accepted.epoch <= epoch);
        let all = all.flat_map(|(_, accepted)| &accepted.controls);
        all.filter(|(name, _, _)| name == control).map(|(_, version, _)| *version).max().unwrap_or_default()
    }

    /// I15: each request has one answer, and what is answered is where it must be.
    ///
    /// # Errors
    /// If not.
    pub fn on_answer(&mut self, service: &Name, result: &SetResult, logs: &[&Log<Book>]) -> Verdict {
        let id = &result.request_id;
        let holders: Vec<&&Log<Book>> = logs.iter().filter(|log| log.state.is_answered(id)).collect();
        let Some(epoch) = holders.iter().map(|log| log.epoch).max() else {
            return wrong("shared", format!("{id} of {service} is answered, and no CPU has it"));
        };
        if result.replicated && !result.repeated && holders.len() < 2 {
            return wrong("shared", format!("{id} of {service} is said to be replicated, and one CPU has it"));
        }
        let name = |text: &str| text.split('@').next().unwrap_or_default().to_owned();
        let controls: Vec<_> = result.changed.iter().map(|c| (name(&c.name), c.version, c.new.clone())).collect();
        let now = Accepted { controls: controls.clone(), epoch };
        let first = self.accepted.entry(service.clone()).or_default().entry(id.clone()).or_insert(now);
        if first.controls != controls {
            return wrong("shared", format!("{id} of {service} was answered as {first:?} and is as {result:?}"));
        }
        Ok(())
    }

    /// How many changes were accepted for a service.
    pub fn accepted(&self, service: &str) -> usize {
        self.accepted.iter().filter(|(of, _)| of.as_str() == service).map(|(_, ids)| ids.len()).sum()
    }

    /// How many terms somebody took office in.
    pub fn terms(&self, service: &str) -> usize {
        self.offices.keys().filter(|(of, _)| of.as_str() == service).count()
    }
}

/// I19: after the trouble exactly one member leads each group that has any, in the whole system.
///
/// # Errors
/// If not.
pub fn look(worlds: &[&World]) -> Verdict {
    for service in ["orders", "billing"] {
        let of_group = |p: &crate::world::Process| p.welcomed && !p.left && p.exporter().is_some_and(|e| e.service.as_str() == service);
        let members: usize = worlds.iter().map(|w| w.living(of_group).len()).sum();
        let leads = |p: &crate::world::Process| of_group(p) && p.exporter().is_some_and(|e| e.primary_in.is_some());
        let primaries: Vec<_> = worlds.iter().flat_map(|w| w.living(leads).into_iter().map(|who| (w.node, who))).collect();
        if members > 0 && primaries.len() != 1 {
            return wrong("shared", format!("{service} has {members} members, and {primaries:?} lead it"));
        }
        if members > 0 {
            worlds.iter().try_for_each(|world| look_at_outages(world, service))?;
        }
    }
    Ok(())
}

/// What is led is in no outage, least of all where that began.
// spec: OUT-4, OUT-6
fn look_at_outages(world: &World, service: &str) -> Verdict {
    let rows = world.agent.as_ref().map(|agent| agent.outages(world.time())).unwrap_or_default();
    let lasts = |row: &&OutageRow| row.outage.source.as_str() == service && row.outage.cpu == world.cpu() && row.outage.end.is_none();
    match rows.iter().find(lasts) {
        Some(row) => {
            wrong("shared", format!("{service} is led, and on {} its outage {} lasts: {:?}", world.cpu(), row.outage.id, row.outage.cause))
        }
        None => Ok(()),
    }
}
