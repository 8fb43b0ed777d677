//! Segments of strangers: refused, or read within bounds. Never a panic, a fault or a hang.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;

use proptest::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use tif_core::layout::{self, HEADER_LEN, SegmentLayout};
use tif_core::limits::SEGMENT_LEN_MAX;

use super::*;
use crate::segment::{OpenError, map::Map};

fn bell() -> OwnedFd {
    eventfd(0, EventfdFlags::CLOEXEC).unwrap()
}

/// A memory file of this length, with these bytes at its start, sealed so.
fn file(len: u64, bytes: &[u8], seals: SealFlags) -> OwnedFd {
    let file = memfd_create("hostile", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap();
    ftruncate(&file, len).unwrap();
    rustix::io::pwrite(&file, bytes, 0).unwrap();
    fcntl_add_seals(&file, seals).unwrap();
    file
}

const SEALED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

/// Everything that an agent does with a segment.
fn use_it(agent: &mut Attachment) {
    agent.scan();
    agent.create_board(KEY, Epoch(1), &[]).unwrap();
    for round in 0..4 {
        let swept = agent.sweep();
        assert!(swept.table.len() <= 2 * 128 + 4096);
        for slot in (0..140).map(Slot) {
            agent.watch(slot, round % 2 == 0);
            if let Some(Ok(_)) = agent.sample(slot) {
                agent.sent(slot);
            }
        }
        agent.settle();
        agent.arm();
    }
    agent.values_all();
}

/// A real segment with some of everything, and its writable mapping for breaking it.
fn real() -> (Segment, Map, SegmentLayout) {
    let layout = SegmentLayout::new(small()).unwrap();
    let segment = Segment::create(&name("orders"), small()).unwrap();
    for i in 0..70 {
        let kind = match i % 4 {
            0 => gauge("g"),
            1 if i < 60 => counter("c"),
            2 if i < 20 => descriptor("t", Kind::Gauge, ValueType::Text),
            _ => control("k", ValueType::U64),
        };
        segment.declare(&kind, &dims(&format!("n={i}"))).unwrap();
    }
    segment.declare(&descriptor("h", Kind::Histogram, ValueType::Histogram), &Dimensions::NONE).unwrap();
    // The same bytes in a file without the seal against writing, as a stranger's may be.
    let mut bytes = vec![0; layout.total_len as usize];
    let n = rustix::io::pread(segment.fd(), &mut bytes, 0).unwrap();
    assert_eq!(n, bytes.len());
    let copy = file(layout.total_len, &bytes, SEALED);
    let map = Map::shared(&copy, layout.total_len, true).unwrap();
    COPY.with(|c| c.replace(Some(copy)));
    (segment, map, layout)
}

thread_local!(static COPY: std::cell::RefCell<Option<OwnedFd>> = const { std::cell::RefCell::new(None) });

fn open_copy() -> Result<Attachment, OpenError> {
    COPY.with(|c| Attachment::open(duplicate(c.borrow().as_ref().unwrap().as_fd()), bell()))
}

// spec: EXP-7, SEC-2
#[test]
fn files_that_could_change_their_size_or_are_no_memory_files_are_refused() {
    let len = SegmentLayout::new(small()).unwrap().total_len;
    let check = |fd: OwnedFd, bell: OwnedFd, expect: &str| {
        let error = Attachment::open(fd, bell).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(expect), "{error}");
    };
    check(file(len, &[], SealFlags::empty()), bell(), "not a sealed memory file");
    check(file(len, &[], SealFlags::SHRINK), bell(), "not a sealed memory file");
    check(bell(), bell(), "not a sealed memory file");
    check(std::fs::File::open("/proc/self/exe").unwrap().into(), bell(), "not a sealed memory file");
    check(std::fs::File::open("/dev/zero").unwrap().into(), bell(), "not a sealed memory file");
    check(file(len, &[], SEALED), file(len, &[], SEALED), "not an eventfd");
    check(file(len, &[], SEALED), bell(), "magic");
    check(file(HEADER_LEN - 1, &[], SEALED), bell(), "length");
    check(file(0, &[], SEALED), bell(), "length");
    check(file(SEGMENT_LEN_MAX + 4096, &[], SEALED), bell(), "length");
    // Huge pages fault when there are none left. Where the kernel gives none, there is nothing to refuse.
    if let Ok(huge) = memfd_create("huge", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB) {
        ftruncate(&huge, 2 << 20).unwrap();
        fcntl_add_seals(&huge, SEALED).unwrap();
        check(huge, bell(), "not a sealed memory file");
    }
}

// spec: EXP-7
#[test]
fn an_intact_copy_is_read_like_the_original() {
    let (_segment, _map, _layout) = real();
    let mut agent = open_copy().unwrap();
    assert_eq!(agent.scan().len(), 71);
    assert_eq!(agent.refused(), 0);
    use_it(&mut open_copy().unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    // spec: EXP-7, SEC-2
    #[test]
    fn a_header_of_random_bytes_is_refused_or_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..600), magic: bool) {
        let mut bytes = bytes;
        if magic && bytes.len() >= 16 {
            bytes[..8].copy_from_slice(&layout::SEGMENT_MAGIC.to_le_bytes());
            bytes[8..12].copy_from_slice(&layout::VERSION.to_le_bytes());
            bytes[12..16].copy_from_slice(&(HEADER_LEN as u32).to_le_bytes());
        }
        let len = SegmentLayout::new(small()).unwrap().total_len;
        if let Ok(mut agent) = Attachment::open(file(len, &bytes, SEALED), bell()) {
            use_it(&mut agent);
        }
    }

    // spec: EXP-7, SEC-2
    #[test]
    fn random_words_anywhere_in_a_real_segment_hurt_nobody(
        header in prop::collection::vec((12u64..128, any::<u32>()), 0..4),
        words in prop::collection::vec((any::<u64>(), any::<u32>(), any::<bool>()), 1..200),
    ) {
        let (_segment, map, layout) = real();
        // What is read after opening, and may have any value then.
        let open_first = open_copy();
        for (at, value) in header {
            map.u32(at * 4).store(value, Ordering::Relaxed);
        }
        let regions = layout.regions();
        for (at, value, small) in words {
            let region = regions[(at % 8) as usize];
            let offset = region.offset + at / 8 % region.len / 4 * 4;
            map.u32(offset).store(if small { value % 300 } else { value }, Ordering::Relaxed);
        }
        use_it(&mut open_first.unwrap());
        if let Ok(mut agent) = open_copy() {
            use_it(&mut agent);
        }
    }

    // spec: EXP-7
    #[test]
    fn a_header_with_one_wrong_word_is_refused(word in 2u64..12, value: u32) {
        let (_segment, map, _layout) = real();
        let before = map.u32(4 * word).swap(value, Ordering::Relaxed);
        prop_assume!(before != value);
        prop_assert!(open_copy().is_err());
    }
}

// spec: EXP-7
#[test]
fn an_exporter_that_rewrites_everything_all_the_time_hangs_nobody() {
    let (_segment, map, layout) = real();
    let mut agent = open_copy().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 1u32;
            while !stop.load(Ordering::Relaxed) {
                for region in [layout.table, layout.dims, layout.flags, layout.group_flags, layout.wides] {
                    n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    map.u32(region.offset + u64::from(n) % region.len / 4 * 4).store(n >> 7, Ordering::Relaxed);
                }
            }
        });
        for _ in 0..50 {
            use_it(&mut agent);
        }
        stop.store(true, Ordering::Relaxed);
    });
}
