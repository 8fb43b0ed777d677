//! Refusals: why a request was not done, for the remote user. Travels on the wire. A refused request changed nothing.
// spec: CTL-1, SEC-2

use serde::{Deserialize, Serialize};

use super::id::{Key, RequestId, Version};

/// Why a request was not done, and what to do about it. Nothing was changed; only of a call that was not answered in time that is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "snake_case", tag = "code")]
pub enum Refusal {
    /// No such instrument.
    #[error("no instrument is called `{name}`{}", did_you_mean(.nearest))]
    NotFound {
        /// What was asked for.
        name: String,
        /// The nearest names.
        nearest: Vec<String>,
    },
    /// More than one fits.
    #[error("`{name}` fits more than one instrument: say which with {{dimensions}} or @process, for example {}", .candidates.first().map_or("", |s| s))]
    Ambiguous {
        /// What was asked for.
        name: String,
        /// Full addresses of some that fit.
        candidates: Vec<String>,
    },
    /// It is there but of another kind.
    #[error("`{name}` is a {kind}; {wanted}")]
    WrongKind {
        /// Which instrument.
        name: String,
        /// What it is.
        kind: String,
        /// What would do, in words.
        wanted: String,
    },
    /// The value does not fit type, range, step or choices.
    #[error("{name}: {reason}")]
    Unfit {
        /// Which instrument or argument.
        name: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// The service's own validator said no.
    #[error("{name}: the service refuses: {reason}")]
    Invalid {
        /// Which instrument.
        name: String,
        /// The validator's words.
        reason: String,
    },
    /// The version is another one than the requester thought.
    #[error("{name} is at version {current}, not {expected}: read it again")]
    StaleVersion {
        /// Which control.
        name: String,
        /// What the requester thought.
        expected: Version,
        /// What it is.
        current: Version,
    },
    /// The key named is not the current one.
    #[error("the key {got} is not current{}", .current.map_or(String::new(), |k| format!("; the current one is {k}")))]
    StaleKey {
        /// The one named.
        got: Key,
        /// The current one, if there is any.
        current: Option<Key>,
    },
    /// The name belongs to a living process.
    #[error("the name `{name}` is held by the live process {holder}: stop it first or use another name")]
    NameTaken {
        /// The name.
        name: String,
        /// Who holds it.
        holder: Key,
    },
    /// Not allowed.
    #[error("denied: {reason}")]
    Denied {
        /// Which rule.
        reason: String,
    },
    /// No live exporter stands behind it now.
    #[error("`{name}` has no live exporter at present ({state}): try again when the outage is over")]
    NoExporter {
        /// Which instrument.
        name: String,
        /// How things stand.
        state: String,
    },
    /// A bound of the facility.
    #[error("too many {what}: at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: String,
        /// How many are allowed.
        max: u64,
    },
    /// The same request id was used for something else.
    #[error("request id {id} was already used for another request ({was}): choose a new one")]
    RequestIdReused {
        /// The id.
        id: String,
        /// What it was used for.
        was: String,
    },
    /// Nobody who was asked knows what became of this request.
    #[error("no change and no call with the request id {id} is known{}", not_answered(.silent))]
    UnknownRequest {
        /// The id.
        id: String,
        /// The CPUs that have not answered, if any.
        silent: String,
    },
    /// The other side speaks another version.
    #[error("protocol versions {min} to {max} are not spoken here; this agent speaks {ours_min} to {ours_max}: {}", older(*max, *ours_min))]
    Protocol {
        /// The least version the other side speaks.
        min: u16,
        /// The greatest.
        max: u16,
        /// The least spoken here.
        ours_min: u16,
        /// The greatest.
        ours_max: u16,
    },
    /// Something in the request makes no sense.
    #[error("{reason}")]
    Malformed {
        /// What, and what would be right.
        reason: String,
    },
    /// The agent could not make it durable. Nothing was changed.
    #[error("the agent cannot write its store: {reason}. Nothing was changed")]
    Store {
        /// What the store said.
        reason: String,
    },
    /// The service has too much to do: it was not begun.
    #[error("{name}: {reason}")]
    Busy {
        /// What was asked for.
        name: String,
        /// What holds it up.
        reason: String,
    },
    /// This CPU may not accept changes of the service now: it is cut off from the CPU that keeps a copy, or from most of those that vote on who leads.
    // spec: GRP-9
    #[error("{name}: {reason}. Nothing was changed; it can still be read")]
    CutOff {
        /// What was asked for.
        name: String,
        /// From whom.
        reason: String,
    },
    /// The primary of a service was not handed over.
    // spec: OUT-5
    #[error("{name} was not handed over: {reason}")]
    NotHandedOver {
        /// Which service, or what was given for it.
        name: String,
        /// Why, and how things stand.
        reason: String,
    },
    /// Another change of the control waits to be confirmed, and holds it until then.
    // spec: CTL-6
    #[error("{name} is held by the change {by}, which waits to be confirmed: confirm it, or wait for its end")]
    Held {
        /// Which control.
        name: String,
        /// The request that holds it.
        by: RequestId,
    },
    /// It cannot be confirmed, or not any more.
    // spec: CTL-6
    #[error("{name}: {reason}")]
    NotConfirmed {
        /// What was to be confirmed.
        name: String,
        /// Why not, and how things stand.
        reason: String,
    },
    /// The service did not answer in time.
    #[error("{name}: {reason}")]
    TimedOut {
        /// What was asked for.
        name: String,
        /// Of what there is no answer, and what is known of it.
        reason: String,
        /// The request id that tells later what became of it; none if nobody ever will.
        request_id: Option<RequestId>,
    },
    /// A call that was begun and whose outcome nobody will ever know: it may have done everything, something or nothing. It is not made again.
    // spec: TST-4
    #[error("{name}: {reason}; whether it was done is not known")]
    Indeterminate {
        /// The procedure.
        name: String,
        /// What ended before its answer came.
        reason: String,
    },
}

impl Refusal {
    /// Whether the same request may well be granted a little later, without anybody's doing anything about it.
    // spec: SEC-3
    pub fn is_passing(&self) -> bool {
        matches!(self, Refusal::Store { .. })
    }
}

fn not_answered(silent: &str) -> String {
    if silent.is_empty() { String::new() } else { format!("; {silent} has not answered") }
}

fn did_you_mean(nearest: &[String]) -> String {
    if nearest.is_empty() { "; `tif-serve ls` lists what there is".to_owned() } else { format!("; did you mean {}?", nearest.join(", ")) }
}
/// Who has to change.
fn older(max: u16, ours_min: u16) -> &'static str {
    if max < ours_min { "upgrade the program" } else { "upgrade this agent" }
}
