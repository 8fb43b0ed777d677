//! Who leads a service's group: elected, made durable, told, and confirmed.
// spec: GRP-5, GRP-8, OUT-3

use super::ending::Ended;
use super::io::{Moment, Output, Record};
use std::time::Duration;

use super::{Agent, Outbox, Question, Waiting};
use crate::defects::{Defect, defect};
use crate::machine::group::{Elected, Group};
use crate::machine::process::Process;
use crate::model::notice::NoticeEvent;
use crate::model::{Epoch, Key, Name, Role};
use crate::wire::ToProcess;

/// How long a standby may take to take over before another one is asked.
pub(super) const PROMOTE_TIMEOUT: Duration = Duration::from_secs(10);

impl Agent {
    /// The term and who leads in it become durable in one step, before it is told: an agent that restarts would elect another beside it.
    // spec: GRP-8
    pub(super) fn elect(&mut self, now: Moment, service: &Name, elected: Option<Elected>, out: &mut Outbox) {
        let Some(elected) = elected else { return };
        self.touch_group(service);
        if !self.is_succession_clear(service) {
            return self.on_term_not_stored(now, service, elected, out);
        }
        let leader = self.record_of(now, elected.key, false).map(Box::new);
        let record = Record::Term { service: service.clone(), epoch: elected.epoch, leader };
        if defect(Defect::PromoteBeforeDurable) {
            self.store(record, Waiting::Nobody, out);
            return self.promote(now, service, elected, out);
        }
        self.store(record, Waiting::Term(service.clone(), elected, None), out);
    }

    // spec: GRP-8
    pub(super) fn on_term_stored(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        if !self.is_succession_durable(service) {
            return self.on_term_not_stored(now, service, elected, out);
        }
        self.promote(now, service, elected, out);
    }

    /// Whether the store has been told, or is being told just now, of the end of everybody who led before. What it is told after that is durable later: a
    /// term may be written, and is looked at again when it is.
    // spec: GRP-8
    pub(super) fn is_succession_clear(&self, service: &Name) -> bool {
        defect(Defect::SucceedUnwritten) || !self.unended.values().any(|ended| self.is_end_missed(ended, service))
    }

    /// Whether the store knows of it: an agent that restarts would take a dead one for the primary still. Asked when a term is durable, which every end is
    /// that was written before it; one that could not be, and is being written once more, is not.
    // spec: GRP-8
    pub(super) fn is_succession_durable(&self, service: &Name) -> bool {
        let is_written = |w: &Waiting| !matches!(w, Waiting::Ended(ended) if self.is_end_missed(ended, service));
        self.is_succession_clear(service) && (defect(Defect::SucceedUnwritten) || self.tickets.values().all(is_written))
    }

    fn is_end_missed(&self, ended: &Ended, service: &Name) -> bool {
        ended.member_of.as_ref() == Some(service) && !self.is_written_over(&ended.record)
    }

    pub(super) fn is_elected(&self, service: &Name, elected: Elected) -> bool {
        self.groups.get(service).is_some_and(|g| g.epoch() == elected.epoch && g.role(elected.key) == Some(Role::ToBePrimary))
    }

    /// It is durable who leads: it is told.
    // spec: OUT-3
    pub(super) fn promote(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        let Elected { key, epoch } = elected;
        let current = self.is_elected(service, elected);
        let Some(exporter) = self.exporters.get(&key).filter(|_| current) else { return };
        for control in self.controls_for(exporter) {
            if defect(Defect::PromoteWithoutControls) {
                break;
            }
            out.push(Output::Control { key, control });
        }
        // On every member's board: whoever was told in an earlier term, and hears it only now, finds that term over.
        // spec: GRP-8
        for (member, _) in self.exporters.iter().filter(|(_, e)| e.grouped && e.service == *service) {
            out.push(Output::Epoch { key: *member, epoch });
        }
        self.ask(now, Question::Promote(service.clone(), elected), PROMOTE_TIMEOUT);
        self.tell(out, key, ToProcess::Promote { epoch });
    }

    /// It is not waited for any more whether it takes over: it has, or what it was told went with its link.
    pub(super) fn drop_promotion(&mut self, key: Key) {
        let asked = self.questions.iter().find(|(_, q)| matches!(q, Question::Promote(_, e) if e.key == key)).map(|(number, _)| *number);
        if let Some(number) = asked {
            self.answered(number);
        }
    }

    /// An agent that ended between an election and its answer tells the elected again: as soon as that is durable, and so is the end of whoever led before, and
    /// it is known here what was accepted before.
    // spec: GRP-8, CTL-7
    pub(super) fn promote_again(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        let is_ready = self.exporters.get(&elected.key).is_some_and(|e| e.ready);
        let is_asked = self.questions.values().any(|q| matches!(q, Question::Promote(_, e) if *e == elected));
        let is_stored = !self.tickets.values().any(|w| matches!(w, Waiting::Term(_, e, _) if *e == elected));
        let is_known = !self.is_shared(service) || self.is_established(service, elected.epoch);
        if is_ready && is_stored && is_known && !is_asked && self.is_elected(service, elected) && self.is_succession_durable(service) {
            self.promote(now, service, elected, out);
        }
    }

    /// Those that were elected and could not be told yet.
    pub(super) fn promote_missing(&mut self, now: Moment, out: &mut Outbox) {
        let elected: Vec<(Name, Elected)> =
            self.groups.iter().filter_map(|(service, g)| Some((service.clone(), Elected { key: g.leader()?, epoch: g.epoch() }))).collect();
        for (service, elected) in elected {
            self.promote_again(now, &service, elected, out);
        }
    }

    /// It was told to take over and has not said that it has: somebody else is to, in the next term.
    // spec: OUT-3, GRP-7
    pub(super) fn on_not_promoted(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        if self.is_elected(service, elected) {
            self.pass_over(now, service, elected, out);
        }
    }

    /// It was admitted as the primary and has never said that it is ready. It is passed over as soon as there is somebody else.
    // spec: OUT-3, GRP-7
    pub(super) fn on_not_begun(&mut self, now: Moment, service: Name, elected: Elected, out: &mut Outbox) {
        let leads = self.groups.get(&service).is_some_and(|g| g.epoch() == elected.epoch && g.leader() == Some(elected.key));
        if !leads || self.registry.find(elected.key).is_none_or(Process::was_born) {
            return;
        }
        if self.groups.get_mut(&service).is_some_and(|g| g.on_not_begun(elected)) {
            return self.pass_over(now, &service, elected, out);
        }
        self.ask(now, Question::Begin(service, elected), PROMOTE_TIMEOUT);
    }

    fn pass_over(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        let next = self.groups.get_mut(service).and_then(|g| g.pass_over(elected));
        let epoch = next.map_or(elected.epoch, |n| n.epoch);
        self.tell(out, elected.key, ToProcess::Demote { epoch });
        self.elect(now, service, next, out);
    }

    /// Without a durable term nobody may lead. The next rounds try again, in the next one.
    pub(super) fn on_term_not_stored(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        if let Some(group) = self.groups.get_mut(service) {
            group.on_not_elected(elected);
        }
        self.on_successor_not_elected(now, service, elected, out);
    }

    /// Groups that nobody leads though somebody could.
    pub(super) fn elect_missing(&mut self, now: Moment, out: &mut Outbox) {
        let services: Vec<Name> = self.groups.keys().cloned().collect();
        for service in services {
            let elected = self.groups.get_mut(&service).and_then(Group::succeed);
            self.elect(now, &service, elected, out);
        }
    }

    // spec: GRP-8
    pub(super) fn on_promoted(&mut self, now: Moment, key: Key, epoch: Epoch, out: &mut Outbox) {
        let Some(exporter) = self.exporters.get(&key).filter(|e| e.grouped) else { return };
        let (service, source, name) = (exporter.service.clone(), exporter.source(), exporter.name.clone());
        if !self.groups.get_mut(&service).is_some_and(|g| g.on_promoted(key, epoch)) {
            // Too late for that term; but it speaks, and can be told again.
            if let Some(group) = self.groups.get_mut(&service) {
                group.on_heard(key);
            }
            return;
        }
        self.drop_promotion(key);
        if let Some(record) = self.record_of(now, key, false) {
            self.store(Record::Process(record), Waiting::Nobody, out);
        }
        self.touch_group(&service);
        self.notify(&name, Some(key), NoticeEvent::Role { role: Role::Primary, epoch });
        self.bind_promoted(now, &source, key, epoch, out);
    }

    pub(super) fn launch_due(&mut self, now: Moment, out: &mut Outbox) {
        for service in self.launcher.due(now.time) {
            out.push(Output::Launch { service });
        }
    }
}
