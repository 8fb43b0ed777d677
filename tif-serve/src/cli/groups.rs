//! `groups`: who leads which service, and who could.

use tif_core::model::Role;
use tif_core::wire::{GroupMember, GroupRow as Row};

use super::args::Format;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Item, Tone, item};
use super::session::Session;
use crate::json::GroupRow;

/// The groups of services: members, roles and terms, as this CPU's agent knows them
#[derive(Debug, clap::Args)]
#[command(after_help = "A member that is ready and in sync can take over: its CPU has every accepted change.\n\
JSON rows, one for each group: v, service, epoch, in_sync (CPUs), members: cpu, process, key, incarnation, role, number, weight, ready, in_sync.")]
pub(super) struct Groups {}

pub(super) fn run(session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let rows = session.connect()?.groups()?;
    if session.global.output != Format::Table {
        output::rows(session.screen, session.global.output, &[], &rows, |_: &Row| Vec::new(), GroupRow::new)?;
        return Ok(Exit::Done);
    }
    if rows.is_empty() {
        session.screen.note("no groups: a service joins one with `standby(true)`");
        return Ok(Exit::Done);
    }
    let header = ["SERVICE", "TERM", "MEMBER", "PROCESS", "ROLE", "WEIGHT", "READY", "IN SYNC", "KEY"];
    let lines: Vec<(&Row, Option<&GroupMember>)> = rows.iter().flat_map(lines).collect();
    output::rows(session.screen, session.global.output, &header, &lines, cells, |(row, _)| GroupRow::new(row))?;
    Ok(Exit::Done)
}

/// One for each member; one for a group that has none.
fn lines(row: &Row) -> Vec<(&Row, Option<&GroupMember>)> {
    match row.members.as_slice() {
        [] => vec![(row, None)],
        members => members.iter().map(|member| (row, Some(member))).collect(),
    }
}

fn cells((row, member): &(&Row, Option<&GroupMember>)) -> Vec<Item> {
    let group = [item(&row.service), item(row.epoch).right()];
    let Some(member) = member else {
        let nobody = item("no members").tone(Tone::Bad);
        return group.into_iter().chain([item(""), nobody]).collect();
    };
    let word = |yes: bool| if yes { item("yes") } else { item("no").tone(Tone::Warning) };
    let role = item(member.role.word());
    let member = [
        item(member.number.map_or(String::new(), |number| number.to_string())).right(),
        item(format!("{}.{}", member.cpu, member.process)),
        if member.role == Role::Primary { role.tone(Tone::Good) } else { role },
        item(member.weight.0).right(),
        word(member.ready),
        word(member.in_sync),
        item(member.key),
    ];
    group.into_iter().chain(member).collect()
}
