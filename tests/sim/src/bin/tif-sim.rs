//! Flies seeds, or one seed again with its timeline.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, Subcommand};
use tif_sim::mutants::Mutants;
use tif_sim::{Outcome, Plan, run, run_system};

/// Simulates one CPU's agent with its processes and importers.
#[derive(Debug, Parser)]
#[command(name = "tif-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Flies many seeds; stops at the first that shows something wrong.
    Run {
        /// How many.
        #[arg(long, default_value_t = 1000)]
        seeds: u64,
        /// The first.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many at once.
        #[arg(long, default_value_t = 1)]
        jobs: u64,
        /// Go on after a failure.
        #[arg(long)]
        keep_going: bool,
        /// Several CPUs with a fabric between them, instead of one.
        #[arg(long)]
        system: bool,
    },
    /// Flies one seed again and prints what happened.
    Replay {
        /// The seed.
        seed: u64,
        /// Stop at this step.
        #[arg(long)]
        until: Option<u64>,
        /// Several CPUs with a fabric between them, instead of one.
        #[arg(long)]
        system: bool,
    },
    Mutants(Mutants),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run { seeds, from, jobs, keep_going, system } => fly(from, seeds, jobs.max(1), keep_going, system),
        Command::Replay { seed, until, system } => replay(seed, until, system),
        Command::Mutants(mutants) => mutants.run(),
    }
}

fn fly(from: u64, seeds: u64, jobs: u64, keep_going: bool, system: bool) -> ExitCode {
    let run = if system { run_system } else { run };
    let (next, steps, simulated, failed) = (AtomicU64::new(from), AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let stop = AtomicBool::new(false);
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        break;
                    }
                    let outcome = run(Plan::of(seed));
                    steps.fetch_add(outcome.steps, Ordering::Relaxed);
                    simulated.fetch_add(outcome.simulated_ms, Ordering::Relaxed);
                    if report(seed, &outcome, system) {
                        failed.fetch_add(1, Ordering::Relaxed);
                        stop.store(!keep_going, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    let (seconds, hours) = (began.elapsed().as_secs_f64(), simulated.into_inner() as f64 / 3_600_000.0);
    let per_minute = hours / seconds * 60.0;
    let (steps, failed) = (steps.into_inner(), failed.into_inner());
    println!("{steps} steps, {hours:.2} simulated hours in {seconds:.1} s ({per_minute:.1} hours a minute), {failed} seeds failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Says what was wrong, if anything was.
fn report(seed: u64, outcome: &Outcome, system: bool) -> bool {
    let Some(violation) = &outcome.violation else { return false };
    let several = if system { " --system" } else { "" };
    println!("seed {seed}: {violation}\n  again: tif-sim replay {seed} --until {}{several}", violation.step);
    true
}

fn replay(seed: u64, until: Option<u64>, system: bool) -> ExitCode {
    let run = if system { run_system } else { run };
    let outcome = run(Plan { trace: true, until, ..Plan::of(seed) });
    for line in &outcome.timeline {
        println!("{line}");
    }
    println!("{} steps, {} ms", outcome.steps, outcome.simulated_ms);
    if report(seed, &outcome, system) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}
