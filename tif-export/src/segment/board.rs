//! The agent's board for one exporter: watch words, what was sent, controls. Only the agent writes it.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{Ordering, fence};

use rustix::fs::{MemfdFlags, fcntl_add_seals, ftruncate, memfd_create};
use tif_core::agent::io::ControlValue;
use tif_core::layout::{self, BoardLayout, CONTROL_LEN, Capacity, WIDE_LEN};
use tif_core::model::{Epoch, Key, Value};

use super::map::Map;
use super::writer::SEALS;
use super::{barrier, protocol, text};

/// A board, mapped for writing.
#[derive(Debug)]
pub(crate) struct Board {
    map: Map,
    layout: BoardLayout,
    pub(crate) file: OwnedFd,
    /// The exporter needs no barriers of its own; ours reach it.
    asymmetric: bool,
    /// The number of the sweep.
    pub(crate) sweep: u32,
}

impl Board {
    /// A board for a segment of this capacity, whose exporter is registered for barriers or not.
    pub(crate) fn create(capacity: &Capacity, reachable: bool, key: Key, epoch: Epoch) -> io::Result<Board> {
        let layout = BoardLayout::new(capacity);
        let file = memfd_create("tif:board", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::NOEXEC_SEAL)
            .or_else(|_| memfd_create("tif:board", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING))?;
        ftruncate(&file, layout.total_len)?;
        let map = Map::shared(&file, layout.total_len, true)?;
        fcntl_add_seals(&file, SEALS)?;
        let asymmetric = reachable && barrier::can_reach_others();
        let board = Board { map, layout, file, asymmetric, sweep: 0 };
        board.write_header(capacity, key, epoch);
        Ok(board)
    }

    fn write_header(&self, capacity: &Capacity, key: Key, epoch: Epoch) {
        use layout::board::*;
        for (at, value) in [
            (VERSION, layout::VERSION),
            (layout::board::HEADER_LEN, layout::HEADER_LEN as u32),
            (CAPACITY, capacity.slots_max),
            (CAPACITY + 4, capacity.wides_max),
            // An exporter that changes something before the first sweep flags it.
            (SWEEP, 1),
            (layout::board::BARRIER, u32::from(self.asymmetric)),
        ] {
            self.map.u32(at).store(value, Ordering::Relaxed);
        }
        for (at, value) in [(TOTAL_LEN, self.layout.total_len), (KEY_PROC, key.proc.0), (KEY_INC, key.inc.0), (EPOCH, epoch.0)] {
            self.map.u64(at).store(value, Ordering::Relaxed);
        }
        // Published: pairs with the acquire in the exporter's check.
        self.map.u64(MAGIC).store(layout::BOARD_MAGIC, Ordering::Release);
    }

    /// Begins the next sweep; says its number.
    pub(crate) fn begin_sweep(&mut self) -> u32 {
        self.sweep = protocol::next(self.map.u32(layout::board::SWEEP).load(Ordering::Relaxed));
        protocol::begin(self.map.u32(layout::board::SWEEP), self.sweep, || self.heavy());
        self.sweep
    }

    /// Arms the bell. `segment` is the exporter's.
    pub(crate) fn arm(&self, segment: &Map) {
        protocol::arm(self.map.u32(layout::board::ARMED), segment.u32(layout::segment::RUNG), || self.heavy());
    }

    /// The agent's barrier.
    pub(crate) fn heavy(&self) {
        barrier::heavy(self.asymmetric);
    }

    /// Sets a watch word.
    pub(crate) fn watch(&self, slot: u32, word: u32) {
        // Release: with `SENT_VALID` the exporter finds the bits that were sent.
        self.map.u32(self.layout.watch.offset + 4 * u64::from(slot)).store(word, Ordering::Release);
    }

    /// Publishes the bits last sent.
    pub(crate) fn sent(&self, slot: u32, bits: u64) {
        self.map.u64(self.layout.sent.offset + 8 * u64::from(slot)).store(bits, Ordering::Relaxed);
    }

    /// Sets a control; `generation` is its table entry's, `wide` the index of its text, if it is one. False if value and place do not fit each other.
    pub(crate) fn control(&self, control: &ControlValue, generation: u32, wide: Option<u32>) -> bool {
        if control.slot.0 >= self.layout.slots_max || wide.is_some_and(|cell| cell >= self.layout.wides_max) {
            return false;
        }
        let at = self.layout.controls.offset + CONTROL_LEN * u64::from(control.slot.0);
        let version = self.map.u64(at);
        let fits = match wide {
            Some(_) => matches!(control.value, Value::Text(_)),
            None => control.value.to_bits().is_some(),
        };
        if fits {
            version.store(0, Ordering::Relaxed);
            // Pairs with the acquire fence in `Segment::board_control`: who sees the new bits does not see the old version.
            fence(Ordering::Release);
            self.map.u64(at + 16).store(generation.into(), Ordering::Relaxed);
            match (&control.value, wide) {
                (Value::Text(value), Some(cell)) => {
                    text::write(&self.map, self.layout.wides.offset + WIDE_LEN * u64::from(cell), value);
                }
                (value, _) => self.map.u64(at + 8).store(value.to_bits().unwrap_or_default(), Ordering::Relaxed),
            }
            version.store(control.version.0, Ordering::Release);
        }
        fits
    }

    /// Sets the term.
    pub(crate) fn epoch(&self, epoch: Epoch) {
        self.map.u64(layout::board::EPOCH).store(epoch.0, Ordering::Relaxed);
    }
}
