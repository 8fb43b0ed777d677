//! The index is finished and compared with a plain walk.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;

use super::scene::{Scene, shown};
use crate::place::Place;
use crate::service::Contents;
use crate::walk::Comparison;

/// How long the rest may take without a throttle.
const FINISH: Duration = Duration::from_secs(60);

/// Lets the service finish.
pub fn finish(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    scene.set("indexer.throttle", 0, None)?;
    scene.until("the index is finished", FINISH, |table, _| (shown(table, "indexer.phase")? == "done").then_some(()))?;
    let files = scene.sense("indexer.files")?;
    scene.say(format!("throttle set to 0 (no limit): the service is done, {files} files entered in all"));
    Ok(())
}

/// Compares.
pub fn compare(scene: &mut Scene<'_>) -> anyhow::Result<()> {
    let input = scene.stage.input();
    let index = Contents::read(&Place::index_in(scene.stage.place().path()))?;
    let comparison = Comparison::make(&index, &input.dir, input.files_max);
    let Comparison { same, missing, surplus, different, twice } = &comparison;
    let (counted, entered) = (scene.sense("indexer.files")?, index.entered);
    ensure!(counted == entered as f64, "did not happen: the counter ({counted}) is what the index says ({entered})");
    scene.say(format!(
        "index compared with a plain walk: {same} files agree, {} missing, {twice} twice, {} surplus, {} different",
        missing.len(),
        surplus.len(),
        different.len()
    ));
    let example = |paths: &[PathBuf]| paths.first().map(|path| path.display().to_string()).unwrap_or_default();
    ensure!(
        comparison.is_clean() && *same > 0,
        "did not happen: the index is what a plain walk says ({} {} {})",
        example(missing),
        example(surplus),
        example(different)
    );
    Ok(())
}
