//! A gauge.

use super::judge::Judge;
use crate::segment::WideCell;
use crate::value::{Cell, cut};
use crate::{Scalar, Shown};

/// Shows a value that the service sets.
///
/// Setting a number costs one store and one load while nobody watches. Safe in a signal handler. Setting a text takes a sequence lock of
/// its own, without waiting for readers.
// spec: EXP-2
pub struct Indicator<T: Shown> {
    cell: T::Cell,
    judge: Box<Judge>,
}

impl<T: Shown> Indicator<T> {
    pub(crate) fn new(cell: T::Cell, judge: Box<Judge>) -> Indicator<T> {
        Indicator { cell, judge }
    }
}

impl<T: Scalar> Indicator<T> {
    /// Shows `value` from now on. Of several threads that set, the last one wins.
    #[inline]
    pub fn set(&self, value: T) {
        self.cell.put(&value, |sent| self.judge.is_significant(sent, &value));
    }

    /// What is shown.
    #[inline]
    pub fn get(&self) -> T {
        self.cell.take()
    }
}

impl Indicator<String> {
    /// Shows `text` from now on: its first 255 bytes.
    pub fn set(&self, text: &str) {
        WideCell::store(&self.cell, cut(text, tif_core::limits::TEXT_LEN_MAX));
    }

    /// What is shown.
    pub fn get(&self) -> String {
        WideCell::load(&self.cell)
    }
}
