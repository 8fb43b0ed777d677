//! The exporters of this OS process: one per service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tif_core::model::Name;

use super::doorbell::Doorbell;
use super::link;
use super::standing::{Answer, Callback, Options, Order, Standing, State};
use crate::home::Home;
use crate::instance::service_name;
use crate::procedure_metrics::ProcedureMetrics;
use crate::segment::SegmentError;

/// How long an unregistering process waits for its own thread.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(1);

/// The exporter of one service. Once made it stays for the life of the process: its instruments are in `static`s.
#[derive(Clone)]
pub(crate) struct Exporter(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) service: Name,
    pub(super) home: Home,
    pub(super) doorbell: Arc<Doorbell>,
    pub(super) standing: Standing,
    /// Why there is no segment, if there is none: then the instruments work, and nobody sees them.
    failure: Option<Arc<SegmentError>>,
    /// The OS process that made it. In a forked child its thread is not there, its locks are as they were at that moment, and its segment is the
    /// parent's.
    pid: u32,
}

struct Registry {
    exporters: BTreeMap<String, Exporter>,
    first: Option<Exporter>,
}

static REGISTRY: Mutex<Registry> = Mutex::new(Registry { exporters: BTreeMap::new(), first: None });

/// Why an exporter cannot be started as asked. It is as it was before.
#[derive(Clone, Debug)]
pub(crate) enum Refuses {
    /// There is no shared memory.
    Segment(Arc<SegmentError>),
    /// It runs with other options.
    Different(Box<Options>),
    /// The system gives no thread.
    Thread,
    /// This process was forked from the one (this OS process id) whose exporter it is.
    Forked(u32),
}

impl Exporter {
    /// The exporter of a service, started with the defaults if nobody has started it yet (nor stopped it).
    // spec: EXP-3
    pub(crate) fn of(service: &str, grouped: bool) -> Exporter {
        let exporter = Exporter::bare(service, grouped);
        if exporter.0.failure.is_none() && !exporter.is_forked() && !exporter.0.standing.read(|s| s.has_left) {
            exporter.launch(link::GRACE);
        }
        exporter
    }

    /// The same, not started.
    pub(crate) fn bare(service: &str, grouped: bool) -> Exporter {
        let mut registry = REGISTRY.lock();
        if let Some(exporter) = registry.exporters.get(service) {
            return exporter.clone();
        }
        let exporter = Exporter::new(service, grouped);
        registry.exporters.insert(service.to_owned(), exporter.clone());
        let is_first = registry.first.is_none();
        if is_first {
            registry.first = Some(exporter.clone());
        }
        drop(registry);
        ProcedureMetrics::bind_all(exporter.home(), is_first);
        exporter
    }

    /// The first exporter of the process, or one for `service` if there is none.
    pub(crate) fn first_or(service: &str) -> Exporter {
        let first = REGISTRY.lock().first.clone();
        first.unwrap_or_else(|| Exporter::of(service, false))
    }

    fn new(service: &str, grouped: bool) -> Exporter {
        let name = service_name(service);
        let doorbell = Arc::new(Doorbell::new());
        let (home, failure) = match Home::exported(name.clone(), Arc::clone(&doorbell)) {
            Ok(home) => (home, None),
            Err(error) => {
                tracing::error!(target: "tif::export", service, error = &error as &dyn std::error::Error, "no segment: the service's instruments cannot be seen");
                (Home::detached(name.clone()), Some(Arc::new(error)))
            }
        };
        Exporter(Arc::new(Inner { service: name, home, doorbell, standing: Standing::new(grouped), failure, pid: std::process::id() }))
    }

    pub(crate) fn home(&self) -> &Home {
        &self.0.home
    }

    pub(crate) fn service(&self) -> &Name {
        &self.0.service
    }

    pub(crate) fn standing(&self) -> &Standing {
        &self.0.standing
    }

    /// Starts it with these options; one that was started by default is started anew if they are others.
    pub(crate) fn start(&self, options: Options, promoted: Option<Callback>, demoted: Option<Callback>) -> Result<(), Refuses> {
        if let Some(failure) = &self.0.failure {
            return Err(Refuses::Segment(Arc::clone(failure)));
        }
        // Before any lock.
        if self.is_forked() {
            return Err(Refuses::Forked(self.0.pid));
        }
        self.0.standing.write(|s| {
            if s.handles > 0 && s.options != options {
                return Err(Refuses::Different(Box::new(s.options.clone())));
            }
            s.handles += 1;
            s.has_left = false;
            s.on_promoted.extend(promoted);
            s.on_demoted.extend(demoted);
            if s.options != options {
                s.options = options;
                s.answer = None;
                if s.is_running {
                    s.order = Order::Restart;
                }
            } else if matches!(s.answer, Some(Answer::Refused(_) | Answer::Failed | Answer::NoAgent)) {
                s.answer = None;
            }
            Ok(())
        })?;
        if !self.launch(Duration::ZERO) {
            let _old = self.0.standing.write(|s| {
                s.release();
                s.has_left = false;
                s.take_old_callbacks()
            });
            return Err(Refuses::Thread);
        }
        self.0.doorbell.ring();
        Ok(())
    }

    /// One handle less; with the last one the process takes its leave.
    pub(crate) fn release(&self) {
        if self.is_forked() {
            // The leave is the parent's to take.
            return;
        }
        let (was_last, old) = self.0.standing.write(|s| {
            let was_last = s.release();
            // Those of a process that runs are called once more, for the leave.
            (was_last, if s.is_running { Vec::new() } else { s.take_old_callbacks() })
        });
        drop(old);
        if was_last {
            self.0.doorbell.ring();
            self.0.standing.wait(LEAVE_TIMEOUT, |s| (!s.is_running).then_some(()));
        }
    }

    /// Whether this process was forked from the one that made it, and did not `exec`.
    fn is_forked(&self) -> bool {
        self.0.pid != std::process::id()
    }

    /// Starts the thread if it does not run. False if the system gives none.
    fn launch(&self, grace: Duration) -> bool {
        if !self.0.standing.write(State::launch) {
            return true;
        }
        let exporter = self.clone();
        let name = format!("tif-{}", self.0.service);
        let spawned = std::thread::Builder::new().name(name).spawn(move || link::run(&exporter, grace));
        if let Err(error) = &spawned {
            tracing::error!(target: "tif::export", service = %self.0.service, %error, "no thread for the exporter");
            self.0.standing.write(|s| s.is_running = false);
        }
        spawned.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: EXP-3
    #[test]
    fn a_forked_child_that_starts_its_parents_service_is_told_why_not() {
        let mut exporter = Exporter::new("forked", false);
        let parent = std::process::id() + 1;
        Arc::get_mut(&mut exporter.0).unwrap().pid = parent;
        match exporter.start(Options::default(), None, None) {
            Err(Refuses::Forked(pid)) => assert_eq!(pid, parent),
            other => panic!("{other:?}"),
        }
        // And what it has of its parent's handles, it drops without waiting for a thread that is not there.
        let begun = std::time::Instant::now();
        exporter.0.standing.write(|s| (s.handles, s.is_running) = (1, true));
        exporter.release();
        assert!(begun.elapsed() < LEAVE_TIMEOUT / 2);
    }
}
