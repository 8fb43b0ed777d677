//! How an exporter stands with its agent, and what it was told to be.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tif_core::model::{Epoch, Key, MemberNumber, Name, Refusal, Role, Weight};

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
    /// Among the members.
    pub(crate) weight: Weight,
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
    pub(super) number: Option<MemberNumber>,
    pub(super) role: Role,
    pub(super) epoch: Epoch,
    pub(super) on_promoted: Vec<Callback>,
    pub(super) on_demoted: Vec<Callback>,
    /// How many of these belong to a start whose last handle is gone. They are called for that leave, and no more.
    pub(super) old_callbacks: (usize, usize),
}

impl State {
    /// Another life begins. An order to stop that has come since the last one ended stands.
    pub(super) fn begin(&mut self) -> Options {
        if self.order == Order::Restart {
            self.order = Order::Run;
        }
        self.options.clone()
    }

    /// Whether an order ends the life that runs with these options. One to restart with the same ones does not: stopped and started again before we
    /// knew, nothing has happened.
    pub(super) fn is_ended(&mut self, options: &Options) -> bool {
        if self.order == Order::Restart && self.options == *options {
            self.order = Order::Run;
        }
        self.order != Order::Run
    }

    /// The thread is needed. Whether it is to be made.
    pub(super) fn launch(&mut self) -> bool {
        let is_new = !std::mem::replace(&mut self.is_running, true);
        match self.order {
            _ if is_new => self.order = Order::Run,
            // The one that ends goes on instead.
            Order::Stop => self.order = Order::Restart,
            Order::Run | Order::Restart => {}
        }
        is_new
    }

    /// One handle less. Whether it was the last: then the process is to take its leave.
    pub(super) fn release(&mut self) -> bool {
        self.handles = self.handles.saturating_sub(1);
        self.has_left = self.handles == 0;
        if self.has_left {
            self.old_callbacks = (self.on_promoted.len(), self.on_demoted.len());
            if self.is_running {
                self.order = Order::Stop;
            }
        }
        self.has_left
    }

    /// Takes out the callbacks of a start that is over. To be dropped without the lock: they are the service's.
    pub(super) fn take_old_callbacks(&mut self) -> Vec<Callback> {
        let (promoted, demoted) = std::mem::take(&mut self.old_callbacks);
        let mut old: Vec<Callback> = self.on_promoted.drain(..promoted).collect();
        old.extend(self.on_demoted.drain(..demoted));
        old
    }
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
                number: None,
                role: if grouped { Role::Standby } else { Role::Solo },
                epoch: Epoch(0),
                on_promoted: Vec::new(),
                on_demoted: Vec::new(),
                old_callbacks: (0, 0),
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

    pub(crate) fn number(&self) -> Option<MemberNumber> {
        self.read(|s| s.number)
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

#[cfg(test)]
mod tests {
    use super::*;

    // spec: PSM-2
    #[test]
    fn an_order_to_stop_that_comes_at_any_moment_is_obeyed() {
        let standing = Standing::new(false);
        standing.write(|s| {
            assert!(s.launch());
            s.handles = 1;
            assert_eq!(s.begin(), s.options);
            // Stopped and started again before the thread has looked: the same life goes on.
            assert!(s.release() && s.order == Order::Stop);
            assert!(!s.launch() && s.order == Order::Restart);
            s.handles = 1;
            assert!(!s.is_ended(&s.options.clone()) && s.order == Order::Run);
            // The same again, and stopped once more between the thread's look and what it does then.
            s.release();
            s.launch();
            s.handles = 1;
            s.release();
            assert!(s.is_ended(&s.options.clone()));
            // Stopped between one life and the next.
            s.begin();
            assert_eq!(s.order, Order::Stop);
        });
    }
}
