//! How many instruments there are, and how they fare.

use tif_core::model::Alarm;

use super::row::Row;

/// How many instruments there are below a node, and how they fare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) rows: usize,
    pub(crate) old: usize,
    pub(crate) warning: usize,
    pub(crate) critical: usize,
}

impl Tally {
    pub(super) fn of(row: &Row) -> Tally {
        let alarm = row.alarm();
        Tally {
            rows: 1,
            old: usize::from(row.is_old()),
            warning: usize::from(alarm == Alarm::Warning),
            critical: usize::from(alarm == Alarm::Critical),
        }
    }

    pub(super) fn add(&mut self, other: Tally) {
        self.rows += other.rows;
        self.old += other.old;
        self.warning += other.warning;
        self.critical += other.critical;
    }

    pub(super) fn subtract(&mut self, other: Tally) {
        self.rows -= other.rows;
        self.old -= other.old;
        self.warning -= other.warning;
        self.critical -= other.critical;
    }
}
