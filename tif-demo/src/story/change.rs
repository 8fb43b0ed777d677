//! Controls are changed, and the service follows.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{bail, ensure};

use super::scene::{Scene, live, number};
use crate::primary::Primary;

/// How long the service may take to follow. The rate is one over two seconds.
const FOLLOW: Duration = Duration::from_secs(12);
/// The pace of the work before anything is changed: the input must last until the primary is killed, some seconds later.
const SECONDS: usize = 12;
/// The throttle is lowered to this part of what it was.
const LOWERED: f64 = 0.4;

/// A pace at which the input lasts, if the declared one is too fast for it.
pub fn pace(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let lasting = scene.stage.files() / SECONDS;
    if (lasting as f64) < scene.sense("indexer.throttle")? {
        scene.set("indexer.throttle", lasting, None)?;
        scene.say(format!("a small input: throttle set to {lasting} files/s, so that it lasts"));
    }
    Ok(())
}

/// The throttle: the rate falls.
pub fn throttle(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let before = scene.sense("indexer.throttle")?;
    let was = scene.sense("indexer.rate")?;
    let pace = (before * LOWERED).round();
    let set = scene.set("indexer.throttle", pace, None)?;
    ensure!(set.applied, "did not happen: the service says that it runs with the new throttle");
    // Some more for what is entered in bursts, and for the dead-band of the rate, which is 1.
    let most = pace * 1.15 + 1.0;
    let rate = scene.until("the rate follows the throttle", FOLLOW, |table, _| number(table, "indexer.rate").filter(|r| *r <= most))?;
    let (name, version) = (&set.changed[0].name, set.changed[0].version);
    scene.say(format!("{name} set from {before} to {pace} files/s (version {version}): the rate falls from {was:.0}/s to {rate:.0}/s"));
    Ok(())
}

/// The workers: threads come and go.
pub fn workers(scene: &mut Scene<'_>, primary: &Primary) -> anyhow::Result<()> {
    for count in [5u64, 3] {
        let set = scene.set("indexer.workers", count, None)?;
        scene.until(&format!("{count} workers show themselves"), FOLLOW, |table, _| {
            (live(table, "indexer.worker.files").count() as u64 == count).then_some(())
        })?;
        // A thread has its name a moment after it has begun, and its instruments go a moment before it ends.
        let threads = scene.until(&format!("{count} worker threads"), FOLLOW, |_, _| {
            threads(primary.pid).ok().filter(|threads| threads.len() as u64 == count)
        })?;
        let (old, new) = (set.changed[0].old.show(&[]).to_string(), set.changed[0].new.show(&[]).to_string());
        scene.say(format!("workers set from {old} to {new}: threads {}", Vec::from_iter(threads).join(" ")));
    }
    Ok(())
}

/// A value that is out of range: refused, and nothing is changed.
pub fn refusal(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let before = scene.sense("indexer.workers")?;
    match scene.set("indexer.workers", 99, None) {
        Ok(_) => bail!("did not happen: 99 workers are refused"),
        Err(error) => scene.say(format!("workers set to 99: refused, {}", error.root_cause())),
    }
    ensure!(scene.sense("indexer.workers")? == before, "did not happen: a refused change changes nothing");
    Ok(())
}

/// The same request twice: done once.
pub fn repetition(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let first = scene.set("indexer.batch", 16, Some("story-batch-16"))?;
    let second = scene.set("indexer.batch", 16, Some("story-batch-16"))?;
    ensure!(!first.repeated && second.repeated, "did not happen: the second request is known to be a repetition");
    ensure!(first.changed == second.changed, "did not happen: a repeated request is applied once");
    scene.say(format!("batch set to 16 twice with one request id: applied once, version {} both times", second.changed[0].version));
    Ok(())
}

/// The names of the worker threads, as the kernel knows them.
fn threads(pid: u32) -> anyhow::Result<BTreeSet<String>> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"))?;
    // A thread that ends meanwhile is none.
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    Ok(names.map(|name| name.trim_end().to_owned()).filter(|name| name.starts_with("worker-")).collect())
}
