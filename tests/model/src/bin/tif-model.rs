//! Searches all scenarios, or shows what goes wrong when a rule is taken away.

use std::process::ExitCode;

use clap::Parser;
use tif_model::Report;
use tif_model::register::Flaw;
use tif_model::scenarios::{self, ALL};

/// Walks through every state that the witness, the replication, sync restart, the registration and the admission to a group can reach.
#[derive(Debug, Parser)]
#[command(name = "tif-model", version)]
struct Arguments {
    /// Take away one rule at a time, and show the shortest way to what goes wrong.
    #[arg(long)]
    defects: bool,
    /// Only scenarios whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Stop a search after this many states. A million takes from a fifth of a gigabyte to one. `6 terms, 1 write, agents restart` needs nine million.
    #[arg(long, default_value_t = 4_000_000)]
    states: usize,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let right = if arguments.defects { show_defects() } else { search(&arguments) };
    if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn search(arguments: &Arguments) -> bool {
    let mut right = true;
    for scenario in ALL.iter().filter(|s| s.name.contains(&arguments.only)) {
        let report = scenario.search(arguments.states);
        println!("{report}  {}", scenario.name);
        right &= report.counterexample.is_none();
        show(&report);
    }
    right
}

fn show_defects() -> bool {
    let rules = scenarios::RULES
        .into_iter()
        .chain(scenarios::RESTARTS)
        .chain(scenarios::OFFICES)
        .chain(scenarios::GROUPS)
        .filter_map(|rule| Some((format!("{rule:?}"), scenarios::without(rule)?)));
    let flaws = Flaw::ALL.map(|flaw| (format!("{flaw:?}"), scenarios::with(flaw)));
    let found: Vec<_> = rules.chain(flaws).collect();
    println!("{:<18} {:>5}  what goes wrong", "without", "steps");
    for (name, report) in &found {
        match &report.counterexample {
            Some((wrong, steps)) => println!("{name:<18} {:>5}  {wrong}", steps.len()),
            None => println!("{name:<18}     -  nothing within {} states", report.states),
        }
    }
    for (name, report) in &found {
        println!("\n{name}: {report}");
        show(report);
    }
    found.iter().all(|(_, report)| report.counterexample.is_some())
}

fn show(report: &Report) {
    if let Some((wrong, steps)) = &report.counterexample {
        steps.iter().enumerate().for_each(|(n, step)| println!("  {:>2} {step}", n + 1));
        println!("     {wrong}");
    }
}
