//! `tif-sim show`: what an agent knows at a step.

use std::process::ExitCode;

use tif_sim::{Plan, system_of, world_of};

use crate::Flight;

/// Flies one seed up to a step and shows what its agents know then: processes, groups, sources, outages, other CPUs.
#[derive(Debug, clap::Args)]
pub struct Show {
    /// The seed.
    seed: u64,
    /// The step after which.
    #[arg(long, value_name = "STEP")]
    at: u64,
    /// Only of this CPU. May be said several times.
    #[arg(long, value_name = "N")]
    cpu: Vec<u32>,
    #[command(flatten)]
    flight: Flight,
}

impl Show {
    pub fn run(&self) -> ExitCode {
        let plan = Plan { until: Some(self.at), ..self.flight.plan(self.seed) };
        let worlds = if self.flight.system { system_of(plan).worlds } else { vec![world_of(plan)] };
        let mut lines = Vec::new();
        for world in worlds.iter().filter(|w| self.cpu.is_empty() || self.cpu.contains(&w.node)) {
            lines.push(format!("cpu{} after step {}, {:.6} s", world.node, world.step, world.time().0 as f64 / 1e9));
            match &world.agent {
                None => lines.push("  no agent runs".into()),
                Some(agent) => lines.extend(agent.portrait(world.time()).iter().map(|line| format!("  {line}"))),
            }
        }
        crate::print(&lines);
        if !lines.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("the system has CPUs 1 to {}", worlds.len());
        ExitCode::FAILURE
    }
}
