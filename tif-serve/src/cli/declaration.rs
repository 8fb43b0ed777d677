//! All that is declared of one instrument, for people: `ls --long NAME`.

use tif_core::model::alarm::Limits;
use tif_core::model::significance::{Significance, Threshold};
use tif_core::model::{Argument, Descriptor, Kind, TestPointKind, Unit};
use tif_core::wire::ListRow;

use super::screen::escaped;
use crate::importer::address;

/// Name and help, then a line for each thing that is declared.
pub(super) fn block(row: &ListRow) -> String {
    let a = &row.announcement;
    let d = &a.descriptor;
    let mut text = format!("{}\n", escaped(&address(a)));
    for line in d.help.lines() {
        text += &format!("  {}\n", escaped(line));
    }
    let unit = if d.unit == Unit::ONE { "1 (a plain number)".to_owned() } else { d.unit.to_string() };
    let mut facts = vec![("kind", kind(&d.kind)), ("type", d.value_type.to_string()), ("unit", unit)];
    facts.push(("range", range(d)));
    facts.push(("choices", d.choices.join(" ")));
    facts.push(("default", d.default.as_ref().map_or(String::new(), |v| v.show(&d.choices).to_string())));
    match &d.kind {
        Kind::TestPoint(TestPointKind::Procedure { arguments, returns, timeout, idempotent }) => {
            facts.push(("arguments", if arguments.is_empty() { "none".into() } else { typed(arguments) }));
            let again = if *idempotent { "; twice is as good as once" } else { "" };
            facts.push(("returns", format!("{returns}, within {timeout:?}{again}")));
        }
        Kind::TestPoint(TestPointKind::InPath { fields }) => {
            facts.push(("fields", if fields.is_empty() { "none".into() } else { typed(fields) }));
        }
        Kind::Control { .. } => facts.push(("version", a.version.to_string())),
        Kind::Counter | Kind::Gauge | Kind::Dynamic { .. } | Kind::Histogram => {}
    }
    facts.push(("significant", significance(&d.significance)));
    facts.push(("alarm", limits(&d.limits)));
    facts.push(("dimensions", a.dims.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")));
    facts.push(("quality", row.quality.to_string()));
    facts.push(("exporter", format!("{} on {}, incarnation {}", a.process, a.cpu, row.incarnation)));
    let place = &d.declared;
    facts.push(("declared", format!("{}:{} ({} {})", place.file, place.line, place.crate_name, place.version)));
    for (what, said) in facts.iter().filter(|(_, said)| !said.is_empty()) {
        text += &format!("  {what:<12} {}\n", escaped(said));
    }
    text
}

/// What it takes, for the table: range or choices of a value, arguments of a procedure, fields of a test point.
pub(super) fn takes(d: &Descriptor) -> String {
    match &d.kind {
        Kind::TestPoint(TestPointKind::Procedure { arguments: list, .. } | TestPointKind::InPath { fields: list }) => typed(list),
        _ if d.range.is_none() => d.choices.join(" "),
        _ => range(d),
    }
}

fn range(d: &Descriptor) -> String {
    let step = d.step.map(|step| format!("by {step}"));
    let range = d.range.map(|(min, max)| format!("{min} to {max}"));
    [range, step].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn typed(list: &[Argument]) -> String {
    let one = |a: &Argument| match a.choices.as_slice() {
        [] => match a.range {
            Some((min, max)) => format!("{}={}({min} to {max})", a.name, a.value_type),
            None => format!("{}={}", a.name, a.value_type),
        },
        choices => format!("{}={}", a.name, choices.join("|")),
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

fn kind(kind: &Kind) -> String {
    let word = kind.word();
    match kind {
        Kind::Dynamic { every } => format!("{word}, computed when asked for, and every {every:?} while watched"),
        Kind::Control { memorized, validated } => {
            let memorized = if *memorized { ", memorized" } else { "" };
            let validated = if *validated { ", validated by the service" } else { "" };
            format!("{word}{memorized}{validated}")
        }
        _ => word.to_owned(),
    }
}

fn significance(s: &Significance) -> String {
    let by = |threshold: Option<Threshold>| match threshold {
        None => "any".to_owned(),
        Some(Threshold::Absolute(band)) => format!("{band} or more"),
        Some(Threshold::Relative(share)) => format!("{}% or more", share * 100.0),
    };
    let change = match (s.up, s.down) {
        (None, None) => "any change".to_owned(),
        (up, down) if up == down => format!("a change by {}", by(up)),
        (up, down) => format!("up by {}, down by {}", by(up), by(down)),
    };
    let most = s.at_most_every.map_or(String::new(), |t| format!(", at most every {t:?}"));
    let least = s.at_least_every.map_or(String::new(), |t| format!(", at least every {t:?}"));
    format!("{change}{most}{least}")
}

fn limits(l: &Limits) -> String {
    let one = |word: &str, limit: Option<f64>, side: &str| limit.map(|limit| format!("{word} from {limit} {side}"));
    let all = [
        one("warning", l.warn_above, "up"),
        one("critical", l.critical_above, "up"),
        one("warning", l.warn_below, "down"),
        one("critical", l.critical_below, "down"),
        (l.hysteresis > 0.0).then(|| format!("until back by {}", l.hysteresis)),
    ];
    all.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
