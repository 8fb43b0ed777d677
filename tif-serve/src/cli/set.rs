//! `set`: change a control.

use std::io;

use tif_core::model::{RequestId, SetResult, Version};
use tif_core::wire::Admission;

use super::args::{Format, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::importer::{SetRequest, new_request_id};
use crate::json::SetRow;

/// Change a control
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The value is read by the control's type: true or false (or on, off, yes, no, 1, 0), a number (negative ones, too), \
a choice's name, a duration as 250ms. What is beyond its type or range is refused, never cut to fit.\n\
A request id that was used before does nothing and answers what became of it: repeat a command that failed on the way with the id it told.\n\
JSON: v, request_id, result (accepted or checked), version, replicated, old, new, name, applied, repeated, dry_run."
)]
pub(super) struct Set {
    /// Which control
    name: String,
    /// To what
    #[arg(allow_hyphen_values = true)]
    value: String,
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

impl Set {
    /// A value that looks like an option is more likely a slip of the pen, unless `--` (was there one?) says otherwise.
    pub(super) fn slip(&self, separated: bool) -> Option<Failure> {
        let hint = "`tif-serve set --help` shows the options; write -- before a value that begins with --";
        let wrong = self.value.starts_with("--") && !separated;
        wrong.then(|| Failure::usage(format!("no option is called `{}`", self.value.chars().take(64).collect::<String>()), hint))
    }
}

pub(super) fn run(args: Set, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let importer = session.connect()?;
    let admission = Admission { if_version: args.if_version.map(Version), if_key: None, dry_run: args.dry_run };
    let Set { name, value, request_id, reason, .. } = args;
    let id = request_id.unwrap_or_else(new_request_id);
    let request = SetRequest { name, value, request_id: Some(id.clone()), admission, reason };
    let result = session.unless_interrupted(&importer, &id, || importer.set(request))??;
    let done = || {
        let SetResult { request_id, name, version, .. } = &result;
        let what = if result.dry_run { "was checked" } else { "was accepted" };
        format!("the change of {name} {what} (version {version}, request {request_id})")
    };
    print(&result, session).map_err(Failure::unwritten(done))?;
    Ok(Exit::Done)
}

fn print(result: &SetResult, session: &mut Session<'_, '_>) -> io::Result<()> {
    if session.global.output != Format::Table {
        output::object(session.screen, &SetRow::new(result))?;
        return session.screen.flush();
    }
    let facts = [
        Some(format!("version {}", result.version)),
        Some(format!("request {}", result.request_id)),
        Some(if result.replicated { "replicated" } else { "local" }.to_owned()),
        result.dry_run.then(|| "dry run: nothing changed".to_owned()),
        result.repeated.then(|| "repeated: done before under this id".to_owned()),
        (!result.applied && !result.dry_run).then(|| "not yet applied by the service".to_owned()),
    ];
    let facts: Vec<String> = facts.into_iter().flatten().collect();
    let (old, new) = (result.old.show(&result.choices), result.new.show(&result.choices));
    session.screen.say(&format!("{}: {old} → {new} ({})", result.name, facts.join(", ")))?;
    session.screen.flush()
}
