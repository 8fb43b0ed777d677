//! Instruments that live as long as the process.

use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use tif_core::model::Dimensions;

use crate::dims::Dims;
use crate::exporter::Exporter;
use crate::instance::{Instance, Owned, Root};

/// A struct of instruments in a `static`: `static ORDERS: Exported<Orders> = Exported::new();`.
///
/// Use it as the struct. The first use declares the instruments and, unless [`crate::Service`] does so otherwise, starts to export them;
/// every later one costs one load. It works the same with no agent running.
// spec: EXP-1, EXP-3
pub struct Exported<T: Root> {
    bound: OnceLock<Arc<Owned<T>>>,
}

impl<T: Root> Exported<T> {
    /// Not yet declared.
    #[allow(clippy::new_without_default, reason = "a default would not be const, and a static needs a const")]
    pub const fn new() -> Exported<T> {
        Exported { bound: OnceLock::new() }
    }

    /// One more set of the same instruments, told apart by its dimensions; it is withdrawn when the value is dropped.
    pub fn instance(&self, dims: Dims) -> Instance<T> {
        Instance::export(dims)
    }

    /// Declares the instruments, if nobody has yet, without starting the exporter.
    pub(crate) fn bind(&self, exporter: &Exporter) -> &T {
        self.bound.get_or_init(|| Owned::declare(exporter.home(), &Dimensions::NONE)).value()
    }

    #[cold]
    fn first_touch(&self) -> &T {
        self.bind(&Exporter::of(T::SERVICE, T::STANDBY))
    }
}

impl<T: Root> Deref for Exported<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        match self.bound.get() {
            Some(owned) => owned.value(),
            None => self.first_touch(),
        }
    }
}
