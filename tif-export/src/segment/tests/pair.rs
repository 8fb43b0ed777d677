//! An exporter's side and an agent's side on two mappings of the same memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::*;
use crate::segment::{BoardError, CounterCell, DeclareError, HistogramCell, ScalarCell, WideCell};
use tif_core::agent::io::ControlValue;
use tif_core::layout::WATCHED;
use tif_core::model::Version;

#[test]
// spec: EXP-6, INS-9
fn what_is_declared_is_found_and_every_sort_of_value_is_read() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let depth = segment.declare(&descriptor("depth", Kind::Gauge, ValueType::F64), &Dimensions::NONE).unwrap();
    let done = segment.declare(&counter("done"), &dims("shard=3")).unwrap();
    let took = segment.declare(&descriptor("took", Kind::Histogram, ValueType::Histogram), &Dimensions::NONE).unwrap();
    let state = segment.declare(&descriptor("state", Kind::Gauge, ValueType::Text), &Dimensions::NONE).unwrap();
    segment.scalar(&depth).store(1.5f64.to_bits(), |_| true);
    segment.counter(&done).add(41);
    segment.counter(&done).add(1);
    segment.histogram(&took).record(100);
    segment.histogram(&took).record(200);
    segment.wide(&state).store("idle");
    assert_eq!((segment.counter(&done).sum(), segment.wide(&state).load().as_str()), (42, "idle"));

    let mut agent = open(&segment);
    assert_eq!((agent.service(), agent.facts().slots_max), (name("orders"), 128));
    let found: Vec<String> = agent
        .scan()
        .into_iter()
        .map(|change| match change {
            TableChange::Declared(d) => format!("{}{}", d.descriptor.path, d.dims),
            TableChange::Withdrawn(slot) => panic!("{slot} withdrawn"),
        })
        .collect();
    assert_eq!(found, ["depth", "done{shard=3}", "took", "state"]);
    assert_eq!(agent.sample(depth.slot), Some(Ok(Value::F64(1.5))));
    assert_eq!(agent.sample(done.slot), Some(Ok(Value::U64(42))));
    assert_eq!(agent.sample(state.slot), Some(Ok(Value::Text("idle".into()))));
    let Some(Ok(Value::Histogram(h))) = agent.sample(took.slot) else { panic!("no histogram") };
    assert_eq!((h.count, h.sum), (2, 300));
    assert_eq!(*h, segment.histogram(&took).snapshot(1.0));
    assert_eq!(agent.sample(Slot(99)), None);
    drop(segment);
    assert_eq!(agent.values_all().len(), 4, "a dead exporter's last values stay readable");
}

#[test]
// spec: EXP-2, INS-6, MON-2
fn only_a_watched_and_significant_change_rings_and_only_once() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&gauge("depth"), &Dimensions::NONE).unwrap();
    let cell = segment.scalar(&place);
    let mut agent = attach(&segment);
    drain(&mut agent);
    rings(&segment);

    cell.store(1, |_| panic!("nobody watches, nobody judges"));
    assert_eq!((rings(&segment), drain(&mut agent).1), (0, vec![]));

    agent.watch(place.slot, true);
    assert!(agent.unsettled() && cell.is_watched());
    assert_eq!(agent.sample(place.slot), Some(Ok(Value::U64(1))));
    assert_eq!(agent.settle(), []);
    cell.store(2, |_| panic!("nothing was sent yet"));
    cell.store(3, |_| true);
    assert_eq!(rings(&segment), 1);
    assert_eq!(drain(&mut agent).1, [place.slot]);

    assert_eq!(agent.sample(place.slot), Some(Ok(Value::U64(3))));
    agent.sent(place.slot);
    assert!(drain(&mut agent).1.is_empty());
    let far = |bits: u64| move |sent: u64| bits.abs_diff(sent) >= 10;
    cell.store(12, far(12));
    assert_eq!((rings(&segment), drain(&mut agent).1), (0, vec![]));
    cell.store(13, far(13));
    assert_eq!((rings(&segment), drain(&mut agent).1), (1, vec![place.slot]));

    agent.watch(place.slot, false);
    cell.store(99, |_| true);
    assert_eq!((rings(&segment), drain(&mut agent).1), (0, vec![]));
}

#[test]
fn a_change_between_sampling_and_publishing_what_was_sent_is_found_when_arming() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&gauge("depth"), &Dimensions::NONE).unwrap();
    let mut agent = attach(&segment);
    agent.watch(place.slot, true);
    drain(&mut agent);
    agent.sample(place.slot);
    agent.sent(place.slot);
    assert!(agent.arm());
    // The exporter judges by 0 that 5 does not matter, while the agent ...
    segment.scalar(&place).store(5, |_| false);
    agent.sent(place.slot);
    assert!(!agent.arm());
    assert_eq!(agent.sweep().changed, [place.slot]);
}

#[test]
fn a_store_under_way_while_a_watch_begins_is_found_a_moment_later() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&gauge("depth"), &Dimensions::NONE).unwrap();
    let mut agent = attach(&segment);
    segment.scalar(&place).store(1, |_| true);
    agent.watch(place.slot, true);
    agent.sample(place.slot);
    // As if this store had not seen the watch word.
    agent.watch(place.slot, false);
    segment.scalar(&place).store(2, |_| true);
    agent.watch(place.slot, true);
    assert_eq!(agent.settle(), [place.slot, place.slot]);
    assert!(!agent.unsettled());
}

#[test]
// spec: EXP-8
fn instruments_come_and_go_and_their_places_are_used_again_clean() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let mut agent = attach(&segment);
    let place = segment.declare(&counter("a"), &Dimensions::NONE).unwrap();
    segment.counter(&place).add(5);
    let declared = |changes: Vec<TableChange>| -> Vec<String> {
        let show = |c| match c {
            TableChange::Declared(d) => format!("+{}", d.descriptor.path),
            TableChange::Withdrawn(slot) => format!("-{slot}"),
        };
        changes.into_iter().map(show).collect()
    };
    assert_eq!(declared(drain(&mut agent).0), ["+a"]);
    segment.withdraw(place);
    segment.withdraw(place);
    let again = segment.declare(&counter("b"), &Dimensions::NONE).unwrap();
    assert_eq!((again.slot, segment.counter(&again).sum()), (place.slot, 0));
    segment.withdraw(place);
    assert_eq!(declared(drain(&mut agent).0), ["-0", "+b"]);
    segment.withdraw(again);
    assert_eq!(declared(drain(&mut agent).0), ["-0"]);
    assert_eq!(agent.sample(place.slot), None);
}

#[test]
fn a_name_that_moves_to_another_slot_is_not_taken_for_a_second_one() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let x = segment.declare(&gauge("y"), &Dimensions::NONE).unwrap();
    let y = segment.declare(&gauge("x"), &Dimensions::NONE).unwrap();
    let mut agent = attach(&segment);
    drain(&mut agent);
    segment.withdraw(y);
    segment.withdraw(x);
    let moved = segment.declare(&gauge("x"), &Dimensions::NONE).unwrap();
    assert_eq!(moved.slot, x.slot);
    let (table, _) = drain(&mut agent);
    assert!(table.iter().any(|c| matches!(c, TableChange::Declared(d) if d.slot == moved.slot)), "{table:?}");
    assert_eq!(agent.refused(), 0);
    segment.declare(&gauge("x"), &Dimensions::NONE).unwrap();
    drain(&mut agent);
    assert_eq!(agent.refused(), 1, "the second of a name is skipped and counted");
}

#[test]
// spec: EXP-8
fn what_does_not_fit_is_counted_and_the_service_goes_on() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    for shard in 0..64 {
        segment.declare(&counter("done"), &dims(&format!("shard={shard}"))).unwrap();
    }
    match segment.declare(&counter("done"), &dims("shard=64")) {
        Err(DeclareError::Full { what, max }) => assert_eq!((what, max), ("counters", 64)),
        other => panic!("{other:?}"),
    }
    assert_eq!(segment.overflow(), 1);
    assert!(segment.declare(&gauge("still"), &Dimensions::NONE).is_ok(), "nothing was taken by what did not fit");
    let (counter, scalar, histogram, wide) = (CounterCell::private(), ScalarCell::private(), HistogramCell::private(), WideCell::private());
    counter.add(2);
    counter.clone().add(3);
    scalar.store(7, |_| panic!("nobody watches"));
    histogram.record(9);
    wide.store("here");
    assert_eq!((counter.sum(), scalar.load(), histogram.snapshot(1.0).count, wide.load().as_str()), (5, 7, 1, "here"));
    assert_eq!((CounterCell::private().sum(), WideCell::private().load().as_str()), (0, ""));
}

#[test]
fn records_of_instruments_that_went_make_room_for_others() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    for i in 0..5_000 {
        let place = segment.declare(&gauge(&format!("path.number{i}")), &Dimensions::NONE).unwrap();
        segment.withdraw(place);
    }
}

#[test]
// spec: CTL-2, PSM-1
fn controls_key_and_term_are_read_from_the_board() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let batch = segment.declare(&control("batch", ValueType::U64), &Dimensions::NONE).unwrap();
    let mode = segment.declare(&control("mode", ValueType::Text), &Dimensions::NONE).unwrap();
    assert_eq!((segment.board_control(&batch), segment.board_epoch()), (None, Epoch(0)));
    let mut agent = open(&segment);
    agent.scan();
    let first = ControlValue { slot: batch.slot, version: Version(4), value: Value::U64(64) };
    let board = duplicate(agent.create_board(KEY, Epoch(3), &[first]).unwrap());
    segment.attach_board(board).unwrap();
    assert_eq!(segment.board_control(&batch), Some((Version(4), Value::U64(64))));
    assert_eq!((segment.board_key(), segment.board_epoch()), ((KEY.proc, KEY.inc), Epoch(3)));
    assert!(agent.control(&ControlValue { slot: mode.slot, version: Version(1), value: Value::Text("safe".into()) }));
    assert_eq!(segment.board_control(&mode), Some((Version(1), Value::Text("safe".into()))));
    assert!(!agent.control(&ControlValue { slot: batch.slot, version: Version(5), value: Value::Text("many".into()) }));
    assert!(!agent.control(&ControlValue { slot: Slot(77), version: Version(5), value: Value::U64(1) }));
    agent.epoch(Epoch(4));
    assert_eq!(segment.board_epoch(), Epoch(4));
}

#[test]
// spec: EXP-8, CTL-1
fn a_control_in_a_slot_that_another_had_does_not_take_that_ones_value() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let mut agent = attach(&segment);
    for (first, second) in [(ValueType::U64, ValueType::F64), (ValueType::Text, ValueType::Text)] {
        let batch = segment.declare(&control("batch", first), &Dimensions::NONE).unwrap();
        drain(&mut agent);
        let value = if first == ValueType::Text { Value::Text("a".into()) } else { Value::U64(64) };
        assert!(agent.control(&ControlValue { slot: batch.slot, version: Version(3), value: value.clone() }));
        assert_eq!(segment.board_control(&batch), Some((Version(3), value)));
        segment.withdraw(batch);
        let share = segment.declare(&control("share", second), &Dimensions::NONE).unwrap();
        assert_eq!((share.slot, segment.board_control(&share)), (batch.slot, None));
        // Also what the agent writes for the one before, having not yet seen that it went.
        let late = if first == ValueType::Text { Value::Text("b".into()) } else { Value::U64(65) };
        agent.control(&ControlValue { slot: batch.slot, version: Version(4), value: late });
        assert_eq!(segment.board_control(&share), None);
        drain(&mut agent);
        let own = if second == ValueType::Text { Value::Text("c".into()) } else { Value::F64(0.5) };
        assert!(agent.control(&ControlValue { slot: share.slot, version: Version(1), value: own.clone() }));
        assert_eq!(segment.board_control(&share), Some((Version(1), own)));
        segment.withdraw(share);
    }
}

#[test]
// spec: EXP-3, MON-7
fn a_new_agents_board_takes_the_place_of_the_old_one_under_live_cells() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&gauge("depth"), &Dimensions::NONE).unwrap();
    let cell = segment.scalar(&place);
    let (stop, last) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let worker = thread::spawn({
        let (cell, stop, last) = (cell.clone(), Arc::clone(&stop), Arc::clone(&last));
        move || {
            let mut n = 0;
            while !stop.load(Ordering::Relaxed) {
                n += 1;
                cell.store(n, |_| true);
                last.store(n, Ordering::Relaxed);
            }
        }
    });
    for _ in 0..50 {
        let mut agent = attach(&segment);
        agent.watch(place.slot, true);
        assert_eq!(segment.board_watch(place.slot), WATCHED);
        while agent.sweep().changed.is_empty() {
            thread::yield_now();
        }
        // The agent dies; its board stays with the exporter until the next one comes.
        drop(agent);
    }
    stop.store(true, Ordering::Relaxed);
    worker.join().unwrap();
    let mut agent = attach(&segment);
    assert_eq!(segment.board_watch(place.slot), 0);
    assert_eq!(agent.sample(place.slot), Some(Ok(Value::U64(last.load(Ordering::Relaxed)))));
}

#[test]
fn what_was_declared_between_scan_and_board_is_told_by_the_first_sweep() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let mut agent = open(&segment);
    assert!(agent.scan().is_empty());
    let board = duplicate(agent.create_board(KEY, Epoch(0), &[]).unwrap());
    drain(&mut agent);
    segment.declare(&gauge("late"), &Dimensions::NONE).unwrap();
    assert_eq!(rings(&segment), 0);
    segment.attach_board(board).unwrap();
    assert_eq!(rings(&segment), 1);
    assert_eq!(drain(&mut agent).0.len(), 1);
}

#[test]
fn a_file_that_is_no_board_is_refused_and_the_board_before_stays() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let other = Segment::create(&name("orders"), Capacity { slots_max: 192, ..small() }).unwrap();
    let _agent = attach(&segment);
    let mut stranger = open(&other);
    let wrong = duplicate(stranger.create_board(KEY, Epoch(9), &[]).unwrap());
    assert!(matches!(segment.attach_board(wrong), Err(BoardError::Differs { .. })));
    assert!(matches!(segment.attach_board(duplicate(segment.bell())), Err(BoardError::Unsealed)));
    assert_eq!(segment.board_epoch(), Epoch(3));
}

#[test]
fn nobody_who_gets_the_descriptor_can_write_shrink_or_grow_the_segment() {
    use rustix::fs::ftruncate;
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let len = tif_core::layout::SegmentLayout::new(small()).unwrap().total_len;
    assert!(ftruncate(segment.fd(), len - 4096).is_err() && ftruncate(segment.fd(), len + 4096).is_err());
    assert!(crate::segment::map::Map::shared(segment.fd(), len, true).is_err());
    assert!(crate::segment::map::Map::shared(segment.fd(), len, false).is_ok());
}

#[test]
fn watched_counters_of_many_threads_are_never_forgotten() {
    count_and_sweep(&Segment::create(&name("orders"), small()).unwrap());
}

#[test]
fn nor_are_they_where_the_kernel_has_no_barrier_for_others() {
    count_and_sweep(&Segment::create(&name("orders"), small()).unwrap().without_barrier());
}

fn count_and_sweep(segment: &Segment) {
    let places: Vec<_> = (0..4).map(|i| segment.declare(&counter(&format!("c{i}")), &Dimensions::NONE).unwrap()).collect();
    let mut agent = attach(segment);
    places.iter().for_each(|p| agent.watch(p.slot, true));
    let mut seen = [0u64; 4];
    fn look(agent: &mut Attachment, seen: &mut [u64; 4]) -> bool {
        for slot in agent.sweep().changed {
            let Some(Ok(Value::U64(sum))) = agent.sample(slot) else { panic!("no sum") };
            seen[slot.0 as usize] = sum;
        }
        agent.arm()
    }
    let mut asleep = false;
    thread::scope(|scope| {
        let workers: Vec<_> = (0..3)
            .map(|_| {
                let cells: Vec<_> = places.iter().map(|p| segment.counter(p)).collect();
                scope.spawn(move || (0..20_000).for_each(|i| cells[i % 4].add(1)))
            })
            .collect();
        // Sleeps until the bell rings, as an agent does.
        while !workers.iter().all(|w| w.is_finished()) {
            if !asleep || rings(segment) > 0 {
                asleep = look(&mut agent, &mut seen);
            }
        }
    });
    // Asleep and not rung: then there must be nothing to tell.
    while !asleep || rings(segment) > 0 {
        asleep = look(&mut agent, &mut seen);
    }
    assert_eq!(seen, [15_000; 4]);
}
