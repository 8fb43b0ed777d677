//! What the store remembers comes back when an agent starts.

use std::collections::{BTreeMap, BTreeSet};

use super::ending::Ended;
use super::exporting::Exporter;
use super::io::{Moment, ProcessRecord, Start};
use super::outages::Lost;
use super::{Agent, Outbox};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::fates::fates;
use crate::machine::heartbeat::Pulse;
use crate::model::{Cause, Incarnation, Key, Name, ProcessState, Role, Weight};

impl Agent {
    /// What the store remembers comes back.
    // spec: MON-7
    pub(super) fn restore(&mut self, now: Moment, mut start: Start, out: &mut Outbox) {
        self.restore_electing(now, &mut start);
        for policy in start.launchable {
            if let Some(limit) = policy.hung_after {
                self.hung_after.insert(policy.service.clone(), limit);
            }
            self.launcher.allow(now.time, policy.service, policy.members, policy.starts, policy.everywhere);
        }
        for control in start.controls {
            self.ledger.restore(control);
        }
        for change in start.changes {
            self.ledger.remember(change);
        }
        self.ledger.restore_unsettled(start.unsettled);
        self.take_up_unsettled(now, None);
        for call in start.calls {
            self.calls.journal.restore(call);
        }
        for (service, epoch) in start.terms {
            self.groups.insert(service, self.peers.electing.group(epoch));
        }
        for (outage, told) in start.outages {
            if outage.end.is_none() {
                self.sources.entry(outage.source.clone()).or_default().outage = Some(outage.id);
            } else if let Some(state) = self.sources.get_mut(&outage.source) {
                // An earlier one of the same source is over, too.
                state.outage = None;
            }
            self.outages.restore(now, outage, told);
        }
        // Who lived when the agent before this one last looked, and is dead now, died some time between.
        // spec: OUT-4, OUT-6
        let (last_seen, same_boot) = (start.last_seen, start.same_boot);
        let lost = |process: &ProcessRecord| {
            let registered = Moment { time: now.time_of(process.since), stamp: process.since, ..now };
            let at = last_seen.filter(|seen| seen.time > registered.time).unwrap_or(registered);
            Lost { at: if same_boot { at } else { now }, found: Some(now.stamp) }
        };
        // Of those on other kernels nobody can say: they are taken for alive, and listened to.
        // spec: PSM-6
        let elsewhere: Vec<Key> = start.processes.iter().filter(|p| !p.ended && !p.credentials.is_here()).map(|p| p.key).collect();
        let alive: BTreeSet<Key> = start.alive.into_iter().chain(elsewhere.iter().copied()).collect();
        // Of each service those that are no more: whether they left.
        let mut former: BTreeMap<Name, BTreeMap<Incarnation, bool>> = BTreeMap::new();
        // Of each source the exporter that died last.
        let mut died: BTreeMap<Name, ProcessRecord> = BTreeMap::new();
        let fates = fates(&start.processes, &alive);
        for (process, state) in start.processes.into_iter().zip(fates) {
            let live = state.is_live();
            let left = state == ProcessState::Unregistered;
            let found_dead = !live && !process.ended;
            let lost = lost(&process);
            let since = if found_dead { lost.at.time } else { now.time_of(process.since) };
            self.registry.restore(now.time, since, &process, state);
            if found_dead && process.service.is_some() {
                // It died while no agent was there to see how.
                let record = ProcessRecord { ended: true, since: lost.at.stamp, ..process.clone() };
                self.write_end(Ended::of(record), out);
            }
            let Some(service) = process.service.clone() else { continue };
            if !live {
                former.entry(service.clone()).or_default().insert(process.key.inc, left);
            }
            if process.ended && left {
                continue;
            }
            let exporter = Exporter {
                name: process.name.clone(),
                service: service.clone(),
                grouped: process.grouped,
                weight: Weight::default(),
                conn: None,
                ready: false,
                led_before: live && process.grouped && matches!(process.role, Role::Primary | Role::ToBePrimary),
                declared: BTreeMap::new(),
                slots: BTreeMap::new(),
            };
            let source = exporter.source();
            // What one that lives was in an earlier term it is no more: somebody else was elected since. One that is dead was lost as what it was.
            // spec: GRP-8
            let role = if !live || process.term == self.term_of(&service, process.grouped) { process.role } else { Role::Standby };
            let leads = !process.grouped || matches!(role, Role::Primary | Role::ToBePrimary);
            if process.ended {
                // Long ago it is history, with or without a record.
                if leads && now.time.since(now.time_of(process.since)) < limits::CORPSE_RETENTION {
                    let last = died.entry(source).or_insert_with(|| process.clone());
                    if last.key.inc < process.key.inc {
                        *last = process;
                    }
                }
                continue;
            }
            if live {
                if process.grouped {
                    let group = self.groups.entry(service.clone()).or_insert_with(|| self.peers.electing.group(Default::default()));
                    group.restore(process.key, role);
                    if let Some(number) = process.number {
                        self.numbers.entry(service.clone()).or_default().restore(process.key, number);
                    }
                }
                self.exporters.insert(process.key, exporter);
                self.launcher.on_registered(&service);
                if leads {
                    self.sources.entry(source).or_default();
                }
            } else if leads && self.sources.get(&source).is_none_or(|s| s.outage.is_none()) {
                let outage = self.outages.begin(lost, &self.cpu, &source, &process.name, process.key, Cause::Unknown);
                self.stats.outages += 1;
                self.sources.entry(source).or_default().outage = Some(outage.id);
                self.store_outage(outage.id, out);
            }
        }
        // Its end was written down and its outage could not be any more: it is one all the same.
        // spec: OUT-1, OUT-3, MON-7
        for (source, process) in died {
            let is_known = self.sources.get(&source).is_some_and(|s| s.outage.is_some()) || self.outages.of_key(process.key).is_some();
            // If somebody has followed it, that ends it as soon as it is back.
            if !is_known {
                let lost = Lost { at: Moment { time: now.time_of(process.since), stamp: process.since, ..now }, found: None };
                let cause = process.cause.clone().unwrap_or(Cause::Unknown);
                let outage = self.outages.begin(lost, &self.cpu, &source, &process.name, process.key, cause);
                self.sources.entry(source).or_default().outage = Some(outage.id);
                self.store_outage(outage.id, out);
            }
        }
        // Values that have ended with their source, while the store could not be told of it.
        // spec: CTL-7, SEC-3
        for source in self.ledger.sources() {
            self.sources.entry(source).or_default();
        }
        self.expire_sources(now, out);
        for key in elsewhere {
            if self.registry.current(key.proc) == Some(key) && !defect(Defect::ForgetToListen) {
                self.listen_to(now, key, Pulse::SLOWEST);
            }
        }
        for (service, lives) in former {
            // Those that left since the last one died. With another boot everything begins anew.
            let left = lives.values().rev().take_while(|left| **left).count();
            if same_boot {
                self.launcher.on_had_left(&service, u32::try_from(left).unwrap_or(u32::MAX));
            }
            if left == 0 {
                self.launcher.on_found_dead(now.time, &service);
            }
        }
        self.launch_due(now, out);
    }
}
