//! A histogram.

use std::time::Duration;

use crate::segment::HistogramCell;
use crate::value::nanoseconds;

/// Shows the distribution of what was recorded, to about 3 %.
///
/// Recording costs about as much as counting. Safe in a signal handler.
pub struct Histogram {
    cell: HistogramCell,
    /// What one step is in the declared unit.
    scale: f64,
    /// What one step is in nanoseconds, for a unit of time: always 1.
    of_time: bool,
}

impl Histogram {
    pub(crate) fn new(cell: HistogramCell, scale: f64, of_time: bool) -> Histogram {
        Histogram { cell, scale, of_time }
    }

    /// Records a duration. The histogram should have a unit of time; if it has another, seconds are recorded.
    #[inline]
    pub fn record(&self, duration: Duration) {
        if self.of_time {
            self.cell.record(nanoseconds(duration));
        } else {
            self.record_f64(duration.as_secs_f64());
        }
    }

    /// Records a value in the declared unit. What is not a number, or negative, is recorded as 0.
    #[inline]
    pub fn record_f64(&self, value: f64) {
        // A float that is out of range becomes the nearest whole number, NaN becomes 0.
        self.cell.record((value / self.scale).round() as u64);
    }

    /// Records a value in steps: nanoseconds for a unit of time, else multiples of the declared `step`.
    #[inline]
    pub fn record_steps(&self, steps: u64) {
        self.cell.record(steps);
    }

    /// What was recorded so far, over all threads. Not for the hot path.
    pub fn get(&self) -> tif_core::model::histogram::Histogram {
        self.cell.snapshot(self.scale)
    }
}
