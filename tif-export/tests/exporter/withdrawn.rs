//! Instruments that were withdrawn while the exporter was still at work on them: whoever has their places now is left alone.
// spec: EXP-8

use super::*;

/// A text, and another.
#[derive(Instruments)]
struct Texts {
    /// One.
    one: Indicator<String>,
    /// Two.
    two: Indicator<String>,
}

/// Has the work done on another thread, so that a deadlock is a failure.
fn in_time(work: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        work();
        done.send(()).unwrap();
    });
    is_done.recv_timeout(Duration::from_secs(5)).expect("it is done, and nobody waits for himself");
}

#[test]
fn a_provider_that_owns_an_instance_of_its_own_service_goes_with_it() {
    service!("owner");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let (outer, inner) = (Orders::export(dims![shard = 1]), Orders::export(dims![shard = 2]));
    outer.oldest.provide(move || inner.depth.get() as f64);
    peer.until(|p| p.find("oldest{shard=1}").and(p.find("depth{shard=2}")).map(|_| ()));
    in_time(move || drop(outer));
    peer.until(|p| (p.find("oldest{shard=1}").is_none() && p.find("depth{shard=2}").is_none()).then_some(()));
}

// spec: TST-5
#[test]
fn an_armed_test_point_that_was_dropped_does_not_expire_in_anothers_place() {
    service!("expiring");
    #[derive(Instruments)]
    #[tif(service = "expiring", path = "armed")]
    struct Armed {
        /// Armed, and dropped.
        point: TestPoint,
    }
    #[derive(Instruments)]
    #[tif(service = "expiring", path = "texts")]
    struct Two {
        #[tif(nested)]
        texts: Texts,
        /// In the slot of the point.
        depth: Indicator<u64>,
    }
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let armed = Armed::export(dims![]);
    let slot = peer.until(|p| p.find("armed.point").map(|(slot, _)| *slot));
    let arming = Arming { expires_after: Duration::from_millis(500), ..arming(FaultAction::Count) };
    peer.send(ToProcess::Arm { req: 1, slot, arming: Some(arming) });
    peer.expect(ToAgent::ArmedAs { req: 1, result: Ok(()) });
    assert!(armed.point.is_armed());
    drop(armed);
    let two = Two::export(dims![]);
    two.texts.one.set("kept");
    two.texts.two.set("kept, too");
    two.depth.set(7);
    std::thread::sleep(Duration::from_millis(700));
    peer.send(ToProcess::Ping { nonce: 4 });
    peer.expect(ToAgent::Pong { nonce: 4 });
    assert_eq!((two.texts.one.get(), two.texts.two.get(), two.depth.get()), ("kept".into(), "kept, too".into(), 7));
}

// spec: INS-2
#[test]
fn a_provider_that_returns_after_its_instance_went_stores_nothing() {
    service!("returning");
    #[derive(Instruments)]
    #[tif(service = "returning", path = "slow")]
    struct Slow {
        /// Takes its time.
        oldest: Dynamic<f64>,
    }
    #[derive(Instruments)]
    #[tif(service = "returning", path = "next")]
    struct Next {
        /// In the same slot.
        depth: Indicator<u64>,
    }
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let slow = Slow::export(dims![]);
    let slot = peer.until(|p| p.find("slow.oldest").map(|(slot, _)| *slot));
    let ((begun, is_begun), (release, is_released)) = (mpsc::channel(), mpsc::channel::<()>());
    let (begun, is_released) = (Mutex::new(begun), Mutex::new(is_released));
    slow.oldest.provide(move || {
        begun.lock().unwrap().send(()).unwrap();
        is_released.lock().unwrap().recv().map(|()| 1.5).map_err(|e| e.to_string())
    });
    peer.send(ToProcess::Compute { req: 1, slots: vec![slot] });
    is_begun.recv_timeout(Duration::from_secs(5)).unwrap();
    drop(slow);
    let next = Next::export(dims![]);
    next.depth.set(7);
    assert_eq!(peer.until(|p| p.find("next.depth").map(|(slot, _)| *slot)), slot);
    release.send(()).unwrap();
    peer.expect(ToAgent::Computed { req: 1, failed: vec![] });
    assert_eq!(next.depth.get(), 7);
}

// spec: CTL-2
#[test]
fn a_control_that_goes_while_the_board_is_taken_takes_nothing_of_it() {
    service!("taking");
    #[derive(Instruments)]
    #[tif(service = "taking", path = "going")]
    struct Going {
        /// Goes.
        #[tif(default = 1)]
        limit: Control<u64>,
    }
    #[derive(Instruments)]
    #[tif(service = "taking", path = "next")]
    struct Next {
        /// In the same slot.
        depth: Indicator<u64>,
    }
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let ((begun, is_begun), (release, is_released)) = (mpsc::channel(), mpsc::channel::<()>());
    let (begun, is_released) = (Mutex::new(begun), Mutex::new(is_released));
    ORDERS.batch.on_change(move |_| {
        begun.lock().unwrap().send(()).unwrap();
        let _ = is_released.lock().unwrap().recv();
    });
    let going = Going::export(dims![]);
    let slot = peer.until(|p| p.find("going.limit").map(|(slot, _)| *slot));
    let batch = peer.slot("batch");
    assert!(batch < slot, "it is taken first");
    let value = tif_core::agent::io::ControlValue { slot, version: Version(5), value: Value::U64(99) };
    assert!(peer.attachment.control(&value));
    peer.set("batch", 1, Value::U64(2));
    is_begun.recv_timeout(Duration::from_secs(5)).unwrap();
    // Only now is the other one's turn; and it has gone.
    assert_eq!(going.limit.get(), 1);
    drop(going);
    let next = Next::export(dims![]);
    next.depth.set(7);
    assert_eq!(peer.until(|p| p.find("next.depth").map(|(slot, _)| *slot)), slot);
    release.send(()).unwrap();
    peer.expect(ToAgent::Applied { slot: batch, version: Version(1) });
    peer.send(ToProcess::Validate { req: 1, slot: batch, value: Value::U64(4) });
    peer.expect(ToAgent::Validated { req: 1, result: Ok(()) });
    assert_eq!(next.depth.get(), 7);
}

// spec: CTL-1
#[test]
fn a_value_on_the_board_that_does_not_fit_the_control_is_not_taken() {
    service!("unfit");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let (told, is_told) = mpsc::channel();
    ORDERS.batch.on_change(move |batch| told.send(*batch).unwrap());
    let slot = peer.slot("batch");
    peer.set("batch", 1, Value::U64(5000));
    // In order behind it.
    peer.send(ToProcess::Validate { req: 1, slot, value: Value::U64(4) });
    peer.expect(ToAgent::Validated { req: 1, result: Ok(()) });
    assert_eq!(ORDERS.batch.get(), 64);
    peer.set("batch", 2, Value::U64(4096));
    peer.expect(ToAgent::Applied { slot, version: Version(2) });
    assert_eq!(is_told.try_iter().collect::<Vec<_>>(), [4096]);
}

/// A choice whose maker can be stopped between the place and the exporter's knowledge of it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Late {
    A,
    B,
}

/// How often the choice's index is to be asked for before one waits, who is told of it, and what is waited for.
#[expect(clippy::type_complexity, reason = "once, in a test")]
static LATE: Mutex<Option<(u32, mpsc::Sender<()>, mpsc::Receiver<()>)>> = Mutex::new(None);

impl tif::Choice for Late {
    const NAMES: &'static [&'static str] = &["a", "b"];
    fn index(self) -> u32 {
        let mut late = LATE.lock().unwrap();
        if let Some((left, begun, is_released)) = &mut *late {
            if *left == 0 {
                let _ = begun.send(());
                let _ = is_released.recv();
                *late = None;
            } else {
                *left -= 1;
            }
        }
        self as u32
    }
    fn from_index(index: u32) -> Option<Late> {
        [Late::A, Late::B].get(index as usize).copied()
    }
}

tif::choice_is_scalar!(Late);

// spec: CTL-7
#[test]
fn a_control_that_is_declared_late_gets_its_value_though_the_agent_was_quicker() {
    service!("late-control");
    #[derive(Instruments)]
    #[tif(service = "late-control", path = "late")]
    struct Restored {
        /// Memorized.
        #[tif(default = Late::A, memorized)]
        mode: Control<Late>,
    }
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let ((begun, is_begun), (release, is_released)) = (mpsc::channel(), mpsc::channel::<()>());
    // The first time it is for the declaration, the second for the cell of the place that it has then.
    *LATE.lock().unwrap() = Some((1, begun, is_released));
    let declaring = std::thread::spawn(|| Restored::export(dims![]));
    is_begun.recv_timeout(Duration::from_secs(5)).unwrap();
    let slot = peer.until(|p| p.find("late.mode").map(|(slot, _)| *slot));
    peer.set("late.mode", 3, Value::Choice(1));
    // In order behind the agent's word, which so was for nothing.
    let batch = peer.slot("batch");
    peer.send(ToProcess::Validate { req: 1, slot: batch, value: Value::U64(4) });
    peer.expect(ToAgent::Validated { req: 1, result: Ok(()) });
    release.send(()).unwrap();
    let restored = declaring.join().unwrap();
    peer.expect(ToAgent::Applied { slot, version: Version(3) });
    assert_eq!(restored.mode.get(), Late::B);
}

// spec: GRP-8
#[test]
fn the_callbacks_of_a_start_that_is_over_are_not_called_in_the_next() {
    service!("callbacks");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let calls = Arc::new(Mutex::new(Vec::new()));
    let service = |name: &'static str| {
        let (up, down) = (Arc::clone(&calls), Arc::clone(&calls));
        Service::of(&ORDERS)
            .standby(true)
            .run_dir(dir.path())
            .on_promoted(move |_| up.lock().unwrap().push(format!("{name} up")))
            .on_demoted(move |_| down.lock().unwrap().push(format!("{name} down")))
    };
    for name in ["first", "second"] {
        let (handle, mut peer) = start(service(name), &agent, Role::Primary, &[]);
        // In order behind the change of role.
        let slot = peer.slot("batch");
        peer.send(ToProcess::Validate { req: 1, slot, value: Value::U64(4) });
        peer.expect(ToAgent::Validated { req: 1, result: Ok(()) });
        handle.unregister();
        peer.expect(ToAgent::Unregister);
        assert_eq!(peer.next(), None);
    }
    assert_eq!(*calls.lock().unwrap(), ["first up", "first down", "second up", "second down"]);
}
