//! What every command starts with: its global options, its screen, and a connection.

use std::cmp::Reverse;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{bounded, select};
use tif_core::model::{Address, Dimensions, Name, Pattern, RequestId, name};
use tif_core::wire::Announcement;

use super::Screen;
use super::args::Global;
use super::exit::Exit;
use super::failure::{Failure, not_found};
use crate::importer::{self, Importer, Options, RequestError, address};

/// How long a request may take if nobody says.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// One run of the program.
pub(super) struct Session<'s, 'a> {
    pub(super) global: Global,
    pub(super) screen: &'s mut Screen<'a>,
}

impl<'s, 'a> Session<'s, 'a> {
    pub(super) fn new(global: Global, screen: &'s mut Screen<'a>) -> Session<'s, 'a> {
        Session { global, screen }
    }

    /// Connects to the agent, with `--timeout` for every request.
    pub(super) fn connect(&self) -> Result<Importer, Failure> {
        self.connect_within(self.global.timeout.unwrap_or(TIMEOUT))
    }

    /// Connects to the agent of the CPU that `--cpu` names, if it does.
    pub(super) fn connect_within(&self, timeout: Duration) -> Result<Importer, Failure> {
        let importer = Importer::open(Options {
            run_dir: self.global.run_dir.clone(),
            program: concat!("tif-serve ", env!("CARGO_PKG_VERSION")).to_owned(),
            name: "tif-serve".parse::<Name>()?,
            timeout,
            heartbeat: self.global.forwarded.then_some(importer::HEARTBEAT),
        })?;
        let cpu = importer.welcome().cpu;
        match &self.global.cpu {
            Some(wanted) if *wanted != cpu.as_str() => Err(Failure::new(
                Exit::NotFound,
                format!("no CPU is called `{wanted}`; known: {cpu}"),
                format!("--cpu {cpu}, or leave it away"),
            )),
            _ => Ok(importer),
        }
    }

    /// Does a request that Ctrl-C may end before its answer has come. What became of it, its id tells.
    // spec: CTL-3
    pub(super) fn unless_interrupted<T: Send>(
        &self,
        importer: &Importer,
        id: &RequestId,
        request: impl FnOnce() -> Result<T, RequestError> + Send,
    ) -> Result<Result<T, RequestError>, Failure> {
        let interrupts = (self.screen.interrupts)();
        let (done, answer) = bounded(1);
        thread::scope(|scope| {
            scope.spawn(move || done.send(request()));
            select! {
                recv(answer) -> answer => answer.map_err(|_| interrupted(id)),
                recv(interrupts) -> _ => {
                    let answered = answer.try_recv();
                    // Ends the request, too, if it still waits.
                    importer.leave();
                    answered.map_err(|_| interrupted(id))
                }
            }
        })
    }

    /// The failure for a pattern that names one instrument and fits none.
    pub(super) fn missing(&self, importer: &Importer, pattern: &Pattern) -> Failure {
        let wanted = pattern.to_string();
        not_found(&wanted, &self.nearest(importer, &wanted))
    }

    /// The addresses nearest to one that is not there, those of the same name before others.
    pub(super) fn nearest(&self, importer: &Importer, wanted: &str) -> Vec<String> {
        // A hint is a courtesy: without the listing there is none.
        let all = importer.list(&Pattern::all()).unwrap_or_default();
        let name = &wanted[..wanted.find(['{', '@']).unwrap_or(wanted.len())];
        let dims = wanted.parse::<Address>().map_or(Dimensions::NONE, |address| address.dims);
        let shared = |a: &Announcement| dims.iter().filter(|(key, value)| a.dims.value(key) == Some(value)).count();
        let (same, others): (Vec<_>, Vec<_>) = all.iter().map(|row| &row.announcement).partition(|a| a.name.as_str() == name);
        let mut same: Vec<_> = same.into_iter().map(|a| (Reverse(shared(a)), address(a))).filter(|(_, a)| a != wanted).collect();
        same.sort();
        if same.is_empty() {
            let others: Vec<String> = others.into_iter().map(address).collect();
            return name::nearest(name, others.iter().map(String::as_str), 3);
        }
        same.into_iter().take(3).map(|(_, address)| address).collect()
    }
}

fn interrupted(id: &RequestId) -> Failure {
    let hint = format!("the same again with --request-id {id} to be told what became of it: it is done at most once");
    Failure::new(Exit::Interrupted, format!("interrupted; whether {id} was done is not known"), hint)
}
