//! After the trouble: every importer shows what is there, and nothing else as fresh.
// spec: SYN-6, MON-2, MON-7

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tif_core::machine::book::Entry;
use tif_core::machine::confirm::{Guard, Keep};
use tif_core::model::significance::Threshold;
use tif_core::model::{Coarsen, Kind, Name, Outage, Quality, Slot, Value, Version};
use tif_core::wire::Identity;

use super::notices::Told;
use super::{Verdict, wrong};
use crate::world::exporter::{Cell, Exporter};
use crate::world::importer::{Importer, Wish};
use crate::world::{MS, SECOND, Who, World};

/// How old an unanswered request may be: a line of changes, each with a validator that never answers.
const PATIENCE: u64 = 20 * SECOND;

/// Looks at everything.
///
/// # Errors
/// With the first difference between what is shown and what is there.
pub fn look(worlds: &[&World]) -> Verdict {
    look_again(worlds, &mut Doubt::default())
}

/// Which importer was not right when it was looked at last. Most often it is still not, and then nobody else need be looked at.
#[derive(Debug, Default)]
pub struct Doubt(Option<Place>);

/// The same, for who looks again and again until all is right.
///
/// # Errors
/// With the first difference between what is shown and what is there.
pub fn look_again(worlds: &[&World], doubt: &mut Doubt) -> Verdict {
    if worlds.len() > 1 {
        super::shared::look(worlds)?;
    }
    super::numbers::look(worlds)?;
    let mut watched: BTreeMap<Place, BTreeSet<Slot>> = BTreeMap::new();
    if let Some((node, who)) = doubt.0.take()
        && let Some(world) = worlds.iter().find(|w| w.node == node)
        && world.living(|p| p.importer().is_some() && !p.left).contains(&who)
    {
        doubt.0 = Some((node, who));
        look_at(world, who, &standing(world, worlds), worlds, &mut watched)?;
        doubt.0 = None;
        watched.clear();
    }
    for world in worlds {
        let standing = standing(world, worlds);
        for who in world.living(|p| p.importer().is_some() && !p.left) {
            doubt.0 = Some((world.node, who));
            look_at(world, who, &standing, worlds, &mut watched)?;
            doubt.0 = None;
        }
        for (source, who) in &world.standing() {
            if let Some(exporter) = world.processes[*who].exporter() {
                look_at_controls(world, source, exporter)?;
            }
            // spec: CTL-6
            let log = world.store.logs.get(source).map(|log| log.state.unsettled());
            let all = log.into_iter().chain([&world.store.unsettled]).flat_map(|all| all.of_source(source));
            let all: Vec<&Entry> = all.collect();
            for entry in &all {
                if let Keep::Until(terms) = &entry.change.keep
                    && let Some((place, slot, _)) = terms.guard().and_then(|guard| guard_of(world, worlds, guard))
                {
                    watched.entry(place).or_default().insert(slot);
                }
            }
            if let Some(entry) = all.iter().find(|entry| !may_wait(world, worlds, entry)) {
                let what = format!("the change {} of {source} has no end on {}", entry.change.request_id, world.cpu());
                return wrong("keeps", what);
            }
        }
    }
    let unled = watched_for_the_unled(worlds);
    // spec: MON-2
    for world in worlds {
        for who in world.living(|p| p.exporter().is_some() && p.welcomed && !p.left) {
            let Some(exporter) = world.processes[who].exporter() else { continue };
            let wanted = watched.remove(&(world.node, who)).unwrap_or_default();
            let may_be = |slot: &Slot| !wanted.contains(slot) && unled.get(&(world.node, who)).is_some_and(|all| all.contains(slot));
            let differs: Vec<_> = exporter.board.watched.symmetric_difference(&wanted).filter(|slot| !may_be(slot)).collect();
            if !differs.is_empty() {
                let cpu = world.cpu();
                return wrong(
                    "watches",
                    format!("the watch words {differs:?} of process {who} of {cpu} are not as its followers want them"),
                );
            }
        }
    }
    Ok(())
}

fn look_at(world: &World, who: Who, standing: &Standing, worlds: &[&World], watched: &mut BTreeMap<Place, BTreeSet<Slot>>) -> Verdict {
    let process = &world.processes[who];
    let Some(importer) = process.importer() else { return Ok(()) };
    if !process.welcomed {
        return wrong("convergence", format!("importer {who} of {} has no connection", world.cpu()));
    }
    let expected = expected(standing, importer, watched);
    look_at_importer(world, who, importer, standing, &expected)?;
    look_at_notices(world, who, importer, worlds)
}

/// Whether a change that is to be confirmed has none of the causes to be taken back, and had enough time.
// spec: CTL-6
fn may_wait(world: &World, worlds: &[&World], entry: &Entry) -> bool {
    let Keep::Until(terms) = &entry.change.keep else { return false };
    let is_connected = |key| !world.living(|p| p.key == Some(key) && p.welcomed && !p.left).is_empty();
    let is_good = |guard: &Guard| guard_of(world, worlds, guard).is_none_or(|(_, _, value)| guard.allows(&value));
    terms.within() > Duration::from_secs(60) && terms.session().is_none_or(is_connected) && terms.guard().is_none_or(is_good)
}

/// Guards of changes whose service nobody leads: a CPU that knows of them may take them back still.
fn watched_for_the_unled(worlds: &[&World]) -> BTreeMap<Place, BTreeSet<Slot>> {
    let mut all: BTreeMap<Place, BTreeSet<Slot>> = BTreeMap::new();
    for world in worlds {
        let logs = world.store.logs.values().map(|log| log.state.unsettled());
        for entry in logs.chain([&world.store.unsettled]).flat_map(|all| all.iter()) {
            let source = entry.controls.first().map(|c| &c.source);
            let is_led = worlds.iter().any(|w| source.is_some_and(|source| w.standing().contains_key(source)));
            if let Keep::Until(terms) = &entry.change.keep
                && !is_led
                && let Some((place, slot, _)) = terms.guard().and_then(|guard| guard_of(world, worlds, guard))
            {
                all.entry(place).or_default().insert(slot);
            }
        }
    }
    all
}

/// Where the indicator is that guards a change of this world, and its value.
fn guard_of(world: &World, worlds: &[&World], guard: &Guard) -> Option<(Place, Slot, Value)> {
    worlds.iter().find_map(|at| {
        at.standing().into_iter().find_map(|(source, who)| {
            let exporter = at.processes[who].exporter()?;
            // A group is called the same everywhere, a process by its name alone only on its own CPU.
            let is_known_so = exporter.grouped || at.node == world.node;
            let own = [is_known_so.then(|| format!("@{source}")), Some(format!("@{}.{source}", at.cpu()))];
            let named = |record: &str| {
                let is_at = |at: &String| guard.indicator.strip_suffix(at.as_str()) == Some(record);
                (is_known_so && record == guard.indicator) || own.iter().flatten().any(is_at)
            };
            let mut cells = exporter.cells.iter();
            let found = cells.find(|(_, cell)| named(&cell.record));
            found.map(|(slot, cell)| ((at.node, who), *slot, cell.value.clone()))
        })
    })
}

/// A process: its CPU and its place in that world's list.
type Place = (u32, Who);

/// The exporters that stand behind their sources, by what those are called on one CPU.
type Standing<'a> = BTreeMap<Name, (&'a World, Who)>;

fn standing<'a>(seen_from: &World, worlds: &[&'a World]) -> Standing<'a> {
    let mut all = Standing::new();
    for world in worlds {
        for (source, who) in world.standing() {
            let grouped = world.processes[who].exporter().is_some_and(|e| e.grouped);
            let here = grouped || world.node == seen_from.node;
            let source = if here { Ok(source) } else { world.cpu().join(&source) };
            if let Ok(source) = source {
                all.insert(source, (*world, who));
            }
        }
    }
    all
}

type Expected<'a> = BTreeMap<(&'a Name, &'a str), (&'a Cell, Coarsen)>;

fn expected<'a>(standing: &'a Standing<'a>, importer: &Importer, watched: &mut BTreeMap<Place, BTreeSet<Slot>>) -> Expected<'a> {
    let mut expected = BTreeMap::new();
    for (source, (world, who)) in standing {
        let process = &world.processes[*who];
        let Some(exporter) = process.exporter() else { continue };
        for (slot, cell) in &exporter.cells {
            let is_at = |at: &Name| *at == world.cpu() || at == source || process.identity == Identity::Exactly(at.clone());
            let fits = |w: &&Wish| w.pattern.matches(&cell.name, &cell.dims) && w.pattern.at().is_none_or(is_at);
            let wishes: Vec<Coarsen> = importer.wishes.values().filter(fits).map(|w| w.coarsen).collect();
            let finest = wishes.iter().fold(Coarsen { deadband: Some(f64::MAX), at_most_every: None }, |a, b| Coarsen {
                deadband: a.deadband.zip(b.deadband).map(|(a, b)| a.min(b)),
                at_most_every: None,
            });
            if !wishes.is_empty() {
                watched.entry((world.node, *who)).or_default().insert(*slot);
                expected.insert((source, cell.record.as_str()), (cell, finest));
            }
        }
    }
    expected
}

fn look_at_importer(world: &World, who: Who, importer: &Importer, standing: &Standing, expected: &Expected) -> Verdict {
    for ((source, record), (cell, coarsen)) in expected {
        let row = importer.views.get(*source).and_then(|view| Some((view, view.rows.get(*record)?)));
        let Some((view, row)) = row else {
            return wrong("convergence", format!("importer {who} of {} does not show {record} of {source}", world.cpu()));
        };
        let dynamic = matches!(cell.descriptor.kind, Kind::Dynamic { .. });
        let Some(report) = row.report.as_ref().filter(|_| view.shows_fresh(record)) else {
            if dynamic && row.report.is_none() {
                continue;
            }
            return wrong(
                "convergence",
                format!(
                    "importer {who} of {} shows {record} of {source} not as fresh: {:?} {:?}",
                    world.cpu(),
                    row.report,
                    view.machine.state()
                ),
            );
        };
        let failed = matches!(report.quality, Quality::Failed { .. });
        let near = report.value.as_ref().is_some_and(|shown| is_near(shown, cell, coarsen, world.now));
        if !(near || dynamic && failed) {
            let (shown, is) = (&report.value, &cell.value);
            return wrong(
                "convergence",
                format!("importer {who} of {} shows {record} of {source} as {shown:?} ({:?}), it is {is:?}", world.cpu(), report.quality),
            );
        }
    }
    for (source, view) in &importer.views {
        for record in view.rows.keys() {
            if view.shows_fresh(record) && !expected.contains_key(&(source, record.as_str())) {
                return wrong(
                    "convergence",
                    format!("importer {who} of {} shows {record} of {source} as fresh, and it is not there", world.cpu()),
                );
            }
        }
        // spec: OUT-2, OUT-7
        let took_leave = view.wire.and_then(|key| world.checks.keys.owner(key)).is_some_and(|who| world.processes[who].left);
        let lost = view.wire.is_some() && !view.rows.is_empty() && !standing.contains_key(source) && !took_leave;
        // What no store ever knew, because it failed and the agent was killed before it could say it again, no later agent can end.
        let is_known = |outage: &Outage| world.cpus > 1 || world.store.outages.values().any(|(o, _)| o.key == outage.key);
        // Of what is on another CPU and not subscribed to any more nothing is heard.
        let far = standing.get(source).is_some_and(|(w, _)| w.node != world.node);
        let deaf = far && !expected.keys().any(|(of, _)| *of == source);
        match (view.outage.as_ref().filter(|_| !deaf), standing.contains_key(source)) {
            (Some(outage), true) if is_known(outage) => {
                let what = format!("importer {who} of {} was not told that outage {} of {source} is over", world.cpu(), outage.id);
                return wrong("outages", what);
            }
            (None, _) if lost => {
                return wrong("outages", format!("importer {who} of {} was not told of the outage of {source}", world.cpu()));
            }
            _ => {}
        }
    }
    match importer.pending.iter().find(|(_, p)| world.now > p.since.0 + PATIENCE) {
        Some((req, pending)) => wrong("requests", format!("request {req} of importer {who} waits since {:?}", pending.since)),
        None => Ok(()),
    }
}

/// How long a value may be on its way: dynamic ones change in calm, too, and with many of them one is always on its way.
const UNDER_WAY: u64 = 100 * MS;

fn is_near(shown: &Value, cell: &Cell, coarsen: &Coarsen, now: u64) -> bool {
    let before = cell.before.as_ref().filter(|(_, until)| now < until + UNDER_WAY).map(|(value, _)| value);
    is_within(shown, &cell.value, cell, coarsen) || before.is_some_and(|before| is_within(shown, before, cell, coarsen))
}

fn is_within(shown: &Value, is: &Value, cell: &Cell, coarsen: &Coarsen) -> bool {
    let band = match cell.descriptor.significance.up {
        Some(Threshold::Absolute(band)) => band,
        _ => 0.0,
    } + coarsen.deadband.unwrap_or(0.0);
    match (shown.as_f64(), is.as_f64()) {
        (Some(a), Some(b)) => a == b || (a - b).abs() < band,
        _ => shown == is,
    }
}

fn look_at_notices(world: &World, who: Who, importer: &Importer, worlds: &[&World]) -> Verdict {
    for name in &importer.lookups {
        let Some((key, told)) = world.checks.notices.told(who, name) else {
            return wrong("notices", format!("importer {who} asked for {name} and was told nothing"));
        };
        let is = worlds.iter().find_map(|w| {
            let lives = w.living(|p| p.welcomed && !p.left && p.identity == Identity::Exactly(name.clone()));
            lives.first().and_then(|who| w.processes[*who].key)
        });
        let says = if matches!(told, Told::Alive | Told::Unreachable) { key } else { None };
        if is != says || told == Told::Unreachable {
            return wrong("notices", format!("importer {who} was told last that {name} is {told:?} ({key:?}); it is {is:?}"));
        }
    }
    Ok(())
}

// spec: CTL-4, CTL-7, OUT-4
fn look_at_controls(world: &World, source: &Name, exporter: &Exporter) -> Verdict {
    let forgotten = world.store.forgotten.get(source).is_some_and(|n| *n > 0);
    for cell in exporter.cells.values() {
        let Kind::Control { memorized, .. } = cell.descriptor.kind else { continue };
        let record = &cell.record;
        if forgotten && !memorized {
            continue;
        }
        let stored = world.store.control(source, record);
        let expect = stored.map_or((Version(0), &Value::U64(64)), |c| (c.version, &c.value));
        if expect != (cell.version, &cell.value) {
            let runs = (cell.version, &cell.value);
            return wrong("controls", format!("{record} of {source} runs with {runs:?}; accepted is {expect:?}"));
        }
    }
    Ok(())
}
