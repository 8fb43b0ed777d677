//! An agent, services and importers in a fresh directory; everything ends with it.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use serde_json::Value;
use tempfile::TempDir;

use crate::process::{PATIENCE, Process};

/// What one call of `tif-serve` gave.
#[derive(Debug)]
pub struct Said {
    /// Its exit status.
    pub status: i32,
    /// Its standard output.
    pub out: String,
    /// Its standard error.
    pub err: String,
}

impl Said {
    /// Its standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Its standard output as JSON documents, one a line.
    pub fn rows(&self) -> Vec<Value> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap_or_else(|e| panic!("{e}: {l}"))).collect()
    }

    /// It must have ended with this status.
    #[track_caller]
    pub fn must(self, status: i32) -> Said {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }
}

/// One CPU of the tests' own.
pub struct World {
    fixture: PathBuf,
    cpu: String,
    dir: TempDir,
}

impl World {
    /// An empty one. `fixture` is the path of the binary `tif-fixture`.
    pub fn new(fixture: &str) -> World {
        World::named(fixture, "cpu1")
    }

    /// An empty one, called so.
    pub fn named(fixture: &str, cpu: &str) -> World {
        let dir = tempfile::Builder::new().prefix("tif-test-").tempdir().expect("a directory for the test");
        World { fixture: fixture.into(), cpu: cpu.to_owned(), dir }
    }

    /// Where the agent is found.
    pub fn run_dir(&self) -> PathBuf {
        self.dir.path().join("run")
    }

    /// Where it keeps its state.
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).expect("the test's own directory");
        path
    }

    /// Where such a file is.
    pub fn file_path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A part of the fixture, to be given more arguments.
    pub fn command(&self, part: &str) -> Command {
        let mut command = Command::new(&self.fixture);
        command.arg(part).env("TIF_RUN_DIR", self.run_dir()).env_remove("NO_COLOR").env_remove("TIF_LOG");
        command
    }

    /// The agent, without the host's figures; it answers when this returns.
    pub fn agent(&self) -> Process {
        self.agent_with(["--no-host"])
    }

    /// The agent with more arguments; it answers when this returns.
    pub fn agent_with<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Process {
        let mut command = self.command("agent");
        command.args(["--cpu", &self.cpu, "--run-dir"]).arg(self.run_dir()).arg("--state-dir").arg(self.state_dir()).args(arguments);
        let agent = Process::start("agent", &mut command);
        let run_dir = tif_process::RunDir::resolve(Some(&self.run_dir()));
        let until = Instant::now() + PATIENCE;
        // A socket file may be left from an agent that was killed: what counts is that somebody answers.
        while std::os::unix::net::UnixStream::connect(run_dir.socket()).is_err() {
            assert!(Instant::now() < until, "the agent does not answer:\n{}", agent.errors());
            tif_process::wait_for_agent(&run_dir, std::time::Duration::from_millis(20), None);
            std::thread::yield_now();
        }
        agent
    }

    /// A service of the fixture; it has its role when this returns. See [`crate::fixture`].
    pub fn service(&self, arguments: &[&str]) -> Process {
        let mut service = Process::start(&format!("service {arguments:?}"), self.command("service").args(arguments));
        service.wait_line("it starts", |line| line.starts_with("started"));
        service
    }

    /// `tif-serve` to its end.
    pub fn serve(&self, arguments: &[&str]) -> Said {
        let output = self.command("serve").args(arguments).output().expect("it can be started");
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("it writes text");
        Said { status: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// `tif-serve watch`, as JSON lines; it has its first report when this returns.
    pub fn watch(&self, pattern: &str) -> Process {
        let mut watch = Process::start(&format!("watch {pattern}"), self.command("serve").args(["--output", "jsonl", "watch", pattern]));
        watch.wait_line("its first report", |line| event(line) == "report");
        watch
    }

    /// One value by `tif-serve get`.
    #[track_caller]
    pub fn value(&self, name: &str) -> Value {
        self.serve(&["--output", "jsonl", "get", name]).must(0).rows()[0]["value"].clone()
    }

    /// The processes by `tif-serve ps`.
    pub fn processes(&self) -> Vec<Value> {
        self.serve(&["--output", "jsonl", "ps"]).must(0).rows()
    }

    /// The process of that name.
    #[track_caller]
    pub fn process(&self, name: &str) -> Value {
        let all = self.processes();
        all.iter().find(|p| p["name"] == name).unwrap_or_else(|| panic!("no process {name}: {all:#?}")).clone()
    }
}

/// The `event` of a JSON line; empty if it has none.
pub fn event(line: &str) -> String {
    let json: Value = serde_json::from_str(line).unwrap_or(Value::Null);
    json["event"].as_str().unwrap_or_default().to_owned()
}

/// A JSON line.
#[track_caller]
pub fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))
}
