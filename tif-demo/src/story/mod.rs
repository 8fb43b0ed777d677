//! The story, told in lines by an importer that sees it happen.

mod change;
mod comparison;
mod discovery;
mod fault;
mod scene;
mod takeover;

use std::time::Duration;

use crate::stage::Stage;
use scene::Scene;

/// Tells it. Everything in it has happened if this returns true.
///
/// # Errors
/// With the first thing that did not happen.
pub fn tell(stage: &Stage, limit: Duration) -> anyhow::Result<bool> {
    println!("A service indexes {} ({} files), with a standby; this program looks on.", stage.input().dir.display(), stage.files());
    let mut scene = Scene::open(stage, limit)?;
    let primary = discovery::processes(&mut scene)?;
    discovery::instruments(&mut scene)?;
    change::pace(&mut scene)?;
    discovery::movement(&mut scene)?;
    change::throttle(&mut scene)?;
    change::workers(&mut scene, &primary)?;
    change::refusal(&mut scene)?;
    change::repetition(&mut scene)?;
    fault::injection(&mut scene)?;
    fault::procedure(&mut scene)?;
    let successor = takeover::kill(&mut scene, &primary)?;
    // The standby that now takes over was launched by the agent.
    takeover::kill(&mut scene, &successor)?;
    comparison::finish(&mut scene)?;
    comparison::compare(&mut scene)?;
    scene.say("everything has happened that was to happen");
    Ok(true)
}
