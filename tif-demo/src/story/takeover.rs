//! The primary is killed, and the standby takes over.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tif_core::model::{Outage, Quality};
use tif_serve::importer::Event;

use super::discovery::born;
use super::scene::{Scene, live, number};
use crate::primary::Primary;

/// How long it may take at most.
const TAKEOVER: Duration = Duration::from_secs(10);
/// For how many seconds the new primary is looked at.
const PROOF: f64 = 1.5;
/// What must be as it was.
const KEPT: [&str; 3] = ["indexer.throttle", "indexer.workers", "indexer.batch"];

/// When what was seen after the kill.
#[derive(Default)]
struct Seen {
    outage: Option<Instant>,
    live: Option<Instant>,
    over: Option<(Instant, Outage)>,
    moved: Option<Instant>,
}

/// Kills the primary and tells what comes of it.
// spec: OUT-2, OUT-4
pub fn kill(scene: &mut Scene<'_>, primary: &Primary) -> anyhow::Result<Primary> {
    let before = KEPT.map(|name| scene.sense(name));
    scene.importer.lookup(&primary.name).context("cannot ask for the primary")?;
    scene.catch_up();
    let files = number(scene.table(), "indexer.files").context("indexer.files is not shown")?;

    let killed = primary.kill(scene.stage.place().path())?;
    scene.say(format!("primary {} (pid {}) killed with SIGKILL at {files} files", primary.name, primary.pid));
    let mut seen = Seen::default();
    let (over, outage) = scene.until("an outage, and the backup's takeover", TAKEOVER, |table, event| {
        if let Some((event, at)) = event {
            seen.note(event, at, primary);
        }
        let moved = number(table, "indexer.files").is_some_and(|now| now > files);
        if moved && seen.over.is_some() {
            seen.moved = seen.moved.or(event.map(|(_, at)| at));
        }
        seen.moved.and(seen.over.clone())
    })?;
    let ms = |at: Instant| at.duration_since(killed).as_secs_f64() * 1e3;
    let reported = seen.outage.context("did not happen: the outage is reported")?;
    let first = seen.live.context("did not happen: the backup's values are live")?;
    scene.say(format!("outage reported {:.1} ms after the kill: {}", ms(reported), outage.cause));

    let now = Primary::find(&scene.importer)?;
    ensure!(now.key != primary.key && now.pid != primary.pid, "did not happen: another process is the primary");
    let end = outage.end.context("did not happen: the outage has an end")?;
    ensure!(end.key == now.key, "did not happen: the outage ends with the new primary's key");
    scene.say(format!("backup {} (pid {}, key {}) took over; outage over after {:.1} ms", now.name, now.pid, now.key, ms(over)));
    scene.say(format!(
        "gap: first live value {:.1} ms after the kill (the agent says {} ms without an exporter; {} instruments remapped, {} added, {} removed)",
        ms(first),
        end.gap_ms,
        end.remapped,
        end.added,
        end.removed
    ));
    ensure!(end.removed == 0 && end.added == 0, "did not happen: the new primary has the instruments that the old one had");
    if let Some(moved) = seen.moved {
        scene.say(format!("the backup goes on where the primary was: a file more than {files} after {:.1} ms", ms(moved)));
    }
    let mut kept = Vec::new();
    for (name, before) in KEPT.into_iter().zip(before) {
        let (before, after) = (before?, scene.sense(name)?);
        ensure!(before == after, "did not happen: {name} is kept; it was {before} and is {after}");
        kept.push(format!("{} {after}", name.trim_start_matches("indexer.")));
    }
    let wanted = scene.sense("indexer.workers")?;
    let workers = scene.until("the new primary has its workers", TAKEOVER, |table, _| {
        let count = live(table, "indexer.worker.files").count();
        (count as f64 == wanted).then_some(count)
    })?;
    scene.say(format!(
        "controls kept in the new primary: {}; {} changes carried over; {workers} workers at work",
        kept.join(", "),
        end.carried
    ));
    hold(scene)?;

    // spec: OUT-3
    let key = born(scene, &primary.name, Some(primary.key))?;
    scene.say(format!("the agent has launched a new standby: {} (key {key})", primary.name));
    Ok(now)
}

/// The new primary not only shows the throttle that was set before the kill, it works at that pace.
fn hold(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    scene.catch_up();
    let pace = scene.sense("indexer.throttle")?;
    let from = scene.sense("indexer.files")?;
    let begun = Instant::now();
    let files = scene.until("the new primary goes on", TAKEOVER, |table, _| {
        number(table, "indexer.files").map(|now| now - from).filter(|files| *files >= pace * PROOF)
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = files / seconds;
    ensure!((pace * 0.7..=pace * 1.3 + 1.0).contains(&rate), "did not happen: the new primary works at {pace} files/s; it was {rate:.1}");
    scene.say(format!("and they hold: {files} files in {seconds:.2} s are {rate:.0} files/s"));
    Ok(())
}

impl Seen {
    fn note(&mut self, event: &Event, at: Instant, primary: &Primary) {
        match event {
            Event::Outage(outage) if outage.key == primary.key => match &outage.end {
                None => self.outage = self.outage.or(Some(at)),
                Some(_) => self.over = self.over.take().or(Some((at, outage.clone()))),
            },
            Event::Report { report, .. } if report.quality == Quality::Good && report.key != primary.key => {
                self.live = self.live.or(Some(at));
            }
            _ => {}
        }
    }
}
