//! Every bound on what comes from outside or is kept for others, with the reason for its size.
// spec: SEC-2

use std::time::Duration;

/// Bytes of one frame on a socket. A page of declarations (the largest message) stays well below.
pub const FRAME_LEN_MAX: usize = 4 << 20;
/// Bytes of a text value, as the specification says (INS-3).
pub const TEXT_LEN_MAX: usize = 255;
/// Bytes of a full instrument name, service included.
pub const NAME_LEN_MAX: usize = 200;
/// Segments in a name.
pub const NAME_SEGMENTS_MAX: usize = 12;
/// Bytes of an instrument's dimensions as text, as they fit a block of the segment.
pub const DIMENSIONS_LEN_MAX: usize = 120;
/// Dimensions of one instrument.
pub const DIMENSIONS_MAX: usize = 8;
/// Bytes of a process or service name.
pub const PROCESS_NAME_LEN_MAX: usize = 80;
/// Bytes of one declaration in a segment.
pub const DECLARATION_LEN_MAX: usize = 8192;
/// Choices of a choice type.
pub const CHOICES_MAX: usize = 64;
/// Arguments of a procedure; fields of a record.
pub const ARGUMENTS_MAX: usize = 16;
/// Bytes of a request id: holds a UUID and a prefix.
pub const REQUEST_ID_LEN_MAX: usize = 64;
/// Controls that one step changes: a screen full, and its record stays far below a frame.
pub const STEP_CONTROLS_MAX: usize = 64;
/// Bytes of one step, names and values.
pub const SET_LEN_MAX: usize = 4096;
/// Changes of one CPU that wait to be confirmed: each keeps the old values of its controls.
pub const UNCONFIRMED_MAX: usize = 256;
/// The shortest time to confirm a change: less is for no human, and hardly for a script.
pub const CONFIRM_WITHIN_MIN: Duration = Duration::from_secs(1);
/// The longest: who needs more than a day does not wait for the effect.
pub const CONFIRM_WITHIN_MAX: Duration = Duration::from_secs(24 * 3600);
/// Bytes of the reason given for a change.
pub const REASON_LEN_MAX: usize = 255;
/// Bytes of a procedure's result as text.
pub const RESULT_LEN_MAX: usize = 16 << 10;

/// Instruments of one exporter that an agent is willing to map (EXP-8).
pub const SLOTS_MAX: u32 = 1 << 20;
/// Threads of an exporter with a lane of their own.
pub const LANES_MAX: u32 = 256;
/// Bytes of a segment that an agent is willing to map. Address space, not memory: untouched pages cost nothing.
pub const SEGMENT_LEN_MAX: u64 = 8 << 30;

/// Connections to one agent. Each costs a descriptor or four.
pub const CONNECTIONS_MAX: usize = 1024;
/// Registrations of one OS process that live, whether they have a connection or not. Each holds a pidfd, and an exporter's a bell, a board and mappings.
pub const REGISTRATIONS_MAX: usize = 64;
/// Process numbers that are durably set apart ahead of those in use: so many new names can importers bring while the store cannot be written.
pub const PROCESS_NUMBERS_AHEAD: u64 = 1000;
/// Process names that an agent remembers, dead ones included (tombstones).
pub const PROCESSES_MAX: usize = 65_536;
/// Subscriptions of one importer.
pub const SUBSCRIPTIONS_MAX: usize = 1024;
/// Processes of which one process can be told.
pub const LOOKUPS_MAX: usize = 16_384;
/// Reports waiting for one importer: at most one per instrument anyway; beyond this many instruments the importer is told of the loss.
pub const REPORTS_QUEUED_MAX: usize = 1 << 20;
/// Notices and outages waiting for one importer. They are never dropped: an importer so far behind is cut off and starts anew.
pub const NOTICES_QUEUED_MAX: usize = 65_536;
/// Requests of one client that wait for an answer.
pub const REQUESTS_PENDING_MAX: usize = 256;
/// Rows of one page of a listing.
pub const PAGE_ROWS_MAX: usize = 2_000;
/// CPUs that an agent greets or answers, those that it has nothing in common with included.
pub const PEERS_SEEN_MAX: usize = 2_048;
/// Reports in one frame.
pub const BATCH_REPORTS_MAX: usize = 1_024;
/// Results of changes and calls that are remembered by request id; the oldest go first.
pub const RESULTS_KEPT_MAX: usize = 65_536;
/// Calls of procedures whose outcome is remembered; the oldest are forgotten first.
pub const CALLS_KEPT_MAX: usize = 4096;
/// Outages that are remembered; the oldest ended ones go first.
pub const OUTAGES_KEPT_MAX: usize = 1_024;
/// Dead incarnations whose last values can be browsed (EXP-6).
pub const CORPSES_KEPT_MAX: usize = 64;
/// Instruments in all of them together.
pub const CORPSE_ROWS_MAX: usize = 200_000;
/// How long they can be browsed.
pub const CORPSE_RETENTION: Duration = Duration::from_secs(600);

/// How long stale data is shown before it is cleared (SYN-4), unless its source says otherwise.
pub const STALE_AFTER_OUTAGE: Duration = Duration::from_secs(30);
/// How often the agent looks for what the operating system failed to tell (PSM-5, OUT-1b).
pub const SCAN_PERIOD: Duration = Duration::from_secs(1);
/// How long a service's validator may think about a change.
pub const VALIDATE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a change that is already accepted waits for the service to say that it runs with it, before the requester is answered.
pub const APPLY_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a primary that hands over may take to let go, and its successor then to lead (OUT-5).
pub const HANDOVER_TIMEOUT: Duration = Duration::from_secs(2);
/// Members that a launch specification may ask for, and that another CPU's agent may say it has of one service.
pub const MEMBERS_MAX: u32 = 64;
/// Changes of one service's controls that wait for the end of a handover; further ones are refused.
pub const HANDOVER_CHANGES_MAX: usize = 1_024;
/// How long a dynamic indicator may take to answer a request.
pub const COMPUTE_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a process on another kernel may choose to send heartbeats: not more often than this,
pub const HEARTBEAT_PERIOD_MIN: Duration = Duration::from_millis(100);
/// and not less often (PSM-6).
pub const HEARTBEAT_PERIOD_MAX: Duration = Duration::from_secs(10);
/// Calls of one exporter that run at the same time, those that overran their time limit included. Each has a thread of the service.
pub const CALLS_RUNNING_MAX: usize = 8;
/// The longest time limit that a procedure may declare.
pub const PROCEDURE_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
/// The longest that a test point may stay armed (TST-1).
pub const ARM_EXPIRY_MAX: Duration = Duration::from_secs(24 * 3600);
/// How long it stays armed if nobody said.
pub const ARM_EXPIRY_DEFAULT: Duration = Duration::from_secs(60);
/// The longest delay that a test point can inject in one pass.
pub const ARM_DELAY_MAX: Duration = Duration::from_secs(60);
