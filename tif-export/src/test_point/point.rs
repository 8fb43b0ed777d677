//! A named point that code passes.
// spec: TST-1

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tif_core::model::{Argument, Arming, FaultAction, Slot, Time};

use super::armed::{Armed, Verdict};
use super::random;
use super::record::{Injected, Record, line, now};
use crate::exporter::Doorbell;
use crate::segment::{ScalarCell, WideCell};

/// A point of the service's own code that can be armed from outside: to count, record, delay, fail, panic or pause whoever passes.
///
/// While it is not armed a pass costs one relaxed load and a branch, and the closure is not called.
pub struct TestPoint<R: Record = ()> {
    point: Arc<Point>,
    record: PhantomData<fn(R)>,
}

impl<R: Record> TestPoint<R> {
    pub(crate) fn new(point: Arc<Point>) -> TestPoint<R> {
        TestPoint { point, record: PhantomData }
    }

    pub(crate) fn point(&self) -> &Arc<Point> {
        &self.point
    }

    /// Passes the point. `record` yields what is captured of this pass.
    ///
    /// # Errors
    /// With the record's error, if the point is armed to fail and this pass is hit.
    ///
    /// # Panics
    /// If the point is armed to panic and this pass is hit.
    #[inline]
    pub fn pass(&self, record: impl FnOnce() -> R) -> Result<(), R::Error> {
        // Relaxed: a pass that runs while the point is being armed may be the last one spared.
        if self.point.word.load(Ordering::Relaxed) == 0 {
            return Ok(());
        }
        self.pass_armed(record)
    }

    #[cold]
    fn pass_armed(&self, record: impl FnOnce() -> R) -> Result<(), R::Error> {
        // Before the lock: the service's code may pass other points, or this one.
        let values = record().values();
        self.point.pass(values).map_err(R::Error::from)
    }

    /// How many passes were hit so far.
    pub fn hits(&self) -> u64 {
        self.point.state.lock().hits
    }

    /// What was captured of the last one hit, as one line.
    pub fn last(&self) -> String {
        self.point.cells.last.load()
    }

    /// Arms the point from within the process, for tests.
    ///
    /// # Errors
    /// With what is wrong with the arming. The point is as it was.
    // spec: EXP-4
    pub fn arm_local(&self, arming: Arming) -> Result<(), String> {
        self.point.arm(arming).map(|_| ())
    }

    /// Disarms it, and lets go whoever is paused.
    pub fn disarm_local(&self) {
        self.point.disarm();
    }

    /// Whether it is armed.
    pub fn is_armed(&self) -> bool {
        self.point.word.load(Ordering::Relaxed) != 0
    }
}

/// Where a point shows itself.
pub(crate) struct Cells {
    /// How many passes were hit.
    pub(crate) hits: ScalarCell,
    /// What was captured of the last.
    pub(crate) last: WideCell,
    /// How it is armed.
    pub(crate) armed: WideCell,
}

/// The point itself, shared by its handle and the exporter.
pub(crate) struct Point {
    /// Not 0 while passes have to ask. Relaxed everywhere: the state itself is behind the lock.
    word: AtomicU32,
    name: String,
    fields: Vec<Argument>,
    slot: Slot,
    cells: Cells,
    state: Mutex<State>,
    /// Rung at each disarming, for those who are paused.
    released: Condvar,
    /// To tell the agent when the point disarms itself.
    doorbell: Option<Arc<Doorbell>>,
}

#[derive(Default)]
struct State {
    armed: Option<Armed>,
    /// Which arming it is: one who is paused by an earlier one is not held by the next.
    generation: u64,
    /// The number of the last arming.
    arming: u64,
    hits: u64,
    /// Its places are given back, and nothing is stored there any more.
    is_closed: bool,
}

/// The number of the last arming of any point: also points that had one slot, one after the other, can be told apart by it.
static ARMINGS: AtomicU64 = AtomicU64::new(0);

impl Point {
    pub(crate) fn new(name: String, fields: Vec<Argument>, slot: Slot, cells: Cells, doorbell: Option<Arc<Doorbell>>) -> Arc<Point> {
        Arc::new(Point {
            word: AtomicU32::new(0),
            name,
            fields,
            slot,
            cells,
            state: Mutex::new(State::default()),
            released: Condvar::new(),
            doorbell,
        })
    }

    /// Arms it, and says which arming that is; later ones have greater numbers. An arming that is there is replaced.
    pub(crate) fn arm(&self, arming: Arming) -> Result<u64, String> {
        let armed = Armed::new(arming, &self.fields, now())?;
        let mut state = self.state.lock();
        if state.is_closed {
            return Err("the test point was withdrawn".into());
        }
        self.cells.armed.store(crate::value::cut(&armed.to_string(), tif_core::limits::TEXT_LEN_MAX));
        state.armed = Some(armed);
        state.generation += 1;
        // Relaxed: a number. Under the lock, so that this point's armings have growing ones.
        state.arming = ARMINGS.fetch_add(1, Ordering::Relaxed) + 1;
        self.word.store(1, Ordering::Relaxed);
        self.released.notify_all();
        Ok(state.arming)
    }

    /// Disarms it for good, without a word: its places are given back, and another's may be there.
    // spec: EXP-8
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        if state.armed.is_some() {
            self.clear(&mut state);
        }
        state.is_closed = true;
    }

    /// Whether it still has its places.
    pub(crate) fn is_open(&self) -> bool {
        !self.state.lock().is_closed
    }

    /// Disarms it, because somebody says so.
    pub(crate) fn disarm(&self) {
        let mut state = self.state.lock();
        if !state.is_closed {
            self.clear(&mut state);
        }
    }

    /// Disarms it if its time is over, and says so.
    // spec: TST-5
    pub(crate) fn expire(&self, at: Time) {
        let mut state = self.state.lock();
        if state.armed.as_ref().is_some_and(|a| at >= a.expires_at()) {
            self.clear(&mut state);
            self.report(&state);
        }
    }

    /// When it disarms itself at the latest; none if it is not armed.
    pub(crate) fn expires_at(&self) -> Option<Time> {
        self.state.lock().armed.as_ref().map(Armed::expires_at)
    }

    /// Whether it is armed for no longer than the session that armed it.
    pub(crate) fn ends_with_session(&self) -> bool {
        self.state.lock().armed.as_ref().is_some_and(|a| !a.outlives_session())
    }

    fn clear(&self, state: &mut State) {
        self.word.store(0, Ordering::Relaxed);
        state.armed = None;
        state.generation += 1;
        self.cells.armed.store("");
        self.released.notify_all();
    }

    fn report(&self, state: &State) {
        if let Some(doorbell) = &self.doorbell {
            doorbell.disarmed(self.slot, state.arming);
        }
    }

    fn pass(&self, values: Vec<tif_core::model::Value>) -> Result<(), Injected> {
        let mut state = self.state.lock();
        let Some(armed) = &mut state.armed else { return Ok(()) };
        match armed.pass(now(), random::next(), || values) {
            Verdict::Spared => Ok(()),
            Verdict::Expired => {
                self.clear(&mut state);
                self.report(&state);
                Ok(())
            }
            Verdict::Hit { action, record, last } => {
                let left = armed.left(now());
                state.hits += 1;
                self.cells.hits.store(state.hits, |_| true);
                self.cells.last.store(&line(&self.fields, &record));
                if matches!(action, FaultAction::Pause) {
                    if last {
                        // Others pass freely; the one that is held stays held until it is released or the time is over.
                        self.word.store(0, Ordering::Relaxed);
                    }
                    self.pause(state, left);
                    return Ok(());
                }
                if last {
                    self.clear(&mut state);
                    self.report(&state);
                }
                drop(state);
                self.act(&action)
            }
        }
    }

    fn pause(&self, mut state: parking_lot::MutexGuard<'_, State>, left: Duration) {
        let (generation, until) = (state.generation, Instant::now() + left);
        while state.generation == generation {
            if self.released.wait_until(&mut state, until).timed_out() {
                if state.generation == generation {
                    self.clear(&mut state);
                    self.report(&state);
                }
                return;
            }
        }
    }

    fn act(&self, action: &FaultAction) -> Result<(), Injected> {
        match action {
            FaultAction::Count | FaultAction::Record | FaultAction::Pause => Ok(()),
            FaultAction::Delay(delay) => {
                std::thread::sleep(*delay);
                Ok(())
            }
            FaultAction::Fail => Err(Injected { point: self.name.clone() }),
            FaultAction::Panic => panic!("injected at test point {}", self.name),
        }
    }
}
