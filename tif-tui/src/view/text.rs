//! Numbers, ages and moments as a person reads them, in little room.

use std::borrow::Cow;
use std::time::Duration;

use ratatui::text::Span;
use tif_core::model::{Stamp, Value};

use crate::model::row::Row;

/// An age in at most five characters: `7s`, `1m05`, `2h07`, `3d`.
pub(crate) fn age(age: Duration) -> String {
    let s = age.as_secs();
    match s {
        0..60 => format!("{s}s"),
        60..3_600 => format!("{}m{:02}", s / 60, s % 60),
        3_600..86_400 => format!("{}h{:02}", s / 3_600, s / 60 % 60),
        _ => format!("{}d", s / 86_400),
    }
}

/// The time of day, in UTC: `12:03:04Z`.
pub(crate) fn clock(stamp: Stamp) -> String {
    let s = stamp.0 / 1_000_000_000 % 86_400;
    format!("{:02}:{:02}:{:02}Z", s / 3_600, s / 60 % 60, s % 60)
}

/// Day and time, in UTC: `2026-11-20 12:03:04Z`.
pub(crate) fn moment(stamp: Stamp) -> String {
    // Days since 0000-03-01, in eras of 400 years, so that the leap day is the last of its year.
    let days = stamp.0 / 1_000_000_000 / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let (day, month) = (day - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    let year = era * 400 + year + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02} {}", clock(stamp))
}

/// A number in at most seven characters: `0`, `12.5`, `1.23k`, `4.5M`.
pub(crate) fn short(number: f64) -> String {
    let size = number.abs();
    let (scaled, suffix) = match size {
        s if !s.is_finite() => return format!("{number}"),
        s if s < 1e4 => (number, ""),
        s if s < 1e6 => (number / 1e3, "k"),
        s if s < 1e9 => (number / 1e6, "M"),
        s if s < 1e12 => (number / 1e9, "G"),
        _ => return format!("{number:.1e}"),
    };
    if size != 0.0 && size < 1e-5 {
        return format!("{number:.1e}");
    }
    // Three digits that count; before the point all of them do.
    let magnitude = if size == 0.0 { 0 } else { scaled.abs().log10().floor() as i32 };
    let decimals = usize::try_from(2 - magnitude).unwrap_or(0);
    let text = format!("{scaled:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{suffix}")
}

/// A value; of a distribution as much as `width` holds.
pub(crate) fn value(row: &Row, width: usize) -> String {
    let Some(Value::Histogram(histogram)) = row.value() else { return row.shown_value() };
    let quantile = |q| histogram.quantile(q).map_or_else(|| "-".to_owned(), short);
    let both = format!("p50 {} p99 {}", quantile(0.5), quantile(0.99));
    if both.len() <= width { both } else { format!("p99 {}", quantile(0.99)) }
}

/// A whole number with commas: `1,234,567`.
pub(crate) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The columns that a text takes on a terminal.
pub(crate) fn width(text: &str) -> usize {
    Span::raw(text).width()
}

/// What a terminal would not show as a character takes the room of a space.
fn plain(text: &str) -> Cow<'_, str> {
    if text.contains(char::is_control) { text.replace(char::is_control, " ").into() } else { text.into() }
}

/// The first characters of `text` that fit into `width` columns.
fn front(text: &str, width: usize) -> &str {
    let mut used = 0;
    let end = text.char_indices().find(|(at, c)| {
        used += self::width(&text[*at..*at + c.len_utf8()]);
        used > width
    });
    end.map_or(text, |(at, _)| &text[..at])
}

/// At most `width` columns; the end goes, marked with `cut`.
pub(crate) fn head(text: &str, width: usize, cut: &str) -> String {
    let text = plain(text);
    if self::width(&text) <= width {
        return text.into_owned();
    }
    format!("{}{}", front(&text, width.saturating_sub(1)), if width > 0 { cut } else { "" })
}

/// At most `width` columns; the start goes, marked with `cut`. For names, whose end tells more.
pub(crate) fn tail(text: &str, width: usize, cut: &str) -> String {
    let text = plain(text);
    if self::width(&text) <= width {
        return text.into_owned();
    }
    let from = text.char_indices().map(|(at, _)| at).find(|at| self::width(&text[*at..]) < width);
    format!("{}{}", if width > 0 { cut } else { "" }, from.map_or("", |at| &text[at..]))
}

/// An instrument's name: its start goes, unless dimensions alone would be left; then it keeps a part of both, for dimensions often end alike.
pub(crate) fn name(text: &str, width: usize, cut: &str) -> String {
    match text.find('{').map(|at| text.split_at(at)) {
        Some((path, dims)) if self::width(text) > width && self::width(dims) > width * 2 / 3 => {
            let path = tail(path, width / 3, cut);
            let room = width.saturating_sub(self::width(&path));
            path + &head(dims, room, cut)
        }
        _ => tail(text, width, cut),
    }
}

/// Filled up with spaces to `width` columns, on the right.
pub(crate) fn left(text: String, width: usize) -> String {
    let gap = width.saturating_sub(self::width(&text));
    text + &" ".repeat(gap)
}

/// Filled up with spaces to `width` columns, on the left.
pub(crate) fn right(text: &str, width: usize) -> String {
    " ".repeat(width.saturating_sub(self::width(text))) + text
}

/// Lines of at most `width` columns, cut between words where that is possible. What fits stays as it is, spaces and all.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let text = plain(text);
    let (mut rest, mut lines) = (text.trim_end(), Vec::new());
    while self::width(rest) > width {
        let fits = front(rest, width);
        // A space right behind the line is as good as one in it.
        let at = if rest[fits.len()..].starts_with(' ') { Some(fits.len()) } else { fits.rfind(' ') };
        let (line, next) = match at.filter(|at| !rest[..*at].trim().is_empty()) {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => rest.split_at(fits.len()),
        };
        lines.push(line.trim_end().to_owned());
        rest = next;
    }
    lines.push(rest.to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_numbers_and_moments_read_well_in_little_room() {
        for (seconds, expect) in [(0, "0s"), (59, "59s"), (65, "1m05"), (7_620, "2h07"), (300_000, "3d")] {
            assert_eq!(age(Duration::from_secs(seconds)), expect);
        }
        for (number, expect) in [
            (0.0, "0"),
            (12.5, "12.5"),
            (1234.0, "1234"),
            (12_345.0, "12.3k"),
            (-4.5e6, "-4.5M"),
            (0.25, "0.25"),
            (0.001_254, "0.00125"),
            (1e-6, "1.0e-6"),
        ] {
            assert_eq!(short(number), expect);
        }
        assert_eq!(moment(Stamp(951_782_400_000_000_000)), "2000-02-29 00:00:00Z");
        assert_eq!(moment(Stamp(1_795_195_766_000_000_000)), "2026-11-20 17:29:26Z");
        assert_eq!(count(1_234_567), "1,234,567");
    }

    #[test]
    fn what_does_not_fit_is_cut_where_it_tells_least() {
        assert_eq!(tail("orders.queue.depth", 8, "…"), "…e.depth");
        assert_eq!(head("a long sentence", 7, "…"), "a long…");
        assert_eq!(name("orders.queue.shard{shard=10}", 20, "…"), "…eue.shard{shard=10}");
        assert_eq!(name("many.shard.knob{shard=7,town=Paris}", 18, "…"), "….knob{shard=7,to…");
        assert_eq!(name("a.b{c=d}", 30, "…"), "a.b{c=d}");
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
        assert_eq!(wrap("set x 'a  b'", 20), ["set x 'a  b'"], "what fits stays as it is");
        assert_eq!(wrap("12345678 9", 8), ["12345678", "9"]);
        assert_eq!(wrap("", 8), [""]);
    }

    #[test]
    fn columns_are_counted_not_characters() {
        assert_eq!(head("\u{6ce8}\u{6587}\u{6570}", 6, "."), "\u{6ce8}\u{6587}\u{6570}");
        assert_eq!(head("\u{6ce8}\u{6587}\u{6570}", 5, "."), "\u{6ce8}\u{6587}.");
        assert_eq!(tail("\u{6ce8}\u{6587}\u{6570}", 4, "."), ".\u{6570}");
        assert_eq!(left("\u{6ce8}".into(), 4), "\u{6ce8}  ");
        assert_eq!(right("\u{6ce8}", 4), "  \u{6ce8}");
        assert_eq!(wrap("\u{6ce8}\u{6587}\u{6570}\u{6ce8}\u{6587}", 8), ["\u{6ce8}\u{6587}\u{6570}\u{6ce8}", "\u{6587}"]);
        assert_eq!(head("two\nlines\tand\u{1b}[31m", 30, "."), "two lines and [31m");
        assert_eq!((head("abc", 0, "."), tail("abc", 0, "."), tail("abc", 1, ".")), (String::new(), String::new(), ".".to_owned()));
    }
}
