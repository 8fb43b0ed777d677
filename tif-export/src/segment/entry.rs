//! One entry of a segment's table, as it is written and as a stranger's is read.

use std::sync::atomic::{Ordering, fence};

use tif_core::layout::{DIMS_LEN, ENTRY_LEN, ENTRY_LIVE, SegmentLayout, Storage, entry};
use tif_core::limits::{DECLARATION_LEN_MAX, DIMENSIONS_LEN_MAX};
use tif_core::model::{Descriptor, Dimensions, ValueType};

use super::map::{Map, load_acquire};

/// How often a reader tries again when the entry changed under its eyes.
// spec: EXP-7
const TRIES: u32 = 4;

/// Offset of a slot's entry.
pub(crate) fn offset(layout: &SegmentLayout, slot: u32) -> u64 {
    layout.table.offset + ENTRY_LEN * u64::from(slot)
}

fn dims_offset(layout: &SegmentLayout, slot: u32) -> u64 {
    layout.dims.offset + DIMS_LEN * u64::from(slot)
}

/// What an exporter writes into a slot.
pub(crate) struct Draft<'a> {
    /// The odd generation that it becomes valid with.
    pub(crate) generation: u32,
    pub(crate) storage: Storage,
    pub(crate) cell: u32,
    /// Offset of the declaration record within its region.
    pub(crate) record: u32,
    /// The dimensions as text.
    pub(crate) dims: &'a str,
}

/// Writes an entry, its dimensions, and last the generation that makes it valid. The slot's generation is even now, and nobody else writes.
pub(crate) fn publish(map: &Map, layout: &SegmentLayout, slot: u32, draft: &Draft<'_>) {
    let at = offset(layout, slot);
    let Draft { generation, storage, cell, record, dims } = *draft;
    // Pairs with the acquire fence in `read`: who sees any of what follows sees that the generation before is over.
    fence(Ordering::Release);
    for (field, value) in [
        (entry::DECLARATION, record),
        (entry::STORAGE, storage as u32),
        (entry::CELL, cell),
        (entry::HAS_DIMS, u32::from(!dims.is_empty())),
    ] {
        map.u32(at + field).store(value, Ordering::Relaxed);
    }
    if !dims.is_empty() {
        // A block that counts for nobody is not touched: most pages of the region never become memory.
        let mut block = [0; DIMENSIONS_LEN_MAX + 1];
        block[0] = dims.len() as u8;
        block[1..=dims.len()].copy_from_slice(dims.as_bytes());
        map.write(dims_offset(layout, slot), &block[..=dims.len()]);
    }
    // Pairs with the acquire in `read`.
    map.u32(at + entry::GENERATION).store(generation, Ordering::Release);
}

/// Says that the slot's instrument is gone; only then may its places be used again.
pub(crate) fn retract(map: &Map, layout: &SegmentLayout, slot: u32, generation: u32) {
    map.u32(offset(layout, slot) + entry::GENERATION).store(generation, Ordering::Release);
}

/// An instrument as a reader found it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) generation: u32,
    pub(crate) storage: Storage,
    pub(crate) cell: u32,
    pub(crate) descriptor: Descriptor,
    pub(crate) dims: Dimensions,
}

/// What a reader found in a slot.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Nothing, in this generation.
    Empty(u32),
    /// An instrument.
    Live(Box<Entry>),
    /// Something that is no instrument, in this generation.
    Bad(u32),
    /// It changed all the time.
    Busy,
}

/// The generation now. Odd: there is an instrument.
pub(crate) fn generation(map: &Map, layout: &SegmentLayout, slot: u32) -> u32 {
    load_acquire(map.u32(offset(layout, slot) + entry::GENERATION))
}

/// Reads a stranger's entry: everything is copied, then checked, then believed.
// spec: EXP-7
pub(crate) fn read(map: &Map, layout: &SegmentLayout, slot: u32, scratch: &mut Scratch) -> Seen {
    let at = offset(layout, slot);
    let word = |field| map.u32(at + field).load(Ordering::Relaxed);
    for _ in 0..TRIES {
        let before = generation(map, layout, slot);
        if before & ENTRY_LIVE == 0 {
            return Seen::Empty(before);
        }
        let (record, storage, cell, has_dims) = (word(entry::DECLARATION), word(entry::STORAGE), word(entry::CELL), word(entry::HAS_DIMS));
        let mut dims = [0; DIMS_LEN as usize];
        if has_dims != 0 {
            map.read(dims_offset(layout, slot), &mut dims);
        }
        let copied = scratch.copy(map, layout, record);
        fence(Ordering::Acquire);
        if map.u32(at + entry::GENERATION).load(Ordering::Relaxed) != before {
            continue;
        }
        let parsed = copied.and_then(|()| scratch.parse()).and_then(|d| check(layout, d, storage, cell, &dims, before));
        return parsed.map_or(Seen::Bad(before), |e| Seen::Live(Box::new(e)));
    }
    Seen::Busy
}

fn check(layout: &SegmentLayout, descriptor: Descriptor, storage: u32, cell: u32, dims: &[u8], generation: u32) -> Option<Entry> {
    let storage = Storage::from_code(storage)?;
    let capacity = &layout.capacity;
    let max = match storage {
        Storage::Slot => capacity.slots_max,
        Storage::Counter => capacity.counters_max,
        Storage::Histogram => capacity.histograms_max,
        Storage::Wide => capacity.wides_max,
    };
    let fits = match descriptor.value_type {
        ValueType::Text => storage == Storage::Wide,
        ValueType::Histogram => storage == Storage::Histogram,
        ValueType::U64 => matches!(storage, Storage::Slot | Storage::Counter),
        _ => storage == Storage::Slot,
    };
    let len = usize::from(dims[0]);
    let dims = Dimensions::from_inner_text(std::str::from_utf8(dims.get(1..=len)?).ok()?).ok()?;
    (fits && cell < max).then_some(Entry { generation, storage, cell, descriptor, dims })
}

/// A declaration's bytes on their way, and the last one parsed: neighbours often share one.
#[derive(Default)]
pub(crate) struct Scratch {
    bytes: Vec<u8>,
    last: Option<(Vec<u8>, Descriptor)>,
}

impl Scratch {
    fn copy(&mut self, map: &Map, layout: &SegmentLayout, record: u32) -> Option<()> {
        let record = u64::from(record);
        if !record.is_multiple_of(8) || record + 8 > layout.declarations.len {
            return None;
        }
        let at = layout.declarations.offset + record;
        let len = map.u32(at).load(Ordering::Relaxed) as usize;
        if len > DECLARATION_LEN_MAX || record + 8 + len as u64 > layout.declarations.len {
            return None;
        }
        self.bytes.resize(len, 0);
        map.read(at + 8, &mut self.bytes);
        Some(())
    }

    fn parse(&mut self) -> Option<Descriptor> {
        if let Some((bytes, descriptor)) = &self.last
            && *bytes == self.bytes
        {
            return Some(descriptor.clone());
        }
        let descriptor: Descriptor = rmp_serde::from_slice(&self.bytes).ok()?;
        descriptor.verify().ok()?;
        self.last = Some((self.bytes.clone(), descriptor.clone()));
        Some(descriptor)
    }
}
