//! Cases, their baselines, and the table that comes out.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::Effort;

/// One case: something done many times.
pub struct Case<'a> {
    name: &'static str,
    /// Name of the case to compare with, and the most that the ratio should be.
    against: Option<(&'static str, f64)>,
    threads: usize,
    run: Box<dyn Fn(u64) + Sync + 'a>,
}

impl<'a> Case<'a> {
    /// A case that others are compared with. `run(n)` does it n times.
    pub fn baseline(name: &'static str, threads: usize, run: impl Fn(u64) + Sync + 'a) -> Case<'a> {
        Case { name, against: None, threads, run: Box::new(run) }
    }

    /// A case of ours, its baseline, and the target of their ratio.
    pub fn ours(name: &'static str, against: &'static str, target: f64, threads: usize, run: impl Fn(u64) + Sync + 'a) -> Case<'a> {
        Case { name, against: Some((against, target)), threads, run: Box::new(run) }
    }

    /// Nanoseconds of one operation, as each thread sees it.
    ///
    /// Several threads count only if all ran all the time and together: where others use the machine, too, it is tried again.
    fn measure(&self, operations: u64) -> f64 {
        let mut last = f64::NAN;
        for _ in 0..TRIES {
            let runs = self.run_together(operations);
            last = runs.iter().map(|r| r.wall().as_nanos() as f64).sum::<f64>() / (runs.len() as f64 * operations as f64);
            if runs.len() == 1 || Run::were_parallel(&runs) {
                break;
            }
        }
        last
    }

    fn run_together(&self, operations: u64) -> Vec<Run> {
        let waiting = AtomicUsize::new(self.threads);
        let one = || {
            waiting.fetch_sub(1, Ordering::AcqRel);
            while waiting.load(Ordering::Acquire) > 0 {
                std::hint::spin_loop();
            }
            let (cpu, from) = (cpu_time(), Instant::now());
            (self.run)(operations);
            Run { from, to: Instant::now(), cpu: cpu_time() - cpu }
        };
        if self.threads == 1 {
            return vec![one()];
        }
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..self.threads).map(|_| scope.spawn(one)).collect();
            threads.into_iter().map(|t| t.join().expect("a case does not panic")).collect()
        })
    }
}

/// How often a round of several threads is tried.
const TRIES: usize = 20;

/// One thread's part of a round.
struct Run {
    from: Instant,
    to: Instant,
    cpu: Duration,
}

impl Run {
    fn wall(&self) -> Duration {
        self.to - self.from
    }

    /// Whether nobody was kept off a processor, and all ran at the same time.
    fn were_parallel(runs: &[Run]) -> bool {
        let (Some(first), Some(last)) = (runs.iter().map(|r| r.from).max(), runs.iter().map(|r| r.to).min()) else { return false };
        let together = last.saturating_duration_since(first);
        runs.iter().all(|r| r.cpu > r.wall().mul_f64(0.95) && together > r.wall().mul_f64(0.8))
    }
}

fn cpu_time() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or_default())
}

/// The measured times of all cases, round by round.
pub struct Table<'a> {
    cases: Vec<Case<'a>>,
    times: Vec<Vec<f64>>,
}

impl<'a> Table<'a> {
    /// Runs all cases in turn, round after round, after one round to warm up.
    pub fn measure(cases: Vec<Case<'a>>, effort: Effort) -> Table<'a> {
        let mut times = vec![Vec::new(); cases.len()];
        for round in 0..=effort.rounds {
            for (case, times) in cases.iter().zip(&mut times) {
                let time = case.measure(effort.operations);
                if round > 0 {
                    times.push(time);
                }
            }
        }
        Table { cases, times }
    }

    /// Prints every case: nanoseconds, ratio to its baseline (median, least to greatest), target. Says whether all targets are met.
    pub fn print(&self) -> bool {
        println!("{:<58} {:>8} {:>8}  {:<15} {:>7}", "case", "ns", "ratio", "min-max", "target");
        let mut met = true;
        for (case, times) in self.cases.iter().zip(&self.times) {
            let ns = median(times.clone());
            let Some((against, target)) = case.against else {
                println!("{:<58} {ns:>8.2}", case.name);
                continue;
            };
            let base = self.cases.iter().position(|c| c.name == against).expect("a baseline that is measured");
            let ratios: Vec<f64> = times.iter().zip(&self.times[base]).map(|(ours, base)| ours / base).collect();
            let (least, most) = ratios.iter().fold((f64::MAX, 0f64), |(l, m), r| (l.min(*r), m.max(*r)));
            let ratio = median(ratios);
            let verdict = if ratio <= target { "" } else { "  missed" };
            met &= ratio <= target;
            println!("{:<58} {ns:>8.2} {ratio:>8.2}  {:<15} {target:>7.2}{verdict}", case.name, format!("{least:.2}-{most:.2}"));
        }
        met
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
