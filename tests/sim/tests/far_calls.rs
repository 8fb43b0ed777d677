//! Calls of procedures of a service whose group has members on several CPUs.
// spec: TST-4

use tif_core::model::Refusal;
use tif_core::wire::ToAgent;
use tif_sim::system::System;
use tif_sim::system::stories::*;
use tif_sim::world::Who;

// spec: TST-4, GRP-7, OUT-3
#[test]
fn a_call_is_not_made_again_by_a_successor_on_another_cpu_which_tells_what_it_answered() {
    let (mut system, importers) = group(3);
    let (first, repeated) = fire(&mut system, 1, importers[1], 1).unwrap();
    assert!(first == Ok("1 of cpu1".into()) && !repeated, "{first:?}");
    system.stop_cpu(0);
    assert!(system.run_ms(3000), "{:?}", system.violation());
    assert_eq!(leaders(&system), [2]);
    assert_eq!(fire(&mut system, 1, importers[1], 1), Ok((first, true)));
    assert_eq!(system.calls.made(), 1);
    assert_eq!(fire(&mut system, 1, importers[1], 2), Ok((Ok("1 of cpu2".into()), false)), "another call is made");
}

// spec: TST-4, OUT-3
#[test]
fn of_a_call_that_ran_when_its_cpu_died_the_successor_says_that_nobody_will_know_and_does_not_make_it() {
    let (mut system, importers) = group(3);
    let member = system.worlds[0].standing()[&orders()];
    system.worlds[0].stop(member, 60_000);
    system.worlds[1].fire(importers[1], 1);
    assert!(system.run_ms(200), "{:?}", system.violation());
    system.stop_cpu(0);
    assert!(system.run_ms(3000), "{:?}", system.violation());
    assert_eq!(leaders(&system), [2]);
    let refusal = fire(&mut system, 1, importers[1], 1).unwrap_err();
    assert!(matches!(&refusal, Refusal::Indeterminate { .. }), "{refusal}");
    assert_eq!(system.calls.made(), 0);
}

// spec: TST-4, GRP-9
#[test]
fn a_call_is_not_made_while_another_cpu_may_take_over_without_knowing_of_it() {
    let (mut system, importers) = group(3);
    cut(&mut system, 1);
    let refusal = fire(&mut system, 0, importers[0], 1).unwrap_err();
    assert!(matches!(&refusal, Refusal::TimedOut { .. } | Refusal::CutOff { .. }), "{refusal}");
    assert_eq!(system.calls.made(), 0);
    system.net.heal();
    assert!(system.run_ms(6000), "{:?}", system.violation());
    let led = leaders(&system)[0] as usize - 1;
    let (result, _) = fire(&mut system, 0, importers[0], 1).unwrap();
    assert_eq!((result, system.calls.made()), (Ok(format!("1 of cpu{}", led + 1)), 1), "asked again it is made, once");
}

// spec: TST-4, CTL-3
#[test]
fn what_becomes_of_a_call_that_is_under_way_is_told_to_whoever_asks_for_it_elsewhere_by_its_id() {
    let (mut system, importers) = group(3);
    let member = system.worlds[0].standing()[&orders()];
    system.worlds[0].stop(member, 700);
    let made = system.worlds[1].fire_as(importers[1], "f2-1").expect("it is connected");
    assert!(system.run_ms(100), "{:?}", system.violation());
    let asked = recall(&mut system, 2, importers[2], "f2-1");
    assert!(system.run_ms(400), "{:?}", system.violation());
    let told = |system: &System, cpu: usize, req: u64| answer_to_call(system, cpu, importers[cpu], req);
    assert_eq!((told(&system, 1, made), told(&system, 2, asked)), (None, None), "it is waited for");
    until(&mut system, "its answer", |system| told(system, 1, made).is_some() && told(system, 2, asked).is_some());
    assert_eq!(told(&system, 1, made), Some(Ok((Ok("1 of cpu1".into()), false))));
    assert_eq!(told(&system, 2, asked), Some(Ok((Ok("1 of cpu1".into()), true))));
    // And when its CPU is lost, its successor knows; of what never was nobody does.
    assert!(system.run_ms(1000), "{:?}", system.violation());
    system.stop_cpu(0);
    assert!(system.run_ms(3000), "{:?}", system.violation());
    let (asked, never) = (recall(&mut system, 2, importers[2], "f2-1"), recall(&mut system, 2, importers[2], "f2-2"));
    until(&mut system, "both answers", |system| told(system, 2, asked).is_some() && told(system, 2, never).is_some());
    assert_eq!(told(&system, 2, asked), Some(Ok((Ok("1 of cpu1".into()), true))));
    assert!(matches!(told(&system, 2, never), Some(Err(Refusal::UnknownRequest { .. }))), "{:?}", told(&system, 2, never));
    assert_eq!(system.calls.made(), 1);
}

/// Asks on a CPU what became of a request.
fn recall(system: &mut System, cpu: usize, who: Who, id: &str) -> u64 {
    let request_id = id.parse().unwrap();
    system.worlds[cpu].request(who, |req| ToAgent::Recall { req, request_id }).expect("it is connected")
}
