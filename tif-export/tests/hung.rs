//! The service's code that hangs. A process of its own: its threads for such code are all taken here.

#[path = "exporter/fake.rs"]
#[allow(dead_code, reason = "this story needs only a part of what the fake agent can do")]
mod fake;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use fake::{FakeAgent, Peer, key};
use tif::{Dynamic, Exported, Indicator, Instruments, Role, Service, ServiceHandle, Value};
use tif_core::model::Slot;
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
    /// Hangs.
    #[tif(every = "10ms")]
    one: Dynamic<u64>,
    /// Hangs, too.
    #[tif(every = "10ms")]
    two: Dynamic<u64>,
    /// Would not.
    #[tif(every = "10ms")]
    three: Dynamic<u64>,
}

static COMPUTING: Exported<Computing> = Exported::new();

// spec: INS-2
#[test]
fn a_watched_indicator_that_waits_behind_hung_providers_shows_that_it_is_not_computed() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::at(dir.path());
    let (_handle, mut peer) = start(Service::of(&COMPUTING).run_dir(dir.path()), &agent);
    let (release, is_released) = mpsc::channel::<()>();
    let is_released = Arc::new(Mutex::new(is_released));
    for hung in [&COMPUTING.one, &COMPUTING.two] {
        let theirs = Arc::clone(&is_released);
        // Until the sender is dropped.
        hung.provide(move || theirs.lock().unwrap().recv().map_or(1, |()| 0));
    }
    COMPUTING.three.provide(|| 3);
    let slots = ["one", "two", "three"].map(|name| peer.slot(name));
    let waiting = slots[2];
    peer.attachment.watch(waiting, true);
    peer.send(ToProcess::Compute { req: 1, slots: vec![waiting] });
    peer.expect(ToAgent::Computed { req: 1, failed: vec![] });
    // It was sent, and is what it will be again.
    while !peer.attachment.sweep().changed.is_empty() || !peer.attachment.arm() {}
    assert_eq!(peer.value("three"), Value::U64(3));
    peer.attachment.sent(waiting);
    while !peer.attachment.arm() {
        peer.attachment.sweep();
    }
    peer.attachment.watch(slots[0], true);
    peer.attachment.watch(slots[1], true);
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
    until_all(&mut peer, &mut still, &slots[..2]);
    // Only now: it hangs behind both.
    still.remove(&waiting);
    until_all(&mut peer, &mut still, &slots);
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

    /// Is called behind the others.
    #[procedure]
    fn act(&self) {}
}

static CALLING: Exported<Calling> = Exported::new();

// spec: TST-2
#[test]
fn a_call_that_waits_when_its_connection_ends_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let agent = FakeAgent::at(dir.path());
    let (handle, mut peer) = start(Service::of(&CALLING).run_dir(dir.path()), &agent);
    CALLING.hung.set(0);
    let held = GATE.lock().unwrap();
    let (hang, act, timeout) = (peer.slot("hang"), peer.slot("act"), Duration::from_secs(60));
    for req in 0..4 {
        peer.send(ToProcess::Call { req, slot: hang, arguments: vec![], timeout });
    }
    while peer.value("hang") != Value::U64(4) {
        std::thread::yield_now();
    }
    peer.send(ToProcess::Call { req: 4, slot: act, arguments: vec![], timeout });
    peer.send(ToProcess::Ping { nonce: 1 });
    peer.expect(ToAgent::Pong { nonce: 1 });
    drop(peer);
    let mut peer = agent.accept();
    drop(held);
    peer.welcome(key(1), Role::Solo, 0, &[]);
    peer.expect(ToAgent::Ready);
    // The one that is asked now is done behind it.
    peer.send(ToProcess::Call { req: 5, slot: hang, arguments: vec![], timeout });
    peer.expect(ToAgent::Returned { req: 5, result: Ok("done".into()) });
    assert_eq!((peer.value("hang"), peer.value("act")), (Value::U64(5), Value::U64(0)));
    drop(handle);
}
