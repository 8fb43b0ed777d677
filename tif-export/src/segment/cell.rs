//! The cells that instruments hold: a few words each, and an update that is a store or an add.
//!
//! A cell keeps its segment mapped. It stays usable after its instrument was withdrawn, but must not be used then: another instrument may have the place.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use tif_core::layout::{self, HISTOGRAM_CELLS, SENT_VALID, WIDE_LEN};
use tif_core::model::histogram::{BUCKETS, Histogram, bucket_of};

use super::core::Core;
use super::map::Map;
use super::{lane, text};

/// One scalar: a gauge, a control, the hits of a test point.
#[derive(Clone, Debug)]
pub struct ScalarCell(Seat);

/// One counter, spread over the lanes.
#[derive(Clone, Debug)]
pub struct CounterCell(Seat);

/// One histogram, spread over the lanes.
#[derive(Clone, Debug)]
pub struct HistogramCell(Seat);

/// One text.
#[derive(Clone, Debug)]
pub struct WideCell {
    seat: Seat,
    offset: u64,
    /// The memory of a cell that is in no segment.
    private: Option<Arc<Map>>,
}

impl ScalarCell {
    pub(super) fn new(core: &Arc<Core>, slot: u32) -> ScalarCell {
        let cell = core.map.address(core.layout.values.offset + 8 * u64::from(slot), 8);
        ScalarCell(Seat::new(core, cell, slot))
    }

    /// A cell in no segment, for when there is no room: it holds its value, and nobody outside sees it.
    pub fn private() -> ScalarCell {
        ScalarCell(Seat::private(1))
    }

    /// Stores the value's bits. If somebody watches, `judge` is asked whether going from the bits last sent to these matters; where nothing was sent yet
    /// it does.
    // spec: EXP-2, INS-6
    #[inline]
    pub fn store(&self, bits: u64, judge: impl FnOnce(u64) -> bool) {
        self.0.word().store(bits, Ordering::Relaxed);
        if self.0.watch() != 0 {
            self.0.judged(judge);
        }
    }

    /// The value's bits.
    // spec: CTL-2
    #[inline]
    pub fn load(&self) -> u64 {
        self.0.word().load(Ordering::Relaxed)
    }

    /// Whether somebody watches.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.0.watch() != 0
    }
}

impl CounterCell {
    pub(super) fn new(core: &Arc<Core>, slot: u32, index: u32) -> CounterCell {
        let offset = core.layout.lanes.offset + 8 * u64::from(index);
        let all_lanes = core.layout.lane_len * u64::from(core.layout.capacity.lanes_max - 1) + 8;
        CounterCell(Seat::new(core, core.map.address(offset, all_lanes), slot))
    }

    /// A cell in no segment, for when there is no room: it counts, and nobody outside sees it.
    pub fn private() -> CounterCell {
        CounterCell(Seat::private(1))
    }

    /// Adds. Counts of a signal handler on the same thread are not lost.
    // spec: EXP-2
    #[inline]
    pub fn add(&self, n: u64) {
        let lane = self.0.lane();
        if let Some(own) = lane {
            // SAFETY: `own` is a lane of this segment and of this thread; `new` has checked that a counter's cells of all lanes are mapped.
            unsafe { add_own(self.0.in_lane(own), n) };
        } else {
            self.0.add_slowly(&[(0, n)]);
        }
        if self.0.watch() != 0 {
            self.0.changed();
        }
    }

    /// What was counted, over all lanes.
    pub fn sum(&self) -> u64 {
        self.0.sum(0)
    }

    /// Whether somebody watches.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.0.watch() != 0
    }
}

impl HistogramCell {
    pub(super) fn new(core: &Arc<Core>, slot: u32, index: u32) -> HistogramCell {
        let offset = core.layout.lanes.offset + core.layout.lane_histograms + HISTOGRAM_CELLS * 8 * u64::from(index);
        let all_lanes = core.layout.lane_len * u64::from(core.layout.capacity.lanes_max - 1) + HISTOGRAM_CELLS * 8;
        HistogramCell(Seat::new(core, core.map.address(offset, all_lanes), slot))
    }

    /// A cell in no segment, for when there is no room: it records, and nobody outside sees it.
    pub fn private() -> HistogramCell {
        HistogramCell(Seat::private(HISTOGRAM_CELLS as usize))
    }

    /// Records one value, in steps of the instrument's scale.
    // spec: EXP-2
    #[inline]
    pub fn record(&self, value: u64) {
        let bucket = 1 + bucket_of(value);
        if let Some(own) = self.0.lane() {
            let cell = self.0.in_lane(own);
            // SAFETY: as in `CounterCell::add`; a bucket's word is within the histogram's cells: `bucket_of` is below `BUCKETS`.
            unsafe {
                add_own(cell, value);
                add_own(cell.add(8 * bucket), 1);
            }
        } else {
            self.0.add_slowly(&[(0, value), (bucket, 1)]);
        }
        if self.0.watch() != 0 {
            self.0.changed();
        }
    }

    /// What was recorded, over all lanes. `scale` is what one step is in the declared unit.
    pub fn snapshot(&self, scale: f64) -> Histogram {
        Histogram::from_buckets(scale, self.0.sum(0), (1..=BUCKETS).map(|word| self.0.sum(word)))
    }

    /// Whether somebody watches.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.0.watch() != 0
    }
}

impl WideCell {
    pub(super) fn new(core: &Arc<Core>, slot: u32, index: u32) -> WideCell {
        let offset = core.layout.wides.offset + WIDE_LEN * u64::from(index);
        WideCell { seat: Seat::new(core, core.map.address(offset, WIDE_LEN), slot), offset, private: None }
    }

    /// A cell in no segment, for when there is no room: it holds its text, and nobody outside sees it.
    pub fn private() -> WideCell {
        let core = Core::nowhere();
        // Only for want of address space: then all such texts share the one that the core has room for.
        let private = Map::private(WIDE_LEN).ok().map(Arc::new);
        let seat = Seat::new(&core, core.map.address(layout::segment::REGIONS, WIDE_LEN), 0);
        WideCell { seat, offset: if private.is_some() { 0 } else { layout::segment::REGIONS }, private }
    }

    /// Stores a text, cut to 255 bytes. Of two at the same moment, one wins; nobody waits.
    // spec: EXP-2
    pub fn store(&self, text: &str) {
        let (map, offset) = self.place();
        if text::write(map, offset, text) && self.seat.watch() != 0 {
            self.seat.changed();
        }
    }

    /// The text; empty if it is being written all the time.
    pub fn load(&self) -> String {
        let (map, offset) = self.place();
        text::read(map, offset).unwrap_or_default()
    }

    /// Whether somebody watches.
    #[inline]
    pub fn is_watched(&self) -> bool {
        self.seat.watch() != 0
    }

    fn place(&self) -> (&Map, u64) {
        (self.private.as_deref().unwrap_or(&self.seat.core.map), self.offset)
    }
}

/// Where a cell's words are, and how to tell the agent.
#[derive(Clone, Debug)]
struct Seat {
    /// The scalar's word, or lane 0's first word.
    cell: NonNull<u8>,
    /// The slot's watch word on the board.
    watch: NonNull<AtomicU32>,
    /// Bytes from one lane's cell to the next lane's; here, so that an update needs nothing from further away.
    lane_len: usize,
    /// Lanes besides the shared one.
    own_lanes: u32,
    slot: u32,
    core: Arc<Core>,
    /// Keeps the words of a cell that is in no segment.
    _private: Option<Arc<[AtomicU64]>>,
}

// SAFETY: both pointers are to words that are only used as atomics (or, a thread's own lane, by its own thread), in memory that `core` or `_private` keeps.
unsafe impl Send for Seat {}
// SAFETY: as above.
unsafe impl Sync for Seat {}

impl Seat {
    fn new(core: &Arc<Core>, cell: NonNull<u8>, slot: u32) -> Seat {
        let watch = core.board.u32(core.board_layout.watch.offset + 4 * u64::from(slot));
        Seat {
            cell,
            watch: NonNull::from(watch),
            lane_len: core.layout.lane_len as usize,
            own_lanes: core.layout.capacity.lanes_max - 1,
            slot,
            core: Arc::clone(core),
            _private: None,
        }
    }

    fn private(words: usize) -> Seat {
        // In their last place before a pointer is taken, and the pointer to all of them: `record` goes from the first to the others.
        let words: Arc<[AtomicU64]> = (0..words).map(|_| AtomicU64::new(0)).collect();
        let cell = NonNull::new(words.as_ptr().cast_mut().cast()).expect("the address of an allocation");
        let core = Core::nowhere();
        Seat { _private: Some(words), ..Seat::new(&core, cell, 0) }
    }

    #[inline]
    fn word(&self) -> &AtomicU64 {
        // SAFETY: `new` got it checked from the map that `core` keeps, or it is the first of `_private`'s words.
        unsafe { self.cell.cast::<AtomicU64>().as_ref() }
    }

    #[inline]
    fn watch(&self) -> u32 {
        // SAFETY: a word of the board's range, which `core` keeps mapped whatever is mapped there.
        // Relaxed: a change that is made while the watch begins is found by the agent, which looks again a moment later.
        unsafe { self.watch.as_ref() }.load(Ordering::Relaxed)
    }

    /// This thread's lane if it has one that the segment has, too. Readers know of all lanes that were ever taken.
    #[inline]
    fn lane(&self) -> Option<u32> {
        let lane = lane::own();
        // "None" and "none any more" are beyond any number of lanes.
        (lane.wrapping_sub(1) < self.own_lanes).then_some(lane)
    }

    #[inline]
    fn in_lane(&self, lane: u32) -> *mut u8 {
        self.cell.as_ptr().wrapping_add(lane as usize * self.lane_len)
    }

    /// Adds each number to its word, in the lane that the thread now gets, or in the shared one.
    #[cold]
    #[inline(never)]
    fn add_slowly(&self, adds: &[(usize, u64)]) {
        let lane = self.core.lane();
        for (word, n) in adds {
            let cell = self.in_lane(lane).wrapping_add(8 * word);
            // SAFETY: `lane` is below the segment's `lanes_max`, and 0 for a private cell; `new` has checked that those lanes' cells are mapped.
            unsafe {
                if lane == 0 {
                    AtomicU64::from_ptr(cell.cast()).fetch_add(*n, Ordering::Relaxed);
                } else {
                    add_own(cell, *n);
                }
            }
        }
    }

    /// Sum of one word over the lanes.
    fn sum(&self, word: usize) -> u64 {
        (0..self.core.lanes_used()).fold(0u64, |all, lane| {
            let cell = self.in_lane(lane).wrapping_add(8 * word);
            // SAFETY: no more lanes than the segment has; else as in `add_slowly`.
            all.wrapping_add(unsafe { AtomicU64::from_ptr(cell.cast()) }.load(Ordering::Relaxed))
        })
    }

    /// A watched cell has changed: is that worth telling?
    #[cold]
    #[inline(never)]
    fn judged(&self, judge: impl FnOnce(u64) -> bool) {
        // Between the value and all that follows: the agent publishes what it sent, and then reads the value once more.
        self.core.light();
        if self.watch() & SENT_VALID != 0 {
            let sent = self.core.board.u64(self.core.board_layout.sent.offset + 8 * u64::from(self.slot));
            if !judge(sent.load(Ordering::Relaxed)) {
                return;
            }
        }
        self.core.flag(self.slot);
    }

    /// A watched cell has changed, and that is worth telling.
    #[cold]
    #[inline(never)]
    fn changed(&self) {
        self.core.light();
        self.core.flag(self.slot);
    }
}

/// Adds to a word of this thread's own lane: one instruction, so that a signal handler comes before or after it, and not locked, since no other thread
/// writes there.
///
/// # Safety
/// `cell` is an aligned, mapped long word that no other thread writes.
#[inline(always)]
unsafe fn add_own(cell: *mut u8, n: u64) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: the caller's. Readers elsewhere load the word as a whole; an aligned store of eight bytes is never torn on this architecture.
    unsafe {
        std::arch::asm!("add qword ptr [{cell}], {n}", cell = in(reg) cell, n = in(reg) n, options(nostack));
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: the caller's.
    unsafe {
        AtomicU64::from_ptr(cell.cast()).fetch_add(n, Ordering::Relaxed);
    }
}
