//! Notices: what interested processes are told of others.
// spec: PSM-3, PSM-4

use std::collections::BTreeSet;

use super::io::Conn;
use super::{Agent, Resource};
use crate::defects::{Defect, defect};
use crate::machine::process::{Changed, Process};
use crate::model::notice::NoticeEvent;
use crate::model::{Cause, Key, Name, Notice, ProcessState};
use crate::wire::{Credentials, ToProcess};

impl Agent {
    /// Tells whoever is interested what has become of a process.
    // spec: PSM-4
    pub(super) fn announce_process(&mut self, name: &Name, key: Key, changed: Option<Changed>) {
        // Before its birth there is nobody to tell of.
        if !self.registry.find(key).is_some_and(Process::was_born) {
            return;
        }
        let event = match changed {
            None => return,
            Some(Changed::Born) => NoticeEvent::Born,
            Some(Changed::Died(cause)) => NoticeEvent::Died { cause },
            Some(Changed::PresumedDead(cause)) => NoticeEvent::PresumedDead { cause },
            Some(Changed::Unreachable) => NoticeEvent::Unreachable,
            Some(Changed::Reachable) => NoticeEvent::Reachable,
            Some(Changed::Unregistered) => NoticeEvent::Unregistered,
        };
        self.notify(name, Some(key), event);
    }

    pub(super) fn notify(&mut self, name: &Name, key: Option<Key>, event: NoticeEvent) {
        let pid = key.and_then(|k| self.registry.find(k)).map(|p| p.credentials).filter(Credentials::is_here).map(|c| c.pid);
        let mut interested: BTreeSet<Conn> = self.interest.waiters(&Resource::Process(name.clone())).collect();
        if let Some(pid) = pid {
            interested.extend(self.interest.waiters(&Resource::Pid(pid)));
        }
        for conn in interested {
            self.stats.notices += 1;
            self.queue(conn, ToProcess::Notice(Notice { name: name.clone(), key, event: event.clone() }));
            if defect(Defect::NoticeTwice) {
                self.queue(conn, ToProcess::Notice(Notice { name: name.clone(), key, event: event.clone() }));
            }
        }
    }

    /// What is known of a process, as a notice.
    // spec: PSM-3
    pub(super) fn notice_of(&self, name: &Name) -> Notice {
        let process = self.registry.by_name(name);
        let event = match process.map(|p| p.state) {
            Some(ProcessState::Starting) if defect(Defect::BornBeforeReady) => NoticeEvent::Born,
            None | Some(ProcessState::Starting) => NoticeEvent::NotAvailable,
            Some(ProcessState::Alive | ProcessState::Suspect) => NoticeEvent::Born,
            Some(ProcessState::Unreachable) if process.is_some_and(|p| !p.was_born()) => NoticeEvent::NotAvailable,
            Some(ProcessState::Unreachable) => NoticeEvent::Unreachable,
            Some(ProcessState::Dead) => match process.and_then(|p| p.cause.clone()).unwrap_or(Cause::Unknown) {
                cause if cause.is_presumption() => NoticeEvent::PresumedDead { cause },
                cause => NoticeEvent::Died { cause },
            },
            Some(ProcessState::Unregistered) => NoticeEvent::Unregistered,
        };
        let key = process.filter(|_| event != NoticeEvent::NotAvailable).map(|p| p.key);
        Notice { name: name.clone(), key, event }
    }
}
