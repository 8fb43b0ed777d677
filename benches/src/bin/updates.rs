//! What an update costs: watched by nobody, and watched.

use std::hint::black_box;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use tif_bench::cells::{declare, descriptor, segment, watch};
use tif_bench::{Case, Effort, Table};
use tif_core::layout::Capacity;
use tif_core::model::{Kind, ValueType};

/// A word on a cache line of its own, as a fair baseline has it.
#[repr(align(128))]
struct Alone<T>(T);

const ADD: &str = "fetch_add(Relaxed), one thread";
const ADD_2: &str = "fetch_add(Relaxed), two threads, same word";
const STORE_LOAD: &str = "relaxed store, relaxed load of another word, branch";
const LOAD_BRANCH: &str = "relaxed load, branch";

/// A struct as a service has it.
#[derive(tif::Instruments)]
#[tif(service = "bench")]
struct Points {
    /// Just before the commit record is written.
    before_commit: tif::TestPoint,
}

fn main() -> ExitCode {
    let effort = Effort::from_arguments();
    let segment = segment(Capacity::default());
    let counter = segment.counter(&declare(&segment, &descriptor("accepted", Kind::Counter, ValueType::U64)));
    let gauge = segment.scalar(&declare(&segment, &descriptor("depth", Kind::Gauge, ValueType::U64)));
    let histogram = segment.histogram(&declare(&segment, &descriptor("took", Kind::Histogram, ValueType::Histogram)));
    let near = declare(&segment, &descriptor("near", Kind::Gauge, ValueType::U64));
    let far = declare(&segment, &descriptor("far", Kind::Gauge, ValueType::U64));
    let busy = declare(&segment, &descriptor("busy", Kind::Counter, ValueType::U64));
    let _agent = watch(&segment, &[near.slot, far.slot, busy.slot]);
    let (near, far, busy) = (segment.scalar(&near), segment.scalar(&far), segment.counter(&busy));

    let points = Points::detached();
    let point = &points.before_commit;
    let (word, other, fenced) = (Alone(AtomicU64::new(0)), Alone(AtomicU32::new(0)), Alone(AtomicU64::new(0)));
    let add = |n| (0..n).for_each(|_| _ = black_box(&word).0.fetch_add(1, Ordering::Relaxed));
    let cases = vec![
        Case::baseline(ADD, 1, add),
        Case::ours("P1 counter add, one thread", ADD, 0.6, 1, |n| (0..n).for_each(|_| black_box(&counter).add(1))),
        Case::baseline(ADD_2, 2, add),
        Case::ours("P2 counter add, two threads, same instrument", ADD_2, 0.15, 2, |n| (0..n).for_each(|_| black_box(&counter).add(1))),
        Case::baseline(STORE_LOAD, 1, |n| {
            for i in 0..n {
                black_box(&word).0.store(i, Ordering::Relaxed);
                if black_box(&other).0.load(Ordering::Relaxed) != 0 {
                    black_box(());
                }
            }
        }),
        Case::ours("P3 gauge set", STORE_LOAD, 1.3, 1, |n| (0..n).for_each(|i| black_box(&gauge).store(i, |_| true))),
        Case::ours("P4 histogram record, one thread", ADD, 1.3, 1, |n| (0..n).for_each(|i| black_box(&histogram).record(i * 97))),
        Case::ours("P4 histogram record, two threads, same instrument", ADD_2, 0.3, 2, |n| {
            (0..n).for_each(|i| black_box(&histogram).record(i * 97));
        }),
        Case::baseline(LOAD_BRANCH, 1, |n| {
            for _ in 0..n {
                if other.0.load(Ordering::Relaxed) != 0 {
                    black_box(());
                }
            }
        }),
        Case::ours("P5 test point, disarmed", LOAD_BRANCH, 1.1, 1, |n| {
            for _ in 0..n {
                if point.pass(|| ()).is_err() {
                    black_box(());
                }
            }
        }),
        Case::ours("P5 dynamic indicator, watched by nobody", LOAD_BRANCH, 1.1, 1, |n| {
            for _ in 0..n {
                if gauge.is_watched() {
                    black_box(());
                }
            }
        }),
        Case::ours("P7 watched gauge, insignificant", ADD, 1.5, 1, |n| {
            (0..n).for_each(|i| black_box(&near).store(i & 1, |sent| sent.abs_diff(i & 1) >= 10));
        }),
        Case::ours("P7 watched gauge, significant, bell rung already", ADD, 5.0, 1, |n| {
            (0..n).for_each(|i| black_box(&far).store(i, |sent| i.abs_diff(sent) >= 10 || i < 10));
        }),
        Case::ours("P7 watched counter, bell rung already", ADD, 5.0, 1, |n| (0..n).for_each(|_| black_box(&busy).add(1))),
        Case::baseline("for comparison: store, SeqCst fence, load", 1, |n| {
            for i in 0..n {
                black_box(&fenced).0.store(i, Ordering::Relaxed);
                fence(Ordering::SeqCst);
                black_box(&other).0.load(Ordering::Relaxed);
            }
        }),
    ];
    let met = Table::measure(cases, effort).print();
    assert!(counter.sum() > 0 && histogram.snapshot(1.0).count > 0 && busy.sum() > 0);
    // A short look shows that it works; it judges nothing.
    if met || effort.is_short() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
