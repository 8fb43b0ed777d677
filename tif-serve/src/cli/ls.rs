//! `ls`: discover.

use std::collections::BTreeSet;
use std::io;

use tif_core::model::{Kind, Pattern, Unit};
use tif_core::wire::ListRow;

use super::args::{Format, parsed};
use super::declaration;
use super::exit::Exit;
use super::failure::Failure;
use super::output::{self, Item, Tone, item, quality_tone};
use super::session::Session;
use crate::importer::address;
use crate::json::DeclarationRow;

/// List instruments with what is declared of them
#[derive(Debug, clap::Args)]
#[command(after_help = "JSON rows: v, name, kind, type, unit, help, cpu, process, incarnation, quality, source, dimensions, declared, \
and where they apply range, step, default, choices, limits, significance (up, down, at_most_every_s, at_least_every_s), version, memorized, \
validated, every_s, arguments, returns, timeout_s, fields.\n\
Ends with status 3 if a name without wildcards is not there; what was found is printed all the same.")]
pub(super) struct Ls {
    /// Which: * stands for anything within a segment, ** for any segments, {k=v} for dimensions
    #[arg(value_parser = parsed::<Pattern>, default_value = "**", value_name = "PATTERN")]
    patterns: Vec<Pattern>,
    /// Show range, arguments, default, process and place of declaration, too; of a name without wildcards, all that is declared
    #[arg(long, short)]
    long: bool,
}

pub(super) fn run(args: Ls, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let importer = session.connect()?;
    let (mut rows, mut missing): (Vec<ListRow>, Vec<&Pattern>) = (Vec::new(), Vec::new());
    let mut listed = BTreeSet::new();
    for pattern in &args.patterns {
        let found = importer.list(pattern)?;
        if found.is_empty() && pattern.is_literal() {
            missing.push(pattern);
        }
        rows.extend(
            found.into_iter().filter(|row| listed.insert((address(&row.announcement), row.announcement.cpu.clone(), row.incarnation))),
        );
    }
    if rows.is_empty() && missing.is_empty() {
        session.screen.note("no instruments");
    }
    let whole = args.long && args.patterns.iter().all(Pattern::is_literal);
    print(&rows, args.long, whole, session)?;
    let mut exit = Exit::Done;
    for pattern in missing {
        exit = session.missing(&importer, pattern).tell(session.screen);
    }
    Ok(exit)
}

fn print(rows: &[ListRow], long: bool, whole: bool, session: &mut Session<'_, '_>) -> io::Result<()> {
    if session.global.output == Format::Table && (whole || rows.is_empty()) {
        return rows.iter().enumerate().try_for_each(|(n, row)| {
            let between = if n > 0 { "\n" } else { "" };
            write!(session.screen.out, "{between}{}", declaration::block(row))
        });
    }
    let mut header = vec!["NAME", "KIND", "TYPE", "UNIT", "QUALITY"];
    if long {
        header.extend(["TAKES", "DEFAULT", "PROCESS", "INCARNATION", "DECLARED"]);
    }
    header.push("HELP");
    let several = output::several(rows.iter().map(|row| &row.announcement.cpu));
    output::rows(session.screen, session.global.output, &header, rows, |row| cells(row, long, several), DeclarationRow::new)
}

fn cells(row: &ListRow, long: bool, several: bool) -> Vec<Item> {
    let a = &row.announcement;
    let d = &a.descriptor;
    let mut all = vec![
        item(address(a)),
        item(d.kind.word()),
        item(d.value_type),
        item(if d.unit == Unit::ONE { "" } else { d.unit.as_str() }),
        item(row.quality.word()).tone(quality_tone(&row.quality)),
    ];
    if long {
        let memorized = if matches!(d.kind, Kind::Control { memorized: true, .. }) { " memorized" } else { "" };
        let default = d.default.as_ref().map_or(String::new(), |v| format!("{}{memorized}", v.show(&d.choices)));
        let declared = format!("{}:{}", d.declared.file, d.declared.line);
        all.extend([
            item(declaration::takes(d)),
            item(default),
            output::process(&a.cpu, &a.process, several),
            item(row.incarnation),
            item(declared).tone(Tone::Faint),
        ]);
    }
    // One line of the help is enough to choose by.
    all.push(item(d.help.lines().next().unwrap_or_default()));
    all
}
