//! What a process says to its agent.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::hello::Hello;
use crate::machine::confirm::Guard;
use crate::model::{Arming, Coarsen, Epoch, Key, Literal, Name, Pattern, RequestId, Setting, Slot, Version};

/// Under which conditions a change is admitted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Admission {
    /// Only from this exporter.
    pub if_key: Option<Key>,
    /// Check all, change nothing.
    pub dry_run: bool,
}

/// On what terms a change is to stay, as it is asked for.
// spec: CTL-6
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeepAsked {
    /// It is taken back unless it is confirmed within this time.
    pub within: Duration,
    /// It is taken back as soon as this indicator leaves its range.
    pub guard: Option<Guard>,
    /// It is taken back when the connection ends on which it is asked for.
    pub while_connected: bool,
}

/// From a process to its agent. `req` numbers requests of one connection; the answer carries it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToAgent {
    /// Register or resume.
    Hello(Hello),
    /// Everything that it will export from the start is declared, its controls are set: it may be announced.
    Ready,
    /// It takes its leave.
    Unregister,
    /// It lives; from a process on another kernel, which nothing else would say.
    // spec: PSM-6
    Heartbeat,
    /// Answer to a probe.
    Pong {
        /// The probe's number.
        nonce: u64,
    },

    // As an exporter.
    /// The service's validator has spoken.
    Validated {
        /// The agent's question.
        req: u64,
        /// Its refusal, if it refuses.
        result: Result<(), String>,
    },
    /// The service runs with this version of a control.
    Applied {
        /// Which control.
        slot: Slot,
        /// Which version.
        version: Version,
    },
    /// Dynamic indicators were computed and stand in their slots.
    Computed {
        /// The agent's question.
        req: u64,
        /// Those that failed, and why.
        failed: Vec<(Slot, String)>,
    },
    /// A procedure has returned.
    Returned {
        /// The agent's question.
        req: u64,
        /// Its result or its error, as text.
        result: Result<String, String>,
    },
    /// An in-path test point was armed or disarmed as asked, or could not be.
    ArmedAs {
        /// The agent's question.
        req: u64,
        /// Why not.
        result: Result<(), String>,
    },
    /// An in-path test point has disarmed itself.
    Disarmed {
        /// Which.
        slot: Slot,
    },
    /// The standby has taken over.
    Promoted {
        /// In which term.
        epoch: Epoch,
    },

    // As an importer.
    /// Tell me of these instruments, also of those to come.
    Subscribe {
        /// The importer's name for it.
        subscription: u32,
        /// Which instruments.
        pattern: Pattern,
        /// How much less than declared.
        coarsen: Coarsen,
    },
    /// No longer.
    Unsubscribe {
        /// Which.
        subscription: u32,
    },
    /// Discover.
    List {
        /// The request.
        req: u64,
        /// Which.
        pattern: Pattern,
        /// Behind this row of an earlier page.
        after: Option<String>,
        /// How many rows.
        limit: u32,
    },
    /// Read now.
    Sense {
        /// The request.
        req: u64,
        /// Which.
        patterns: Vec<Pattern>,
        /// How long to wait for dynamic ones, at most [`crate::limits::COMPUTE_TIMEOUT`].
        #[serde(default)]
        patience: Option<Duration>,
    },
    /// Change controls of one exporter: all of them, or none.
    // spec: CTL-6
    Set {
        /// The request.
        req: u64,
        /// The change's own id.
        request_id: RequestId,
        /// Which controls, and to what: at least one, at most [`crate::limits::STEP_CONTROLS_MAX`].
        settings: Vec<Setting>,
        /// Under which conditions.
        admission: Admission,
        /// Why.
        reason: Option<String>,
        /// On what terms it is to stay, if it has to be confirmed.
        keep: Option<KeepAsked>,
    },
    /// The change that holds a control may stay.
    // spec: CTL-6
    Confirm {
        /// The request.
        req: u64,
        /// The control, or one of those of the same step.
        name: String,
        /// Only if it is this change.
        request_id: Option<RequestId>,
    },
    /// Call a procedure.
    Fire {
        /// The request.
        req: u64,
        /// The call's own id.
        request_id: RequestId,
        /// Which procedure.
        name: String,
        /// With what, by name.
        arguments: Vec<(String, Literal)>,
    },
    /// What became of a change or of a call.
    // spec: CTL-3, TST-4
    Recall {
        /// The request.
        req: u64,
        /// The id of that change or call.
        request_id: RequestId,
    },
    /// Arm an in-path test point.
    Arm {
        /// The request.
        req: u64,
        /// Which.
        name: String,
        /// How.
        arming: Arming,
    },
    /// Disarm it.
    Disarm {
        /// The request.
        req: u64,
        /// Which.
        name: String,
    },
    /// The processes.
    Processes {
        /// The request.
        req: u64,
    },
    /// The outages.
    Outages {
        /// The request.
        req: u64,
    },
    /// The CPUs of the system, as this agent knows them.
    Cpus {
        /// The request.
        req: u64,
    },
    /// The groups with their members and who leads, as this agent knows them.
    Groups {
        /// The request.
        req: u64,
    },
    /// What is known of a process, and what becomes of it.
    // spec: PSM-3
    Lookup {
        /// The request.
        req: u64,
        /// Which.
        name: Name,
    },
    /// The same by OS process id, where there is no name at hand.
    LookupPid {
        /// The request.
        req: u64,
        /// Which.
        pid: u32,
    },
    /// Notices of it are no longer wanted.
    Forget {
        /// Which.
        name: Name,
    },

    // As an exporter, too.
    /// A call or a validation could not begin: there is too much to do. It does not begin later.
    Busy {
        /// The agent's question.
        req: u64,
        /// What holds it up.
        reason: String,
    },
    /// The primary has let go: it acts as one no more, and its last values are written.
    // spec: OUT-5
    LetGo {
        /// Of which term.
        epoch: Epoch,
    },

    // As an importer, too.
    /// The primary of a service is to hand over to a standby.
    // spec: OUT-5
    Drain {
        /// The request.
        req: u64,
        /// The service, or the process that is its primary.
        name: Name,
        /// To which standby; none: to the senior one.
        to: Option<Name>,
    },
}
