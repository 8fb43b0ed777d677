//! `cpus`: the CPUs of the system.

use tif_core::wire::{CpuRow as Row, CpuState};

use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Item, Tone, age, item};
use super::session::Session;
use crate::json::CpuRow;

/// The CPUs of the system, as this one's agent knows them
#[derive(Debug, clap::Args)]
#[command(after_help = "States: own (the one that was asked), up, unreachable (not heard for a moment), down (presumed, after longer), \
incompatible (its agent speaks another version), seen (has not said anything yet).\n\
JSON rows: v, node, cpu (null until it has said its name), key (of its agent), state, silent_ms, exporters, votes, workload (in percent; null if it cannot be asked).")]
pub(super) struct Cpus {}

pub(super) fn run(session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let rows = session.connect()?.cpus()?;
    let header = ["CPU", "NODE", "STATE", "HEARD", "EXPORTERS", "LOAD", "VOTES", "AGENT"];
    output::rows(session.screen, session.global.output, &header, &rows, cells, CpuRow::new)?;
    Ok(Exit::Done)
}

fn cells(row: &Row) -> Vec<Item> {
    let tone = match row.state {
        CpuState::Own | CpuState::Up => Tone::Good,
        CpuState::Unreachable | CpuState::Seen => Tone::Warning,
        CpuState::Down | CpuState::Incompatible => Tone::Bad,
    };
    vec![
        item(row.cpu.as_ref().map_or("-", |cpu| cpu.as_str())),
        item(row.node).right(),
        item(row.state.word()).tone(tone),
        item(if matches!(row.state, CpuState::Own | CpuState::Seen) { "-".to_owned() } else { age(row.silent_ms) }).right(),
        item(row.exporters).right(),
        item(row.workload.map_or_else(|| "-".to_owned(), |percent| format!("{percent} %"))).right(),
        item(if row.votes { "yes" } else { "" }),
        item(row.key.map_or(String::new(), |key| key.to_string())),
    ]
}
