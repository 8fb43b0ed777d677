//! Which rows the table has, in which order: kept between frames, made anew only when it must be.
//!
//! Scope, filter and column take effect at once. What comes and goes by itself, and values that change under a sort by value, are taken
//! up at leisure: a list that jumps with every report can neither be read nor be paid for.
// spec: TUI-4

use std::cmp::Ordering;
use std::time::Duration;

use tif_core::model::{Time, Value};

use super::Model;
use super::fact::Now;
use super::filter::Filter;
use super::natural;
use super::row::{Row, RowId};
use super::tree::NodeId;

/// A column to sort by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    /// In the order of the tree.
    Name,
    /// By value.
    Value,
    /// By unit.
    Unit,
    /// Worst first.
    Quality,
    /// Worst first.
    Alarm,
    /// Oldest first.
    Age,
    /// Fastest first.
    Rate,
}

impl Column {
    /// All, in the order of the table.
    pub(crate) const ALL: [Column; 7] =
        [Column::Name, Column::Value, Column::Unit, Column::Quality, Column::Alarm, Column::Age, Column::Rate];

    /// Its title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Column::Name => "name",
            Column::Value => "value",
            Column::Unit => "unit",
            Column::Quality => "quality",
            Column::Alarm => "alarm",
            Column::Age => "age",
            Column::Rate => "rate",
        }
    }

    /// The next one, in a circle.
    pub(crate) fn next(self) -> Column {
        let at = Column::ALL.iter().position(|c| *c == self).unwrap_or(0);
        Column::ALL[(at + 1) % Column::ALL.len()]
    }

    fn follows_values(self) -> bool {
        !matches!(self, Column::Name | Column::Unit)
    }
}

/// A column and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sort {
    pub(crate) column: Column,
    pub(crate) reversed: bool,
}

/// A list of this many rows is made anew at every change; a longer one at most every [`REBUILD_PAUSE`].
const REBUILD_AT_ONCE_MAX: usize = 500;
/// Sorting 100,000 rows takes a tenth of this.
const REBUILD_PAUSE: Duration = Duration::from_secs(1);

/// The rows of the table in their order.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    rows: Vec<RowId>,
    made_for: Option<(NodeId, Filter, Sort)>,
    structure: u64,
    values: u64,
    made_at: Time,
}

impl Index {
    /// Empty.
    pub(crate) fn new() -> Index {
        Index { rows: Vec::new(), made_for: None, structure: 0, values: 0, made_at: Time::ZERO }
    }

    /// The rows in their order. Some may be gone from the model by now.
    pub(crate) fn rows(&self) -> &[RowId] {
        &self.rows
    }

    /// Makes it anew if it must be. Returns whether it did.
    pub(crate) fn refresh(&mut self, model: &Model, scope: NodeId, filter: &Filter, sort: Sort, now: Now) -> bool {
        let asked = self.made_for.as_ref().is_none_or(|(s, f, o)| *s != scope || f != filter || *o != sort);
        if !asked && self.overdue(model, sort).is_none_or(|due| now.mono < due) {
            return false;
        }
        let mut rows = model.tree.rows_below(scope);
        if !filter.is_empty() {
            rows.retain(|id| model.row(*id).is_some_and(|row| filter.passes(&row.address)));
        }
        if sort.column != Column::Name {
            rows.sort_by(|a, b| match (model.row(*a), model.row(*b)) {
                (Some(a), Some(b)) => order(sort.column, a, b, now),
                _ => Ordering::Equal,
            });
        }
        if sort.reversed {
            rows.reverse();
        }
        self.rows = rows;
        self.made_for = Some((scope, filter.clone(), sort));
        (self.structure, self.values, self.made_at) = (model.structure(), model.values(), now.mono);
        true
    }

    /// When it should be made anew because the model has changed; none if it fits.
    pub(crate) fn overdue(&self, model: &Model, sort: Sort) -> Option<Time> {
        let structure = self.structure != model.structure();
        let values = self.values != model.values() && sort.column.follows_values();
        if structure && self.rows.len() <= REBUILD_AT_ONCE_MAX {
            Some(self.made_at)
        } else if structure || values {
            Some(self.made_at + REBUILD_PAUSE)
        } else {
            None
        }
    }
}

/// What deserves attention comes first; what is equal stays in the order of the tree.
fn order(column: Column, a: &Row, b: &Row, now: Now) -> Ordering {
    let descending = |a: Option<f64>, b: Option<f64>| match (a, b) {
        (Some(a), Some(b)) => b.total_cmp(&a),
        (a, b) => b.is_some().cmp(&a.is_some()),
    };
    match column {
        Column::Name => natural::compare(&a.address, &b.address),
        Column::Value => match (a.value(), b.value()) {
            (Some(Value::Text(a)), Some(Value::Text(b))) => a.cmp(b),
            (a, b) => descending(a.and_then(Value::as_f64), b.and_then(Value::as_f64)),
        },
        Column::Unit => a.announcement.descriptor.unit.as_str().cmp(b.announcement.descriptor.unit.as_str()),
        Column::Quality => badness(b).cmp(&badness(a)),
        Column::Alarm => b.alarm().cmp(&a.alarm()),
        Column::Age => b.age(now, None).cmp(&a.age(now, None)),
        Column::Rate => descending(a.rate_at(now, None).map(f64::abs), b.rate_at(now, None).map(f64::abs)),
    }
}

fn badness(row: &Row) -> u8 {
    use super::row::Trust;
    match row.trust(None) {
        Trust::Good => 0,
        Trust::Nothing => 1,
        Trust::Failed(_) => 2,
        Trust::Stale(_) => 3,
        Trust::Outage(_) => 4,
        Trust::Lost(_) => 5,
    }
}
