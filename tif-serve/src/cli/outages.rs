//! `outages`: which exporters were lost.

use tif_core::wire::OutageRow as Row;

use super::args::Format;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Item, Tone, age, item};
use super::session::Session;
use crate::json::{OutageRow, rfc3339};

pub(super) fn run(session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let rows = session.connect()?.outages()?;
    if rows.is_empty() && session.global.output == Format::Table {
        session.screen.note("no outages");
        return Ok(Exit::Done);
    }
    let several = rows.iter().any(|row| row.outage.cpu != rows[0].outage.cpu || is_elsewhere(row));
    let header = ["ID", "SOURCE", "PROCESS", "CAUSE", "SINCE", "LASTED", "STATE", "NOW", "REMAPPED", "REMOVED", "ADDED", "CARRIED", "TOLD"];
    output::rows(session.screen, session.global.output, &header, &rows, |row| cells(row, several), OutageRow::listed)?;
    Ok(Exit::Done)
}

/// Whether the successor is on another CPU.
fn is_elsewhere(row: &Row) -> bool {
    row.outage.end.as_ref().is_some_and(|end| end.key.node != row.outage.key.node)
}

fn cells(row: &Row, several: bool) -> Vec<Item> {
    let outage = &row.outage;
    let end = outage.end.as_ref();
    let figure = |n: Option<u64>| item(n.map_or("-".to_owned(), |n| n.to_string())).right();
    let count = |which: usize| figure(end.and_then(|e| e.counts()).map(|counts| counts[which]));
    vec![
        item(outage.id).right(),
        item(&outage.source),
        item(format!("{}{}#{}", if several { format!("{}.", outage.cpu) } else { String::new() }, outage.process, outage.key.inc)),
        item(&outage.cause),
        item(rfc3339(outage.since)),
        // To the millisecond once it is over: that is the figure people compare.
        item(end.map_or_else(|| age(row.lasted_ms), |e| format!("{}ms", e.gap_ms))).right(),
        if end.is_some() { item("over").tone(Tone::Faint) } else { item("open").tone(Tone::Bad) },
        item(end.map_or("-".to_owned(), |e| match e.key.node == outage.key.node {
            true => format!("{}#{}", e.process, e.key.inc),
            // Its CPU's number is all that is said of where it is.
            false => format!("{} {}", e.process, e.key),
        })),
        count(0),
        count(1),
        count(2),
        figure(end.map(|e| e.carried)),
        item(row.told).right(),
    ]
}
