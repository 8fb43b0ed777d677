//! The exporter's side of a segment: making it, declaring instruments in it, reading the board.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, ftruncate, memfd_create};
use tif_core::layout::{self, BoardLayout, CONTROL_LEN, Capacity, HISTOGRAM_CELLS, SegmentLayout, Storage, WIDE_LEN};
use tif_core::limits::DECLARATION_LEN_MAX;
use tif_core::model::{Descriptor, Dimensions, Epoch, Incarnation, Kind, Name, ProcId, Slot, Value, ValueType, Version};

use super::core::Core;
use super::error::{BoardError, DeclareError, SegmentError};
use super::keeper::Keeper;
use super::map::{Map, load_acquire};
use super::shelf::{Full, Shelf};
use super::{CounterCell, HistogramCell, ScalarCell, WideCell, barrier, entry, text};

/// Bytes of a service's name in a header.
pub(crate) const SERVICE_LEN_MAX: usize = 126;

/// What an exporter's segment must be sealed with. `FUTURE_WRITE` keeps whoever gets the descriptor from writing; the exporter's own mapping is older.
pub(crate) const SEALS: SealFlags = SealFlags::from_bits_retain(
    SealFlags::SHRINK.bits() | SealFlags::GROW.bits() | SealFlags::FUTURE_WRITE.bits() | SealFlags::SEAL.bits(),
);

/// A process's segment. Clones are the same segment; it is unmapped when the last clone and the last cell are gone.
#[derive(Clone, Debug)]
pub struct Segment(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    core: Arc<Core>,
    file: OwnedFd,
    shelf: Mutex<Book>,
    service: Name,
}

/// What is taken, and the record under way, kept for its memory.
#[derive(Debug)]
struct Book {
    shelf: Shelf,
    record: Vec<u8>,
}

/// Where an instrument is. Good until it is withdrawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The slot: what messages call it.
    pub slot: Slot,
    /// Where its value is.
    pub storage: Storage,
    /// Its type.
    pub value_type: ValueType,
    cell: u32,
    generation: u32,
}

impl Segment {
    /// Makes a segment: address space of the whole length, memory only where it is touched.
    ///
    /// # Errors
    /// If the capacities make none, or the system has no descriptors or no memory.
    // spec: EXP-3, EXP-6
    pub fn create(service: &Name, capacity: Capacity) -> Result<Segment, SegmentError> {
        let layout = SegmentLayout::new(capacity).map_err(SegmentError::Capacity)?;
        if service.as_str().len() > SERVICE_LEN_MAX {
            return Err(SegmentError::Service { got: service.as_str().len(), max: SERVICE_LEN_MAX });
        }
        let io = |e: rustix::io::Errno| SegmentError::Io(e.into());
        let file = memfd_create(format!("tif:{service}"), MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| memfd_create(format!("tif:{service}"), MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING))
            .map_err(io)?;
        ftruncate(&file, layout.total_len).map_err(io)?;
        let map = Map::shared(&file, layout.total_len, true).map_err(SegmentError::Io)?;
        fcntl_add_seals(&file, SEALS).map_err(io)?;
        let bell = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(io)?;
        let board = Map::reserve(BoardLayout::new(&capacity).total_len).map_err(SegmentError::Io)?;
        write_header(&map, &layout, service);
        let core = Arc::new(Core::new(map, board, layout, Some(bell)));
        let shelf = Mutex::new(Book { shelf: Shelf::new(&capacity), record: Vec::new() });
        Ok(Segment(Arc::new(Inner { core, file, shelf, service: service.clone() })))
    }

    /// The service it was made for.
    pub fn service(&self) -> &Name {
        &self.0.service
    }

    /// The memory file, to be handed to the agent.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.0.file.as_fd()
    }

    /// The doorbell, to be handed to the agent.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.0.core.bell().expect("a segment that was created has a bell").as_fd()
    }

    /// Lets the agent know at once when this process ends, until what is returned is dropped.
    ///
    /// # Errors
    /// If there can be no more threads.
    // spec: PSM-12
    pub(crate) fn keep(&self) -> io::Result<Keeper> {
        Keeper::hold(Arc::clone(&self.0.core.map))
    }

    #[cfg(test)]
    pub(crate) fn keeper_word(&self) -> &std::sync::atomic::AtomicU32 {
        self.0.core.map.u32(layout::segment::KEEPER)
    }

    /// Gives an instrument a place, with its value 0 (or empty), and tells the agent. Store the first value before anybody can be interested, that is, at
    /// once.
    ///
    /// Where there is no room the overflow is counted; a private cell ([`CounterCell::private`] and so on) lets the service go on.
    ///
    /// # Errors
    /// If there is no room, or the declaration makes no sense.
    // spec: EXP-8
    pub fn declare(&self, descriptor: &Descriptor, dims: &Dimensions) -> Result<Place, DeclareError> {
        descriptor.verify().map_err(|reason| DeclareError::Invalid { reason })?;
        let Inner { core, shelf, .. } = &*self.0;
        let (map, layout) = (&*core.map, &core.layout);
        let storage = storage_of(descriptor);
        let mut shelf = shelf.lock();
        let Book { shelf, record } = &mut *shelf;
        encode(descriptor, record)?;
        let found = shelf.take(storage, hash(record), record.len() as u32, |offset| is_at(map, layout, offset, record)).map_err(
            |Full { what, max }| {
                // Relaxed: a figure for people.
                map.u32(layout::segment::OVERFLOW).fetch_add(1, Ordering::Relaxed);
                DeclareError::Full { what, max }
            },
        )?;
        let slot = found.slot;
        if found.is_new_record {
            // Pairs with the reader's acquire fence, as in `entry::publish`: the room may have been another record's.
            fence(Ordering::Release);
            map.write(layout.declarations.offset + u64::from(found.record), record);
            map.u32(layout::segment::DECLARATIONS_USED).store(shelf.records_end(), Ordering::Release);
        }
        self.clear(storage, slot, found.cell);
        let generation = shelf.generation(slot);
        let dims = &dims.inner_text();
        entry::publish(map, layout, slot, &entry::Draft { generation, storage, cell: found.cell, record: found.record, dims });
        // After the entry: a reader that looks so far finds it.
        map.u32(layout::segment::SLOTS_USED).store(shelf.slots_used(), Ordering::Release);
        // Still under the lock: a board that comes now flags what is declared, or sees it flagged.
        core.light();
        core.flag(slot);
        Ok(Place { slot: Slot(slot), storage, value_type: descriptor.value_type, cell: found.cell, generation })
    }

    /// Takes an instrument out. Its cells must not be used from now on. Doing it twice does nothing.
    // spec: EXP-8
    pub fn withdraw(&self, place: Place) {
        let core = &self.0.core;
        let mut book = self.0.shelf.lock();
        if let Some(held) = book.shelf.withdraw(place.slot.0, place.generation) {
            entry::retract(&core.map, &core.layout, place.slot.0, held.generation);
            book.shelf.give_back(place.slot.0, held, place.storage);
            core.light();
            core.flag(place.slot.0);
        }
    }

    /// How many instruments did not fit.
    pub fn overflow(&self) -> u32 {
        self.0.core.map.u32(layout::segment::OVERFLOW).load(Ordering::Relaxed)
    }

    /// The cell of a scalar.
    ///
    /// # Panics
    /// If the instrument is none; so do the next three.
    pub fn scalar(&self, place: &Place) -> ScalarCell {
        assert_eq!(place.storage, Storage::Slot);
        ScalarCell::new(&self.0.core, place.slot.0)
    }

    /// The cell of a counter.
    pub fn counter(&self, place: &Place) -> CounterCell {
        assert_eq!(place.storage, Storage::Counter);
        CounterCell::new(&self.0.core, place.slot.0, place.cell)
    }

    /// The cell of a histogram.
    pub fn histogram(&self, place: &Place) -> HistogramCell {
        assert_eq!(place.storage, Storage::Histogram);
        HistogramCell::new(&self.0.core, place.slot.0, place.cell)
    }

    /// The cell of a text.
    pub fn wide(&self, place: &Place) -> WideCell {
        assert_eq!(place.storage, Storage::Wide);
        WideCell::new(&self.0.core, place.slot.0, place.cell)
    }

    /// Puts the agent's board in the place of the one before (or of none). Cells see it at once. Everything declared so far is flagged, so that the agent
    /// looks at what changed before it came.
    ///
    /// # Errors
    /// If it is not a board for this segment: the one before stays. Or if the system cannot map it: then there is none, and nobody watches.
    // spec: EXP-3
    pub fn attach_board(&self, board: OwnedFd) -> Result<(), BoardError> {
        let Inner { core, shelf, .. } = &*self.0;
        check_board(&board, &core.layout.capacity, core.board_layout.total_len)?;
        // Against declarations under way: they are flagged on the one board or the other.
        let book = shelf.lock();
        core.board.replace(&board).map_err(BoardError::Io)?;
        core.light();
        (0..book.shelf.slots_used()).for_each(|slot| core.flag(slot));
        Ok(())
    }

    /// The version and value of a control as the agent has them; none if it was never changed (or there is no agent), or what is there was meant for
    /// the one that had the slot before.
    pub fn board_control(&self, place: &Place) -> Option<(Version, Value)> {
        let core = &self.0.core;
        let at = core.board_layout.controls.offset + CONTROL_LEN * u64::from(place.slot.0);
        let version = core.board.u64(at);
        // The agent is between two words for nanoseconds; if it dies there, the next agent brings the value again.
        for _ in 0..64 {
            let before = version.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if before != 0 {
                let generation = core.board.u64(at + 16).load(Ordering::Relaxed);
                let value = match place.storage {
                    Storage::Wide => {
                        text::read(&core.board, core.board_layout.wides.offset + WIDE_LEN * u64::from(place.cell)).map(Value::Text)
                    }
                    _ => Value::from_bits(place.value_type, core.board.u64(at + 8).load(Ordering::Relaxed)),
                };
                fence(Ordering::Acquire);
                if version.load(Ordering::Relaxed) == before {
                    return value.filter(|_| generation == u64::from(place.generation)).map(|v| (Version(before), v));
                }
            }
            std::hint::spin_loop();
        }
        None
    }

    /// The watch word of a slot; 0: nobody watches.
    pub fn board_watch(&self, slot: Slot) -> u32 {
        if slot.0 >= self.0.core.layout.capacity.slots_max {
            return 0;
        }
        load_acquire(self.0.core.board.u32(self.0.core.board_layout.watch.offset + 4 * u64::from(slot.0)))
    }

    /// The key that the agent gave this process.
    pub fn board_key(&self) -> (ProcId, Incarnation) {
        let word = |at| self.0.core.board.u64(at).load(Ordering::Relaxed);
        (ProcId(word(layout::board::KEY_PROC)), Incarnation(word(layout::board::KEY_INC)))
    }

    /// The term of its group.
    pub fn board_epoch(&self) -> Epoch {
        Epoch(self.0.core.board.u64(layout::board::EPOCH).load(Ordering::Relaxed))
    }

    /// As if the kernel did not offer the asymmetric barrier.
    #[cfg(test)]
    pub(super) fn without_barrier(self) -> Segment {
        self.0.core.map.u32(layout::segment::BARRIER).store(0, Ordering::Relaxed);
        self
    }

    /// Zeros in the cells of a new instrument. Whoever had them before does not use them any more.
    fn clear(&self, storage: Storage, slot: u32, cell: u32) {
        let (map, layout) = (&*self.0.core.map, &self.0.core.layout);
        // Loads first: what was never used is zero, and should not become memory by being told so.
        let zero = |offset| {
            if map.u64(offset).load(Ordering::Relaxed) != 0 {
                map.u64(offset).store(0, Ordering::Relaxed);
            }
        };
        let lanes = u64::from(self.0.core.lanes_used());
        let lane_starts = (0..lanes).map(|lane| layout.lanes.offset + lane * layout.lane_len);
        match storage {
            Storage::Slot => zero(layout.values.offset + 8 * u64::from(slot)),
            Storage::Counter => lane_starts.for_each(|start| zero(start + 8 * u64::from(cell))),
            Storage::Histogram => lane_starts
                .map(|start| start + layout.lane_histograms + HISTOGRAM_CELLS * 8 * u64::from(cell))
                .for_each(|start| (0..HISTOGRAM_CELLS).for_each(|word| zero(start + 8 * word))),
            Storage::Wide => {
                text::write(map, layout.wides.offset + WIDE_LEN * u64::from(cell), "");
            }
        }
    }
}

/// The record of a declaration: its length, a word of zeros, the MessagePack, zeros up to a multiple of 8.
fn encode(descriptor: &Descriptor, record: &mut Vec<u8>) -> Result<(), DeclareError> {
    record.clear();
    record.resize(8, 0);
    rmp_serde::encode::write_named(record, descriptor).map_err(|e| DeclareError::Invalid { reason: e.to_string() })?;
    let len = record.len() - 8;
    if len > DECLARATION_LEN_MAX {
        return Err(DeclareError::Invalid { reason: format!("{len} bytes; at most {DECLARATION_LEN_MAX} are allowed") });
    }
    record[..4].copy_from_slice(&(len as u32).to_le_bytes());
    record.resize(record.len().next_multiple_of(8), 0);
    Ok(())
}

/// A hash of a record. Only finds candidates: what it finds is compared.
fn hash(record: &[u8]) -> u64 {
    record.chunks_exact(8).fold(0, |hash: u64, word| {
        let word = u64::from_ne_bytes([word[0], word[1], word[2], word[3], word[4], word[5], word[6], word[7]]);
        (hash.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}

/// Whether this record is at that offset of the declaration region.
fn is_at(map: &Map, layout: &SegmentLayout, offset: u32, record: &[u8]) -> bool {
    let offset = u64::from(offset);
    offset + record.len() as u64 <= layout.declarations.len
        && record
            .chunks_exact(8)
            .enumerate()
            .all(|(i, word)| map.u64(layout.declarations.offset + offset + 8 * i as u64).load(Ordering::Relaxed).to_ne_bytes() == *word)
}

fn storage_of(descriptor: &Descriptor) -> Storage {
    match (&descriptor.kind, descriptor.value_type) {
        (_, ValueType::Histogram) => Storage::Histogram,
        (_, ValueType::Text) => Storage::Wide,
        (Kind::Counter, _) => Storage::Counter,
        _ => Storage::Slot,
    }
}

fn write_header(map: &Map, layout: &SegmentLayout, service: &Name) {
    use layout::segment::*;
    let c = &layout.capacity;
    for (at, value) in [
        (VERSION, layout::VERSION),
        (layout::segment::HEADER_LEN, layout::HEADER_LEN as u32),
        (CAPACITY, c.slots_max),
        (CAPACITY + 4, c.lanes_max),
        (CAPACITY + 8, c.counters_max),
        (CAPACITY + 12, c.histograms_max),
        (CAPACITY + 16, c.wides_max),
        (CAPACITY + 20, c.declarations_max),
        (PID, std::process::id()),
        (LANES_USED, 1),
        (layout::segment::BARRIER, u32::from(barrier::register())),
    ] {
        map.u32(at).store(value, Ordering::Relaxed);
    }
    map.u64(TOTAL_LEN).store(layout.total_len, Ordering::Relaxed);
    let mut name = vec![0; 2];
    name.extend_from_slice(service.as_str().as_bytes());
    name[..2].copy_from_slice(&(service.as_str().len() as u16).to_le_bytes());
    map.write(SERVICE, &name);
    for (i, region) in layout.regions().iter().enumerate() {
        let at = REGIONS + 16 * i as u64;
        map.u64(at).store(region.offset, Ordering::Relaxed);
        map.u64(at + 8).store(region.len, Ordering::Relaxed);
    }
    // Published: pairs with the acquire in `reader::open`.
    map.u64(MAGIC).store(layout::SEGMENT_MAGIC, Ordering::Release);
}

fn check_board(board: &OwnedFd, capacity: &Capacity, expected: u64) -> Result<(), BoardError> {
    let seals = fcntl_get_seals(board).map_err(|_| BoardError::Unsealed)?;
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
        return Err(BoardError::Unsealed);
    }
    let stat = fstat(board).map_err(|e| BoardError::Io(e.into()))?;
    let differs = |what, got, expected| if got == expected { Ok(()) } else { Err(BoardError::Differs { what, got, expected }) };
    differs("length", stat.st_size.unsigned_abs(), expected)?;
    let map = Map::shared(board, expected, false).map_err(BoardError::Io)?;
    use layout::board::*;
    let word = |at| u64::from(map.u32(at).load(Ordering::Relaxed));
    differs("magic", map.u64(MAGIC).load(Ordering::Relaxed), layout::BOARD_MAGIC)?;
    fence(Ordering::Acquire);
    differs("version", word(VERSION), layout::VERSION.into())?;
    differs("slots", word(CAPACITY), capacity.slots_max.into())?;
    differs("texts", word(CAPACITY + 4), capacity.wides_max.into())
}
