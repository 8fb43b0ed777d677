//! What this agent knows of its system: the CPUs, and who leads which group.
// spec: GRP-4, SRV-3

use std::collections::{BTreeMap, BTreeSet};

use super::super::Agent;
use super::super::io::Moment;
use crate::model::{Name, NodeId};
use crate::wire::{CpuRow, CpuState, GroupMember, GroupRow};

impl Agent {
    /// This CPU and all that were seen, by number.
    pub(in super::super) fn cpus(&self, now: Moment) -> Vec<CpuRow> {
        let nodes: BTreeSet<NodeId> = self.peers.seen.iter().chain([&self.key.node]).copied().collect();
        nodes.into_iter().map(|node| self.cpu_row(now, node)).collect()
    }

    fn cpu_row(&self, now: Moment, node: NodeId) -> CpuRow {
        let votes = self.peers.electing.voters.contains(&node);
        if node == self.key.node {
            let (cpu, key, exporters) = (Some(self.cpu.clone()), Some(self.key), self.exporters.len() as u64);
            let workload = Some(self.peers.workload);
            return CpuRow { node, cpu, key, state: CpuState::Own, silent_ms: 0, exporters, votes, workload };
        }
        let life = self.peers.detector.life(node);
        let met = self.peers.met.get(&node);
        let state = match life {
            _ if met.is_some_and(|met| met.spoken().is_err()) => CpuState::Incompatible,
            None => CpuState::Seen,
            Some((_, true)) => CpuState::Down,
            Some(_) if self.peers.detector.is_up(node) => CpuState::Up,
            Some(_) => CpuState::Unreachable,
        };
        let silent = self.peers.detector.heard(node).map(|heard| now.time.since(heard)).unwrap_or_default();
        let peer = self.peers.get(node);
        CpuRow {
            node,
            cpu: peer.and_then(|peer| peer.cpu.clone()),
            key: life.map(|(key, _)| key),
            state,
            silent_ms: u64::try_from(silent.as_millis()).unwrap_or(u64::MAX),
            exporters: peer.map_or(0, |peer| peer.members.len() as u64),
            votes,
            workload: peer.filter(|peer| peer.greeted && !peer.down).map(|peer| peer.host.workload),
        }
    }

    /// The groups that have members anywhere, or are led, as this agent last heard, by service.
    pub(in super::super) fn group_rows(&self) -> Vec<GroupRow> {
        let mut all: BTreeMap<Name, Vec<GroupMember>> = BTreeMap::new();
        for (cpu, member) in self.members_anywhere().filter(|(_, member)| member.grouped) {
            let in_sync = self.in_sync(&member.service).is_none_or(|nodes| nodes.contains(&member.key.node));
            let row = GroupMember {
                cpu,
                process: member.process,
                key: member.key,
                role: member.role,
                number: member.number,
                weight: member.weight,
                ready: member.ready,
                in_sync,
            };
            all.entry(member.service).or_default().push(row);
        }
        for service in self.peers.electing.groups.keys() {
            all.entry(service.clone()).or_default();
        }
        let row = |(service, members): (Name, Vec<GroupMember>)| {
            let here = self.groups.get(&service).map(crate::machine::group::Group::epoch);
            let there = self.peers.members().filter(|m| m.grouped && m.service == service).map(|m| m.epoch);
            let known = self.peers.electing.groups.get(&service).and_then(|shared| shared.term()).map(|term| term.epoch);
            let epoch = there.chain(here).chain(known).max().unwrap_or_default();
            let in_sync = self.in_sync(&service).unwrap_or_default().into_iter().map(|node| self.cpu_name(node)).collect();
            GroupRow { service, epoch, in_sync, members }
        };
        all.into_iter().map(row).collect()
    }

    fn members_anywhere(&self) -> impl Iterator<Item = (Name, crate::wire::Member)> + '_ {
        let here = self.members().into_iter().map(|member| (self.cpu.clone(), member));
        let there = self.peers.iter().filter(|(_, peer)| !peer.down);
        let there = there.flat_map(move |(node, peer)| peer.members.values().map(move |member| (self.cpu_name(node), member.clone())));
        here.chain(there)
    }

    /// The CPUs that have every accepted change of a service, as far as is known here; none if no other CPU is asked.
    fn in_sync(&self, service: &Name) -> Option<BTreeSet<NodeId>> {
        let term = self.peers.electing.groups.get(service).and_then(|shared| shared.term());
        let nodes = term.map(|term| term.in_sync.iter().map(|member| member.node).collect());
        self.peers.electing.is_on().then(|| nodes.unwrap_or_default())
    }

    /// What a CPU is called.
    pub(super) fn cpu_name(&self, node: NodeId) -> Name {
        if node == self.key.node {
            return self.cpu.clone();
        }
        let known = self.peers.get(node).and_then(|peer| peer.cpu.clone());
        known.or_else(|| format!("cpu-{node}").parse().ok()).unwrap_or_else(|| self.cpu.clone())
    }
}

impl super::replicating::Shared {
    /// The newest term that is known here: what was read last, what this CPU leads in, or what it has accepted as a voter.
    fn term(&self) -> Option<&crate::machine::witness::Term> {
        let read = self.register.as_ref().and_then(Option::as_ref);
        let accepted = self.acceptor.as_ref().and_then(|acceptor| acceptor.vote().accepted.as_ref()).map(|(_, term)| term);
        [read, accepted].into_iter().flatten().max_by_key(|term| (term.epoch, term.in_sync.len()))
    }
}
