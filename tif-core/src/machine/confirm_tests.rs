//! Stories of changes to be confirmed, and every order in which things can happen to one.

use std::collections::BTreeSet;

use super::*;
use crate::model::{Incarnation, NodeId, ProcId};

const WITHIN: Duration = Duration::from_secs(30);
const START: Time = Time(1_000_000_000);

fn id(text: &str) -> RequestId {
    text.parse().unwrap()
}

fn key(life: u32) -> Key {
    Key { node: NodeId(1), proc: ProcId(9), inc: Incarnation::new(1, life) }
}

fn control(name: &str) -> ControlName {
    ("orders".parse().unwrap(), name.to_owned())
}

fn before() -> Vec<(ControlName, Value)> {
    vec![(control("orders.batch"), Value::U64(64)), (control("orders.limit"), Value::F64(0.5))]
}

fn guard() -> Guard {
    Guard { indicator: "orders.depth".into(), low: Number::Whole(0), high: Number::Whole(100) }
}

fn terms() -> Terms {
    Terms::new(WITHIN, Some(guard()), Some(key(1))).unwrap()
}

fn waiting() -> Confirmations {
    let mut all = Confirmations::default();
    all.take_up(START, id("a"), before(), terms(), false);
    all
}

/// What is on its way to the store is durable.
fn written(all: &mut Confirmations) -> Option<End> {
    let end = match all.waiting.get(&id("a"))?.state {
        State::Confirming(_) => End::Confirmed,
        State::Reverting(cause, None) => End::Reverted(cause),
        State::Pending | State::Reverting(_, Some(_)) => return None,
    };
    all.on_settled(&id("a"), end).then_some(end)
}

fn revert(cause: Cause) -> Vec<Revert> {
    vec![Revert { id: id("a"), cause, to: before() }]
}

// spec: CTL-6
#[test]
fn what_is_confirmed_in_time_stays() {
    let mut all = waiting();
    assert_eq!(all.deadline(), Some(START + WITHIN));
    assert_eq!(all.confirm(START, &id("a")), Ok(Confirm::Write));
    assert_eq!(all.confirm(START, &id("a")), Ok(Confirm::UnderWay));
    assert_eq!(all.end(&id("a")), None, "it holds only when it is durable");
    assert_eq!(written(&mut all), Some(End::Confirmed));
    assert_eq!(all.confirm(START + WITHIN, &id("a")), Ok(Confirm::Done));
    assert!(all.on_time(START + WITHIN).is_empty() && all.on_session_ended(key(1)).is_empty());
    assert!(all.on_value("orders.depth", &Value::U64(101)).is_empty());
    assert_eq!((all.deadline(), all.holder(&control("orders.batch"))), (None, None));
}

// spec: CTL-6
#[test]
fn it_is_taken_back_for_each_of_the_causes_and_to_the_old_values() {
    type Happens = fn(&mut Confirmations) -> Vec<Revert>;
    let causes: [(Cause, Happens); 3] = [
        (Cause::NotConfirmed, |all| all.on_time(START + WITHIN)),
        (Cause::GuardLeft, |all| all.on_value("orders.depth", &Value::U64(101))),
        (Cause::SessionEnded, |all| all.on_session_ended(key(1))),
    ];
    for (cause, happens) in causes {
        let mut all = waiting();
        assert_eq!(happens(&mut all), revert(cause));
        assert!(happens(&mut all).is_empty(), "it is on its way");
        assert_eq!(all.confirm(START, &id("a")), Err(Refused::TooLate { id: id("a"), cause }));
        assert_eq!(written(&mut all), Some(End::Reverted(cause)));
        assert_eq!(all.confirm(START, &id("a")), Err(Refused::TooLate { id: id("a"), cause }));
    }
}

// spec: CTL-6
#[test]
fn what_is_none_of_its_causes_leaves_it_alone() {
    let mut all = waiting();
    assert!(all.on_time(Time((START + WITHIN).0 - 1)).is_empty());
    assert!(all.on_session_ended(key(2)).is_empty());
    assert!(all.on_value("orders.depth", &Value::U64(0)).is_empty() && all.on_value("orders.depth", &Value::U64(100)).is_empty());
    assert!(all.on_value("orders.rate", &Value::U64(101)).is_empty());
    assert_eq!(all.confirm(START, &id("b")), Err(Refused::Unknown(id("b"))));
    assert_eq!(all.on_value("orders.depth", &Value::F64(f64::NAN)), revert(Cause::GuardLeft));
}

// spec: CTL-6
#[test]
fn time_that_is_up_is_up_even_if_nobody_has_noticed_yet() {
    let mut all = waiting();
    let late = Err(Refused::TooLate { id: id("a"), cause: Cause::NotConfirmed });
    assert_eq!(all.confirm(START + WITHIN, &id("a")), late);
    assert_eq!(all.on_time(START + WITHIN), revert(Cause::NotConfirmed));
}

// spec: CTL-6
#[test]
fn a_store_that_fails_delays_the_end_and_does_not_change_it() {
    let mut all = waiting();
    assert_eq!(all.on_time(START + WITHIN).len(), 1);
    assert_eq!(all.on_not_written(START + WITHIN, &id("a")), None);
    let again = START + WITHIN + RETRY_AFTER;
    assert_eq!(all.deadline(), Some(again));
    assert_eq!(all.on_time(again), revert(Cause::NotConfirmed));
    assert_eq!(written(&mut all), Some(End::Reverted(Cause::NotConfirmed)));

    let mut all = waiting();
    assert_eq!(all.confirm(START, &id("a")), Ok(Confirm::Write));
    assert!(all.on_session_ended(key(1)).is_empty(), "first it must be known whether it is confirmed");
    assert_eq!(all.on_not_written(START, &id("a")), revert(Cause::SessionEnded).pop());
}

// spec: CTL-6
#[test]
fn a_control_is_held_until_the_end_of_the_change_and_no_longer() {
    let mut all = waiting();
    assert_eq!(all.holder(&control("orders.limit")), Some(&id("a")));
    assert_eq!(all.holder(&control("orders.other")), None);
    // Another CPU decides for another source.
    all.forget(&"billing".parse().unwrap());
    assert_eq!(all.holder(&control("orders.limit")), Some(&id("a")));
    all.forget(&"orders".parse().unwrap());
    assert_eq!((all.holder(&control("orders.limit")), all.is_empty()), (None, true));
}

// spec: CTL-6
#[test]
fn after_a_restart_time_counts_anew_and_no_session_is_left() {
    let mut all = Confirmations::default();
    let alone = Terms::new(WITHIN, Some(guard()), None).unwrap();
    let later = START + WITHIN + WITHIN;
    assert_eq!(all.restore(later, id("a"), before(), alone), None);
    assert!(all.on_time(later).is_empty());
    assert_eq!(all.deadline(), Some(later + WITHIN));

    let mut all = Confirmations::default();
    assert_eq!(all.restore(later, id("a"), before(), terms()), revert(Cause::SessionEnded).pop());
}

// spec: CTL-6, SEC-2
#[test]
fn what_is_out_of_bounds_is_refused() {
    for within in [Duration::ZERO, limits::CONFIRM_WITHIN_MAX + Duration::from_nanos(1)] {
        assert_eq!(Terms::new(within, None, None), Err(Refused::Within { got: within }));
    }
    let empty = Guard { low: Number::Whole(2), high: Number::Whole(1), ..guard() };
    assert!(matches!(Terms::new(WITHIN, Some(empty), None), Err(Refused::EmptyRange { .. })));

    let mut all = Confirmations::default();
    for n in 0..limits::UNCONFIRMED_MAX {
        assert_eq!((all.admit(0), all.admit(limits::UNCONFIRMED_MAX - n)), (Ok(()), Err(Refused::TooMany)));
        all.take_up(START, id(&format!("r{n}")), vec![(control(&format!("orders.d{n}")), Value::U64(1))], terms(), false);
    }
    assert_eq!(all.admit(0), Err(Refused::TooMany));

    for n in 0..=limits::RESULTS_KEPT_MAX {
        all.remember(id(&format!("e{n}")), End::Confirmed);
    }
    assert_eq!((all.end(&id("e0")), all.end(&id("e1"))), (None, Some(End::Confirmed)));
}

/// What can happen to one change.
#[derive(Clone, Copy, Debug)]
enum Step {
    Confirm,
    Time,
    GuardLeft,
    SessionEnded,
    Written,
    NotWritten,
}

const STEPS: [Step; 6] = [Step::Confirm, Step::Time, Step::GuardLeft, Step::SessionEnded, Step::Written, Step::NotWritten];

/// The change as who only sees facts knows it.
#[derive(Clone)]
struct Seen {
    all: Confirmations,
    now: Time,
    /// What is on its way to the store.
    writing: Option<End>,
    end: Option<End>,
    happened: BTreeSet<Cause>,
}

impl Seen {
    fn reverts(&mut self, reverts: Vec<Revert>) {
        for told in reverts {
            assert_eq!(told.to, before(), "exactly the old values");
            assert!(self.happened.contains(&told.cause), "{:?} has not happened", told.cause);
            assert_eq!((self.writing, self.end), (None, None), "one end only");
            self.writing = Some(End::Reverted(told.cause));
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Confirm => match self.all.confirm(self.now, &id("a")) {
                Ok(Confirm::Write) => {
                    assert_eq!((self.writing, self.end), (None, None), "one end only");
                    assert!(self.happened.is_empty(), "too late");
                    self.writing = Some(End::Confirmed);
                }
                Ok(Confirm::UnderWay) => assert_eq!(self.writing, Some(End::Confirmed)),
                Ok(Confirm::Done) => assert_eq!(self.end, Some(End::Confirmed)),
                Err(_) => assert!(!self.happened.is_empty(), "in time"),
            },
            Step::Time => {
                self.now = self.now + WITHIN;
                self.happened.insert(Cause::NotConfirmed);
                let reverts = self.all.on_time(self.now);
                self.reverts(reverts);
            }
            Step::GuardLeft => {
                self.happened.insert(Cause::GuardLeft);
                let reverts = self.all.on_value("orders.depth", &Value::I64(-1));
                self.reverts(reverts);
            }
            Step::SessionEnded => {
                self.happened.insert(Cause::SessionEnded);
                let reverts = self.all.on_session_ended(key(1));
                self.reverts(reverts);
            }
            Step::Written => {
                let end = written(&mut self.all);
                assert_eq!(end, self.writing.take(), "what is told is what was written");
                self.end = self.end.or(end);
            }
            Step::NotWritten => {
                self.writing = None;
                let revert = self.all.on_not_written(self.now, &id("a"));
                self.reverts(revert.into_iter().collect());
            }
        }
        assert_eq!(self.all.end(&id("a")), self.end);
        assert_eq!(self.all.holder(&control("orders.batch")).is_some(), self.end.is_none(), "held until its end, and no longer");
    }

    /// From here on nobody confirms, and the store works.
    fn must_end(mut self) {
        self.step(Step::Written);
        for _ in 0..2 {
            if let Some(due) = self.all.deadline() {
                self.now = self.now.max(due);
                self.happened.insert(Cause::NotConfirmed);
                let reverts = self.all.on_time(self.now);
                self.reverts(reverts);
            }
            self.step(Step::Written);
        }
        assert!(self.end.is_some(), "each has an end");
    }
}

fn search(seen: &Seen, depth: usize, count: &mut usize) {
    *count += 1;
    seen.clone().must_end();
    if depth == 0 {
        return;
    }
    for step in STEPS {
        let mut next = seen.clone();
        next.step(step);
        search(&next, depth - 1, count);
    }
}

// spec: CTL-6
#[test]
fn in_every_order_it_ends_exactly_once_and_as_it_was_written() {
    let start = Seen { all: waiting(), now: START, writing: None, end: None, happened: BTreeSet::new() };
    let mut count = 0;
    search(&start, 6, &mut count);
    assert_eq!(count, (0..=6).map(|n| 6usize.pow(n)).sum());
}
