//! `tif-sim replay`: one seed again, told.

use std::process::ExitCode;

use tif_sim::acts::Script;
use tif_sim::story::{Excerpt, Point};
use tif_sim::{Plan, film, film_again};

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
    /// Only with these acts, by their numbers in `tif-sim acts`; no other trouble, no other work, no other processes from the beginning.
    #[arg(long, value_name = "N,N,…|none")]
    acts: Option<Numbers>,
    /// End the trouble at this time, in nanoseconds, instead of when it ended.
    #[arg(long, value_name = "NS", requires = "acts")]
    calm_at: Option<u64>,
    #[command(flatten)]
    flight: Flight,
}

impl Replay {
    pub fn run(&self) -> ExitCode {
        let until = match self.until {
            Some(Point::Step(step)) => Some(step),
            _ => None,
        };
        let plan = Plan { trace: true, until, ..self.flight.plan(self.seed) };
        let outcome = match &self.acts {
            None => self.flight.run(plan),
            Some(kept) => {
                let all = film(self.flight.plan(self.seed), self.flight.system).acts;
                let kept = all.iter().enumerate().filter(|(number, _)| kept.0.contains(number)).map(|(_, act)| act.id);
                film_again(plan, self.flight.system, Script::new(&all, kept, self.calm_at)).outcome
            }
        };
        let excerpt =
            Excerpt { cpus: self.cpu.clone(), words: self.grep.clone(), without: self.without.clone(), from: self.from, until: self.until };
        let shown: Vec<_> = outcome.timeline.iter().filter(|line| excerpt.has(line)).collect();
        crate::print(&shown);
        let sums = format!("{} of {} lines; {} steps, {} ms", shown.len(), outcome.timeline.len(), outcome.steps, outcome.simulated_ms);
        let failure = outcome.violation.as_ref().map(|violation| match self.acts {
            None => self.flight.failure(self.seed, violation),
            Some(_) => format!("seed {}, with these acts only: {violation}", self.seed),
        });
        crate::print([sums].into_iter().chain(failure.clone()));
        if failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

/// Numbers of acts; `none` is a list, too.
#[derive(Clone, Debug)]
struct Numbers(Vec<usize>);

impl std::str::FromStr for Numbers {
    type Err = String;

    fn from_str(text: &str) -> Result<Numbers, String> {
        if text == "none" {
            return Ok(Numbers(Vec::new()));
        }
        let number = |n: &str| n.parse().map_err(|_| format!("{n:?} is no number of an act; expected a list like 3,17,45, or none"));
        text.split(',').map(number).collect::<Result<_, _>>().map(Numbers)
    }
}
