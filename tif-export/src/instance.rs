//! A set of instruments owned by a value: there while it lives, withdrawn when it is dropped.
// spec: EXP-8

use std::cell::RefCell;
use std::ops::Deref;
use std::sync::Arc;

use tif_core::model::{Dimensions, Name};

use crate::declare::{Field, Scope};
use crate::dims::Dims;
use crate::exporter::Exporter;
use crate::home::Home;
use crate::segment::Place;

/// A struct of handles. Derive it: `#[derive(tif::Instruments)]`.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a struct of instruments", note = "derive it: #[derive(tif::Instruments)]")]
pub trait Instruments: Sized + Send + Sync + 'static {
    /// The names of its instruments, below its path.
    const NAMES: &'static [&'static str];
    /// Declares all of them in a scope.
    fn declare(scope: &Scope<'_>) -> Self;
}

/// A struct of handles that says whose it is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not say which service it belongs to",
    note = "derive it with a service: #[derive(tif::Instruments)] #[tif(service = \"...\")]"
)]
pub trait Root: Instruments {
    /// The service.
    const SERVICE: &'static str;
    /// What stands between the service and the instrument.
    const PATH: &'static str;
    /// Whether processes of the service are a group of one primary and its standbys.
    const STANDBY: bool;
    /// What can be called.
    fn procedures() -> &'static [crate::declare::Procedure<Self>];
}

/// A struct of instruments that lives as long as this value. Use it as the struct.
pub struct Instance<T: Root> {
    owned: Arc<Owned<T>>,
}

impl<T: Root> Instance<T> {
    /// The same handles without a service or an agent behind them.
    // spec: EXP-4
    pub fn detached() -> Instance<T> {
        let home = Home::detached(service_name(T::SERVICE));
        Instance { owned: Owned::declare(&home, &Dimensions::NONE) }
    }

    /// One more set of instruments of the service, told apart by its dimensions.
    ///
    /// Always works: what does not fit, or has the name and dimensions of another, is counted in `tif.overflow` of the service and is
    /// seen by nobody.
    pub fn export(dims: Dims) -> Instance<T> {
        let exporter = Exporter::of(T::SERVICE, T::STANDBY);
        Instance { owned: Owned::declare(exporter.home(), &dims.into_dimensions()) }
    }
}

impl<T: Root> Deref for Instance<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.owned.value
    }
}

/// The struct, and what is to be withdrawn when nobody uses it any more, a running procedure included.
pub(crate) struct Owned<T> {
    value: T,
    // Behind `value`: dropped after it, so that no handle outlives its place.
    _lease: Lease,
}

struct Lease {
    home: Home,
    places: Vec<(String, Place)>,
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.home.withdraw(std::mem::take(&mut self.places));
    }
}

impl<T> Owned<T> {
    pub(crate) fn value(&self) -> &T {
        &self.value
    }
}

impl<T: Root> Owned<T> {
    /// Declares all of it in a home.
    pub(crate) fn declare(home: &Home, dims: &Dimensions) -> Arc<Owned<T>> {
        let places = RefCell::new(Vec::new());
        Arc::new_cyclic(|target| {
            let scope = Scope::new(home, T::PATH, dims, &places);
            let value = T::declare(&scope);
            for procedure in T::procedures() {
                Field::new(procedure.name, procedure.help, (procedure.declared)()).procedure(&scope, procedure, target.clone());
            }
            Owned { value, _lease: Lease { home: home.clone(), places: places.take() } }
        })
    }
}

/// A service's name. The macros refuse what is none.
pub(crate) fn service_name(service: &str) -> Name {
    service.to_lowercase().parse().unwrap_or_else(|problem| {
        tracing::error!(target: "tif::export", service, %problem, "not a service's name: it is exported as `misnamed`");
        "misnamed".parse().expect("a literal that is a name")
    })
}
