//! The caller's half of the importer: opening, subscribing, asking.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;
use tif_core::limits;
use tif_core::model::{Arming, Coarsen, Name, Notice, Pattern, RequestId, SetResult};
use tif_core::wire::{
    CpuRow, Drained, GroupRow, Hello, Identity, ListRow, OutageRow, ProcessRow, Registration, ToAgent, ToProcess, Welcome,
};
use tif_process::{ConnectError, Connection, RunDir};

use super::interest::{Interest, Lost};
use super::thread::{self, Threads};
use super::{Event, FireRequest, FireResult, Link, Recalled, RequestError, Sensed, SetRequest, SubscriptionId};

/// The agent answers a reading so long before it is waited for no longer, at most.
const WAY_BACK: Duration = Duration::from_millis(250);

/// How an importer opens.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the agent is; none: `TIF_RUN_DIR`, `$XDG_RUNTIME_DIR/tif` or `/run/tif`.
    pub run_dir: Option<PathBuf>,
    /// Program and version, as `ps` shows it.
    pub program: String,
    /// What the process is called: `name-1`, `name-2` …
    pub name: Name,
    /// How long a request may take.
    pub timeout: Duration,
    /// The agent's socket is forwarded from another machine: the agent cannot see this process, which says so often that it lives. From
    /// [`HEARTBEAT_PERIOD_MIN`](tif_core::limits::HEARTBEAT_PERIOD_MIN) to [`HEARTBEAT_PERIOD_MAX`](tif_core::limits::HEARTBEAT_PERIOD_MAX).
    // spec: PSM-6
    pub heartbeat: Option<Duration>,
}

/// How often a process says that it lives, if nobody chose.
pub const HEARTBEAT: Duration = Duration::from_secs(1);

/// A connection to the CPU's agent that re-makes itself.
///
/// Dropping it ends the session: the agent drops the subscriptions and disarms what this session armed.
pub struct Importer {
    interest: Arc<Interest>,
    events: Receiver<Event>,
    timeout_ns: AtomicU64,
    run_dir: RunDir,
    _threads: Threads,
}

impl Importer {
    /// Connects and registers as an importer.
    ///
    /// # Errors
    /// If no agent answers now or it refuses. Nothing is left behind.
    pub fn open(options: Options) -> Result<Importer, ConnectError> {
        let run_dir = RunDir::resolve(options.run_dir.as_deref());
        let hello = tif_process::hello(Identity::Pick(options.name), Registration::Importer, options.program, None);
        let hello = Hello { heartbeat: options.heartbeat, ..hello };
        let (connection, welcome, _) = Connection::open(&run_dir, hello.clone(), &[], options.timeout)?;
        let interest = Arc::new(Interest::new(welcome, connection.sender()).map_err(ConnectError::Io)?);
        let (events, threads) = thread::start(run_dir.clone(), hello, connection, interest.clone()).map_err(ConnectError::Io)?;
        let timeout_ns = AtomicU64::new(0);
        let importer = Importer { interest, events, timeout_ns, run_dir, _threads: threads };
        importer.set_timeout(options.timeout);
        Ok(importer)
    }

    /// What happens, in order. Bounded: a consumer that does not read is told only the newest values, and how many it missed.
    // spec: MON-6
    pub fn events(&self) -> &Receiver<Event> {
        &self.events
    }

    /// How long later requests may take.
    pub fn set_timeout(&self, timeout: Duration) {
        self.timeout_ns.store(u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Monitors what fits, also what is still to come, until unsubscribed; over outages and restarts of the agent.
    pub fn subscribe(&self, pattern: Pattern, coarsen: Coarsen) -> SubscriptionId {
        self.interest.subscribe(pattern, coarsen)
    }

    /// No longer. Instruments that no other subscription fits are removed.
    pub fn unsubscribe(&self, subscription: SubscriptionId) {
        self.interest.unsubscribe(subscription);
    }

    /// Discovers: all that fits, by address, with what is declared. Does not subscribe.
    ///
    /// # Errors
    /// As any request: refused, unreachable, timed out.
    // spec: INS-9
    pub fn list(&self, pattern: &Pattern) -> Result<Vec<ListRow>, RequestError> {
        let mut all: Vec<ListRow> = Vec::new();
        let mut after = None;
        loop {
            let (pattern, from) = (pattern.clone(), after.clone());
            let limit = limits::PAGE_ROWS_MAX as u32;
            match self.ask(None, true, |req| ToAgent::List { req, pattern: pattern.clone(), after: from.clone(), limit })? {
                ToProcess::Listed { rows, next, .. } => {
                    all.extend(rows);
                    match next {
                        // A page mark that does not move would never end.
                        Some(next) if after.as_ref() != Some(&next) => after = Some(next),
                        Some(next) => return Err(RequestError::Protocol { reason: format!("the listing stands still at {next}") }),
                        None => return Ok(all),
                    }
                }
                other => return Err(unexpected("a listing", &other)),
            }
        }
    }

    /// Reads now, dynamic indicators included.
    ///
    /// # Errors
    /// As any request.
    pub fn sense(&self, patterns: &[Pattern]) -> Result<Sensed, RequestError> {
        // The agent is to answer with what it has before it is waited for no longer.
        let timeout = Duration::from_nanos(self.timeout_ns.load(Ordering::Relaxed));
        let patience = Some(timeout - (timeout / 5).min(WAY_BACK));
        match self.ask(None, true, |req| ToAgent::Sense { req, patterns: patterns.to_vec(), patience })? {
            ToProcess::Sensed { rows, missing, truncated, .. } => Ok(Sensed { rows, missing, truncated }),
            other => Err(unexpected("values", &other)),
        }
    }

    /// Changes a control, or several. Asked again under the same id if the link was lost on the way, so it happens at most once.
    ///
    /// # Errors
    /// Refused: nothing was changed. Otherwise it is not known; the request id in the error tells when asked again.
    // spec: CTL-3
    pub fn set(&self, request: SetRequest) -> Result<SetResult, RequestError> {
        let request_id = request.request_id.unwrap_or_else(new_request_id);
        let SetRequest { settings, admission, reason, keep, .. } = request;
        let message = |req| ToAgent::Set {
            req,
            request_id: request_id.clone(),
            settings: settings.clone(),
            admission,
            reason: reason.clone(),
            keep: keep.clone(),
        };
        match self.ask(Some(request_id.clone()), true, message)? {
            ToProcess::SetDone { result, .. } => Ok(result),
            other => Err(unexpected("the change's result", &other)),
        }
    }

    /// Lets the change stay that holds this control; with `request_id` only if it is that one. Answers which it was. How one ends that was made on this
    /// connection, [`Event::Settled`] tells.
    ///
    /// # Errors
    /// Refused: nothing waits to be confirmed, or it was taken back. Otherwise as any request; it may be asked again.
    // spec: CTL-6
    pub fn confirm(&self, name: &str, request_id: Option<&RequestId>) -> Result<RequestId, RequestError> {
        let message = |req| ToAgent::Confirm { req, name: name.to_owned(), request_id: request_id.cloned() };
        match self.ask(None, true, message)? {
            ToProcess::Confirmed { request_id, .. } => Ok(request_id),
            other => Err(unexpected("that it is confirmed", &other)),
        }
    }

    /// Calls a procedure. Never asked again by itself: whether a call that was under way has happened is for its request id to tell.
    ///
    /// # Errors
    /// As for [`Importer::set`].
    // spec: TST-2
    pub fn fire(&self, request: FireRequest) -> Result<FireResult, RequestError> {
        let request_id = request.request_id.unwrap_or_else(new_request_id);
        let FireRequest { name, arguments, .. } = request;
        let message = |req| ToAgent::Fire { req, request_id: request_id.clone(), name: name.clone(), arguments: arguments.clone() };
        match self.ask(Some(request_id.clone()), false, message)? {
            ToProcess::Fired { request_id, result, repeated, .. } => Ok(FireResult { request_id, result, repeated }),
            other => Err(unexpected("the call's result", &other)),
        }
    }

    /// What became of a change or of a call, by its id alone. What is under way is waited for.
    ///
    /// # Errors
    /// Refused: nobody knows the id, or it is known that nobody will know what became of it. Otherwise as any request.
    // spec: CTL-3, TST-4
    pub fn recall(&self, request_id: &RequestId) -> Result<Recalled, RequestError> {
        match self.ask(None, true, |req| ToAgent::Recall { req, request_id: request_id.clone() })? {
            ToProcess::SetDone { result, .. } => Ok(Recalled::Changed(result)),
            ToProcess::Fired { request_id, result, repeated, .. } => Ok(Recalled::Called(FireResult { request_id, result, repeated })),
            other => Err(unexpected("what became of it", &other)),
        }
    }

    /// Arms an in-path test point; answers its full address. It is disarmed when this importer ends, unless told to outlive it.
    ///
    /// # Errors
    /// As any request.
    // spec: TST-1, TST-5
    pub fn arm(&self, name: &str, arming: Arming) -> Result<String, RequestError> {
        self.armed(|req| ToAgent::Arm { req, name: name.to_owned(), arming: arming.clone() })
    }

    /// Disarms it; answers its full address.
    ///
    /// # Errors
    /// As any request.
    pub fn disarm(&self, name: &str) -> Result<String, RequestError> {
        self.armed(|req| ToAgent::Disarm { req, name: name.to_owned() })
    }

    fn armed(&self, message: impl Fn(u64) -> ToAgent) -> Result<String, RequestError> {
        match self.ask(None, true, message)? {
            ToProcess::Armed { name, .. } => Ok(name),
            other => Err(unexpected("armed or disarmed", &other)),
        }
    }

    /// Has the primary of a service hand over to a standby: this one, or the senior one. `name`: the service, or the process that is its primary. Asked once:
    /// whether it was done if the link is lost meanwhile, the processes and the outages tell.
    ///
    /// # Errors
    /// As any request.
    // spec: OUT-5
    pub fn drain(&self, name: &Name, to: Option<&Name>) -> Result<Drained, RequestError> {
        match self.ask(None, false, |req| ToAgent::Drain { req, name: name.clone(), to: to.cloned() })? {
            ToProcess::Drained { drained, .. } => Ok(*drained),
            other => Err(unexpected("the handover", &other)),
        }
    }

    /// The processes, by name.
    ///
    /// # Errors
    /// As any request.
    pub fn processes(&self) -> Result<Vec<ProcessRow>, RequestError> {
        match self.ask(None, true, |req| ToAgent::Processes { req })? {
            ToProcess::Processes { rows, .. } => Ok(rows),
            other => Err(unexpected("the processes", &other)),
        }
    }

    /// The outages, oldest first.
    ///
    /// # Errors
    /// As any request.
    pub fn outages(&self) -> Result<Vec<OutageRow>, RequestError> {
        match self.ask(None, true, |req| ToAgent::Outages { req })? {
            ToProcess::Outages { rows, .. } => Ok(rows),
            other => Err(unexpected("the outages", &other)),
        }
    }

    /// The CPUs of the system, as the agent of this one knows them.
    ///
    /// # Errors
    /// As any request.
    pub fn cpus(&self) -> Result<Vec<CpuRow>, RequestError> {
        match self.ask(None, true, |req| ToAgent::Cpus { req })? {
            ToProcess::Cpus { rows, .. } => Ok(rows),
            other => Err(unexpected("the CPUs", &other)),
        }
    }

    /// The groups of services and who leads them, as the agent of this CPU knows them.
    ///
    /// # Errors
    /// As any request.
    pub fn groups(&self) -> Result<Vec<GroupRow>, RequestError> {
        match self.ask(None, true, |req| ToAgent::Groups { req })? {
            ToProcess::Groups { rows, .. } => Ok(rows),
            other => Err(unexpected("the groups", &other)),
        }
    }

    /// What is known of a process now. What becomes of it comes as [`Event::Notice`], until forgotten; also after a restart of the agent.
    ///
    /// # Errors
    /// As any request.
    // spec: PSM-3
    pub fn lookup(&self, name: &Name) -> Result<Notice, RequestError> {
        self.interest.remember(name);
        match self.ask(None, true, |req| ToAgent::Lookup { req, name: name.clone() })? {
            ToProcess::LookedUp { notice, .. } => Ok(notice),
            other => Err(unexpected("what is known of the process", &other)),
        }
    }

    /// The same without waiting: also what is known of it now comes as [`Event::Notice`]. Nothing comes if the agent refuses.
    // spec: PSM-3
    pub fn follow(&self, name: &Name) {
        self.interest.look_up(name);
    }

    /// Notices of it are no longer wanted.
    pub fn forget(&self, name: &Name) {
        self.interest.forget(name);
    }

    /// Takes leave of the agent now: nothing comes any more, and requests under way, of whichever thread, end as unreachable.
    pub fn leave(&self) {
        self.interest.close();
    }

    /// What the agent said when it last admitted this importer: CPU, own key, agent's key.
    pub fn welcome(&self) -> Welcome {
        self.interest.welcome()
    }

    /// How the connection stands now.
    pub fn link(&self) -> Link {
        self.interest.link()
    }

    /// Where the agent is looked for.
    pub fn run_dir(&self) -> &RunDir {
        &self.run_dir
    }

    /// One request, one answer. `again`: may be sent a second time if the link is lost while it is under way.
    fn ask(&self, id: Option<RequestId>, again: bool, message: impl Fn(u64) -> ToAgent) -> Result<ToProcess, RequestError> {
        let after = Duration::from_nanos(self.timeout_ns.load(Ordering::Relaxed));
        // A time limit beyond what the clock can say is none.
        let deadline = Instant::now().checked_add(after);
        let unreachable = || RequestError::Unreachable { run_dir: self.run_dir.path().to_owned(), request_id: id.clone() };
        let timed_out = || RequestError::TimedOut { after, request_id: id.clone() };
        loop {
            if !self.interest.wait_for_link(deadline) {
                return Err(unreachable());
            }
            let (req, answer) = match self.interest.ask(&message) {
                Ok(asked) => asked,
                Err(Lost::Link) => continue,
                Err(Lost::TooMany) => return Err(RequestError::Protocol { reason: "too many requests are waiting".into() }),
                Err(Lost::TooLong(reason)) => return Err(RequestError::Protocol { reason }),
            };
            let received = match deadline {
                Some(deadline) => answer.recv_deadline(deadline).map_err(|e| e.is_timeout()),
                None => answer.recv().map_err(|_| false),
            };
            match received {
                Ok(ToProcess::Refused { refusal, .. }) => return Err(RequestError::Refused(refusal)),
                Ok(message) => return Ok(message),
                Err(true) => {
                    self.interest.abandon(req);
                    return Err(timed_out());
                }
                // The link was lost while the answer was awaited.
                Err(false) if again => {}
                Err(false) => return Err(unreachable()),
            }
        }
    }
}

fn unexpected(wanted: &str, got: &ToProcess) -> RequestError {
    let got = format!("{got:?}");
    RequestError::Protocol { reason: format!("{wanted} was asked for, this came: {}", got.chars().take(80).collect::<String>()) }
}

/// A request id that nobody has used: 128 random bits.
pub fn new_request_id() -> RequestId {
    RequestId::try_from(format!("{:032x}", super::random::bits())).expect("hexadecimal digits are allowed")
}
