//! `get`: sense.

use std::collections::BTreeMap;

use tif_core::model::{Name, Pattern, Report, Stamp, Unit};
use tif_core::wire::Announcement;

use super::args::{Format, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Item, age, alarm_tone, item, quality_tone};
use super::session::Session;
use crate::importer::{Importer, Sensed, address, fits};
use crate::json::{ValueRow, age_ms, is_number};

/// Read values now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "JSON rows: v, name, value, quality, age_ms (null if there never was a value), cpu, process, incarnation, seq (of its last report, 0 if nobody ever watched it), alarm; `since` if the value is old (quality stale or outage), \
`reason` if there is none (failed).\n\
A dynamic indicator that is not computed within 2s, or shortly before --timeout, is shown as failed; the others are shown as they are.\n\
Values: numbers, bools and strings as such; a choice by name; a duration in seconds; a histogram as {count, sum, mean, p50, p90, p99, max_bucket}; \
NaN and the infinities as \"NaN\", \"inf\", \"-inf\"; no value as null.\n\
Ends with status 3 if a name without wildcards is not there, and with 6 if something was not computed in time; what was found is printed all the same."
)]
pub(super) struct Get {
    /// Which
    #[arg(value_parser = parsed::<Pattern>, required = true, value_name = "PATTERN")]
    patterns: Vec<Pattern>,
}

/// So many values are asked for at once, and so many names, where all do not fit one answer.
const PART_ROWS_MAX: usize = 1_000;
const PART_NAMES_MAX: usize = 500;

pub(super) fn run(args: Get, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let importer = session.connect()?;
    let sensed = sense(&importer, &args.patterns)?;
    let now = (session.screen.now)();
    if sensed.rows.is_empty() && sensed.missing.is_empty() {
        session.screen.note("no instruments");
    }
    if !sensed.rows.is_empty() || session.global.output != Format::Table {
        let header = ["NAME", "VALUE", "UNIT", "QUALITY", "AGE", "ALARM", "PROCESS"];
        let several = output::several(sensed.rows.iter().map(|(a, _)| &a.cpu));
        let cells = |(a, r): &(Announcement, Report)| cells(a, r, now, several);
        output::rows(session.screen, session.global.output, &header, &sensed.rows, cells, |(a, r)| ValueRow::new(a, r, now))?;
    }
    if sensed.truncated {
        session.screen.note("note: there are more than can be read at once; be more specific");
    }
    let mut exit = Exit::Done;
    for refusal in sensed.missing {
        exit = Failure::from(refusal).tell(session.screen);
    }
    Ok(exit)
}

/// Reads all that fits: what is too much for one answer is asked for name by name.
fn sense(importer: &Importer, patterns: &[Pattern]) -> Result<Sensed, Failure> {
    let first = importer.sense(patterns)?;
    if !first.truncated || patterns.iter().any(|p| p.incarnation().is_some()) {
        return Ok(first);
    }
    let mut names: BTreeMap<(Name, Name), usize> = BTreeMap::new();
    for pattern in patterns {
        for row in importer.list(pattern)? {
            *names.entry((row.announcement.name, row.announcement.source)).or_default() += 1;
        }
    }
    let mut all = Sensed { rows: Vec::new(), missing: first.missing, truncated: false };
    let (mut part, mut rows) = (Vec::new(), 0);
    let mut names = names.into_iter().peekable();
    while let Some(((name, source), count)) = names.next() {
        part.push(format!("{name}@{source}").parse()?);
        rows += count;
        if names.peek().is_none_or(|(_, next)| rows + next > PART_ROWS_MAX || part.len() == PART_NAMES_MAX) {
            let sensed = importer.sense(&part)?;
            // One name has all dimensions: those that were not asked for are left out.
            all.rows.extend(sensed.rows.into_iter().filter(|(a, _)| patterns.iter().any(|pattern| fits(pattern, a))));
            all.truncated |= sensed.truncated;
            (part, rows) = (Vec::new(), 0);
        }
    }
    Ok(all)
}

fn cells(a: &Announcement, report: &Report, now: Stamp, several: bool) -> Vec<Item> {
    let value = report.value.as_ref().map_or("-".to_owned(), |v| v.show(&a.descriptor.choices).to_string());
    let value = if is_number(a.descriptor.value_type) { item(value).right() } else { item(value) };
    vec![
        item(address(a)),
        value,
        item(if a.descriptor.unit == Unit::ONE { "" } else { a.descriptor.unit.as_str() }),
        item(&report.quality).tone(quality_tone(&report.quality)),
        item(age_ms(report.stamp, now).map_or_else(|| "-".to_owned(), age)).right(),
        item(report.alarm).tone(alarm_tone(report.alarm)),
        output::process(&a.cpu, &a.process, several),
    ]
}
