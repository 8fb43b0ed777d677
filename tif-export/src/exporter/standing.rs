//! How an exporter stands with its agent, and what it was told to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tif_core::model::{Epoch, Key, Name, Refusal, Role};

/// Called when the process becomes primary, or is no longer.
pub(crate) type Callback = Arc<dyn Fn(Epoch) + Send + Sync>;

/// As what the process registers.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Options {
    /// Where the agent is; none: where the environment says.
    pub(crate) run_dir: Option<PathBuf>,
    /// Its name; none: the service's with a number.
    pub(crate) process: Option<Name>,
    /// It is a member of the service's group.
    pub(crate) grouped: bool,
}

/// What the exporter's thread is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Go on.
    Run,
    /// Take leave, and register anew with other options.
    Restart,
    /// Take leave, and end.
    Stop,
}

#[derive(Clone)]
pub(super) struct State {
    pub(super) options: Options,
    pub(super) order: Order,
    pub(super) is_running: bool,
    pub(super) handles: usize,
    /// The service has taken its leave: no use of an instrument starts it again.
    pub(super) has_left: bool,
    /// What the agent said to the last `Hello`; none: nothing yet.
    pub(super) answer: Option<Answer>,
    /// Grows when a connection begins and when it ends, so that what is left of an older one can be told.
    pub(super) link: u64,
    pub(super) key: Option<Key>,
    pub(super) name: Option<Name>,
    pub(super) role: Role,
    pub(super) epoch: Epoch,
    pub(super) on_promoted: Vec<Callback>,
    pub(super) on_demoted: Vec<Callback>,
}

/// What became of the last attempt to register.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// Registered, and the board's controls are taken.
    Connected,
    /// There is no agent.
    NoAgent,
    /// The agent refuses.
    Refused(Refusal),
    /// The connection failed; it will be tried again.
    Failed,
}

/// The state, and whoever waits for it to change.
pub(crate) struct Standing {
    state: Mutex<State>,
    changed: Condvar,
}

impl Standing {
    pub(super) fn new(grouped: bool) -> Standing {
        Standing {
            state: Mutex::new(State {
                options: Options { grouped, ..Options::default() },
                order: Order::Run,
                is_running: false,
                handles: 0,
                has_left: false,
                answer: None,
                link: 0,
                key: None,
                name: None,
                role: if grouped { Role::Standby } else { Role::Solo },
                epoch: Epoch(0),
                on_promoted: Vec::new(),
                on_demoted: Vec::new(),
            }),
            changed: Condvar::new(),
        }
    }

    pub(super) fn read<R>(&self, read: impl FnOnce(&State) -> R) -> R {
        read(&self.state.lock())
    }

    pub(super) fn write<R>(&self, write: impl FnOnce(&mut State) -> R) -> R {
        let result = write(&mut self.state.lock());
        self.changed.notify_all();
        result
    }

    /// Waits until `done` yields something, or the time is over.
    pub(super) fn wait<R>(&self, timeout: Duration, mut done: impl FnMut(&State) -> Option<R>) -> Option<R> {
        let until = Instant::now().checked_add(timeout);
        let mut state = self.state.lock();
        loop {
            if let Some(result) = done(&state) {
                return Some(result);
            }
            match until {
                Some(until) if self.changed.wait_until(&mut state, until).timed_out() => return done(&state),
                Some(_) => {}
                None => self.changed.wait(&mut state),
            }
        }
    }

    pub(crate) fn role(&self) -> Role {
        self.read(|s| s.role)
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.read(|s| s.epoch)
    }

    pub(crate) fn key(&self) -> Option<Key> {
        self.read(|s| s.key)
    }

    pub(crate) fn name(&self) -> Option<Name> {
        self.read(|s| s.name.clone())
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.read(|s| s.answer == Some(Answer::Connected))
    }

    /// Waits until the process is registered.
    pub(crate) fn wait_connected(&self, timeout: Duration) -> bool {
        self.wait(timeout, |s| (s.answer == Some(Answer::Connected)).then_some(())).is_some()
    }

    /// Waits for what the agent says first; a refusal may turn out to be passing, so it is waited on.
    pub(crate) fn wait_answer(&self, timeout: Duration) -> Option<Answer> {
        self.wait(timeout, |s| match &s.answer {
            Some(Answer::Connected | Answer::NoAgent) => s.answer.clone(),
            _ => None,
        })
        .or_else(|| self.read(|s| s.answer.clone()))
    }

    /// Waits until the process is the primary.
    pub(crate) fn wait_primary(&self, timeout: Duration) -> Option<Epoch> {
        self.wait(timeout, |s| (s.role == Role::Primary).then_some(s.epoch))
    }
}
