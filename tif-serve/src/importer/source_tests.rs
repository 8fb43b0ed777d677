//! What incoming messages mean for rows and standings, on a clock of seconds.

use super::*;
use crate::importer::Table;
use crate::importer::test_data::{announcement, life, outage, report};
use tif_core::machine::sync;
use tif_core::model::OutageId;

/// One importer's sources and the table that its events make, on a clock of seconds.
#[derive(Default)]
struct World {
    sources: Sources,
    table: Table,
    now: u64,
}

impl World {
    fn now(&self) -> Now {
        Now { time: Time(self.now * 1_000_000_000), stamp: Stamp(self.now) }
    }

    fn does(&mut self, act: impl FnOnce(&mut Sources, Now, &mut Vec<Event>)) -> Vec<Event> {
        let mut out = Vec::new();
        let now = self.now();
        act(&mut self.sources, now, &mut out);
        out.iter().for_each(|event| self.table.apply(event));
        out
    }

    /// A life of the source `d` announces these, reports those, and says that it has `count`.
    fn sync(&mut self, n: u32, announced: &[(u64, &str)], reported: &[u64], all: &[&str]) -> Option<u32> {
        let mut again = None;
        self.does(|s, now, out| {
            s.on_begin(now, "d".parse().unwrap(), life(n), None, out);
            let instruments = announced.iter().map(|(id, name)| announcement(*id, "d", name).as_ref().clone()).collect();
            s.on_announced(now, instruments, out);
            for id in reported {
                s.on_report(now, Report { key: life(n), ..report(*id, u64::from(n)) }, out);
            }
            let (count, digest) = (all.len() as u64, sync::digest(all.iter().copied()));
            again = s.on_end(now, ReportsEnd { source: "d".parse().unwrap(), key: life(n), count, digest }, out);
        });
        again
    }

    fn after(&mut self, seconds: u64) -> Vec<Event> {
        self.now += seconds;
        self.does(|s, now, out| s.on_tick(now.time, out))
    }

    fn dies(&mut self, n: u32) {
        self.does(|s, now, out| s.on_outage(now, Outage { key: life(n), since: now.stamp, ..outage("d", None) }, out));
    }

    /// Path, value and standing of each row.
    fn rows(&self) -> Vec<String> {
        let value = |row: &crate::importer::Row| row.report.as_ref().and_then(|r| r.value.as_ref()?.to_bits());
        let show = |row: &crate::importer::Row| {
            let value = value(row).map_or("-".to_owned(), |v| v.to_string());
            format!("{} {value} {}", row.announcement.descriptor.path, row.standing)
        };
        self.table.rows().map(show).collect()
    }
}

// spec: SYN-4, SRV-8
#[test]
fn what_is_stale_for_too_long_is_lost_and_comes_back_with_its_source() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
    w.dies(1);
    assert!(w.after(29).is_empty());
    assert_eq!(w.rows(), ["a 1 stale", "b 1 stale"]);
    w.after(1);
    assert_eq!(w.rows(), ["a - lost", "b - lost"]);
    w.sync(2, &[(1, "d.a")], &[1], &["d.a"]);
    assert_eq!(w.rows(), ["a 2 live"]);
    assert_eq!(w.sources.deadline(), None);
}

// spec: OUT-5, SRV-8
#[test]
fn a_handover_is_not_to_be_seen_but_for_its_values() {
    let names = ["d.a", "d.b"];
    let announced = || vec![announcement(1, "d", "d.a").as_ref().clone(), announcement(2, "d", "d.b").as_ref().clone()];
    let begins = |s: &mut Sources, now, out: &mut Vec<Event>| {
        s.on_begin(now, "d".parse().unwrap(), life(2), Some(life(1)), out);
        s.on_announced(now, announced(), out);
        s.on_report(now, Report { key: life(2), ..report(1, 2) }, out);
    };
    let mark = |count| ReportsEnd { source: "d".parse().unwrap(), key: life(2), count, digest: sync::digest(names) };

    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &names);
    let events = w.does(begins);
    assert!(matches!(&events[..], [Event::Report { .. }]), "{events:?}");
    assert_eq!(w.rows(), ["a 2 live", "b 1 live"]);
    let late = w.does(|s, now, out| s.on_report(now, Report { key: life(1), ..report(2, 7) }, out));
    assert!(late.is_empty(), "the old life has nothing more to say: {late:?}");
    w.does(|s, now, out| assert_eq!(s.on_end(now, mark(2), out), None));
    assert_eq!(w.rows(), ["a 2 live", "b 1 live"]);
    // Of one of which the successor has announced only the name, the old value goes when it is too old.
    w.after(30);
    assert_eq!(w.rows(), ["a 2 live", "b - live"]);

    // If the mark does not fit, what the successor has not said is stale.
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &names);
    w.does(begins);
    w.does(|s, now, out| assert_eq!(s.on_end(now, mark(3), out), Some(1)));
    assert_eq!(w.rows()[1], "b 1 stale");

    // Of a source that was lost already nobody can hand over what is fresh.
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &names);
    w.dies(1);
    w.does(begins);
    assert_eq!(w.rows(), ["a 2 live", "b 1 stale"]);
}

// spec: SYN-4
#[test]
fn a_crash_loop_does_not_keep_old_values_alive() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    w.dies(1);
    for n in 2..6 {
        w.after(5);
        // Each life announces something else and dies before its end mark fits.
        w.sync(n, &[(2, "d.b")], &[2], &["d.b", "d.c"]);
        w.dies(n);
    }
    w.after(10);
    assert_eq!(w.rows(), ["b 5 stale"]);
    w.after(20);
    assert_eq!(w.rows(), ["b - lost"]);
}

// spec: SYN-7
#[test]
fn a_second_subscription_brings_only_what_is_new_and_the_mark_counts_all() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    assert_eq!(w.sync(1, &[(2, "d.b")], &[2], &["d.a", "d.b"]), None);
    assert_eq!(w.rows(), ["a 1 live", "b 1 live"]);
    // Also when the agent has only old values to show.
    w.dies(1);
    let again = w.does(|s, now, out| {
        s.on_begin(now, "d".parse().unwrap(), life(1), None, out);
        s.on_announced(now, vec![announcement(3, "d", "d.c").as_ref().clone()], out);
        s.on_report(now, Report { quality: Quality::Outage { id: OutageId(1), since: Stamp(0) }, ..report(3, 1) }, out);
        let digest = sync::digest(["d.a", "d.b", "d.c"]);
        assert_eq!(s.on_end(now, ReportsEnd { source: "d".parse().unwrap(), key: life(1), count: 3, digest }, out), None);
    });
    assert!(!again.iter().any(|e| matches!(e, Event::Removed(_))));
    assert_eq!(w.rows(), ["a 1 stale", "b 1 stale", "c 1 stale"]);
    w.after(30);
    assert_eq!(w.rows(), ["a - lost", "b - lost", "c - lost"]);
}

// spec: SYN-6
#[test]
fn what_a_restarted_agent_does_not_send_again_goes_although_its_exporter_has_the_same_key() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
    w.does(|s, now, out| s.on_link_lost(now, out));
    assert_eq!(w.rows(), ["a 1 stale", "b 1 stale"]);
    assert_eq!(w.sync(1, &[(9, "d.a")], &[9], &["d.a"]), None);
    assert_eq!(w.rows(), ["a 1 live"]);
}

// It was seen that a link lost in the middle of the last values of a dead exporter made them young again.
// spec: SYN-4
#[test]
fn what_was_only_about_to_be_said_once_more_when_the_link_was_lost_gets_no_younger() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    w.dies(1);
    w.after(20);
    w.does(|s, now, out| {
        s.on_begin(now, "d".parse().unwrap(), life(1), None, out);
        s.on_announced(now, vec![announcement(1, "d", "d.a").as_ref().clone()], out);
        s.on_link_lost(now, out);
    });
    assert_eq!(w.rows(), ["a 1 stale"]);
    w.after(10);
    assert_eq!(w.rows(), ["a - lost"]);
}

// spec: SYN-7
#[test]
fn what_is_asked_for_again_stays_as_stale_until_it_comes() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    assert_eq!(w.sync(1, &[(2, "d.b")], &[2], &["d.a", "d.b", "d.c"]), Some(1));
    w.sources.on_asked_again();
    w.does(|s, now, out| s.on_withdrawn(now, &[InstrumentId(1), InstrumentId(2)], out));
    assert_eq!(w.rows(), ["a 1 stale", "b 1 stale"]);
    assert_eq!(w.sync(1, &[(1, "d.a"), (3, "d.c")], &[1, 3], &["d.a", "d.c"]), None);
    assert_eq!(w.rows(), ["a 1 live", "c 1 live"]);
    // At most so often.
    let tries: Vec<_> = (0..5).map(|_| w.sync(1, &[], &[], &["d.x"])).collect();
    assert_eq!(tries, [Some(1), Some(2), Some(3), None, None]);
}

// spec: SRV-8
#[test]
fn an_instrument_that_is_there_again_without_a_value_shows_its_old_one_as_stale_and_then_none() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
    w.dies(1);
    w.after(20);
    assert_eq!(w.sync(2, &[(1, "d.a"), (2, "d.b")], &[1], &["d.a", "d.b"]), None);
    assert_eq!(w.rows(), ["a 2 live", "b 1 stale"]);
    w.after(10);
    assert_eq!(w.rows(), ["a 2 live", "b - live"]);
}

// spec: PSM-7, SRV-8
#[test]
fn what_a_deposed_exporter_still_says_is_not_shown() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    w.sync(2, &[(1, "d.a")], &[1], &["d.a"]);
    assert!(w.does(|s, now, out| s.on_report(now, report(1, 77), out)).is_empty());
    w.dies(1);
    assert_eq!(w.rows(), ["a 2 live"], "old news of the old exporter");
    assert_eq!(w.sources.dropped, 1);
}

// spec: SYN-6
#[test]
fn what_is_no_longer_wanted_does_not_take_the_number_along_that_another_instrument_has_by_now() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
    w.does(|s, now, out| {
        s.on_link_lost(now, out);
        s.on_begin(now, "d".parse().unwrap(), life(1), None, out);
        s.on_announced(now, vec![announcement(1, "d", "d.b").as_ref().clone()], out);
        s.keep_only(&["d.b".parse().unwrap()], out);
        s.on_report(now, report(1, 7), out);
    });
    assert_eq!(w.rows(), ["b 7 live"]);
}

// spec: SRV-8
#[test]
fn what_was_lost_is_removed_once_it_is_withdrawn_or_not_wanted_any_more() {
    let gone = |events: &[Event]| events.iter().filter(|e| matches!(e, Event::Removed(_))).count();
    let mut w = World::default();
    w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
    w.dies(1);
    w.after(30);
    let withdrawn = |s: &mut Sources, now: Now, out: &mut Vec<Event>| s.on_withdrawn(now, &[InstrumentId(1)], out);
    assert_eq!((gone(&w.does(withdrawn)), gone(&w.does(withdrawn))), (1, 0));
    assert_eq!(w.rows(), ["b - lost"]);
    assert_eq!(gone(&w.does(|s, _, out| s.keep_only(&["x.**".parse().unwrap()], out))), 1);
    assert!(w.rows().is_empty());

    // Also when the agent went first, so that the row has no number any more.
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    w.does(|s, now, out| s.on_link_lost(now, out));
    w.after(30);
    assert_eq!(w.rows(), ["a - lost"]);
    w.does(|s, _, out| s.keep_only(&["x.**".parse().unwrap()], out));
    assert!(w.rows().is_empty());
}

#[test]
fn nothing_is_kept_of_processes_that_came_under_ever_new_names() {
    let mut w = World::default();
    for n in 0..50 {
        let source: Name = format!("p-{n}").parse().unwrap();
        w.does(|s, now, out| {
            s.on_begin(now, source.clone(), life(n), None, out);
            s.on_announced(now, vec![announcement(n.into(), source.as_str(), "d.a").as_ref().clone()], out);
            s.on_report(now, Report { key: life(n), ..report(n.into(), 1) }, out);
            s.on_end(now, ReportsEnd { source: source.clone(), key: life(n), count: 1, digest: sync::digest(["d.a"]) }, out);
        });
        assert_eq!(w.sources.sources.len(), 1);
        match n % 3 {
            0 => drop(w.does(|s, now, out| s.on_withdrawn(now, &[InstrumentId(n.into())], out))),
            1 => {
                w.does(|s, now, out| s.on_outage(now, Outage { key: life(n), ..outage(source.as_str(), None) }, out));
                w.after(30);
                w.does(|s, now, out| s.on_withdrawn(now, &[InstrumentId(n.into())], out));
            }
            // Two agents have come and gone, and none knew it.
            _ => {
                w.does(|s, now, out| s.on_link_lost(now, out));
                w.after(30);
                w.does(|s, now, out| s.on_link_lost(now, out));
            }
        }
        assert!(w.rows().is_empty() && w.sources.sources.is_empty() && w.sources.instruments.is_empty(), "{n}");
    }
}

// spec: SYN-4
#[test]
fn a_source_that_its_first_report_began_has_a_silence_of_its_own_later() {
    let mut w = World::default();
    w.does(|s, now, out| {
        s.on_announced(now, [(1, "d.a"), (2, "d.b")].map(|(id, name)| announcement(id, "d", name).as_ref().clone()).into(), out);
        s.on_report(now, report(1, 1), out);
        s.on_report(now, report(2, 1), out);
    });
    w.after(100);
    w.dies(1);
    w.after(10);
    w.sync(2, &[(1, "d.a"), (2, "d.b")], &[1], &["d.a", "d.b"]);
    w.after(19);
    assert_eq!(w.rows(), ["a 2 live", "b 1 stale"]);
    w.after(1);
    assert_eq!(w.rows(), ["a 2 live", "b - live"]);
}

// spec: SYN-7
#[test]
fn what_another_source_still_says_does_not_take_away_what_is_asked_for_again() {
    let mut w = World::default();
    w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
    w.does(|s, now, out| {
        s.on_asked_again();
        s.on_begin(now, "e".parse().unwrap(), life(4), None, out);
        s.on_withdrawn(now, &[InstrumentId(1)], out);
    });
    assert_eq!(w.rows(), ["a 1 stale"]);
    assert_eq!(w.sync(1, &[(1, "d.a")], &[1], &["d.a"]), None);
    assert_eq!(w.rows(), ["a 1 live"]);
    w.does(|s, now, out| s.on_withdrawn(now, &[InstrumentId(1)], out));
    assert!(w.rows().is_empty(), "withdrawn once more it is gone");
}

// spec: SYN-7
#[test]
fn a_successor_is_asked_again_as_often_as_its_predecessor_was() {
    let mut w = World::default();
    let mut tries = |n| -> Vec<_> {
        let mut again = || {
            let attempt = w.sync(n, &[(1, "d.a")], &[1], &["d.x"]);
            w.sources.on_asked_again();
            attempt
        };
        (0..4).map(|_| again()).collect()
    };
    assert_eq!(tries(1), [Some(1), Some(2), Some(3), None]);
    assert_eq!(tries(2), [Some(1), Some(2), Some(3), None]);
}

// spec: SRV-8, SYN-4
#[test]
fn who_begins_to_watch_while_the_exporter_is_silent_sees_it_live_when_it_speaks() {
    let mut w = World::default();
    w.does(|s, now, out| {
        s.on_begin(now, "d".parse().unwrap(), life(1), None, out);
        s.on_announced(now, vec![announcement(1, "d", "d.a").as_ref().clone()], out);
        s.on_report(now, Report { quality: Quality::Stale { since: Stamp(0) }, ..report(1, 1) }, out);
        let digest = sync::digest(["d.a"]);
        assert_eq!(s.on_end(now, ReportsEnd { source: "d".parse().unwrap(), key: life(1), count: 1, digest }, out), None);
    });
    assert_eq!(w.rows(), ["a 1 stale"]);
    w.after(10);
    w.does(|s, now, out| s.on_report(now, report(1, 2), out));
    assert_eq!(w.rows(), ["a 2 live"]);
    w.after(60);
    assert_eq!(w.rows(), ["a 2 live"]);
}

// spec: OUT-2, OUT-4
#[test]
fn who_was_deposed_and_leads_again_can_be_lost_another_time() {
    let mut w = World::default();
    let begins = |n: u32| Outage { key: life(n), ..outage("d", None) };
    let ends = |n: u32, by: u32| Outage { key: life(n), ..outage("d", Some(end_by(by))) };
    for (news, told) in [(begins(1), 1), (ends(1, 2), 1), (begins(2), 1), (ends(2, 1), 1), (begins(1), 1), (begins(1), 0)] {
        let what = format!("{news:?}");
        let events = w.does(|s, now, out| s.on_outage(now, news, out));
        assert_eq!(events.iter().filter(|e| matches!(e, Event::Outage(_))).count(), told, "{what}");
    }
}

// spec: OUT-2
#[test]
fn who_is_seen_live_after_its_outage_can_be_lost_another_time() {
    let mut w = World::default();
    let lost = || Outage { key: life(1), ..outage("d", None) };
    for (seen_live, told) in [(false, 1), (false, 0), (true, 1)] {
        if seen_live {
            w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
        }
        let events = w.does(|s, now, out| {
            s.on_outage(now, lost(), out);
            s.on_outage(now, Outage { key: life(1), ..outage("d", Some(end_by(2))) }, &mut Vec::new());
        });
        assert_eq!(events.iter().filter(|e| matches!(e, Event::Outage(_))).count(), told);
    }
}

fn end_by(n: u32) -> tif_core::model::OutageEnd {
    tif_core::model::OutageEnd {
        process: "demo-2".parse().unwrap(),
        key: life(n),
        at: Stamp(9),
        gap_ms: 4,
        remapped: 1,
        removed: 0,
        added: 0,
        carried: 0,
        counted: true,
    }
}
