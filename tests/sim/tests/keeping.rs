//! Changes that are to be confirmed: kept if somebody says so in time, otherwise taken back.
// spec: CTL-6

use std::time::Duration;

use tif_core::machine::confirm::{Cause as Why, End, Guard};
use tif_core::model::{Cause, Coarsen, NodeId, Number, Refusal, SetResult, Setting, Slot, Value};
use tif_core::wire::{Admission, Identity, KeepAsked, ToAgent};
use tif_sim::system::System;
use tif_sim::world::{Weather, Who, World, name};

const KILLED: Cause = Cause::Signal { signal: 9, core: false };
const BATCH: &str = "cache.batch@cache-1";
const LIMIT: &str = "cache.limit@cache-1";

/// A world in which nothing happens by itself, with one exporter and two importers.
struct Scene {
    world: World,
    owner: Who,
    maker: Who,
    other: Who,
}

fn scene() -> Scene {
    let mut world = World::new(7, Weather { still: true, ..Weather::default() });
    let owner = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    let maker = world.spawn_importer(Identity::Exactly(name("imp-1")));
    let other = world.spawn_importer(Identity::Exactly(name("imp-2")));
    world.run_ms(1000);
    world.subscribe(other, "**", Coarsen::default());
    world.run_ms(500);
    Scene { world, owner, maker, other }
}

fn within(seconds: u64) -> KeepAsked {
    KeepAsked { within: Duration::from_secs(seconds), guard: None, while_connected: false }
}

fn guarded() -> KeepAsked {
    let guard = Guard { indicator: "cache.queue.depth@cache-1".into(), low: Number::Whole(0), high: Number::Whole(50) };
    KeepAsked { guard: Some(guard), ..within(3600) }
}

impl Scene {
    fn run_ms(&mut self, ms: u64) {
        self.world.run_ms(ms);
        assert_eq!(self.world.violation, None);
    }

    /// Both controls in one step. Whether it was accepted.
    fn change(&mut self, keep: KeepAsked, id: &str) -> Result<(), Refusal> {
        let settings = vec![Setting::new(BATCH, "40"), Setting::new(LIMIT, "50")];
        let req = self.world.set_to_keep(self.maker, settings, id, Admission::default(), Some(keep)).unwrap();
        self.run_ms(400);
        let answers = &self.world.processes[self.maker].importer().unwrap().answers;
        answers.get(&req).cloned().expect("an answer").map(|_| ())
    }

    fn confirm(&mut self, who: Who) -> Result<(), Refusal> {
        let req = self.world.confirm(who, LIMIT).unwrap();
        self.run_ms(400);
        let importer = self.world.processes[who].importer().unwrap();
        match (importer.confirmed.get(&req), importer.answers.get(&req)) {
            (Some(_), None) => Ok(()),
            (None, Some(Err(refusal))) => Err(refusal.clone()),
            other => panic!("{other:?}"),
        }
    }

    fn runs_with(&self) -> [u64; 2] {
        ["batch", "limit"].map(|path| {
            let exporter = self.world.processes[self.owner].exporter().unwrap();
            let cell = exporter.cells.values().find(|cell| cell.descriptor.path.as_str() == path).unwrap();
            let Value::U64(value) = cell.value else { panic!("{:?}", cell.value) };
            value
        })
    }

    fn depth(&mut self, value: f64) {
        let cells = &self.world.processes[self.owner].exporter().unwrap().cells;
        let slot: Slot = *cells.iter().find(|(_, c)| c.descriptor.path.as_str() == "queue.depth").unwrap().0;
        self.world.store_value(self.owner, slot, Value::F64(value));
    }

    fn told(&self) -> Vec<End> {
        self.world.processes[self.maker].importer().unwrap().settled.values().copied().collect()
    }
}

#[test]
fn what_nobody_confirms_is_taken_back_whole_when_its_time_is_up_and_its_maker_is_told() {
    let mut scene = scene();
    let before = scene.runs_with();
    scene.change(within(3), "k1").unwrap();
    assert_eq!(scene.runs_with(), [40, 50]);
    scene.run_ms(2000);
    assert_eq!((scene.runs_with(), scene.told()), ([40, 50], vec![]));
    scene.run_ms(1000);
    assert_eq!((scene.runs_with(), scene.told()), (before, vec![End::Reverted(Why::NotConfirmed)]));
    let late = scene.confirm(scene.other);
    assert!(matches!(late, Err(Refusal::NotConfirmed { .. })), "{late:?}");
}

#[test]
fn what_anybody_confirms_stays_whatever_comes_later() {
    let mut scene = scene();
    scene.change(guarded(), "k1").unwrap();
    assert_eq!(scene.confirm(scene.other), Ok(()));
    assert_eq!(scene.told(), [End::Confirmed]);
    scene.depth(90.0);
    scene.world.break_link(scene.maker);
    scene.run_ms(5000);
    scene.world.kill_agent();
    scene.world.start_agent();
    scene.run_ms(5000);
    assert_eq!(scene.runs_with(), [40, 50]);
    // And its controls are free.
    scene.world.set(scene.other, BATCH, "41", "o1", Admission::default());
    scene.run_ms(1000);
    assert_eq!(scene.runs_with(), [41, 50]);
}

#[test]
fn as_soon_as_its_guard_leaves_the_range_it_is_taken_back() {
    let mut scene = scene();
    let before = scene.runs_with();
    scene.depth(20.0);
    scene.change(guarded(), "k1").unwrap();
    scene.depth(50.0);
    scene.run_ms(1000);
    assert_eq!(scene.runs_with(), [40, 50]);
    scene.depth(50.5);
    scene.run_ms(300);
    assert_eq!((scene.runs_with(), scene.told()), (before, vec![End::Reverted(Why::GuardLeft)]));
    // It is out of its range already: refused, and nothing is changed.
    let refused = scene.change(guarded(), "k2");
    assert!(matches!(refused, Err(Refusal::Unfit { .. })), "{refused:?}");
    assert_eq!(scene.runs_with(), before);
}

#[test]
fn what_ends_with_its_session_is_taken_back_when_that_ends() {
    let mut scene = scene();
    let before = scene.runs_with();
    let keep = KeepAsked { while_connected: true, ..within(3600) };
    scene.change(keep.clone(), "k1").unwrap();
    scene.world.end_process(scene.other, KILLED);
    scene.run_ms(1000);
    assert_eq!(scene.runs_with(), [40, 50]);
    scene.world.end_process(scene.maker, KILLED);
    scene.run_ms(1000);
    assert_eq!(scene.runs_with(), before);
}

#[test]
fn an_agent_that_is_killed_takes_back_what_was_bound_to_a_session_and_gives_the_rest_its_whole_time_anew() {
    for bound in [true, false] {
        let mut scene = scene();
        let before = scene.runs_with();
        scene.change(KeepAsked { while_connected: bound, ..within(4) }, "k1").unwrap();
        scene.run_ms(3000);
        scene.world.kill_agent();
        scene.run_ms(500);
        scene.world.start_agent();
        scene.run_ms(3000);
        assert_eq!(scene.runs_with(), if bound { before } else { [40, 50] });
        scene.run_ms(1500);
        assert_eq!(scene.runs_with(), before);
    }
}

#[test]
fn until_its_end_nobody_else_changes_its_controls_and_afterwards_anybody_may() {
    let mut scene = scene();
    scene.change(within(2), "k1").unwrap();
    let req = scene.world.set(scene.other, LIMIT, "60", "o1", Admission::default()).unwrap();
    scene.run_ms(300);
    let answer = scene.world.processes[scene.other].importer().unwrap().answers.get(&req).cloned();
    assert!(matches!(&answer, Some(Err(Refusal::Held { by, .. })) if by.as_str() == "k1"), "{answer:?}");
    scene.run_ms(2000);
    let before = scene.runs_with();
    scene.world.set(scene.other, LIMIT, "60", "o2", Admission::default());
    scene.run_ms(500);
    assert_eq!(scene.runs_with(), [before[0], 60]);
}

// spec: SEC-3
#[test]
fn while_the_store_cannot_be_written_nothing_is_confirmed_or_taken_back_and_then_it_is() {
    let mut scene = scene();
    let before = scene.runs_with();
    scene.change(within(2), "k1").unwrap();
    scene.world.store_full = true;
    let refused = scene.confirm(scene.other);
    assert!(matches!(refused, Err(Refusal::Store { .. })), "{refused:?}");
    scene.run_ms(4000);
    assert_eq!((scene.runs_with(), scene.told()), ([40, 50], vec![]));
    scene.world.store_full = false;
    scene.run_ms(1500);
    assert_eq!((scene.runs_with(), scene.told()), (before, vec![End::Reverted(Why::NotConfirmed)]));
}

#[test]
fn a_service_that_dies_of_a_change_comes_back_without_it() {
    let mut scene = scene();
    let before = scene.runs_with();
    scene.change(within(2), "k1").unwrap();
    scene.world.end_process(scene.owner, KILLED);
    scene.run_ms(3000);
    scene.owner = scene.world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    scene.run_ms(1500);
    assert_eq!(scene.runs_with(), before);
}

// spec: CTL-2
#[test]
fn who_may_not_change_all_of_a_step_does_not_let_it_stay() {
    let mut world = World::new(7, Weather { still: true, ..Weather::default() });
    let owner = world.spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    world.change_exporter(owner, |exporter| {
        let batch = exporter.cells.values_mut().find(|cell| cell.descriptor.path.as_str() == "batch").unwrap();
        batch.descriptor.writers = vec!["1000".into()];
    });
    let [maker, other] = ["imp-1", "imp-2"].map(|own| world.spawn_importer(Identity::Exactly(name(own))));
    world.processes[other].uid = 1001;
    world.run_ms(1500);
    let mut scene = Scene { world, owner, maker, other };
    scene.change(within(3), "k1").unwrap();
    // LIMIT is anybody's, and of the same step.
    let denied = scene.confirm(scene.other);
    assert!(matches!(&denied, Err(Refusal::Denied { reason }) if reason.contains(BATCH)), "{denied:?}");
    assert_eq!(scene.confirm(scene.maker), Ok(()));
}

// spec: CTL-3
#[test]
fn a_change_is_confirmed_at_its_own_controls_and_its_id_stands_for_it_on_these_terms_only() {
    let mut scene = scene();
    let before = scene.runs_with();
    scene.change(within(2), "k1").unwrap();
    // At a control that it does not hold.
    let id = "k1".parse().ok();
    let name = "cache.scratch@cache-1".to_owned();
    let req = scene.world.request(scene.other, |req| ToAgent::Confirm { req, name, request_id: id }).unwrap();
    scene.run_ms(300);
    let answer = scene.world.processes[scene.other].importer().unwrap().answers.get(&req).cloned();
    assert!(matches!(answer, Some(Err(Refusal::NotConfirmed { .. }))), "{answer:?}");
    scene.run_ms(2500);
    assert_eq!(scene.runs_with(), before);
    // The same for good is another request, and so is one with more time.
    let settings = vec![Setting::new(BATCH, "40"), Setting::new(LIMIT, "50")];
    let req = scene.world.set_all(scene.other, settings, "k1", Admission::default()).unwrap();
    scene.run_ms(300);
    let answer = scene.world.processes[scene.other].importer().unwrap().answers.get(&req).cloned();
    assert!(matches!(answer, Some(Err(Refusal::RequestIdReused { .. }))), "{answer:?}");
    assert!(matches!(scene.change(within(3), "k1"), Err(Refusal::RequestIdReused { .. })));
    assert_eq!(scene.change(within(2), "k1"), Ok(()), "its recorded answer");
    assert_eq!(scene.runs_with(), before);
}

// spec: SEC-2
#[test]
fn what_makes_no_sense_is_refused_and_changes_nothing() {
    let mut scene = scene();
    let before = scene.runs_with();
    let guard = |indicator: &str, low: f64, high: f64| KeepAsked {
        guard: Some(Guard { indicator: indicator.into(), low: Number::Float(low), high: Number::Float(high) }),
        ..within(60)
    };
    let depth = "cache.queue.depth@cache-1";
    for (n, keep) in [
        within(0),
        within(48 * 3600),
        guard("cache.nothing@cache-1", 0.0, 1.0),
        guard("cache.state@cache-1", 0.0, 1.0),
        guard(depth, 2.0, 1.0),
    ]
    .into_iter()
    .enumerate()
    {
        let refused = scene.change(keep.clone(), &format!("w{n}"));
        assert!(refused.is_err(), "{keep:?}");
    }
    assert!(scene.change(within(60), &"x".repeat(64)).is_err(), "no room for the id of its end");
    assert!(scene.change(within(60), "k1:reverted").is_err(), "the agent's own");
    let nothing = scene.confirm(scene.other);
    assert!(matches!(nothing, Err(Refusal::NotConfirmed { .. })), "{nothing:?}");
    assert_eq!(scene.runs_with(), before);
}

// Several CPUs.

fn runs_with(system: &System, path: &str) -> Option<(u32, u64)> {
    let orders = name("orders");
    system.worlds.iter().find_map(|world| {
        let exporter = world.processes[*world.standing().get(&orders)?].exporter()?;
        let cell = exporter.cells.values().find(|cell| cell.descriptor.path.as_str() == path)?;
        let Value::U64(value) = cell.value else { return None };
        Some((world.node, value))
    })
}

/// A member on each of three CPUs, the first of which leads, and an importer on each. A change that waits to be confirmed.
fn system(keep: KeepAsked) -> (System, Vec<Who>) {
    let mut system = System::new(3, 7, Weather { still: true, ..Weather::default() });
    system.worlds[0].spawn_member("orders");
    assert!(system.run_ms(2000), "{:?}", system.violation());
    for i in 1..3 {
        system.worlds[i].spawn_member("orders");
    }
    let importers = system.worlds.iter_mut().map(|w| w.spawn_importer(Identity::Exactly(name(&World::name_on(w.node, "imp-1")))));
    let importers: Vec<Who> = importers.collect();
    assert!(system.run_ms(3000), "{:?}", system.violation());
    let settings = vec![Setting::new("orders.batch", "41"), Setting::new("orders.limit", "51")];
    system.worlds[2].set_to_keep(importers[2], settings, "k1", Admission::default(), Some(keep));
    assert!(system.run_ms(1000), "{:?}", system.violation());
    assert_eq!(runs_with(&system, "limit"), Some((1, 51)));
    (system, importers)
}

// spec: CTL-4, GRP-7
#[test]
fn the_successor_on_another_cpu_takes_back_what_nobody_confirms() {
    let (mut system, _) = system(within(5));
    system.stop_cpu(0);
    assert!(system.run_ms(4000), "{:?}", system.violation());
    assert!(matches!(runs_with(&system, "limit"), Some((2.., 51))), "{:?}", runs_with(&system, "limit"));
    assert!(system.run_ms(6000), "{:?}", system.violation());
    assert!(matches!((runs_with(&system, "batch"), runs_with(&system, "limit")), (Some((2.., 64)), Some((2.., 64)))));
}

// spec: CTL-4, GRP-7
#[test]
fn what_was_asked_of_one_cpu_is_confirmed_at_its_successor() {
    let (mut system, importers) = system(within(5));
    system.stop_cpu(0);
    assert!(system.run_ms(4000), "{:?}", system.violation());
    let req = system.worlds[2].confirm(importers[2], "orders.batch").unwrap();
    assert!(system.run_ms(10_000), "{:?}", system.violation());
    let importer = system.worlds[2].processes[importers[2]].importer().unwrap();
    assert!(importer.confirmed.contains_key(&req), "{:?}", importer.answers.get(&req));
    assert!(matches!((runs_with(&system, "batch"), runs_with(&system, "limit")), (Some((2.., 41)), Some((2.., 51)))));
}

// spec: SEC-3
#[test]
fn a_guard_that_is_out_of_its_range_when_the_change_is_taken_up_again_takes_it_back_though_its_value_does_not_change_any_more() {
    let guard = Guard { indicator: "orders.queue.depth".into(), low: Number::Whole(0), high: Number::Whole(50) };
    let (mut system, _) = system(KeepAsked { guard: Some(guard), ..within(3600) });
    let leader = system.worlds[0].standing()[&name("orders")];
    let cells = &system.worlds[0].processes[leader].exporter().unwrap().cells;
    let slot: Slot = *cells.iter().find(|(_, c)| c.descriptor.path.as_str() == "queue.depth").unwrap().0;
    // It leaves its range while nothing can be written down; what this CPU had begun is forgotten with the failed write.
    system.worlds[0].store_full = true;
    system.worlds[0].store_value(leader, slot, Value::F64(90.0));
    assert!(system.run_ms(1500), "{:?}", system.violation());
    assert_eq!(runs_with(&system, "limit"), Some((1, 51)));
    system.worlds[0].store_full = false;
    assert!(system.run_ms(5000), "{:?}", system.violation());
    assert_eq!((runs_with(&system, "batch"), runs_with(&system, "limit")), (Some((1, 64)), Some((1, 64))));
}

/// A change on the first CPU that is guarded by an indicator of a process on the second, and asked for on the third.
fn guarded_from_elsewhere() -> (System, Vec<Who>, Who, Slot) {
    let mut system = System::new(3, 7, Weather { still: true, ..Weather::default() });
    system.worlds[0].spawn_member("orders");
    let cache = system.worlds[1].spawn_exporter(Identity::Exactly(name("cache-1")), "cache", false);
    let importers = system.worlds.iter_mut().map(|w| w.spawn_importer(Identity::Exactly(name(&World::name_on(w.node, "imp-1")))));
    let importers: Vec<Who> = importers.collect();
    assert!(system.run_ms(3000), "{:?}", system.violation());
    let cells = &system.worlds[1].processes[cache].exporter().unwrap().cells;
    let slot: Slot = *cells.iter().find(|(_, c)| c.descriptor.path.as_str() == "queue.depth").unwrap().0;
    system.worlds[1].store_value(cache, slot, Value::F64(20.0));
    (system, importers, cache, slot)
}

fn keep_guarded(system: &mut System, who: Who, indicator: &str, id: &str) -> Result<SetResult, Refusal> {
    let guard = Guard { indicator: indicator.into(), low: Number::Whole(0), high: Number::Whole(50) };
    let settings = vec![Setting::new("orders.limit", "51")];
    let keep = KeepAsked { guard: Some(guard), ..within(3600) };
    let req = system.worlds[2].set_to_keep(who, settings, id, Admission::default(), Some(keep)).unwrap();
    assert!(system.run_ms(1000), "{:?}", system.violation());
    system.worlds[2].processes[who].importer().unwrap().answers.get(&req).cloned().expect("an answer")
}

// spec: MON-2
#[test]
fn a_guard_on_another_cpu_that_leaves_its_range_takes_a_change_back_and_who_made_it_on_a_third_is_told() {
    let (mut system, importers, cache, slot) = guarded_from_elsewhere();
    keep_guarded(&mut system, importers[2], "cache.queue.depth", "k1").unwrap();
    assert_eq!(runs_with(&system, "limit"), Some((1, 51)));
    system.worlds[1].store_value(cache, slot, Value::F64(90.0));
    assert!(system.run_ms(1000), "{:?}", system.violation());
    assert_eq!(runs_with(&system, "limit"), Some((1, 64)));
    let told = &system.worlds[2].processes[importers[2]].importer().unwrap().settled;
    assert_eq!(told.iter().map(|(id, end)| (id.as_str(), *end)).collect::<Vec<_>>(), [("k1", End::Reverted(Why::GuardLeft))]);
    // Out of its range already, of another kind, or nowhere: nothing is changed.
    for (indicator, id) in [("cache.queue.depth", "k2"), ("cache.state@cpu2", "k3"), ("cache.queue.nothing", "k4"), ("nobody.depth", "k5")]
    {
        let refused = keep_guarded(&mut system, importers[2], indicator, id);
        assert!(refused.is_err(), "{indicator}: {refused:?}");
    }
    assert_eq!(runs_with(&system, "limit"), Some((1, 64)));
}

// spec: CTL-4, GRP-7
#[test]
fn a_guard_on_another_cpu_goes_on_guarding_when_that_is_not_heard_for_a_while_and_when_another_cpu_decides() {
    let (mut system, importers, cache, slot) = guarded_from_elsewhere();
    system.worlds[2].spawn_member("orders");
    assert!(system.run_ms(2000), "{:?}", system.violation());
    keep_guarded(&mut system, importers[2], "cache.queue.depth", "k1").unwrap();
    // Its CPU is cut off: it has not left its range.
    system.net.part(&[NodeId(2)], &[NodeId(1), NodeId(3)], true);
    assert!(system.run_ms(4000), "{:?}", system.violation());
    assert_eq!(runs_with(&system, "limit"), Some((1, 51)));
    system.net.heal();
    assert!(system.run_ms(3000), "{:?}", system.violation());
    system.stop_cpu(0);
    assert!(system.run_ms(4000), "{:?}", system.violation());
    assert_eq!(runs_with(&system, "limit"), Some((3, 51)));
    // The process began another life when the cut healed, and has the same place in it.
    let slot = system.worlds[1].processes[cache].exporter().unwrap().cells.contains_key(&slot).then_some(slot).expect("it is there");
    system.worlds[1].store_value(cache, slot, Value::F64(90.0));
    assert!(system.run_ms(3000), "{:?}", system.violation());
    assert_eq!(runs_with(&system, "limit"), Some((3, 64)));
}
