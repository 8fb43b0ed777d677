//! `tif-sim acts` and `tif-sim shrink`: what chance let happen in a run, and what of it is to blame.

use std::process::ExitCode;

use tif_sim::acts::Track;
use tif_sim::shrink::{NotShrunk, Shrunk, shrink};
use tif_sim::{Plan, film};

use crate::Flight;

/// Lists the acts of a run with their numbers: what chance let happen, and what `replay --acts` can be told to keep.
#[derive(Debug, clap::Args)]
pub struct ListActs {
    /// The seed.
    seed: u64,
    #[command(flatten)]
    flight: Flight,
}

impl ListActs {
    pub fn run(&self) -> ExitCode {
        let film = film(Plan { trace: true, ..self.flight.plan(self.seed) }, self.flight.system);
        crate::print(film.acts.iter().enumerate().map(|(number, act)| format!("{number:>5} {act}")));
        ExitCode::SUCCESS
    }
}

/// Makes a failing run short: of its acts only those stay without which the same check does not fail. Prints them and what then happens.
#[derive(Debug, clap::Args)]
pub struct Shrink {
    /// The seed.
    seed: u64,
    /// How many lines of the short timeline to print, the last ones; 0: all.
    #[arg(long, default_value_t = 60)]
    lines: usize,
    /// How often to fly at most.
    #[arg(long, default_value_t = 20_000)]
    flights: u64,
    #[command(flatten)]
    flight: Flight,
}

impl Shrink {
    pub fn run(&self) -> ExitCode {
        let shrunk = match shrink(self.flight.plan(self.seed), self.flight.system, self.flights) {
            Ok(shrunk) => shrunk,
            Err(NotShrunk::Passes) => {
                eprintln!("seed {} shows nothing wrong: there is nothing to shrink", self.seed);
                return ExitCode::FAILURE;
            }
            Err(NotShrunk::NotTheSame) => {
                eprintln!("seed {} flown again is another run: something is decided by other than the seed", self.seed);
                return ExitCode::FAILURE;
            }
        };
        crate::print(self.report(&shrunk));
        ExitCode::SUCCESS
    }
    fn report(&self, shrunk: &Shrunk) -> Vec<String> {
        let mut lines = vec![format!("{} of {} acts are left, after {} flights:", shrunk.kept.len(), shrunk.all.len(), shrunk.flights)];
        for (number, act) in shrunk.kept.iter().zip(shrunk.acts.iter().filter(|act| act.id.track != Track::Calm)) {
            lines.push(format!("{number:>5} {act}"));
        }
        let timeline = &shrunk.outcome.timeline;
        let shown = if self.lines == 0 { timeline.len() } else { self.lines.min(timeline.len()) };
        lines.push(format!("the last {shown} of {} lines:", timeline.len()));
        lines.extend(timeline[timeline.len() - shown..].iter().map(ToString::to_string));
        lines.extend(shrunk.outcome.violation.iter().map(|violation| format!("seed {}, with these acts only: {violation}", self.seed)));
        let acts: Vec<String> = shrunk.kept.iter().map(usize::to_string).collect();
        let acts = if acts.is_empty() { "none".to_owned() } else { acts.join(",") };
        let calm = shrunk.calm_at.map(|at| format!(" --calm-at {at}")).unwrap_or_default();
        lines.push(format!("  again: tif-sim replay {} --acts {acts}{calm}{}", self.seed, self.flight.words()));
        lines
    }
}
