//! Processes of a service for these tests: this test binary itself, started again. They export one indicator, `SERVICE.depth`, and do as they are told.

use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};

use rustix::event::{PollFd, PollFlags, poll};
use tif::segment::Segment;
use tif_core::model::descriptor::{Descriptor, Kind};
use tif_core::model::{Dimensions, Key, ValueType};
use tif_core::wire::{Identity, Registration, Resume, ToAgent, ToProcess};
use tif_process::{ConnectError, Connection, RunDir, wait_for_agent};

use crate::world::{PATIENCE, World};

const TEST: &str = "child::a_child_does_as_it_is_told";

/// A running child. Killed when dropped.
pub struct Exporter {
    pub child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// How to start this binary as a child.
pub fn command(name: &str, grouped: bool) -> (Vec<String>, Vec<(&'static str, String)>) {
    let exe = std::env::current_exe().unwrap().display().to_string();
    let command = [&exe, TEST, "--exact", "--nocapture"].map(str::to_owned).to_vec();
    let env =
        vec![("TIF_CHILD", name.to_owned()), ("TIF_CHILD_GROUPED", grouped.to_string()), ("TIF_CHILD_OF", std::process::id().to_string())];
    (command, env)
}

impl Exporter {
    /// Starts one and waits until it has a key.
    pub fn start(world: &World, name: &str) -> (Exporter, Key) {
        Exporter::start_as(world, name, false)
    }

    /// The same, as a member of the service's group or not.
    pub fn start_as(world: &World, name: &str, grouped: bool) -> (Exporter, Key) {
        let (command, env) = command(name, grouped);
        let mut child = Command::new(&command[0])
            .args(&command[1..])
            .envs(env)
            .env("TIF_RUN_DIR", world.run_dir().path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut exporter = Exporter { child, stdin, stdout };
        let key = exporter.key();
        (exporter, key)
    }

    pub fn tell(&mut self, what: &str) {
        writeln!(self.stdin, "{what}").unwrap();
    }

    /// The key that it got with its next registration.
    pub fn key(&mut self) -> Key {
        self.said("key ")
    }

    /// The rest of the next line that begins so.
    pub fn said(&mut self, prefix: &str) -> Key {
        loop {
            let mut line = String::new();
            assert_ne!(self.stdout.read_line(&mut line).unwrap(), 0, "the child ended without saying {prefix:?}");
            if let Some(rest) = line.trim().strip_prefix("child: ").and_then(|l| l.strip_prefix(prefix)) {
                let mut numbers = rest.split(' ').map(|n| n.parse::<u64>().unwrap());
                let mut next = || numbers.next().unwrap();
                return Key {
                    node: tif_core::model::NodeId(next() as u32),
                    proc: tif_core::model::ProcId(next()),
                    inc: tif_core::model::Incarnation(next()),
                };
            }
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.child), signal).unwrap();
    }

    pub fn kill(&mut self) {
        self.signal(rustix::process::Signal::KILL);
        self.child.wait().unwrap();
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_child_does_as_it_is_told() {
    if let Ok(name) = std::env::var("TIF_CHILD") {
        run(&name, std::env::var("TIF_CHILD_GROUPED").is_ok_and(|g| g == "true"));
    }
}

fn run(name: &str, grouped: bool) {
    end_with_the_test();
    let service = name.split('-').next().unwrap().parse().unwrap();
    let segment = Segment::create(&service, tif_core::layout::Capacity::default()).unwrap();
    let place = segment.declare(&depth(), &Dimensions::NONE).unwrap();
    let cell = segment.scalar(&place);
    cell.store(1, |_| true);
    let sender = std::sync::Arc::new(Mutex::new(None));
    {
        let (segment, sender, name) = (segment.clone(), sender.clone(), name.to_owned());
        std::thread::spawn(move || {
            // A child that cannot serve must not keep its test waiting.
            let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| serve(&segment, &name, grouped, &sender)));
            std::process::exit(98);
        });
    }
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let (word, rest) = line.split_once(' ').unwrap_or((&line, ""));
        match word {
            "set" => {
                let bits = rest.parse().unwrap();
                cell.store(bits, |sent| sent != bits);
            }
            "hot" => loop {
                let bits = cell.load() + 1;
                cell.store(bits, |sent| sent != bits);
            },
            "ring" => loop {
                let _ = rustix::io::write(segment.bell(), &1u64.to_le_bytes());
            },
            "leave" => {
                let sender: &Option<tif_process::Sender> = &sender.lock().unwrap();
                sender.as_ref().unwrap().send(ToAgent::Unregister).unwrap();
            }
            "exit" => std::process::exit(rest.parse().unwrap()),
            other => panic!("{other}?"),
        }
    }
    // Launched by an agent: nobody tells it anything.
    loop {
        std::thread::park();
    }
}

/// No child outlives the test, however that ends.
fn end_with_the_test() {
    let test = std::env::var("TIF_CHILD_OF").unwrap().parse().unwrap();
    let pid = rustix::process::Pid::from_raw(test).unwrap();
    let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty());
    std::thread::spawn(move || {
        if let Ok(pidfd) = pidfd {
            let _ = poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None);
        }
        std::process::exit(99);
    });
}

fn serve(segment: &Segment, name: &str, grouped: bool, sender: &Mutex<Option<tif_process::Sender>>) {
    let run_dir = RunDir::resolve(None);
    let registration = Registration::Exporter { service: segment.service().clone(), grouped, weight: tif_core::model::Weight::default() };
    let mut hello = tif_process::hello(Identity::Pick(name.parse().unwrap()), registration, "child", None);
    if name.contains('-') {
        hello.identity = Identity::Exactly(name.parse().unwrap());
    }
    let pidfd = tif_process::own_pidfd().unwrap();
    loop {
        assert!(wait_for_agent(&run_dir, PATIENCE, None), "no agent");
        let fds = [segment.fd(), segment.bell(), pidfd.as_fd()];
        let (mut connection, welcome, board) = match Connection::open(&run_dir, hello.clone(), &fds, PATIENCE) {
            Ok(opened) => opened,
            Err(ConnectError::Refused(refusal)) => panic!("refused: {refusal}"),
            Err(_) => {
                // An agent that was just killed still has its socket's file.
                std::thread::sleep(std::time::Duration::from_millis(5));
                continue;
            }
        };
        segment.attach_board(board.into_iter().next().unwrap()).unwrap();
        hello.resume = Some(Resume { key: welcome.key });
        hello.identity = Identity::Exactly(welcome.name.clone());
        let send = connection.sender();
        send.send(ToAgent::Ready).unwrap();
        *sender.lock().unwrap() = Some(send.clone());
        println!("child: key {} {} {}", welcome.key.node.0, welcome.key.proc.0, welcome.key.inc.0);
        while let Ok(message) = connection.receive(None) {
            let _ = match message {
                Some(ToProcess::Ping { nonce }) => send.send(ToAgent::Pong { nonce }),
                Some(ToProcess::Promote { epoch }) => send.send(ToAgent::Promoted { epoch }),
                _ => Ok(()),
            };
        }
    }
}

fn depth() -> Descriptor {
    Descriptor { help: "What the test set.".into(), ..Descriptor::bare("depth".parse().unwrap(), Kind::Gauge, ValueType::U64) }
}

/// An importer that keeps all it hears, on a thread of its own.
pub struct Importer {
    pub sender: tif_process::Sender,
    heard: Receiver<ToProcess>,
}

impl Importer {
    pub fn new(world: &World, name: &str) -> Importer {
        let (mut connection, _) = world.importer(name);
        let sender = connection.sender();
        let (tell, heard): (Sender<ToProcess>, _) = channel();
        let pong = sender.clone();
        std::thread::spawn(move || {
            while let Ok(Some(message)) = connection.receive(None) {
                if let ToProcess::Ping { nonce } = message {
                    let _ = pong.send(ToAgent::Pong { nonce });
                } else if tell.send(message).is_err() {
                    return;
                }
            }
        });
        Importer { sender, heard }
    }

    pub fn send(&self, message: ToAgent) {
        self.sender.send(message).unwrap();
    }

    /// The first message from now on of which `pick` makes something.
    pub fn hear<T>(&self, what: &str, mut pick: impl FnMut(ToProcess) -> Option<T>) -> T {
        let until = std::time::Instant::now() + PATIENCE;
        loop {
            let left = until.saturating_duration_since(std::time::Instant::now());
            match self.heard.recv_timeout(left) {
                Ok(message) => {
                    if let Some(found) = pick(message) {
                        return found;
                    }
                }
                Err(e) => panic!("did not hear {what}: {e}"),
            }
        }
    }
}
