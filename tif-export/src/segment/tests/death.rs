//! The early notice of an exporter's death: what the keeper holds, and what the vigil makes of it.

use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::Duration;

use tif_core::layout::{self, FUTEX_OWNER_DIED, FUTEX_WAITERS};

use super::*;
use crate::segment::Vigil;

const PATIENCE: Duration = Duration::from_secs(20);

fn key(n: u32) -> Key {
    Key { node: NodeId(1), proc: ProcId(u64::from(n)), inc: Incarnation::new(1, n) }
}

// spec: PSM-12
#[test]
fn a_keeper_holds_the_word_from_when_it_is_there_until_it_is_dropped_and_its_end_in_good_order_is_no_death() {
    let segment = Segment::create(&name("orders"), small()).unwrap();
    let agent = open(&segment);
    let word = || agent.map().u32(layout::segment::KEEPER).load(Ordering::Acquire);
    assert_eq!(word(), 0);
    let keeper = segment.keep().unwrap();
    assert!(word() & FUTEX_WAITERS != 0 && word() & !FUTEX_WAITERS != 0, "{:#x}", word());
    let (tells, told) = mpsc::channel();
    let vigil = Vigil::new(move |key| tells.send(key).unwrap());
    vigil.watch(key(1), &agent).unwrap();
    drop(keeper);
    assert_eq!(word(), 0);
    drop(vigil);
    assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Empty));
}

/// What the kernel does for a thread that ends with the word in its list.
fn die(segment: &Segment) {
    segment.keeper_word().fetch_or(FUTEX_OWNER_DIED, Ordering::AcqRel);
    let _ = rustix::thread::futex::wake(segment.keeper_word(), rustix::thread::futex::Flags::empty(), 1);
}

// spec: PSM-12, SEC-2
#[test]
fn of_hundreds_of_exporters_each_death_is_told_once_and_no_other() {
    let (tells, told) = mpsc::channel();
    let vigil = Vigil::new(move |key| tells.send(key).unwrap());
    let all: Vec<(Segment, Attachment)> = (0..300)
        .map(|_| {
            let segment = Segment::create(&name("orders"), small()).unwrap();
            let agent = open(&segment);
            (segment, agent)
        })
        .collect();
    for (n, (segment, agent)) in (0..).zip(&all) {
        // As if a thread held it.
        segment.keeper_word().store(1 | FUTEX_WAITERS, Ordering::Release);
        vigil.watch(key(n), agent).unwrap();
    }
    for n in [0, 126, 127, 128, 255, 299] {
        die(&all[n].0);
        assert_eq!(told.recv_timeout(PATIENCE), Ok(key(n as u32)));
    }
    vigil.forget(key(7));
    die(&all[7].0);
    die(&all[8].0);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(key(8)), "who is not watched is not told of");
    // One that claims it again is not heard again.
    all[8].0.keeper_word().store(1 | FUTEX_WAITERS, Ordering::Release);
    die(&all[8].0);
    die(&all[9].0);
    assert_eq!(told.recv_timeout(PATIENCE), Ok(key(9)));
}
