//! `set`: change a control, or several of one exporter in one step.

use std::io;

use tif_core::model::{Changed, RequestId, SetResult, Setting, Version};
use tif_core::wire::Admission;

use super::args::{Format, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::importer::{SetRequest, new_request_id};
use crate::json::SetRow;

/// Change a control, or several of one exporter in one step
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "tif-serve set [OPTIONS] <NAME> <VALUE>\n       tif-serve set [OPTIONS] <NAME=VALUE>...",
    after_help = "The value is read by the control's type: true or false (or on, off, yes, no, 1, 0), a number (negative ones, too), \
a choice's name, a duration as 250ms. What is beyond its type or range is refused, never cut to fit. Write -- before other text that begins with a dash.\n\
Several controls of one exporter are changed together: all of them, or, if one is refused, none.\n\
A request id that was used before does nothing and answers what became of it: repeat a command that failed on the way with the id it told.\n\
JSON, a line for each control: v, request_id, result (accepted or checked), version, replicated, old, new, name, applied, repeated, dry_run."
)]
pub(super) struct Set {
    /// Which control, and to what; or NAME=VALUE, once or more
    #[arg(required = true, value_name = "NAME=VALUE", allow_negative_numbers = true)]
    settings: Vec<String>,
    /// The change's own id, of at most 64 letters, digits and ._:- [default: a random one]
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
}

/// `NAME VALUE`, or each word `NAME=VALUE`. The sign is the first that does not stand in the braces of a dimension.
// spec: CTL-6
fn settings(words: Vec<String>, if_version: Option<Version>) -> Result<Vec<Setting>, Failure> {
    let split = |word: &str| {
        let mut depth = 0i32;
        let at = word.char_indices().find(|(_, c)| {
            depth += i32::from(*c == '{') - i32::from(*c == '}');
            *c == '=' && depth == 0
        });
        at.map(|(at, _)| Setting::new(&word[..at], &word[at + 1..]))
    };
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
    let request = SetRequest { settings, request_id: Some(id.clone()), admission, reason: args.reason };
    let result = session.unless_interrupted(&importer, &id, || importer.set(request))??;
    let done = || {
        let names: Vec<String> = result.changed.iter().map(|c| format!("{} (version {})", c.name, c.version)).collect();
        let what = if result.dry_run { "was checked" } else { "was accepted" };
        format!("the change of {} {what} (request {})", names.join(", "), result.request_id)
    };
    print(&result, session).map_err(Failure::unwritten(done))?;
    Ok(Exit::Done)
}

fn print(result: &SetResult, session: &mut Session<'_, '_>) -> io::Result<()> {
    for changed in &result.changed {
        if session.global.output == Format::Table {
            let facts = facts(result, changed);
            let (old, new) = (changed.old.show(&changed.choices), changed.new.show(&changed.choices));
            session.screen.say(&format!("{}: {old} → {new} ({})", changed.name, facts.join(", ")))?;
        } else {
            output::object(session.screen, &SetRow::new(result, changed))?;
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
