//! An exporting process as the library makes it behave: a segment, a board, and what it owes the agent.

use std::collections::{BTreeMap, BTreeSet};

use tif_core::agent::io::{ControlValue, Sample, SlotDeclared, TableChange};
use tif_core::model::{Descriptor, Dimensions, Epoch, Kind, MemberNumber, Name, Slot, Value, Version, Weight};

use super::catalogue::{self, Declaration};

/// One occupied place of a segment.
#[derive(Clone, Debug)]
pub struct Cell {
    generation: u32,
    /// What is declared.
    pub descriptor: Descriptor,
    /// Its dimensions.
    pub dims: Dimensions,
    /// The value that stands there.
    pub value: Value,
    /// Of a control: with which version the service runs.
    pub version: Version,
    /// What its value was before, and until when.
    pub before: Option<(Value, u64)>,
    /// What it is called, with its service.
    pub name: Name,
    /// The same with its dimensions.
    pub record: String,
}

/// The agent's side of the pair of segments. A new one with each admission.
#[derive(Clone, Debug, Default)]
pub struct Board {
    /// The watch words that are set.
    pub watched: BTreeSet<Slot>,
    /// Values last sent.
    pub sent: BTreeMap<Slot, Value>,
    /// Values last sampled: what `Sent` means.
    pub sampled: BTreeMap<Slot, Value>,
    /// The controls.
    pub controls: BTreeMap<Slot, (Version, Value)>,
    /// The term.
    pub epoch: Epoch,
}

/// What an exporting process holds.
#[derive(Clone, Debug)]
pub struct Exporter {
    /// Its service.
    pub service: Name,
    /// Whether it is a member of the service's group.
    pub grouped: bool,
    /// What it weighs among the members.
    pub weight: Weight,
    /// Its slots.
    pub cells: BTreeMap<Slot, Cell>,
    /// What it is called in its group.
    pub number: Option<MemberNumber>,
    /// What the agent has put up for it.
    pub board: Board,
    /// The term in which it believes to be the primary.
    pub primary_in: Option<Epoch>,
    /// The term in which it is to be the primary as soon as it is ready.
    pub elected_in: Option<Epoch>,
    /// It has let go of the primary role, and is still watched: it changes nothing more.
    pub let_go: bool,
    /// The term of which it has let go.
    pub primary_let_go: Option<Epoch>,
    /// Watched slots that have changed since the last sweep.
    pub changed: BTreeSet<Slot>,
    /// Changes of its table since the last sweep.
    pub table: Vec<TableChange>,
    /// A sweep is on its way.
    pub sweep_due: bool,
    generation: u32,
}

impl Exporter {
    /// With what its service declares from the start.
    pub fn new(service: Name, grouped: bool) -> Exporter {
        let mut exporter = Exporter {
            service,
            grouped,
            weight: Weight::default(),
            cells: BTreeMap::new(),
            number: None,
            board: Board::default(),
            primary_in: None,
            elected_in: None,
            let_go: false,
            primary_let_go: None,
            changed: BTreeSet::new(),
            table: Vec::new(),
            sweep_due: false,
            generation: 0,
        };
        for declaration in catalogue::of_service() {
            exporter.declare(declaration);
        }
        exporter
    }

    /// Takes the first free slot.
    pub fn declare(&mut self, (descriptor, dims, value): Declaration) -> Slot {
        let slot = (0..).map(Slot).find(|slot| !self.cells.contains_key(slot)).unwrap_or_default();
        self.generation += 1;
        let name = self.service.join(&descriptor.path).unwrap_or_else(|e| panic!("{} below {}: {e}", descriptor.path, self.service));
        let record = format!("{name}{dims}");
        let cell = Cell { generation: self.generation, descriptor, dims, value, version: Version(0), before: None, name, record };
        let declared = cell.declared(slot);
        self.cells.insert(slot, cell);
        // A sweep looks at the table as it is: one change per slot, in the order of slots.
        self.table.retain(|change| slot_of(change) != slot);
        self.table.push(TableChange::Declared(Box::new(declared)));
        slot
    }

    /// Gives a slot back.
    pub fn withdraw(&mut self, slot: Slot) {
        if self.cells.remove(&slot).is_some() {
            self.changed.remove(&slot);
            self.table.retain(|change| slot_of(change) != slot);
            self.table.push(TableChange::Withdrawn(slot));
        }
    }

    /// The slots of instruments that came at run time.
    pub fn instances(&self) -> Vec<Slot> {
        self.cells.iter().filter(|(_, cell)| !cell.dims.is_empty()).map(|(slot, _)| *slot).collect()
    }

    /// Everything that is declared now, as at a Hello.
    pub fn declared(&self) -> Vec<SlotDeclared> {
        self.cells.iter().map(|(slot, cell)| cell.declared(*slot)).collect()
    }

    /// Stores a value. True if the doorbell is to be rung.
    pub fn store(&mut self, slot: Slot, value: Value, now: u64) -> bool {
        let Some(cell) = self.cells.get_mut(&slot) else { return false };
        cell.before = Some((std::mem::replace(&mut cell.value, value), now));
        self.judge(slot)
    }

    /// Whether the agent is to look at a slot.
    pub fn judge(&mut self, slot: Slot) -> bool {
        let Some(cell) = self.cells.get(&slot).filter(|_| self.board.watched.contains(&slot)) else { return false };
        let matters = self.board.sent.get(&slot).is_none_or(|sent| cell.descriptor.significance.is_significant(sent, &cell.value));
        if matters {
            self.changed.insert(slot);
        }
        matters
    }

    /// What a sweep finds.
    pub fn sweep(&mut self) -> (Vec<TableChange>, Vec<Sample>) {
        self.sweep_due = false;
        let mut table = std::mem::take(&mut self.table);
        table.sort_by_key(slot_of);
        let changed: Vec<Slot> = std::mem::take(&mut self.changed).into_iter().collect();
        (table, self.sample(&changed))
    }

    /// What it counts or measures, is watched, and was not read as it stands.
    pub fn unread(&self) -> Option<String> {
        let counts = |cell: &Cell| matches!(cell.descriptor.kind, Kind::Counter | Kind::Gauge);
        let mut watched = self.board.watched.iter().filter_map(|slot| Some((slot, self.cells.get(slot)?)));
        let unread = watched.find(|(slot, cell)| counts(cell) && self.board.sampled.get(slot) != Some(&cell.value));
        unread.map(|(_, cell)| cell.record.clone())
    }

    /// Reads slots.
    pub fn sample(&mut self, slots: &[Slot]) -> Vec<Sample> {
        let mut samples = Vec::new();
        for slot in slots {
            if let Some(cell) = self.cells.get(slot) {
                self.board.sampled.insert(*slot, cell.value.clone());
                samples.push(Sample { slot: *slot, value: Ok(cell.value.clone()) });
            }
        }
        samples
    }

    /// Takes newer controls from the board. Returns what it runs with now.
    // spec: CTL-2
    pub fn apply(&mut self) -> Vec<(Slot, Version)> {
        let mut applied = Vec::new();
        for (slot, (version, value)) in self.board.controls.clone() {
            if let Some(cell) = self.cells.get_mut(&slot).filter(|cell| cell.version != version && cell.descriptor.is_control()) {
                cell.version = version;
                cell.value = value;
                applied.push((slot, version));
                self.judge(slot);
            }
        }
        applied
    }

    /// A new board with these controls.
    pub fn new_board(&mut self, epoch: Epoch, controls: Vec<ControlValue>) {
        self.board = Board { epoch, ..Board::default() };
        for control in controls {
            self.board.controls.insert(control.slot, (control.version, control.value));
        }
        self.changed.clear();
    }

    /// Slots of dynamic indicators that somebody watches.
    pub fn dynamic_watched(&self) -> Vec<Slot> {
        let dynamic = |cell: &Cell| matches!(cell.descriptor.kind, Kind::Dynamic { .. });
        self.cells.iter().filter(|(slot, cell)| dynamic(cell) && self.board.watched.contains(slot)).map(|(slot, _)| *slot).collect()
    }
}

impl Cell {
    fn declared(&self, slot: Slot) -> SlotDeclared {
        SlotDeclared { slot, generation: self.generation, descriptor: self.descriptor.clone(), dims: self.dims.clone() }
    }
}

fn slot_of(change: &TableChange) -> Slot {
    match change {
        TableChange::Declared(declared) => declared.slot,
        TableChange::Withdrawn(slot) => *slot,
    }
}
