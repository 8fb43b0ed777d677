//! The tools that show what happened say what happened.

use tif_core::model::{Cause, Coarsen};
use tif_core::wire::Identity;
use tif_sim::world::{Weather, World, name};
use tif_sim::{Plan, run_system, system_of};

#[test]
fn a_portrait_shows_processes_sources_and_outages_as_they_stand() {
    let mut world = World::new(1, Weather { still: true, ..Weather::default() });
    let exporter = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    let importer = world.spawn_importer(Identity::Exactly(name("imp-1")));
    world.run_ms(1000);
    world.subscribe(importer, "cache.queue.depth@cache-1", Coarsen::default());
    world.run_ms(1000);
    let shows = |world: &World, text: &str| {
        let lines = world.agent.as_ref().map(|agent| agent.portrait(world.time())).unwrap_or_default();
        lines.iter().any(|line| line.contains(text))
    };
    assert!(shows(&world, "imp-1 1:2#1.2 alive") || shows(&world, "imp-1 1:1#1.1 alive"));
    assert!(shows(&world, "cache.queue.depth = F64(0.0), good"));
    assert!(shows(&world, "1 follow it"));
    assert!(!shows(&world, "outage"));
    world.end_process(exporter, Cause::Exit { status: 3 });
    world.run_ms(1000);
    assert!(shows(&world, "dead for"));
    assert!(shows(&world, "cache-1 by nobody, outage 1"));
    assert!(shows(&world, "lost: exit status 3; lasts; 1 were told"));
}

#[test]
fn a_portrait_shows_roles_terms_and_links_between_cpus() {
    let system = system_of(Plan { until: Some(4000), ..Plan::of(0) });
    assert_eq!(system.step, 4000);
    let world = &system.worlds[0];
    let lines = world.agent.as_ref().map(|agent| agent.portrait(world.time())).unwrap_or_default().join("\n");
    for text in ["orders in term", "register: term", "cpu2: 2:0#", "is spoken; stream"] {
        assert!(lines.contains(text), "{text} is missing:\n{lines}");
    }
}

#[test]
fn a_timeline_is_in_order_and_names_who_says_what() {
    let outcome = run_system(Plan { trace: true, until: Some(4000), ..Plan::of(0) });
    assert!(outcome.timeline.is_sorted_by_key(|line| line.step));
    assert!(outcome.timeline.iter().any(|line| line.who == "agent" && line.what.contains("it registers: ")));
    assert!(outcome.timeline.iter().any(|line| line.who.starts_with("imp-1 [") && line.what.starts_with("hears: welcome")));
    assert!(outcome.timeline.iter().any(|line| line.cpu == 2));
}
