//! A stranger's segment, mapped for reading. Whatever stands in it, every read stays within the mapping and ends.
// spec: EXP-7

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use rustix::fs::{SealFlags, fcntl_get_seals, fstat, fstatfs, readlinkat};
use tif_core::layout::{self, Capacity, HEADER_LEN, HISTOGRAM_CELLS, SegmentLayout, Storage, WIDE_LEN};
use tif_core::limits::SEGMENT_LEN_MAX;
use tif_core::model::histogram::{BUCKETS, Histogram};
use tif_core::model::{Name, Value, ValueType};

use super::error::OpenError;
use super::map::{Map, load_acquire};
use super::text;
use super::writer::SERVICE_LEN_MAX;

/// File system type of plain memory files. Those of huge pages fault when none are left.
const TMPFS_MAGIC: u64 = 0x0102_1994;

/// A segment as its reader sees it.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) map: Arc<Map>,
    pub(crate) layout: SegmentLayout,
    pub(crate) service: Name,
    /// The exporter says that it is registered for the agent's barrier.
    pub(crate) reachable: bool,
}

/// Where an instrument's value is, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source {
    pub(crate) storage: Storage,
    pub(crate) cell: u32,
    pub(crate) value_type: ValueType,
    pub(crate) scale: f64,
}

impl Reader {
    /// Maps a segment after checking that it can be relied on not to change its size, and that it lies as ours do.
    pub(crate) fn open(file: &OwnedFd) -> Result<Reader, OpenError> {
        // Only memory files answer this, so that what follows is not a question to a stranger's file system, which may never answer.
        let seals = fcntl_get_seals(file).map_err(|_| OpenError::Unsealed)?;
        if !seals.contains(SealFlags::SHRINK | SealFlags::GROW) {
            return Err(OpenError::Unsealed);
        }
        let io = |e: rustix::io::Errno| OpenError::Io(e.into());
        if fstatfs(file).map_err(io)?.f_type as u64 != TMPFS_MAGIC {
            return Err(OpenError::Unsealed);
        }
        let len = fstat(file).map_err(io)?.st_size.unsigned_abs();
        if !(HEADER_LEN..=SEGMENT_LEN_MAX).contains(&len) {
            return Err(OpenError::Differs { what: "length", got: len, expected: SEGMENT_LEN_MAX });
        }
        let map = Map::shared(file, len, false).map_err(OpenError::Io)?;
        let layout = check_header(&map, len)?;
        let service = service(&map).ok_or(OpenError::Service)?;
        let reachable = map.u32(layout::segment::BARRIER).load(Ordering::Relaxed) == 1;
        let map = Arc::new(map);
        Ok(Reader { map, layout, service, reachable })
    }

    /// Slots to look at: those ever used, as the exporter says, and never more than there are.
    pub(crate) fn slots(&self) -> u32 {
        load_acquire(self.map.u32(layout::segment::SLOTS_USED)).min(self.layout.capacity.slots_max)
    }

    fn lanes(&self) -> u64 {
        u64::from(load_acquire(self.map.u32(layout::segment::LANES_USED)).clamp(1, self.layout.capacity.lanes_max))
    }

    /// The flag of a slot, with what was written before it.
    pub(crate) fn flag(&self, slot: u32) -> u32 {
        load_acquire(self.map.u32(self.layout.flags.offset + 4 * u64::from(slot)))
    }

    /// The flag of a group, with what was written before it.
    pub(crate) fn group_flag(&self, group: u32) -> u32 {
        load_acquire(self.map.u32(self.layout.group_flags.offset + 4 * u64::from(group)))
    }

    /// The bits of a scalar.
    pub(crate) fn bits(&self, slot: u32) -> u64 {
        self.map.u64(self.layout.values.offset + 8 * u64::from(slot)).load(Ordering::Relaxed)
    }

    /// The value; none of a text that is being written all the time.
    pub(crate) fn value(&self, source: &Source) -> Option<Value> {
        match source.storage {
            Storage::Slot => Value::from_bits(source.value_type, self.bits(source.cell)),
            Storage::Counter => Some(Value::U64(self.sum(8 * u64::from(source.cell)))),
            Storage::Histogram => {
                let start = self.layout.lane_histograms + HISTOGRAM_CELLS * 8 * u64::from(source.cell);
                let counts = (1..=BUCKETS as u64).map(|word| self.sum(start + 8 * word));
                Some(Value::Histogram(Box::new(Histogram::from_buckets(source.scale, self.sum(start), counts))))
            }
            Storage::Wide => text::read(&self.map, self.layout.wides.offset + WIDE_LEN * u64::from(source.cell)).map(Value::Text),
        }
    }

    /// Sum of one word over the lanes in use.
    fn sum(&self, within_lane: u64) -> u64 {
        let cell = |lane| self.map.u64(self.layout.lanes.offset + lane * self.layout.lane_len + within_lane);
        (0..self.lanes()).fold(0u64, |all, lane| all.wrapping_add(cell(lane).load(Ordering::Relaxed)))
    }
}

fn check_header(map: &Map, len: u64) -> Result<SegmentLayout, OpenError> {
    use layout::segment::*;
    let differs = |what, got, expected| if got == expected { Ok(()) } else { Err(OpenError::Differs { what, got, expected }) };
    let word = |at| map.u32(at).load(Ordering::Relaxed);
    differs("magic", map.u64(MAGIC).load(Ordering::Relaxed), layout::SEGMENT_MAGIC)?;
    // Pairs with the release of the magic in `writer`.
    fence(Ordering::Acquire);
    differs("version", word(VERSION).into(), layout::VERSION.into())?;
    differs("header length", word(HEADER_LEN).into(), layout::HEADER_LEN)?;
    differs("length", map.u64(TOTAL_LEN).load(Ordering::Relaxed), len)?;
    let capacity = Capacity {
        slots_max: word(CAPACITY),
        lanes_max: word(CAPACITY + 4),
        counters_max: word(CAPACITY + 8),
        histograms_max: word(CAPACITY + 12),
        wides_max: word(CAPACITY + 16),
        declarations_max: word(CAPACITY + 20),
    };
    // From here on only this copy of the capacities counts; what is written over them later changes nothing.
    let layout = SegmentLayout::new(capacity).map_err(OpenError::Capacity)?;
    differs("length for its capacities", len, layout.total_len)?;
    for (i, region) in layout.regions().iter().enumerate() {
        let at = REGIONS + 16 * i as u64;
        differs("region's offset", map.u64(at).load(Ordering::Relaxed), region.offset)?;
        differs("region's length", map.u64(at + 8).load(Ordering::Relaxed), region.len)?;
    }
    Ok(layout)
}

fn service(map: &Map) -> Option<Name> {
    let mut bytes = [0; 2 + SERVICE_LEN_MAX];
    map.read(layout::segment::SERVICE, &mut bytes);
    let len = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
    std::str::from_utf8(bytes.get(2..2 + len)?).ok()?.parse().ok()
}

/// Whether a descriptor is an eventfd: any other file's owner could make polling it wait.
pub(crate) fn is_eventfd(file: &OwnedFd) -> bool {
    let path = format!("/proc/self/fd/{}", file.as_fd().as_raw_fd());
    readlinkat(rustix::fs::CWD, path, Vec::new()).is_ok_and(|target| target.as_bytes() == b"anon_inode:[eventfd]")
}
