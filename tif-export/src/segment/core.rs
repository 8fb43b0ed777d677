//! What all cells of a segment share: the two mappings, the bell, and how a change is flagged.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};

use tif_core::layout::{self, BoardLayout, Capacity, GROUP_SLOTS, SegmentLayout};

use super::{barrier, lane, map::Map, protocol};

/// The exporter's view of a segment and its board.
#[derive(Debug)]
pub(crate) struct Core {
    /// The segment, mapped for writing.
    pub(crate) map: Arc<Map>,
    /// The board, or zeros.
    pub(crate) board: Map,
    pub(crate) layout: SegmentLayout,
    pub(crate) board_layout: BoardLayout,
    /// None where nobody can listen.
    bell: Option<OwnedFd>,
}

impl Core {
    pub(crate) fn new(map: Map, board: Map, layout: SegmentLayout, bell: Option<OwnedFd>) -> Core {
        let map = Arc::new(map);
        lane::enrol(&map, layout.capacity.lanes_max);
        Core { map, board, board_layout: BoardLayout::new(&layout.capacity), layout, bell }
    }

    /// For cells that no segment has room for: nobody watches them, nobody sees them.
    pub(crate) fn nowhere() -> Arc<Core> {
        static NOWHERE: LazyLock<Arc<Core>> = LazyLock::new(|| {
            let capacity = Capacity {
                slots_max: GROUP_SLOTS,
                lanes_max: 1,
                counters_max: 0,
                histograms_max: 0,
                wides_max: 0,
                declarations_max: layout::HEADER_LEN as u32,
            };
            let layout = SegmentLayout::new(capacity).expect("the smallest capacities make a segment");
            let board_len = BoardLayout::new(&capacity).total_len;
            // Only for want of address space, once, where a process cannot go on anyway.
            let (map, board) = (Map::private(layout.total_len), Map::reserve(board_len));
            Arc::new(Core::new(map.expect("a few pages of address space"), board.expect("a few pages of address space"), layout, None))
        });
        Arc::clone(&NOWHERE)
    }

    /// This thread's lane here, taking one if the thread has none yet; 0: the shared one.
    #[cold]
    pub(crate) fn lane(&self) -> u32 {
        let lane = lane::take();
        if lane < self.layout.capacity.lanes_max { lane } else { 0 }
    }

    /// Lanes that any thread may have counted in.
    pub(crate) fn lanes_used(&self) -> u32 {
        self.map.u32(layout::segment::LANES_USED).load(Ordering::Relaxed).clamp(1, self.layout.capacity.lanes_max)
    }

    /// The exporter's barrier, as the board wants it.
    #[inline]
    pub(crate) fn light(&self) {
        barrier::light(self.board.u32(layout::board::BARRIER));
    }

    /// Tells the agent that a slot has changed. The change was stored before, and then [`Core::light`].
    pub(crate) fn flag(&self, slot: u32) {
        let line = protocol::Line {
            sweep: self.board.u32(layout::board::SWEEP),
            armed: self.board.u32(layout::board::ARMED),
            rung: self.map.u32(layout::segment::RUNG),
            flag: self.map.u32(self.layout.flags.offset + 4 * u64::from(slot)),
            group: self.map.u32(self.layout.group_flags.offset + 4 * u64::from(slot / GROUP_SLOTS)),
        };
        protocol::flag(&line, || self.light(), || self.ring());
    }

    #[cold]
    fn ring(&self) {
        if let Some(bell) = &self.bell {
            // The bell does not block, and full means rung. Any other failure is the agent's loss of a wake-up; its scan comes by.
            let _ = rustix::io::write(bell, &1u64.to_ne_bytes());
        }
    }

    pub(crate) fn bell(&self) -> Option<&OwnedFd> {
        self.bell.as_ref()
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        lane::dismiss(&self.map);
    }
}
