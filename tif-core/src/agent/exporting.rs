//! A process's instruments are declared, bound to their source, and come and go.
//!
//! A source is where importers find instruments: a service's group, or a process that exports for itself. The exporter behind it changes; the instruments
//! keep their ids.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::io::{Conn, Moment, Output, SlotDeclared, TableChange};
use super::outages::Tally;
use super::table::Instrument;
use super::{Agent, Outbox, Resource};
use crate::limits;
use crate::machine::group::{Elected, Group};
use crate::model::{Descriptor, Dimensions, Epoch, InstrumentId, Key, Name, Outage, OutageId, Role, Slot, Time, Weight};
use crate::wire::ToProcess;

/// A process that exports.
#[derive(Debug)]
pub(super) struct Exporter {
    pub name: Name,
    pub service: Name,
    pub grouped: bool,
    /// Among the members of its group.
    pub weight: Weight,
    /// None while its link is gone.
    pub conn: Option<Conn>,
    pub ready: bool,
    /// It led when the agent before this one wrote it down, and has not come to this one yet: that its term is over cannot be put on its board.
    pub led_before: bool,
    pub declared: BTreeMap<Slot, Declared>,
    /// Which instrument is in which slot, while it stands behind its source.
    pub slots: BTreeMap<Slot, InstrumentId>,
}

/// What it declares in one slot.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub descriptor: Arc<Descriptor>,
    pub dims: Dimensions,
    /// Service and path.
    pub name: Name,
}

impl Declared {
    pub(super) fn record(&self) -> String {
        format!("{}{}", self.name, self.dims)
    }
}

impl Exporter {
    /// Where its instruments are found: the service's for a group member, its own otherwise.
    pub fn source(&self) -> Name {
        if self.grouped { self.service.clone() } else { self.name.clone() }
    }

    pub(super) fn declare(&mut self, declared: SlotDeclared) -> Option<Slot> {
        let SlotDeclared { slot, descriptor, dims, .. } = declared;
        // A name that grows too long with its service is a name nobody can ask for.
        let name = self.service.join(&descriptor.path).ok()?;
        self.declared.insert(slot, Declared { descriptor: Arc::new(descriptor), dims, name });
        Some(slot)
    }
}

/// Where importers find instruments, whoever exports them at the moment.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub exporter: Option<Key>,
    pub outage: Option<OutageId>,
    /// Its last exporter took its leave, then.
    pub left: Option<Time>,
    /// Who has let go for the present exporter to take up: nobody here has seen anything of it yet but that.
    // spec: OUT-5
    pub relieved: Option<Key>,
    /// The report of a handover to somebody who is not heard here yet, and how long that may take.
    pub promised: Option<(Outage, Time)>,
}

impl Agent {
    /// All that it will export from the start is declared, and it runs with its controls.
    pub(super) fn on_ready(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        let born = self.registry.on_ready(now.time, key);
        // Said twice over one link it changes nothing: what came since was told as it came.
        let Some(exporter) = self.exporters.get_mut(&key).filter(|e| !e.ready) else { return };
        exporter.ready = true;
        self.touch_member(key);
        let Some(exporter) = self.exporters.get(&key) else { return };
        let (name, service, grouped, source) = (exporter.name.clone(), exporter.service.clone(), exporter.grouped, exporter.source());
        self.announce_process(&name, key, born);
        if !grouped {
            self.bind(now, &source, key, None, out);
            return;
        }
        let Some(group) = self.groups.get_mut(&service) else { return };
        let elected = group.on_ready(key);
        let epoch = group.epoch();
        match (group.role(key), elected) {
            (Some(Role::Primary), _) => drop(self.bind(now, &source, key, None, out)),
            // Its link or the agent ended between its election and its answer: it is asked again.
            (Some(Role::ToBePrimary), None) => {
                self.drop_promotion(key);
                let elected = Elected { key, epoch };
                self.promote_again(now, &service, elected, out);
            }
            (_, elected) => self.elect(now, &service, elected, out),
        }
    }

    /// From now on this exporter stands behind the source: every instrument is bound to it under its old id, and the importers' subscriptions go on.
    /// `relieves`: who has handed over to it. Returns the outage that this ends.
    // spec: OUT-3, OUT-4, SYN-2
    pub(super) fn bind(&mut self, now: Moment, source: &Name, key: Key, relieves: Option<Key>, out: &mut Outbox) -> Option<Outage> {
        self.lose_replaced(now, source, key, relieves, out);
        self.take_home(source);
        let exporter = self.exporters.get_mut(&key)?;
        let process = exporter.name.clone();
        let before: BTreeSet<InstrumentId> = self.table.of_source(source).collect();
        let mut tally = Tally::default();
        let mut bound = BTreeSet::new();
        exporter.slots.clear();
        for (slot, d) in &exporter.declared {
            let (id, was) = self.table.bind(source, d.name.clone(), d.dims.clone(), d.descriptor.clone(), key, *slot);
            // Declared in two slots at once: the later counts.
            if let Some((_, other)) = was.filter(|(of, other)| *of == key && exporter.slots.get(other) == Some(&id)) {
                exporter.slots.remove(&other);
            }
            exporter.slots.insert(*slot, id);
            if bound.insert(id) {
                if before.contains(&id) { tally.remapped += 1 } else { tally.added += 1 }
            }
        }
        let carried = {
            let exporter = &self.exporters[&key];
            self.controls_for(exporter).len() as u64
        };
        tally.carried = carried;
        for id in before.difference(&bound) {
            tally.removed += 1;
            self.remove_instrument(*id, out);
        }
        let state = self.sources.entry(source.clone()).or_default();
        state.relieved = relieves.filter(|before| state.exporter == Some(*before));
        state.exporter = Some(key);
        state.left = None;
        // A source that was forgotten meanwhile comes back to the outage that it left open.
        let outage = state.outage.take().or_else(|| self.outages.open_of(source));
        let ended = outage.and_then(|id| self.outages.end(now, id, &process, key, tally));
        if let Some(outage) = &ended {
            self.store_outage(outage.id, out);
        }
        self.confirm_changes(source, out);
        self.follow_source(now, source, key, relieves, ended.clone(), out);
        ended
    }

    /// Whether this exporter is the one that its source's instruments are bound to.
    pub(super) fn stands_behind(&self, key: Key) -> bool {
        let source = self.exporters.get(&key).and_then(|e| self.sources.get(&e.source()));
        source.is_some_and(|s| s.exporter == Some(key))
    }

    /// Something of its table has changed.
    // spec: EXP-8
    pub(super) fn on_table(&mut self, now: Moment, key: Key, changes: Vec<TableChange>, out: &mut Outbox) {
        let Some(exporter) = self.exporters.get(&key) else { return };
        let source = exporter.source();
        let stands = self.stands_behind(key);
        let mut added = BTreeSet::new();
        for change in changes {
            let Some(exporter) = self.exporters.get_mut(&key) else { return };
            match change {
                TableChange::Declared(declared) => {
                    let Some(slot) = exporter.declare(*declared) else { continue };
                    let d = exporter.declared[&slot].clone();
                    if stands {
                        let before = exporter.slots.remove(&slot);
                        let (id, was) = self.table.bind(&source, d.name.clone(), d.dims.clone(), d.descriptor.clone(), key, slot);
                        // It may have moved here from another slot, whose withdrawal is yet to come.
                        if let Some((_, old)) = was.filter(|(of, old)| *of == key && exporter.slots.get(old) == Some(&id)) {
                            exporter.slots.remove(&old);
                            out.push(Output::Watch { key, slot: old, on: false });
                        }
                        exporter.slots.insert(slot, id);
                        added.insert(id);
                        if let Some(before) = before.filter(|b| *b != id) {
                            added.remove(&before);
                            self.remove_instrument(before, out);
                        }
                    }
                    self.restore_control(key, &source, slot, &d, out);
                }
                TableChange::Withdrawn(slot) => {
                    exporter.declared.remove(&slot);
                    if let Some(id) = exporter.slots.remove(&slot) {
                        added.remove(&id);
                        self.remove_instrument(id, out);
                    }
                }
            }
        }
        self.follow_new(now, &source, key, &added, out);
    }

    /// A control that comes later than its process runs with what was accepted for it, as those do that were there from the start.
    // spec: CTL-7
    pub(super) fn restore_control(&mut self, key: Key, source: &Name, slot: Slot, declared: &Declared, out: &mut Outbox) {
        let held = self.ledger.board(source, [(slot, declared.record(), declared.descriptor.as_ref())].into_iter());
        for control in held {
            out.push(Output::Control { key, control });
            self.tell(out, key, ToProcess::Apply);
        }
    }

    /// The instrument is no more: followers are told, nobody watches it.
    pub(super) fn remove_instrument(&mut self, id: InstrumentId, out: &mut Outbox) {
        let followers: Vec<Conn> = self.interest.waiters(&Resource::Instrument(id)).collect();
        for conn in followers {
            self.unfollow(conn, id);
            self.interest.withdraw_all(&Resource::Instrument(id), conn);
            self.queue(conn, ToProcess::Withdrawn { instruments: vec![id] });
        }
        self.unwatch(id, out);
        self.table.remove(id);
    }

    pub(super) fn role_of(&self, key: Key) -> Role {
        match self.exporters.get(&key) {
            None => Role::Importer,
            Some(e) if !e.grouped => Role::Solo,
            Some(e) => self.groups.get(&e.service).and_then(|g| g.role(key)).unwrap_or(Role::Standby),
        }
    }

    pub(super) fn term_of(&self, service: &Name, grouped: bool) -> Epoch {
        self.groups.get(service).filter(|_| grouped).map(Group::epoch).unwrap_or_default()
    }

    /// Whether an instrument is at the place that somebody named: its CPU, its process, or its source.
    pub(super) fn is_at(&self, instrument: &Instrument, at: &Name) -> bool {
        if let Some(far) = &instrument.far {
            return *at == far.cpu || *at == far.process || *at == instrument.source;
        }
        *at == self.cpu
            || *at == instrument.source
            || self.cpu.join(&instrument.source).is_ok_and(|full| *at == full)
            || self.registry.find(instrument.key).is_some_and(|p| p.name == *at)
    }

    /// A source that has been without an exporter for long is forgotten.
    pub(super) fn expire_sources(&mut self, now: Moment, out: &mut Outbox) {
        let expired: Vec<Name> = self
            .sources
            .iter()
            .filter(|(_, s)| s.exporter.is_none())
            .filter(|(_, s)| s.left.is_none_or(|left| now.time.since(left) >= limits::STALE_AFTER_OUTAGE))
            .filter(|(_, s)| {
                s.outage.and_then(|id| self.outages.find(id)).is_none_or(|(_, began)| now.time.since(began) >= limits::CORPSE_RETENTION)
            })
            .map(|(name, _)| name.clone())
            .collect();
        for source in expired {
            let ids: Vec<InstrumentId> = self.table.of_source(&source).collect();
            let coming = self.exporters.values().any(|e| e.source() == source);
            if !coming {
                for id in ids {
                    self.remove_instrument(id, out);
                }
                if !self.is_shared(&source) && self.ledger.forget_volatile(&source) {
                    self.store_forgotten(source.clone(), out);
                }
                self.sources.remove(&source);
            }
        }
    }
}
