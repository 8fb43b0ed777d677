//! A value's place in the segment, whatever its type.

use super::{Scalar, cut};
use crate::home::Home;
use crate::segment::{Place, ScalarCell, WideCell};

/// Where a value of type `T` lies.
pub trait Cell<T>: Send + Sync + 'static {
    /// The cell of a place, or one that nobody sees.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "only this crate makes cells; others only name the trait")]
    fn open(home: &Home, place: Option<&Place>) -> Self;
    /// Stores a value. `significant` is asked only if somebody watches, with the value last sent.
    fn put(&self, value: &T, significant: impl FnOnce(&T) -> bool);
    /// The value.
    fn take(&self) -> T;
}

impl<T: Scalar> Cell<T> for ScalarCell {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn open(home: &Home, place: Option<&Place>) -> Self {
        home.scalar(place)
    }
    #[inline]
    fn put(&self, value: &T, significant: impl FnOnce(&T) -> bool) {
        self.store(value.to_bits(), |sent| significant(&T::from_bits(sent)));
    }
    #[inline]
    fn take(&self) -> T {
        T::from_bits(self.load())
    }
}

impl Cell<String> for WideCell {
    #[allow(private_interfaces, reason = "as in the trait")]
    fn open(home: &Home, place: Option<&Place>) -> Self {
        home.wide(place)
    }
    fn put(&self, value: &String, _significant: impl FnOnce(&String) -> bool) {
        self.store(cut(value, tif_core::limits::TEXT_LEN_MAX));
    }
    fn take(&self) -> String {
        self.load()
    }
}
