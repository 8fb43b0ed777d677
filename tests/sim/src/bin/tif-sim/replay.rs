//! `tif-sim replay`: one seed again, told.

use std::process::ExitCode;

use tif_sim::Plan;
use tif_sim::story::{Excerpt, Point};

use crate::Flight;

/// Flies one seed again and tells what happened: step, time, CPU, who, what.
#[derive(Debug, clap::Args)]
pub struct Replay {
    /// The seed.
    seed: u64,
    /// Only of this CPU, and what is between CPUs. May be said several times.
    #[arg(long, value_name = "N")]
    cpu: Vec<u32>,
    /// Only lines with this in them. May be said several times: with all of it.
    #[arg(long, value_name = "TEXT")]
    grep: Vec<String>,
    /// No lines with this in them, as `is it there`. May be said several times.
    #[arg(long, value_name = "TEXT")]
    without: Vec<String>,
    /// Only from here: a step (`4711`) or a time (`12.5s`, `800ms`).
    #[arg(long, value_name = "STEP|TIME")]
    from: Option<Point>,
    /// Only up to here. At a step the flight ends, too.
    #[arg(long, value_name = "STEP|TIME")]
    until: Option<Point>,
    #[command(flatten)]
    flight: Flight,
}

impl Replay {
    pub fn run(&self) -> ExitCode {
        let until = match self.until {
            Some(Point::Step(step)) => Some(step),
            _ => None,
        };
        let outcome = self.flight.run(Plan { trace: true, until, ..self.flight.plan(self.seed) });
        let excerpt =
            Excerpt { cpus: self.cpu.clone(), words: self.grep.clone(), without: self.without.clone(), from: self.from, until: self.until };
        let shown: Vec<_> = outcome.timeline.iter().filter(|line| excerpt.has(line)).collect();
        for line in &shown {
            println!("{line}");
        }
        println!("{} of {} lines; {} steps, {} ms", shown.len(), outcome.timeline.len(), outcome.steps, outcome.simulated_ms);
        match &outcome.violation {
            None => ExitCode::SUCCESS,
            Some(violation) => {
                println!("{}", self.flight.failure(self.seed, violation));
                ExitCode::FAILURE
            }
        }
    }
}
