//! A service's tests need no agent: the same handles, detached.
// spec: EXP-4

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tif::{
    Arming, Choice, Control, Counter, Dynamic, FaultAction, Histogram, Indicator, Injected, Instruments, LocalError, Record, TestPoint,
};

#[derive(Clone, Copy, Debug, PartialEq, Choice)]
enum Mode {
    Fast,
    ReadOnly,
}

#[derive(Debug, PartialEq)]
enum CommitError {
    Injected,
}

impl From<Injected> for CommitError {
    fn from(_: Injected) -> CommitError {
        CommitError::Injected
    }
}

#[derive(Record)]
#[tif(error = CommitError)]
struct Commit {
    size: u64,
    urgent: bool,
    who: &'static str,
    mode: Mode,
    took: Duration,
}

const HALF: f64 = 0.5;
const PATIENCE: Duration = Duration::from_millis(250);

#[derive(Instruments)]
struct Queue {
    /// Orders waiting.
    depth: Indicator<u64>,
}

/// Order intake.
#[derive(Instruments)]
#[tif(service = "orders", path = "intake")]
struct Orders {
    /// Orders accepted since start.
    accepted: Counter,
    /// How it goes.
    state: Indicator<String>,
    /// Balance.
    #[tif(unit = "1", deadband = 10, warn = 1_000, critical = 10_000, hysteresis = 5)]
    balance: Indicator<i64>,
    /// Age of the oldest waiting order.
    #[tif(unit = "s", every = "100ms")]
    oldest: Dynamic<f64>,
    /// Orders handled in one batch.
    #[tif(range = 1..=4096, default = 64, memorized, validated)]
    batch: Control<u32>,
    /// How orders are handled.
    #[tif(default = Mode::Fast)]
    mode: Control<Mode>,
    /// A greeting.
    #[tif(default = "hello")]
    greeting: Control<String>,
    /// How long to wait.
    #[tif(default = PATIENCE, range = "1ms"..="10s", step = "1ms")]
    patience: Control<Duration>,
    /// Share.
    #[tif(range = 0.0..=1.0, step = 0.25, default = HALF)]
    share: Control<f64>,
    /// Time to handle one order.
    #[tif(unit = "ms")]
    latency: Histogram,
    /// Size of an order.
    #[tif(unit = "kBy", step = 0.001)]
    size: Histogram,
    /// Just before the commit record is written.
    before_commit: TestPoint<Commit>,
    /// Nothing to see.
    plain: TestPoint,
    #[tif(nested)]
    queue: Queue,
}

#[derive(Debug)]
struct FlushError;

impl std::fmt::Display for FlushError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("nothing to flush")
    }
}

#[tif::procedures]
impl Orders {
    /// Write everything out now; answers how many orders that was.
    #[procedure(timeout = "5s", idempotent)]
    fn flush(&self, limit: u32) -> Result<u64, FlushError> {
        if limit == 0 { Err(FlushError) } else { Ok(u64::from(limit).min(self.accepted.get())) }
    }

    /// Forgets everything.
    #[procedure(name = "reset_all")]
    fn reset(&self) {
        self.queue.depth.set(0);
    }

    /// Is not there where the test runs.
    #[cfg(target_os = "none")]
    #[procedure]
    fn here(&self, n: u32) -> tif::NoSuchType {
        n.into()
    }

    /// Is there.
    #[cfg(not(target_os = "none"))]
    #[procedure]
    fn here(&self) {}

    fn not_a_procedure(&self) -> u64 {
        self.accepted.get()
    }
}

fn commit() -> Commit {
    Commit { size: 4096, urgent: true, who: "amy", mode: Mode::ReadOnly, took: Duration::from_millis(2) }
}

fn arming(action: FaultAction) -> Arming {
    Arming {
        action,
        probability: 1.0,
        hits_max: None,
        expires_after: Duration::from_secs(60),
        conditions: Vec::new(),
        outlives_session: false,
    }
}

#[test]
fn values_are_simply_there() {
    let orders = Orders::detached();
    orders.accepted.inc();
    orders.accepted.add(2);
    orders.state.set("busy");
    orders.balance.set(-5);
    orders.queue.depth.set(7);
    orders.latency.record(Duration::from_millis(3));
    orders.size.record_f64(1.5);
    assert_eq!((orders.accepted.get(), orders.not_a_procedure()), (3, 3));
    assert_eq!(orders.state.get(), "busy");
    assert_eq!((orders.balance.get(), orders.queue.depth.get()), (-5, 7));
    let latency = orders.latency.get().quantile(0.5).unwrap();
    assert!((latency - 3.0).abs() < 0.1, "{latency} ms");
    assert_eq!(orders.size.get().sum, 1500);
}

#[test]
fn two_detached_structs_share_nothing() {
    let (a, b) = (Orders::detached(), Orders::detached());
    a.accepted.inc();
    assert_eq!((a.accepted.get(), b.accepted.get()), (1, 0));
}

#[test]
fn controls_have_their_defaults_and_are_set_as_the_agent_would() {
    let orders = Orders::detached();
    assert_eq!((orders.batch.get(), orders.mode.get(), orders.greeting.get()), (64, Mode::Fast, "hello".to_owned()));
    assert_eq!((orders.patience.get(), orders.share.get()), (Duration::from_millis(250), 0.5));
    let seen = Arc::new(AtomicU32::new(0));
    let theirs = Arc::clone(&seen);
    orders.batch.on_change(move |batch| theirs.store(*batch, Ordering::Relaxed));
    orders.batch.validate(|batch| if batch % 2 == 0 { Ok(()) } else { Err("odd batches cannot be split") });
    orders.batch.set_local(128).unwrap();
    assert_eq!((orders.batch.get(), seen.load(Ordering::Relaxed)), (128, 128));
    assert_eq!(orders.batch.set_local(129), Err(LocalError::Invalid("odd batches cannot be split".into())));
    assert!(matches!(orders.batch.set_local(5000), Err(LocalError::Unfit(reason)) if reason.contains("1 to 4096")));
    assert!(matches!(orders.share.set_local(0.3), Err(LocalError::Unfit(reason)) if reason.contains("0.25 and 0.5")));
    assert_eq!((orders.batch.get(), orders.share.get()), (128, 0.5));
    orders.mode.set_local(Mode::ReadOnly).unwrap();
    orders.greeting.set_local("moin".into()).unwrap();
    assert_eq!((orders.mode.get(), orders.greeting.get()), (Mode::ReadOnly, "moin".to_owned()));
}

// spec: CTL-2
#[test]
fn a_listener_may_set_its_own_control_and_replace_itself() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let orders = Arc::new(Orders::detached());
        let theirs = Arc::downgrade(&orders);
        orders.batch.on_change(move |batch| {
            let orders = theirs.upgrade().unwrap();
            if *batch < 100 {
                orders.batch.set_local(batch * 2).unwrap();
            } else {
                orders.batch.on_change(|_| panic!("not called for what went before"));
            }
        });
        orders.batch.set_local(32).unwrap();
        done.send(orders.batch.get()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(5)), Ok(128), "it does not wait for itself");
}

#[test]
fn a_closure_that_is_replaced_may_do_the_same_while_it_is_dropped() {
    struct Again(Arc<tif::Instance<Orders>>);
    impl Drop for Again {
        fn drop(&mut self) {
            self.0.oldest.provide(|| 2.0);
            self.0.batch.on_change(|_| ());
        }
    }
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let orders = Arc::new(Orders::detached());
        let (first, second) = (Again(Arc::clone(&orders)), Again(Arc::clone(&orders)));
        orders.oldest.provide(move || {
            let _ = &first;
            1.0
        });
        orders.batch.on_change(move |_| {
            let _ = &second;
        });
        orders.oldest.provide(|| 3.0);
        orders.batch.on_change(|_| ());
        done.send(orders.oldest.read()).unwrap();
    });
    assert_eq!(is_done.recv_timeout(Duration::from_secs(5)), Ok(Ok(2.0)), "it does not wait for itself");
}

#[test]
fn a_dynamic_indicator_can_be_read_and_its_failures_are_values_too() {
    let orders = Orders::detached();
    assert!(orders.oldest.read().is_err_and(|e| e.contains("not said yet")));
    orders.oldest.provide(|| 1.5);
    assert_eq!(orders.oldest.read(), Ok(1.5));
    orders.oldest.provide(|| Err::<f64, _>("the queue is locked"));
    assert_eq!(orders.oldest.read(), Err("the queue is locked".into()));
    orders.oldest.provide(|| -> f64 { panic!("oh no") });
    assert_eq!(orders.oldest.read(), Err("panicked: oh no".into()));
}

// spec: TST-1
#[test]
fn a_test_point_that_is_not_armed_does_not_even_look() {
    let orders = Orders::detached();
    orders.before_commit.pass(|| panic!("nobody is interested")).unwrap();
    assert_eq!(orders.before_commit.hits(), 0);
    orders.plain.pass(|| ()).unwrap();
}

// spec: TST-1, TST-3
#[test]
fn an_armed_test_point_records_and_fails() {
    let orders = Orders::detached();
    orders.before_commit.arm_local(Arming { hits_max: Some(1), ..arming(FaultAction::Fail) }).unwrap();
    assert_eq!(orders.before_commit.pass(commit), Err(CommitError::Injected));
    assert_eq!(orders.before_commit.last(), "size=4096 urgent=true who=amy mode=read-only took=2ms");
    assert_eq!((orders.before_commit.hits(), orders.before_commit.is_armed()), (1, false));
    assert_eq!(orders.before_commit.pass(commit), Ok(()));
    orders.before_commit.arm_local(arming(FaultAction::Panic)).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| orders.before_commit.pass(commit))).unwrap_err();
    assert_eq!(panic.downcast_ref::<String>().unwrap(), "injected at test point orders.intake.before_commit");
    orders.before_commit.disarm_local();
    assert!(orders.before_commit.arm_local(Arming { conditions: vec!["bytes>1".parse().unwrap()], ..arming(FaultAction::Count) }).is_err());
}

// spec: TST-1, TST-5
#[test]
fn who_is_paused_goes_on_when_the_point_is_disarmed_or_expires() {
    let orders = Arc::new(Orders::detached());
    let (passed, is_passed) = std::sync::mpsc::channel();
    for (arming, release) in [
        (arming(FaultAction::Pause), true),
        (Arming { hits_max: Some(1), ..arming(FaultAction::Pause) }, true),
        (Arming { expires_after: Duration::from_millis(50), ..arming(FaultAction::Pause) }, false),
    ] {
        let hits = orders.plain.hits();
        orders.plain.arm_local(arming).unwrap();
        let (theirs, passed) = (Arc::clone(&orders), passed.clone());
        let thread = std::thread::spawn(move || {
            theirs.plain.pass(|| ()).unwrap();
            passed.send(()).unwrap();
        });
        if release {
            while orders.plain.hits() == hits {
                std::thread::yield_now();
            }
            assert!(is_passed.try_recv().is_err(), "it is held");
            orders.plain.disarm_local();
        }
        is_passed.recv_timeout(Duration::from_secs(5)).unwrap();
        thread.join().unwrap();
    }
    assert!(!orders.plain.is_armed());
}

// spec: TST-2
#[test]
fn procedures_are_methods_still() {
    let orders = Orders::detached();
    orders.accepted.add(9);
    assert_eq!(orders.flush(5).unwrap(), 5);
    assert!(orders.flush(0).is_err());
    orders.here();
    let names = Orders::TIF_PROCEDURES.iter().map(|p| p.name).collect::<Vec<_>>();
    assert_eq!(names, ["flush", "reset_all", "here"]);
    orders.reset();
}
