//! Stories of several CPUs, each told by one test.

use tif_core::agent::io::Input;
use tif_core::machine::detector::Beat;
use tif_core::model::{Cause, Coarsen, NodeId, Value};
use tif_core::wire::{Identity, PeerBody, PeerFrame};
use tif_sim::check::{convergence, outdated};
use tif_sim::system::{Releases, System};
use tif_sim::world::{Weather, Who, World, name, speaks};

fn still(cpus: u32) -> System {
    System::new(cpus, 7, Weather { still: true, ..Weather::default() })
}

/// CPU 1 exports `cache-1`, CPU 2 imports all of `cache`; both are up and agree.
fn exporter_and_importer() -> (System, Who, Who) {
    let mut system = still(3);
    let exporter = system.worlds[0].spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    let importer = system.worlds[1].spawn_importer(Identity::Exactly(name("imp-1-n2")));
    assert!(system.run_ms(1000));
    system.worlds[1].subscribe(importer, "cache.**", Coarsen::default());
    settle(&mut system);
    (system, exporter, importer)
}

fn settle(system: &mut System) {
    for _ in 0..100 {
        assert!(system.run_ms(37), "{:?}", system.violation());
        let worlds: Vec<&World> = system.worlds.iter().collect();
        if convergence::look(&worlds).is_ok() {
            return;
        }
    }
    let worlds: Vec<&World> = system.worlds.iter().collect();
    panic!("{:?}", convergence::look(&worlds));
}

fn shown(system: &System, importer: Who, record: &str) -> Option<Value> {
    let view = system.worlds[1].processes[importer].importer()?.views.get(&name("cpu1.cache-1"))?;
    view.rows.get(record)?.report.as_ref()?.value.clone()
}

fn has_outage(system: &System, importer: Who) -> bool {
    let views = &system.worlds[1].processes[importer].importer().unwrap().views;
    views.get(&name("cpu1.cache-1")).is_some_and(|view| view.outage.is_some())
}

fn depth(system: &mut System, exporter: Who, value: f64) {
    let world = &mut system.worlds[0];
    let cells = &world.processes[exporter].exporter().unwrap().cells;
    let slot = cells.iter().find(|(_, cell)| cell.descriptor.path.as_str() == "queue.depth").map(|(slot, _)| *slot).unwrap();
    world.store_value(exporter, slot, Value::F64(value));
}

// spec: MON-2, INS-5
#[test]
fn what_one_cpu_exports_another_shows_and_follows() {
    let (mut system, exporter, importer) = exporter_and_importer();
    depth(&mut system, exporter, 41.0);
    settle(&mut system);
    assert_eq!(shown(&system, importer, "cache.queue.depth"), Some(Value::F64(41.0)));
}

// spec: MON-2, MON-3
#[test]
fn a_value_goes_to_a_cpu_once_however_many_importers_are_there() {
    let (mut system, exporter, _) = exporter_and_importer();
    let sent = |system: &mut System| {
        let before = system.worlds[0].agent.as_ref().unwrap().stats().reports_out;
        for n in 0..20 {
            depth(system, exporter, f64::from(n));
            assert!(system.run_ms(200));
        }
        system.worlds[0].agent.as_ref().unwrap().stats().reports_out - before
    };
    let for_one = sent(&mut system);
    for n in 2..6 {
        let importer = system.worlds[1].spawn_importer(Identity::Exactly(name(&format!("imp-{n}-n2"))));
        assert!(system.run_ms(1000));
        system.worlds[1].subscribe(importer, "cache.queue.depth", Coarsen::default());
    }
    settle(&mut system);
    let for_five = sent(&mut system);
    // The dynamic indicator goes on as before; a few reports more or less are its.
    assert!(for_five <= for_one + 5, "{for_one} reports for one importer, {for_five} for five");
}

// spec: FAB-3, OUT-1, OUT-2
#[test]
fn a_cpu_that_loses_power_is_presumed_down_and_its_sources_are_lost() {
    let (mut system, _, importer) = exporter_and_importer();
    system.stop_cpu(0);
    assert!(system.run_ms(600));
    assert!(!has_outage(&system, importer), "silence of less than a second is no death");
    assert!(system.run_ms(1100));
    let views = &system.worlds[1].processes[importer].importer().unwrap().views;
    let outage = views[&name("cpu1.cache-1")].outage.as_ref().expect("an outage");
    assert_eq!(outage.cause, Cause::CpuDown);
    assert!(shown(&system, importer, "cache.queue.depth").is_some(), "what was known stays to be seen");
}

// spec: FAB-3, PSM-10
#[test]
fn a_short_cut_is_no_death() {
    let (mut system, exporter, importer) = exporter_and_importer();
    let key = system.worlds[0].processes[exporter].key;
    system.net.part(&[NodeId(1)], &[NodeId(2), NodeId(3)], true);
    assert!(system.run_ms(700));
    system.net.heal();
    depth(&mut system, exporter, 17.0);
    settle(&mut system);
    assert_eq!(system.worlds[0].processes[exporter].key, key);
    assert!(!has_outage(&system, importer));
    assert_eq!(shown(&system, importer, "cache.queue.depth"), Some(Value::F64(17.0)));
}

// spec: PSM-7, PSM-10
#[test]
fn after_a_long_cut_processes_that_were_presumed_dead_begin_other_lives() {
    let (mut system, exporter, importer) = exporter_and_importer();
    let key = system.worlds[0].processes[exporter].key;
    system.net.part(&[NodeId(1)], &[NodeId(2), NodeId(3)], true);
    assert!(system.run_ms(3000));
    assert!(has_outage(&system, importer));
    system.net.heal();
    assert!(system.run_ms(5000));
    settle(&mut system);
    let now = system.worlds[0].processes[exporter].key;
    assert!(now > key, "{key:?} is over, {now:?} is another life");
    assert!(!has_outage(&system, importer));
}

// spec: PSM-7, PSM-10
#[test]
fn after_a_long_cut_a_process_whose_name_its_agent_picked_has_it_again_and_nothing_is_left_of_its_former_life() {
    let mut system = still(3);
    let exporter = system.worlds[0].spawn_exporter(Identity::Pick(name("cache")), "cache", false);
    assert!(system.run_ms(1000));
    let before = system.worlds[0].processes[exporter].key;
    system.net.part(&[NodeId(1)], &[NodeId(2), NodeId(3)], true);
    assert!(system.run_ms(3000));
    system.net.heal();
    assert!(system.run_ms(5000));
    settle(&mut system);
    let now = system.worlds[0].processes[exporter].key;
    assert!(now > before);
    let records = &system.worlds[0].store.processes;
    let of_cache: Vec<_> =
        records.values().filter(|p| p.name.as_str().starts_with("cache")).map(|p| (p.name.as_str(), Some(p.key), p.ended)).collect();
    assert_eq!(of_cache, [("cache-1", now, false)]);
}

// spec: MON-7, SYN-6
#[test]
fn an_agent_that_restarts_at_once_is_missed_by_nobody_elsewhere() {
    let (mut system, exporter, importer) = exporter_and_importer();
    let key = system.worlds[0].processes[exporter].key;
    system.worlds[0].kill_agent();
    assert!(system.run_ms(200));
    system.start_cpu(0);
    depth(&mut system, exporter, 23.0);
    settle(&mut system);
    assert_eq!(system.worlds[0].processes[exporter].key, key);
    assert!(!has_outage(&system, importer));
    assert_eq!(shown(&system, importer, "cache.queue.depth"), Some(Value::F64(23.0)));
}

// spec: CTL-3, MON-4
#[test]
fn a_change_asked_for_on_another_cpu_is_done_once() {
    let (mut system, _, importer) = exporter_and_importer();
    for _ in 0..3 {
        system.worlds[1].set(importer, "cache.batch@cache-1", "100", "once", tif_core::wire::Admission::default());
    }
    settle(&mut system);
    assert_eq!(shown(&system, importer, "cache.batch"), Some(Value::U64(100)));
    assert_eq!(system.worlds[0].store.changes.len(), 1, "asked three times, done once");
}

// spec: PSM-4
#[test]
fn a_death_is_told_on_other_cpus() {
    let (mut system, exporter, importer) = exporter_and_importer();
    system.worlds[1].lookup(importer, "cache-1");
    settle(&mut system);
    system.worlds[0].end_process(exporter, Cause::Signal { signal: 9, core: false });
    settle(&mut system);
    assert!(has_outage(&system, importer));
}

// spec: FAB-5
#[test]
fn a_cpu_that_speaks_nothing_in_common_is_told_so_and_the_others_do_not_notice_it() {
    let mut system = System::of_releases(4, 7, Weather { still: true, ..Weather::default() }, Releases::MixedAndForeign);
    // Also if what tells it so gets lost at first.
    system.net.loss = 60;
    assert!(system.run_ms(3000), "{:?}", system.violation());
    system.net.heal();
    assert!(system.run_ms(5000), "{:?}", system.violation());
    assert_eq!(system.look(), Ok(()));
    let told: Vec<_> = system.worlds.iter().map(|w| w.incompatible.len()).collect();
    assert_eq!(told, [1, 1, 1, 3]);
}

// spec: PSM-11
#[test]
fn a_late_word_of_a_life_whose_successor_is_not_spoken_with_says_nothing() {
    let mut system = still(2);
    assert!(system.run_ms(1000), "{:?}", system.violation());
    let life = |system: &System, cpu: usize| system.worlds[cpu].agent.as_ref().unwrap().key();
    let (first, asker) = (life(&system, 1), life(&system, 0));
    system.worlds[1].kill_agent();
    system.worlds[1].speaks = speaks(9, 12);
    system.start_cpu(1);
    assert!(system.run_ms(500), "{:?}", system.violation());
    assert!(life(&system, 1) > first);

    let agent = system.worlds[0].agent.as_mut().unwrap();
    assert!(agent.spoken_with(NodeId(2)).is_some_and(|spoken| spoken.is_err()));
    // On its way since before the restart.
    let beat = Beat { from: first, to: asker, health: 0, digest: 0, restarting: None, rumours: Vec::new() };
    let frame = Box::new(PeerFrame { from: first, to: asker, body: PeerBody::Beat(beat) });
    let now = system.worlds[0].moment();
    let agent = system.worlds[0].agent.as_mut().unwrap();
    assert_eq!(outdated::look(agent, now, Input::Peer { from: NodeId(2), frame }), Ok(()));
}
