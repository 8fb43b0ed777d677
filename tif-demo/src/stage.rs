//! The stage: the demo's directory, its agent and its two processes of the service, from the first to the last moment.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;
use serde::Serialize;
use tif_core::model::Name;
use tif_process::RunDir;
use tif_serve::importer::{self, Importer};

use crate::children::Children;
use crate::lifeline::Lifeline;
use crate::place::Place;
use crate::service::{self, Input};

/// What the demo's CPU is called.
const CPU: &str = "demo";
/// How long the agent may take to start.
const AGENT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a request may take: longer than the agent itself waits for a service.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long all parts together may take to end.
const END_TIMEOUT: Duration = Duration::from_secs(5);
/// How much of a log is shown when something went wrong.
const LOG_LINES: usize = 12;

/// Everything that has to be cleaned up.
#[derive(Debug)]
pub struct Stage {
    place: Place,
    input: Input,
    /// How many files the input has.
    files: usize,
    children: Children,
    lifeline: Mutex<Option<Lifeline>>,
}

impl Stage {
    /// An empty one.
    ///
    /// # Errors
    /// If the directory cannot be made.
    pub fn new(place: Place, input: Input, files: usize) -> anyhow::Result<Stage> {
        let lifeline = Mutex::new(Some(Lifeline::hold(place.path())?));
        Ok(Stage { place, input, files, children: Children::new()?, lifeline })
    }

    /// The demo's directory.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// What is indexed.
    pub fn input(&self) -> &Input {
        &self.input
    }

    /// How many files that is.
    pub fn files(&self) -> usize {
        self.files
    }

    /// Starts the agent, and when it answers the primary and the standby.
    ///
    /// # Errors
    /// If one of them cannot be started, or the agent does not answer.
    pub fn set(&self) -> anyhow::Result<()> {
        let config = self.place.config();
        std::fs::write(&config, self.launch_specification()?).with_context(|| format!("cannot write {}", config.display()))?;
        let mut arguments: Vec<OsString> = vec!["agent".into(), "--place".into(), self.place.path().into(), "--".into()];
        arguments.extend(["--cpu".into(), CPU.into(), "--run-dir".into(), self.place.run_dir().into()]);
        arguments.extend(["--state-dir".into(), self.place.state_dir().into(), "--config".into(), config.into()]);
        let run_dir = RunDir::resolve(Some(self.place.run_dir()));
        if tif_process::wait_for_agent(&run_dir, Duration::ZERO, None) {
            bail!("an agent answers in {} already: the demo brings its own; name another --run-dir", run_dir.path().display());
        }
        let (_, ended) = self.children.start(&self.place.log("agent"), &arguments)?;
        if !tif_process::wait_for_agent(&run_dir, AGENT_TIMEOUT, Some(ended.as_fd())) {
            bail!("the agent has not started");
        }
        for part in ["first", "second"] {
            self.children.start(&self.place.log(&format!("{}-{part}", service::NAME)), &self.indexer())?;
        }
        Ok(())
    }

    /// Connects to the agent.
    ///
    /// # Errors
    /// If it does not answer.
    pub fn importer(&self, name: &str) -> anyhow::Result<Importer> {
        let name: Name = name.parse()?;
        let program = format!("tif-demo {}", env!("CARGO_PKG_VERSION"));
        let options =
            importer::Options { run_dir: Some(self.place.run_dir().to_owned()), program, name, timeout: REQUEST_TIMEOUT, heartbeat: None };
        Ok(Importer::open(options)?)
    }

    /// Ends every part, those that the agent has started included. Answers whether all have ended.
    pub fn clear(&self) -> bool {
        let Some(lifeline) = self.lifeline.lock().take() else { return true };
        let ended = lifeline.release(END_TIMEOUT);
        self.children.end();
        ended
    }

    /// Removes the directory: the show may still hold the stage when it was interrupted.
    pub fn remove(&self) {
        // It is among temporary files: what cannot be removed now goes with those.
        let _ = std::fs::remove_dir_all(self.place.path());
    }

    /// Shows the end of each log, for one who wants to know what went wrong.
    pub fn show_logs(&self, mut out: impl Write) {
        for log in self.place.logs() {
            let Ok(text) = std::fs::read_to_string(&log) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            if !lines.is_empty() {
                // Nothing can be done for one who does not read.
                let _ = writeln!(out, "--- the end of {}", log.display());
                lines.iter().skip(lines.len().saturating_sub(LOG_LINES)).for_each(|line| drop(writeln!(out, "{line}")));
            }
        }
    }

    fn indexer(&self) -> Vec<OsString> {
        let path = |path: &Path| path.as_os_str().to_owned();
        vec![
            "indexer".into(),
            "--place".into(),
            path(self.place.path()),
            "--run-dir".into(),
            path(self.place.run_dir()),
            "--input".into(),
            path(&self.input.dir),
            "--files-max".into(),
            self.input.files_max.to_string().into(),
        ]
    }

    /// How the agent starts a process of the service when one was lost.
    fn launch_specification(&self) -> anyhow::Result<String> {
        #[derive(Serialize)]
        struct Config {
            service: BTreeMap<&'static str, Launch>,
        }
        #[derive(Serialize)]
        struct Launch {
            command: Vec<String>,
            members: u32,
            /// The story starts the first ones itself.
            start: bool,
        }
        let program = std::env::current_exe().context("cannot find this program")?;
        let mut command = vec![program.into_os_string()];
        command.extend(self.indexer());
        let text = |word: OsString| word.into_string().map_err(|word| anyhow::anyhow!("{word:?} is not UTF-8: use another directory"));
        let command = command.into_iter().map(text).collect::<anyhow::Result<_>>()?;
        Ok(toml::to_string(&Config { service: BTreeMap::from([(service::NAME, Launch { command, members: 2, start: false })]) })?)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}
