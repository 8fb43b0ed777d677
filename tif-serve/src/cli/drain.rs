//! `drain`: the primary of a service hands over to a standby.
// spec: OUT-5

use serde_json::{Value, json};
use tif_core::model::Name;
use tif_core::wire::Drained;

use super::args::{Format, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::json::OutageRow;

/// Have the primary of a service hand over to a standby: watchers see no gap
#[derive(Debug, clap::Args)]
pub(super) struct Drain {
    /// The service, or the process that is its primary; on whatever CPU that is
    #[arg(value_parser = parsed::<Name>)]
    name: Name,
    /// To which standby; one of another CPU is named with it: cpu2.orders-1. Without it to the senior one of the primary's CPU, or else of another
    #[arg(long, value_name = "PROCESS", value_parser = parsed::<Name>)]
    to: Option<Name>,
}

pub(super) fn run(args: &Drain, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let drained = session.connect()?.drain(&args.name, args.to.as_ref())?;
    let printed = match session.global.output {
        Format::Table => session.screen.say(&line(&drained)),
        Format::Json | Format::Jsonl => output::object(session.screen, &object(&drained)),
    };
    printed.and_then(|()| session.screen.flush()).map_err(Failure::unwritten(|| line(&drained)))?;
    Ok(Exit::Done)
}

fn line(drained: &Drained) -> String {
    let Drained { outage, epoch, deposed } = drained;
    let how = if *deposed { "did not let go in time and was deposed" } else { "has handed over" };
    let from = if outage.end.as_ref().is_some_and(|end| end.key.node != outage.key.node) {
        format!("{}.{}", outage.cpu, outage.process)
    } else {
        outage.process.to_string()
    };
    let to = outage.end.as_ref().map(|end| format!(" {}#{} leads in term {epoch}, gap {}ms", end.process, end.key.inc, end.gap_ms));
    format!("{}: {from}#{} {how};{}", outage.source, outage.key.inc, to.unwrap_or_default())
}

/// The row that `outages` has of it, with what only the answer tells.
fn object(drained: &Drained) -> Value {
    let mut object = json!(OutageRow { event: None, ..OutageRow::told(&drained.outage) });
    object["epoch"] = json!(drained.epoch.0);
    object["deposed"] = json!(drained.deposed);
    object
}
