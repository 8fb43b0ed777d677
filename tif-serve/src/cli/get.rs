//! `get`: sense.

use tif_core::model::{Pattern, Report, Unit};
use tif_core::wire::Announcement;

use super::args::{Format, parsed};
use super::exit::{Exit, Failure};
use super::output::{self, Item, age, alarm_tone, item, quality_tone};
use super::session::Session;
use crate::importer::address;
use crate::json::{ValueRow, is_number};

/// Read values now
#[derive(Debug, clap::Args)]
#[command(
    after_help = "JSON rows: v, name, value, quality, age_ms, process, incarnation, seq (of its last report, 0 if nobody ever watched it), alarm; `since` if the value is old (quality stale or outage), \
`reason` if there is none (failed).\n\
Values: numbers, bools and strings as such; a choice by name; a duration in seconds; a histogram as {count, sum, mean, p50, p90, p99, max_bucket}; \
NaN and the infinities as \"NaN\", \"inf\", \"-inf\"; no value as null.\n\
Ends with status 3 if a name without wildcards is not there; what was found is printed all the same."
)]
pub(super) struct Get {
    /// Which
    #[arg(value_parser = parsed::<Pattern>, required = true, value_name = "PATTERN")]
    patterns: Vec<Pattern>,
}

pub(super) fn run(args: Get, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let importer = session.connect()?;
    let sensed = importer.sense(&args.patterns)?;
    let now = (session.screen.now)();
    if sensed.rows.is_empty() && sensed.missing.is_empty() {
        session.screen.note("no instruments");
    }
    if !sensed.rows.is_empty() || session.global.output != Format::Table {
        let header = ["NAME", "VALUE", "UNIT", "QUALITY", "AGE", "ALARM", "PROCESS"];
        let cells = |(a, r): &(Announcement, Report)| cells(a, r, now.0);
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

fn cells(a: &Announcement, report: &Report, now: u64) -> Vec<Item> {
    let value = report.value.as_ref().map_or("-".to_owned(), |v| v.show(&a.descriptor.choices).to_string());
    let value = if is_number(a.descriptor.value_type) { item(value).right() } else { item(value) };
    vec![
        item(address(a)),
        value,
        item(if a.descriptor.unit == Unit::ONE { "" } else { a.descriptor.unit.as_str() }),
        item(&report.quality).tone(quality_tone(&report.quality)),
        item(age(now.saturating_sub(report.stamp.0) / 1_000_000)).right(),
        item(report.alarm).tone(alarm_tone(report.alarm)),
        item(&a.process),
    ]
}
