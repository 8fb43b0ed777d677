//! Names in declarations: their form, and that none is given twice.

use std::collections::BTreeMap;

use proc_macro2::Span;
use syn::Ident;
use tif_core::model::Name;

use crate::attribute::Entries;
use crate::errors::Errors;

/// What a field or function is called: its `name = "..."`, or its own. Also where that stands.
pub fn of(ident: &Ident, entries: &mut Entries, errors: &mut Errors) -> (String, Span) {
    let own = ident.to_string().trim_start_matches("r#").to_owned();
    let (text, span) = match entries.text("name", errors) {
        Some(lit) => (lit.value(), lit.span()),
        None => (own, ident.span()),
    };
    if let Err(e) = text.parse::<Name>() {
        errors.at(span, format!("not an instrument's name: {e}"));
    }
    (text, span)
}

/// The names that were given so far.
#[derive(Default)]
pub struct Taken(BTreeMap<String, String>);

impl Taken {
    /// Notes `name`, which belongs to `owner`.
    pub fn take(&mut self, name: &str, owner: &str, span: Span, errors: &mut Errors) {
        if let Some(other) = self.0.insert(name.to_owned(), owner.to_owned()) {
            errors.at(span, format!("the name `{name}` is taken by `{other}`: give one of them another with #[tif(name = \"...\")]"));
        }
    }
}

/// `; did you mean x?`, or nothing.
pub fn did_you_mean<'a>(wanted: &str, known: impl Iterator<Item = &'a str>) -> String {
    let near = known.map(|k| (distance(wanted, k), k)).min().filter(|(d, _)| *d <= (wanted.len() / 3).max(1));
    near.map(|(_, k)| format!("; did you mean `{k}`?")).unwrap_or_default()
}

/// How many letters must be changed, left out, put in or swapped with their neighbour. A swap is the commonest slip.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![vec![0usize; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                let shifted = rows[i - 1][j].min(rows[i][j - 1]) + 1;
                let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                changed.min(shifted).min(if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX })
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::did_you_mean;

    #[test]
    fn a_slip_is_told_from_another_word() {
        let check = |wanted: &str, expect: &str| {
            let got = did_you_mean(wanted, ["name", "range", "default", "warn_below", "warn"].into_iter());
            assert_eq!(got, if expect.is_empty() { String::new() } else { format!("; did you mean `{expect}`?") });
        };
        check("rnage", "range");
        check("defualt", "default");
        check("warn_bellow", "warn_below");
        check("colour", "");
    }
}
