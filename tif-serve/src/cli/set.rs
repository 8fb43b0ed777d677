//! `set`: change a control, or several of one exporter in one step.

use std::io;
use std::time::Duration;

use crossbeam_channel::{Receiver, never, select};
use tif_core::limits::CONFIRM_WITHIN_MAX;
use tif_core::machine::confirm::{End, Guard};
use tif_core::model::value::parse_duration;
use tif_core::model::{Changed, Number, RequestId, SetResult, Setting, Version};
use tif_core::wire::{Admission, KeepAsked};

use super::args::{Format, parsed, time};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::importer::{Event, Importer, Link, SetRequest, new_request_id};
use crate::json::SetRow;

/// Change a control, or several of one exporter in one step
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "tif-serve set [OPTIONS] <NAME> <VALUE>\n       tif-serve set [OPTIONS] <NAME=VALUE>...",
    group = clap::ArgGroup::new("kept").multiple(true),
    after_help = "The value is read by the control's type: true or false (or on, off, yes, no, 1, 0), a number (negative ones, too), \
a choice's name, a duration as 250ms. What is beyond its type or range is refused, never cut to fit. Write -- before other text that begins with a dash.\n\
Several controls of one exporter are changed together: all of them, or, if one is refused, none.\n\
A change that is to be confirmed holds its controls until then: nobody else changes them.\n\
A request id that was used before does nothing and answers what became of it: repeat a command that failed on the way with the id it told.\n\
JSON, a line for each control: v, request_id, result (accepted or checked), version, replicated, old, new, name, applied, repeated, dry_run, and confirm_within_ms where that is so."
)]
pub(super) struct Set {
    /// Which control, and to what; or NAME=VALUE, once or more
    #[arg(required = true, value_name = "NAME=VALUE", allow_negative_numbers = true)]
    settings: Vec<String>,
    /// The change's own id, of at most 64 letters, digits and ._:-, 54 if it is to be confirmed [default: a random one]
    #[arg(long, value_name = "ID", value_parser = parsed::<RequestId>)]
    request_id: Option<RequestId>,
    /// Only if the control is at this version
    #[arg(long, value_name = "N")]
    if_version: Option<u64>,
    /// Why, for the audit
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Check everything, change nothing
    #[arg(long)]
    dry_run: bool,
    /// Take it back unless `tif-serve confirm` says within this time that it may stay
    #[arg(long, value_name = "TIME", value_parser = time, group = "kept")]
    confirm_within: Option<Duration>,
    /// Take it back as soon as an indicator, on whatever CPU, leaves its range, as orders.depth=0..100 or orders.rate@cpu2.orders-1=10..
    #[arg(long, value_name = "NAME=LOW..HIGH", value_parser = guard, requires = "kept")]
    guard: Option<Guard>,
    /// Take it back when this command ends, by Ctrl-C or however, unless it is confirmed before: the command waits for that
    #[arg(long, group = "kept")]
    while_connected: bool,
}

/// An indicator and the least and the greatest value that are good; either may be left away.
// spec: CTL-6
fn guard(text: &str) -> Result<Guard, String> {
    let wrong = || "write an indicator and its range, as orders.depth=0..100, orders.depth=..100 or orders.rate=10..".to_owned();
    let (name, range) = sign(text).map(|at| (&text[..at], &text[at + 1..])).ok_or_else(wrong)?;
    let (low, high) = range.split_once("..").ok_or_else(wrong)?;
    let number = |text: &str, open: f64| match text.trim() {
        "" => Some(Number::Float(open)),
        text => {
            let whole = text.parse::<i64>().map(i128::from).or_else(|_| text.parse::<u64>().map(i128::from)).ok().map(Number::Whole);
            let float = || text.parse::<f64>().ok().filter(|v| v.is_finite()).map(Number::Float);
            whole.or_else(float).or_else(|| parse_duration(text).map(|d| Number::Float(d.as_secs_f64())))
        }
    };
    let (low, high) = (number(low, f64::NEG_INFINITY).ok_or_else(wrong)?, number(high, f64::INFINITY).ok_or_else(wrong)?);
    if name.is_empty() || range.trim() == ".." {
        return Err(wrong());
    }
    Ok(Guard { indicator: name.to_owned(), low, high })
}

/// Where the sign is that stands first, but not in the braces of a dimension.
fn sign(word: &str) -> Option<usize> {
    let mut depth = 0i32;
    let at = word.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        *c == '=' && depth == 0
    });
    at.map(|(at, _)| at)
}

/// `NAME VALUE`, or each word `NAME=VALUE`.
// spec: CTL-6
fn settings(words: Vec<String>, if_version: Option<Version>) -> Result<Vec<Setting>, Failure> {
    let split = |word: &str| sign(word).map(|at| Setting::new(&word[..at], &word[at + 1..]));
    let hint = "write NAME VALUE for one control, or NAME=VALUE for each; `tif-serve set --help` tells more";
    let mut settings = match &words[..] {
        [name, value] if split(name).is_none() => vec![Setting::new(name, value)],
        [name] if split(name).is_none() => {
            let what = format!("no value is given for `{}`", name.chars().take(64).collect::<String>());
            return Err(Failure::usage(what, hint));
        }
        _ => {
            let wrong = |word: &String| Failure::usage(format!("`{}` is not NAME=VALUE", word.chars().take(64).collect::<String>()), hint);
            words.iter().map(|word| split(word).ok_or_else(|| wrong(word))).collect::<Result<_, _>>()?
        }
    };
    match &mut settings[..] {
        [one] => one.if_version = if_version,
        _ if if_version.is_some() => {
            return Err(Failure::usage("--if-version says which version one control has", "give it with one control only"));
        }
        _ => {}
    }
    Ok(settings)
}

pub(super) fn run(args: Set, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let admission = Admission { if_key: None, dry_run: args.dry_run };
    let settings = settings(args.settings, args.if_version.map(Version))?;
    let importer = session.connect()?;
    let id = args.request_id.unwrap_or_else(new_request_id);
    let keep = (args.confirm_within.is_some() || args.while_connected).then(|| KeepAsked {
        within: args.confirm_within.unwrap_or(CONFIRM_WITHIN_MAX),
        guard: args.guard,
        while_connected: args.while_connected,
    });
    let keeps = if args.dry_run { Keeps::default() } else { Keeps { within: args.confirm_within, held: args.while_connected } };
    let request = SetRequest { settings, request_id: Some(id.clone()), admission, reason: args.reason, keep };
    let interrupts = if args.while_connected { (session.screen.interrupts)() } else { never() };
    let result = session.unless_interrupted(&importer, &id, || importer.set(request))??;
    let done = || {
        let names: Vec<String> = result.changed.iter().map(|c| format!("{} (version {})", c.name, c.version)).collect();
        let what = if result.dry_run { "was checked" } else { "was accepted" };
        format!("the change of {} {what} (request {})", names.join(", "), result.request_id)
    };
    print(&result, &keeps, session).map_err(Failure::unwritten(done))?;
    if !args.while_connected || args.dry_run {
        return Ok(Exit::Done);
    }
    // The link was lost on the way, or somebody else asked first: it ends with the connection that made it, and that is not this one.
    if result.repeated {
        session.screen.note(&format!("{id} is not held by this command, but by the connection that made it: it is taken back with that"));
        return Ok(Exit::False);
    }
    wait(&importer, &id, &interrupts, session)
}

/// Until it is known whether it stays.
// spec: CTL-6
fn wait(importer: &Importer, id: &RequestId, interrupts: &Receiver<()>, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let lost = || Failure::new(Exit::Unreachable, format!("the connection to the agent is over: {id} is taken back"), "the same again");
    loop {
        let event = select! {
            recv(interrupts) -> _ => {
                session.screen.note(&format!("{id} is taken back, as this command ends"));
                return Ok(Exit::Interrupted);
            }
            recv(importer.events()) -> event => event.map_err(|_| lost())?,
        };
        match event {
            Event::Settled { request_id, end } if request_id == *id => {
                let (words, exit) = match end {
                    End::Confirmed => (format!("{id} was confirmed and stays"), Exit::Done),
                    End::Reverted(cause) => (format!("{id} was taken back: {cause}"), Exit::False),
                };
                session.screen.note(&words);
                return Ok(exit);
            }
            Event::Link(Link::Down { .. }) => return Err(lost()),
            _ => {}
        }
    }
}

/// Until when it may be taken back.
#[derive(Default)]
pub(super) struct Keeps {
    within: Option<Duration>,
    /// As long as this command runs.
    held: bool,
}

pub(super) fn print(result: &SetResult, keeps: &Keeps, session: &mut Session<'_, '_>) -> io::Result<()> {
    for changed in &result.changed {
        if session.global.output == Format::Table {
            let mut facts = facts(result, changed);
            let until = match (keeps.within, keeps.held) {
                (Some(within), true) => Some(format!("within {within:?}, and before this command ends")),
                (Some(within), false) => Some(format!("within {within:?}")),
                (None, true) => Some("before this command ends".to_owned()),
                (None, false) => None,
            };
            facts.extend(until.map(|until| format!("to be confirmed {until}: tif-serve confirm '{}'", changed.name)));
            let (old, new) = (changed.old.show(&changed.choices), changed.new.show(&changed.choices));
            session.screen.say(&format!("{}: {old} → {new} ({})", changed.name, facts.join(", ")))?;
        } else {
            output::object(session.screen, &SetRow::new(result, changed, keeps.within))?;
        }
    }
    session.screen.flush()
}

fn facts(result: &SetResult, changed: &Changed) -> Vec<String> {
    let facts = [
        Some(format!("version {}", changed.version)),
        Some(format!("request {}", result.request_id)),
        Some(if result.replicated { "replicated" } else { "local" }.to_owned()),
        result.dry_run.then(|| "dry run: nothing changed".to_owned()),
        result.repeated.then(|| "repeated: done before under this id".to_owned()),
        (!result.applied && !result.dry_run).then(|| "not yet applied by the service".to_owned()),
    ];
    facts.into_iter().flatten().collect()
}
