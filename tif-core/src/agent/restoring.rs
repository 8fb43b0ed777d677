//! What the store remembers comes back when an agent starts.

use std::collections::{BTreeMap, BTreeSet};

use super::exporting::Exporter;
use super::io::{Moment, ProcessRecord, Record, Start};
use super::outages::Lost;
use super::{Agent, Outbox, Waiting};
use crate::machine::group::Group;
use crate::model::{Cause, Incarnation, Key, Name, ProcessState, Role};

impl Agent {
    /// What the store remembers comes back.
    // spec: MON-7
    pub(super) fn restore(&mut self, now: Moment, start: Start, out: &mut Outbox) {
        for policy in start.launchable {
            if let Some(limit) = policy.hung_after {
                self.hung_after.insert(policy.service.clone(), limit);
            }
            self.launcher.allow(policy.service, policy.members);
        }
        for control in start.controls {
            self.ledger.restore(control);
        }
        for change in start.changes {
            self.ledger.remember(change);
        }
        for (service, epoch) in start.terms {
            self.groups.insert(service, Group::new(epoch));
        }
        for (outage, told) in start.outages {
            if outage.end.is_none() {
                self.sources.entry(outage.source.clone()).or_default().outage = Some(outage.id);
            }
            self.outages.restore(now, outage, told);
        }
        // Who lived when the agent before this one last looked, and is dead now, died some time between.
        // spec: OUT-4, OUT-6
        let (last_seen, same_boot) = (start.last_seen, start.same_boot);
        let lost = |process: &ProcessRecord| {
            let registered = Moment { time: now.time_of(process.since), stamp: process.since };
            let at = last_seen.filter(|seen| seen.time > registered.time).unwrap_or(registered);
            Lost { at: if same_boot { at } else { now }, found: Some(now.stamp) }
        };
        let alive: BTreeSet<Key> = start.alive.into_iter().collect();
        // Of each service the latest that is no more: whether it died.
        let mut latest: BTreeMap<Name, (Incarnation, bool)> = BTreeMap::new();
        // Of one registration that was taken back and made again, both may be remembered: the later is the one.
        let mut registrations: BTreeMap<(u128, u32, u64), Incarnation> = BTreeMap::new();
        let registration = |p: &ProcessRecord| (p.nonce, p.credentials.pid, p.credentials.started);
        for process in &start.processes {
            let last = registrations.entry(registration(process)).or_default();
            *last = (*last).max(process.key.inc);
        }
        for process in start.processes {
            let is_last = registrations.get(&registration(&process)) == Some(&process.key.inc);
            let live = !process.ended && is_last && alive.contains(&process.key);
            let left = process.ended && process.cause == Some(Cause::Unregistered);
            let state = match (live, left) {
                (true, _) => ProcessState::Unreachable,
                (false, true) => ProcessState::Unregistered,
                (false, false) => ProcessState::Dead,
            };
            let found_dead = !live && !process.ended;
            let lost = lost(&process);
            let since = if found_dead { lost.at.time } else { now.time_of(process.since) };
            self.registry.restore(now.time, since, &process, state);
            if found_dead && process.service.is_some() {
                // It died while no agent was there to see how.
                let record = ProcessRecord { ended: true, since: lost.at.stamp, ..process.clone() };
                self.store(Record::Process(record.clone()), Waiting::Ended(Box::new(record)), out);
            }
            let Some(service) = process.service.clone() else { continue };
            if !live {
                let last = latest.entry(service.clone()).or_insert((process.key.inc, !left));
                *last = (*last).max((process.key.inc, !left));
            }
            if process.ended {
                continue;
            }
            let exporter = Exporter {
                name: process.name.clone(),
                service: service.clone(),
                grouped: process.grouped,
                conn: None,
                ready: false,
                declared: BTreeMap::new(),
                slots: BTreeMap::new(),
            };
            let source = exporter.source();
            // What it was in an earlier term it is no more: somebody else was elected since.
            // spec: GRP-8
            let role = if process.term == self.term_of(&service, process.grouped) { process.role } else { Role::Standby };
            let leads = !process.grouped || matches!(role, Role::Primary | Role::ToBePrimary);
            if live {
                if process.grouped {
                    self.groups.entry(service.clone()).or_default().restore(process.key, role);
                }
                self.exporters.insert(process.key, exporter);
                self.launcher.on_registered(&service);
                if leads {
                    self.sources.entry(source).or_default();
                }
            } else {
                if leads && self.sources.get(&source).is_none_or(|s| s.outage.is_none()) {
                    let outage = self.outages.begin(lost, &self.cpu, &source, &process.name, process.key, Cause::Unknown);
                    self.stats.outages += 1;
                    self.sources.entry(source).or_default().outage = Some(outage.id);
                    self.store_outage(outage.id, out);
                }
            }
        }
        // spec: MON-7, OUT-3
        for (service, (_, died)) in latest {
            if died {
                self.launcher.on_found_dead(now.time, &service);
            }
        }
        self.launch_due(now, out);
    }
}
