//! The instruments of this CPU: what importers can see, whoever exports it at the moment.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::io::Conn;
use super::page::After;
use crate::machine::propagation::Propagation;
use crate::model::{
    Address, Descriptor, Dimensions, InstrumentId, Key, Kind, Name, NodeId, Pattern, Quality, Refusal, Slot, Stamp, Time, Value, Version,
    name,
};

/// Where an instrument's value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In a segment of this CPU.
    Here(Key, Slot),
    /// At another CPU's agent, which sends it.
    There(NodeId),
}

/// What is known of an instrument's home on another CPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Far {
    pub cpu: Name,
    pub process: Name,
    pub version: Version,
}

/// What is declared of an instrument.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    pub name: Name,
    pub dims: Dimensions,
    pub descriptor: Arc<Descriptor>,
}

/// One instrument.
#[derive(Clone, Debug)]
pub(super) struct Instrument {
    pub id: InstrumentId,
    /// Whose: the service, or the process where each exports for itself.
    pub source: Name,
    pub name: Name,
    pub dims: Dimensions,
    /// Name and dimensions: its name within the source.
    pub record: String,
    pub descriptor: Arc<Descriptor>,
    /// Where its value is now; none during an outage.
    pub place: Option<Place>,
    /// Of one on another CPU: where that is.
    pub far: Option<Arc<Far>>,
    /// The exporter of its value, also of an old one.
    pub key: Key,
    pub value: Option<Value>,
    pub quality: Quality,
    pub stamp: Stamp,
    pub sampled: Time,
    /// It was read where it is bound now: its value is not one of another exporter or place.
    pub read: bool,
    /// Of a dynamic one that was not computed yet: what stands in its slot. Something else will be a value.
    pub unset: Option<Value>,
    /// Of a dynamic one: it was computed since it is watched, so what stands in its slot is a value.
    pub computed: bool,
    pub propagation: Propagation,
}

impl Instrument {
    /// Which exporter of this CPU has its value, and in which slot.
    pub fn here(&self) -> Option<(Key, Slot)> {
        match self.place {
            Some(Place::Here(key, slot)) => Some((key, slot)),
            _ => None,
        }
    }

    /// Whether somebody may see it: another CPU asks every agent for what that itself has.
    // spec: MON-2
    pub fn is_for(&self, conn: Conn) -> bool {
        conn.peer().is_none() || self.far.is_none()
    }

    pub fn is_dynamic(&self) -> bool {
        matches!(self.descriptor.kind, Kind::Dynamic { .. })
    }

    /// `orders.depth{shard=3}`, with the process where each exports for itself.
    pub fn address(&self) -> String {
        if self.name.as_str().starts_with(self.source.as_str()) && self.name.as_str()[self.source.as_str().len()..].starts_with('.') {
            self.record.clone()
        } else {
            format!("{}@{}", self.record, self.source)
        }
    }
}

/// All of them, found by id, by name and by source.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    by_id: BTreeMap<InstrumentId, Instrument>,
    by_record: BTreeMap<String, BTreeMap<Name, InstrumentId>>,
    by_source: BTreeMap<Name, BTreeSet<InstrumentId>>,
    last: u64,
}

impl Table {
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    pub fn find(&self, id: InstrumentId) -> Option<&Instrument> {
        self.by_id.get(&id)
    }

    pub fn find_mut(&mut self, id: InstrumentId) -> Option<&mut Instrument> {
        self.by_id.get_mut(&id)
    }

    pub fn id_of(&self, record: &str, source: &Name) -> Option<InstrumentId> {
        self.by_record.get(record)?.get(source).copied()
    }

    pub fn of_source(&self, source: &Name) -> impl Iterator<Item = InstrumentId> + use<'_> {
        self.by_source.get(source).into_iter().flatten().copied()
    }

    /// By name, from behind this row on.
    pub fn from(&self, after: Option<After>) -> impl Iterator<Item = &Instrument> {
        let start = after.as_ref().map_or(String::new(), |after| after.record().to_owned());
        let behind = move |record: &str, source: &Name| after.as_ref().is_none_or(|after| after.is_before(record, source));
        self.by_record
            .range(start..)
            .flat_map(|(record, sources)| sources.iter().map(move |(source, id)| (record, source, id)))
            .filter(move |(record, source, _)| behind(record, source))
            .filter_map(|(_, _, id)| self.by_id.get(id))
    }

    /// Adds an instrument, or binds the one of that name anew: it keeps its id. Returns the id, and where it was bound before.
    pub fn bind(
        &mut self,
        source: &Name,
        name: Name,
        dims: Dimensions,
        descriptor: Arc<Descriptor>,
        key: Key,
        slot: Slot,
    ) -> (InstrumentId, Option<(Key, Slot)>) {
        self.bind_to(source, Declared { name, dims, descriptor }, key, Place::Here(key, slot), None)
    }

    /// The same for one on another CPU.
    pub fn bind_far(&mut self, source: &Name, declared: Declared, key: Key, node: NodeId, far: Arc<Far>) -> InstrumentId {
        self.bind_to(source, declared, key, Place::There(node), Some(far)).0
    }

    fn bind_to(
        &mut self,
        source: &Name,
        declared: Declared,
        key: Key,
        place: Place,
        far: Option<Arc<Far>>,
    ) -> (InstrumentId, Option<(Key, Slot)>) {
        let Declared { name, dims, descriptor } = declared;
        let record = format!("{name}{dims}");
        if let Some(id) = self.id_of(&record, source)
            && let Some(known) = self.by_id.get_mut(&id)
        {
            known.descriptor = descriptor;
            let before = known.here();
            known.place = Some(place);
            known.far = far;
            known.computed = false;
            known.read = false;
            known.unset = None;
            if known.key == key {
                known.propagation.on_rebound();
                // It speaks: what was suspected of it is over.
                if matches!(known.quality, Quality::Stale { .. }) {
                    known.quality = Quality::Good;
                }
            } else {
                known.propagation.on_remapped();
                // What it was in another life is not what it is in this; it was not read yet.
                known.value = None;
                known.quality = Quality::Good;
            }
            known.key = key;
            return (id, before);
        }
        self.last += 1;
        let id = InstrumentId(self.last);
        self.by_record.entry(record.clone()).or_default().insert(source.clone(), id);
        self.by_source.entry(source.clone()).or_default().insert(id);
        let instrument = Instrument {
            id,
            source: source.clone(),
            name,
            dims,
            record,
            descriptor,
            place: Some(place),
            far,
            key,
            value: None,
            quality: Quality::Good,
            stamp: Stamp(0),
            sampled: Time::ZERO,
            read: false,
            unset: None,
            computed: false,
            propagation: Propagation::default(),
        };
        self.by_id.insert(id, instrument);
        (id, None)
    }

    pub fn remove(&mut self, id: InstrumentId) -> Option<Instrument> {
        let instrument = self.by_id.remove(&id)?;
        if let Some(sources) = self.by_record.get_mut(&instrument.record) {
            sources.remove(&instrument.source);
            if sources.is_empty() {
                self.by_record.remove(&instrument.record);
            }
        }
        if let Some(of_source) = self.by_source.get_mut(&instrument.source) {
            of_source.remove(&id);
            if of_source.is_empty() {
                self.by_source.remove(&instrument.source);
            }
        }
        Some(instrument)
    }

    /// The one instrument that a person means.
    ///
    /// # Errors
    /// With the nearest names, or with those among which to choose.
    // spec: INS-5
    pub fn resolve(&self, text: &str, is_at: impl Fn(&Instrument, &Name) -> bool) -> Result<InstrumentId, Refusal> {
        let address: Address = text.parse().map_err(|e: name::NameError| Refusal::Malformed { reason: e.to_string() })?;
        let record = format!("{}{}", address.name, address.dims);
        let there = |i: &&Instrument| address.at.as_ref().is_none_or(|at| is_at(i, at));
        let mut found: Vec<&Instrument> = self.named(&record).filter(there).collect();
        // As it is listed, without a place, it is the service's own, though processes that export for themselves have the like.
        if address.at.is_none()
            && let Some(own) = found.iter().copied().find(|i| i.address() == record)
        {
            found = vec![own];
        }
        if let [one] = found.as_slice() {
            return match address.incarnation {
                // Another life of it cannot be changed or called.
                // spec: PSM-7
                Some(inc) if inc != one.key.inc => Err(Refusal::StaleKey { got: Key { inc, ..one.key }, current: Some(one.key) }),
                _ => Ok(one.id),
            };
        }
        if found.is_empty() {
            let more = |i: &&Instrument| address.dims.iter().all(|(key, value)| i.dims.value(key) == Some(value));
            found = self.with_name(&address.name).filter(there).filter(more).collect();
        }
        match found.as_slice() {
            [] | [_] => Err(self.not_found(text, address.name.as_str())),
            some => {
                let candidates = some.iter().take(8).map(|i| i.address()).collect();
                Err(Refusal::Ambiguous { name: text.to_owned(), candidates })
            }
        }
    }

    /// The refusal for an address that is not there. Those of the same name are nearest, before all with the same dimensions; an address is
    /// never offered in its own place.
    pub fn not_found(&self, text: &str, name: &str) -> Refusal {
        let dims = text.parse::<Address>().map_or(Dimensions::NONE, |address| address.dims);
        let shared = |i: &Instrument| dims.iter().filter(|(key, value)| i.dims.value(key) == Some(value)).count();
        let wanted: Option<Name> = name.parse().ok();
        let mut same: Vec<&Instrument> = wanted.as_ref().map_or_else(Vec::new, |name| self.with_name(name).collect());
        same.sort_by_cached_key(|i| Reverse(shared(i)));
        let mut near: Vec<String> = same.into_iter().map(Instrument::address).filter(|a| a != text).take(3).collect();
        if near.is_empty() {
            let names = name::nearest(name, self.by_id.values().map(|i| i.name.as_str()), 3).into_iter().filter(|n| n != text);
            near = names.map(|n| self.only(&n).map_or(n, Instrument::address)).collect();
        }
        Refusal::NotFound { name: text.to_owned(), nearest: near }
    }

    /// The instrument of that name, if there is one only.
    fn only(&self, name: &str) -> Option<&Instrument> {
        let mut all = self.with_name_text(name.to_owned()).filter(|i| i.name.as_str() == name);
        all.next().filter(|_| all.next().is_none())
    }

    /// Those that a pattern fits. A literal name is looked up, not searched for.
    pub fn matching<'a>(
        &'a self,
        pattern: &'a Pattern,
        is_at: impl Fn(&Instrument, &Name) -> bool + 'a,
    ) -> impl Iterator<Item = &'a Instrument> {
        let literal = pattern.literal_name();
        let (named, all) = match &literal {
            Some(name) => (Some(self.with_name_text(name.to_owned())), None),
            None => (None, Some(self.from(None))),
        };
        named
            .into_iter()
            .flatten()
            .chain(all.into_iter().flatten())
            .filter(move |i| pattern.matches(&i.name, &i.dims) && pattern.at().is_none_or(|at| is_at(i, at)))
    }

    fn named<'a>(&'a self, record: &str) -> impl Iterator<Item = &'a Instrument> + use<'a> {
        self.by_record.get(record).into_iter().flat_map(BTreeMap::values).filter_map(|id| self.by_id.get(id))
    }

    /// With these or any dimensions.
    fn with_name<'a>(&'a self, wanted: &'a Name) -> impl Iterator<Item = &'a Instrument> {
        self.with_name_text(wanted.to_string()).filter(move |i| i.name == *wanted)
    }

    /// Those whose name begins so: records of one name with different dimensions stand together.
    fn with_name_text(&self, start: String) -> impl Iterator<Item = &Instrument> + use<'_> {
        let prefix = start.clone();
        self.by_record
            .range(start..)
            .take_while(move |(record, _)| record.starts_with(&prefix))
            .flat_map(|(_, sources)| sources.values())
            .filter_map(|id| self.by_id.get(id))
    }
}

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
