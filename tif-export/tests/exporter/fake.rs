//! An agent played by a test: the real socket, the real segment, no decisions of its own.

use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use tif::segment::Attachment;
use tif_core::agent::io::{ControlValue, TableChange};
use tif_core::model::{Descriptor, Epoch, Incarnation, Key, NodeId, ProcId, Refusal, Role, Slot, Value};
use tif_core::wire::{Envelope, FrameReader, Hello, ToAgent, ToProcess, Welcome, encode};
use tif_process::fd::{receive_with_fds, send_with_fds};

/// Longer than anything here takes, shorter than a person's patience.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct FakeAgent {
    listener: UnixListener,
}

/// One process, after its `Hello`.
pub struct Peer {
    socket: UnixStream,
    reader: FrameReader,
    pub hello: Hello,
    pub attachment: Attachment,
    table: BTreeMap<String, (Slot, Descriptor)>,
    key: Key,
}

const AGENT: Key = Key { node: NodeId(1), proc: ProcId(1), inc: Incarnation(1) };

pub fn key(incarnation: u64) -> Key {
    Key { node: NodeId(1), proc: ProcId(7), inc: Incarnation(incarnation) }
}

impl FakeAgent {
    pub fn at(run_dir: &Path) -> FakeAgent {
        let path = run_dir.join("agent.sock");
        let _ = std::fs::remove_file(&path);
        FakeAgent { listener: UnixListener::bind(path).unwrap() }
    }

    /// The next process that says hello. Whoever only looks whether somebody listens is passed over.
    pub fn accept(&self) -> Peer {
        self.accept_from(std::process::id())
    }

    /// The same from another process than the test's.
    pub fn accept_from(&self, pid: u32) -> Peer {
        let until = Instant::now() + PATIENCE;
        loop {
            wait(self.listener.as_fd(), until);
            let (socket, _) = self.listener.accept().unwrap();
            let (mut reader, mut fds) = (FrameReader::default(), Vec::new());
            let Some(envelope) = next(&socket, &mut reader, &mut fds, until) else { continue };
            let ToAgent::Hello(hello) = envelope.body else { panic!("not a hello: {envelope:?}") };
            assert_eq!(envelope.from, Key::NONE);
            assert_eq!(fds.len(), 3, "segment, doorbell, pidfd");
            let pidfd = fds.pop().unwrap();
            assert_eq!(tif_process::peer::pidfd_pid(&pidfd).unwrap(), pid);
            let bell = fds.pop().unwrap();
            let attachment = Attachment::open(fds.pop().unwrap(), bell).unwrap();
            let mut peer = Peer { socket, reader, hello, attachment, table: BTreeMap::new(), key: Key::NONE };
            let scanned = peer.attachment.scan();
            peer.take(scanned);
            return peer;
        }
    }
}

impl Peer {
    fn take(&mut self, changes: Vec<TableChange>) {
        for change in changes {
            match change {
                TableChange::Declared(d) => {
                    self.table.insert(format!("{}{}", d.descriptor.path, d.dims), (d.slot, d.descriptor));
                }
                TableChange::Withdrawn(slot) => self.table.retain(|_, (s, _)| *s != slot),
            }
        }
    }

    pub fn welcome(&mut self, key: Key, role: Role, epoch: u64, controls: &[(&str, u64, Value)]) {
        let controls: Vec<ControlValue> = controls.iter().map(|(name, version, value)| self.control_value(name, *version, value)).collect();
        let board: OwnedFd = self.attachment.create_board(key, Epoch(epoch), &controls).unwrap().try_clone_to_owned().unwrap();
        let welcome = Welcome {
            protocol: 1,
            key,
            name: "fake-1".parse().unwrap(),
            agent: AGENT,
            cpu: "cpu1".parse().unwrap(),
            role,
            epoch: Epoch(epoch),
            resumed: self.hello.resume.is_some(),
        };
        self.key = key;
        self.send_with(ToProcess::Welcome(Box::new(welcome)), &[board.as_fd()]);
    }

    fn control_value(&self, name: &str, version: u64, value: &Value) -> ControlValue {
        ControlValue { slot: self.slot(name), version: tif_core::model::Version(version), value: value.clone() }
    }

    /// Changes a control on the board and says so.
    pub fn set(&mut self, name: &str, version: u64, value: Value) {
        let control = self.control_value(name, version, &value);
        assert!(self.attachment.control(&control));
        self.send(ToProcess::Apply);
    }

    pub fn refuse(&mut self, refusal: Refusal) {
        self.send(ToProcess::Refused { req: 0, refusal });
    }

    pub fn send(&mut self, body: ToProcess) {
        self.send_with(body, &[]);
    }

    fn send_with(&mut self, body: ToProcess, fds: &[BorrowedFd<'_>]) {
        let mut frame = Vec::new();
        encode(&Envelope { from: AGENT, to: self.key, body }, &mut frame).unwrap();
        let sent = send_with_fds(&self.socket, &frame, fds).unwrap();
        assert_eq!(sent, frame.len());
    }

    /// The next message; none: the process has closed the connection.
    pub fn next(&mut self) -> Option<ToAgent> {
        let envelope = next(&self.socket, &mut self.reader, &mut Vec::new(), Instant::now() + PATIENCE)?;
        assert_eq!((envelope.from, envelope.to), (self.key, AGENT), "each message names both keys");
        Some(envelope.body)
    }

    pub fn expect(&mut self, expected: ToAgent) {
        assert_eq!(self.next(), Some(expected));
    }

    /// Looks at the segment until `done` yields something.
    pub fn until<R>(&mut self, mut done: impl FnMut(&mut Peer) -> Option<R>) -> R {
        let until = Instant::now() + PATIENCE;
        loop {
            let swept = self.attachment.sweep();
            self.take(swept.table);
            if let Some(result) = done(self) {
                return result;
            }
            if self.attachment.arm() {
                wait(self.attachment.bell(), until);
                let _ = rustix::io::read(self.attachment.bell(), &mut [0u8; 8]);
            }
        }
    }

    pub fn slot(&self, name: &str) -> Slot {
        self.find(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.table.keys())).0
    }

    pub fn find(&self, name: &str) -> Option<&(Slot, Descriptor)> {
        self.table.get(name)
    }

    pub fn value(&mut self, name: &str) -> Value {
        let slot = self.slot(name);
        self.attachment.sample(slot).unwrap().unwrap()
    }
}

fn next(socket: &UnixStream, reader: &mut FrameReader, fds: &mut Vec<OwnedFd>, until: Instant) -> Option<Envelope<ToAgent>> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(envelope) = reader.next().unwrap() {
            return Some(envelope);
        }
        wait(socket.as_fd(), until);
        match receive_with_fds(socket, &mut buffer, fds) {
            Ok(0) | Err(Errno::CONNRESET) => return None,
            Ok(n) => reader.push(&buffer[..n]),
            Err(Errno::AGAIN) => {}
            Err(e) => panic!("{e}"),
        }
    }
}

fn wait(fd: BorrowedFd<'_>, until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    assert_ne!(poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&timeout)).unwrap(), 0, "nothing came");
}
