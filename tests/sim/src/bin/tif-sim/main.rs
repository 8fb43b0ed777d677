//! Flies seeds, and shows what happened in one of them. See docs/simulation.md.

// A fifth of a flight is memory taken and given back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod fly;
mod load;
mod replay;
mod show;
mod shrink;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tif_core::defects::Defect;
use tif_sim::check::Violation;
use tif_sim::mutants::Mutants;
use tif_sim::world::faults;
use tif_sim::{Outcome, Plan, run, run_system};

/// Simulates agents with their processes and importers. Every run is a seed.
#[derive(Debug, Parser)]
#[command(name = "tif-sim", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(fly::Fly),
    Replay(replay::Replay),
    Show(show::Show),
    Acts(shrink::ListActs),
    Shrink(shrink::Shrink),
    Mutants(Mutants),
    Load(load::Load),
}

/// What is flown, beside the seed.
#[derive(Clone, Debug, clap::Args)]
struct Flight {
    /// Several CPUs with a fabric between them, instead of one.
    #[arg(long)]
    system: bool,
    /// So many, 2 to 9; the seed decides if it is not said.
    #[arg(long, requires = "system", value_parser = clap::value_parser!(u32).range(2..=9))]
    cpus: Option<u32>,
    /// With this deliberate defect: of the agent's code (`tif-sim mutants` lists them) or of the world around it.
    #[arg(long, value_name = "NAME", value_parser = wrong)]
    defect: Option<Wrong>,
}

#[derive(Clone, Copy, Debug)]
enum Wrong {
    Agent(Defect),
    World(faults::Defect),
}

fn wrong(name: &str) -> Result<Wrong, String> {
    let agent = Defect::ALL.iter().find(|d| format!("{d:?}") == name).map(|d| Wrong::Agent(*d));
    let world = faults::Defect::ALL.iter().find(|d| format!("{d:?}") == name).map(|d| Wrong::World(*d));
    agent.or(world).ok_or_else(|| {
        format!("there is no defect {name}; `tif-sim mutants --seeds 0` lists those of the agent, world/faults.rs those of the world")
    })
}

impl Flight {
    fn plan(&self, seed: u64) -> Plan {
        let plan = Plan { cpus: self.cpus, ..Plan::of(seed) };
        match self.defect {
            None => plan,
            Some(Wrong::Agent(defect)) => Plan { agent: Some(defect), ..plan },
            Some(Wrong::World(defect)) => Plan { defect: Some(defect), ..plan },
        }
    }

    fn run(&self, plan: Plan) -> Outcome {
        if self.system { run_system(plan) } else { run(plan) }
    }

    /// The same on a command line.
    fn words(&self) -> String {
        let cpus = self.cpus.map(|cpus| format!(" --cpus {cpus}")).unwrap_or_default();
        let system = if self.system { format!(" --system{cpus}") } else { String::new() };
        let defect = match self.defect {
            None => String::new(),
            Some(Wrong::Agent(defect)) => format!(" --defect {defect:?}"),
            Some(Wrong::World(defect)) => format!(" --defect {defect:?}"),
        };
        format!("{system}{defect}")
    }

    /// What was wrong, how to see it again, and how to find out what is to blame.
    fn failure(&self, seed: u64, violation: &Violation) -> String {
        let words = self.words();
        format!(
            "seed {seed}: {violation}\n  again: tif-sim replay {seed} --until {}{words}\n  shorter: tif-sim shrink {seed}{words}",
            violation.step
        )
    }
}

/// Prints lines, until nobody reads them any more.
fn print<T: Display>(lines: impl IntoIterator<Item = T>) {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in lines {
        if writeln!(out, "{line}").is_err() {
            return;
        }
    }
    // Who has stopped reading has seen enough.
    let _ = out.flush();
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(fly) => fly.run(),
        Command::Replay(replay) => replay.run(),
        Command::Show(show) => show.run(),
        Command::Acts(acts) => acts.run(),
        Command::Shrink(shrink) => shrink.run(),
        Command::Mutants(mutants) => mutants.run(),
        Command::Load(load) => load.run(),
    }
}
