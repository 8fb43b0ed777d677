//! Starting the exporter of a service as one likes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tif_core::model::{Epoch, Name, NameError, Refusal, Weight};

use super::handle::ServiceHandle;
use crate::exported::Exported;
use crate::exporter::{Answer, Callback, Exporter, Options, Refuses};
use crate::instance::Root;
use crate::segment::SegmentError;

/// How long [`Service::start`] waits for the agent if nobody says otherwise.
const WAIT_DEFAULT: Duration = Duration::from_secs(1);

/// A process of a service, about to be started.
///
/// Not needed where the defaults do: the first use of an [`Exported`] struct starts its exporter, too.
///
/// ```no_run
/// # use tif::{Counter, Exported, Instruments, Service};
/// # /// Orders.
/// # #[derive(Instruments)] #[tif(service = "orders")] struct Orders { /// Accepted.
/// # accepted: Counter }
/// static ORDERS: Exported<Orders> = Exported::new();
///
/// let service = Service::of(&ORDERS).process("orders-a").standby(true).start()?;
/// if service.wait_primary(std::time::Duration::from_secs(10)).is_some() {
///     ORDERS.accepted.inc();
/// }
/// # Ok::<(), tif::StartError>(())
/// ```
#[must_use = "nothing is exported before start()"]
pub struct Service {
    exporter: Exporter,
    options: Options,
    process: Option<String>,
    wait: Duration,
    on_promoted: Option<Callback>,
    on_demoted: Option<Callback>,
}

/// Why a service was not started. Its instruments work all the same; nobody sees them.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process's name is none.
    #[error("`{name}` is not a process's name")]
    Name {
        /// What was given.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
    /// It was started before, as something else, and that handle is still there.
    #[error("the service {service} was started before with other options (process {process}, standby {standby}, weight {weight})")]
    Different {
        /// Which service.
        service: Name,
        /// What it was called.
        process: String,
        /// Whether it is a member of the group.
        standby: bool,
        /// What it weighs there.
        weight: u8,
    },
    /// The agent refuses the process.
    #[error("the agent refuses this process")]
    Refused(#[source] Refusal),
    /// The system gives no shared memory.
    #[error("the service has no segment")]
    Segment(#[source] Arc<SegmentError>),
    /// The system gives no thread.
    #[error("the system gives no thread for the exporter")]
    Thread,
    /// This process was forked from the one that exports the service.
    #[error("the service {service} is exported by the process {parent}, of which this one is a forked child: let the child exec")]
    Forked {
        /// Which service.
        service: Name,
        /// The OS process id of the one that exports it.
        parent: u32,
    },
}

impl Service {
    /// The service of these instruments, which are declared before the agent is asked for anything.
    pub fn of<T: Root>(instruments: &Exported<T>) -> Service {
        let exporter = Exporter::bare(T::SERVICE, T::STANDBY);
        instruments.bind(&exporter);
        let options = Options { grouped: T::STANDBY, ..Options::default() };
        Service { exporter, options, process: None, wait: WAIT_DEFAULT, on_promoted: None, on_demoted: None }
    }

    /// More instruments, also to be declared before the agent is asked. Those of another service start their own exporter with the defaults.
    pub fn with<T: Root>(self, instruments: &Exported<T>) -> Service {
        let is_ours = T::SERVICE == self.exporter.service().as_str();
        instruments.bind(&if is_ours { self.exporter.clone() } else { Exporter::of(T::SERVICE, T::STANDBY) });
        self
    }

    /// What the process is called. Without it: as the service, with the first number that no living process has.
    pub fn process(mut self, name: impl Into<String>) -> Service {
        self.process = Some(name.into());
        self
    }

    /// Whether it is a member of the service's group: one is primary, the others stand by. Without it the process exports for itself.
    pub fn standby(mut self, is_member: bool) -> Service {
        self.options.grouped = is_member;
        self
    }

    /// What it weighs among the members of the service's group, 100 if it is not said. When the primary is lost, of those that are ready to lead the one that
    /// weighs most follows, on whatever CPU, and of equal ones the senior. A member that comes later and weighs more does not drive the primary out:
    /// `tif-serve drain SERVICE --to PROCESS` hands over to it.
    // spec: GRP-5
    pub fn weight(mut self, weight: u8) -> Service {
        self.options.weight = Weight(weight);
        self
    }

    /// Where the agent is. Without it: `TIF_RUN_DIR`, else `$XDG_RUNTIME_DIR/tif`, else `/run/tif`.
    pub fn run_dir(mut self, path: impl Into<PathBuf>) -> Service {
        self.options.run_dir = Some(path.into());
        self
    }

    /// How long [`Service::start`] waits for the agent's first answer. Without it: one second.
    pub fn wait(mut self, timeout: Duration) -> Service {
        self.wait = timeout;
        self
    }

    /// At most so many instruments, those of owned instances included. Further ones are counted in `tif.overflow`.
    // spec: EXP-8
    pub fn instruments_max(self, max: usize) -> Service {
        self.exporter.home().limit(max);
        self
    }

    /// Called each time this process becomes the primary, also if it is so from the start. On a thread of the library, after all accepted
    /// changes of controls were taken; the takeover is complete when it returns. Until the last handle is dropped and the leave is taken.
    pub fn on_promoted(mut self, callback: impl Fn(Epoch) + Send + Sync + 'static) -> Service {
        self.on_promoted = Some(Arc::new(callback));
        self
    }

    /// Called each time this process is no longer the primary. On a thread of the library. In a planned handover the successor leads as soon as this has
    /// returned: values that are set by then are the last that are seen of this process, and it is to stay until it is shown as a standby. Whoever takes
    /// longer than two seconds is deposed as if it had been lost.
    // spec: OUT-5
    pub fn on_demoted(mut self, callback: impl Fn(Epoch) + Send + Sync + 'static) -> Service {
        self.on_demoted = Some(Arc::new(callback));
        self
    }

    /// Starts it. Returns when the agent has answered and memorized controls have their values, or there is no agent, or the time is over.
    ///
    /// Without an agent, or with one that cannot write its store at the moment, this is no error: the exporter goes on waiting for one. [`ServiceHandle::is_connected`] says how it is.
    ///
    /// # Errors
    /// If the options make no sense, or an agent is there and refuses for good.
    // spec: CTL-7, EXP-3
    pub fn start(mut self) -> Result<ServiceHandle, StartError> {
        if let Some(name) = self.process.take() {
            self.options.process = Some(name.parse().map_err(|source| StartError::Name { name, source })?);
        }
        self.exporter.start(self.options, self.on_promoted, self.on_demoted).map_err(|refuses| match refuses {
            Refuses::Segment(source) => StartError::Segment(source),
            Refuses::Thread => StartError::Thread,
            Refuses::Forked(parent) => StartError::Forked { service: self.exporter.service().clone(), parent },
            Refuses::Different(options) => StartError::Different {
                service: self.exporter.service().clone(),
                process: options.process.map_or_else(|| format!("{}-N", self.exporter.service()), |p| p.to_string()),
                standby: options.grouped,
                weight: options.weight.0,
            },
        })?;
        let handle = ServiceHandle::new(self.exporter.clone());
        match self.exporter.standing().wait_answer(self.wait) {
            // Dropping the handle stops the attempts. An agent that cannot take anybody at the moment is like none: it is asked again.
            // spec: PSM-8, SEC-3
            Some(Answer::Refused(refusal)) if !refusal.is_passing() => Err(StartError::Refused(refusal)),
            _ => Ok(handle),
        }
    }
}
