//! Doing what the core wants, one kind after the other.

use std::time::Duration;

use rustix::process::{Signal, pidfd_send_signal};
use tif::segment::Attachment;
use tif_core::agent::io::{Conn, ControlValue, Input, Observed, Output};
use tif_core::model::{Epoch, Key, Name, NodeId};
use tif_core::wire::{PeerFrame, ToProcess, codec};

use super::process::{Exporter, Process, Settling};
use super::sources::Source;
use super::{Shell, now};
use crate::local::Guest;
use crate::local::connection::Stage;
use crate::store::Done;

impl Shell {
    pub(super) fn do_output(&mut self, output: Output) {
        match output {
            Output::Admit { conn, key, elsewhere: true, welcome, .. } => self.admit_from_elsewhere(conn, key, *welcome),
            Output::Admit { conn, key, epoch, controls, welcome, .. } => self.admit(conn, key, epoch, &controls, *welcome),
            Output::Send { conn, to, message } => self.send(conn, to, *message),
            Output::HasReports { conn } => {
                if let Some(connection) = self.connections.get_mut(&conn) {
                    connection.has_reports = true;
                    self.dirty.insert(conn);
                }
            }
            Output::Close { conn } => self.close(conn),
            Output::Watch { key, slot, on } => {
                let unsettled = self.with_board(key, |exporter| {
                    let waiting = exporter.attachment.unsettled();
                    exporter.attachment.watch(slot, on);
                    if on {
                        exporter.settling.begin(now().time, slot, waiting);
                    } else {
                        exporter.settling.end(slot);
                    }
                    exporter.unsettled()
                });
                if unsettled == Some(true) {
                    self.look_again(key);
                }
            }
            Output::Sent { key, slot } => {
                self.with_board(key, |exporter| exporter.attachment.sent(slot));
            }
            Output::Sample { key, slots, token } => self.sample(key, slots, token),
            Output::Control { key, control } => {
                self.with_board(key, |exporter| exporter.attachment.control(&control));
            }
            Output::Epoch { key, epoch } => {
                self.with_board(key, |exporter| exporter.attachment.epoch(epoch));
            }
            Output::Release { key } => self.release(key),
            Output::Kill { key } => self.kill(key),
            // Starting a process takes as long as everything else together: first everybody is told of the death.
            Output::Launch { service } => self.launches.push(service),
            Output::ToPeer { to, frame } => self.send_to_peer(to, &frame),
            Output::Incompatible { node, why } => {
                tracing::error!(target: "tif::fabric", cpu = %node, "another CPU's agent is not spoken with: {why}");
            }
            Output::BeginAnew { above } => {
                tracing::error!(target: "tif::fabric", %above, "other CPUs have given this agent up: it begins anew");
                self.anew = Some(above);
                self.ending = true;
            }
            Output::Store { ticket, record } => {
                if let Err(Done::Failed(ticket, why)) = self.writer.write(ticket, record) {
                    tracing::error!(target: "tif::store", error = why, "a write failed");
                    self.inputs.push_back(Input::StoreFailed(ticket, why));
                }
            }
        }
    }

    /// It may get lost: the core expects no more of a fabric.
    // spec: FAB-2
    fn send_to_peer(&mut self, to: NodeId, frame: &PeerFrame) {
        let mut bytes = Vec::new();
        match codec::encode(frame, &mut bytes) {
            // A datagram says its length itself.
            Ok(()) => drop(self.fabric.send(to, &bytes[4..])),
            Err(error) => tracing::error!(target: "tif::fabric", node = %to, %error, "not sent"),
        }
    }

    pub(super) fn with_board<T>(&mut self, key: Key, act: impl FnOnce(&mut Exporter) -> T) -> Option<T> {
        self.processes.get_mut(&key)?.exporter.as_mut().map(act)
    }

    /// Whoever holds the other end is not the process: its death would be no reason to think anything.
    // spec: PSM-6
    fn admit_from_elsewhere(&mut self, conn: Conn, key: Key, welcome: ToProcess) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        connection.guest = None;
        self.send(conn, key, welcome);
    }

    // spec: PSM-1, CTL-7
    fn admit(&mut self, conn: Conn, key: Key, epoch: Epoch, controls: &[ControlValue], welcome: ToProcess) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        let Some(guest) = connection.guest.take() else { return };
        let Guest { credentials, pidfd, mut attachment } = guest;
        let make = |a: &mut Attachment| a.create_board(key, epoch, controls).and_then(|board| board.try_clone_to_owned());
        let board = attachment.as_mut().map(make).transpose();
        let (board, mut refused) = match board {
            Ok(board) => (board, None),
            Err(error) => {
                tracing::error!(target: "tif::shell", %key, %error, "no board can be made");
                (None, Some("no board can be made for it"))
            }
        };
        // The same process may have come back over a new connection.
        self.release(key);
        let mut cannot_watch = |error| {
            tracing::error!(target: "tif::shell", %key, %error, "the process cannot be watched");
            refused = Some("it cannot be watched");
        };
        let token = self.sources.add(&pidfd, Source::Pidfd(key)).map_err(&mut cannot_watch).ok();
        let bell = attachment.as_ref().map(|a| self.sources.add(a.bell(), Source::Bell(key))).transpose().unwrap_or_else(|error| {
            cannot_watch(error);
            None
        });
        // Without a board it cannot be talked to, and without a bell not be heard; that it dies must be seen all the same, be it by the scan.
        // spec: PSM-5
        if refused.is_some()
            && let (Some(attachment), Some(bell)) = (attachment.take(), bell)
        {
            self.sources.remove(attachment.bell(), bell);
        }
        self.supervisor.on_registered(credentials.pid, credentials.started);
        let settling = Settling::new(now().time);
        let exporter = attachment.map(|attachment| Exporter { attachment, bell, look: None, took: Duration::ZERO, settling, rings: 0 });
        let process = Process { credentials, pidfd, token, conn: Some(conn), exporter, told: Observed::Running, stopped: false };
        if let Some(exporter) = &process.exporter
            && let Err(error) = self.vigil.watch(key, &exporter.attachment)
        {
            tracing::warn!(target: "tif::shell", %key, %error, "its death will be noticed late");
        }
        self.processes.insert(key, process);
        if let Some(why) = refused {
            return self.cut(conn, why);
        }
        self.look_again(key);
        if let (Some(board), Some(connection)) = (board, self.connections.get_mut(&conn)) {
            connection.attach(board);
        }
        self.send(conn, key, welcome);
    }

    pub(super) fn send(&mut self, conn: Conn, to: Key, message: ToProcess) {
        let Some(connection) = self.connections.get_mut(&conn) else { return };
        match connection.queue(self.own, to, message) {
            Ok(()) => {
                self.dirty.insert(conn);
            }
            Err(cut) => self.cut(conn, &cut.to_string()),
        }
    }

    fn close(&mut self, conn: Conn) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.stage = Stage::Closing { since: now().time };
            self.dirty.insert(conn);
        }
    }

    pub(super) fn release(&mut self, key: Key) {
        self.unwatch(key);
        let Some(process) = self.processes.remove(&key) else { return };
        self.vigil.forget(key);
        if let Some(exporter) = &process.exporter {
            if let Some(token) = exporter.bell {
                self.sources.remove(exporter.attachment.bell(), token);
            }
            if let Some(at) = exporter.look {
                self.looks.remove(&(at, key));
            }
        }
    }

    /// Waits no longer for its death.
    pub(super) fn unwatch(&mut self, key: Key) {
        if let Some(process) = self.processes.get_mut(&key)
            && let Some(token) = process.token.take()
        {
            self.sources.remove(&process.pidfd, token);
        }
    }

    fn kill(&mut self, key: Key) {
        let Some(process) = self.processes.get(&key) else { return };
        if process.credentials.pid == std::process::id() {
            tracing::error!(target: "tif::shell", %key, "will not end the agent's own process");
            return;
        }
        tracing::info!(target: "tif::shell", %key, pid = process.credentials.pid, "ending the process");
        if let Err(error) = pidfd_send_signal(&process.pidfd, Signal::KILL) {
            tracing::warn!(target: "tif::shell", %key, %error, "the process cannot be ended");
        }
    }

    /// Starts what is to be started.
    pub(super) fn launch_all(&mut self) {
        for service in std::mem::take(&mut self.launches) {
            self.launch(service);
        }
        self.flush();
    }

    fn launch(&mut self, service: Name) {
        let launched = self.supervisor.launch(&service).and_then(|(pid, pidfd)| {
            let token = self.sources.add(pidfd, Source::Child(pid)).map_err(|e| e.to_string())?;
            self.children.insert(pid, token);
            Ok(pid)
        });
        match launched {
            Ok(pid) => self.inputs.push_back(Input::Launched { service, pid }),
            Err(reason) => self.launch_failed(service, reason),
        }
    }

    /// Says so, and when it is tried again.
    pub(super) fn launch_failed(&mut self, service: Name, reason: String) {
        self.feed(Input::LaunchFailed { service: service.clone(), reason: reason.clone() });
        let next = self.agent.next_launch(&service).map(|at| at.since(now().time));
        tracing::warn!(target: "tif::supervisor", %service, reason, ?next, "launch failed");
    }
}
