//! What the macros' code is made of. Can be written by hand, too; only names here may change more often than elsewhere.

mod field;
mod scope;

use tif_core::model::Argument;
pub use tif_core::model::Number;

pub use crate::procedure::{Arguments, NoProcedures, Outcome, Procedure};
pub use crate::procedure_metrics::PROCEDURE_METRICS;
pub use crate::segment::ScalarCell;
pub use crate::test_point::Captured;
use crate::{Choice, Shown};
pub use field::Field;
pub use linkme;
pub use scope::Scope;

/// Where the line stands that uses it: crate, version, file, line.
#[macro_export]
macro_rules! declared {
    () => {
        $crate::Declared {
            crate_name: ::std::string::String::from(::core::env!("CARGO_PKG_NAME")),
            version: ::std::string::String::from(::core::env!("CARGO_PKG_VERSION")),
            file: ::std::string::String::from(::core::file!()),
            line: ::core::line!(),
        }
    };
}

/// An argument of a procedure.
pub fn argument<T: Shown>(name: &str) -> Argument {
    Argument { name: name.to_owned(), value_type: T::TYPE, choices: T::choices(), range: T::RANGE }
}

/// A field of a record.
pub fn field<T: Captured>(name: &str) -> Argument {
    Argument { name: name.to_owned(), value_type: T::TYPE, choices: T::choices(), range: T::RANGE }
}

/// Runs the body of a measured function. As an argument of this type the closure may give away what it has borrowed.
#[doc(hidden)]
#[inline]
pub fn run<R>(body: impl FnOnce() -> R) -> R {
    body()
}

/// The first choice of a type that has one, as each derived one has.
#[doc(hidden)]
pub fn first_choice<T: Choice>() -> T {
    T::from_index(0).expect("a derived choice has a first variant")
}

/// Fails to compile if a procedure has the name of a field.
#[doc(hidden)]
pub const fn assert_apart(fields: &[&str], procedure: &str) {
    let mut i = 0;
    while i < fields.len() {
        assert!(
            !same(fields[i].as_bytes(), procedure.as_bytes()),
            "a field of the struct has the name of this procedure: rename one of them"
        );
        i += 1;
    }
}

/// Fails to compile if two procedures have the same name. The macro sees it of all that are not there under some condition only.
#[doc(hidden)]
pub const fn assert_distinct<T: 'static>(procedures: &[Procedure<T>]) {
    let mut i = 0;
    while i < procedures.len() {
        let mut j = i + 1;
        while j < procedures.len() {
            assert!(
                !same(procedures[i].name.as_bytes(), procedures[j].name.as_bytes()),
                "two procedures of this struct have the same name: give one of them another with #[procedure(name = \"...\")]"
            );
            j += 1;
        }
        i += 1;
    }
}

/// Whether a control's default is one of its steps, as the agent judges it.
#[doc(hidden)]
pub const fn is_on_step(value: f64, from: f64, step: f64) -> bool {
    let steps = (value - from) / step;
    // Beyond this each number is a whole one.
    if steps.abs() >= 9e15 {
        return true;
    }
    let nearest = (if steps < 0.0 { steps - 0.5 } else { steps + 0.5 }) as i64 as f64;
    (steps - nearest).abs() < 1e-6
}

/// The same of whole numbers.
#[doc(hidden)]
pub const fn is_on_whole_step(value: i128, from: i128, step: i128) -> bool {
    step > 0 && (value - from) % step == 0
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}
