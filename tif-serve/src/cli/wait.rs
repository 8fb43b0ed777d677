//! `wait`: until a condition over instruments is true.

use std::collections::BTreeSet;

use crossbeam_channel::{after, never, select};
use serde_json::json;
use tif_core::model::{Coarsen, Pattern, Quality, Refusal};
use tif_core::wire::Announcement;

use super::args::Format;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::{Session, TIMEOUT};
use crate::expression::{Expression, Instrument, Seen};
use crate::importer::{Event, Importer, Link, Row, Sensed, Table, address, fits};
use crate::json::VERSION;

/// Wait until a condition over instruments is true
#[derive(Debug, clap::Args)]
#[command(after_help = "Conditions compare instruments with values: == != < <= > >=, joined by && || ! and parentheses:\n\
\x20\x20tif-serve wait 'demo.files > 100 && demo.queue.depth == 0' --timeout 10s\n\
\x20\x20tif-serve wait 'demo.mode == safe || !demo.running'\n\
A value is read by the instrument's type: 100, -2.5, 250ms, true, a choice's name, \"a text\". A bool may stand alone. A histogram is compared by \
its count.\n\n\
Only live values count: what is not there, stale or failed makes a condition unknown, never true. An instrument that is not there is waited for.\n\
Ends with status 0 when it is true, 6 when --timeout is over; with --now 0 if it is true now, 1 if it is false or unknown, 3 if an instrument is not there.\n\
JSON: v, condition, result (true, false or null for unknown).")]
pub(super) struct Wait {
    /// The condition
    expression: String,
    /// Do not wait: is it true now?
    #[arg(long)]
    now: bool,
}

pub(super) fn run(args: Wait, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let expression = Expression::parse(&args.expression).map_err(|e| unfit(&e))?;
    // --timeout is for the waiting; requests on the way keep the usual limit, or a shorter one.
    let limit = session.global.timeout;
    let time = limit.filter(|_| !args.now).map_or_else(never, after);
    let importer = session.connect_within(limit.map_or(TIMEOUT, |limit| limit.min(TIMEOUT)))?;
    if args.now {
        return now(&expression, &importer, session);
    }
    let interrupts = (session.screen.interrupts)();
    for instrument in expression.instruments() {
        importer.subscribe(instrument.pattern.clone(), Coarsen::default());
    }
    let listed = look_up(&expression, &importer, session)?;
    let mut table = Table::new();
    loop {
        let event = select! {
            recv(interrupts) -> _ => return Ok(Exit::Interrupted),
            recv(time) -> _ => return Err(timed_out(&expression, &table, limit.unwrap_or_default())),
            recv(importer.events()) -> event => match event {
                Ok(event) => event,
                Err(_) => return Err(Failure::new(Exit::Unreachable, "the connection to the agent is over", "the same again")),
            },
        };
        if let Event::Link(Link::Down { .. }) = event {
            session.screen.note("note: the agent is gone; waiting for it to come back");
        }
        table.apply(&event);
        let mut unclear = None;
        let result = expression.evaluate(|instrument| match one(table.rows(), instrument, |row| &row.announcement) {
            // What is listed under the very address is meant, also while only another one that fits has come.
            Ok(Some(row)) if listed.contains(&instrument.text) && row.address() != instrument.text => None,
            Ok(row) => row.map(seen),
            Err(failure) => {
                unclear = Some(failure);
                None
            }
        });
        if let Some(failure) = unclear {
            return Err(failure);
        }
        if result.map_err(|e| unfit(&e.0))? == Some(true) {
            return finish(&expression, Some(true), session);
        }
    }
}

/// Judges once, by what is so now.
fn now(expression: &Expression, importer: &Importer, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let sensed = sense(expression, importer)?;
    if let Some(refusal) = sensed.missing.into_iter().next() {
        return Err(refusal.into());
    }
    for instrument in expression.instruments() {
        if one(sensed.rows.iter(), instrument, |(a, _)| a)?.is_none() {
            return Err(session.missing(importer, &instrument.pattern));
        }
    }
    let result = expression.evaluate(|instrument| {
        let (announcement, report) = one(sensed.rows.iter(), instrument, |(a, _)| a).ok().flatten()?;
        Some(Seen { descriptor: &announcement.descriptor, live: report.value.as_ref().filter(|_| report.quality == Quality::Good) })
    });
    finish(expression, result.map_err(|e| unfit(&e.0))?, session)
}

fn finish(expression: &Expression, result: Option<bool>, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    match session.global.output {
        Format::Table => {
            let word = result.map_or("unknown", |known| if known { "true" } else { "false" });
            writeln!(session.screen.out, "{word}")?;
        }
        Format::Json | Format::Jsonl => {
            output::object(session.screen, &json!({"v": VERSION, "condition": expression.text(), "result": result}))?;
        }
    }
    Ok(if result == Some(true) { Exit::Done } else { Exit::False })
}

fn seen(row: &Row) -> Seen<'_> {
    let good = row.report.as_ref().filter(|report| report.quality == Quality::Good && row.standing.is_live());
    Seen { descriptor: &row.announcement.descriptor, live: good.and_then(|report| report.value.as_ref()) }
}

/// Of `rows` the one that is meant: the one of this address, else the only one that fits, or the only one with exactly these dimensions.
fn one<'a, T>(
    rows: impl Iterator<Item = &'a T>,
    instrument: &Instrument,
    of: impl Fn(&T) -> &Announcement,
) -> Result<Option<&'a T>, Failure> {
    let fitting: Vec<&T> = rows.filter(|row| fits(&instrument.pattern, of(row))).collect();
    if let Some(own) = fitting.iter().copied().find(|row| address(of(row)) == instrument.text) {
        return Ok(Some(own));
    }
    let exact: Vec<&T> = fitting.iter().copied().filter(|row| of(row).dims == instrument.address.dims).collect();
    match (fitting.as_slice(), exact.as_slice()) {
        ([], _) => Ok(None),
        ([row], _) | (_, [row]) => Ok(Some(row)),
        _ => {
            let candidates = fitting.iter().map(|row| address(of(row))).collect();
            Err(Refusal::Ambiguous { name: instrument.text.clone(), candidates }.into())
        }
    }
}

fn sense(expression: &Expression, importer: &Importer) -> Result<Sensed, Failure> {
    let patterns: Vec<Pattern> = expression.instruments().iter().map(|i| i.pattern.clone()).collect();
    Ok(importer.sense(&patterns)?)
}

/// Which instruments are there under the very address that was written. Says which are not there at all, so that nobody waits for a slip of the
/// pen without knowing.
fn look_up(expression: &Expression, importer: &Importer, session: &mut Session<'_, '_>) -> Result<BTreeSet<String>, Failure> {
    let mut listed = BTreeSet::new();
    for instrument in expression.instruments() {
        let rows = importer.list(&instrument.pattern)?;
        if rows.iter().any(|row| address(&row.announcement) == instrument.text) {
            listed.insert(instrument.text.clone());
        }
        if rows.is_empty() {
            let near = session.nearest(importer, &instrument.text);
            let near = if near.is_empty() { String::new() } else { format!(" (did you mean {}?)", near.join(", ")) };
            session.screen.note(&format!("note: no instrument is called `{}` yet; waiting for it to appear{near}", instrument.text));
        }
    }
    Ok(listed)
}

fn timed_out(expression: &Expression, table: &Table, limit: std::time::Duration) -> Failure {
    let state = |instrument: &Instrument| {
        let row = one(table.rows(), instrument, |row| &row.announcement).ok().flatten();
        let value = match row.map(|row| (row, row.report.as_ref().and_then(|r| r.value.as_ref()))) {
            None => "not there".to_owned(),
            Some((_, None)) => "without a value".to_owned(),
            Some((row, Some(value))) => {
                let stale = if row.standing.is_live() { "" } else { " (stale)" };
                format!("{}{stale}", value.show(&row.announcement.descriptor.choices))
            }
        };
        format!("{} is {value}", instrument.text)
    };
    let states: Vec<String> = expression.instruments().iter().map(state).collect();
    Failure::new(Exit::TimedOut, format!("not true within {limit:?}: {}", states.join(", ")), "a longer --timeout, or another condition")
}

fn unfit(error: &crate::expression::ParseError) -> Failure {
    Failure::usage(format!("{error}"), "`tif-serve wait --help` shows how conditions are written")
}
