//! `ps`: the processes.

use tif_core::model::{ProcessState, Role};
use tif_core::wire::ProcessRow as Row;

use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Item, Tone, age, item};
use super::session::Session;
use crate::json::ProcessRow;

/// The processes with their keys and states, of all CPUs that this one can reach
#[derive(Debug, clap::Args)]
#[command(
    after_help = "JSON rows: v, name, cpu, key, incarnation, state, cause, role, service, epoch, number, pid, program, since_ms, instruments, subscriptions, coalesced."
)]
pub(super) struct Ps {
    /// Importers that took their leave, too
    #[arg(long, short)]
    all: bool,
}

pub(super) fn run(args: &Ps, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let mut rows = session.connect()?.processes()?;
    // Each command leaves one: they would hide what matters.
    rows.retain(|row| args.all || row.state != ProcessState::Unregistered || row.role != Role::Importer);
    let header = [
        "NAME",
        "STATE",
        "ROLE",
        "SERVICE",
        "MEMBER",
        "KEY",
        "PID",
        "SINCE",
        "INSTRUMENTS",
        "SUBSCRIPTIONS",
        "COALESCED",
        "PROGRAM",
        "CAUSE",
    ];
    let several = output::several(rows.iter().map(|row| &row.cpu));
    output::rows(session.screen, session.global.output, &header, &rows, |row| cells(row, several), ProcessRow::new)?;
    Ok(Exit::Done)
}

fn cells(row: &Row, several: bool) -> Vec<Item> {
    let tone = match row.state {
        ProcessState::Alive => Tone::Good,
        ProcessState::Starting | ProcessState::Suspect | ProcessState::Unreachable => Tone::Warning,
        ProcessState::Dead => Tone::Bad,
        ProcessState::Unregistered => Tone::Faint,
    };
    vec![
        output::process(&row.cpu, &row.name, several),
        item(row.state.word()).tone(tone),
        item(row.role.word()),
        item(row.service.as_ref().map_or("", |s| s.as_str())),
        item(row.number.map_or(String::new(), |number| number.to_string())).right(),
        item(row.key),
        item(if row.pid == 0 { "-".to_owned() } else { row.pid.to_string() }).right(),
        item(age(row.since_ms)).right(),
        item(row.instruments).right(),
        item(row.subscriptions).right(),
        item(row.coalesced).right(),
        item(&row.program),
        item(row.cause.as_ref().map_or(String::new(), ToString::to_string)),
    ]
}
