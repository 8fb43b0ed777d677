//! The store's twin in memory, for tests: what is dropped and opened again is what a killed agent would find.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tif_core::agent::io::{ChangeRecord, ControlRecord, ProcessRecord, Record};
use tif_core::limits::{CALLS_KEPT_MAX, OUTAGES_KEPT_MAX, PROCESS_NUMBERS_AHEAD, RESULTS_KEPT_MAX};
use tif_core::machine::book::{Book, Entry, Unsettled};
use tif_core::machine::calls::CallRecord;
use tif_core::machine::replication::Log;
use tif_core::machine::witness::Vote;
use tif_core::model::{Epoch, Name, NodeId, Outage, OutageId, RequestId};

use super::{Remembered, StateStore, StoreError};

/// A store in the process. Clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Mutex<Contents>>);

#[derive(Clone, Debug, Default)]
struct Contents {
    epoch: u32,
    boot: String,
    proc_max: u64,
    processes: BTreeMap<Name, ProcessRecord>,
    controls: BTreeMap<(Name, String), ControlRecord>,
    changes: BTreeMap<u64, ChangeRecord>,
    unsettled: Unsettled,
    change_of: BTreeMap<RequestId, u64>,
    changes_count: u64,
    calls: Vec<CallRecord>,
    terms: BTreeMap<Name, Epoch>,
    outages: BTreeMap<OutageId, (Outage, u64)>,
    votes: BTreeMap<Name, Vote>,
    logs: BTreeMap<Name, Log<Book>>,
    failing: bool,
}

impl Memory {
    /// From now on every commit fails, or no longer.
    pub fn fail(&self, failing: bool) {
        self.0.lock().failing = failing;
    }
}

impl Contents {
    fn write(&mut self, record: &Record) {
        match record {
            Record::Process(process) => {
                self.write_process(process);
            }
            Record::Change(entry) => {
                self.unsettled.take_in(entry);
                let Entry { controls, change } = entry;
                self.controls.extend(controls.iter().map(|control| ((control.source.clone(), control.name.clone()), control.clone())));
                self.changes_count += 1;
                if let Some(before) = self.change_of.insert(change.request_id.clone(), self.changes_count) {
                    self.changes.remove(&before);
                }
                self.changes.insert(self.changes_count, change.clone());
                while self.changes.len() > RESULTS_KEPT_MAX {
                    if let Some((_, oldest)) = self.changes.pop_first() {
                        self.change_of.remove(&oldest.request_id);
                    }
                }
            }
            Record::Call(call) => {
                match self.calls.iter_mut().find(|c| c.request_id == call.request_id) {
                    Some(entered) => *entered = call.clone(),
                    None => self.calls.push(call.clone()),
                }
                let over = self.calls.len().saturating_sub(CALLS_KEPT_MAX);
                self.calls.drain(..over);
            }
            Record::NotCalled(id) => self.calls.retain(|c| c.request_id != *id),
            Record::Forget { source, but } => {
                self.controls.retain(|(of, name), control| of != source || control.memorized || but.contains(name));
            }
            Record::Outage { outage, told } => {
                self.outages.insert(outage.id, (outage.clone(), *told));
                while self.outages.len() > OUTAGES_KEPT_MAX {
                    let ended = self.outages.values().find(|(o, _)| o.end.is_some());
                    let Some(oldest) = ended.or_else(|| self.outages.values().next()).map(|(o, _)| o.id) else { break };
                    self.outages.remove(&oldest);
                }
            }
            Record::Vote { service, vote } => drop(self.votes.insert(service.clone(), vote.clone())),
            Record::Replicated { service, record } => self.logs.entry(service.clone()).or_default().take_in(record),
            Record::Term { service, epoch, leader } => {
                self.terms.insert(service.clone(), *epoch);
                if let Some(leader) = leader {
                    self.write_process(leader);
                }
            }
        }
    }

    fn write_process(&mut self, process: &ProcessRecord) {
        self.proc_max = self.proc_max.max(process.key.proc.0 + PROCESS_NUMBERS_AHEAD);
        self.processes.insert(process.name.clone(), process.clone());
    }
}

impl StateStore for Memory {
    fn begin(&mut self, least: u32, boot: &str) -> Result<u32, StoreError> {
        let mut contents = self.0.lock();
        let next = contents.epoch.checked_add(1).ok_or(StoreError::Refused("the agent's epochs are used up"))?;
        contents.epoch = next.max(least);
        contents.boot = boot.to_owned();
        contents.proc_max += PROCESS_NUMBERS_AHEAD;
        Ok(contents.epoch)
    }

    fn load(&mut self) -> Result<Remembered, StoreError> {
        let contents = self.0.lock();
        Ok(Remembered {
            node: NodeId(1),
            boot: contents.boot.clone(),
            proc_max: contents.proc_max,
            processes: contents.processes.values().cloned().collect(),
            controls: contents.controls.values().cloned().collect(),
            changes: contents.changes.values().cloned().collect(),
            unsettled: contents.unsettled.clone(),
            calls: contents.calls.clone(),
            terms: contents.terms.iter().map(|(service, epoch)| (service.clone(), *epoch)).collect(),
            outages: contents.outages.values().cloned().collect(),
            store: 1,
            founding: false,
            votes: contents.votes.iter().map(|(service, vote)| (service.clone(), vote.clone())).collect(),
            logs: contents.logs.iter().map(|(service, log)| (service.clone(), log.clone())).collect(),
        })
    }

    fn commit(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut contents = self.0.lock();
        if contents.failing {
            return Err(StoreError::Refused("told to fail"));
        }
        for record in records {
            contents.write(record);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance::{self, Again};

    #[test]
    fn a_store_in_memory_keeps_the_contract() {
        conformance::suite(|| {
            let memory = Memory::default();
            let again: Again = Box::new(move || Box::new(memory.clone()));
            again
        });
    }
}
