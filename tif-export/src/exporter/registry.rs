//! The exporters of this OS process: one per service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tif_core::model::Name;

use super::doorbell::Doorbell;
use super::link;
use super::standing::{Answer, Callback, Options, Order, Standing};
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
}

impl Exporter {
    /// The exporter of a service, started with the defaults if nobody has started it yet (nor stopped it).
    // spec: EXP-3
    pub(crate) fn of(service: &str, grouped: bool) -> Exporter {
        let exporter = Exporter::bare(service, grouped);
        if exporter.0.failure.is_none() && !exporter.0.standing.read(|s| s.has_left) {
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
        Exporter(Arc::new(Inner { service: name, home, doorbell, standing: Standing::new(grouped), failure }))
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
            self.0.standing.write(|s| s.handles -= 1);
            return Err(Refuses::Thread);
        }
        self.0.doorbell.ring();
        Ok(())
    }

    /// One handle less; with the last one the process takes its leave.
    pub(crate) fn release(&self) {
        let was_last = self.0.standing.write(|s| {
            s.handles = s.handles.saturating_sub(1);
            s.has_left = s.handles == 0;
            if s.handles == 0 && s.is_running {
                s.order = Order::Stop;
            }
            s.handles == 0
        });
        if was_last {
            self.0.doorbell.ring();
            self.0.standing.wait(LEAVE_TIMEOUT, |s| (!s.is_running).then_some(()));
        }
    }

    /// Starts the thread if it does not run. False if the system gives none.
    fn launch(&self, grace: Duration) -> bool {
        let is_new = self.0.standing.write(|s| {
            if s.order == Order::Stop {
                // The one that ends goes on instead.
                s.order = Order::Restart;
            }
            !std::mem::replace(&mut s.is_running, true)
        });
        if !is_new {
            return true;
        }
        self.0.standing.write(|s| s.order = Order::Run);
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
