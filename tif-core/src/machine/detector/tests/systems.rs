//! Whole systems, seed by seed.

use super::super::{Fact, Profile};
use super::ms;
use super::net::Net;

fn unsettled(_: usize, fact: &Fact) -> bool {
    matches!(fact, Fact::Down { .. } | Fact::Isolated(_) | Fact::TakeNewLife { .. } | Fact::Superseded { .. })
}

// spec: FAB-3
#[test]
fn with_five_of_a_hundred_datagrams_lost_nobody_is_ever_falsely_down() {
    for count in 3..=9 {
        let mut net = Net::new(count as u64, count, Profile::default());
        let begin = net.now;
        net.loss = 5;
        net.run(ms(20 * 60_000 / count as u64));
        let wrong = net.heard(begin, unsettled);
        assert!(wrong.is_empty(), "{count}: {wrong:?}");
        assert!(net.heard(begin, |_, f| matches!(f, Fact::Unreachable { .. })).len() < 2000 / count);
    }
}

// spec: FAB-3
#[test]
fn pauses_never_make_the_one_that_slept_accuse_others() {
    for seed in 1..=60 {
        let count = 2 + seed as usize % 8;
        let mut net = Net::new(seed, count, Profile::default());
        net.loss = 1;
        net.run(ms(1000));
        let begin = net.now;
        for span in [50, 150, 250, 400, 900, 1300, 2500, 10_000] {
            let span = span + net.roll() % 100;
            net.pause(0, ms(span));
            net.run(ms(span + 100));
            net.run(ms(5000));
        }
        let accusations = net.heard(begin, |whom, f| whom == 0 && matches!(f, Fact::Down { .. } | Fact::Isolated(_)));
        assert!(accusations.is_empty(), "seed {seed}: {accusations:?}");
        let among_others = net.downs(begin).into_iter().filter(|(_, _, f)| !matches!(f, Fact::Down { life } if life.node.0 == 1)).count();
        assert_eq!(among_others, 0, "seed {seed}");
        net.loss = 0;
        net.run(ms(3000));
        assert!(net.is_whole(), "seed {seed}");
    }
}

// spec: FAB-3, PSM-10
#[test]
fn two_cpus_that_are_cut_apart_presume_each_other_down_and_begin_new_lives_when_they_meet() {
    let mut net = Net::new(5, 2, Profile::default());
    net.run(ms(1000));
    let begin = net.now;
    net.split(1);
    net.run(ms(10_000));
    let unreachable = net.heard(begin, |_, f| matches!(f, Fact::Unreachable { .. }));
    assert_eq!((unreachable.len(), net.downs(begin).len()), (2, 2));
    assert!(unreachable[1].0 < net.downs(begin)[0].0);
    net.cut.clear();
    net.run(ms(3000));
    assert!(net.is_whole());
    let settled = net.now;
    net.run(ms(10_000));
    assert!(net.heard(settled, |_, _| true).is_empty(), "and that is the end of it");
}

// spec: FAB-3
#[test]
fn the_smaller_part_of_a_divided_system_knows_that_it_is_isolated_and_buries_nobody() {
    for (count, few) in [(4, 1), (5, 2), (7, 2), (9, 3), (9, 4)] {
        let mut net = Net::new(count as u64, count, Profile::default());
        net.loss = 2;
        net.run(ms(1000));
        let begin = net.now;
        net.split(few);
        net.run(ms(30_000));
        for whom in 0..few {
            let known = net.heard(begin, |w, f| w == whom && matches!(f, Fact::Isolated(_) | Fact::Down { .. }));
            assert!(matches!(known[..], [(_, _, Fact::Isolated(true))]), "{few} of {count}: {known:?}");
        }
        net.cut.clear();
        net.loss = 0;
        net.run(ms(8000));
        assert!(net.is_whole(), "{few} of {count}");
        assert!(net.agents.iter().all(|a| !a.is_isolated()));
    }
}

// spec: FAB-3
#[test]
fn a_cut_between_two_of_many_makes_them_unreachable_to_each_other_and_nobody_down() {
    let mut net = Net::new(3, 5, Profile::default());
    net.loss = 5;
    net.run(ms(1000));
    let begin = net.now;
    net.cut.insert((0, 1));
    net.run(ms(120_000));
    assert!(net.heard(begin, unsettled).is_empty());
    assert!(!net.agents[0].is_up(net.agents[1].own().node) && !net.agents[1].is_up(net.agents[0].own().node));
    net.cut.clear();
    net.loss = 0;
    net.run(ms(1000));
    assert!(net.is_whole());
}

// spec: FAB-3
#[test]
fn in_a_large_system_a_death_is_found_by_neighbours_and_known_to_all() {
    for seed in 1..=3 {
        let mut net = Net::new(seed, 60, Profile::default());
        net.loss = 5;
        net.run(ms(3000));
        let begin = net.now;
        net.kill(7);
        net.run(ms(20_000));
        let downs = net.downs(begin);
        assert_eq!(downs.len(), 59, "seed {seed}");
        assert!(downs.iter().all(|(_, _, f)| matches!(f, Fact::Down { life } if life.node.0 == 8)));
        assert!(downs[58].0 - begin < ms(3500), "{:?}", downs[58].0 - begin);
        assert!(net.heard(begin, |_, f| matches!(f, Fact::TakeNewLife { .. } | Fact::Isolated(_))).is_empty());
    }
}

// spec: FAB-3
#[test]
fn in_a_large_system_one_that_slept_comes_back_in_a_new_life_that_all_know() {
    let mut net = Net::new(9, 40, Profile::default());
    net.run(ms(2000));
    net.pause(3, ms(6000));
    net.run(ms(6000));
    assert!(!net.is_whole());
    net.run(ms(15_000));
    assert!(net.is_whole());
    assert_eq!(net.agents[3].own(), super::life(4, 2));
}
