//! A value that can be changed from outside.

use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tif_core::model::{Descriptor, Kind, Value, Version};

use super::judge::Judge;
use crate::Shown;
use crate::gate::Gate;
use crate::panics;
use crate::value::Cell;

/// Shows a value and lets it be changed from outside. The service reads it whenever it likes, or is called on a change.
///
/// Reading a number costs one relaxed load. A control has its declared default until the agent says otherwise; a memorized one has its
/// last accepted value when [`crate::Service::start`] returns, if there is an agent.
// spec: CTL-2, CTL-7
pub struct Control<T: Shown> {
    cell: T::Cell,
    side: Arc<Side<T>>,
}

/// Why a test could not set a control. It has its old value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocalError {
    /// Its service is exported: only the agent changes it, so that no change goes unseen.
    #[error("the control is exported: change it through the agent, or use detached() in tests")]
    Exported,
    /// It does not fit range or step.
    #[error("{0}")]
    Unfit(String),
    /// The validator refuses.
    #[error("the validator refuses: {0}")]
    Invalid(String),
}

type Validator<T> = Arc<dyn Fn(&T) -> Result<(), String> + Send + Sync>;
type Listener<T> = Arc<dyn Fn(&T) + Send + Sync>;

struct Side<T: Shown> {
    cell: T::Cell,
    judge: Box<Judge>,
    descriptor: Descriptor,
    gate: Gate,
    is_detached: bool,
    validator: Mutex<Option<Validator<T>>>,
    listener: Mutex<Option<Listener<T>>>,
    /// The version that it runs with. Only the exporter's steward writes it. Relaxed: it orders nothing.
    version: AtomicU64,
}

impl<T: Shown> Control<T> {
    pub(crate) fn new(cell: T::Cell, descriptor: Descriptor, default: &T, is_detached: bool) -> Control<T> {
        // Nobody watches yet; and if somebody does, a default is news.
        cell.put(default, |_| true);
        let side = Side {
            cell: cell.clone(),
            judge: Judge::new(&descriptor),
            descriptor,
            gate: Gate::new(),
            is_detached,
            validator: Mutex::new(None),
            listener: Mutex::new(None),
            version: AtomicU64::new(0),
        };
        Control { cell, side: Arc::new(side) }
    }

    pub(crate) fn side(&self) -> Arc<dyn ControlSide> {
        Arc::clone(&self.side) as Arc<dyn ControlSide>
    }

    /// Its value now.
    #[inline]
    pub fn get(&self) -> T {
        self.cell.take()
    }

    /// Calls `listener` with the new value after each change from outside, on a thread of the library, one change after the other. For
    /// the value that the control has already, see [`Control::get`]. A later listener replaces it.
    pub fn on_change(&self, listener: impl Fn(&T) + Send + Sync + 'static) {
        // The one before is dropped without the lock: it may own what comes back here.
        let before = self.side.listener.lock().replace(Arc::new(listener));
        drop(before);
    }

    /// Asks `validator` before a change is admitted; its error tells the requester why not. The field must be declared
    /// `#[tif(validated)]`, or the agent does not know that there is somebody to ask.
    // spec: CTL-1
    pub fn validate<E: Display>(&self, validator: impl Fn(&T) -> Result<(), E> + Send + Sync + 'static) {
        if !matches!(self.side.descriptor.kind, Kind::Control { validated: true, .. }) {
            tracing::error!(target: "tif::export", instrument = %self.side.descriptor.path, "a validator that is never asked: declare the control #[tif(validated)]");
        }
        let before = self.side.validator.lock().replace(Arc::new(move |v| validator(v).map_err(|e| e.to_string())));
        drop(before);
    }

    /// Changes a control of a detached struct as the agent would: checked, validated, announced to the listener.
    ///
    /// # Errors
    /// If the value does not fit, the validator refuses it, or the struct is not detached. The control has its old value.
    // spec: EXP-4
    pub fn set_local(&self, value: T) -> Result<(), LocalError> {
        if !self.side.is_detached {
            return Err(LocalError::Exported);
        }
        let value = value.to_value();
        self.side.check(&value).map_err(LocalError::Unfit)?;
        self.side.validate(&value).map_err(LocalError::Invalid)?;
        self.side.take(&value);
        Ok(())
    }
}

/// A control as the exporter sees it.
pub(crate) trait ControlSide: Send + Sync {
    /// Asks the service's validator.
    fn validate(&self, value: &Value) -> Result<(), String>;
    /// Takes the value of a version. False if it has it already, or cannot take it.
    fn apply(&self, version: Version, value: &Value) -> bool;
    /// Takes nothing any more: its place is given back.
    fn close(&self);
}

impl<T: Shown> Side<T> {
    /// Range and step.
    fn check(&self, value: &Value) -> Result<(), String> {
        let shown = value.show(&self.descriptor.choices).to_string();
        self.descriptor.check(value, &shown).map_err(|e| e.to_string())
    }

    fn take(&self, value: &Value) -> bool {
        let Some(new) = T::from_value(value) else {
            tracing::error!(target: "tif::export", instrument = %self.descriptor.path, ?value, "a control's value of another type was ignored");
            return false;
        };
        // spec: EXP-8
        let old = self.gate.pass(|| {
            let old = self.cell.take().to_value();
            self.cell.put(&new, |sent| self.judge.is_significant(sent, &new));
            old
        });
        let Some(old) = old else { return false };
        // A statement of its own, which gives the lock back: the listener may replace itself, or set the control.
        let listener = self.listener.lock().clone();
        if old != *value
            && let Some(listener) = listener
            && let Err(payload) = catch_unwind(AssertUnwindSafe(|| listener(&new)))
        {
            tracing::error!(target: "tif::export", instrument = %self.descriptor.path, panic = panics::text(&*payload), "the listener of a control panicked");
        }
        true
    }
}

impl<T: Shown> ControlSide for Side<T> {
    fn validate(&self, value: &Value) -> Result<(), String> {
        let Some(validator) = self.validator.lock().clone() else { return Ok(()) };
        let value = T::from_value(value).ok_or("the value is of another type")?;
        catch_unwind(AssertUnwindSafe(|| validator(&value)))
            .unwrap_or_else(|payload| Err(format!("the validator panicked: {}", panics::text(&*payload))))
    }

    fn apply(&self, version: Version, value: &Value) -> bool {
        if self.version.load(Ordering::Relaxed) == version.0 {
            return false;
        }
        // The agent has checked it; but the service relies on its range, whatever lies on the board.
        // spec: CTL-1
        if let Err(problem) = self.check(value) {
            tracing::error!(target: "tif::export", instrument = %self.descriptor.path, problem, "a control's value that does not fit was ignored");
            return false;
        }
        if !self.take(value) {
            return false;
        }
        self.version.store(version.0, Ordering::Relaxed);
        true
    }

    fn close(&self) {
        self.gate.close();
    }
}
