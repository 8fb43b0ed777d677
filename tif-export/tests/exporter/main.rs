//! The exporter's thread against an agent played by the test, over a real socket and a real segment.

mod fake;
mod first_use;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fake::{FakeAgent, Peer, key};
use tempfile::TempDir;
use tif::{
    Arming, Control, Counter, Dynamic, Epoch, Exported, FaultAction, Indicator, Instruments, Role, Service, ServiceHandle, StartError,
    TestPoint, Value, dims,
};
use tif_core::model::{MemberNumber, Number, Refusal, Slot, Version, Weight};
use tif_core::wire::{Identity, Registration, ToAgent, ToProcess};

/// Each test has a service of its own: there is one exporter per service in a process.
macro_rules! service {
    ($service:literal) => {
        #[derive(Instruments)]
        #[tif(service = $service)]
        struct Orders {
            /// Orders accepted since start.
            accepted: Counter,
            /// Orders waiting.
            depth: Indicator<u64>,
            /// Age of the oldest.
            #[tif(unit = "s", every = "10ms")]
            oldest: Dynamic<f64>,
            /// Orders in one batch.
            #[tif(range = 1..=4096, default = 64, memorized, validated)]
            batch: Control<u32>,
            /// A greeting.
            #[tif(default = "hello")]
            greeting: Control<String>,
            /// Before the commit.
            before_commit: TestPoint,
        }

        #[tif::procedures]
        impl Orders {
            /// Doubles.
            #[procedure(timeout = "5s")]
            fn double(&self, n: u32, unit: String) -> Result<String, String> {
                if n == 0 { Err("nothing to double".into()) } else { Ok(format!("{} {unit}", 2 * n)) }
            }

            /// Panics.
            #[procedure]
            fn panics(&self) -> u64 {
                panic!("on purpose")
            }

            /// Does not return while somebody holds `SLOW`.
            #[procedure]
            fn slow(&self) {
                drop(SLOW.lock().unwrap());
            }
        }

        static SLOW: std::sync::Mutex<()> = std::sync::Mutex::new(());
        static ORDERS: Exported<Orders> = Exported::new();

        // No test uses every field.
        let _ = |o: &Orders| {
            let _ = (&o.accepted, &o.depth, &o.oldest, &o.batch, &o.greeting, &o.before_commit);
        };
    };
}

mod withdrawn;

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// Starts the service while the test plays the agent.
fn start(service: Service, agent: &FakeAgent, role: Role, controls: &[(&str, u64, Value)]) -> (ServiceHandle, Peer) {
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| service.wait(Duration::from_secs(10)).start().unwrap());
        let mut peer = agent.accept();
        peer.welcome(key(1), role, 3, controls);
        for (name, version, _) in controls {
            let slot = peer.slot(name);
            peer.expect(ToAgent::Applied { slot, version: Version(*version) });
        }
        peer.expect(ToAgent::Ready);
        (starting.join().unwrap(), peer)
    })
}

// spec: EXP-3
#[test]
fn without_an_agent_the_values_are_there_and_with_one_they_are_seen() {
    service!("late");
    let dir = dir();
    let begun = Instant::now();
    let handle = Service::of(&ORDERS).run_dir(dir.path()).wait(Duration::from_secs(60)).start().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(30), "nobody waits for an agent that is not there");
    assert!(!handle.is_connected());
    ORDERS.accepted.add(3);
    ORDERS.depth.set(7);
    assert_eq!((ORDERS.accepted.get(), ORDERS.batch.get()), (3, 64));
    let agent = FakeAgent::at(dir.path());
    let mut peer = agent.accept();
    assert_eq!(peer.hello.identity, Identity::Pick("late".parse().unwrap()));
    assert_eq!(
        peer.hello.registration,
        Registration::Exporter { service: "late".parse().unwrap(), grouped: false, weight: Weight::default() }
    );
    peer.welcome(key(1), Role::Solo, 0, &[]);
    peer.expect(ToAgent::Ready);
    assert!(handle.wait_connected(Duration::from_secs(5)));
    assert_eq!((handle.key(), handle.role()), (Some(key(1)), Role::Solo));
    assert_eq!((peer.value("accepted"), peer.value("depth"), peer.value("batch")), (Value::U64(3), Value::U64(7), Value::U64(64)));
    assert_eq!(peer.value("greeting"), Value::Text("hello".into()));
}

// spec: CTL-7
#[test]
fn memorized_controls_are_in_place_when_start_returns() {
    service!("memory");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (told, is_told) = mpsc::channel();
    let service = Service::of(&ORDERS).process("memory-a").run_dir(dir.path());
    ORDERS.batch.on_change(move |batch| told.send(*batch).unwrap());
    let controls = [("batch", 3, Value::U64(128)), ("greeting", 1, Value::Text("moin".into()))];
    let (_handle, peer) = start(service, &agent, Role::Solo, &controls);
    assert_eq!(peer.hello.identity, Identity::Exactly("memory-a".parse().unwrap()));
    assert_eq!((ORDERS.batch.get(), ORDERS.greeting.get()), (128, "moin".to_owned()));
    assert_eq!(is_told.try_recv(), Ok(128));
}

// spec: CTL-1, CTL-2
#[test]
fn a_change_is_validated_by_the_service_and_taken() {
    service!("change");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    ORDERS.batch.validate(|b| if b % 2 == 0 { Ok(()) } else { Err("odd") });
    let slot = peer.slot("batch");
    for (req, n, result) in [(1, 3, Err("odd".to_owned())), (2, 4, Ok(()))] {
        peer.send(ToProcess::Validate { req, slot, value: Value::U64(n) });
        peer.expect(ToAgent::Validated { req, result });
    }
    peer.attachment.watch(slot, true);
    peer.set("batch", 1, Value::U64(4));
    peer.expect(ToAgent::Applied { slot, version: Version(1) });
    assert_eq!(ORDERS.batch.get(), 4);
    peer.until(|p| (p.value("batch") == Value::U64(4)).then_some(()));
    ORDERS.batch.validate(|_| -> Result<(), &str> { panic!("thinking") });
    peer.send(ToProcess::Validate { req: 3, slot, value: Value::U64(8) });
    peer.expect(ToAgent::Validated { req: 3, result: Err("the validator panicked: thinking".into()) });
    assert!(ORDERS.batch.set_local(8).is_err(), "an exported control is the agent's");
}

// spec: INS-2
#[test]
fn a_dynamic_indicator_is_computed_on_request_and_while_watched_and_never_otherwise() {
    service!("dynamic");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let slot = peer.slot("oldest");
    let failed = |peer: &mut Peer, req| {
        peer.send(ToProcess::Compute { req, slots: vec![slot] });
        match peer.next() {
            Some(ToAgent::Computed { req: got, failed }) if got == req => failed,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(failed(&mut peer, 1).len(), 1, "nobody has said how");
    let calls = Arc::new(AtomicU64::new(0));
    let theirs = Arc::clone(&calls);
    ORDERS.oldest.provide(move || theirs.fetch_add(1, Ordering::Relaxed) as f64 + 0.5);
    assert_eq!(failed(&mut peer, 2), []);
    assert_eq!(peer.value("oldest"), Value::F64(0.5));
    assert_eq!(calls.load(Ordering::Relaxed), 1, "only on request so far");
    peer.attachment.watch(slot, true);
    peer.send(ToProcess::WatchChanged);
    peer.until(|p| matches!(p.value("oldest"), Value::F64(v) if v > 3.0).then_some(()));
    ORDERS.oldest.provide(|| Err::<f64, _>("locked"));
    // Where the machine is busy one may not be done when the next is due.
    let still = ToAgent::Computed { req: 0, failed: vec![(slot, "it is still being computed".into())] };
    let first = std::iter::repeat_with(|| peer.next()).find(|message| *message != Some(still.clone())).unwrap();
    assert_eq!(first, Some(ToAgent::Computed { req: 0, failed: vec![(slot, "locked".into())] }));
    let theirs = Arc::clone(&calls);
    ORDERS.oldest.provide(move || theirs.fetch_add(1, Ordering::Relaxed) as f64);
    peer.attachment.watch(slot, false);
    peer.send(ToProcess::WatchChanged);
    peer.send(ToProcess::Ping { nonce: 5 });
    while peer.next() != Some(ToAgent::Pong { nonce: 5 }) {}
    // One may be under way.
    std::thread::sleep(Duration::from_millis(30));
    let before = calls.load(Ordering::Relaxed);
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(calls.load(Ordering::Relaxed), before, "nobody watches");
}

// spec: INS-2, CTL-2
#[test]
fn a_slow_provider_holds_up_neither_controls_nor_probes() {
    service!("slow");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let (release, is_released) = mpsc::channel::<()>();
    let is_released = Mutex::new(is_released);
    ORDERS.oldest.provide(move || is_released.lock().unwrap().recv().map(|()| 1.0).map_err(|e| e.to_string()));
    let slot = peer.slot("oldest");
    peer.send(ToProcess::Compute { req: 1, slots: vec![slot] });
    peer.send(ToProcess::Ping { nonce: 9 });
    peer.expect(ToAgent::Pong { nonce: 9 });
    peer.set("batch", 1, Value::U64(2));
    let batch = peer.slot("batch");
    peer.expect(ToAgent::Applied { slot: batch, version: Version(1) });
    release.send(()).unwrap();
    peer.expect(ToAgent::Computed { req: 1, failed: vec![] });
}

// spec: TST-2, TST-3
#[test]
fn a_procedure_is_called_with_typed_arguments_and_its_result_is_shown() {
    service!("calls");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let call = |peer: &mut Peer, req, name: &str, arguments: Vec<Value>, timeout| {
        let slot = peer.slot(name);
        peer.send(ToProcess::Call { req, slot, arguments, timeout });
        match peer.next() {
            Some(ToAgent::Returned { req: got, result }) if got == req => result,
            other => panic!("{other:?}"),
        }
    };
    let long = Duration::from_secs(5);
    assert_eq!(call(&mut peer, 1, "double", vec![Value::U64(4), Value::Text("eggs".into())], long), Ok("8 eggs".into()));
    assert_eq!((peer.value("double"), peer.value("double.last")), (Value::U64(1), Value::Text("8 eggs".into())));
    let nothing = vec![Value::U64(0), Value::Text("eggs".into())];
    assert_eq!(call(&mut peer, 2, "double", nothing, long), Err("nothing to double".into()));
    assert_eq!(peer.value("double.last"), Value::Text("error: nothing to double".into()));
    assert_eq!(call(&mut peer, 3, "double", vec![Value::U64(4)], long), Err("argument `unit` is missing".into()));
    assert_eq!(call(&mut peer, 4, "panics", vec![], long), Err("panicked: on purpose".into()));
    // One that overruns its time shows that it does, and its result comes all the same.
    let (slot, last) = (peer.slot("slow"), peer.slot("slow.last"));
    peer.attachment.watch(last, true);
    let held = SLOW.lock().unwrap();
    peer.send(ToProcess::Call { req: 5, slot, arguments: vec![], timeout: Duration::from_millis(20) });
    let over = Value::Text("no result within 20ms: 1 of 1 calls that run are over their time".into());
    peer.until(|p| (p.value("slow.last") == over).then_some(()));
    drop(held);
    peer.expect(ToAgent::Returned { req: 5, result: Ok("done".into()) });
    assert_eq!(call(&mut peer, 6, "slow", vec![], long), Ok("done".into()));
    assert_eq!(call(&mut peer, 7, "batch", vec![], long), Err("there is no such procedure".into()));
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

// spec: TST-1, TST-3, TST-5
#[test]
fn a_test_point_is_armed_from_outside_and_says_when_it_disarms_itself() {
    service!("armed");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let slot = peer.slot("before_commit");
    let arm = |peer: &mut Peer, req, arming| {
        peer.send(ToProcess::Arm { req, slot, arming });
        match peer.next() {
            Some(ToAgent::ArmedAs { req: got, result }) if got == req => result,
            other => panic!("{other:?}"),
        }
    };
    arm(&mut peer, 1, Some(Arming { hits_max: Some(2), ..arming(FaultAction::Fail) })).unwrap();
    assert_eq!(peer.value("before_commit.armed"), Value::Text("fail hits<=2".into()));
    assert!(ORDERS.before_commit.pass(|| ()).is_err());
    assert!(ORDERS.before_commit.pass(|| ()).is_err());
    assert!(ORDERS.before_commit.pass(|| ()).is_ok());
    peer.expect(ToAgent::Disarmed { slot });
    assert_eq!((peer.value("before_commit"), peer.value("before_commit.armed")), (Value::U64(2), Value::Text(String::new())));

    arm(&mut peer, 2, Some(Arming { expires_after: Duration::from_millis(30), ..arming(FaultAction::Count) })).unwrap();
    peer.expect(ToAgent::Disarmed { slot });
    assert!(!ORDERS.before_commit.is_armed(), "it expires though nobody passes");

    assert!(arm(&mut peer, 3, Some(Arming { probability: 7.0, ..arming(FaultAction::Count) })).is_err());
    arm(&mut peer, 4, Some(arming(FaultAction::Fail))).unwrap();
    arm(&mut peer, 5, None).unwrap();
    assert!(ORDERS.before_commit.pass(|| ()).is_ok());

    arm(&mut peer, 6, Some(arming(FaultAction::Fail))).unwrap();
    drop(peer);
    let mut peer = agent.accept();
    assert!(!ORDERS.before_commit.is_armed(), "the session that armed it has ended");
    peer.welcome(key(1), Role::Solo, 0, &[]);
    peer.expect(ToAgent::Ready);
    drop(handle);
}

// spec: EXP-3, MON-7
#[test]
fn an_agents_restart_loses_no_value_and_no_identity() {
    service!("resume");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (handle, peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[("batch", 1, Value::U64(2))]);
    ORDERS.accepted.add(5);
    let nonce = peer.hello.nonce;
    drop((peer, agent));
    std::fs::remove_file(dir.path().join("agent.sock")).unwrap();
    ORDERS.accepted.add(1);
    let agent = FakeAgent::at(dir.path());
    let mut peer = agent.accept();
    assert_eq!((peer.hello.nonce, peer.hello.resume.map(|r| r.key)), (nonce, Some(key(1))));
    peer.welcome(key(1), Role::Solo, 0, &[("batch", 1, Value::U64(2))]);
    peer.expect(ToAgent::Ready);
    assert_eq!((peer.value("accepted"), peer.value("batch")), (Value::U64(6), Value::U64(2)));
    peer.send(ToProcess::Ping { nonce: 1 });
    peer.expect(ToAgent::Pong { nonce: 1 });
    assert!(handle.wait_connected(Duration::from_secs(5)));
}

// spec: PSM-7
#[test]
fn a_replaced_process_stops_acting_before_it_registers_anew() {
    service!("stale");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let is_acting = Arc::new(AtomicBool::new(false));
    let (up, down) = (Arc::clone(&is_acting), Arc::clone(&is_acting));
    let service = Service::of(&ORDERS).standby(true).run_dir(dir.path()).on_promoted(move |_| up.store(true, Ordering::SeqCst)).on_demoted(
        move |_| {
            std::thread::sleep(Duration::from_millis(50));
            down.store(false, Ordering::SeqCst);
        },
    );
    let (handle, mut peer) = start(service, &agent, Role::Primary, &[]);
    assert_eq!(handle.wait_primary(Duration::from_secs(5)), Some(Epoch(3)));
    while !is_acting.load(Ordering::SeqCst) {
        std::thread::yield_now();
    }
    peer.send(ToProcess::StaleKey { current: Some(key(2)) });
    let mut again = agent.accept();
    assert!(!is_acting.load(Ordering::SeqCst), "it has stopped");
    assert_eq!(again.hello.resume, None);
    assert_ne!(again.hello.nonce, peer.hello.nonce);
    again.welcome(key(3), Role::Standby, 4, &[]);
    again.expect(ToAgent::Ready);
    assert!(handle.wait_connected(Duration::from_secs(5)));
    assert_eq!((handle.role(), handle.key(), handle.epoch()), (Role::Standby, Some(key(3)), Epoch(4)));
}

// spec: GRP-8, CTL-4
#[test]
fn a_standby_takes_the_controls_then_the_role_then_says_so() {
    service!("takeover");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (told, is_told) = mpsc::channel();
    let demoted = told.clone();
    let service = Service::of(&ORDERS)
        .standby(true)
        .run_dir(dir.path())
        .on_promoted(move |epoch| told.send((epoch, ORDERS.batch.get())).unwrap())
        .on_demoted(move |epoch| demoted.send((epoch, 0)).unwrap());
    let (handle, mut peer) = start(service, &agent, Role::Standby, &[]);
    assert_eq!(
        peer.hello.registration,
        Registration::Exporter { service: "takeover".parse().unwrap(), grouped: true, weight: Weight::default() }
    );
    assert_eq!(handle.wait_primary(Duration::ZERO), None);
    let batch = peer.slot("batch");
    let control = tif_core::agent::io::ControlValue { slot: batch, version: Version(9), value: Value::U64(512) };
    peer.attachment.control(&control);
    peer.send(ToProcess::Promote { epoch: Epoch(4) });
    peer.expect(ToAgent::Applied { slot: batch, version: Version(9) });
    peer.expect(ToAgent::Promoted { epoch: Epoch(4) });
    assert_eq!(is_told.try_recv(), Ok((Epoch(4), 512)), "called with the accepted value in place, before it was said");
    assert_eq!((handle.role(), handle.epoch()), (Role::Primary, Epoch(4)));
    peer.send(ToProcess::Demote { epoch: Epoch(5) });
    assert_eq!(is_told.recv_timeout(Duration::from_secs(5)), Ok((Epoch(5), 0)));
    assert_eq!(handle.role(), Role::Standby);
}

// spec: GRP-1
#[test]
fn a_member_knows_its_number_and_when_it_has_none_any_more() {
    service!("numbered");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (handle, mut peer) = start(Service::of(&ORDERS).standby(true).run_dir(dir.path()), &agent, Role::Standby, &[]);
    assert_eq!(handle.member_number(), None);
    for number in [Some(MemberNumber(2)), None, Some(MemberNumber(3))] {
        peer.send(ToProcess::Numbered { number });
        // What is asked after it is answered after it.
        peer.send(ToProcess::Ping { nonce: 7 });
        peer.expect(ToAgent::Pong { nonce: 7 });
        assert_eq!(handle.member_number(), number);
    }
}

// spec: EXP-8
#[test]
fn owned_instances_come_with_their_dimensions_and_go_when_dropped() {
    service!("owned");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (handle, mut peer) = start(Service::of(&ORDERS).instruments_max(30).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let third = Orders::export(dims![shard = 3]);
    third.accepted.add(7);
    peer.until(|p| p.find("double.last{shard=3}").map(|_| ()));
    assert_eq!(peer.value("accepted{shard=3}"), Value::U64(7));
    assert_eq!(peer.find("accepted{shard=3}").unwrap().1.dimensions, ["shard"]);
    let slot = peer.slot("double{shard=3}");
    peer.send(ToProcess::Call { req: 1, slot, arguments: vec![Value::U64(1), Value::Text("x".into())], timeout: Duration::from_secs(5) });
    peer.expect(ToAgent::Returned { req: 1, result: Ok("2 x".into()) });
    drop(third);
    peer.until(|p| p.find("accepted{shard=3}").is_none().then_some(()));
    peer.send(ToProcess::Call { req: 2, slot, arguments: vec![], timeout: Duration::from_secs(5) });
    peer.expect(ToAgent::Returned { req: 2, result: Err("there is no such procedure".into()) });

    assert_eq!(handle.overflow(), 0);
    let many: Vec<_> = (0..3).map(|shard| ORDERS.instance(dims![shard = shard])).collect();
    many.iter().for_each(|m| m.accepted.inc());
    assert_eq!(many[2].accepted.get(), 1, "what does not fit works all the same");
    peer.until(|p| p.find("tif.overflow").map(|_| ()));
    assert_eq!(peer.value("tif.overflow"), Value::U64(handle.overflow()));
    assert!(handle.overflow() > 0);
    let twin = ORDERS.instance(dims![shard = 0]);
    twin.accepted.add(100);
    assert_eq!(peer.value("accepted{shard=0}"), Value::U64(1), "the first of a name keeps it");
    // So does the first of those whose dimensions are made the same.
    drop((many, twin));
    let (_first, before) = (ORDERS.instance(dims![who = "a b"]), handle.overflow());
    let _second = ORDERS.instance(dims![who = "a,b"]);
    assert!(handle.overflow() > before, "and the other is counted");
}

// spec: PSM-2
#[test]
fn dropping_the_handle_takes_leave_and_another_start_is_another_life() {
    service!("leave");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let second = Service::of(&ORDERS).run_dir(dir.path()).start().unwrap();
    assert!(matches!(Service::of(&ORDERS).process("other").run_dir(dir.path()).start(), Err(StartError::Different { .. })));
    drop(second);
    assert!(handle.is_connected(), "one handle is left");
    handle.unregister();
    peer.expect(ToAgent::Unregister);
    assert_eq!(peer.next(), None);
    let (_handle, again) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    assert_eq!(again.hello.resume, None);
    assert_ne!(again.hello.nonce, peer.hello.nonce);
}

// spec: PSM-8
#[test]
fn a_refusal_is_an_error_of_start() {
    service!("refused");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let refusal = Refusal::NameTaken { name: "refused-a".into(), holder: key(1) };
    std::thread::scope(|scope| {
        let path = dir.path();
        let starting =
            scope.spawn(move || Service::of(&ORDERS).process("refused-a").run_dir(path).wait(Duration::from_millis(300)).start().err());
        agent.accept().refuse(refusal.clone());
        match starting.join().unwrap() {
            Some(StartError::Refused(got)) => assert_eq!(got, refusal),
            other => panic!("{other:?}"),
        }
    });
    ORDERS.accepted.inc();
    assert_eq!(ORDERS.accepted.get(), 1, "the service goes on");
}

#[tif::procedure_metrics(service = "metrics")]
fn handle_order(n: u32) -> Result<u32, String> {
    let call = n;
    if n == 0 {
        return Err("none".into());
    }
    let result = n.checked_mul(2).ok_or("too many")?;
    assert_ne!(call, 13, "unlucky");
    Ok(result)
}

struct Desk(u64);

impl Desk {
    /// Serves one at the desk.
    #[tif::procedure_metrics(service = "metrics", name = "desk.serve")]
    fn serve(&mut self, by: &u64) -> &mut u64 {
        self.0 += by;
        &mut self.0
    }
}

// spec: EXP-1
#[test]
fn a_measured_function_shows_calls_errors_and_latency() {
    service!("metrics");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    assert_eq!(peer.value("handle_order.calls"), Value::U64(0), "it is there before the first call");
    assert_eq!(handle_order(4), Ok(8));
    assert!(handle_order(0).is_err());
    assert!(std::panic::catch_unwind(|| handle_order(13)).is_err());
    assert_eq!((peer.value("handle_order.calls"), peer.value("handle_order.errors")), (Value::U64(3), Value::U64(2)));
    assert_eq!(peer.value("handle_order.in_flight"), Value::I64(0));
    let Value::Histogram(latency) = peer.value("handle_order.latency") else { panic!("not a histogram") };
    assert_eq!(latency.count, 3);
    let mut desk = Desk(1);
    *desk.serve(&2) += 1;
    assert_eq!((desk.0, peer.value("desk.serve.calls")), (4, Value::U64(1)));
    assert_eq!(peer.find("desk.serve.calls").unwrap().1.help, "Calls begun: Serves one at the desk.");
}

#[test]
fn what_is_declared_says_where() {
    service!("where");
    let dir = dir();
    let agent = FakeAgent::at(dir.path());
    let (_handle, peer) = start(Service::of(&ORDERS).run_dir(dir.path()), &agent, Role::Solo, &[]);
    let (slot, descriptor) = peer.find("batch").unwrap();
    assert_ne!(*slot, Slot(u32::MAX));
    assert_eq!((descriptor.declared.crate_name.as_str(), descriptor.range), ("tif-export", Some((Number::Whole(1), Number::Whole(4096)))));
    assert!(descriptor.declared.file.ends_with("tests/exporter/main.rs") && descriptor.declared.line > 20, "{:?}", descriptor.declared);
}
