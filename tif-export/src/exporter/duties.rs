//! What the agent asks of an exporter, and what is due by the clock.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tif_core::layout::WATCHED;
use tif_core::limits;
use tif_core::model::{Arming, Slot, Value};
use tif_core::wire::{ToAgent, ToProcess};
use tif_process::Sender;

use super::computing::Computations;
use super::pool::CALLING;
use super::registry::Exporter;
use super::steward::{Steward, Task, send};
use super::validating::Validations;
use crate::home::Live;
use crate::instrument::DynamicSide;
use crate::procedure::ProcedureSide;
use crate::test_point::{Point, now};

const BUSY: &str = "the service has too much to do";

/// The duties of one exporter. Quick: everything that may take its time goes to other threads.
pub(super) struct Duties {
    exporter: Exporter,
    steward: Steward,
    /// The connection, while there is one.
    sender: Option<Sender>,
    /// Watched dynamic indicators, and when each is due.
    dynamics: BTreeMap<Slot, (Arc<dyn DynamicSide>, Instant)>,
    /// Calls that run, also those that nobody waits for any more, in the order of their beginning.
    calls: Vec<Running>,
    validations: Validations,
    computations: Computations,
    /// Test points that the agent has armed, and which arming the last one was.
    points: BTreeMap<Slot, (Arc<Point>, u64)>,
    /// Test points that have disarmed themselves, not yet told.
    disarmed: Vec<(Slot, Arc<Point>)>,
}

/// A call that runs.
struct Running {
    side: Arc<dyn ProcedureSide>,
    timeout: Duration,
    /// When its time is over; none: it is.
    until: Option<Instant>,
    has_returned: Arc<AtomicBool>,
}

impl Duties {
    pub(super) fn new(exporter: Exporter, steward: Steward) -> Duties {
        Duties {
            exporter,
            steward,
            sender: None,
            dynamics: BTreeMap::new(),
            calls: Vec::new(),
            validations: Validations::default(),
            computations: Computations::default(),
            points: BTreeMap::new(),
            disarmed: Vec::new(),
        }
    }

    /// A connection begins.
    pub(super) fn begin(&mut self, sender: Sender) {
        self.sender = Some(sender);
        // Whatever control is known by now is settled with the others.
        self.exporter.0.doorbell.take_retake();
        self.look();
    }

    /// The connection has ended, and with it every session that had armed something through it.
    // spec: TST-5
    pub(super) fn end(&mut self) {
        self.sender = None;
        self.dynamics.clear();
        self.points.retain(|_, (point, _)| {
            let ends = point.ends_with_session();
            if ends {
                point.disarm();
            }
            !ends
        });
        self.disarmed.clear();
    }

    /// Does what a message asks. Break: this life of the process is over.
    pub(super) fn perform(&mut self, message: ToProcess) -> ControlFlow<()> {
        let Some(sender) = self.sender.clone() else { return ControlFlow::Continue(()) };
        match message {
            ToProcess::Ping { nonce } => send(&sender, ToAgent::Pong { nonce }),
            ToProcess::Apply => self.steward.push(Task::Apply { sender }),
            ToProcess::Validate { req, slot, value } => self.validations.ask(self.exporter.home(), &sender, req, slot, value),
            ToProcess::Promote { epoch } => self.steward.push(Task::Promote { sender, epoch }),
            ToProcess::LetGo { epoch } => self.steward.push(Task::LetGo { sender, epoch }),
            ToProcess::Numbered { number } => self.exporter.standing().write(|s| s.number = number),
            ToProcess::Demote { epoch } => self.steward.push(Task::Demote { epoch }),
            ToProcess::Compute { req, slots } => self.compute(&sender, req, slots),
            ToProcess::WatchChanged => self.look(),
            ToProcess::Call { req, slot, arguments, timeout } => self.call(&sender, req, slot, arguments, timeout),
            ToProcess::Arm { req, slot, arming } => {
                let result = self.arm(slot, arming);
                send(&sender, ToAgent::ArmedAs { req, result });
            }
            ToProcess::StaleKey { current } if current != Some(sender.own()) => {
                tracing::warn!(target: "tif::export", service = %self.exporter.service(), own = %sender.own(), "this process was replaced");
                return ControlFlow::Break(());
            }
            other => {
                tracing::debug!(target: "tif::export", message = ?other, "a message that an exporter does not expect");
            }
        }
        ControlFlow::Continue(())
    }

    /// Does what is due, and tells the agent what has happened here.
    pub(super) fn tend(&mut self) {
        if self.exporter.0.doorbell.take_look() {
            self.look();
        }
        // spec: CTL-7
        if let Some(sender) = &self.sender
            && self.exporter.0.doorbell.take_retake()
        {
            self.steward.push(Task::Apply { sender: sender.clone() });
        }
        let at = Instant::now();
        let due: Vec<_> = self.dynamics.iter_mut().filter(|(_, (_, due))| *due <= at).collect();
        for (slot, (side, due)) in due {
            // From now, not from when it was due: after a pause of the machine nothing is made up for.
            *due = at + side.every();
            if let Some(sender) = &self.sender {
                self.computations.by_clock(sender, *slot, side);
            }
        }
        self.time_out(at);
        self.expire();
        for (slot, point) in std::mem::take(&mut self.disarmed) {
            // The slot of one that was withdrawn may be another's by now; and the agent sees that it went.
            if let Some(sender) = &self.sender
                && point.is_open()
            {
                send(sender, ToAgent::Disarmed { slot });
            }
        }
    }

    /// Disarms what has expired, also without an agent.
    // spec: TST-5
    pub(super) fn expire(&mut self) {
        let at = now();
        self.points.values().for_each(|(point, _)| point.expire(at));
        for (slot, ended) in self.exporter.0.doorbell.take_disarmed() {
            // What the agent has armed anew since is armed, whatever became of the arming before. And of what it did not arm it need not hear.
            if self.points.get(&slot).is_some_and(|(_, arming)| ended >= *arming) {
                self.disarmed.extend(self.points.remove(&slot).map(|(point, _)| (slot, point)));
            }
        }
        // One that has disarmed itself just now stays until that is heard of here.
        self.points.retain(|_, (point, _)| point.is_open());
    }

    /// When there is something to be done next.
    pub(super) fn next(&self) -> Option<Duration> {
        let at = Instant::now();
        let dynamics = self.dynamics.values().map(|(_, due)| due.saturating_duration_since(at)).min();
        let calls = self.calls.iter().filter_map(|c| c.until).map(|until| until.saturating_duration_since(at)).min();
        let now = now();
        let points = self.points.values().filter_map(|(p, _)| p.expires_at()).map(|t| t.since(now)).min();
        [dynamics, calls, points].into_iter().flatten().min()
    }

    /// Sees which dynamic indicators somebody watches.
    // spec: INS-2
    fn look(&mut self) {
        let Some(segment) = self.exporter.home().segment() else { return };
        let mut before = std::mem::take(&mut self.dynamics);
        for (slot, side) in self.exporter.home().dynamics() {
            if segment.board_watch(slot) & WATCHED != 0 {
                // The agent asks itself for the first value of one that is newly watched.
                let due = before.remove(&slot).map_or_else(|| Instant::now() + side.every(), |(_, due)| due);
                self.dynamics.insert(slot, (side, due));
            }
        }
    }

    fn compute(&self, sender: &Sender, req: u64, slots: Vec<Slot>) {
        let gather = Arc::new(Gather { sender: sender.clone(), req, state: Mutex::new((slots.len(), Vec::new())) });
        if slots.is_empty() {
            send(sender, ToAgent::Computed { req, failed: Vec::new() });
        }
        for slot in slots {
            let Some(Live::Dynamic(side)) = self.exporter.home().live(slot) else {
                gather.done(slot, Err("there is no such dynamic indicator".into()));
                continue;
            };
            let theirs = Arc::clone(&gather);
            self.computations.ask(slot, &side, move |result| theirs.done(slot, result));
        }
    }

    // spec: TST-2
    fn call(&mut self, sender: &Sender, req: u64, slot: Slot, arguments: Vec<Value>, timeout: Duration) {
        let Some(Live::Procedure(side)) = self.exporter.home().live(slot) else {
            send(sender, ToAgent::Returned { req, result: Err("there is no such procedure".into()) });
            return;
        };
        self.calls.retain(|c| !c.has_returned.load(Ordering::Acquire));
        // Those of before an agent's restart are known here only.
        // spec: SEC-2
        if self.calls.len() >= limits::CALLS_RUNNING_MAX {
            let reason = format!("{} calls of {} are running, none free", self.calls.len(), self.exporter.service());
            send(sender, ToAgent::Busy { req, reason });
            return;
        }
        let has_returned = Arc::new(AtomicBool::new(false));
        let (theirs, procedure, returned) = (sender.clone(), Arc::clone(&side), Arc::clone(&has_returned));
        let has_begun = CALLING.begin(move || {
            let result = procedure.call(arguments);
            returned.store(true, Ordering::Release);
            // Also when its time is over: its request id tells the result to whoever asks again.
            // spec: TST-4
            send(&theirs, ToAgent::Returned { req, result });
        });
        if has_begun {
            self.calls.push(Running { side, timeout, until: Some(Instant::now() + timeout), has_returned });
        } else {
            send(sender, ToAgent::Busy { req, reason: BUSY.into() });
        }
    }

    /// Shows of procedures whose time is over that they still run. The agent has its own clock, and has told whoever waited.
    fn time_out(&mut self, at: Instant) {
        for call in self.calls.iter_mut().filter(|c| c.until.is_some_and(|until| until <= at)) {
            call.until = None;
            call.side.overran(call.timeout);
        }
        self.calls.retain(|c| c.until.is_some() || !c.has_returned.load(Ordering::Acquire));
    }

    fn arm(&mut self, slot: Slot, arming: Option<Arming>) -> Result<(), String> {
        let Some(Live::Point(point)) = self.exporter.home().live(slot) else { return Err("there is no such test point".into()) };
        match arming {
            Some(arming) => {
                let arming = point.arm(arming)?;
                self.points.insert(slot, (point, arming));
            }
            None => {
                point.disarm();
                self.points.remove(&slot);
            }
        }
        Ok(())
    }
}

/// Answers when the last of several indicators is computed.
struct Gather {
    sender: Sender,
    req: u64,
    /// How many are still out; which failed.
    state: Mutex<(usize, Vec<(Slot, String)>)>,
}

impl Gather {
    fn done(&self, slot: Slot, result: Result<(), String>) {
        let mut state = self.state.lock();
        state.0 -= 1;
        state.1.extend(result.err().map(|reason| (slot, reason)));
        if state.0 == 0 {
            let failed = std::mem::take(&mut state.1);
            send(&self.sender, ToAgent::Computed { req: self.req, failed });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tif_core::model::{Dimensions, FaultAction};

    use super::*;
    use crate::declare::{Field, Scope};
    use crate::test_point::TestPoint;

    // spec: TST-5
    #[test]
    fn a_point_that_was_armed_anew_stays_armed_whatever_ended_the_arming_before() {
        let exporter = Exporter::bare("armed-anew", false);
        let mut duties = Duties::new(exporter.clone(), Steward::start(&exporter).unwrap());
        let places = RefCell::new(Vec::new());
        let none = Dimensions::NONE;
        let scope = Scope::new(exporter.home(), "", &none, &places);
        let point: TestPoint = Field::new("point", "A point.", crate::declared!()).test_point(&scope);
        let slot = places.borrow()[0].1.slot;
        let once = Arming {
            action: FaultAction::Fail,
            probability: 1.0,
            hits_max: Some(1),
            expires_after: Duration::from_secs(60),
            conditions: Vec::new(),
            outlives_session: false,
        };
        duties.arm(slot, Some(once.clone())).unwrap();
        assert!(point.pass(|| ()).is_err() && !point.is_armed());
        // Before the exporter's thread has heard of it, another arms it.
        duties.arm(slot, Some(once)).unwrap();
        duties.expire();
        assert!(duties.disarmed.is_empty() && point.is_armed());
        assert!(duties.points.contains_key(&slot), "its end is still looked after");
        assert!(point.pass(|| ()).is_err());
        duties.expire();
        assert_eq!(duties.disarmed.len(), 1);
    }
}
