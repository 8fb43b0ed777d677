//! `disarm`: an in-path test point is to do nothing any more.

use serde_json::json;

use super::args::Format;
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::json::VERSION;

/// Disarm an in-path test point, whoever armed it
#[derive(Debug, clap::Args)]
pub(super) struct Disarm {
    /// Which test point
    name: String,
}

pub(super) fn run(args: Disarm, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let name = session.connect()?.disarm(&args.name)?;
    let printed = match session.global.output {
        Format::Table => session.screen.say(&format!("{name}: disarmed")),
        Format::Json | Format::Jsonl => output::object(session.screen, &json!({"v": VERSION, "name": name, "armed": false})),
    };
    printed.and_then(|()| session.screen.flush()).map_err(Failure::unwritten(|| format!("{name} was disarmed")))?;
    Ok(Exit::Done)
}
