//! Runs the service's code that must stay in order: listeners of controls, changes of role.
//!
//! A thread of its own: a listener that takes long holds up other controls, but not the answers to the agent's probes.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use crossbeam_channel::Sender as Done;
use parking_lot::{Condvar, Mutex};
use tif_core::model::{Epoch, Role};
use tif_core::wire::{ToAgent, Welcome};
use tif_process::Sender;

use super::registry::Exporter;
use super::standing::{Answer, Callback};
use crate::panics;
use crate::segment::Segment;

/// What there is to be done, in order.
pub(super) enum Task {
    /// The process was registered: take the board's controls, say so, take the role.
    Settle {
        sender: Sender,
        welcome: Box<Welcome>,
        /// It is another life than the one before, which is over.
        is_replaced: bool,
        /// The connection's number.
        link: u64,
    },
    /// Take the board's controls.
    Apply { sender: Sender },
    /// Take over.
    Promote { sender: Sender, epoch: Epoch },
    /// Let go of the primary role, and say so when the service has.
    // spec: OUT-5
    LetGo { sender: Sender, epoch: Epoch },
    /// Be no longer primary.
    Demote { epoch: Epoch },
    /// Stop acting as what the process was.
    // spec: PSM-7
    Retire { done: Done<()> },
    /// End.
    End,
}

/// The queue of a steward.
#[derive(Clone)]
pub(super) struct Steward(Arc<Queue>);

struct Queue {
    tasks: Mutex<VecDeque<Task>>,
    more: Condvar,
}

impl Steward {
    /// Starts one.
    pub(super) fn start(exporter: &Exporter) -> std::io::Result<Steward> {
        let steward = Steward(Arc::new(Queue { tasks: Mutex::new(VecDeque::new()), more: Condvar::new() }));
        let (queue, exporter) = (Arc::clone(&steward.0), exporter.clone());
        std::thread::Builder::new().name(format!("tif-{}-ctl", exporter.service())).spawn(move || {
            loop {
                let mut tasks = queue.tasks.lock();
                let task = loop {
                    match tasks.pop_front() {
                        Some(task) => break task,
                        None => queue.more.wait(&mut tasks),
                    }
                };
                drop(tasks);
                if matches!(task, Task::End) {
                    return;
                }
                exporter.perform(task);
            }
        })?;
        Ok(steward)
    }

    /// Has a task done. Bounded: the same thing asked twice is done once.
    pub(super) fn push(&self, task: Task) {
        let mut tasks = self.0.tasks.lock();
        if matches!((&task, tasks.back()), (Task::Apply { .. }, Some(Task::Apply { .. }))) {
            tasks.pop_back();
        }
        tasks.push_back(task);
        drop(tasks);
        self.0.more.notify_one();
    }
}

/// Sends; a connection that has ended is noticed by whoever receives.
pub(super) fn send(sender: &Sender, message: ToAgent) {
    if let Err(error) = sender.send(message) {
        tracing::debug!(target: "tif::export", %error, "an answer to the agent was lost with its connection");
    }
}

impl Exporter {
    fn perform(&self, task: Task) {
        match task {
            Task::Settle { sender, welcome, is_replaced, link } => self.settle(&sender, &welcome, is_replaced, link),
            Task::Apply { sender } => self.take_controls(&sender),
            Task::Promote { sender, epoch } => {
                // spec: CTL-4
                self.take_controls(&sender);
                // A term that is over by now, as the board says, is not begun any more: this process was held up, and another was asked.
                // spec: GRP-8
                let on_board = self.home().segment().map_or(epoch, Segment::board_epoch);
                if epoch >= self.standing().epoch().max(on_board) {
                    self.become_primary(epoch);
                    send(&sender, ToAgent::Promoted { epoch });
                }
            }
            Task::LetGo { sender, epoch } => {
                // One of a term that is over is not for us any more.
                // spec: GRP-8
                if epoch >= self.standing().epoch() {
                    self.become_standby(epoch);
                    send(&sender, ToAgent::LetGo { epoch });
                }
            }
            Task::Demote { epoch } => self.become_standby(epoch),
            Task::Retire { done } => {
                let epoch = self.standing().epoch();
                self.become_standby(epoch);
                // Nobody waits if the thread has ended meanwhile.
                let _ = done.send(());
            }
            Task::End => {}
        }
    }

    // spec: CTL-7, EXP-3
    fn settle(&self, sender: &Sender, welcome: &Welcome, is_replaced: bool, link: u64) {
        if is_replaced {
            self.become_standby(welcome.epoch);
        }
        self.take_controls(sender);
        send(sender, ToAgent::Ready);
        // It took long to get ready, and was passed over: a term that is over by now, as the board says, is not begun any more.
        // spec: GRP-8
        let is_over = self.home().segment().is_some_and(|s| s.board_epoch() > welcome.epoch);
        let role = match welcome.role {
            Role::Primary | Role::ToBePrimary if is_over => Role::Standby,
            role => role,
        };
        let was = self.standing().write(|s| {
            if s.link != link {
                // That connection has ended meanwhile. What it said of our role may not hold any more; the next one will say.
                return None;
            }
            s.key = Some(welcome.key);
            s.name = Some(welcome.name.clone());
            s.answer = Some(Answer::Connected);
            if role == Role::ToBePrimary {
                return Some(s.role);
            }
            s.epoch = welcome.epoch;
            Some(std::mem::replace(&mut s.role, role))
        });
        let Some(was) = was else { return };
        match (was, role) {
            (Role::Primary, Role::Primary) => {}
            (_, Role::Primary) => self.call(|s| &s.on_promoted, welcome.epoch),
            (_, Role::ToBePrimary) => {
                self.become_primary(welcome.epoch);
                send(sender, ToAgent::Promoted { epoch: welcome.epoch });
            }
            (Role::Primary, _) => self.call(|s| &s.on_demoted, welcome.epoch),
            _ => {}
        }
    }

    /// Takes every control of the board that is newer.
    fn take_controls(&self, sender: &Sender) {
        for (place, control) in self.home().controls() {
            if let Some((version, value)) = self.home().board_control(&place)
                && control.apply(version, &value)
            {
                send(sender, ToAgent::Applied { slot: place.slot, version });
            }
        }
    }

    // spec: GRP-8
    fn become_primary(&self, epoch: Epoch) {
        let was = self.standing().write(|s| {
            s.epoch = epoch;
            std::mem::replace(&mut s.role, Role::Primary)
        });
        if was != Role::Primary {
            tracing::info!(target: "tif::export", service = %self.service(), %epoch, "this process is the primary");
            self.call(|s| &s.on_promoted, epoch);
        }
    }

    fn become_standby(&self, epoch: Epoch) {
        let was = self.standing().write(|s| {
            s.epoch = s.epoch.max(epoch);
            let now = if s.options.grouped { Role::Standby } else { Role::Solo };
            std::mem::replace(&mut s.role, now)
        });
        if was == Role::Primary {
            tracing::info!(target: "tif::export", service = %self.service(), %epoch, "this process is no longer the primary");
            self.call(|s| &s.on_demoted, epoch);
        }
    }

    fn call(&self, which: impl Fn(&super::standing::State) -> &Vec<Callback>, epoch: Epoch) {
        for callback in self.standing().read(|s| which(s).clone()) {
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| callback(epoch))) {
                tracing::error!(target: "tif::export", service = %self.service(), panic = panics::text(&*payload), "a change of role panicked in the service");
            }
        }
    }
}
