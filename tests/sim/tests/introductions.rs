//! Members that are missing in the system are started where there is room.
// spec: GRP-7

use tif_sim::system::System;
use tif_sim::system::stories::*;
use tif_sim::world::Weather;

/// Three CPUs that keep so many members of one service between them, each as busy as is said.
fn introducing(members: u32, busy: [u8; 3]) -> System {
    let mut system = System::new(3, 7, Weather { still: true, introduces: members, ..Weather::default() });
    for (world, percent) in system.worlds.iter_mut().zip(busy) {
        world.busy(percent);
    }
    system
}

/// How many living members each CPU has.
fn members(system: &System) -> Vec<usize> {
    (0..system.worlds.len()).map(|cpu| numbers(system, cpu).len()).collect()
}

// spec: GRP-3, GRP-7, OUT-3
#[test]
fn what_is_missing_in_the_system_is_introduced_where_fewest_are_and_there_where_least_is_to_do() {
    let mut system = introducing(2, [80, 30, 10]);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    assert_eq!(members(&system), [0, 1, 1], "the busiest has none");
    let lost = system.worlds[2].living(|p| p.exporter().is_some())[0];
    system.worlds[2].end_process(lost, KILLED);
    assert!(system.run_ms(3000), "{:?}", system.violation());
    assert_eq!(members(&system), [0, 1, 1], "where it was there is least to do still");
    // Its CPU goes, and not only the process.
    let lost = system.worlds[2].living(|p| p.exporter().is_some())[0];
    system.worlds[2].end_process(lost, KILLED);
    cut(&mut system, 3);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    assert_eq!(members(&system)[..2], [1, 1]);
    assert_eq!(leaders(&system).len(), 1);
}

// spec: GRP-7
#[test]
fn who_takes_its_leave_anywhere_is_not_replaced_anywhere() {
    let mut system = introducing(3, [10, 10, 10]);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    assert_eq!(members(&system), [1, 1, 1]);
    let leaving = system.worlds[1].living(|p| p.exporter().is_some())[0];
    system.worlds[1].leave(leaving);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    assert_eq!(members(&system), [1, 0, 1]);
    let lost = system.worlds[0].living(|p| p.exporter().is_some())[0];
    system.worlds[0].end_process(lost, KILLED);
    assert!(system.run_ms(4000), "{:?}", system.violation());
    assert_eq!(members(&system).iter().sum::<usize>(), 2, "the lost one is, and the one that left is not: {:?}", members(&system));
}

// spec: GRP-7, GRP-9
#[test]
fn a_cpu_that_is_cut_off_introduces_nobody_and_the_others_what_they_miss() {
    let mut system = introducing(3, [10, 10, 10]);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    cut(&mut system, 1);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    let cut_off = members(&system)[0];
    assert_eq!((cut_off, members(&system)[1..].iter().sum::<usize>()), (1, 3), "{:?}", members(&system));
    system.net.heal();
    assert!(system.run_ms(4000), "{:?}", system.violation());
    assert_eq!(members(&system).iter().sum::<usize>(), 4, "nobody is sent away");
    assert_whole(&system);
}

// spec: GRP-7, MON-7
#[test]
fn an_agent_that_is_killed_and_comes_back_at_once_has_nobody_introduced_in_the_place_of_its_members() {
    let mut system = introducing(3, [10, 10, 10]);
    assert!(system.run_ms(6000), "{:?}", system.violation());
    for cpu in 0..3 {
        system.worlds[cpu].kill_agent();
        assert!(system.run_ms(300), "{:?}", system.violation());
        system.worlds[cpu].start_agent();
        assert!(system.run_ms(4000), "{:?}", system.violation());
        assert_eq!(members(&system), [1, 1, 1], "the agent of cpu{} was killed", cpu + 1);
    }
    assert_whole(&system);
}
