//! The four instruments of a measured function.
// spec: EXP-1

use std::cell::RefCell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use tif_core::model::{Declared, Dimensions};

use crate::declare::{Field, Scope};
use crate::exporter::Exporter;
use crate::home::Home;
use crate::instrument::{Counter, Histogram, Indicator};

/// Every measured function of the program, so that its instruments are there before its first call.
#[linkme::distributed_slice]
pub static PROCEDURE_METRICS: [&'static ProcedureMetrics];

/// The instruments of one function. `#[tif::procedure_metrics]` makes it.
pub struct ProcedureMetrics {
    service: Option<&'static str>,
    name: &'static str,
    help: &'static str,
    declared: fn() -> Declared,
    bound: OnceLock<Bound>,
}

struct Bound {
    calls: Counter,
    errors: Counter,
    in_flight: Indicator<i64>,
    latency: Histogram,
    /// The truth behind `in_flight`. Sequentially consistent: see [`Bound::flow`].
    inside: AtomicI64,
}

impl ProcedureMetrics {
    /// Of the function `name`, for `service` or for the first that the process exports.
    pub const fn new(
        service: Option<&'static str>,
        name: &'static str,
        help: &'static str,
        declared: fn() -> Declared,
    ) -> ProcedureMetrics {
        ProcedureMetrics { service, name, help, declared, bound: OnceLock::new() }
    }

    /// Declares those that belong to a service that is now exported.
    pub(crate) fn bind_all(home: &Home, is_first: bool) {
        for metrics in PROCEDURE_METRICS {
            let is_ours = metrics.service.map_or(is_first, |s| s == home.service().as_str());
            if is_ours {
                metrics.bound.get_or_init(|| metrics.bind(home));
            }
        }
    }

    fn bind(&self, home: &Home) -> Bound {
        let places = RefCell::new(Vec::new());
        let none = Dimensions::NONE;
        let scope = Scope::new(home, self.name, &none, &places);
        let field = |name, what: &str| Field::new(name, &format!("{what}: {}", self.help), (self.declared)());
        Bound {
            calls: field("calls", "Calls begun").counter(&scope),
            errors: field("errors", "Calls that ended with an error or a panic").counter(&scope),
            in_flight: field("in_flight", "Calls under way").indicator(&scope),
            latency: field("latency", "Duration of a call").unit("s").histogram_of_time(&scope, 1e-9),
            inside: AtomicI64::new(0),
        }
    }

    /// A call begins.
    #[inline]
    pub fn enter(&self) -> Call<'_> {
        let bound = self.bound.get().unwrap_or_else(|| self.first_call());
        bound.calls.inc();
        bound.flow(1);
        Call { bound, begun: Instant::now(), is_done: false }
    }

    #[cold]
    fn first_call(&self) -> &Bound {
        let exporter = match self.service {
            Some(service) => Exporter::of(service, false),
            None => Exporter::first_or(&(self.declared)().crate_name),
        };
        self.bound.get_or_init(|| self.bind(exporter.home()))
    }
}

impl Bound {
    /// Shows one more or one less under way. Whoever stores last has seen the final count after its store, so no count stays too old.
    fn flow(&self, by: i64) {
        let mut now = self.inside.fetch_add(by, Ordering::SeqCst) + by;
        loop {
            self.in_flight.set(now);
            let after = self.inside.load(Ordering::SeqCst);
            if after == now {
                return;
            }
            now = after;
        }
    }
}

/// A call under way. One that is dropped without [`Call::leave`] has panicked.
pub struct Call<'a> {
    bound: &'a Bound,
    begun: Instant,
    is_done: bool,
}

impl Call<'_> {
    /// The call has returned.
    #[inline]
    pub fn leave(mut self, is_error: bool) {
        self.is_done = !is_error;
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.bound.errors.inc();
        }
        self.bound.flow(-1);
        self.bound.latency.record(self.begun.elapsed());
    }
}
