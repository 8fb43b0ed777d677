//! `confirm`: a change that was to be confirmed stays.
// spec: CTL-6

use serde_json::json;
use tif_core::model::RequestId;

use super::args::{Format, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::json::VERSION;

/// Let a change stay that was made with --confirm-within
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Confirmed twice it is confirmed. What was taken back already is refused with the cause.\nJSON: v, request_id, confirmed."
)]
pub(super) struct Confirm {
    /// The control, or one of those of the same step
    name: String,
    /// Only if it is the change with this id
    #[arg(long, value_name = "ID", value_parser = parsed::<RequestId>)]
    request_id: Option<RequestId>,
}

pub(super) fn run(args: &Confirm, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let id = session.connect()?.confirm(&args.name, args.request_id.as_ref())?;
    let line = format!("{}: the change {id} stays", args.name);
    let printed = match session.global.output {
        Format::Table => session.screen.say(&line),
        Format::Json | Format::Jsonl => {
            output::object(session.screen, &json!({"v": VERSION, "request_id": id.to_string(), "confirmed": true}))
        }
    };
    printed.and_then(|()| session.screen.flush()).map_err(Failure::unwritten(|| line))?;
    Ok(Exit::Done)
}
