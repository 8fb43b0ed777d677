//! One detector at a time.

use super::super::{Beat, Clocks, Detector, Fact, HEALTH_MAX, PEERS_MAX, Profile, Rumour, TooManyPeers};
use super::{at, life, ms, new, said};
use crate::model::{Incarnation, NodeId};

fn beat(from: u32, epoch: u32) -> Beat {
    Beat { from: life(from, epoch), to: life(1, 1), health: 0, digest: 0, restarting: None, rumours: Vec::new() }
}

/// Agent 1, that knows the others up to `count`, at one second.
fn knowing(count: u32) -> Detector {
    let mut d = new(1);
    for node in 2..=count {
        d.introduce(at(1000), life(node, 1)).unwrap();
    }
    d
}

/// Lets it keep time until then, while these are heard. What it came to know, and when.
fn pass(d: &mut Detector, from: u64, to: u64, heard: &[u32]) -> Vec<(u64, Fact)> {
    let mut known = Vec::new();
    for now in (from + 10..=to).step_by(10) {
        let mut facts = Vec::new();
        if now % 100 == 0 {
            heard.iter().for_each(|node| facts.extend(d.on_beat(at(now), &beat(*node, 1))));
        }
        if d.deadline().is_some_and(|due| due <= at(now).mono) {
            facts.extend(d.poll(at(now)));
        }
        known.extend(said(facts).into_iter().map(|fact| (now, fact)));
    }
    known
}

// spec: FAB-3, PSM-10
#[test]
fn with_two_cpus_silence_makes_unreachable_and_then_presumed_down() {
    let mut d = knowing(2);
    let known = pass(&mut d, 1000, 4000, &[]);
    assert!(matches!(known[..], [(1400..=1450, Fact::Unreachable { node: NodeId(2) }), (2100..=2150, Fact::Down { .. })]), "{known:?}");
}

// spec: FAB-3
#[test]
fn any_traffic_counts_as_heard() {
    let mut d = knowing(2);
    for now in (1100..9000).step_by(100) {
        d.on_heard(at(now), life(2, 1));
        assert_eq!(said(d.poll(at(now))), []);
    }
}

// spec: FAB-3
#[test]
fn one_that_a_third_still_hears_is_unreachable_and_not_down() {
    let mut d = knowing(3);
    let mut known = Vec::new();
    for now in (1050..20_000).step_by(50) {
        let mut facts = d.on_beat(at(now), &beat(3, 1));
        facts.extend(d.poll(at(now)));
        for fact in facts.clone() {
            if let Fact::AskConfirm { via, about, asked } = fact {
                assert_eq!((via, about), (life(3, 1), life(2, 1)));
                facts.extend(d.on_answer(at(now), via, about, asked, ms(100), 0));
            }
        }
        known.extend(said(facts));
    }
    assert_eq!(known, [Fact::Unreachable { node: NodeId(2) }]);
    assert_eq!(said(d.on_heard(at(20_000), life(2, 1))), [Fact::Reachable { node: NodeId(2) }]);
}

// spec: FAB-3
#[test]
fn the_word_of_one_that_doubts_itself_counts_for_less() {
    let down_at = |health: u8| {
        let mut d = knowing(3);
        for now in (1050..5000).step_by(50) {
            let mut facts = d.on_beat(at(now), &beat(3, 1));
            facts.extend(d.poll(at(now)));
            for fact in facts {
                match fact {
                    Fact::AskConfirm { via, about, asked } => drop(d.on_answer(at(now), via, about, asked, ms(500), health)),
                    Fact::Down { .. } => return now,
                    _ => {}
                }
            }
        }
        panic!("it is dead");
    };
    assert_eq!((down_at(0), down_at(HEALTH_MAX), down_at(255)), (2100, 2400, 2400));
}

// spec: FAB-3
#[test]
fn after_a_pause_it_accuses_nobody_for_as_long_as_it_was_away_and_then_gives_each_its_whole_time() {
    for (suspended, gap) in [(false, 300), (false, 5_000), (true, 5_000), (true, 3_600_000)] {
        let mut d = knowing(2);
        pass(&mut d, 1000, 1300, &[2]);
        // A suspended machine's monotonic clock stands still.
        let clock = |now: u64| if suspended { Clocks { mono: at(now).mono, boot: at(now + gap).mono } } else { at(now + gap) };
        assert_eq!(said(d.poll(clock(1310))), []);
        assert_eq!(d.health(), 1);
        let mut silent = 0;
        let first = loop {
            silent += 10;
            if let [fact, ..] = &said(d.poll(clock(1310 + silent)))[..] {
                break fact.clone();
            }
        };
        for later in (10..300).step_by(10) {
            assert_eq!(said(d.poll(clock(1310 + silent + later))), [], "whoever might know better has time to say so");
        }
        assert_eq!(first, Fact::Unreachable { node: NodeId(2) });
        assert!(silent >= gap.clamp(400, 30_000), "{gap}: {silent}");
        assert!(silent <= gap.clamp(400, 30_000) + 500, "a night of sleep makes it blind for half a minute: {silent}");
    }
}

// spec: FAB-3
#[test]
fn doubt_makes_patient_is_told_and_fades() {
    let mut d = knowing(2);
    for _ in 0..20 {
        d.on_strain(at(1000));
    }
    assert_eq!(d.health(), HEALTH_MAX);
    let told = d.poll(at(1000)).into_iter().any(|f| matches!(f, Fact::SendBeat(Beat { health: HEALTH_MAX, .. })));
    assert!(told);
    assert_eq!(pass(&mut d, 1000, 2000, &[]), [], "a healthy one would have said it at 1400");
    pass(&mut d, 2000, 9100, &[2]);
    assert_eq!(d.health(), 0);
}

// spec: FAB-3
#[test]
fn when_half_of_all_and_at_least_three_vanish_at_once_it_is_isolated_and_nobody_goes_down() {
    let mut d = knowing(6);
    pass(&mut d, 1000, 2000, &[2, 3, 4, 5, 6]);
    let known = pass(&mut d, 2000, 20_000, &[2, 3]);
    let isolated: Vec<_> = known.iter().filter(|(_, f)| !matches!(f, Fact::Unreachable { .. })).collect();
    assert!(matches!(isolated[..], [(2400..=2450, Fact::Isolated(true))]), "{isolated:?}");
    assert!(d.is_isolated());
    let back = pass(&mut d, 20_000, 20_500, &[2, 3, 4]);
    assert!(back.iter().any(|(_, f)| *f == Fact::Isolated(false)), "{back:?}");
    let rest = pass(&mut d, 20_500, 23_000, &[2, 3, 4]);
    assert!(
        rest.iter().all(|(now, f)| matches!(f, Fact::Down { .. }) && *now >= 21_100),
        "those that stay away get the whole time: {rest:?}"
    );
    assert_eq!(rest.len(), 2);
}

// spec: FAB-3
#[test]
fn two_of_three_peers_may_die_at_once() {
    let mut d = knowing(4);
    let known = pass(&mut d, 1000, 4000, &[2]);
    assert_eq!(known.iter().filter(|(_, f)| matches!(f, Fact::Down { .. })).count(), 2, "{known:?}");
}

// spec: FAB-3
#[test]
fn a_planned_restart_is_waited_for_thirty_seconds_at_most() {
    for (announced, waits) in [(5, 5_000), (3_600, 30_000)] {
        let mut d = knowing(2);
        d.on_beat(at(1000), &Beat { restarting: Some(ms(announced * 1000)), ..beat(2, 1) });
        let known = pass(&mut d, 1000, 40_000, &[]);
        let until = 1000 + waits;
        assert!(
            matches!(&known[..], [(_, Fact::Unreachable { .. }), (down, Fact::Down { .. })] if (until..until + 60).contains(down)),
            "{known:?}"
        );
    }
    let mut d = knowing(2);
    d.announce_restart(at(1000), ms(7000));
    assert!(d.poll(at(1000)).iter().any(|f| matches!(f, Fact::SendBeat(Beat { restarting: Some(within), .. }) if *within == ms(7000))));
}

// spec: FAB-3
#[test]
fn a_closed_link_makes_unreachable_at_once_and_gives_time_to_come_back() {
    let mut d = knowing(2);
    assert_eq!(said(d.on_link_closed(at(1010), life(2, 1))), [Fact::Unreachable { node: NodeId(2) }]);
    assert_eq!(d.on_link_closed(at(1010), life(2, 1)), []);
    assert_eq!(pass(&mut d, 1010, 3900, &[]), []);
    let back = said(d.on_beat(at(3910), &beat(2, 2)));
    assert_eq!(back, [Fact::Superseded { old: life(2, 1), new: life(2, 2) }], "nobody died");
    d.on_link_closed(at(3920), life(2, 2));
    assert!(matches!(pass(&mut d, 3920, 9000, &[])[..], [(6920..=6980, Fact::Down { .. })]));
    assert_eq!(d.on_link_closed(at(9000), life(2, 2)), [], "it is known");
}

// spec: PSM-10
#[test]
fn a_life_that_was_given_up_is_refused_and_only_a_new_one_is_up() {
    let mut d = knowing(2);
    pass(&mut d, 1000, 3000, &[]);
    let refusal = Fact::Refuse { to: life(2, 1), current: life(2, 1) };
    assert_eq!(d.on_beat(at(3010), &beat(2, 1)), [refusal]);
    assert_eq!(d.on_heard(at(3020), life(2, 1)), [], "once a heartbeat is enough");
    assert_eq!(d.life(NodeId(2)), Some((life(2, 1), true)));
    assert_eq!(said(d.on_beat(at(3030), &beat(2, 2))), [Fact::Up { life: life(2, 2) }]);
    assert_eq!(
        d.on_heard(at(3200), life(2, 1)),
        [Fact::Refuse { to: life(2, 1), current: life(2, 2) }],
        "an older one is told of the newer"
    );
    assert!(d.is_up(NodeId(2)));
}

// spec: PSM-10
#[test]
fn one_that_is_refused_takes_a_new_life_once() {
    let mut d = knowing(3);
    let anew = [Fact::TakeNewLife { above: Incarnation::new(1, 0) }];
    assert_eq!(d.on_refused(at(1010), life(2, 1), life(1, 1), life(1, 1)), anew);
    assert_eq!(d.on_refused(at(1020), life(3, 1), life(1, 1), life(1, 1)), []);
    d.renew(at(1030), life(1, 2));
    assert_eq!(d.on_refused(at(1040), life(3, 1), life(1, 1), life(1, 1)), [], "that was the life before");
    let lost_store = Beat { to: life(1, 9), ..beat(2, 1) };
    assert_eq!(d.on_beat(at(1050), &lost_store), [Fact::TakeNewLife { above: Incarnation::new(9, 0) }]);
}

// spec: FAB-3
#[test]
fn no_verdict_is_passed_before_a_quarter_of_a_second() {
    let mut d = Detector::new(life(1, 1), Profile::new(ms(0), ms(0), ms(0)));
    d.introduce(at(1000), life(2, 1)).unwrap();
    assert_eq!(pass(&mut d, 1000, 1249, &[]), []);
    let mut d = Detector::new(life(1, 1), Profile::fast());
    d.introduce(at(1000), life(2, 1)).unwrap();
    let known = pass(&mut d, 1000, 3000, &[]);
    assert!(matches!(known[..], [(1300..=1330, Fact::Unreachable { .. }), (1550..=1580, Fact::Down { .. })]), "{known:?}");
}

// spec: FAB-3
#[test]
fn gossip_about_one_that_is_heard_here_is_not_believed_and_it_is_told() {
    let mut d = knowing(30);
    let news = Beat { rumours: vec![Rumour { life: life(9, 1), down: true }], ..beat(2, 1) };
    d.on_heard(at(1010), life(9, 1));
    let facts = d.on_beat(at(1020), &news);
    assert_eq!(facts, [Fact::Refuse { to: life(9, 1), current: life(9, 1) }]);
    assert_eq!(said(d.on_beat(at(1400), &Beat { health: 1, ..news.clone() })), [], "half a word");
    let other = Beat { health: 1, from: life(3, 1), ..news };
    assert_eq!(said(d.on_beat(at(1410), &other)), [Fact::Down { life: life(9, 1) }]);
}

// spec: SEC-2
#[test]
fn there_is_a_bound_on_peers_and_strangers_are_only_named() {
    let mut d = new(1);
    assert_eq!(d.on_heard(at(0), life(7, 3)), [Fact::Stranger { life: life(7, 3) }]);
    assert_eq!((d.deadline(), d.life(NodeId(7))), (None, None));
    for node in 2..=PEERS_MAX as u32 + 1 {
        d.introduce(at(1000), life(node, 1)).unwrap();
    }
    assert_eq!(d.introduce(at(1000), life(9999, 1)), Err(TooManyPeers));
    d.on_heard(at(1000), life(1, 5));
    assert_eq!(d.own(), life(1, 1), "nobody is its own peer");
}
