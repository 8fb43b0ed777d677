//! One instrument's declaration, put together attribute by attribute and ended by what kind it is.

use std::sync::Arc;
use std::time::Duration;

use tif_core::model::significance::Threshold;
use tif_core::model::{Declared, Descriptor, Kind, Number, Slot, TestPointKind, ValueType};

use super::Scope;
use crate::Shown;
use crate::home::Live;
use crate::instrument::{Control, Counter, Dynamic, Histogram, Indicator, Judge};
use crate::procedure::{Procedure, ProcedureCall, Target};
use crate::segment::Place;
use crate::test_point::{Cells, Point, Record, TestPoint};
use crate::value::Cell;

/// How often a dynamic indicator is computed if it does not say.
const EVERY_DEFAULT: Duration = Duration::from_secs(1);

/// A declaration in the making. Methods are called as the attributes of `#[derive(Instruments)]`, which documents them.
pub struct Field {
    name: &'static str,
    every: Duration,
    is_memorized: bool,
    is_validated: bool,
    descriptor: Descriptor,
}

/// A path that is replaced as soon as the scope is known.
fn no_path() -> tif_core::model::Name {
    "_".parse().expect("a literal that is a name")
}

impl Field {
    /// An instrument of this name below its scope.
    pub fn new(name: &'static str, help: &str, declared: Declared) -> Field {
        let descriptor = Descriptor { help: help.to_owned(), declared, ..Descriptor::bare(no_path(), Kind::Gauge, ValueType::U64) };
        Field { name, every: EVERY_DEFAULT, is_memorized: false, is_validated: false, descriptor }
    }

    /// # Panics
    /// If the unit is unknown. The macro has refused such a one.
    pub fn unit(mut self, unit: &str) -> Field {
        self.descriptor.unit = unit.parse().unwrap_or_else(|e| panic!("{}: {e}", self.name));
        self
    }

    /// Both ends are allowed.
    pub fn range(mut self, min: Number, max: Number) -> Field {
        self.descriptor.range = Some((min, max));
        self
    }

    /// The distance of allowed values.
    pub fn step(mut self, step: Number) -> Field {
        self.descriptor.step = Some(step);
        self
    }

    /// In both directions.
    pub fn deadband(self, band: f64) -> Field {
        self.deadband_up(band).deadband_down(band)
    }

    /// Upwards.
    pub fn deadband_up(mut self, band: f64) -> Field {
        self.descriptor.significance.up = Some(Threshold::Absolute(band));
        self
    }

    /// Downwards.
    pub fn deadband_down(mut self, band: f64) -> Field {
        self.descriptor.significance.down = Some(Threshold::Absolute(band));
        self
    }

    /// A share of the value last sent.
    pub fn relative(mut self, share: f64) -> Field {
        self.descriptor.significance.up = Some(Threshold::Relative(share));
        self.descriptor.significance.down = Some(Threshold::Relative(share));
        self
    }

    /// Not sent more often.
    pub fn at_most_every(mut self, period: Duration) -> Field {
        self.descriptor.significance.at_most_every = Some(period);
        self
    }

    /// Sent at least so often.
    pub fn at_least_every(mut self, period: Duration) -> Field {
        self.descriptor.significance.at_least_every = Some(period);
        self
    }

    /// Warning at or above.
    pub fn warn(mut self, limit: f64) -> Field {
        self.descriptor.limits.warn_above = Some(limit);
        self
    }

    /// Critical at or above.
    pub fn critical(mut self, limit: f64) -> Field {
        self.descriptor.limits.critical_above = Some(limit);
        self
    }

    /// Warning at or below.
    pub fn warn_below(mut self, limit: f64) -> Field {
        self.descriptor.limits.warn_below = Some(limit);
        self
    }

    /// Critical at or below.
    pub fn critical_below(mut self, limit: f64) -> Field {
        self.descriptor.limits.critical_below = Some(limit);
        self
    }

    /// How far back before an alarm falls.
    pub fn hysteresis(mut self, band: f64) -> Field {
        self.descriptor.limits.hysteresis = band;
        self
    }

    /// How often a dynamic indicator is computed while watched.
    pub fn every(mut self, period: Duration) -> Field {
        self.every = period;
        self
    }

    /// The agent restores the control.
    pub fn memorized(mut self) -> Field {
        self.is_memorized = true;
        self
    }

    /// The service has a validator.
    pub fn validated(mut self) -> Field {
        self.is_validated = true;
        self
    }

    /// Who may change the control.
    pub fn writers(mut self, writers: &[&str]) -> Field {
        self.descriptor.writers = writers.iter().map(|w| (*w).to_owned()).collect();
        self
    }

    /// Ends the declaration: a [`Counter`].
    pub fn counter(mut self, scope: &Scope<'_>) -> Counter {
        let place = self.place(scope, Kind::Counter, ValueType::U64);
        Counter::new(scope.home().counter(place.as_ref()))
    }

    /// Ends the declaration: an [`Indicator`].
    pub fn indicator<T: Shown>(mut self, scope: &Scope<'_>) -> Indicator<T> {
        self.of_type::<T>();
        let place = self.place(scope, Kind::Gauge, T::TYPE);
        Indicator::new(T::Cell::open(scope.home(), place.as_ref()), Judge::new(&self.descriptor))
    }

    /// Ends the declaration: a [`Dynamic`].
    pub fn dynamic<T: Shown>(mut self, scope: &Scope<'_>) -> Dynamic<T> {
        self.of_type::<T>();
        let place = self.place(scope, Kind::Dynamic { every: self.every }, T::TYPE);
        let dynamic = Dynamic::new(T::Cell::open(scope.home(), place.as_ref()), Judge::new(&self.descriptor), self.every);
        self.enter(scope, place.as_ref(), Live::Dynamic(dynamic.side()));
        dynamic
    }

    /// Ends the declaration: a [`Control`].
    pub fn control<T: Shown>(mut self, scope: &Scope<'_>, default: T) -> Control<T> {
        self.of_type::<T>();
        self.descriptor.default = Some(default.to_value());
        let kind = Kind::Control { memorized: self.is_memorized, validated: self.is_validated };
        let place = self.place(scope, kind, T::TYPE);
        let cell = T::Cell::open(scope.home(), place.as_ref());
        let control = Control::new(cell, self.descriptor.clone(), &default, scope.home().is_detached());
        self.enter(scope, place.as_ref(), Live::Control(control.side()));
        control
    }

    /// Ends the declaration: a [`Histogram`] of durations; `scale` is what a nanosecond is in the unit.
    pub fn histogram_of_time(mut self, scope: &Scope<'_>, scale: f64) -> Histogram {
        self.descriptor.scale = scale;
        let place = self.place(scope, Kind::Histogram, ValueType::Histogram);
        Histogram::new(scope.home().histogram(place.as_ref()), scale, true)
    }

    /// Ends the declaration: a [`Histogram`] of anything else; `scale` is what one recorded step is in the unit.
    pub fn histogram(mut self, scope: &Scope<'_>, scale: f64) -> Histogram {
        self.descriptor.scale = scale;
        let place = self.place(scope, Kind::Histogram, ValueType::Histogram);
        Histogram::new(scope.home().histogram(place.as_ref()), scale, false)
    }

    /// Ends the declaration: a [`TestPoint`]; with it go `name.last` and `name.armed`.
    // spec: TST-3
    pub fn test_point<R: Record>(mut self, scope: &Scope<'_>) -> TestPoint<R> {
        let home = scope.home();
        let fields = R::fields();
        let place = self.place(scope, Kind::TestPoint(TestPointKind::InPath { fields: fields.clone() }), ValueType::U64);
        let below = scope.under(self.name);
        let last = self.text("last", "What was captured of the last pass that was hit.", &below);
        let armed = self.text("armed", "How the test point is armed; empty: it is not.", &below);
        let cells = Cells { hits: home.scalar(place.as_ref()), last: home.wide(last.as_ref()), armed: home.wide(armed.as_ref()) };
        let name = format!("{}.{}", home.service(), self.descriptor.path);
        let slot = place.map_or(Slot(u32::MAX), |p| p.slot);
        let point = TestPoint::new(Point::new(name, fields, slot, cells, home.doorbell().cloned()));
        self.enter(scope, place.as_ref(), Live::Point(Arc::clone(point.point())));
        point
    }

    /// Ends the declaration: a procedure of `target`; with it goes `name.last`.
    // spec: TST-2, TST-3
    pub(crate) fn procedure<T: Send + Sync + 'static>(mut self, scope: &Scope<'_>, procedure: &'static Procedure<T>, target: Target<T>) {
        let kind = TestPointKind::Procedure {
            arguments: (procedure.arguments)(),
            returns: procedure.returns.to_owned(),
            timeout: Duration::from_nanos(procedure.timeout_ns),
            idempotent: procedure.idempotent,
        };
        let Some(place) = self.place(scope, Kind::TestPoint(kind), ValueType::U64) else { return };
        let last = self.text("last", "The result or error of the last call.", &scope.under(self.name));
        let home = scope.home();
        let call = ProcedureCall::new(procedure, target, home.scalar(Some(&place)), home.wide(last.as_ref()));
        self.enter(scope, Some(&place), Live::Procedure(Arc::new(call)));
    }

    /// A text beside the instrument, below its name.
    fn text(&self, name: &'static str, help: &str, scope: &Scope<'_>) -> Option<Place> {
        Field::new(name, help, self.descriptor.declared.clone()).place(scope, Kind::Gauge, ValueType::Text)
    }

    /// What the values' own type brings with it: choices, and a range no wider than what it can hold.
    // spec: CTL-1
    fn of_type<T: Shown>(&mut self) {
        self.descriptor.choices = T::choices();
        self.descriptor.range = within(self.descriptor.range, self.descriptor.step, T::RANGE);
    }

    fn place(&mut self, scope: &Scope<'_>, kind: Kind, value_type: ValueType) -> Option<Place> {
        self.descriptor.path = scope.path(self.name);
        self.descriptor.kind = kind;
        self.descriptor.value_type = value_type;
        scope.declare(&mut self.descriptor)
    }

    fn enter(&self, scope: &Scope<'_>, place: Option<&Place>, live: Live) {
        if let Some(place) = place {
            scope.home().enter(place, live);
        }
    }
}

/// What is left of the declared range within that of the type.
fn within(declared: Option<(Number, Number)>, step: Option<Number>, of_type: Option<(Number, Number)>) -> Option<(Number, Number)> {
    let Some((least, most)) = of_type else { return declared };
    let Some((min, max)) = declared else {
        // Steps are counted from the range's start, and without one from 0: it must not shift them.
        let least = match least.off_step(Number::Whole(0), step.unwrap_or(Number::Whole(1))) {
            Some((_, above)) => above,
            None => least,
        };
        return Some((least, most));
    };
    Some((if min.at_most(least) { least } else { min }, if most.at_most(max) { most } else { max }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Number::Whole;

    // spec: CTL-1
    #[test]
    fn a_range_is_no_wider_than_the_type_and_steps_stay_where_they_are() {
        let small = <i32 as Shown>::RANGE;
        assert_eq!(within(None, None, small), small);
        assert_eq!(within(None, None, <u64 as Shown>::RANGE), None);
        assert_eq!(within(None, Some(Whole(5)), small), Some((Whole(-2_147_483_645), Whole(i32::MAX.into()))));
        assert_eq!(within(Some((Whole(0), Whole(1 << 40))), None, small), Some((Whole(0), Whole(i32::MAX.into()))));
        assert_eq!(within(Some((Whole(1), Whole(9))), None, small), Some((Whole(1), Whole(9))));
    }
}
