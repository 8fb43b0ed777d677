//! The loop, turned by hand: what is at its door, who is dead, and in which order it hears of them.

use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tif::segment::Segment;
use tif_core::layout::Capacity;
use tif_core::limits::REGISTRATIONS_MAX;
use tif_core::model::descriptor::{Descriptor, Kind};
use tif_core::model::{Coarsen, Dimensions, Refusal, ValueType, Weight};
use tif_core::wire::{Credentials, Envelope, FrameReader, Hello, Identity, Registration, ToAgent, ToProcess, encode};
use tif_process::fd::{receive_with_fds, send_with_fds};
use tif_process::{RunDir, peer};

use super::*;
use crate::fabric::MemFabric;
use crate::local::Guest;
use crate::store::Memory;

const PATIENCE: Duration = Duration::from_secs(20);

/// An agent whose loop this test turns.
struct World {
    shell: Shell,
    _dir: tempfile::TempDir,
}

impl World {
    fn new() -> World {
        let dir = tempfile::tempdir().unwrap();
        let run_dir = RunDir::resolve(Some(dir.path()));
        let shell = Shell::start(Setup {
            cpu: "a".parse().unwrap(),
            store: Box::new(Memory::default()),
            store_is_new: true,
            supervisor: Supervisor::new(BTreeMap::new(), run_dir.path(), dir.path()),
            run_dir,
            policies: Vec::new(),
            voters: Vec::new(),
            fabric: Box::new(MemFabric::default()),
            signals: None,
        });
        World { shell: shell.unwrap(), _dir: dir }
    }

    /// A connection of the process with these credentials, as if it had just been accepted.
    fn connect(&mut self, credentials: Credentials) -> Client {
        let (ours, theirs) = UnixStream::pair().unwrap();
        for end in [&ours, &theirs] {
            end.set_nonblocking(true).unwrap();
        }
        let conn = Conn(self.shell.conn_last + 1);
        self.shell.conn_last = conn.0;
        let token = self.shell.sources.add(&ours, Source::Conn(conn)).unwrap();
        self.shell.connections.insert(conn, Connection::new(conn, token, ours, credentials, now().time));
        Client { conn, socket: theirs, reader: FrameReader::default(), key: Key::NONE, agent: self.shell.own, fds: Vec::new() }
    }

    /// Turns the loop until this client is told something.
    fn hear(&mut self, client: &mut Client) -> ToProcess {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(message) = client.next() {
                return message;
            }
            assert!(Instant::now() < deadline, "nothing is told");
            self.shell.turn(Some(PATIENCE)).unwrap();
        }
    }

    /// The same, until it is told that of which `pick` makes something.
    fn until<T>(&mut self, client: &mut Client, mut pick: impl FnMut(ToProcess) -> Option<T>) -> T {
        loop {
            if let Some(picked) = pick(self.hear(client)) {
                return picked;
            }
        }
    }

    fn register(&mut self, client: &mut Client, hello: Hello, fds: &[BorrowedFd<'_>]) -> Result<Key, Refusal> {
        client.say(ToAgent::Hello(hello), fds);
        match self.hear(client) {
            ToProcess::Welcome(welcome) => {
                client.key = welcome.key;
                Ok(welcome.key)
            }
            ToProcess::Refused { refusal, .. } => Err(refusal),
            other => panic!("{other:?}"),
        }
    }
}

struct Client {
    conn: Conn,
    socket: UnixStream,
    reader: FrameReader,
    key: Key,
    agent: Key,
    /// What came with the welcome.
    fds: Vec<OwnedFd>,
}

impl Client {
    fn say(&self, body: ToAgent, fds: &[BorrowedFd<'_>]) {
        let mut frame = Vec::new();
        encode(&Envelope { from: self.key, to: self.agent, body }, &mut frame).unwrap();
        assert_eq!(send_with_fds(&self.socket, &frame, fds), Ok(frame.len()));
    }

    fn next(&mut self) -> Option<ToProcess> {
        let mut buffer = [0; 4096];
        while let Ok(n @ 1..) = receive_with_fds(&self.socket, &mut buffer, &mut self.fds) {
            self.reader.push(&buffer[..n]);
        }
        self.reader.next::<Envelope<ToProcess>>().unwrap().map(|e| e.body)
    }
}

/// A process that lives until it is killed.
fn cat() -> (Child, Credentials) {
    let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let credentials = Credentials { pid: child.id(), started: peer::started(child.id()).unwrap(), ..own() };
    (child, credentials)
}

fn own() -> Credentials {
    peer::credentials(UnixStream::pair().unwrap().0).unwrap()
}

fn hello(name: &str, registration: Registration) -> Hello {
    tif_process::hello(Identity::Exactly(name.parse().unwrap()), registration, "test", None)
}

// spec: PSM-8, PSM-5
#[test]
fn a_successor_does_not_meet_its_dead_predecessor_as_alive() {
    let mut world = World::new();
    let ((mut first, first_is), (mut second, second_is)) = (cat(), cat());
    let mut before = world.connect(first_is);
    let key = world.register(&mut before, hello("orders", Registration::Importer), &[]).unwrap();
    let mut after = world.connect(second_is);
    after.say(ToAgent::Hello(hello("orders", Registration::Importer)), &[]);
    first.kill().unwrap();
    first.wait().unwrap();
    // The predecessor's end is heard of in no turn of its own: its successor is read at once.
    world.shell.read(after.conn);
    match world.hear(&mut after) {
        ToProcess::Welcome(welcome) => assert!(welcome.key.proc == key.proc && welcome.key.inc > key.inc),
        other => panic!("{other:?}"),
    }
    second.kill().unwrap();
    second.wait().unwrap();
}

// spec: PSM-1, PSM-8
#[test]
fn a_process_that_has_executed_itself_does_not_meet_its_former_self() {
    let mut world = World::new();
    let mut before = world.connect(own());
    let key = world.register(&mut before, hello("orders", Registration::Importer), &[]).unwrap();
    // The hang-up is known, and its grace is not over: the clock that ends it is not looked at here.
    let (conn, mut after) = (before.conn, world.connect(own()));
    drop(before);
    after.say(ToAgent::Hello(hello("orders", Registration::Importer)), &[]);
    world.shell.read(conn);
    assert_eq!(world.shell.hangups.len(), 1);
    world.shell.read(after.conn);
    assert!(world.shell.hangups.is_empty());
    match world.hear(&mut after) {
        ToProcess::Welcome(welcome) => assert!(welcome.key.inc > key.inc),
        other => panic!("{other:?}"),
    }
}

// spec: SEC-2, SEC-3
#[test]
fn one_process_can_register_so_often_and_no_more() {
    let mut world = World::new();
    let mut hellos = Vec::new();
    for i in 0..REGISTRATIONS_MAX {
        // Half of them lose their connection at once; what they hold counts all the same.
        let mut client = world.connect(own());
        let hello = hello(&format!("p-{i}"), Registration::Importer);
        let key = world.register(&mut client, hello.clone(), &[]).unwrap();
        hellos.push((hello, key, (i % 2 == 0).then_some(client)));
    }
    let mut one_more = world.connect(own());
    let refused = world.register(&mut one_more, hello("one-more", Registration::Importer), &[]);
    assert!(matches!(refused, Err(Refusal::TooMany { max: 64, .. })), "{refused:?}");
    let (resumes, key, _) = hellos.remove(1);
    let mut again = world.connect(own());
    let resumed = world.register(&mut again, Hello { resume: Some(tif_core::wire::Resume { key }), ..resumes }, &[]);
    assert_eq!(resumed, Ok(key), "what it has it may come back for");
    let (mut other, other_is) = cat();
    let mut another = world.connect(other_is);
    assert!(world.register(&mut another, hello("another", Registration::Importer), &[]).is_ok(), "another process");
    other.kill().unwrap();
    other.wait().unwrap();
}

// spec: PSM-5
#[test]
fn a_process_that_the_poll_cannot_take_is_kept_so_that_the_scan_sees_its_end() {
    let mut world = World::new();
    let mut client = world.connect(own());
    let key = world.register(&mut client, hello("orders", Registration::Importer), &[]).unwrap();
    // No poll takes a plain file.
    let file: OwnedFd = tempfile::tempfile().unwrap().into();
    let again = world.connect(own());
    let guest = Guest { credentials: own(), pidfd: file, attachment: None };
    let connection = world.shell.connections.get_mut(&again.conn).unwrap();
    (connection.guest, connection.known) = (Some(guest), true);
    let welcome = ToProcess::Ping { nonce: 1 };
    let (epoch, controls) = (tif_core::model::Epoch(0), Vec::new());
    world.shell.do_output(tif_core::agent::io::Output::Admit {
        conn: again.conn,
        key,
        elsewhere: false,
        epoch,
        controls,
        welcome: Box::new(welcome),
    });
    assert!(!world.shell.connections.contains_key(&again.conn), "it is cut");
    let process = &world.shell.processes[&key];
    assert!(process.token.is_none() && process.conn.is_none() && process.exporter.is_none());
}

// spec: SEC-2, MON-6
#[test]
fn an_exporter_is_looked_at_once_for_all_that_it_said_in_one_breath() {
    let mut world = World::new();
    let segment = Segment::create(&"orders".parse().unwrap(), Capacity::default()).unwrap();
    let mut client = world.connect(own());
    let pidfd = tif_process::own_pidfd().unwrap();
    let exporter =
        hello("orders-1", Registration::Exporter { service: "orders".parse().unwrap(), grouped: false, weight: Weight::default() });
    world.register(&mut client, exporter, &[segment.fd(), segment.bell(), pidfd.as_fd()]).unwrap();
    let mut breath = Vec::new();
    for nonce in 0..500 {
        encode(&Envelope { from: client.key, to: client.agent, body: ToAgent::Pong { nonce } }, &mut breath).unwrap();
    }
    for looks in 1..=2 {
        let before = world.shell.figures.sweeps;
        client.socket.write_all(&breath).unwrap();
        world.shell.read(client.conn);
        assert_eq!(world.shell.figures.sweeps - before, 1, "the look at portion {looks}");
    }
}

// spec: OUT-4, GRP-5
#[test]
fn what_a_successor_declares_before_it_says_that_it_has_taken_over_is_not_missed() {
    let mut world = World::new();
    let (mut primary, primary_is) = cat();
    let orders = || Registration::Exporter { service: "orders".parse().unwrap(), grouped: true, weight: Weight::default() };
    let pidfds = [peer::open_pidfd(&primary_is).unwrap(), tif_process::own_pidfd().unwrap()];
    let segments = [(); 2].map(|()| Segment::create(&"orders".parse().unwrap(), Capacity::default()).unwrap());
    let depth = Descriptor { help: "Orders.".into(), ..Descriptor::bare("depth".parse().unwrap(), Kind::Gauge, ValueType::U64) };
    segments[0].declare(&depth, &Dimensions::NONE).unwrap();
    let mut members = [primary_is, own()].map(|credentials| world.connect(credentials));
    for (at, member) in members.iter_mut().enumerate() {
        let fds = [segments[at].fd(), segments[at].bell(), pidfds[at].as_fd()];
        world.register(member, hello(&format!("orders-{at}"), orders()), &fds).unwrap();
        segments[at].attach_board(member.fds.remove(0)).unwrap();
        member.say(ToAgent::Ready, &[]);
    }
    let [_, mut standby] = members;
    let mut importer = world.connect(own());
    world.register(&mut importer, hello("watcher", Registration::Importer), &[]).unwrap();
    let pattern = "*.depth".parse().unwrap();
    importer.say(ToAgent::Subscribe { subscription: 1, pattern, coarsen: Coarsen::default() }, &[]);
    world.until(&mut importer, |m| matches!(m, ToProcess::ReportsEnd(_)).then_some(()));

    primary.kill().unwrap();
    primary.wait().unwrap();
    let epoch = world.until(&mut standby, |m| if let ToProcess::Promote { epoch } = m { Some(epoch) } else { None });
    // Its bell has not been heard when it speaks.
    segments[1].declare(&depth, &Dimensions::NONE).unwrap();
    standby.say(ToAgent::Promoted { epoch }, &[]);
    world.shell.read(standby.conn);
    let end = world.until(&mut importer, |m| if let ToProcess::Outage(outage) = m { outage.end } else { None });
    assert_eq!((end.process.as_str(), end.remapped, end.removed, end.added), ("orders-1", 1, 0, 0));
}
