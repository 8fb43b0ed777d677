//! Which places of a segment are taken: slots, cells, declaration records. The exporter's own memory; readers never need it.

use std::collections::{BTreeMap, HashMap};

use tif_core::layout::{Capacity, Storage};

/// Free numbers of one kind: those given back, last first, then those never used.
#[derive(Debug)]
struct Rack {
    free: Vec<u32>,
    used: u32,
    max: u32,
}

impl Rack {
    fn new(max: u32) -> Rack {
        Rack { free: Vec::new(), used: 0, max }
    }

    fn take(&mut self) -> Option<u32> {
        self.free.pop().or_else(|| {
            let next = (self.used < self.max).then_some(self.used)?;
            self.used += 1;
            Some(next)
        })
    }
}

/// A declaration record that slots share.
#[derive(Clone, Copy, Debug)]
struct Record {
    offset: u32,
    len: u32,
    slots: u32,
}

/// What a slot holds on to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) generation: u32,
    pub(crate) cell: u32,
    record: u64,
}

/// The book of a segment's places.
#[derive(Debug)]
pub(crate) struct Shelf {
    slots: Rack,
    counters: Rack,
    histograms: Rack,
    wides: Rack,
    records: HashMap<u64, Record>,
    /// Records given back, by length.
    free_records: BTreeMap<u32, Vec<u32>>,
    records_end: u32,
    records_max: u32,
    held: Vec<Held>,
}

/// A place that was found.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    pub(crate) cell: u32,
    /// Offset of the record within the declaration region.
    pub(crate) record: u32,
    /// It must be written there.
    pub(crate) is_new_record: bool,
}

/// What there is no more of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Full {
    pub(crate) what: &'static str,
    pub(crate) max: u32,
}

impl Shelf {
    pub(crate) fn new(capacity: &Capacity) -> Shelf {
        Shelf {
            slots: Rack::new(capacity.slots_max),
            counters: Rack::new(capacity.counters_max),
            histograms: Rack::new(capacity.histograms_max),
            wides: Rack::new(capacity.wides_max),
            records: HashMap::new(),
            free_records: BTreeMap::new(),
            records_end: 0,
            records_max: capacity.declarations_max,
            held: Vec::new(),
        }
    }

    /// A place for an instrument whose record has this hash and takes this many bytes. `is_same(offset)` says whether a record is the same: two may
    /// have one hash. On `Full` nothing is taken.
    pub(crate) fn take(&mut self, storage: Storage, hash: u64, len: u32, is_same: impl Fn(u32) -> bool) -> Result<Found, Full> {
        let slot = self.slots.take().ok_or(Full { what: "instruments", max: self.slots.max })?;
        let cell = match self.rack(storage) {
            None => Ok(slot),
            Some((what, rack)) => rack.take().ok_or(Full { what, max: rack.max }),
        };
        let cell = cell.inspect_err(|_| self.slots.free.push(slot))?;
        // A record of the same hash that is another one is left alone; this one then is nobody's to share.
        let (key, shared) = match self.records.get_mut(&hash) {
            Some(record) if is_same(record.offset) => {
                record.slots += 1;
                (hash, Some(record.offset))
            }
            Some(_) => ((0..).map(|n| hash.wrapping_add(n)).find(|h| !self.records.contains_key(h)).unwrap_or(hash), None),
            None => (hash, None),
        };
        let (record, is_new_record) = match shared {
            Some(offset) => (offset, false),
            None => match self.take_record(len) {
                Some((offset, len)) => {
                    self.records.insert(key, Record { offset, len, slots: 1 });
                    (offset, true)
                }
                None => {
                    self.slots.free.push(slot);
                    if let Some((_, rack)) = self.rack(storage) {
                        rack.free.push(cell);
                    }
                    return Err(Full { what: "bytes of declarations", max: self.records_max });
                }
            },
        };
        if self.held.len() <= slot as usize {
            self.held.resize(slot as usize + 1, Held::default());
        }
        let held = &mut self.held[slot as usize];
        *held = Held { generation: held.generation.wrapping_add(1), cell, record: key };
        Ok(Found { slot, cell, record, is_new_record })
    }

    /// Begins to give a slot back if it is still held in this generation: what it held, with the generation that says it is gone.
    pub(crate) fn withdraw(&mut self, slot: u32, generation: u32) -> Option<Held> {
        let held = self.held.get_mut(slot as usize).filter(|h| h.generation == generation && generation % 2 == 1)?;
        held.generation = generation.wrapping_add(1);
        Some(*held)
    }

    /// Gives the places back. Readers have been told before.
    pub(crate) fn give_back(&mut self, slot: u32, held: Held, storage: Storage) {
        self.slots.free.push(slot);
        if let Some((_, rack)) = self.rack(storage) {
            rack.free.push(held.cell);
        }
        if let Some(record) = self.records.get_mut(&held.record) {
            record.slots -= 1;
            if record.slots == 0 {
                self.free_records.entry(record.len).or_default().push(record.offset);
                self.records.remove(&held.record);
            }
        }
    }

    pub(crate) fn generation(&self, slot: u32) -> u32 {
        self.held[slot as usize].generation
    }

    pub(crate) fn slots_used(&self) -> u32 {
        self.slots.used
    }

    pub(crate) fn records_end(&self) -> u32 {
        self.records_end
    }

    fn rack(&mut self, storage: Storage) -> Option<(&'static str, &mut Rack)> {
        match storage {
            Storage::Slot => None,
            Storage::Counter => Some(("counters", &mut self.counters)),
            Storage::Histogram => Some(("histograms", &mut self.histograms)),
            Storage::Wide => Some(("texts", &mut self.wides)),
        }
    }

    /// Offset and room of a record: one given back that is not much longer, or new room.
    fn take_record(&mut self, len: u32) -> Option<(u32, u32)> {
        let fits = self.free_records.range(len..=len.saturating_add(len / 4 + 64)).next().map(|(room, _)| *room);
        if let Some(room) = fits {
            let offsets = self.free_records.get_mut(&room)?;
            let offset = offsets.pop()?;
            if offsets.is_empty() {
                self.free_records.remove(&room);
            }
            return Some((offset, room));
        }
        let end = self.records_end.checked_add(len).filter(|end| *end <= self.records_max)?;
        let offset = std::mem::replace(&mut self.records_end, end);
        Some((offset, len))
    }
}
