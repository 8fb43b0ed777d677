//! Deaths: of registered processes by their pidfds, and of launched ones that may never have registered.
//!
//! What a process said before it died is heard first, then its last values are read, then it is dead.
// spec: PSM-5, OUT-1, OUT-6, EXP-6

use std::os::fd::AsFd;

use tif_core::agent::io::Input;
use tif_core::model::{Cause, Key};
use tif_process::peer;

use super::Shell;
use super::process::Process;
use crate::supervisor::Ended;

/// Portions of a dead process's connection that are still read: as much as a socket holds.
const LAST_WORDS_MAX: usize = 64;
/// The signal with which the kernel ends a process for want of memory.
const SIGKILL: i32 = 9;

impl Shell {
    /// A pidfd says that the process is dead. It may have registered under several names.
    pub(super) fn on_death(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key) else { return };
        let (pid, started) = (process.credentials.pid, process.credentials.started);
        let cause = self.cause(peer::exit_cause(&process.pidfd, pid, started));
        self.bury(pid, started, &cause);
        self.forget_child(pid, started);
    }

    /// Its keeper has ended: if it is really ending, it is dead from now on, however long it takes to take its memory down. Its pid is not free yet, and what
    /// the supervisor has of it stays until it is.
    // spec: PSM-12
    pub(super) fn on_early_death(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key) else { return };
        let (pid, started) = (process.credentials.pid, process.credentials.started);
        if let Some(cause) = peer::ending_cause(pid, started) {
            let cause = self.cause(cause);
            self.bury(pid, started, &cause);
        }
    }

    /// Those whose keepers have ended since the last turn.
    pub(super) fn take_early_deaths(&mut self) {
        while let Ok(key) = self.early.try_recv() {
            self.on_early_death(key);
        }
    }

    /// Buries who is dead by now, whether its pidfd's turn has come or not: so that a successor that speaks does not meet it as alive.
    // spec: PSM-8
    pub(super) fn bury_the_dead(&mut self) {
        let keys: Vec<Key> = self.processes.keys().copied().collect();
        let pidfds: Vec<_> = self.processes.values().map(|p| p.pidfd.as_fd()).collect();
        let dead: Vec<Key> = peer::ended(&pidfds).into_iter().filter_map(|at| keys.get(at).copied()).collect();
        for key in dead {
            self.on_death(key);
        }
    }

    /// A launched process has ended.
    pub(super) fn on_child_end(&mut self, pid: u32) {
        let Some(started) = self.supervisor.started(pid) else { return };
        let Some(ended) = self.forget_child(pid, started) else { return };
        let cause = self.cause(ended.cause);
        tracing::info!(target: "tif::supervisor", process = %ended.service, pid, %cause, "launched process ended");
        self.bury(pid, ended.started, &cause);
        if !ended.registered {
            let reason = format!("process {pid} ended before it registered: {cause}");
            self.launch_failed(ended.service, reason);
        }
    }

    /// Nothing, if the pid belongs to another process by now.
    // spec: PSM-9
    fn forget_child(&mut self, pid: u32, started: u64) -> Option<Ended> {
        self.supervisor.started(pid).filter(|of_child| *of_child == started)?;
        let token = self.children.remove(&pid)?;
        if let Some(pidfd) = self.supervisor.pidfd(pid) {
            self.sources.remove(pidfd, token);
        }
        self.supervisor.reap(pid, started)
    }

    fn bury(&mut self, pid: u32, started: u64, cause: &Cause) {
        let is_it = |p: &Process| p.credentials.pid == pid && p.credentials.started == started;
        let keys: Vec<Key> = self.processes.iter().filter(|(_, p)| is_it(p)).map(|(key, _)| *key).collect();
        for key in keys {
            self.on_dead(key, cause.clone());
        }
    }

    fn on_dead(&mut self, key: Key, cause: Cause) {
        if let Some(conn) = self.processes.get(&key).and_then(|p| p.conn) {
            for _ in 0..LAST_WORDS_MAX {
                if !self.read(conn) {
                    break;
                }
            }
        }
        let Some(process) = self.processes.get_mut(&key) else { return };
        tracing::info!(target: "tif::shell", %key, pid = process.credentials.pid, %cause, "process is dead");
        self.hangups.retain(|(_, conn)| Some(*conn) != process.conn);
        if let Some(exporter) = &mut process.exporter {
            let swept = exporter.attachment.sweep();
            let samples = exporter.attachment.values_all();
            if !swept.table.is_empty() {
                self.feed(Input::Table { key, changes: swept.table });
            }
            self.feed(Input::Sampled { key, samples, token: None });
        }
        self.unwatch(key);
        self.feed(Input::Exited { key, cause });
        self.release(key);
    }

    /// What the kernel does not say of a killed process, its own count does.
    fn cause(&mut self, seen: Cause) -> Cause {
        match seen {
            Cause::Signal { signal: SIGKILL, .. } if self.scan.memory_ran_out() => Cause::OutOfMemory,
            other => other,
        }
    }
}
