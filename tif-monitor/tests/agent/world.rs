//! A real agent in a directory of its own, and clients that are not as polite as the library.

use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use tif_core::model::{Key, Refusal};
use tif_core::wire::{Envelope, FrameReader, Hello, Identity, Registration, ToAgent, ToProcess, Welcome, encode};
use tif_process::fd::send_with_fds;
use tif_process::{Connection, RunDir};

/// Longer than anything takes; only a failed test waits so long.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An agent's directories, and the agent while it runs.
pub struct World {
    pub dir: tempfile::TempDir,
    pub agent: Option<Child>,
    pub args: Vec<String>,
}

impl World {
    /// With a running agent.
    pub fn new() -> World {
        World::with(&[])
    }

    /// With more arguments.
    pub fn with(args: &[&str]) -> World {
        let mut world = World::empty();
        world.args = args.iter().map(|a| (*a).to_owned()).collect();
        world.start();
        world
    }

    /// Without an agent.
    pub fn empty() -> World {
        World { dir: tempfile::tempdir().unwrap(), agent: None, args: vec!["--no-host".into()] }
    }

    pub fn run_dir(&self) -> RunDir {
        RunDir::resolve(Some(&self.dir.path().join("run")))
    }

    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tif-monitor"));
        command.args(["--cpu", "a", "--run-dir"]).arg(self.run_dir().path()).arg("--state-dir").arg(self.state_dir());
        command.args(&self.args).stdin(Stdio::null());
        command
    }

    /// Starts the agent and waits until it listens.
    pub fn start(&mut self) {
        let command = self.command();
        self.start_as(command);
    }

    pub fn start_as(&mut self, mut command: Command) {
        self.agent = Some(command.spawn().unwrap());
        self.await_agent();
    }

    pub fn await_agent(&self) {
        // A socket of a killed agent may still be there: what counts is that somebody answers.
        let deadline = std::time::Instant::now() + PATIENCE;
        while UnixStream::connect(self.run_dir().socket()).is_err() {
            assert!(std::time::Instant::now() < deadline, "no agent");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_raw(self.agent.as_ref().unwrap().id() as i32).unwrap()
    }

    pub fn signal(&mut self, signal: rustix::process::Signal) -> ExitStatus {
        rustix::process::kill_process(self.pid(), signal).unwrap();
        self.agent.take().unwrap().wait().unwrap()
    }

    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
    }

    pub fn socket(&self) -> Rude {
        Rude::new(UnixStream::connect(self.run_dir().socket()).unwrap())
    }

    /// A polite importer.
    pub fn importer(&self, name: &str) -> (Connection, Welcome) {
        let hello = tif_process::hello(Identity::Exactly(name.parse().unwrap()), Registration::Importer, "test", None);
        let pidfd = tif_process::own_pidfd().unwrap();
        let (connection, welcome, _) = Connection::open(&self.run_dir(), hello, &[pidfd.as_fd()], PATIENCE).unwrap();
        (connection, welcome)
    }

    /// Runs the agent to its end and answers its status and what it said.
    pub fn refused(&self) -> (Option<i32>, String) {
        let output = self.command().output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut agent) = self.agent.take() {
            let _ = agent.kill();
            let _ = agent.wait();
        }
    }
}

/// A client that sends what it likes.
pub struct Rude {
    pub socket: UnixStream,
    reader: FrameReader,
}

impl Rude {
    pub fn new(socket: UnixStream) -> Rude {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Rude { socket, reader: FrameReader::default() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // The agent may have closed already.
        let _ = self.socket.write_all(bytes);
    }

    pub fn send_with(&mut self, message: ToAgent, fds: &[BorrowedFd<'_>]) {
        let mut frame = Vec::new();
        encode(&Envelope { from: Key::NONE, to: Key::NONE, body: message }, &mut frame).unwrap();
        assert_eq!(send_with_fds(&self.socket, &frame, fds).unwrap(), frame.len());
    }

    /// The next message; none at the end of the connection.
    pub fn next(&mut self) -> Option<ToProcess> {
        loop {
            if let Some(envelope) = self.reader.next::<Envelope<ToProcess>>().unwrap() {
                return Some(envelope.body);
            }
            let mut buffer = [0; 4096];
            match self.socket.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.reader.push(&buffer[..n]),
                Err(e) if e.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(e) => panic!("the agent neither answers nor closes: {e}"),
            }
        }
    }

    /// The refusal, behind which the connection ends.
    pub fn refusal(&mut self) -> Refusal {
        match self.next() {
            Some(ToProcess::Refused { refusal, .. }) => {
                assert_eq!(self.next(), None, "a refused connection ends");
                refusal
            }
            other => panic!("{other:?}"),
        }
    }
}

pub fn hello(registration: Registration) -> Hello {
    tif_process::hello(Identity::Pick("stranger".parse().unwrap()), registration, "test", None)
}

pub fn exporter(service: &str) -> Registration {
    Registration::Exporter { service: service.parse().unwrap(), grouped: false, weight: tif_core::model::Weight::default() }
}

pub fn memfd(bytes: &[u8]) -> OwnedFd {
    let fd = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC | rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap();
    let mut file = std::fs::File::from(fd);
    file.write_all(bytes).unwrap();
    file.into()
}

pub fn eventfd() -> OwnedFd {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK).unwrap()
}
