//! Numbers, ages and moments as a person reads them, in little room.

use std::time::Duration;

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

/// At most `width` characters; the end goes, marked with `cut`.
pub(crate) fn head(text: &str, width: usize, cut: &str) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(cut.chars()).collect()
}

/// At most `width` characters; the start goes, marked with `cut`. For names, whose end tells more.
pub(crate) fn tail(text: &str, width: usize, cut: &str) -> String {
    let len = text.chars().count();
    if len <= width {
        return text.to_owned();
    }
    cut.chars().chain(text.chars().skip(len - width.saturating_sub(1))).collect()
}

/// Lines of at most `width` characters, cut between words where that is possible.
pub(crate) fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(8);
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let mut word = word;
        loop {
            let used = lines.last().map_or(0, |line| line.chars().count());
            let gap = usize::from(used > 0);
            let len = word.chars().count();
            if used + gap + len <= width {
                if let Some(line) = lines.last_mut() {
                    line.push_str(if gap > 0 { " " } else { "" });
                    line.push_str(word);
                }
                break;
            }
            if used == 0 {
                // Longer than a line: cut it.
                let at = word.char_indices().nth(width).map_or(word.len(), |(at, _)| at);
                lines.pop();
                lines.push(word[..at].to_owned());
                word = &word[at..];
            }
            lines.push(String::new());
        }
    }
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
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("abcdefghijkl", 8), ["abcdefgh", "ijkl"]);
    }
}
