//! Strangers at the door: whatever they send, the agent says what is wrong and goes on serving others.
// spec: SEC-1, SEC-2, SEC-3, EXP-7

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::Command;
use std::time::Duration;

use crate::child::Exporter;
use crate::world::{World, eventfd, exporter, hello, memfd};
use tif_core::limits::FRAME_LEN_MAX;
use tif_core::machine::versions::Offer;
use tif_core::model::Refusal;
use tif_core::wire::{Registration, ToAgent, ToProcess};

fn reason(refusal: Refusal) -> String {
    match refusal {
        Refusal::Malformed { reason } => reason,
        other => panic!("{other:?}"),
    }
}

/// Bytes that look like chance and are the same in every run.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut x = seed | 1;
    let mut next = || {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        x as u8
    };
    (0..len).map(|_| next()).collect()
}

// spec: SEC-2
#[test]
fn what_is_no_message_is_refused_with_the_reason() {
    let world = World::new();
    let mut oversize = world.socket();
    oversize.send(&u32::MAX.to_le_bytes());
    assert!(reason(oversize.refusal()).contains(&FRAME_LEN_MAX.to_string()));

    let mut garbage = world.socket();
    garbage.send(&[8, 0, 0, 0, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1, 0xc1]);
    assert!(reason(garbage.refusal()).contains("no message"));

    let mut babbling = world.socket();
    babbling.send(&(FRAME_LEN_MAX as u32).to_le_bytes());
    babbling.send(&[0; 70_000]);
    assert!(reason(babbling.refusal()).contains("no Hello"));

    let mut early = world.socket();
    early.send_with(ToAgent::Ready, &[]);
    assert!(reason(early.refusal()).contains("first message is Hello"));

    for seed in 0..200 {
        let mut noisy = world.socket();
        noisy.send(&noise(seed, 300));
        drop(noisy);
    }
    drop(world.importer("polite"));
}

// spec: SEC-2, EXP-7, PSM-9
#[test]
fn wrong_descriptors_are_refused_with_what_would_be_right() {
    let world = World::new();
    let pidfd = tif_process::own_pidfd().unwrap();
    let (bell, junk, empty) = (eventfd(), memfd(&noise(1, 100_000)), memfd(b""));
    let parent = rustix::process::getppid().unwrap();
    let other = rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).unwrap();
    let null: OwnedFd = std::fs::File::open("/dev/null").unwrap().into();
    let (segment, bell, pidfd, junk, empty, other, null) =
        (memfd(&[0; 8192]), bell.as_fd(), pidfd.as_fd(), junk.as_fd(), empty.as_fd(), other.as_fd(), null.as_fd());
    let cases: Vec<(Registration, Vec<BorrowedFd<'_>>, &str)> = vec![
        (exporter("orders"), vec![], "0 descriptors came"),
        (exporter("orders"), vec![junk, bell], "2 descriptors came"),
        (exporter("orders"), vec![junk, bell, pidfd, pidfd], "4 descriptors came"),
        (exporter("orders"), vec![junk, null, pidfd], "not an eventfd"),
        (exporter("orders"), vec![junk, bell, pidfd], "segment cannot be used"),
        (exporter("orders"), vec![empty, bell, pidfd], "segment cannot be used"),
        (exporter("orders"), vec![segment.as_fd(), bell, pidfd], "segment cannot be used"),
        (exporter("orders"), vec![null, bell, pidfd], "segment cannot be used"),
        (exporter("orders"), vec![bell, bell, pidfd], "segment cannot be used"),
        (Registration::Importer, vec![pidfd, pidfd], "2 descriptors came"),
        (Registration::Importer, vec![null], "pidfd is of no living process"),
        (Registration::Importer, vec![other], "the socket is of process"),
    ];
    for (registration, fds, expect) in cases {
        let mut rude = world.socket();
        rude.send_with(ToAgent::Hello(hello(registration)), &fds);
        let why = reason(rude.refusal());
        assert!(why.contains(expect), "{why:?} without {expect:?}");
    }
    drop(world.importer("polite"));
}

#[test]
fn another_protocol_version_is_told_which_are_spoken() {
    let world = World::new();
    let mut rude = world.socket();
    let newer = tif_core::wire::Hello { offer: Offer { min: 900, max: 901, ..Offer::default() }, ..hello(Registration::Importer) };
    rude.send_with(ToAgent::Hello(newer), &[]);
    assert!(matches!(rude.refusal(), Refusal::Protocol { min: 900, .. }));
}

// spec: SEC-2
#[test]
fn a_hello_comes_through_however_its_bytes_are_cut() {
    let world = World::new();
    let mut frame = Vec::new();
    let body = ToAgent::Hello(hello(Registration::Importer));
    let key = tif_core::model::Key::NONE;
    tif_core::wire::encode(&tif_core::wire::Envelope { from: key, to: key, body }, &mut frame).unwrap();
    let mut slow = world.socket();
    for byte in frame {
        slow.send(&[byte]);
    }
    assert!(matches!(slow.next(), Some(ToProcess::Welcome(_))));
}

// spec: SEC-2
#[test]
fn a_flood_of_silent_connections_keeps_nobody_out() {
    let world = World::new();
    let mut silent: Vec<_> = (0..400).map(|_| world.socket()).collect();
    drop(world.importer("polite"));
    assert_eq!(silent[0].next(), None, "the oldest silent ones were sent away");
}

// spec: SEC-2
#[test]
fn a_flood_of_messages_from_one_does_not_slow_another() {
    let world = World::new();
    let flooding = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (world, flooding) = (&world, &flooding);
            scope.spawn(move || {
                while flooding.load(std::sync::atomic::Ordering::Relaxed) {
                    let mut rude = world.socket();
                    rude.send_with(ToAgent::Hello(hello(Registration::Importer)), &[]);
                    rude.send(&noise(seed, 200_000));
                }
            });
        }
        let begun = std::time::Instant::now();
        // Processes of their own: this one has soon registered as often as it may.
        for i in 0..20 {
            drop(Exporter::start(&world, &format!("polite-{i}")));
        }
        flooding.store(false, std::sync::atomic::Ordering::Relaxed);
        assert!(begun.elapsed() < Duration::from_secs(10), "20 registrations took {:?}", begun.elapsed());
    });
}

// spec: SEC-3
#[test]
fn an_agent_without_descriptors_goes_on_when_there_are_some_again() {
    let mut world = World::empty();
    let agent = world.command();
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -n 48; exec \"$0\" \"$@\""]).arg(agent.get_program()).args(agent.get_args());
    world.start_as(limited);
    let (connection, _) = world.importer("first");
    let crowd: Vec<_> = (0..80).map(|_| world.socket()).collect();
    // The agent has met its limit by now or does so while this waits; it serves whom it has.
    connection.sender().send(ToAgent::Processes { req: 1 }).unwrap();
    let mut connection = connection;
    let answer = connection.receive(Some(crate::world::PATIENCE)).unwrap();
    assert!(matches!(answer, Some(ToProcess::Processes { req: 1, .. })), "{answer:?}");
    drop(crowd);
    drop(world.importer("second"));
}

// spec: SEC-1
#[test]
fn another_user_is_refused_at_the_door() {
    use tif_core::wire::Credentials;
    let own = rustix::process::geteuid().as_raw();
    let peer = |uid| Credentials { pid: 1, uid, gid: 1, started: 1 };
    assert!(tif_monitor::local::door::admit(&peer(own)).is_ok());
    assert!(tif_monitor::local::door::admit(&peer(0)).is_ok());
    assert!(matches!(tif_monitor::local::door::admit(&peer(own + 1)), Err(Refusal::Denied { .. })));
}

// spec: SEC-2
#[test]
fn a_second_hello_ends_the_connection() {
    let world = World::new();
    let mut rude = world.socket();
    rude.send_with(ToAgent::Hello(hello(Registration::Importer)), &[]);
    assert!(matches!(rude.next(), Some(ToProcess::Welcome(_))));
    rude.send_with(ToAgent::Hello(hello(Registration::Importer)), &[]);
    assert!(reason(rude.refusal()).contains("one Hello"));
}
