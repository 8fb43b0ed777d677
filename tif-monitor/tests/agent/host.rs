//! The kernel's figures and the agent's own, seen as any importer sees them.

use tif_core::model::Value;
use tif_core::wire::{ToAgent, ToProcess};

use crate::child::Importer;
use crate::world::World;

fn sense(importer: &Importer, name: &str) -> Option<Value> {
    importer.send(ToAgent::Sense { req: 1, patterns: vec![name.parse().unwrap()], patience: None });
    importer.hear("a value", |m| match m {
        ToProcess::Sensed { rows, .. } => Some(rows.into_iter().next().and_then(|(_, report)| report.value)),
        ToProcess::Refused { .. } => Some(None),
        _ => None,
    })
}

fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = std::time::Instant::now() + crate::world::PATIENCE;
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(std::time::Instant::now() < deadline, "never");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
}

// spec: EXP-9, MON-8
#[test]
fn the_machines_and_the_agents_figures_can_be_read_also_after_a_restart() {
    let mut world = World::empty();
    world.args.clear();
    world.start();
    for _ in 0..2 {
        let importer = Importer::new(&world, &format!("watcher-{}", world.agent.as_ref().unwrap().id()));
        let total = until(|| sense(&importer, "host.memory.total"));
        assert!(matches!(total, Value::U64(bytes) if bytes > 0), "{total:?}");
        let busy = until(|| sense(&importer, "host.cpu.busy"));
        assert!(matches!(busy, Value::F64(share) if (0.0..=100.0).contains(&share)), "{busy:?}");
        until(|| sense(&importer, "tif.importers").filter(|v| *v == Value::U64(1)));
        until(|| sense(&importer, "host.network.received{interface=lo}"));
        world.kill();
        world.start();
    }
}
