//! The store: what was not committed when its agent ended is gone; commits take their time and can fail.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tif_core::agent::io::{ChangeRecord, ControlRecord, LaunchPolicy, Moment, ProcessRecord, Record, Start, Ticket};
use tif_core::limits::PROCESS_NUMBERS_AHEAD;
use tif_core::machine::book::{Book, Entry, Unsettled};
use tif_core::machine::calls::CallRecord;
use tif_core::machine::replication::Log;
use tif_core::machine::witness::Vote;
use tif_core::model::{Epoch, Key, Name, NodeId, Outage, OutageId, RequestId, SetResult, Version};

use crate::check::controls::versions_of;

/// What survives, and what waits to.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// The processes, by name.
    pub processes: BTreeMap<Name, ProcessRecord>,
    /// The controls, by source and name.
    pub controls: BTreeMap<(Name, String), ControlRecord>,
    /// All accepted changes, oldest first.
    pub changes: Vec<ChangeRecord>,
    /// Those that wait to be confirmed.
    pub unsettled: Unsettled,
    /// The journal of calls.
    pub calls: Vec<CallRecord>,
    /// The terms.
    pub terms: BTreeMap<Name, Epoch>,
    /// What this CPU has promised as a voter, by service.
    pub votes: BTreeMap<Name, Vote>,
    /// The logs that several CPUs keep, by service.
    pub logs: BTreeMap<Name, Log<Book>>,
    /// The outages.
    pub outages: BTreeMap<OutageId, (Outage, u64)>,
    /// How often values that are not memorized were forgotten, by source.
    pub forgotten: BTreeMap<Name, u64>,
    /// When the agent last saw to it that the living live.
    pub last_seen: Option<Moment>,
    /// Keys of which the store could not be told.
    pub failed: BTreeSet<Key>,
    /// Calls whose outcome it could not be told.
    pub untold_calls: BTreeSet<RequestId>,
    agent_epoch: u32,
    proc_max: u64,
    queue: VecDeque<(Ticket, Record)>,
}

impl Store {
    /// A write waits. True if it is the first that waits.
    pub fn push(&mut self, ticket: Ticket, record: Record) -> bool {
        self.queue.push_back((ticket, record));
        self.queue.len() == 1
    }

    /// A control as it was accepted last.
    pub fn control(&self, source: &Name, name: &str) -> Option<&ControlRecord> {
        match self.logs.get(source) {
            Some(log) => log.state.control(name),
            None => self.controls.get(&(source.clone(), name.to_owned())),
        }
    }

    /// As which versions a change to these very controls is durable: its id may have been used for another on another CPU, which no agent can know. With the term of the
    /// log that it stands in: an attempt that was never accepted may stand in one of an earlier term, and has been made again since.
    pub fn durable_of(&self, result: &SetResult) -> Option<(Epoch, Vec<Version>)> {
        let own = self.changes.iter().rev().map(|change| (Epoch(0), change));
        let shared = self.logs.values().flat_map(|log| log.state.answers().rev().map(|change| (log.epoch, change)));
        let names = |result: &SetResult| result.changed.iter().map(|c| c.name.clone()).collect::<Vec<_>>();
        let mut all = own.chain(shared);
        let same = all.find(|(_, c)| c.request_id == result.request_id && names(&c.result) == names(result));
        same.map(|(epoch, c)| (epoch, versions_of(&c.result)))
    }

    /// Whether it is durable what became of a call, or could not become so.
    pub fn knows_outcome(&self, id: &RequestId) -> bool {
        self.untold_calls.contains(id) || self.calls.iter().any(|c| c.request_id == *id && c.outcome.is_some())
    }

    /// A call, as the journal has it.
    pub fn call(&self, id: &RequestId) -> Option<&CallRecord> {
        let shared = || self.logs.values().find_map(|log| log.state.call(id));
        self.calls.iter().find(|c| c.request_id == *id).or_else(shared)
    }

    /// Whether it is durable that this one is no more.
    pub fn has_ended(&self, key: Key) -> bool {
        self.processes.values().any(|p| p.key == key && p.ended)
    }

    /// Whether anything waits.
    pub fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// What is committed next.
    pub fn next(&self) -> Option<&Record> {
        self.queue.front().map(|(_, record)| record)
    }

    /// Commits the oldest write, or fails to.
    pub fn commit(&mut self, fails: bool) -> Option<(Ticket, Option<Record>)> {
        let (ticket, record) = self.queue.pop_front()?;
        if fails {
            match &record {
                Record::Process(process) => drop(self.failed.insert(process.key)),
                Record::Call(CallRecord { request_id, outcome: Some(_), .. }) => drop(self.untold_calls.insert(request_id.clone())),
                _ => {}
            }
            return Some((ticket, None));
        }
        match record.clone() {
            Record::Process(process) => {
                self.proc_max = self.proc_max.max(process.key.proc.0 + PROCESS_NUMBERS_AHEAD);
                self.processes.insert(process.name.clone(), process);
            }
            Record::Change(entry) => {
                self.unsettled.take_in(&entry);
                let Entry { controls, change } = entry;
                self.controls.extend(controls.into_iter().map(|control| ((control.source.clone(), control.name.clone()), control)));
                self.changes.push(change);
            }
            Record::Call(call) => match self.calls.iter_mut().find(|c| c.request_id == call.request_id) {
                Some(entered) => *entered = call,
                None => self.calls.push(call),
            },
            Record::NotCalled(id) => self.calls.retain(|c| c.request_id != id),
            Record::Forget { source, but } => {
                self.controls.retain(|(of, name), control| *of != source || control.memorized || but.contains(name));
                *self.forgotten.entry(source).or_default() += 1;
            }
            Record::Vote { service, vote } => drop(self.votes.insert(service, vote)),
            Record::Replicated { service, record } => self.logs.entry(service).or_default().take_in(&record),
            Record::Outage { outage, told } => {
                self.outages.insert(outage.id, (outage, told));
            }
            Record::Term { service, epoch, leader } => {
                self.terms.insert(service, epoch);
                if let Some(leader) = leader {
                    self.processes.insert(leader.name.clone(), *leader);
                }
            }
        }
        Some((ticket, Some(record)))
    }

    /// The agent has ended: what waited is lost.
    pub fn lose_waiting(&mut self) {
        self.queue.clear();
    }

    /// The agent's life was given up by others: the next is later than this.
    pub fn begin_anew(&mut self, above: u32) {
        self.agent_epoch = self.agent_epoch.max(above);
    }

    /// An agent starts. `alive`: whether the OS process of a record still runs.
    pub fn start(&mut self, node: u32, launchable: Vec<LaunchPolicy>, epoch_grows: bool, alive: impl Fn(&ProcessRecord) -> bool) -> Start {
        if epoch_grows || self.agent_epoch == 0 {
            self.agent_epoch += 1;
        }
        let proc_max = self.proc_max;
        self.proc_max += PROCESS_NUMBERS_AHEAD;
        let processes: Vec<ProcessRecord> = self.processes.values().cloned().collect();
        let alive: Vec<Key> = processes.iter().filter(|p| !p.ended && alive(p)).map(|p| p.key).collect();
        Start {
            node: NodeId(node),
            cpu: format!("cpu{node}").parse().ok(),
            offer: crate::world::SPEAKS[0],
            agent_epoch: self.agent_epoch,
            proc_max,
            same_boot: true,
            last_seen: self.last_seen,
            processes,
            alive,
            controls: self.controls.values().cloned().collect(),
            changes: self.changes.clone(),
            unsettled: self.unsettled.clone(),
            calls: self.calls.clone(),
            terms: self.terms.iter().map(|(service, epoch)| (service.clone(), *epoch)).collect(),
            outages: self.outages.values().cloned().collect(),
            launchable,
            voters: Vec::new(),
            store: u64::from(node) << 32 | 0x7f,
            founding: true,
            votes: self.votes.iter().map(|(service, vote)| (service.clone(), vote.clone())).collect(),
            logs: self.logs.iter().map(|(service, log)| (service.clone(), log.clone())).collect(),
        }
    }
}
