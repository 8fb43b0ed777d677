//! What instruments showed over the last minutes, for the chart.
//!
//! Kept for a bounded number of instruments only: those that were looked at, and as many others as there is room for.

use std::collections::{HashMap, VecDeque};

use tif_core::model::Time;

use super::row::RowId;

/// Points of one instrument: five minutes at two changes a second. More would not fit a chart anyway.
const POINTS_MAX: usize = 600;
/// Instruments with a history: with all points 10 MiB together.
const HISTORIES_MAX: usize = 1_024;

/// One value at one moment; none is a gap: from here on nobody vouched for the value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) at: Time,
    pub(crate) value: Option<f64>,
}

/// The histories of all instruments that have one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histories {
    of: HashMap<RowId, VecDeque<Point>>,
    /// Oldest admission first.
    admitted: VecDeque<RowId>,
}

impl Histories {
    /// The points of a row, oldest first.
    pub(crate) fn of(&self, row: RowId) -> impl DoubleEndedIterator<Item = &Point> {
        self.of.get(&row).into_iter().flatten()
    }

    /// Somebody looks at the row: it gets a history, if need be in place of the one admitted longest ago.
    pub(crate) fn pin(&mut self, row: RowId, now: Time, value: Option<f64>) {
        if self.of.contains_key(&row) {
            return;
        }
        if self.of.len() >= HISTORIES_MAX
            && let Some(oldest) = self.admitted.pop_front()
        {
            self.of.remove(&oldest);
        }
        self.admitted.push_back(row);
        self.of.insert(row, VecDeque::from([Point { at: now, value }]));
    }

    /// A row has a new value, or (none) nobody vouches for it any more.
    pub(crate) fn record(&mut self, row: RowId, now: Time, value: Option<f64>) {
        if !self.of.contains_key(&row) {
            if self.of.len() < HISTORIES_MAX {
                self.pin(row, now, value);
            }
            return;
        }
        if let Some(points) = self.of.get_mut(&row) {
            if points.len() >= POINTS_MAX {
                points.pop_front();
            }
            points.push_back(Point { at: now, value });
        }
    }

    /// The row is no more.
    pub(crate) fn forget(&mut self, row: RowId) {
        if self.of.remove(&row).is_some() {
            self.admitted.retain(|id| *id != row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_looked_at_has_a_history_however_many_others_there_are() {
        let mut histories = Histories::default();
        for id in 0..2_000 {
            histories.record(RowId(id), Time(id), Some(1.0));
        }
        assert_eq!(histories.of(RowId(1_999)).count(), 0);
        histories.pin(RowId(1_999), Time(5_000), Some(2.0));
        histories.record(RowId(1_999), Time(5_001), Some(3.0));
        assert_eq!(histories.of(RowId(1_999)).count(), 2);
        assert_eq!(histories.of.len(), HISTORIES_MAX);
    }
}
