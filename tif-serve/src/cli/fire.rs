//! `fire`: call a procedure.

use std::io;
use std::time::Duration;

use serde_json::json;
use tif_core::model::{Kind, Pattern, RequestId, TestPointKind};

use super::args::{Format, parsed};
use super::exit::Exit;
use super::failure::Failure;
use super::output;
use super::session::Session;
use crate::importer::{FireRequest, FireResult, Importer, new_request_id};
use crate::json::VERSION;

/// Call a procedure and print what it answers
#[derive(Debug, clap::Args)]
#[command(after_help = "Without --timeout it is waited for as long as the procedure declares it may take.\n\
It is called at most once per request id; the same id again answers what was recorded. Ctrl-C ends the waiting, not the call: \
the request id that is told then asks again (status 130).\n\
Ends with status 1 if the procedure answered with its declared error.\n\
JSON: v, request_id, name, result (a string) or error, repeated.")]
pub(super) struct Fire {
    /// Which procedure
    name: String,
    /// Its arguments by name
    #[arg(value_parser = argument, value_name = "ARG=VALUE")]
    arguments: Vec<(String, String)>,
    /// The call's own id [default: a random one]
    #[arg(long, value_name = "ID", value_parser = parsed::<RequestId>)]
    request_id: Option<RequestId>,
}

/// On top of what the procedure may take: the way there and back.
const MARGIN: Duration = Duration::from_secs(2);

fn argument(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write the argument's name, =, and its value, as limit=100".to_owned()),
    }
}

pub(super) fn run(args: Fire, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    let importer = session.connect()?;
    if session.global.timeout.is_none()
        && let Some(limit) = declared_limit(&importer, &args.name)?
    {
        importer.set_timeout(limit + MARGIN);
    }
    let Fire { name, arguments, request_id } = args;
    let id = request_id.unwrap_or_else(new_request_id);
    let request = FireRequest { name: name.clone(), arguments, request_id: Some(id.clone()) };
    let fired = session.unless_interrupted(&importer, &id, || importer.fire(request))??;
    let exit = if fired.result.is_ok() { Exit::Done } else { Exit::False };
    print(Some(&name), fired, session).map_err(Failure::unwritten(|| format!("{name} was called and has answered (request {id})")))?;
    Ok(exit)
}

/// `name`: of the procedure, if it is known.
pub(super) fn print(name: Option<&str>, fired: FireResult, session: &mut Session<'_, '_>) -> io::Result<()> {
    if session.global.output != Format::Table {
        let mut line = json!({"v": VERSION, "request_id": fired.request_id, "repeated": fired.repeated});
        if let Some(name) = name {
            line["name"] = json!(name);
        }
        match fired.result {
            Ok(result) => line["result"] = json!(result),
            Err(error) => line["error"] = json!(error),
        }
        output::object(session.screen, &line)?;
        return session.screen.flush();
    }
    match fired.result {
        Ok(result) => session.screen.say(&result).and_then(|()| session.screen.flush())?,
        Err(error) => session.screen.note(&format!("error: {} answers: {error}", name.unwrap_or("the procedure"))),
    }
    let repeated = if fired.repeated { ", repeated: called before under this id" } else { "" };
    session.screen.note(&format!("(request {}{repeated})", fired.request_id));
    Ok(())
}

/// How long the procedure may take; none if there is no such procedure: the call itself will be told so, with the nearest names.
fn declared_limit(importer: &Importer, name: &str) -> Result<Option<Duration>, Failure> {
    let rows = importer.list(&name.parse::<Pattern>()?)?;
    Ok(rows.iter().find_map(|row| match &row.announcement.descriptor.kind {
        Kind::TestPoint(TestPointKind::Procedure { timeout, .. }) => Some(*timeout),
        _ => None,
    }))
}
