//! How fast, and how much it costs.

use super::super::{Fact, Profile};
use super::net::Net;
use super::{at, life, ms, new, said};

// spec: FAB-3
#[test]
fn a_real_death_is_known_to_all_between_one_and_one_point_six_seconds_later() {
    for (loss, count) in [(0, 2), (0, 3), (0, 5), (0, 9), (5, 3), (5, 9)] {
        let mut took = Vec::new();
        for seed in 1..=60 {
            let mut net = Net::new(seed, count, Profile::default());
            net.loss = loss;
            let settle = 1000 + net.roll() % 200;
            net.run(ms(settle));
            let begin = net.now;
            net.kill(0);
            net.run(ms(4000));
            let downs = net.downs(begin);
            assert_eq!(downs.len(), count - 1, "seed {seed}");
            assert!(downs.iter().all(|(_, _, f)| matches!(f, Fact::Down { life } if life.node.0 == 1)));
            took.extend(downs.iter().map(|(time, _, _)| (*time - begin).as_millis() as u64));
        }
        took.sort_unstable();
        let (first, last) = (took[0], took[took.len() - 1]);
        let percent = |p: usize| took[took.len() * p / 100] as f64 / 100.0;
        println!("loss {loss} %, {count} CPUs: p50 {} p99 {} heartbeats, {first} to {last} ms", percent(50), percent(99));
        // A heartbeat may be due up to 5 ms before the timer fires; with losses the last one heard may be one or two earlier than the last sent.
        assert!(first >= if loss == 0 { 990 } else { 790 } && last <= 1600, "{count}: {first} to {last}");
    }
}

// spec: FAB-3
#[test]
fn a_thousand_cpus_cost_each_no_more_than_sixteen() {
    for count in [2, 9, 17, 18, 64] {
        let mut net = Net::new(1, count, Profile::default());
        net.run(ms(300));
        let before: u64 = net.sent.iter().sum();
        net.run(ms(1000));
        let each = (net.sent.iter().sum::<u64>() - before) as f64 / count as f64;
        println!("{count} CPUs: {each:.0} messages a second each");
        assert!(each <= 165.0 && (count < 18 || each <= 85.0), "{count}: {each}");
    }
    // One of a thousand, whose neighbours answer.
    let mut one = new(1);
    for node in 2..=1000 {
        one.introduce(at(1000), life(node, 1)).expect("there is room");
    }
    let mut sent = 0;
    for now in (1000..2000).step_by(100) {
        for fact in one.poll(at(now)) {
            sent += 1;
            if let Fact::SendBeat(beat) = fact {
                assert_eq!(said(one.on_heard(at(now), beat.to)), []);
            }
        }
    }
    println!("1000 CPUs: {sent} messages a second each");
    assert_eq!(sent, 80);
}
