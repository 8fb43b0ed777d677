//! An agent for tests: a Unix socket in a temporary directory, and the messages that a test wants said.
#![allow(dead_code, reason = "each test program uses its own part")]

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread::{JoinHandle, spawn};
use std::time::Duration;

use tif_core::machine::sync::digest;
use tif_core::model::significance::{Significance, Threshold};
use tif_core::model::{
    Alarm, Argument, Cause, Declared, Descriptor, Dimensions, Epoch, Incarnation, InstrumentId, Key, Kind, MemberNumber, NodeId, Number,
    Outage, OutageEnd, OutageId, ProcId, ProcessState, Quality, Report, Role, Stamp, TestPointKind, Value, ValueType, Version, Weight,
};
use tif_core::wire::{
    Announced, Announcement, Envelope, FrameReader, Hello, ListRow, OutageRow, ProcessRow, ReportsEnd, ToAgent, ToProcess, Welcome, encode,
};

/// Long enough for any machine; a test that waits so long has failed.
pub const LONG: Duration = Duration::from_secs(20);

/// The wall clock of tests: 2026-11-20T17:29:26Z.
pub const NOW: Stamp = Stamp(1_795_195_766_000_000_000);

pub struct FakeAgent {
    listener: UnixListener,
    pub key: Key,
}

/// One process at the agent.
pub struct Peer {
    socket: UnixStream,
    reader: FrameReader,
    pub hello: Hello,
    pub own: Key,
    agent: Key,
}

impl FakeAgent {
    /// An agent in its `n`th life.
    pub fn start(dir: &Path, n: u32) -> FakeAgent {
        let path = dir.join("agent.sock");
        let _ = std::fs::remove_file(&path);
        let listener = UnixListener::bind(path).unwrap();
        FakeAgent { listener, key: Key { node: NodeId(1), proc: ProcId(1), inc: Incarnation::new(n, 1) } }
    }

    /// The next connection that says something.
    pub fn hear(&self) -> (UnixStream, FrameReader, Hello) {
        self.hear_or_end().expect("a process comes")
    }

    /// The same; none when the test says that nobody will come any more. Connections that only look whether anybody listens are passed over.
    fn hear_or_end(&self) -> Option<(UnixStream, FrameReader, Hello)> {
        loop {
            let (socket, _) = self.listener.accept().unwrap();
            socket.set_read_timeout(Some(LONG)).unwrap();
            let mut reader = FrameReader::default();
            match next(&socket, &mut reader) {
                Some(Envelope { body: ToAgent::Unregister, from: Key::NONE, .. }) => return None,
                Some(Envelope { body: ToAgent::Hello(hello), from: Key::NONE, .. }) => return Some((socket, reader, hello)),
                Some(other) => panic!("a hello is due, not {other:?}"),
                None => {}
            }
        }
    }

    /// Admits the next process: under the key it resumes, or a new one.
    pub fn accept(&self) -> Peer {
        self.admit(self.hear())
    }

    fn admit(&self, (socket, reader, hello): (UnixStream, FrameReader, Hello)) -> Peer {
        let resumed = hello.resume.is_some();
        let own = hello.resume.map_or(Key { node: NodeId(1), proc: ProcId(50), inc: Incarnation::new(1, 9) }, |r| r.key);
        let welcome = Welcome {
            protocol: 1,
            key: own,
            name: "tif-serve-1".parse().unwrap(),
            agent: self.key,
            cpu: "cpu1".parse().unwrap(),
            role: Role::Importer,
            epoch: Epoch(0),
            resumed,
        };
        let mut peer = Peer { socket, reader, hello, own, agent: self.key };
        peer.send(ToProcess::Welcome(Box::new(welcome)));
        peer
    }

    /// Serves one process in a thread: `answer` is called with each message and says what to send. Yields what was asked, subscriptions included.
    pub fn serve(self, mut answer: impl FnMut(&ToAgent) -> Vec<ToProcess> + Send + 'static) -> JoinHandle<Vec<ToAgent>> {
        spawn(move || {
            let mut asked = Vec::new();
            let Some(heard) = self.hear_or_end() else { return asked };
            let mut peer = self.admit(heard);
            while let Some(message) = peer.next() {
                for reply in answer(&message) {
                    // The process may have gone with its last answer.
                    peer.try_send(reply);
                }
                asked.push(message);
            }
            asked
        })
    }
}

/// Tells an agent that nobody will come any more.
pub fn end(dir: &Path) {
    // It may have served its process already, and be gone.
    if let Ok(mut socket) = UnixStream::connect(dir.join("agent.sock")) {
        let mut frame = Vec::new();
        encode(&Envelope { from: Key::NONE, to: Key::NONE, body: ToAgent::Unregister }, &mut frame).unwrap();
        let _ = socket.write_all(&frame);
    }
}

impl Peer {
    pub fn send(&mut self, body: ToProcess) {
        assert!(self.try_send(body), "the process has gone");
    }

    pub fn try_send(&mut self, body: ToProcess) -> bool {
        let mut frame = Vec::new();
        encode(&Envelope { from: self.agent, to: self.own, body }, &mut frame).unwrap();
        self.socket.write_all(&frame).is_ok()
    }

    /// The next message; none at the end. Both keys are what they must be.
    // spec: PSM-11
    pub fn next(&mut self) -> Option<ToAgent> {
        let envelope = next(&self.socket, &mut self.reader)?;
        assert_eq!((envelope.from, envelope.to), (self.own, self.agent));
        Some(envelope.body)
    }

    pub fn expect(&mut self) -> ToAgent {
        self.next().expect("the process says something")
    }

    /// All of a source: what a subscription is answered.
    pub fn send_source(&mut self, key: Key, instruments: &[(Announcement, u64)]) {
        for message in source(key, instruments) {
            self.send(message);
        }
    }
}

fn next(mut socket: &UnixStream, reader: &mut FrameReader) -> Option<Envelope<ToAgent>> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(envelope) = reader.next().unwrap() {
            return Some(envelope);
        }
        match socket.read(&mut buffer) {
            Ok(0) => return None,
            Ok(n) => reader.push(&buffer[..n]),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => return None,
            Err(e) => panic!("nothing came: {e}"),
        }
    }
}

/// Begin, announcements, reports and end mark.
pub fn source(key: Key, instruments: &[(Announcement, u64)]) -> Vec<ToProcess> {
    let source = instruments[0].0.source.clone();
    let names: Vec<String> = instruments.iter().map(|(a, _)| format!("{}{}", a.name, a.dims)).collect();
    vec![
        ToProcess::ReportsBegin { source: source.clone(), key, relieves: None, last: false },
        ToProcess::Announced(Announced { instruments: instruments.iter().map(|(a, _)| a.clone()).collect() }),
        ToProcess::Reports { reports: instruments.iter().map(|(a, v)| report(a, key, *v)).collect(), coalesced: 0 },
        ToProcess::ReportsEnd(ReportsEnd { source, key, count: names.len() as u64, digest: digest(names.iter().map(String::as_str)) }),
    ]
}

/// The exporter in its `n`th life.
pub fn life(n: u32) -> Key {
    Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation::new(1, n) }
}

pub fn descriptor(path: &str, kind: Kind, value_type: ValueType) -> Descriptor {
    Descriptor {
        help: format!("What {path} tells."),
        declared: Declared { crate_name: "demo".into(), version: "0.1.0".into(), file: "src/demo.rs".into(), line: 12 },
        ..Descriptor::bare(path.parse().unwrap(), kind, value_type)
    }
}

/// A gauge of the service `demo`.
pub fn gauge(id: u64, path: &str) -> Announcement {
    announced(id, descriptor(path, Kind::Gauge, ValueType::U64))
}

pub fn announced(id: u64, descriptor: Descriptor) -> Announcement {
    Announcement {
        instrument: InstrumentId(id),
        source: "demo".parse().unwrap(),
        name: format!("demo.{}", descriptor.path).parse().unwrap(),
        dims: Dimensions::NONE,
        cpu: "cpu1".parse().unwrap(),
        process: "demo-1".parse().unwrap(),
        descriptor,
        version: Version(0),
    }
}

pub fn report(announcement: &Announcement, key: Key, value: u64) -> Report {
    Report {
        instrument: announcement.instrument,
        value: Some(Value::U64(value)),
        quality: Quality::Good,
        key,
        seq: value,
        stamp: Stamp(NOW.0 - 3_000_000_000),
        coalesced: 0,
        alarm: Alarm::Ok,
    }
}

fn field(name: &str, choices: &[&str]) -> Argument {
    let value_type = if choices.is_empty() { ValueType::U64 } else { ValueType::Choice };
    Argument { name: name.into(), value_type, choices: choices.iter().map(ToString::to_string).collect(), range: None }
}

/// The demo's instruments, one of each kind.
pub fn zoo() -> Vec<(Announcement, Report)> {
    let with = |a: Announcement, value: Option<Value>| {
        let report = Report { value, ..report(&a, life(1), 5) };
        (a, report)
    };
    let mut mode = descriptor("mode", Kind::Control { memorized: true, validated: false }, ValueType::Choice);
    mode.choices = vec!["fast".into(), "safe".into()];
    mode.default = Some(Value::Choice(0));
    let mut workers = descriptor("workers", Kind::Control { memorized: false, validated: false }, ValueType::I64);
    (workers.range, workers.step, workers.default) =
        (Some((Number::Whole(-8), Number::Whole(64))), Some(Number::Whole(1)), Some(Value::I64(4)));
    let mut oldest = descriptor("queue.oldest", Kind::Dynamic { every: Duration::from_secs(1) }, ValueType::F64);
    oldest.unit = "s".parse().unwrap();
    let timeout = descriptor("timeout", Kind::Gauge, ValueType::Duration);
    let flush = TestPointKind::Procedure {
        arguments: vec![Argument { name: "limit".into(), value_type: ValueType::U64, choices: vec![], range: None }],
        returns: "u64".into(),
        timeout: Duration::from_secs(5),
        idempotent: false,
    };
    let mut before_write = descriptor(
        "before_write",
        Kind::TestPoint(TestPointKind::InPath { fields: vec![field("size", &[]), field("how", &["fast", "safe"])] }),
        ValueType::U64,
    );
    before_write.help = "Just before a write.\nIts hits are its value.".into();
    before_write.significance = Significance {
        up: Some(Threshold::Absolute(10.0)),
        down: Some(Threshold::Relative(0.05)),
        at_most_every: Some(Duration::from_secs(1)),
        at_least_every: None,
    };
    before_write.limits = tif_core::model::Limits { warn_above: Some(100.0), hysteresis: 5.0, ..Default::default() };
    let mut sharded = gauge(8, "shard.load");
    sharded.dims = Dimensions::new([("shard", "3")]).unwrap();
    let mut solo = gauge(9, "own");
    (solo.source, solo.process) = ("demo-2".parse().unwrap(), "demo-2".parse().unwrap());
    let mut all = vec![
        with(announced(1, descriptor("files", Kind::Counter, ValueType::U64)), Some(Value::U64(1234))),
        with(announced(2, mode), Some(Value::Choice(1))),
        with(announced(3, workers), Some(Value::I64(-5))),
        with(announced(4, oldest), Some(Value::F64(0.25))),
        with(announced(5, timeout), Some(Value::Duration(250_000_000))),
        with(announced(6, descriptor("flush", Kind::TestPoint(flush), ValueType::U64)), None),
        with(announced(7, descriptor("name", Kind::Gauge, ValueType::Text)), Some(Value::Text("a b".into()))),
        with(sharded, Some(Value::U64(7))),
        with(solo, Some(Value::U64(1))),
        with(announced(10, before_write), Some(Value::U64(3))),
    ];
    all[0].1.alarm = Alarm::Warning;
    all[3].1.quality = Quality::Failed { reason: "timed out".into() };
    all[3].1.value = None;
    all[7].1.quality = Quality::Stale { since: Stamp(NOW.0 - 2_000_000_000) };
    all
}

pub fn list_rows() -> Vec<ListRow> {
    zoo().into_iter().map(|(announcement, report)| ListRow { announcement, incarnation: report.key.inc, quality: report.quality }).collect()
}

pub fn outage(end: bool) -> Outage {
    let end = end.then(|| OutageEnd {
        process: "demo-2".parse().unwrap(),
        key: life(2),
        at: Stamp(NOW.0 - 1_000_000_000),
        gap_ms: 37,
        remapped: 9,
        removed: 1,
        added: 0,
        carried: 2,
        counted: true,
    });
    Outage {
        id: OutageId(4),
        cpu: "cpu1".parse().unwrap(),
        source: "demo".parse().unwrap(),
        process: "demo-1".parse().unwrap(),
        key: life(1),
        cause: Cause::Signal { signal: 9, core: false },
        since: Stamp(NOW.0 - 1_037_000_000),
        end,
        found: None,
    }
}

pub fn outage_rows() -> Vec<OutageRow> {
    vec![
        OutageRow { outage: outage(true), lasted_ms: 37, told: 3 },
        OutageRow { outage: Outage { id: OutageId(5), cause: Cause::OutOfMemory, ..outage(false) }, lasted_ms: 75_000, told: 1 },
    ]
}

pub fn process_rows() -> Vec<ProcessRow> {
    let row = ProcessRow {
        name: "demo-1".parse().unwrap(),
        cpu: "cpu1".parse().unwrap(),
        key: life(1),
        state: ProcessState::Dead,
        cause: Some(Cause::Signal { signal: 9, core: true }),
        role: Role::Primary,
        service: Some("demo".parse().unwrap()),
        epoch: Epoch(1),
        number: None,
        weight: None,
        pid: 4711,
        program: "demo 0.1.0".into(),
        since_ms: 3_200,
        instruments: 9,
        subscriptions: 0,
        coalesced: 0,
    };
    let alive = ProcessRow {
        name: "demo-2".parse().unwrap(),
        key: life(2),
        state: ProcessState::Alive,
        cause: None,
        pid: 4712,
        number: Some(MemberNumber(2)),
        weight: Some(Weight(200)),
        ..row.clone()
    };
    vec![row, alive]
}
