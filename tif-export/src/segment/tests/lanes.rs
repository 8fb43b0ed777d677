//! Lanes: sums are exact whatever threads come and go.

use std::sync::Barrier;
use std::thread;

use super::*;

#[test]
// spec: EXP-2
fn the_sum_is_exact_over_more_threads_than_lanes_and_after_they_ended() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&counter("done"), &Dimensions::NONE).unwrap();
    let took = segment.declare(&descriptor("took", Kind::Histogram, ValueType::Histogram), &Dimensions::NONE).unwrap();
    let (threads, each) = (24, 5_000u64);
    let start = Barrier::new(threads);
    thread::scope(|scope| {
        for _ in 0..threads {
            let (cell, histogram, start) = (segment.counter(&place), segment.histogram(&took), &start);
            scope.spawn(move || {
                start.wait();
                for i in 0..each {
                    cell.add(1);
                    histogram.record(i);
                }
            });
        }
    });
    let all = threads as u64 * each;
    assert_eq!(segment.counter(&place).sum(), all);
    let snapshot = segment.histogram(&took).snapshot(1.0);
    assert_eq!((snapshot.count, snapshot.sum), (all, threads as u64 * each * (each - 1) / 2));
    assert_eq!(open_and_sample(&segment, place.slot), Value::U64(all));
}

#[test]
fn a_threads_counts_stay_when_it_ends_and_its_lane_is_used_again() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&counter("done"), &Dimensions::NONE).unwrap();
    for n in 1..=600 {
        let cell = segment.counter(&place);
        thread::spawn(move || cell.add(1)).join().unwrap();
        assert_eq!(segment.counter(&place).sum(), n);
    }
}

#[test]
fn a_destructor_at_the_end_of_a_thread_can_still_count() {
    struct Last(crate::segment::CounterCell);
    impl Drop for Last {
        fn drop(&mut self) {
            self.0.add(1);
        }
    }
    thread_local!(static LAST: std::cell::RefCell<Option<Last>> = const { std::cell::RefCell::new(None) });
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let place = segment.declare(&counter("ended"), &Dimensions::NONE).unwrap();
    for _ in 0..10 {
        let cell = segment.counter(&place);
        thread::spawn(move || LAST.with(|last| *last.borrow_mut() = Some(Last(cell)))).join().unwrap();
    }
    assert_eq!(segment.counter(&place).sum(), 10);
}

#[test]
// spec: EXP-1, EXP-2
fn counts_of_a_signal_handler_on_the_same_thread_are_not_lost() {
    signal::count_while_interrupted();
}

/// A timer signal that interrupts a counting thread and counts on the same counter. The C library's calls, as there is no crate for them here.
mod signal {
    use super::*;
    use crate::segment::CounterCell;
    use std::ffi::{c_int, c_void};
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    const SIGALRM: c_int = 14;
    const ITIMER_REAL: c_int = 0;

    #[repr(C)]
    struct Itimerval {
        interval: [i64; 2],
        value: [i64; 2],
    }

    unsafe extern "C" {
        fn signal(number: c_int, handler: *const c_void) -> *const c_void;
        fn setitimer(which: c_int, new: *const Itimerval, old: *mut Itimerval) -> c_int;
    }

    static CELL: OnceLock<CounterCell> = OnceLock::new();
    static HANDLED: AtomicU64 = AtomicU64::new(0);

    extern "C" fn handler(_: c_int) {
        if let Some(cell) = CELL.get() {
            cell.add(1);
            HANDLED.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn count_while_interrupted() {
        let segment = Segment::create(&name("orders"), small()).unwrap();
        let place = segment.declare(&counter("signals"), &Dimensions::NONE).unwrap();
        let cell = CELL.get_or_init(|| segment.counter(&place));
        let every = Itimerval { interval: [0, 50], value: [0, 50] };
        // SAFETY: the handler only does what this test says is safe in one: an add, and a locked add of its own.
        unsafe {
            signal(SIGALRM, handler as *const c_void);
            setitimer(ITIMER_REAL, &every, std::ptr::null_mut());
        }
        let mut counted = 0;
        while HANDLED.load(Ordering::Relaxed) < 200 {
            (0..1000).for_each(|_| cell.add(1));
            counted += 1000;
        }
        let never = Itimerval { interval: [0, 0], value: [0, 0] };
        // SAFETY: as above. The handler stays; a signal that is still under way then finds it.
        unsafe { setitimer(ITIMER_REAL, &never, std::ptr::null_mut()) };
        // Any thread may have been interrupted, and a handler may be under way on another one: its two adds come one after the other.
        let mut sum = cell.sum();
        for _ in 0..1000 {
            if sum == counted + HANDLED.load(Ordering::Relaxed) {
                break;
            }
            thread::yield_now();
            sum = cell.sum();
        }
        assert_eq!(sum, counted + HANDLED.load(Ordering::Relaxed));
    }
}

fn open_and_sample(segment: &Segment, slot: Slot) -> Value {
    let mut agent = open(segment);
    agent.scan();
    agent.sample(slot).unwrap().unwrap()
}
