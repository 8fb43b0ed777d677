//! What is there, and that it moves.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Key, Name, Notice, Role};
use tif_serve::importer::Event;

use super::scene::{Scene, number, pattern, shown};
use crate::primary::{Primary, members};

/// How long processes may take to register.
const START: Duration = Duration::from_secs(10);
/// How often a value must be seen to have grown.
const STEPS: usize = 5;
/// The share of the set pace that counts as reached: the rate is one over two seconds.
const NEARLY: f64 = 0.9;
/// How long that may take.
const MOVE: Duration = Duration::from_secs(15);

/// The agent, a primary and a standby.
pub fn processes(scene: &mut Scene<'_>) -> anyhow::Result<Primary> {
    let welcome = scene.importer.welcome();
    scene.say(format!("agent of CPU `{}` answers in {}", welcome.cpu, scene.stage.place().run_dir().display()));
    scene.until("the primary shows what it does", START, |table, _| number(table, "indexer.files"))?;
    let primary = Primary::find(&scene.importer)?;
    scene.say(format!("primary {} (pid {}, key {})", primary.name, primary.pid, primary.key));
    // Of two processes one is the primary.
    let other = if primary.name.as_str() == "indexer-1" { "indexer-2" } else { "indexer-1" };
    let key = born(scene, &other.parse()?, None)?;
    let standby = members(&scene.importer)?.into_iter().find(|row| row.role == Role::Standby && row.key == key);
    let standby = standby.with_context(|| format!("did not happen: {other} stands by"))?;
    scene.say(format!("standby {} (pid {}, key {key})", standby.name, standby.pid));
    Ok(primary)
}

/// Waits until a process of this name is alive, in another life than `not` if that is given; answers its key.
///
/// # Errors
/// If it is not in time.
// spec: PSM-3, PSM-4
pub fn born(scene: &mut Scene<'_>, name: &Name, not: Option<Key>) -> anyhow::Result<Key> {
    let is = |notice: &Notice| notice.name == *name && notice.event == NoticeEvent::Born && notice.key != not;
    let known = scene.importer.lookup(name).with_context(|| format!("cannot ask for {name}"))?;
    if let (true, Some(key)) = (is(&known), known.key) {
        return Ok(key);
    }
    scene.until(&format!("{name} is born"), START, |_, event| match event {
        Some((Event::Notice(notice), _)) if is(notice) => notice.key,
        _ => None,
    })
}

/// What the service has declared.
pub fn instruments(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let rows = scene.importer.list(&pattern("indexer.**")?)?;
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for row in &rows {
        *kinds.entry(row.announcement.descriptor.kind.word()).or_default() += 1;
    }
    let kinds: Vec<_> = kinds.into_iter().map(|(word, count)| format!("{count} {word}")).collect();
    scene.say(format!("{} instruments found: {}", rows.len(), kinds.join(", ")));
    for name in ["indexer.files", "indexer.queue.depth", "indexer.rate", "indexer.throttle", "indexer.before_write", "indexer.hash.latency"]
    {
        let row = rows.iter().find(|row| row.announcement.name.as_str() == name);
        ensure!(row.is_some(), "did not happen: {name} is listed");
    }
    Ok(())
}

/// Values that change, until the work has its pace.
pub fn movement(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let mut seen: Vec<f64> = Vec::new();
    let pace = scene.sense("indexer.throttle")?;
    let rate = scene.until("the number of files grows, at the pace that is set", MOVE, |table, _| {
        let files = number(table, "indexer.files")?;
        if seen.last().is_none_or(|last| files > *last) {
            seen.push(files);
        }
        let rate = number(table, "indexer.rate")?;
        let recorded = number(table, "indexer.latency")?;
        (seen.len() > STEPS && rate >= pace * NEARLY && recorded > 0.0).then_some(rate)
    })?;
    let some = seen.len().div_ceil(STEPS);
    let files: Vec<String> = seen.iter().step_by(some).map(f64::to_string).collect();
    let queue = shown(scene.table(), "indexer.queue.depth").unwrap_or_default();
    let latency = shown(scene.table(), "indexer.latency").unwrap_or_default();
    scene.say(format!("values move: files {} …; rate {rate:.0}/s; queue {queue}; latency {latency} (seconds)", files.join(" → ")));
    Ok(())
}
