//! What the stories of a group with members on several CPUs have in common: arrange, ask, wait, look.
//!
//! Each panics where the story cannot go on, with what the checks found.

use tif_core::machine::witness::Term;
use tif_core::model::{Cause, Name, NodeId, Refusal, SetResult, Setting, Value, Version};
use tif_core::wire::{Admission, Identity, ToAgent, ToProcess};

use super::System;
use crate::check::shared;
use crate::world::{Process, Weather, Who, World, name};

/// How a process ends that is killed.
pub const KILLED: Cause = Cause::Signal { signal: 9, core: false };

/// A system in which nothing happens by itself: a member on each CPU, the first of which leads, and an importer on each.
pub fn group(cpus: u32) -> (System, Vec<Who>) {
    let mut system = System::new(cpus, 7, Weather { still: true, ..Weather::default() });
    system.worlds[0].spawn_member("orders");
    assert!(system.run_ms(2000), "{:?}", system.violation());
    for i in 1..cpus as usize {
        system.worlds[i].spawn_member("orders");
    }
    let importers = system.worlds.iter_mut().map(|w| {
        let own = World::name_on(w.node, "imp-1");
        w.spawn_importer(Identity::Exactly(name(&own)))
    });
    let importers = importers.collect();
    assert!(system.run_ms(3000), "{:?}", system.violation());
    assert_eq!(leaders(&system), [1]);
    (system, importers)
}

/// The service of all these stories.
pub fn orders() -> Name {
    name("orders")
}

/// The CPUs with a process that believes to lead.
pub fn leaders(system: &System) -> Vec<u32> {
    system.worlds.iter().filter(|w| w.standing().contains_key(&orders())).map(|w| w.node).collect()
}

/// With what the primary of a CPU runs.
pub fn runs_with(world: &World, path: &str) -> (Version, Value) {
    let who = world.standing()[&orders()];
    let exporter = world.processes[who].exporter().unwrap();
    let cell = exporter.cells.values().find(|cell| cell.descriptor.path.as_str() == path).unwrap();
    (cell.version, cell.value.clone())
}

/// Asks for a change on a CPU and waits for what comes of it.
pub fn set(system: &mut System, cpu: usize, who: Who, value: u64, id: &str) -> Result<SetResult, Refusal> {
    set_all(system, cpu, who, &[("orders.batch", value)], id)
}

/// The same for a step of several controls.
pub fn set_all(system: &mut System, cpu: usize, who: Who, settings: &[(&str, u64)], id: &str) -> Result<SetResult, Refusal> {
    let settings = settings.iter().map(|(control, value)| Setting::new(*control, value.to_string())).collect();
    let req = system.worlds[cpu].set_all(who, settings, id, Admission::default()).expect("it is connected");
    let answer = |system: &System| system.worlds[cpu].processes[who].importer().unwrap().answers.get(&req).cloned();
    until(system, id, |system| answer(system).is_some());
    answer(system).unwrap()
}

/// Goes on until this is so.
pub fn until(system: &mut System, what: &str, is_so: impl Fn(&System) -> bool) {
    for _ in 0..15_000 {
        if is_so(system) {
            return;
        }
        assert!(system.run_ms(1), "{:?}", system.violation());
    }
    panic!("{what} never came");
}

/// Asks on a CPU for all that there is.
pub fn ask(system: &mut System, cpu: usize, who: Who, body: impl FnOnce(u64) -> ToAgent) -> ToProcess {
    let req = system.worlds[cpu].request(who, body).expect("it is connected");
    let answer = |system: &System| match &system.worlds[cpu].processes[who].importer().unwrap().told_of_all {
        Some((of, answer)) if *of == req => Some(answer.clone()),
        _ => None,
    };
    until(system, "an answer", |system| answer(system).is_some());
    answer(system).unwrap()
}

/// Who leads the service, as a CPU has accepted it as a voter.
pub fn term(system: &System, cpu: u32) -> &Term {
    let vote = &system.worlds[cpu as usize - 1].store.votes[&orders()];
    &vote.accepted.as_ref().expect("somebody was elected").1
}

/// Cuts one CPU off all others.
pub fn cut(system: &mut System, one: u32) {
    let others: Vec<NodeId> = (1..=system.worlds.len() as u32).filter(|n| *n != one).map(NodeId).collect();
    system.net.part(&[NodeId(one)], &others, true);
}

/// One leads what has members, and what is led is in no outage.
pub fn assert_whole(system: &System) {
    let worlds: Vec<&World> = system.worlds.iter().collect();
    assert_eq!(shared::look(&worlds), Ok(()));
}

/// What a CPU's members of the service are called.
pub fn numbers(system: &System, cpu: usize) -> Vec<Option<u32>> {
    let world = &system.worlds[cpu];
    let of_group = |p: &Process| p.welcomed && p.exporter().is_some_and(|e| e.service == orders());
    let members = world.living(of_group).into_iter().filter_map(|who| world.processes[who].exporter());
    members.map(|e| e.number.map(|number| number.0)).collect()
}

/// The same of all CPUs, in order.
pub fn all_numbers(system: &System) -> Vec<u32> {
    let mut all: Vec<u32> = (0..system.worlds.len()).flat_map(|cpu| numbers(system, cpu)).map(|n| n.expect("it has one")).collect();
    all.sort_unstable();
    all
}

/// Waits until this process leads on the first CPU.
pub fn wait_for_leader(system: &mut System, who: Who) {
    for _ in 0..60 {
        if leaders(system) == [1] && system.worlds[0].standing()[&orders()] == who {
            return;
        }
        assert!(system.run_ms(50), "{:?}", system.violation());
    }
    panic!("{who} does not lead; {:?} do", leaders(system));
}

/// What a procedure answered, and whether that is told once more.
pub type Fired = Result<(Result<String, String>, bool), Refusal>;

/// Fires a call on a CPU and waits for what comes of it: what it answered, and whether it was a repetition.
pub fn fire(system: &mut System, cpu: usize, who: Who, number: u64) -> Fired {
    let id = format!("f{}-{number}", cpu + 1);
    fire_as(system, cpu, who, &id)
}

/// The same under this id.
pub fn fire_as(system: &mut System, cpu: usize, who: Who, id: &str) -> Fired {
    let req = system.worlds[cpu].fire_as(who, id).expect("it is connected");
    let answer = |system: &System| answer_to_call(system, cpu, who, req);
    until(system, id, |system| answer(system).is_some());
    answer(system).unwrap()
}

/// What an importer was told of a call that it asked for, or asked about, under this number.
pub fn answer_to_call(system: &System, cpu: usize, who: Who, req: u64) -> Option<Fired> {
    let importer = system.worlds[cpu].processes[who].importer().unwrap();
    let refused = importer.answers.get(&req).and_then(|answer| answer.clone().err());
    importer.returned.get(&req).cloned().map(Ok).or(refused.map(Err))
}
