//! `tif-sim mutants`: the table of the defects, and what finds each.

use std::process::ExitCode;

use tif_core::defects::Defect;

use super::{Found, hunt_all};

/// Does one thing wrong at a time in the agent's own code, and shows which check sees it.
#[derive(Clone, Debug, clap::Args)]
pub struct Mutants {
    /// How many seeds each may take, with one CPU and with several.
    #[arg(long, default_value_t = 2000)]
    seeds: u64,
    /// Only defects whose name contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// How many at once; all cores if it is not said.
    #[arg(long)]
    jobs: Option<usize>,
    /// Say what each check saw.
    #[arg(long)]
    what: bool,
}

impl Mutants {
    /// Prints the table. It fails if something is not found.
    pub fn run(&self) -> ExitCode {
        let defects: Vec<Defect> = Defect::ALL.iter().copied().filter(|d| format!("{d:?}").contains(&self.only)).collect();
        let jobs = self.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        println!("{:<22} {:<12} {:<14} {:>5}  first", "defect", "where", "found by", "seeds");
        let all = hunt_all(&defects, self.seeds, jobs, |defect, found| self.show(defect, found));
        let lost: Vec<String> =
            all.iter().filter(|(_, found)| matches!(found, Found::Nowhere)).map(|(defect, _)| format!("{defect:?}")).collect();
        println!("{} of {} defects are found", all.len() - lost.len(), all.len());
        if lost.is_empty() {
            return ExitCode::SUCCESS;
        }
        println!("not found: {}", lost.join(" "));
        ExitCode::FAILURE
    }

    fn show(&self, defect: Defect, found: &Found) {
        let (name, room) = (format!("{defect:?}"), defect.room());
        match found {
            Found::Flying { check, what, seed, system } => {
                let flight = if *system { "several CPUs" } else { "one CPU" };
                println!("{name:<22} {room:<12} {check:<14} {:>5}  seed {seed}, {flight}", seed + 1);
                if self.what {
                    println!("    {what}");
                }
            }
            Found::Searching(steps) => println!("{name:<22} {room:<12} {:<14} {:>5}  by the model check: {steps} steps", "model", "-"),
            Found::Nowhere => {
                println!("{name:<22} {room:<12} {:<14} {:>5}  not within {} seeds:{}", "NOTHING", "-", self.seeds, defect.what())
            }
        }
    }
}
