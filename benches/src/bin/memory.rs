//! What an instrument costs in memory, and what making it costs in time (P13).

use std::time::Instant;

use tif::segment::{Attachment, Segment};
use tif_bench::Effort;
use tif_bench::cells::{descriptor, segment};
use tif_core::layout::{Capacity, GROUP_SLOTS};
use tif_core::model::{Descriptor, Dimensions, Kind, ValueType};

fn main() {
    let effort = Effort::from_arguments();
    let count = effort.instruments;
    println!("{count} counters with 40-character names; bytes and nanoseconds of one");
    println!("{:<44} {:>10} {:>10} {:>12} {:>10}", "", "segment", "heap", "creation ns", "scan ns");
    let paths: Vec<Descriptor> = (0..count).map(|i| counter(&format!("intake.of.the.warehouse.number.a{i:08}"))).collect();
    let one = Descriptor { dimensions: vec!["shard".into()], ..counter("intake.of.the.warehouse") };
    let shards: Vec<Dimensions> = (0..count).map(|i| Dimensions::new([("shard", format!("a{i:08}"))]).expect("dimensions")).collect();
    assert!(paths.iter().all(|d| d.path.as_str().len() == 40));
    row("a path and a declaration each", count, |segment, i| {
        segment.declare(&paths[i], &Dimensions::NONE).expect("room");
    });
    row("one declaration, told apart by dimensions", count, |segment, i| {
        segment.declare(&one, &shards[i]).expect("room");
    });
    println!("segment: touched pages of the memory file; heap: the exporter's books; scan: the agent reads the whole table");
}

fn row(name: &str, count: u32, declare: impl Fn(&Segment, usize)) {
    let slots = count.next_multiple_of(GROUP_SLOTS);
    let segment = segment(Capacity { slots_max: slots, counters_max: slots, declarations_max: 256 << 20, ..Capacity::default() });
    let heap_before = own_memory();
    // The median of many short runs: others may use the machine, too.
    let numbers: Vec<usize> = (0..count as usize).collect();
    let mut times: Vec<f64> = numbers
        .chunks(500)
        .map(|chunk| {
            let before = Instant::now();
            chunk.iter().for_each(|i| declare(&segment, *i));
            before.elapsed().as_nanos() as f64 / chunk.len() as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let creation = times[times.len() / 2];
    let heap = own_memory().saturating_sub(heap_before);
    let file = rustix::fs::fstat(segment.fd()).expect("a file").st_blocks as u64 * 512;

    let own = |fd: std::os::fd::BorrowedFd<'_>| fd.try_clone_to_owned().expect("descriptors");
    let mut agent = Attachment::open(own(segment.fd()), own(segment.bell())).expect("a segment");
    let before = Instant::now();
    let found = agent.scan();
    let scan = before.elapsed().as_nanos() as f64 / f64::from(count);
    assert_eq!(found.len(), count as usize);
    let each = |bytes: u64| bytes as f64 / f64::from(count);
    println!("{name:<44} {:>10.0} {:>10.0} {creation:>12.0} {scan:>10.0}", each(file), each(heap));
}

fn counter(path: &str) -> Descriptor {
    descriptor(path, Kind::Counter, ValueType::U64)
}

/// Bytes of this process's own memory that are resident: without files and shared memory.
fn own_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("a process");
    let line = status.lines().find_map(|l| l.strip_prefix("RssAnon:")).expect("a figure");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("a number") * 1024
}
