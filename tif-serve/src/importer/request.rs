//! What an importer can ask for, and what may come of it.

use std::path::PathBuf;
use std::time::Duration;

use tif_core::model::{Literal, Refusal, Report, RequestId, SetResult, Setting};
use tif_core::wire::{Admission, Announcement, KeepAsked};

/// A change of a control, or of several of one exporter in one step.
// spec: CTL-6
#[derive(Clone, Debug, PartialEq)]
pub struct SetRequest {
    /// Each control, and its value as one writes it. If one of them is refused, none is changed.
    pub settings: Vec<Setting>,
    /// The change's own id; a random one if none is given.
    pub request_id: Option<RequestId>,
    /// Under which conditions.
    pub admission: Admission,
    /// Why, for the audit.
    pub reason: Option<String>,
    /// On what terms it is to stay, if it has to be confirmed: [`Importer::confirm`](super::Importer::confirm).
    // spec: CTL-6
    pub keep: Option<KeepAsked>,
}

impl SetRequest {
    /// One control, whatever its version is.
    pub fn of(name: impl Into<String>, value: impl Into<Literal>) -> SetRequest {
        SetRequest {
            settings: vec![Setting::new(name, value)],
            request_id: None,
            admission: Admission::default(),
            reason: None,
            keep: None,
        }
    }
}

/// A call of a procedure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireRequest {
    /// The procedure's address.
    pub name: String,
    /// Its arguments by name, as one writes them.
    pub arguments: Vec<(String, Literal)>,
    /// The call's own id; a random one if none is given.
    pub request_id: Option<RequestId>,
}

/// What a procedure answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FireResult {
    /// The call's id.
    pub request_id: RequestId,
    /// Its result or its declared error, as text.
    pub result: Result<String, String>,
    /// This is the recorded answer to an earlier call of the same id.
    pub repeated: bool,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub enum Recalled {
    /// It was a change.
    Changed(SetResult),
    /// It was a call.
    Called(FireResult),
}

/// Values as they are now.
#[derive(Clone, Debug, PartialEq)]
pub struct Sensed {
    /// The instruments that fit, each with its current report.
    pub rows: Vec<(Announcement, Report)>,
    /// For patterns that name one instrument and found none.
    pub missing: Vec<Refusal>,
    /// There are more than can be sent at once.
    pub truncated: bool,
}

/// Why a request brought no answer that says "done".
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// The agent refused it. Nothing was changed.
    #[error("{0}")]
    Refused(Refusal),
    /// The link to the agent was gone and did not come back in time. A change that was under way may or may not have been accepted: the same
    /// request id tells.
    #[error("the agent in {} cannot be reached{}", .run_dir.display(), .request_id.as_ref().map_or(String::new(), |id| format!("; whether {id} was done is not known")))]
    Unreachable {
        /// Where it was looked for.
        run_dir: PathBuf,
        /// The id to ask again with.
        request_id: Option<RequestId>,
    },
    /// No answer came in time. As with [`RequestError::Unreachable`], the request id tells what became of a change.
    #[error("no answer within {after:?}{}", .request_id.as_ref().map_or(String::new(), |id| format!("; whether {id} was done is not known")))]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// The id to ask again with.
        request_id: Option<RequestId>,
    },
    /// The agent answered something else than was asked, or the request does not fit a frame.
    #[error("the agent's answer makes no sense: {reason}")]
    Protocol {
        /// What was wrong.
        reason: String,
    },
}
