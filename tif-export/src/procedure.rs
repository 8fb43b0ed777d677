//! Procedures that can be called from outside.
// spec: TST-2

use std::collections::BTreeMap;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Weak;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tif_core::limits;
use tif_core::model::{Argument, Declared, Value};

use crate::Shown;
use crate::instance::Owned;
use crate::panics;
use crate::segment::{ScalarCell, WideCell};
use crate::value::cut;

/// What is declared of a procedure of `T`.
pub struct Procedure<T: 'static> {
    /// Its name below the struct's path.
    pub name: &'static str,
    /// What it does.
    pub help: &'static str,
    /// What it takes.
    pub arguments: fn() -> Vec<Argument>,
    /// What it answers, in words.
    pub returns: &'static str,
    /// How long it may take.
    pub timeout_ns: u64,
    /// Whether calling it twice is the same as calling it once.
    pub idempotent: bool,
    /// Where it stands.
    pub declared: fn() -> Declared,
    /// Calls it.
    pub call: fn(&T, &mut Arguments) -> Result<String, String>,
}

/// The procedures of a struct without `#[tif::procedures]`: none. The attribute's constant has the same name and goes before.
pub trait NoProcedures: Sized + 'static {
    /// None.
    const TIF_PROCEDURES: &'static [Procedure<Self>] = &[];
}

impl<T: 'static> NoProcedures for T {}

/// The arguments of a call that are not yet taken.
pub struct Arguments(std::vec::IntoIter<Value>);

impl Arguments {
    pub(crate) fn new(values: Vec<Value>) -> Arguments {
        Arguments(values.into_iter())
    }

    /// The next one.
    ///
    /// # Errors
    /// If there is none, or it does not fit its type.
    pub fn take<T: Shown>(&mut self, name: &str) -> Result<T, String> {
        let value = self.0.next().ok_or_else(|| format!("argument `{name}` is missing"))?;
        T::from_value(&value).ok_or_else(|| format!("argument `{name}` does not take {}", value.show(&T::choices())))
    }
}

/// How what a procedure returns becomes a text.
pub struct Outcome;

impl Outcome {
    /// Of a value.
    pub fn of(value: impl Display) -> Result<String, String> {
        Ok(value.to_string())
    }

    /// Of nothing.
    pub fn of_nothing((): ()) -> Result<String, String> {
        Ok("done".to_owned())
    }

    /// Of a result.
    pub fn of_result(result: Result<impl Display, impl Display>) -> Result<String, String> {
        result.map(|v| v.to_string()).map_err(|e| e.to_string())
    }

    /// Of a result without a value.
    pub fn of_empty_result(result: Result<(), impl Display>) -> Result<String, String> {
        result.map_err(|e| e.to_string()).and_then(Outcome::of_nothing)
    }
}

/// Whose procedure is called, as long as it is there.
pub(crate) type Target<T> = Weak<Owned<T>>;

/// A procedure as the exporter sees it.
pub(crate) trait ProcedureSide: Send + Sync {
    /// Calls it, here and now.
    fn call(&self, arguments: Vec<Value>) -> Result<String, String>;
    /// A call has run longer than its time limit. Shown until one returns.
    fn overran(&self, timeout: Duration);
}

/// How often it was called, and when the calls that run began.
#[derive(Default)]
struct Calls {
    count: u64,
    running: BTreeMap<u64, Instant>,
}

/// A procedure and what it shows: how often it was called, and its last result.
pub(crate) struct ProcedureCall<T: 'static> {
    procedure: &'static Procedure<T>,
    target: Target<T>,
    calls: Mutex<Calls>,
    cell: ScalarCell,
    last: WideCell,
}

impl<T> ProcedureCall<T> {
    pub(crate) fn new(procedure: &'static Procedure<T>, target: Target<T>, cell: ScalarCell, last: WideCell) -> ProcedureCall<T> {
        ProcedureCall { procedure, target, calls: Mutex::default(), cell, last }
    }
}

impl<T: Send + Sync> ProcedureSide for ProcedureCall<T> {
    fn call(&self, arguments: Vec<Value>) -> Result<String, String> {
        let target = self.target.upgrade().ok_or("the instance whose procedure this is was dropped")?;
        let number = {
            let mut calls = self.calls.lock();
            calls.count += 1;
            let number = calls.count;
            calls.running.insert(number, Instant::now());
            self.cell.store(number, |_| true);
            number
        };
        let mut arguments = Arguments::new(arguments);
        let result = catch_unwind(AssertUnwindSafe(|| (self.procedure.call)(target.value(), &mut arguments)))
            .unwrap_or_else(|payload| Err(format!("panicked: {}", panics::text(&*payload))));
        let cut_to = |text: String| cut(&text, limits::RESULT_LEN_MAX).to_owned();
        let result = result.map(cut_to).map_err(cut_to);
        let line = match &result {
            Ok(text) => text.clone(),
            Err(text) => format!("error: {text}"),
        };
        // With the lock: what has returned is not shown as running.
        let mut calls = self.calls.lock();
        calls.running.remove(&number);
        self.last.store(cut(&line, limits::TEXT_LEN_MAX));
        drop(calls);
        result
    }

    fn overran(&self, timeout: Duration) {
        let calls = self.calls.lock();
        let over = calls.running.values().filter(|begun| begun.elapsed() >= timeout).count();
        if over > 0 {
            self.last.store(&format!("no result within {timeout:?}: {over} of {} calls that run are over their time", calls.running.len()));
        }
    }
}
