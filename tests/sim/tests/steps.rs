//! Many controls of one exporter in one step: all of them, or none.

use std::collections::BTreeSet;

use tif_core::model::{Cause, Coarsen, Refusal, SetResult, Setting, Value, Version};
use tif_core::wire::{Admission, Identity};
use tif_sim::world::{Weather, Who, World, name};

const KILLED: Cause = Cause::Signal { signal: 9, core: false };

/// A world in which nothing happens by itself, with one exporter and two importers.
fn world() -> (World, Who, [Who; 2]) {
    let mut world = World::new(7, Weather { still: true, ..Weather::default() });
    let owner = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    world.spawn_exporter(Identity::Exactly(name("cache-2")), "cache", false);
    let importers = [0, 1].map(|_| world.spawn_importer(Identity::Pick(name("imp"))));
    world.run_ms(1000);
    for who in importers {
        world.subscribe(who, "**", Coarsen::default());
    }
    world.run_ms(500);
    (world, owner, importers)
}

fn step(settings: &[(&str, u64)]) -> Vec<Setting> {
    settings.iter().map(|(control, value)| Setting::new(*control, value.to_string())).collect()
}

fn answer(world: &World, who: Who, req: u64) -> Option<Result<SetResult, Refusal>> {
    world.processes[who].importer().unwrap().answers.get(&req).cloned()
}

fn ask(world: &mut World, who: Who, settings: Vec<Setting>, id: &str) -> Result<SetResult, Refusal> {
    let req = world.set_all(who, settings, id, Admission::default()).expect("it is connected");
    for _ in 0..200 {
        if let Some(answer) = answer(world, who, req) {
            return answer;
        }
        assert!(world.run_ms(50), "{:?}", world.violation);
    }
    panic!("no answer to {id}");
}

fn runs_with(world: &World, who: Who, path: &str) -> (u64, u64) {
    let exporter = world.processes[who].exporter().unwrap();
    let cell = exporter.cells.values().find(|cell| cell.descriptor.path.as_str() == path).unwrap();
    let Value::U64(value) = cell.value else { panic!("{:?}", cell.value) };
    (cell.version.0, value)
}

// spec: CTL-6
#[test]
fn a_step_changes_all_of_its_controls_and_is_told_as_one() {
    let (mut world, owner, [who, _]) = world();
    let done = ask(&mut world, who, step(&[("cache.batch@cache-1", 40), ("cache.limit@cache-1", 50), ("cache.scratch@cache-1", 60)]), "s1");
    let done = done.unwrap();
    let told: Vec<(&str, Version)> = done.changed.iter().map(|c| (c.name.as_str(), c.version)).collect();
    assert_eq!(told.len(), 3, "{told:?}");
    assert!(told.iter().all(|(_, version)| *version == Version(1)) && done.applied);
    assert_eq!(["batch", "limit", "scratch"].map(|path| runs_with(&world, owner, path)), [(1, 40), (1, 50), (1, 60)]);
}

// spec: CTL-1, CTL-6
#[test]
fn if_one_of_a_step_is_refused_none_is_changed_whoever_refuses_it() {
    let (mut world, owner, [who, _]) = world();
    let before = ["batch", "limit"].map(|path| runs_with(&world, owner, path));
    let (batch, limit) = ("cache.batch@cache-1", "cache.limit@cache-1");
    let stale = vec![Setting::new(batch, "40"), Setting { if_version: Some(Version(9)), ..Setting::new(limit, "50") }];
    // Out of range, of a version that is not there, by the service's validator, of another exporter, of the wrong kind, twice, none.
    let wrong = [
        step(&[(batch, 40), (limit, 1_000_000)]),
        stale,
        step(&[(batch, 40), (limit, 49)]),
        step(&[(batch, 40), ("cache.limit@cache-2", 50)]),
        step(&[(batch, 40), ("cache.queue.depth@cache-1", 50)]),
        step(&[(batch, 40), (batch, 50)]),
        step(&[]),
        step(&[(batch, 40); 65]),
    ];
    for (n, settings) in wrong.into_iter().enumerate() {
        let shown = format!("{settings:?}");
        let refused = ask(&mut world, who, settings, &format!("w{n}"));
        assert!(refused.is_err(), "{shown}: {refused:?}");
        assert_eq!(["batch", "limit"].map(|path| runs_with(&world, owner, path)), before, "{shown}");
    }
    // Their controls are free again.
    assert!(ask(&mut world, who, step(&[(limit, 50), (batch, 40)]), "s1").is_ok());
    assert_eq!(runs_with(&world, owner, "limit"), (1, 50));
}

// spec: CTL-6, SEC-2
#[test]
fn steps_that_cross_go_one_after_the_other_and_none_waits_for_ever() {
    let (mut world, owner, [one, other]) = world();
    let (batch, limit, scratch) = ("cache.batch@cache-1", "cache.limit@cache-1", "cache.scratch@cache-1");
    let mut asked = Vec::new();
    for n in 0..40 {
        let (value, id) = (100 * (n + 1) + 1, format!("c{n}"));
        let (who, settings) = match n % 4 {
            0 => (one, step(&[(batch, value), (limit, value)])),
            1 => (other, step(&[(limit, value), (batch, value)])),
            2 => (one, step(&[(scratch, value), (limit, value)])),
            _ => (other, step(&[(batch, value), (scratch, value), (limit, value)])),
        };
        asked.push((who, world.set_all(who, settings, &id, Admission::default()).unwrap()));
    }
    world.run_ms(10_000);
    assert_eq!(world.violation, None);
    let answered = asked.iter().filter(|(who, req)| answer(&world, *who, *req).is_some()).count();
    assert_eq!(answered, 40);
    // The validator does not like sevens: of those few nothing was done. Each of the others went through whole.
    let accepted = asked.iter().filter(|(who, req)| matches!(answer(&world, *who, *req), Some(Ok(_)))).count() as u64;
    assert!((30..40).contains(&accepted), "{accepted}");
    assert_eq!(runs_with(&world, owner, "limit").0, accepted);
}

// spec: CTL-3, CTL-6
#[test]
fn a_step_whose_agent_is_killed_is_there_whole_or_not_at_all_and_its_id_tells() {
    let mut seen = BTreeSet::new();
    for ms in 0..12 {
        let (mut world, owner, [who, _]) = world();
        let settings = step(&[("cache.batch@cache-1", 40), ("cache.limit@cache-1", 50)]);
        world.set_all(who, settings.clone(), "s1", Admission::default());
        world.run_ms(ms);
        world.kill_agent();
        world.run_ms(100);
        let written = ["batch", "limit"].map(|path| {
            let key = (name("cache-1"), format!("cache.{path}"));
            world.store.controls.get(&key).map_or(0, |control| control.version.0)
        });
        assert!(written == [0, 0] || written == [1, 1], "{written:?} after {ms} ms");
        seen.insert(written);
        world.start_agent();
        world.run_ms(3000);
        let done = ask(&mut world, who, settings, "s1").unwrap();
        assert_eq!(done.changed.iter().map(|c| c.version.0).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(["batch", "limit"].map(|path| runs_with(&world, owner, path)), [(1, 40), (1, 50)]);
        assert_eq!(world.violation, None);
    }
    assert_eq!(seen.len(), 2, "killed before it was durable, and after");
}

// spec: CTL-6, CTL-7
#[test]
fn the_next_life_of_an_exporter_begins_with_the_whole_step() {
    let (mut world, owner, [who, _]) = world();
    ask(&mut world, who, step(&[("cache.batch@cache-1", 40), ("cache.limit@cache-1", 50)]), "s1").unwrap();
    world.end_process(owner, KILLED);
    world.run_ms(500);
    let next = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    world.run_ms(2000);
    assert_eq!(["batch", "limit"].map(|path| runs_with(&world, next, path)), [(1, 40), (1, 50)]);
    assert_eq!(world.violation, None);
}
