//! Where each byte of the two shared segments lies: arithmetic only. `docs/segment.md` draws it.
//!
//! An exporter's *segment* holds declarations and values; only the exporter writes it, the agent maps it read-only. The agent's *board*
//! holds what the agent tells that exporter (watch words, values last sent, controls); only the agent writes it. All words are
//! little-endian and aligned to their size, all offsets are from the start of the mapping.
// spec: EXP-6

use crate::limits;
use crate::model::histogram;

/// First word of a segment.
pub const SEGMENT_MAGIC: u64 = u64::from_le_bytes(*b"TIFSEG\0\x01");
/// First word of a board.
pub const BOARD_MAGIC: u64 = u64::from_le_bytes(*b"TIFBRD\0\x01");
/// Version of both layouts. A reader refuses a greater one.
pub const VERSION: u32 = 2;
/// Bytes of each header.
pub const HEADER_LEN: u64 = 4096;

/// Slots that share one group flag.
pub const GROUP_SLOTS: u32 = 64;
/// Bytes of one table entry.
pub const ENTRY_LEN: u64 = 32;
/// Bytes of one dimensions block: a length byte and the text.
pub const DIMS_LEN: u64 = 128;
/// Bytes of one wide cell: sequence word, length word, 256 bytes.
pub const WIDE_LEN: u64 = 264;
/// Words of one histogram in one lane: the sum, the buckets, up to a whole cache line.
pub const HISTOGRAM_CELLS: u64 = (histogram::BUCKETS as u64 + 1).next_multiple_of(8);
/// Bytes of one control on a board: version, value, generation of the slot.
pub const CONTROL_LEN: u64 = 24;

/// Offsets within a segment's header.
pub mod segment {
    /// u64 [`super::SEGMENT_MAGIC`], stored last when the segment is published.
    pub const MAGIC: u64 = 0;
    /// u32 [`super::VERSION`].
    pub const VERSION: u64 = 8;
    /// u32 [`super::HEADER_LEN`].
    pub const HEADER_LEN: u64 = 12;
    /// u64 length of the whole segment.
    pub const TOTAL_LEN: u64 = 16;
    /// u32 capacities, in the order of [`super::Capacity`]: slots, lanes, counters, histograms, wides, declaration bytes.
    pub const CAPACITY: u64 = 24;
    /// u32 OS process id of the creator; for people.
    pub const PID: u64 = 48;
    /// u32 slots that were ever used: readers look no further.
    pub const SLOTS_USED: u64 = 52;
    /// u32 lanes that were ever used.
    pub const LANES_USED: u64 = 56;
    /// u32 committed bytes of the declaration region.
    pub const DECLARATIONS_USED: u64 = 60;
    /// u32 instruments that did not fit (EXP-8).
    pub const OVERFLOW: u64 = 64;
    /// u32 the doorbell number last answered; see [`super::board::ARMED`].
    pub const RUNG: u64 = 68;
    /// u32 1 if the exporter is registered for barriers that the agent makes it execute (`membarrier`).
    pub const BARRIER: u64 = 72;
    /// u32 the thread that holds this word as a robust futex while the exporter lives, with [`super::FUTEX_WAITERS`]; the kernel sets [`super::FUTEX_OWNER_DIED`] in it
    /// when that thread ends. 0: none does.
    pub const KEEPER: u64 = 76;
    /// u16 length, then at most 126 bytes: the service's name.
    pub const SERVICE: u64 = 128;
    /// u64 pairs (offset, length) of the regions, in the order of [`super::SegmentLayout`], for readers that know no better.
    pub const REGIONS: u64 = 256;
}

/// Offsets within a board's header.
pub mod board {
    /// u64 [`super::BOARD_MAGIC`].
    pub const MAGIC: u64 = 0;
    /// u32 [`super::VERSION`].
    pub const VERSION: u64 = 8;
    /// u32 [`super::HEADER_LEN`].
    pub const HEADER_LEN: u64 = 12;
    /// u64 length of the whole board.
    pub const TOTAL_LEN: u64 = 16;
    /// u32 slots, u32 wides.
    pub const CAPACITY: u64 = 24;
    /// u32 number of the agent's current sweep; never 0. An exporter stores it into the flags of what changed.
    pub const SWEEP: u64 = 32;
    /// u32 doorbell number: grows each time the agent goes to sleep and wants to be rung. The bell is armed while it differs from
    /// the segment's [`super::segment::RUNG`].
    pub const ARMED: u64 = 36;
    /// u64 the exporter's process id (`ProcId`).
    pub const KEY_PROC: u64 = 40;
    /// u64 its incarnation.
    pub const KEY_INC: u64 = 48;
    /// u64 the term of its group.
    pub const EPOCH: u64 = 56;
    /// u32 1 if the agent's barrier reaches the exporter, so that the exporter needs none of its own. Constant for the board's life.
    pub const BARRIER: u64 = 64;
}

/// Of a futex, as the kernel knows it: somebody may wait for it.
pub const FUTEX_WAITERS: u32 = 0x8000_0000;
/// Of a futex: the thread that held it has ended.
pub const FUTEX_OWNER_DIED: u32 = 0x4000_0000;

/// Bit 0 of a watch word: somebody watches.
pub const WATCHED: u32 = 1;
/// Bit 1 of a watch word: the value in the `sent` region is the one last sent, and may be compared with.
pub const SENT_VALID: u32 = 2;

/// State of a table entry, in the low bit of its generation word.
pub const ENTRY_LIVE: u32 = 1;

/// Offsets within a table entry.
pub mod entry {
    /// u32 generation: odd while an instrument is there; grows by one at each coming and going. Stored last (release), read first (acquire) and again.
    pub const GENERATION: u64 = 0;
    /// u32 offset of the declaration record within the declaration region.
    pub const DECLARATION: u64 = 4;
    /// u32 which [`super::Storage`] holds the value.
    pub const STORAGE: u64 = 8;
    /// u32 index within that storage.
    pub const CELL: u64 = 12;
    /// u32 whether the slot's dimensions block counts.
    pub const HAS_DIMS: u64 = 16;
}

/// Where an instrument's value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Storage {
    /// In the slot's word of the value region.
    Slot = 1,
    /// Summed over the lanes' counter cells at the index.
    Counter = 2,
    /// Summed over the lanes' histograms at the index.
    Histogram = 3,
    /// In the wide cell at the index.
    Wide = 4,
}

impl Storage {
    /// From its number; none if it is no storage.
    pub fn from_code(code: u32) -> Option<Storage> {
        [Storage::Slot, Storage::Counter, Storage::Histogram, Storage::Wide].into_iter().find(|s| *s as u32 == code)
    }
}

/// How much fits in a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// Instruments. A multiple of [`GROUP_SLOTS`].
    pub slots_max: u32,
    /// Threads with a lane of their own, and one more lane (number 0) that all others share.
    pub lanes_max: u32,
    /// Counters.
    pub counters_max: u32,
    /// Histograms.
    pub histograms_max: u32,
    /// Texts.
    pub wides_max: u32,
    /// Bytes of declarations.
    pub declarations_max: u32,
}

impl Default for Capacity {
    /// 16,384 instruments, 63 threads: some 70 MB of address space, of which only what is touched becomes memory.
    fn default() -> Capacity {
        Capacity {
            slots_max: 16_384,
            lanes_max: 64,
            counters_max: 16_384,
            histograms_max: 128,
            wides_max: 1_024,
            declarations_max: 8 << 20,
        }
    }
}

/// Why capacities make no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A capacity is out of bounds.
    #[error("{got} {what}; allowed are {min} to {max}")]
    Capacity {
        /// Of what.
        what: &'static str,
        /// How many.
        got: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// All together are too long.
    #[error("a segment of {got} bytes; at most {} are allowed", limits::SEGMENT_LEN_MAX)]
    TooLong {
        /// The length.
        got: u64,
    },
}

/// Offset and length of one region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// From the start of the mapping; a multiple of 64.
    pub offset: u64,
    /// In bytes.
    pub len: u64,
}

struct Placer(u64);

impl Placer {
    fn place(&mut self, len: u64) -> Region {
        let region = Region { offset: self.0, len };
        // A page between regions keeps untouched tails untouched; pages are what memory is counted in.
        self.0 = (self.0 + len).next_multiple_of(4096);
        region
    }
}

/// Where the regions of a segment lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentLayout {
    /// What fits.
    pub capacity: Capacity,
    /// Declaration records: u32 length of the MessagePack, u32 zero, the bytes, up to a multiple of 8.
    pub declarations: Region,
    /// [`ENTRY_LEN`] bytes a slot.
    pub table: Region,
    /// [`DIMS_LEN`] bytes a slot.
    pub dims: Region,
    /// u64 a slot: the scalars' bits.
    pub values: Region,
    /// u32 a slot: the sweep in which it last changed.
    pub flags: Region,
    /// u32 a group of slots: the same for any of them.
    pub group_flags: Region,
    /// [`WIDE_LEN`] bytes a text.
    pub wides: Region,
    /// One lane behind the other.
    pub lanes: Region,
    /// Bytes of one lane: counters, then histograms.
    pub lane_len: u64,
    /// Offset of the histograms within a lane.
    pub lane_histograms: u64,
    /// The whole.
    pub total_len: u64,
}

impl SegmentLayout {
    /// Places the regions.
    ///
    /// # Errors
    /// If a capacity or the whole is out of bounds.
    // spec: EXP-7
    pub fn new(capacity: Capacity) -> Result<SegmentLayout, LayoutError> {
        let check = |what, got: u32, min: u32, max: u32| {
            if (min..=max).contains(&got) { Ok(u64::from(got)) } else { Err(LayoutError::Capacity { what, got, min, max }) }
        };
        let slots = check("slots", capacity.slots_max, GROUP_SLOTS, limits::SLOTS_MAX)?;
        if !slots.is_multiple_of(u64::from(GROUP_SLOTS)) {
            return Err(LayoutError::Capacity {
                what: "slots, not a multiple of 64",
                got: capacity.slots_max,
                min: GROUP_SLOTS,
                max: limits::SLOTS_MAX,
            });
        }
        let lanes = check("lanes", capacity.lanes_max, 1, limits::LANES_MAX)?;
        let counters = check("counters", capacity.counters_max, 0, limits::SLOTS_MAX)?;
        let histograms = check("histograms", capacity.histograms_max, 0, 1 << 16)?;
        let wides = check("texts", capacity.wides_max, 0, limits::SLOTS_MAX)?;
        let declarations = check("bytes of declarations", capacity.declarations_max, 4096, 1 << 30)?;

        let mut at = Placer(HEADER_LEN);
        let declarations = at.place(declarations);
        let table = at.place(slots * ENTRY_LEN);
        let dims = at.place(slots * DIMS_LEN);
        let values = at.place(slots * 8);
        let flags = at.place(slots * 4);
        let group_flags = at.place(slots / u64::from(GROUP_SLOTS) * 4);
        let wides = at.place(wides * WIDE_LEN);
        let lane_histograms = (counters * 8).next_multiple_of(64);
        let lane_len = (lane_histograms + histograms * HISTOGRAM_CELLS * 8).next_multiple_of(4096);
        let lanes = at.place(lanes * lane_len);
        if at.0 > limits::SEGMENT_LEN_MAX {
            return Err(LayoutError::TooLong { got: at.0 });
        }
        Ok(SegmentLayout {
            capacity,
            declarations,
            table,
            dims,
            values,
            flags,
            group_flags,
            wides,
            lanes,
            lane_len,
            lane_histograms,
            total_len: at.0,
        })
    }

    /// The regions in the order in which the header lists them.
    pub fn regions(&self) -> [Region; 8] {
        [self.declarations, self.table, self.dims, self.values, self.flags, self.group_flags, self.wides, self.lanes]
    }
}

/// Where the regions of a board lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardLayout {
    /// Slots, as in the segment.
    pub slots_max: u32,
    /// Texts of controls, one a slot would be too many: as in the segment.
    pub wides_max: u32,
    /// u32 a slot: [`WATCHED`], [`SENT_VALID`].
    pub watch: Region,
    /// u64 a slot: the bits last sent.
    pub sent: Region,
    /// [`CONTROL_LEN`] bytes a slot: u64 version, u64 bits, u64 generation of the table entry that they are meant for. Version 0: never
    /// changed, or just being changed; the agent stores 0, generation and bits (or the wide cell), then the version (release). A reader
    /// takes version, generation, bits, version again, and nothing of another generation: that was for who had the slot before.
    pub controls: Region,
    /// [`WIDE_LEN`] bytes a text, at the index of the segment's wide cell.
    pub wides: Region,
    /// The whole.
    pub total_len: u64,
}

impl BoardLayout {
    /// Places the regions of the board that goes with a segment of this capacity (which [`SegmentLayout::new`] has accepted).
    pub fn new(capacity: &Capacity) -> BoardLayout {
        let slots = u64::from(capacity.slots_max);
        let mut at = Placer(HEADER_LEN);
        let watch = at.place(slots * 4);
        let sent = at.place(slots * 8);
        let controls = at.place(slots * CONTROL_LEN);
        let wides = at.place(u64::from(capacity.wides_max) * WIDE_LEN);
        BoardLayout { slots_max: capacity.slots_max, wides_max: capacity.wides_max, watch, sent, controls, wides, total_len: at.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // spec: EXP-7
        #[test]
        fn whatever_capacities_a_stranger_names_regions_are_apart_and_within(
            slots_max: u32, lanes_max: u32, counters_max: u32, histograms_max: u32, wides_max: u32, declarations_max: u32,
        ) {
            for capacity in [
                Capacity { slots_max, lanes_max, counters_max, histograms_max, wides_max, declarations_max },
                Capacity {
                    slots_max: slots_max % (1 << 14) * 64, lanes_max: lanes_max % 256 + 1, counters_max: counters_max % (1 << 18),
                    histograms_max: histograms_max % 256, wides_max: wides_max % (1 << 16), declarations_max: declarations_max % (1 << 26),
                },
            ] {
                if let Ok(layout) = SegmentLayout::new(capacity) {
                    let mut end = HEADER_LEN;
                    for region in layout.regions() {
                        prop_assert!(region.offset >= end && region.offset.is_multiple_of(64));
                        end = region.offset + region.len;
                    }
                    prop_assert!(end <= layout.total_len && layout.total_len <= limits::SEGMENT_LEN_MAX);
                }
            }
        }
    }

    // spec: EXP-6
    #[test]
    fn the_default_segment_is_address_space_not_memory() {
        let layout = SegmentLayout::new(Capacity::default()).unwrap();
        assert!(layout.total_len < 100 << 20, "{} bytes", layout.total_len);
    }
}
