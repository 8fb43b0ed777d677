//! The service's code that hangs. A process of its own: its threads for such code are all taken here.

#[path = "exporter/fake.rs"]
#[expect(dead_code, reason = "this story needs only a part of what the fake agent can do")]
mod fake;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fake::{FakeAgent, Peer, key};
use tif::{Control, Dynamic, Exported, Indicator, Instruments, Role, Service, ServiceHandle, Value, dims};
use tif_core::limits::CALLS_RUNNING_MAX;
use tif_core::model::{Slot, Version};
use tif_core::wire::{ToAgent, ToProcess};

fn start(service: Service, agent: &FakeAgent) -> (ServiceHandle, Peer) {
    std::thread::scope(|scope| {
        let starting = scope.spawn(|| service.wait(Duration::from_secs(10)).start().unwrap());
        let mut peer = agent.accept();
        peer.welcome(key(1), Role::Solo, 0, &[]);
        peer.expect(ToAgent::Ready);
        (starting.join().unwrap(), peer)
    })
}

/// Computed.
#[derive(Instruments)]
#[tif(service = "computing")]
struct Computing {
    /// Would not hang.
    #[tif(every = "10ms")]
    waiting: Dynamic<u64>,
}

/// One of those that hang.
#[derive(Instruments)]
#[tif(service = "computing")]
struct Hanging {
    /// Hangs.
    #[tif(every = "10ms")]
    hung: Dynamic<u64>,
}

/// As many as there are threads for them.
const HUNG: usize = 8;

static COMPUTING: Exported<Computing> = Exported::new();

// spec: INS-2
#[test]
fn a_watched_indicator_that_waits_behind_hung_providers_shows_that_it_is_not_computed() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::at(dir.path());
    let all: Vec<_> = (0..HUNG).map(|n| Hanging::export(dims![n = n])).collect();
    let (_handle, mut peer) = start(Service::of(&COMPUTING).run_dir(dir.path()), &agent);
    let (release, is_released) = mpsc::channel::<()>();
    let is_released = Arc::new(Mutex::new(is_released));
    for hung in all.iter().map(|h| &h.hung) {
        let theirs = Arc::clone(&is_released);
        // Until the sender is dropped.
        hung.provide(move || theirs.lock().unwrap().recv().map_or(1, |()| 0));
    }
    COMPUTING.waiting.provide(|| 3);
    let waiting = peer.slot("waiting");
    let hung: Vec<Slot> = (0..HUNG).map(|n| peer.slot(&format!("hung{{n={n}}}"))).collect();
    peer.attachment.watch(waiting, true);
    peer.send(ToProcess::Compute { req: 1, slots: vec![waiting] });
    peer.expect(ToAgent::Computed { req: 1, failed: vec![] });
    // It was sent, and is what it will be again.
    while !peer.attachment.sweep().changed.is_empty() || !peer.attachment.arm() {}
    assert_eq!(peer.value("waiting"), Value::U64(3));
    peer.attachment.sent(waiting);
    while !peer.attachment.arm() {
        peer.attachment.sweep();
    }
    hung.iter().for_each(|slot| peer.attachment.watch(*slot, true));
    peer.send(ToProcess::WatchChanged);
    // They hang as soon as they are said to.
    let mut still = BTreeSet::new();
    let until_all = |peer: &mut Peer, still: &mut BTreeSet<Slot>, all: &[Slot]| {
        while !all.iter().all(|slot| still.contains(slot)) {
            match peer.next() {
                Some(ToAgent::Computed { req: 0, failed }) => {
                    assert!(failed.iter().all(|(_, reason)| reason == "it is still being computed"), "{failed:?}");
                    still.extend(failed.into_iter().map(|(slot, _)| slot));
                }
                other => panic!("{other:?}"),
            }
        }
    };
    until_all(&mut peer, &mut still, &hung);
    // Only now: it hangs behind them all.
    still.remove(&waiting);
    until_all(&mut peer, &mut still, &[waiting]);
    drop(release);
    // The value is the one that was sent; but the agent was told that there is none, so it is news.
    let until = Instant::now() + Duration::from_secs(5);
    while !peer.attachment.sweep().changed.contains(&waiting) {
        assert!(Instant::now() < until, "the agent goes on to show that it is not computed");
        peer.attachment.arm();
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Called.
#[derive(Instruments)]
#[tif(service = "calling")]
struct Calling {
    /// How many hang.
    hung: Indicator<u64>,
}

static GATE: Mutex<()> = Mutex::new(());

#[tif::procedures]
impl Calling {
    /// Hangs.
    #[procedure]
    fn hang(&self) {
        drop(GATE.lock());
    }

    /// Is called beside the others.
    #[procedure]
    fn act(&self) {}
}

static CALLING: Exported<Calling> = Exported::new();

// spec: TST-2, SEC-2
#[test]
fn a_call_for_which_nothing_is_free_is_refused_at_once_and_not_begun_later() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::at(dir.path());
    let (handle, mut peer) = start(Service::of(&CALLING).run_dir(dir.path()), &agent);
    CALLING.hung.set(0);
    let held = GATE.lock().unwrap();
    let (hang, act, timeout) = (peer.slot("hang"), peer.slot("act"), Duration::from_secs(60));
    let most = CALLS_RUNNING_MAX as u64;
    peer.attachment.watch(hang, true);
    for req in 0..most {
        peer.send(ToProcess::Call { req, slot: hang, arguments: vec![], timeout });
    }
    peer.until(|p| (p.value("hang") == Value::U64(most)).then_some(()));
    let refused = |req| ToAgent::Busy { req, reason: "8 calls of calling are running, none free".into() };
    peer.send(ToProcess::Call { req: most, slot: act, arguments: vec![], timeout });
    peer.expect(refused(most));
    // They run on when the connection ends.
    drop(peer);
    let mut peer = agent.accept();
    peer.welcome(key(1), Role::Solo, 0, &[]);
    peer.expect(ToAgent::Ready);
    peer.send(ToProcess::Call { req: 0, slot: act, arguments: vec![], timeout });
    peer.expect(refused(0));
    drop(held);
    // As soon as one has returned, another can begin.
    let mut req = 1;
    loop {
        peer.send(ToProcess::Call { req, slot: act, arguments: vec![], timeout });
        match peer.next() {
            Some(ToAgent::Busy { .. }) => req += 1,
            other => break assert_eq!(other, Some(ToAgent::Returned { req, result: Ok("done".into()) })),
        }
    }
    assert_eq!(peer.value("act"), Value::U64(1));
    drop(handle);
}

/// Checked.
#[derive(Instruments)]
#[tif(service = "checking")]
struct Checking {
    /// Its validator hangs.
    #[tif(default = 0, validated)]
    hung: Control<u64>,
    /// Its validator does not.
    #[tif(default = 0, validated)]
    quick: Control<u64>,
}

static CHECKING: Exported<Checking> = Exported::new();

// spec: CTL-1
#[test]
fn a_validator_that_hangs_holds_up_only_its_own_control() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&CHECKING).run_dir(dir.path()), &agent);
    let (release, is_released) = mpsc::channel::<()>();
    let is_released = Mutex::new(is_released);
    CHECKING.hung.validate(move |n| {
        // Until the sender is dropped.
        let _ = is_released.lock().unwrap().recv();
        if *n == 3 { Ok(()) } else { Err("not three") }
    });
    CHECKING.quick.validate(|_| Ok::<(), String>(()));
    let (hung, quick) = (peer.slot("hung"), peer.slot("quick"));
    let ask = |peer: &mut Peer, req, slot, n| peer.send(ToProcess::Validate { req, slot, value: Value::U64(n) });
    ask(&mut peer, 1, hung, 1);
    ask(&mut peer, 2, quick, 1);
    peer.expect(ToAgent::Validated { req: 2, result: Ok(()) });
    // Nor are changes held up that nobody validates.
    peer.set("quick", 1, Value::U64(5));
    peer.expect(ToAgent::Applied { slot: quick, version: Version(1) });
    // Of those that wait for it the last counts: whoever asked before has given up.
    ask(&mut peer, 3, hung, 2);
    ask(&mut peer, 4, hung, 3);
    peer.send(ToProcess::Ping { nonce: 1 });
    peer.expect(ToAgent::Pong { nonce: 1 });
    drop(release);
    peer.expect(ToAgent::Validated { req: 1, result: Err("not three".into()) });
    peer.expect(ToAgent::Validated { req: 4, result: Ok(()) });
}
