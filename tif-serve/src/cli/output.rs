//! Data on the screen: a table for people, JSON for programs.

use std::io;

use comfy_table::presets::NOTHING;
use comfy_table::{Cell, CellAlignment, Color, ContentArrangement, Table};
use serde::Serialize;
use tif_core::model::{Alarm, Name, Quality};

use super::Screen;
use super::args::Format;
use super::screen::escaped;

/// How a cell looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Warning,
    Bad,
    Faint,
}

/// One cell of a table.
#[derive(Debug)]
pub(super) struct Item {
    text: String,
    tone: Tone,
    right: bool,
}

/// A plain cell.
pub(super) fn item(text: impl ToString) -> Item {
    Item { text: text.to_string(), tone: Tone::Plain, right: false }
}

impl Item {
    /// In another tone.
    pub(super) fn tone(self, tone: Tone) -> Item {
        Item { tone, ..self }
    }

    /// Flush right, as numbers are.
    pub(super) fn right(self) -> Item {
        Item { right: true, ..self }
    }
}

/// The tone of a quality.
pub(super) fn quality_tone(quality: &Quality) -> Tone {
    match quality {
        Quality::Good => Tone::Good,
        Quality::Stale { .. } => Tone::Warning,
        Quality::Outage { .. } | Quality::Failed { .. } => Tone::Bad,
    }
}

/// The tone of an alarm state.
pub(super) fn alarm_tone(alarm: Alarm) -> Tone {
    match alarm {
        Alarm::Ok => Tone::Faint,
        Alarm::Warning => Tone::Warning,
        Alarm::Critical => Tone::Bad,
    }
}

/// Whether they are not all of one CPU: then a process is called with its CPU's name.
pub(super) fn several<'a>(mut cpus: impl Iterator<Item = &'a Name>) -> bool {
    let first = cpus.next();
    cpus.any(|cpu| Some(cpu) != first)
}

/// A process as it is called among those of one CPU, or of several.
pub(super) fn process(cpu: &Name, process: &Name, several: bool) -> Item {
    if several { item(format!("{cpu}.{process}")) } else { item(process) }
}

/// Prints rows in the wanted format. The two closures make the row of a table and the object of JSON from the same thing.
pub(super) fn rows<T, J: Serialize>(
    screen: &mut Screen<'_>,
    format: Format,
    header: &[&str],
    all: &[T],
    cells: impl Fn(&T) -> Vec<Item>,
    json: impl Fn(&T) -> J,
) -> io::Result<()> {
    match format {
        Format::Table => table(screen, header, all.iter().map(cells)),
        Format::Json => {
            serde_json::to_writer_pretty(&mut *screen.out, &all.iter().map(json).collect::<Vec<_>>())?;
            writeln!(screen.out)
        }
        Format::Jsonl => all.iter().try_for_each(|row| object(screen, &json(row))),
    }
}

/// One JSON object on a line of its own.
pub(super) fn object(screen: &mut Screen<'_>, object: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *screen.out, object)?;
    writeln!(screen.out)
}

fn table(screen: &mut Screen<'_>, header: &[&str], rows: impl Iterator<Item = Vec<Item>>) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(NOTHING);
    match screen.width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    if screen.colour {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    table.set_header(header.iter().map(|h| Cell::new(h).fg(Color::DarkGrey)).collect::<Vec<_>>());
    for row in rows {
        table.add_row(row.into_iter().map(cell).collect::<Vec<_>>());
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    writeln!(screen.out, "{}", table.trim_fmt())
}

fn cell(item: Item) -> Cell {
    // A tab or a new line would spoil the columns.
    let cell = Cell::new(escaped(&item.text)).set_alignment(if item.right { CellAlignment::Right } else { CellAlignment::Left });
    match item.tone {
        Tone::Plain => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Warning => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red),
        Tone::Faint => cell.fg(Color::DarkGrey),
    }
}

/// How old something is, in one unit: `250ms`, `3s`, `5min`, `2h`, `4d`.
pub(super) fn age(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms}ms"),
        1_000..60_000 => format!("{}s", ms / 1_000),
        60_000..3_600_000 => format!("{}min", ms / 60_000),
        3_600_000..86_400_000 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_read_in_one_unit() {
        for (ms, expect) in [(0, "0ms"), (999, "999ms"), (3_900, "3s"), (125_000, "2min"), (7_200_000, "2h"), (u64::MAX, "213503982334d")] {
            assert_eq!(age(ms), expect);
        }
    }
}
