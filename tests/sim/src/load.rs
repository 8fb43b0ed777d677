//! What agents say to each other when nothing goes wrong: counted, by what it is for.
//!
//! Every datagram is encoded as it would be sent. The bytes are those of the frames, without what a network puts around them.
// spec: FAB-2, FAB-3

use tif_core::model::{Coarsen, Slot, Value};
use tif_core::wire::Identity;
use tif_core::wire::{PeerFrame, encode};

use crate::system::System;
use crate::world::{SECOND, Weather, Who, World, catalogue, name};

/// How large a system is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// CPUs.
    pub cpus: u32,
    /// Exporters on each.
    pub processes: u32,
    /// Instruments of each of those.
    pub instruments: u32,
}

/// What was sent, by CPU.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    frames: Vec<u64>,
    bytes: Vec<u64>,
    buffer: Vec<u8>,
}

impl Meter {
    /// A datagram of this CPU sets out.
    pub fn weigh(&mut self, from: u32, frame: &PeerFrame) {
        let i = from as usize;
        if self.frames.len() <= i {
            self.frames.resize(i + 1, 0);
            self.bytes.resize(i + 1, 0);
        }
        self.buffer.clear();
        // One that is too long for a frame is none.
        if encode(frame, &mut self.buffer).is_ok() {
            self.frames[i] += 1;
            self.bytes[i] += self.buffer.len() as u64;
        }
    }
}

/// What one thing takes.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What happened.
    pub what: &'static str,
    /// For how long it was counted, in seconds.
    pub seconds: u64,
    /// Datagrams that a CPU sent, on average.
    pub frames: f64,
    /// Their bytes.
    pub bytes: f64,
    /// Bytes of the CPU that sent most.
    pub bytes_max: u64,
}

/// Flies a system of this size in which nothing goes wrong, and counts. `show` is told of each phase when it is over.
///
/// # Errors
/// If a check sees something wrong.
pub fn measure(size: Size, mut show: impl FnMut(&Phase)) -> Result<(), String> {
    let mut system = System::new(size.cpus, 7, Weather { still: true, ..Weather::default() });
    system.net.meter = Some(Meter::default());
    let mut phase = |system: &mut System, what, seconds| {
        let is_well = system.run_until(system.now() + seconds * SECOND);
        let meter = system.net.meter.replace(Meter::default()).unwrap_or_default();
        let per_cpu = |all: &[u64]| all.iter().sum::<u64>() as f64 / f64::from(size.cpus);
        let (frames, bytes) = (per_cpu(&meter.frames), per_cpu(&meter.bytes));
        show(&Phase { what, seconds, frames, bytes, bytes_max: meter.bytes.into_iter().max().unwrap_or_default() });
        if is_well { Ok(()) } else { Err(format!("{:?}", system.violation())) }
    };
    // What was sent as the agents started is not counted yet: they have sent it before there was a meter.
    phase(&mut system, "all agents meet", 5)?;
    phase(&mut system, "nothing happens", 10)?;
    let exporters: Vec<Vec<Who>> = system.worlds.iter_mut().map(|world| populate(world, size)).collect();
    phase(&mut system, "processes start", 5)?;
    phase(&mut system, "nothing happens", 10)?;
    let importer = system.worlds[0].spawn_importer(Identity::Exactly(name("reader")));
    system.run_until(system.now() + SECOND);
    system.net.meter = Some(Meter::default());
    system.worlds[0].subscribe(importer, "load.**", Coarsen::default());
    phase(&mut system, "one importer follows everything", 10)?;
    phase(&mut system, "nothing happens", 10)?;
    for (world, exporters) in system.worlds.iter_mut().zip(&exporters) {
        for who in exporters {
            let slots: Vec<Slot> = world.processes[*who].exporter().map(|e| e.cells.keys().copied().collect()).unwrap_or_default();
            for slot in slots {
                world.store_value(*who, slot, Value::U64(1_000_000));
            }
        }
    }
    phase(&mut system, "every value changes once", 10)
}

/// Exporters with so many instruments each.
fn populate(world: &mut World, size: Size) -> Vec<Who> {
    let mut all = Vec::new();
    world.expect_instruments(u64::from(size.cpus) * u64::from(size.processes) * u64::from(size.instruments));
    for n in 0..size.processes {
        let own = World::name_on(world.node, &format!("load-{n}"));
        let who = world.spawn_exporter(Identity::Exactly(name(&own)), "load", false);
        world.change_exporter(who, |exporter| {
            for slot in exporter.cells.keys().copied().collect::<Vec<_>>() {
                exporter.withdraw(slot);
            }
            for id in 0..size.instruments {
                exporter.declare(catalogue::instance(id.into()));
            }
        });
        all.push(who);
    }
    all
}
