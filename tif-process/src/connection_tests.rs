//! A connection against an agent that is a thread with a real socket.

use std::io::Write;
use std::os::unix::net::UnixListener;
use std::thread;

use super::*;
use tif_core::model::{Epoch, Incarnation, NodeId, ProcId, Refusal, Role};
use tif_core::wire::{Identity, Registration};

const SECOND: Duration = Duration::from_secs(1);
const OWN: Key = Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation(9) };
const AGENT: Key = Key { node: NodeId(1), proc: ProcId(1), inc: Incarnation(3) };

fn hello() -> Hello {
    crate::hello(Identity::Exactly("orders".parse().unwrap()), Registration::Importer, "test 1", None)
}

fn welcome() -> Welcome {
    Welcome {
        protocol: 1,
        key: OWN,
        name: "orders".parse().unwrap(),
        agent: AGENT,
        cpu: "cpu1".parse().unwrap(),
        role: Role::Importer,
        epoch: Epoch(0),
        resumed: false,
    }
}

/// The agent's end: reads whole envelopes, sends envelopes.
struct Peer {
    socket: UnixStream,
    reader: FrameReader,
    fds: Vec<OwnedFd>,
}

impl Peer {
    fn new(socket: UnixStream) -> Peer {
        Peer { socket, reader: FrameReader::default(), fds: Vec::new() }
    }

    fn next(&mut self) -> Envelope<ToAgent> {
        loop {
            if let Some(envelope) = self.reader.next().unwrap() {
                return envelope;
            }
            wait(&self.socket, PollFlags::IN, Deadline::after(10 * SECOND)).unwrap();
            let mut buffer = [0; 1024];
            let n = receive_with_fds(&self.socket, &mut buffer, &mut self.fds).unwrap();
            assert_ne!(n, 0, "closed");
            self.reader.push(&buffer[..n]);
        }
    }

    fn say(&mut self, to: Key, body: ToProcess, fds: &[BorrowedFd<'_>]) {
        let mut frame = Vec::new();
        encode(&Envelope { from: AGENT, to, body }, &mut frame).unwrap();
        send_all(&self.socket, &frame, fds, Deadline::after(SECOND)).unwrap();
    }
}

/// A connected pair; the agent's end has said its welcome.
fn connected() -> (Connection, Peer) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let agent = thread::spawn(move || {
        let mut peer = Peer::new(theirs);
        assert!(matches!(peer.next(), Envelope { from: Key::NONE, to: Key::NONE, body: ToAgent::Hello(_) }));
        peer.say(OWN, ToProcess::Welcome(Box::new(welcome())), &[]);
        peer
    });
    let (connection, got, fds) = Connection::greet(ours, hello(), &[], Deadline::after(10 * SECOND)).unwrap();
    assert_eq!((got, fds.len()), (welcome(), 0));
    (connection, agent.join().unwrap())
}

#[test]
fn hello_takes_descriptors_there_and_the_welcome_brings_one_back() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::resolve(Some(dir.path()));
    let listener = UnixListener::bind(run_dir.socket()).unwrap();
    let agent = thread::spawn(move || {
        let mut peer = Peer::new(listener.accept().unwrap().0);
        peer.next();
        let back = peer.fds.pop().unwrap();
        assert_eq!(peer.fds.len(), 2);
        peer.say(Key::NONE, ToProcess::Welcome(Box::new(welcome())), &[back.as_fd()]);
        // Frames right behind the welcome are not lost.
        peer.say(OWN, ToProcess::Apply, &[]);
        peer
    });
    let bell = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let fd = bell.as_fd();
    let (mut connection, _, fds) = Connection::open(&run_dir, hello(), &[fd, fd, fd], 10 * SECOND).unwrap();
    assert_eq!(fds.len(), 1);
    assert_eq!(connection.receive(Some(10 * SECOND)).unwrap(), Some(ToProcess::Apply));
    drop(agent.join().unwrap());
    assert!(matches!(connection.receive(Some(SECOND)), Err(ConnectError::Closed)));
}

#[test]
fn without_an_agent_the_error_says_how_to_start_one() {
    let dir = tempfile::tempdir().unwrap();
    let run_dir = RunDir::resolve(Some(dir.path()));
    let error = Connection::open(&run_dir, hello(), &[], SECOND).unwrap_err();
    assert!(matches!(error, ConnectError::NoAgent { .. }));
    let text = error.to_string();
    assert!(text.contains(&format!("--run-dir {}", dir.path().display())) && text.contains("TIF_RUN_DIR"), "{text}");
    // The same for the socket of an agent that is dead.
    drop(UnixListener::bind(run_dir.socket()).unwrap());
    assert!(matches!(Connection::open(&run_dir, hello(), &[], SECOND), Err(ConnectError::NoAgent { .. })));
}

#[test]
fn a_refusal_comes_out_as_such_and_silence_times_out() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    let refusal = Refusal::Denied { reason: "no".into() };
    let mut peer = Peer::new(theirs);
    peer.say(Key::NONE, ToProcess::Refused { req: 0, refusal: refusal.clone() }, &[]);
    match Connection::greet(ours, hello(), &[], Deadline::after(SECOND)) {
        Err(ConnectError::Refused(got)) => assert_eq!(got, refusal),
        other => panic!("{other:?}"),
    }
    let (ours, _theirs) = UnixStream::pair().unwrap();
    let silent = Connection::greet(ours, hello(), &[], Deadline::after(Duration::from_millis(20)));
    assert!(matches!(silent, Err(ConnectError::TimedOut)));
}

#[test]
fn bytes_that_are_no_message_end_the_conversation() {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    theirs.write_all(&[0xff; 64]).unwrap();
    assert!(matches!(Connection::greet(ours, hello(), &[], Deadline::after(SECOND)), Err(ConnectError::Protocol(_))));
    let (mut connection, mut peer) = connected();
    peer.socket.write_all(&[3, 0, 0, 0, 0xc1, 0xc1, 0xc1]).unwrap();
    assert!(matches!(connection.receive(Some(SECOND)), Err(ConnectError::Protocol(_))));
}

// spec: PSM-7, PSM-11
#[test]
fn messages_for_another_key_are_dropped_and_counted_and_ours_name_both_keys() {
    let (mut connection, mut peer) = connected();
    let before = Key { inc: Incarnation(8), ..OWN };
    peer.say(before, ToProcess::Apply, &[]);
    peer.say(Key::NONE, ToProcess::Apply, &[]);
    peer.say(OWN, ToProcess::Ping { nonce: 4 }, &[]);
    assert_eq!(connection.receive(Some(10 * SECOND)).unwrap(), Some(ToProcess::Ping { nonce: 4 }));
    assert_eq!(connection.misaddressed(), 2);
    assert_eq!(connection.try_receive().unwrap(), None);
    connection.sender().send(ToAgent::Pong { nonce: 4 }).unwrap();
    assert_eq!(peer.next(), Envelope { from: OWN, to: AGENT, body: ToAgent::Pong { nonce: 4 } });
}

#[test]
fn frames_of_many_threads_go_whole() {
    let (connection, mut peer) = connected();
    let threads: Vec<_> = (0..4u64)
        .map(|t| {
            let sender = connection.sender();
            thread::spawn(move || (0..500).for_each(|i| sender.send(ToAgent::Pong { nonce: t * 1000 + i }).unwrap()))
        })
        .collect();
    let mut next = [0u64; 4];
    for _ in 0..2000 {
        let ToAgent::Pong { nonce } = peer.next().body else { panic!("only pongs were sent") };
        let (t, i) = ((nonce / 1000) as usize, nonce % 1000);
        assert_eq!(i, next[t]);
        next[t] += 1;
    }
    threads.into_iter().for_each(|t| t.join().unwrap());
}

#[test]
fn a_receiver_without_a_message_waits_and_says_so_and_close_wakes_it() {
    let (mut connection, _peer) = connected();
    assert_eq!(connection.receive(Some(Duration::from_millis(5))).unwrap(), None);
    let sender = connection.sender();
    let receiver = thread::spawn(move || connection.receive(None));
    sender.close();
    assert!(matches!(receiver.join().unwrap(), Err(ConnectError::Closed)));
    assert!(matches!(sender.send(ToAgent::Ready), Err(ConnectError::Closed)));
}
