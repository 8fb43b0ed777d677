//! `tif-sim run`: many seeds, and what they add up to.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tif_sim::Outcome;

use crate::Flight;

/// How often the line of progress is written.
const PROGRESS_PERIOD: Duration = Duration::from_millis(200);

/// Flies many seeds, on all cores; stops at the first that shows something wrong.
#[derive(Debug, clap::Args)]
pub struct Fly {
    /// How many.
    #[arg(long, default_value_t = 1000)]
    seeds: u64,
    /// The first.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// How many at once; all cores if it is not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Go on after a failure.
    #[arg(long)]
    keep_going: bool,
    #[command(flatten)]
    flight: Flight,
}

#[derive(Debug, Default)]
struct Sums {
    seeds: u64,
    steps: u64,
    simulated_ms: u64,
    /// How often each check failed, and the first seed that it failed with.
    failed: BTreeMap<&'static str, (u64, u64)>,
    /// After how long everything was right, in milliseconds, by the number of CPUs.
    healed: BTreeMap<usize, Vec<u64>>,
    shown: Option<Instant>,
}

impl Sums {
    fn failures(&self) -> u64 {
        self.failed.values().map(|(count, _)| count).sum()
    }

    fn hours(&self) -> f64 {
        self.simulated_ms as f64 / 3_600_000.0
    }

    fn add(&mut self, seed: u64, outcome: &Outcome) {
        self.seeds += 1;
        self.steps += outcome.steps;
        self.simulated_ms += outcome.simulated_ms;
        self.healed.entry(outcome.cpus).or_default().extend(outcome.healed_ms);
        if let Some(violation) = &outcome.violation {
            let (count, first) = self.failed.entry(violation.check).or_insert((0, seed));
            (*count, *first) = (*count + 1, seed.min(*first));
        }
    }
}

impl Fly {
    pub fn run(&self) -> ExitCode {
        let jobs = self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)).max(1);
        let (next, stop) = (AtomicU64::new(self.from), AtomicBool::new(false));
        let (sums, began) = (Mutex::new(Sums::default()), Instant::now());
        let terminal = std::io::stderr().is_terminal();
        std::thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while !stop.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.from.saturating_add(self.seeds) {
                            break;
                        }
                        let outcome = self.flight.run(self.flight.plan(seed));
                        let mut sums = sums.lock().unwrap_or_else(PoisonError::into_inner);
                        sums.add(seed, &outcome);
                        if let Some(violation) = &outcome.violation {
                            clear(terminal);
                            println!("{}", self.flight.failure(seed, violation));
                            stop.store(!self.keep_going, Ordering::Relaxed);
                        }
                        if terminal && sums.shown.is_none_or(|at| at.elapsed() >= PROGRESS_PERIOD) {
                            sums.shown = Some(Instant::now());
                            self.progress(&sums, began);
                        }
                    }
                });
            }
        });
        clear(terminal);
        let sums = sums.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.close(sums, began.elapsed(), jobs)
    }

    fn progress(&self, sums: &Sums, began: Instant) {
        let part = 100.0 * sums.seeds as f64 / self.seeds.max(1) as f64;
        let seconds = began.elapsed().as_secs_f64();
        let left = seconds / sums.seeds.max(1) as f64 * self.seeds.saturating_sub(sums.seeds) as f64;
        let line = format!(
            "{part:3.0} % of {} seeds, {:.2} simulated hours, {} failures, {left:.0} s left",
            self.seeds,
            sums.hours(),
            sums.failures()
        );
        let mut stderr = std::io::stderr().lock();
        // A terminal that is gone is no reason to stop.
        let _ = write!(stderr, "\r\x1b[K{line}").and_then(|()| stderr.flush());
    }

    fn close(&self, mut sums: Sums, took: Duration, jobs: usize) -> ExitCode {
        let minutes = took.as_secs_f64() / 60.0;
        let per_minute = sums.hours() / minutes;
        println!("{} seeds, {} failures, {} steps", sums.seeds, sums.failures(), sums.steps);
        println!(
            "{:.2} simulated hours in {:.1} s on {jobs} threads: {per_minute:.1} hours a minute, {:.0} times real time on each",
            sums.hours(),
            took.as_secs_f64(),
            per_minute * 60.0 / jobs as f64
        );
        for (check, (count, first)) in &sums.failed {
            println!("  {check:<14} failed {count:>6} times, first with seed {first}");
        }
        for (cpus, healed) in &mut sums.healed {
            healed.sort_unstable();
            let at = |part: f64| healed.get((healed.len() as f64 * part) as usize).or(healed.last()).copied().unwrap_or_default();
            let (median, most, last) = (at(0.5), at(0.99), at(1.0));
            println!(
                "  {cpus} CPUs were right again {median} ms after the trouble in half of {} runs, {most} in 99 %, {last} in all",
                healed.len()
            );
        }
        if sums.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

fn clear(terminal: bool) {
    if terminal {
        eprint!("\r\x1b[K");
    }
}
