//! In a terminal: the screen, with a key that kills the primary and a line that says what came of it.

use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::Mutex;
use tif_core::model::{Coarsen, Key, Pattern, Quality};
use tif_serve::importer::{Event, Importer};

use crate::place::Place;
use crate::primary::Primary;
use crate::service::Contents;
use crate::stage::Stage;
use crate::walk::Comparison;

/// Kills the primary.
const KEY: char = 'K';

/// Shows the screen until the user quits; then compares what was indexed so far.
///
/// # Errors
/// If there is no agent or no terminal.
pub fn show(stage: &Stage) -> anyhow::Result<bool> {
    let importer = Arc::new(stage.importer("demo")?);
    importer.subscribe("indexer.phase".parse()?, Coarsen::default());
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    let (watcher, watched) = (Arc::clone(&importer), Arc::clone(&ledger));
    thread::Builder::new().name("watcher".into()).spawn(move || {
        while let Ok(event) = watcher.events().recv() {
            watched.lock().note(&event, Instant::now());
        }
    })?;
    let (killer, kills, place) = (importer, Arc::clone(&ledger), stage.place().path().to_owned());
    let action = move || kill(&killer, &place, &kills).map_err(|error| format!("{error:#}"));
    let reader = Arc::clone(&ledger);
    tif_tui::run(tif_tui::Options {
        run_dir: Some(stage.place().run_dir().to_owned()),
        pattern: Pattern::all(),
        extra: Some(tif_tui::Extra { key: KEY, label: "kill the primary".into(), confirm: None, action: Arc::new(action) }),
        status: Some(Arc::new(move || Some(reader.lock().line()))),
        ..tif_tui::Options::default()
    })?;
    report(stage, &ledger.lock())
}

/// What was done, and what came of it.
#[derive(Default)]
struct Ledger {
    kills: u32,
    outages: u32,
    last: Option<Kill>,
}

/// A primary's end, and when what was seen of it.
struct Kill {
    name: String,
    key: Key,
    at: Instant,
    outage: Option<Instant>,
    live: Option<Instant>,
    successor: Option<String>,
}

impl Ledger {
    fn note(&mut self, event: &Event, now: Instant) {
        if matches!(event, Event::Outage(outage) if outage.end.is_some()) {
            self.outages += 1;
        }
        let Some(kill) = &mut self.last else { return };
        match event {
            Event::Outage(outage) if outage.key == kill.key => match &outage.end {
                None => kill.outage = kill.outage.or(Some(now)),
                Some(end) => kill.successor = Some(end.process.to_string()),
            },
            Event::Report { report, .. } if report.quality == Quality::Good && report.key != kill.key => {
                kill.live = kill.live.or(Some(now));
            }
            _ => {}
        }
    }

    fn line(&self) -> String {
        let Some(kill) = &self.last else { return format!("{KEY} kills the primary of `indexer` with SIGKILL; its standby takes over") };
        let ms = |at: Option<Instant>| at.map_or("…".into(), |at| format!("{:.1} ms", at.duration_since(kill.at).as_secs_f64() * 1e3));
        let successor = kill.successor.as_ref().map_or(String::new(), |name| format!(", now {name}"));
        format!("{} killed: outage told in {}, live in {}{successor}; outages: {}", kill.name, ms(kill.outage), ms(kill.live), self.outages)
    }
}

fn kill(importer: &Importer, place: &std::path::Path, ledger: &Mutex<Ledger>) -> anyhow::Result<String> {
    let primary = Primary::find(importer)?;
    // Held over the kill: what comes of it must not be noted before the kill itself.
    let mut ledger = ledger.lock();
    let at = primary.kill(place)?;
    ledger.kills += 1;
    ledger.last = Some(Kill { name: primary.name.to_string(), key: primary.key, at, outage: None, live: None, successor: None });
    Ok(format!("{} (pid {}) killed with SIGKILL", primary.name, primary.pid))
}

/// What is left to say when the screen is gone.
fn report(stage: &Stage, ledger: &Ledger) -> anyhow::Result<bool> {
    // The terminal may be gone: then there is nobody to tell, and still something to tidy up.
    let mut out = io::stdout();
    let index = Contents::read(&Place::index_in(stage.place().path()))?;
    writeln!(out, "primaries killed: {}, outages over: {}", ledger.kills, ledger.outages)?;
    if ledger.last.is_some() {
        writeln!(out, "the last: {}", ledger.line())?;
    }
    let input = stage.input();
    writeln!(out, "comparing the index with a plain walk of {} …", input.dir.display())?;
    let Comparison { same, missing, surplus, different, twice } = Comparison::make(&index, &input.dir, input.files_max);
    writeln!(
        out,
        "{same} files agree, {} are not indexed yet, {twice} twice, {} surplus, {} different",
        missing.len(),
        surplus.len(),
        different.len()
    )?;
    Ok(surplus.is_empty() && different.is_empty() && twice == 0)
}
