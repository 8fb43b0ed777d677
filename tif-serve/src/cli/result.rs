//! `result`: what became of a change or of a call, by its request id alone.
// spec: CTL-3, TST-4

use tif_core::model::RequestId;

use super::args::parsed;
use super::exit::Exit;
use super::failure::Failure;
use super::session::Session;
use super::{fire, set};
use crate::importer::Recalled;

/// Show what became of a change or a call, by its request id
#[derive(Debug, clap::Args)]
#[command(
    after_help = "What is under way is waited for as long as --timeout says, on another CPU for 5 s at most. The oldest results are forgotten in time: an id that nobody knows was never used, was \
refused, or was used long ago.\n\
Ends with status 1 if a procedure answered with its declared error, 3 if nobody knows the id.\n\
JSON: as of `set` or `fire`, without the procedure's name."
)]
pub(super) struct Recall {
    /// The id that `set` or `fire` told, or was given
    #[arg(value_parser = parsed::<RequestId>)]
    id: RequestId,
}

pub(super) fn run(args: &Recall, session: &mut Session<'_, '_>) -> Result<Exit, Failure> {
    match session.connect()?.recall(&args.id)? {
        Recalled::Changed(result) => {
            set::print(&result, &set::Keeps::default(), session)?;
            Ok(Exit::Done)
        }
        Recalled::Called(fired) => {
            let exit = if fired.result.is_ok() { Exit::Done } else { Exit::False };
            fire::print(None, fired, session)?;
            Ok(exit)
        }
    }
}
