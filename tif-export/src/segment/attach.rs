//! The agent's side of one exporter: its segment read, its board written, sweeps in between.
//!
//! The shell's loop: `sweep` when the bell rings; do what came of it; `arm`; if that says no, sweep again (pace it: an exporter may keep its agent busy
//! for as long as it likes, and others wait); else sleep on the bell. Register the bell edge-triggered and never read it: a stranger may have made
//! reading it wait.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::mem;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use tif_core::agent::io::{ControlValue, Sample, SlotDeclared, TableChange};
use tif_core::layout::{GROUP_SLOTS, SENT_VALID, Storage, WATCHED};
use tif_core::model::{Epoch, Key, Name, Slot, Value};
use tif_core::wire::SegmentFacts;

use super::board::Board;
use super::entry::{self, Entry, Scratch, Seen};
use super::error::OpenError;
use super::map::Map;
use super::protocol;
use super::reader::{Reader, Source, is_eventfd};

/// How long after the beginning of a watch the slot is looked at again ([`Attachment::settle`]): a store that was under way is done by then.
pub const SETTLE: Duration = Duration::from_millis(1);

/// Table changes told in one sweep. More come with the next: an exporter that rewrites its table all the time costs the agent so much at a time.
// spec: EXP-7, SEC-2
const TABLE_CHANGES_MAX: usize = 4096;

/// An exporter's segment and board, as the agent holds them.
pub struct Attachment {
    reader: Reader,
    bell: OwnedFd,
    board: Option<Board>,
    views: Vec<View>,
    /// Each group's flag when last looked at.
    groups: Vec<u32>,
    /// Who has a full name first, by its hash.
    names: HashMap<u64, u32>,
    hasher: RandomState,
    scratch: Scratch,
    /// Slots whose sent bits were published since the last barrier.
    published: Vec<u32>,
    /// Slots that were found changed while arming.
    moved: Vec<u32>,
    /// Slots whose watch has just begun.
    young: Vec<u32>,
    /// The last sweep did not look everywhere: the next one does.
    unfinished: bool,
    refused: u64,
}

/// What a sweep found.
#[derive(Debug, Default)]
pub struct Swept {
    /// Instruments that came and went.
    pub table: Vec<TableChange>,
    /// Watched instruments that may have changed, in order of their slots.
    pub changed: Vec<Slot>,
}

/// What the agent remembers of a slot.
#[derive(Clone, Debug, Default)]
struct View {
    generation: u32,
    flag: u32,
    /// The watch word on the board.
    watch: u32,
    source: Option<Source>,
    /// Bits last sampled: of a scalar its own, of a counter the sum, of others a hash.
    bits: u64,
    /// Hash of its full name.
    name: u64,
}

impl Attachment {
    /// Maps a stranger's segment for reading.
    ///
    /// # Errors
    /// If it is not exactly what a segment is. Nothing of it stays mapped.
    // spec: EXP-7
    pub fn open(segment: OwnedFd, bell: OwnedFd) -> Result<Attachment, OpenError> {
        if !is_eventfd(&bell) {
            return Err(OpenError::Bell);
        }
        Ok(Attachment {
            reader: Reader::open(&segment)?,
            bell,
            board: None,
            views: Vec::new(),
            groups: Vec::new(),
            names: HashMap::new(),
            hasher: RandomState::new(),
            scratch: Scratch::default(),
            published: Vec::new(),
            moved: Vec::new(),
            young: Vec::new(),
            unfinished: false,
            refused: 0,
        })
    }

    /// The service that the exporter says it is.
    pub fn service(&self) -> Name {
        self.reader.service.clone()
    }

    /// Its capacities.
    pub fn facts(&self) -> SegmentFacts {
        SegmentFacts { slots_max: self.reader.layout.capacity.slots_max }
    }

    /// The mapping, which stays for as long as somebody has it.
    pub(super) fn map(&self) -> Arc<Map> {
        Arc::clone(&self.reader.map)
    }

    /// The doorbell, to be watched edge-triggered and never read.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// How many table entries were skipped: no declaration, none that makes sense, or a name that another has.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Everything declared now. To be called once, before the board is made; later changes come with [`Attachment::sweep`].
    // spec: EXP-6, INS-9
    pub fn scan(&mut self) -> Vec<TableChange> {
        let mut table = Vec::new();
        self.grow();
        for slot in 0..self.views.len() as u32 {
            self.read_entry(slot, &mut table);
        }
        table
    }

    /// Makes the board, with these controls on it. Its descriptor goes to the exporter with the welcome.
    ///
    /// # Errors
    /// If the system has no descriptors or no memory.
    pub fn create_board(&mut self, key: Key, epoch: Epoch, controls: &[ControlValue]) -> io::Result<BorrowedFd<'_>> {
        self.board = Some(Board::create(&self.reader.layout.capacity, self.reader.reachable, key, epoch)?);
        self.unfinished = true;
        for control in controls {
            self.control(control);
        }
        Ok(self.board.as_ref().expect("made just now").file.as_fd())
    }

    /// Looks at everything that was flagged since the last sweep.
    pub fn sweep(&mut self) -> Swept {
        let Some(board) = &mut self.board else { return Swept::default() };
        let number = board.begin_sweep();
        self.grow();
        self.check_published();
        let thorough = mem::take(&mut self.unfinished);
        let mut swept = Swept::default();
        let mut changed = mem::take(&mut self.moved);
        for group in 0..self.groups.len() as u32 {
            let flag = self.reader.group_flag(group);
            // The flag's copy before what it stands for: what comes later makes it differ again.
            let seen = mem::replace(&mut self.groups[group as usize], flag);
            if thorough || protocol::is_dirty(flag, seen, number) {
                self.sweep_group(group, number, thorough, &mut swept.table, &mut changed);
            }
            if swept.table.len() >= TABLE_CHANGES_MAX {
                self.unfinished = true;
                break;
            }
        }
        changed.sort_unstable();
        changed.dedup();
        changed.retain(|slot| self.is_watched(*slot));
        swept.changed = changed.into_iter().map(Slot).collect();
        swept
    }

    fn sweep_group(&mut self, group: u32, number: u32, thorough: bool, table: &mut Vec<TableChange>, changed: &mut Vec<u32>) {
        let first = group * GROUP_SLOTS;
        for slot in first..(first + GROUP_SLOTS).min(self.views.len() as u32) {
            let flag = self.reader.flag(slot);
            let seen = mem::replace(&mut self.views[slot as usize].flag, flag);
            if thorough || protocol::is_dirty(flag, seen, number) {
                self.read_entry(slot, table);
                changed.push(slot);
            }
        }
    }

    /// Arms the bell. True: nothing has changed since the sweep, sleep until the bell rings. False: sweep again.
    pub fn arm(&mut self) -> bool {
        let Some(board) = &self.board else { return true };
        board.arm(&self.reader.map);
        let number = board.sweep;
        self.check_published();
        let groups = self.reader.slots().div_ceil(GROUP_SLOTS);
        let news = (0..groups).any(|group| {
            let seen = self.groups.get(group as usize).copied().unwrap_or_default();
            protocol::is_news(self.reader.group_flag(group), seen, number)
        });
        !(news || self.unfinished || !self.moved.is_empty())
    }

    /// Reads a value now and remembers its bits. None: no instrument. An error: a text that is being written all the time.
    pub fn sample(&mut self, slot: Slot) -> Option<Result<Value, String>> {
        let source = self.views.get(slot.0 as usize)?.source?;
        let value = self.reader.value(&source);
        if let Some(value) = &value {
            self.views[slot.0 as usize].bits = self.print(value);
        }
        Some(value.ok_or_else(|| "its text is being written".to_owned()))
    }

    /// All values, for when the exporter is dead.
    // spec: EXP-6
    pub fn values_all(&mut self) -> Vec<Sample> {
        (0..self.views.len() as u32).map(Slot).filter_map(|slot| self.sample(slot).map(|value| Sample { slot, value })).collect()
    }

    /// Sets or clears a watch word. Sample the slot after setting it, and call [`Attachment::settle`] after [`SETTLE`].
    pub fn watch(&mut self, slot: Slot, on: bool) {
        let Some(board) = &self.board else { return };
        let Some(view) = self.views.get_mut(slot.0 as usize) else { return };
        let on = on && view.source.is_some();
        if on != (view.watch != 0) {
            view.watch = if on { WATCHED } else { 0 };
            board.watch(slot.0, view.watch);
            if on {
                self.young.push(slot.0);
            }
        }
    }

    /// Whether there are slots whose watch has just begun: call [`Attachment::settle`] a moment later.
    pub fn unsettled(&self) -> bool {
        !self.young.is_empty()
    }

    /// Slots whose watch has just begun and whose value is another than last sampled: treat them as changed.
    pub fn settle(&mut self) -> Vec<Slot> {
        let Some(board) = &self.board else { return Vec::new() };
        board.heavy();
        let young = mem::take(&mut self.young);
        young.into_iter().filter(|slot| self.is_watched(*slot) && self.has_moved(*slot)).map(Slot).collect()
    }

    /// The value last sampled of this slot was sent: the exporter shall compare with it.
    // spec: INS-6
    pub fn sent(&mut self, slot: Slot) {
        let Some(board) = &self.board else { return };
        let Some(view) = self.views.get_mut(slot.0 as usize) else { return };
        if view.watch != 0 && view.source.is_some_and(|s| s.storage == Storage::Slot) {
            board.sent(slot.0, view.bits);
            if view.watch & SENT_VALID == 0 {
                view.watch |= SENT_VALID;
                board.watch(slot.0, view.watch);
            }
            self.published.push(slot.0);
        }
    }

    /// Sets a control on the board. False if there is no such control, or the value does not fit where it lies.
    pub fn control(&mut self, control: &ControlValue) -> bool {
        let Some(board) = &self.board else { return false };
        let Some(view) = self.views.get(control.slot.0 as usize) else { return false };
        let Some(source) = view.source else { return false };
        board.control(control, view.generation, (source.storage == Storage::Wide).then_some(source.cell))
    }

    /// Sets the term on the board.
    pub fn epoch(&mut self, epoch: Epoch) {
        if let Some(board) = &self.board {
            board.epoch(epoch);
        }
    }

    /// Finds the slots whose value is not the one that was published as sent, after a barrier of ours: an exporter that still judged by what was sent
    /// earlier has stored its value before it.
    fn check_published(&mut self) {
        for slot in mem::take(&mut self.published) {
            if self.is_watched(slot) && self.reader.bits(slot) != self.views[slot as usize].bits {
                self.moved.push(slot);
            }
        }
    }

    /// Room for what the exporter has begun to use.
    fn grow(&mut self) {
        let slots = self.reader.slots();
        if slots as usize > self.views.len() {
            self.views.resize(slots as usize, View::default());
            self.groups.resize(slots.div_ceil(GROUP_SLOTS) as usize, 0);
        }
    }

    fn is_watched(&self, slot: u32) -> bool {
        self.views.get(slot as usize).is_some_and(|v| v.watch != 0 && v.source.is_some())
    }

    fn has_moved(&self, slot: u32) -> bool {
        let view = &self.views[slot as usize];
        let value = view.source.and_then(|source| self.reader.value(&source));
        value.is_some_and(|value| self.print(&value) != view.bits)
    }

    /// What tells one value of an instrument from another.
    fn print(&self, value: &Value) -> u64 {
        match value {
            Value::Text(text) => self.hasher.hash_one(text),
            Value::Histogram(h) => self.hasher.hash_one((h.count, h.sum)),
            scalar => scalar.to_bits().unwrap_or_default(),
        }
    }

    /// Notices an instrument's coming and going.
    fn read_entry(&mut self, slot: u32, table: &mut Vec<TableChange>) {
        let (map, layout) = (&self.reader.map, &self.reader.layout);
        if entry::generation(map, layout, slot) == self.views[slot as usize].generation {
            return;
        }
        let seen = entry::read(map, layout, slot, &mut self.scratch);
        let generation = match &seen {
            Seen::Busy => {
                // Its writer will flag it when it is done; a stranger who does not is looked at again all the same.
                self.unfinished = true;
                return;
            }
            Seen::Empty(generation) | Seen::Bad(generation) => *generation,
            Seen::Live(entry) => entry.generation,
        };
        self.forget(slot, table);
        self.views[slot as usize].generation = generation;
        match seen {
            Seen::Live(entry) => self.admit(slot, *entry, table),
            Seen::Bad(_) => self.refused += 1,
            Seen::Empty(_) | Seen::Busy => {}
        }
    }

    fn forget(&mut self, slot: u32, table: &mut Vec<TableChange>) {
        let view = &mut self.views[slot as usize];
        if view.source.take().is_some() {
            if mem::take(&mut view.watch) != 0
                && let Some(board) = &self.board
            {
                board.watch(slot, 0);
            }
            view.bits = 0;
            self.names.remove(&view.name);
            table.push(TableChange::Withdrawn(Slot(slot)));
        }
    }

    fn admit(&mut self, slot: u32, entry: Entry, table: &mut Vec<TableChange>) {
        let Entry { generation, storage, cell, descriptor, dims } = entry;
        let name = self.hasher.hash_one((descriptor.path.as_str(), dims.inner_text()));
        // The first to have a name has it until it goes. It may have gone already, without having been looked at yet: then it will be, as flagged.
        if let Some(holder) = self.names.get(&name).copied()
            && entry::generation(&self.reader.map, &self.reader.layout, holder) != self.views[holder as usize].generation
        {
            self.forget(holder, table);
        }
        if (storage == Storage::Slot && cell != slot) || self.names.contains_key(&name) {
            self.refused += 1;
            return;
        }
        self.names.insert(name, slot);
        let view = &mut self.views[slot as usize];
        view.source = Some(Source { storage, cell, value_type: descriptor.value_type, scale: descriptor.scale });
        view.name = name;
        table.push(TableChange::Declared(Box::new(SlotDeclared { slot: Slot(slot), generation, descriptor, dims })));
    }
}

impl std::fmt::Debug for Attachment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attachment").field("service", &self.reader.service).field("slots", &self.views.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_remembers_of_an_instrument_is_small() {
        // The view, its flags' share, and a name's entry in a table that may be half empty.
        let entry = size_of::<(u64, u32)>() + 1;
        assert!(size_of::<View>() + 2 * entry <= 112, "{} bytes and {entry}", size_of::<View>());
    }
}
