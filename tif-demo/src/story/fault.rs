//! A test point is armed and hit, and a procedure is called.

use std::time::Duration;

use anyhow::{Context, ensure};
use tif_core::model::{Arming, FaultAction};

use super::scene::{Scene, number, shown};
use crate::service::Tree;

/// Files that are to be kept out.
const HITS: u64 = 3;
/// How long the point may stay armed, and how long the story waits for it.
const ARMED: Duration = Duration::from_secs(15);

/// Files that cannot be entered, because we say so. They stay out for now; a later walk finds them again.
pub fn injection(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    scene.catch_up();
    let errors = number(scene.table(), "indexer.errors").context("indexer.errors is not shown")?;
    let arming = Arming {
        action: FaultAction::Fail,
        probability: 1.0,
        hits_max: Some(HITS),
        expires_after: ARMED,
        conditions: vec!["size>0".parse().map_err(anyhow::Error::msg)?],
        outlives_session: false,
    };
    let name = scene.importer.arm("indexer.before_write", arming).context("cannot arm indexer.before_write")?;
    scene.until("the armed point is hit", ARMED, |table, _| number(table, "indexer.before_write").filter(|hits| *hits >= HITS as f64))?;
    let counted = scene.until("the service counts the errors", ARMED, |table, _| {
        number(table, "indexer.errors").filter(|now| *now >= errors + HITS as f64)
    })?;
    let last = shown(scene.table(), "indexer.before_write.last").unwrap_or_default();
    ensure!(!last.is_empty(), "did not happen: the point has captured what passed");
    scene.say(format!("{name} armed to fail {HITS} times: hit {HITS} times, errors {errors} → {counted}; the last was {last}"));
    Ok(())
}

/// A part of the tree is to be indexed again. Answers how many files that are.
pub fn procedure(scene: &mut Scene<'_>) -> anyhow::Result<u64> {
    let input = scene.stage.input();
    let tree = Tree::walk(&input.dir, 1);
    let (first, _) = tree.files.first().context("the input is empty")?;
    let below = first.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(first);
    let below = below.to_str().context("a path that is not UTF-8")?;
    let fired = scene.fire("indexer.rescan", ("below", below))?;
    let answer = fired.result.map_err(anyhow::Error::msg).context("did not happen: rescan")?;
    let count: u64 = answer.parse().with_context(|| format!("rescan answered {answer:?}"))?;
    ensure!(count > 0, "did not happen: rescan takes something out");
    scene.say(format!("rescan fired for {below}/: {count} files are taken out of the index and will be indexed again"));
    Ok(count)
}
