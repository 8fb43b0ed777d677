//! `tif-sim load`: what agents say to each other.

use std::process::ExitCode;
use std::time::Instant;

use tif_sim::load::{Size, measure};

/// Counts what agents say to each other when nothing goes wrong, in systems of several sizes.
#[derive(Debug, clap::Args)]
pub struct Load {
    /// How many CPUs; several sizes with commas between them.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 4, 9, 16, 32, 64])]
    cpus: Vec<u32>,
    /// Exporters on each CPU.
    #[arg(long, default_value_t = 4)]
    processes: u32,
    /// Instruments of each exporter, at most 1000.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    instruments: u32,
}

impl Load {
    pub fn run(&self) -> ExitCode {
        for cpus in &self.cpus {
            let size = Size { cpus: *cpus, processes: self.processes, instruments: self.instruments };
            let total = u64::from(size.cpus) * u64::from(size.processes) * u64::from(size.instruments);
            println!("{cpus} CPUs, {} exporters and {total} instruments in all; sent by a CPU:", size.cpus * size.processes);
            let mut began = Instant::now();
            let done = measure(size, |phase| {
                let per_second = |n: f64| n / phase.seconds as f64;
                println!(
                    "  {:<32} {:>4} s {:>10.1} frames/s {:>12.0} B/s {:>12.0} B in all, at most {:>11} B   ({:.1} s to fly)",
                    phase.what,
                    phase.seconds,
                    per_second(phase.frames),
                    per_second(phase.bytes),
                    phase.bytes,
                    phase.bytes_max,
                    began.elapsed().as_secs_f64()
                );
                began = Instant::now();
            });
            if let Err(why) = done {
                println!("{why}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }
}
