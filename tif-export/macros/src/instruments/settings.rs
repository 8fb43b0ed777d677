//! The settings of one field: units, ranges, thresholds, limits.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, RangeLimits};
use tif_core::model::{Number as Exact, unit};

use super::handle::{Class, Handle, Value};
use crate::attribute::Entries;
use crate::errors::Errors;
use crate::literal::{Bound, Number};

/// Reads the settings of a field one after the other, each into a line of code.
pub(super) struct Settings<'a> {
    pub(super) handle: &'a Handle,
    pub(super) entries: Entries,
    pub(super) errors: &'a mut Errors,
    /// Calls that set what is declared.
    pub(super) code: TokenStream,
    /// What only the compiler can check.
    pub(super) check: TokenStream,
}

impl Settings<'_> {
    /// All of them; the call that ends the declaration.
    pub(super) fn all(&mut self, ident: Span) -> TokenStream {
        let class = self.handle.class();
        let is_time = self.unit(class);
        let range = self.range(class);
        let step = self.step(class);
        self.significance(class);
        self.alarms(class);
        self.every();
        match self.handle {
            Handle::Counter => quote!(.counter(scope)),
            Handle::Indicator(Value { ty, .. }) => quote!(.indicator::<#ty>(scope)),
            Handle::Dynamic(Value { ty, .. }) => quote!(.dynamic::<#ty>(scope)),
            Handle::Histogram => self.histogram(is_time, step),
            Handle::TestPoint(None) => quote!(.test_point(scope)),
            Handle::TestPoint(Some(record)) => quote!(.test_point::<#record>(scope)),
            Handle::Control(value) => self.control(value, range, step, ident),
            Handle::Nested => TokenStream::new(),
        }
    }

    fn allows(&self, key: &str) -> bool {
        self.handle.keys().contains(&key)
    }

    /// The unit; answers what one unit is in nanoseconds, if it measures time.
    // spec: EXP-5
    fn unit(&mut self, class: Option<Class>) -> Option<f64> {
        if !self.allows("unit") {
            return None;
        }
        let Some(lit) = self.entries.text("unit", self.errors) else {
            if class == Some(Class::Duration) {
                self.code.extend(quote!(.unit("s")));
            }
            return None;
        };
        let text = lit.value();
        if text.parse::<unit::Unit>().is_err() {
            let near = match unit_meant(&text) {
                Some(unit) => format!("; did you mean `{unit}`?"),
                None => String::new(),
            };
            let list = unit::KNOWN.iter().map(|(u, _)| *u).collect::<Vec<_>>().join(" ");
            self.errors.at(lit.span(), format!("`{text}` is not a known unit{near}\nknown are: {list}"));
            return None;
        }
        if class == Some(Class::Duration) && text != "s" {
            self.errors.at(lit.span(), "a Duration is in seconds: leave the unit out, or write \"s\"");
        }
        if matches!(class, Some(Class::Bool | Class::Text | Class::Choice)) && text != "1" {
            self.errors.at(lit.span(), "only a number has a unit");
        }
        self.code.extend(quote_spanned!(lit.span()=> .unit(#lit)));
        nanoseconds_in(&text)
    }

    fn number(&mut self, key: &str, class: Option<Class>) -> Option<Number> {
        if !self.allows(key) {
            return None;
        }
        let (at, expr) = self.entries.value(key, self.errors)?;
        if !class.is_some_and(Class::is_number) {
            self.errors.at(at, format!("`{key}` goes with numbers only"));
            return None;
        }
        let number = Number::read(&expr, class == Some(Class::Duration));
        self.errors.ok(number)
    }

    /// A number that must not be negative (`zero`: but may be 0).
    fn size(&mut self, key: &str, class: Option<Class>, zero: bool) -> Option<Number> {
        let number = self.number(key, class)?;
        if number.known.is_some_and(|v| v < 0.0 || (v == 0.0 && !zero)) {
            self.errors.at(number.span, format!("`{key}` must be {}", if zero { "0 or more" } else { "more than 0" }));
        }
        Some(number)
    }

    /// A bound of the values: of their own type.
    fn bound(&mut self, expr: &Expr, class: Option<Class>) -> Option<Bound> {
        let read = match class {
            Some(Class::Whole(..)) => Bound::whole(expr),
            _ => Bound::float(expr, class == Some(Class::Duration)),
        };
        let bound = self.errors.ok(read)?;
        if let (Some(Class::Whole(least, most)), Some(known)) = (class, bound.known)
            && !(Exact::Whole(least).at_most(known) && known.at_most(Exact::Whole(most)))
        {
            self.errors.at(bound.span, format!("{known} does not fit the instrument's type: it takes {least} to {most}"));
            return None;
        }
        Some(bound)
    }

    fn range(&mut self, class: Option<Class>) -> Option<(Bound, Bound)> {
        if !self.allows("range") {
            return None;
        }
        let (at, expr) = self.entries.value("range", self.errors)?;
        if !class.is_some_and(Class::is_number) {
            self.errors.at(at, "`range` goes with numbers only");
            return None;
        }
        let Expr::Range(range) = &expr else {
            self.errors.at(expr.span(), "a range is wanted here, with both ends: 1..=4096");
            return None;
        };
        let (Some(start), Some(end), RangeLimits::Closed(_)) = (&range.start, &range.end, &range.limits) else {
            self.errors.at(expr.span(), "a range has both ends, and both are allowed: write it with ..= as 1..=4096");
            return None;
        };
        let (start, end) = (self.bound(start, class), self.bound(end, class));
        let (start, end) = (start?, end?);
        if let (Some(a), Some(b)) = (start.known, end.known)
            && !a.at_most(b)
        {
            self.errors.at(expr.span(), format!("an empty range: {a} is more than {b}"));
            return None;
        }
        let (a, b) = (start.declared(), end.declared());
        self.code.extend(quote_spanned!(expr.span()=> .range(#a, #b)));
        Some((start, end))
    }

    /// Of a histogram it is no bound, but what one recorded step is.
    fn step(&mut self, class: Option<Class>) -> Option<Bound> {
        if !self.allows("step") {
            return None;
        }
        let (at, expr) = self.entries.value("step", self.errors)?;
        if !class.is_some_and(Class::is_number) {
            self.errors.at(at, "`step` goes with numbers only");
            return None;
        }
        let step = self.bound(&expr, class)?;
        if step.known.is_some_and(|v| v.as_f64() <= 0.0) {
            self.errors.at(step.span, "`step` must be more than 0");
            return None;
        }
        if !matches!(self.handle, Handle::Histogram) {
            let step = step.declared();
            self.code.extend(quote!(.step(#step)));
        }
        Some(step)
    }

    fn significance(&mut self, class: Option<Class>) {
        let both = self.size("deadband", class, true);
        let up = self.size("deadband_up", class, true);
        let down = self.size("deadband_down", class, true);
        let relative = self.size("relative", class, true);
        let absolute = both.as_ref().or(up.as_ref()).or(down.as_ref());
        if let (Some(relative), Some(_)) = (&relative, absolute) {
            self.errors.at(relative.span, "either `relative` or `deadband`, not both");
        }
        if let (Some(both), true) = (&both, up.is_some() || down.is_some()) {
            self.errors.at(both.span, "`deadband` holds in both directions: either it, or `deadband_up` and `deadband_down`");
        }
        for (number, method) in
            [(both, quote!(deadband)), (up, quote!(deadband_up)), (down, quote!(deadband_down)), (relative, quote!(relative))]
        {
            if let Some(Number { code, .. }) = number {
                self.code.extend(quote!(.#method(#code)));
            }
        }
        for key in ["at_most_every", "at_least_every"] {
            if self.allows(key)
                && let Some((ns, _)) = self.entries.duration(key, self.errors)
            {
                let method = syn::Ident::new(key, Span::call_site());
                self.code.extend(quote!(.#method(::core::time::Duration::from_nanos(#ns))));
            }
        }
    }

    // spec: INS-10
    fn alarms(&mut self, class: Option<Class>) {
        let keys = ["warn", "critical", "warn_below", "critical_below"];
        let numbers = keys.map(|key| self.number(key, class));
        let known = |i: usize| numbers[i].as_ref().and_then(|n| n.known);
        if let (Some(warn), Some(critical)) = (known(0), known(1))
            && critical < warn
            && let Some(n) = &numbers[1]
        {
            self.errors.at(n.span, "critical before the warning: `critical` must not be less than `warn`");
        }
        if let (Some(warn), Some(critical)) = (known(2), known(3))
            && critical > warn
            && let Some(n) = &numbers[3]
        {
            self.errors.at(n.span, "critical before the warning: `critical_below` must not be more than `warn_below`");
        }
        let hysteresis = self.size("hysteresis", class, true);
        if let Some(h) = &hysteresis
            && numbers.iter().all(Option::is_none)
        {
            self.errors.at(h.span, "`hysteresis` without a limit: add `warn` or `critical`");
        }
        for (key, number) in keys.into_iter().zip(&numbers).chain([("hysteresis", &hysteresis)]) {
            if let Some(Number { code, .. }) = number {
                let method = syn::Ident::new(key, Span::call_site());
                self.code.extend(quote!(.#method(#code)));
            }
        }
    }

    fn every(&mut self) {
        if !self.allows("every") {
            return;
        }
        if let Some((ns, span)) = self.entries.duration("every", self.errors) {
            if ns < 10_000_000 {
                self.errors.at(span, "a dynamic indicator is computed at most every 10ms");
            }
            self.code.extend(quote!(.every(::core::time::Duration::from_nanos(#ns))));
        }
    }

    fn histogram(&mut self, is_time: Option<f64>, step: Option<Bound>) -> TokenStream {
        match (is_time, step) {
            (Some(_), Some(step)) => {
                self.errors.at(step.span, "a histogram of time has steps of a nanosecond: leave `step` out");
                TokenStream::new()
            }
            (Some(ns), None) => {
                let scale = proc_macro2::Literal::f64_suffixed(1.0 / ns);
                quote!(.histogram_of_time(scope, #scale))
            }
            (None, Some(Bound { code, .. })) => quote!(.histogram(scope, #code)),
            (None, None) => quote!(.histogram(scope, 1f64)),
        }
    }
}

/// The unit that somebody meant who wrote its name (`seconds`, `sec`) or got its case wrong.
fn unit_meant(text: &str) -> Option<&'static str> {
    let text = text.to_lowercase();
    let stem = text.strip_suffix('s').unwrap_or(&text);
    let fits = |(unit, meaning): &&(&str, &str)| unit.to_lowercase() == text || (stem.len() >= 3 && meaning.starts_with(stem));
    unit::KNOWN.iter().find(fits).map(|(unit, _)| *unit)
}

/// How many nanoseconds one unit has, if it is one of time.
fn nanoseconds_in(unit: &str) -> Option<f64> {
    Some(match unit {
        "ns" => 1.0,
        "us" => 1e3,
        "ms" => 1e6,
        "s" => 1e9,
        "min" => 60e9,
        "h" => 3600e9,
        "d" => 86_400e9,
        _ => return None,
    })
}
