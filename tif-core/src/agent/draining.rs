//! A primary hands over to a standby because somebody asks for it.
//!
//! What is to be done next says `machine::handover`; here it is done. Until the successor's end mark importers see the last values of the old primary as what
//! they are, fresh; then they get one report of an outage that is over already. While it lasts no change of the service's controls is begun.
// spec: OUT-1, OUT-4, OUT-5, GRP-6

use std::collections::BTreeSet;

use super::exporting::Exporter;
use super::io::{Conn, Moment, Output};
use super::outages::Lost;
use super::{Agent, Outbox, Question, Requester, Resource, Waiting};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::group::Elected;
use crate::machine::handover::{Handover, Phase, Step};
use crate::model::{Cause, Epoch, Key, Name, Outage, Refusal, Role, Slot};
use crate::wire::{Drained, ToProcess};

/// What a handover comes to when somebody stands behind its source.
#[derive(Clone, Copy, Debug)]
pub(super) struct TakenUp {
    step: Step,
    deposed: bool,
    epoch: Epoch,
    /// Who has let go for that.
    pub relieves: Option<Key>,
}

/// A handover under way.
#[derive(Debug)]
pub(super) struct Draining {
    machine: Handover,
    requester: Requester,
    /// What is waited for, with its deadline.
    question: u64,
    /// When the primary was told to let go.
    since: Moment,
    /// Changes of the service's controls that wait for the end.
    waiting: Vec<u64>,
}

impl Draining {
    pub fn machine(&self) -> &Handover {
        &self.machine
    }

    pub fn machine_mut(&mut self) -> &mut Handover {
        &mut self.machine
    }
}

/// Who is to hand over to whom.
struct Drain {
    service: Name,
    from: Key,
    to: Key,
}

impl Agent {
    // spec: OUT-5
    pub(super) fn on_drain(&mut self, now: Moment, conn: Conn, req: u64, name: &Name, to: Option<&Name>, out: &mut Outbox) {
        let Drain { service, from, to } = match self.admit_drain(conn, name, to) {
            Ok(drain) => drain,
            Err(refusal) => return self.refuse(out, conn, req, refusal),
        };
        if !self.begin_request(conn, req, out) {
            return;
        }
        let epoch = self.term_of(&service, true);
        let question = self.ask(now, Question::HandOver(service.clone()), limits::HANDOVER_TIMEOUT);
        let machine = Handover::new(from, to, epoch);
        let draining = Draining { machine, requester: (conn, req), question, since: now, waiting: Vec::new() };
        self.handovers.insert(service, draining);
        self.tell(out, from, ToProcess::LetGo { epoch });
        if defect(Defect::LeadBeforeLetGo) {
            self.on_let_go(now, from, epoch, out);
        }
    }

    /// Everything that can be said before anything is done.
    // spec: SEC-1, SEC-2
    fn admit_drain(&self, conn: Conn, name: &Name, to: Option<&Name>) -> Result<Drain, Refusal> {
        let refused = |reason: String| Refusal::NotHandedOver { name: name.to_string(), reason };
        let is_called = |e: &Exporter, name: &Name| e.name == *name || self.cpu.join(&e.name).is_ok_and(|own| own == *name);
        let named = |name: &Name| self.exporters.iter().find(|(_, e)| is_called(e, name));
        let service = match named(name) {
            _ if self.groups.get(name).is_some_and(|g| !g.is_empty()) => name.clone(),
            Some((_, exporter)) if exporter.grouped => exporter.service.clone(),
            Some(_) => return Err(refused("it exports for itself and is in no group with standbys".into())),
            None => {
                return Err(refused("no service with a group, and no process of one, is called so; `tif-serve ps` lists them".into()));
            }
        };
        if self.handovers.contains_key(&service) {
            return Err(refused("a handover of it is under way: wait for its end".into()));
        }
        let group = self.groups.get(&service).ok_or_else(|| refused("it has no group".into()))?;
        let Some(from) = group.leader().filter(|key| group.role(*key) == Some(Role::Primary)) else {
            return Err(refused(match self.name_of_leader_elsewhere(&service) {
                Some(leader) => format!("it is not the primary of {service}; that is {leader}"),
                None => "nobody leads it at present: try again when somebody does".into(),
            }));
        };
        let shown = |key: Key| self.exporters.get(&key).map_or_else(|| key.to_string(), |e| e.name.to_string());
        if *name != service && named(name).is_some_and(|(key, _)| *key != from) {
            return Err(refused(format!("it is not the primary of {service}; that is {}", shown(from))));
        }
        // Whoever may end it may have it hand over.
        let uid = self.sessions.get(&conn).map(|s| s.credentials.uid);
        let owner = self.registry.find(from).map(|p| p.credentials.uid);
        if uid != Some(0) && uid != owner {
            let reason =
                format!("{} runs as user id {}: only that user and root may have it hand over", shown(from), owner.unwrap_or_default());
            return Err(Refusal::Denied { reason });
        }
        // spec: GRP-9
        if self.is_shared(&service) && !self.is_established(&service, group.epoch()) {
            return Err(refused(
                "this CPU cannot make sure now that it leads the service: it waits for its backup, or for a majority".into(),
            ));
        }
        let is_written =
            self.is_succession_clear(&service) && !self.tickets.values().any(|w| matches!(w, Waiting::Term(of, ..) if *of == service));
        let stands = self.stands_behind(from);
        if !group.is_ready(from) || !is_written || !stands {
            return Err(refused(format!("its primary {} cannot be told at present: try again", shown(from))));
        }
        let to = match to {
            None => {
                self.successor(&service, &[from]).ok_or_else(|| refused("no standby of it is ready to lead: start one first".into()))?
            }
            Some(to) => {
                let here = named(to).filter(|(_, e)| e.grouped && e.service == service).map(|(key, _)| *key);
                let there = || self.member_elsewhere(to).filter(|m| m.grouped && m.service == service).map(|m| m.key);
                let key = here.or_else(there).ok_or_else(|| {
                    refused(format!("`{to}` is no process of {service}; one of another CPU is named with it, as in `cpu2.{service}-1`"))
                })?;
                if key.node != self.key.node {
                    self.check_successor(&service, key).map_err(|why| refused(format!("{to} cannot take it: {why}")))?;
                    return Ok(Drain { service, from, to: key });
                }
                if key == from {
                    return Err(refused(format!("{to} is its primary already")));
                }
                if !group.is_ready(key) {
                    return Err(refused(format!("{to} is not ready to lead: wait until it is connected, or name another")));
                }
                key
            }
        };
        Ok(Drain { service, from, to })
    }

    /// The primary says that it has let go.
    // spec: GRP-8
    pub(super) fn on_let_go(&mut self, now: Moment, key: Key, term: Epoch, out: &mut Outbox) {
        let Some(service) = self.exporters.get(&key).filter(|e| e.grouped).map(|e| e.service.clone()) else { return };
        if let Some(draining) = self.handovers.get_mut(&service) {
            let step = draining.machine.on_let_go(key, term);
            return self.take_step(now, &service, step, out);
        }
        // Nobody waits for that any more, and nobody else was elected: it is to lead again, in a term of which it has not let go.
        if self.is_shared(&service) {
            if self.groups.get(&service).is_some_and(|g| g.epoch() == term && g.role(key) == Some(Role::Primary)) {
                self.vacate(&service, key, out);
            }
            return;
        }
        let group = self.groups.get_mut(&service).filter(|g| g.epoch() == term);
        let elected = group.and_then(|g| g.hand_over(key, key));
        self.elect(now, &service, elected, out);
    }

    /// The shell has read the last values.
    pub(super) fn on_last_values(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        let step = self.handovers.get_mut(service).map_or(Step::Wait, |d| d.machine.on_read());
        self.take_step(now, service, step, out);
    }

    pub(super) fn on_handover_overdue(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        let step = self.handovers.get_mut(service).map_or(Step::Wait, |d| d.machine.on_overdue());
        self.take_step(now, service, step, out);
    }

    /// The link to a process is lost, or it comes again on another.
    pub(super) fn on_hander_out_of_reach(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        self.on_hander(now, key, Handover::on_link_lost, out);
    }

    /// This member is elected by several CPUs: whether that is what the handover has waited for, so that nobody is deposed.
    // spec: GRP-8
    pub(super) fn is_handed_over(&mut self, service: &Name, key: Key, epoch: Epoch) -> bool {
        let Some(draining) = self.handovers.get_mut(service) else { return false };
        let machine = &mut draining.machine;
        if machine.to() != key || machine.phase() != Phase::TakingUp(None) {
            return false;
        }
        machine.on_elected(epoch);
        !machine.is_deposed()
    }

    /// A term begins in which another leads than the one that was chosen.
    pub(super) fn break_handover(&mut self, now: Moment, service: &Name, epoch: Epoch, out: &mut Outbox) {
        match self.handovers.get(service).map(|d| d.machine.phase()) {
            Some(Phase::TakingUp(elected)) if elected != Some(epoch) => self.take_step(now, service, Step::Break, out),
            Some(Phase::LettingGo | Phase::Reading) => self.give_up_handover(service, "another member leads by now", out),
            _ => {}
        }
    }

    /// A process has ended. Its group and its source do not know yet.
    pub(super) fn on_hander_ended(&mut self, now: Moment, key: Key, out: &mut Outbox) {
        self.on_hander(now, key, Handover::on_ended, out);
    }

    /// A member of another CPU that is to lead has ended, or cannot be told so any more.
    pub(super) fn on_successor_ended(&mut self, now: Moment, service: &Name, key: Key, out: &mut Outbox) {
        self.on_hander_of(now, service, key, Handover::on_ended, out);
    }

    fn on_hander(&mut self, now: Moment, key: Key, event: fn(&mut Handover, Key, Option<Key>) -> Step, out: &mut Outbox) {
        let Some(service) = self.exporters.get(&key).filter(|e| e.grouped).map(|e| e.service.clone()) else { return };
        self.on_hander_of(now, &service, key, event, out);
    }

    fn on_hander_of(
        &mut self,
        now: Moment,
        service: &Name,
        key: Key,
        event: fn(&mut Handover, Key, Option<Key>) -> Step,
        out: &mut Outbox,
    ) {
        let Some(from) = self.handovers.get(service).map(|d| d.machine.from()) else { return };
        let other = self.successor(service, &[from, key]);
        let Some(draining) = self.handovers.get_mut(service) else { return };
        let step = event(&mut draining.machine, key, other);
        self.take_step(now, service, step, out);
    }

    /// Who could lead in the place of these: a member of this CPU, or else one of another.
    fn successor(&self, service: &Name, but: &[Key]) -> Option<Key> {
        self.groups.get(service).and_then(|g| g.successor(but)).or_else(|| self.successor_elsewhere(service, but))
    }

    /// The term in which the successor was to lead did not become durable.
    pub(super) fn on_successor_not_elected(&mut self, now: Moment, service: &Name, elected: Elected, out: &mut Outbox) {
        if self.handovers.get(service).is_some_and(|d| d.machine.phase() == Phase::TakingUp(Some(elected.epoch))) {
            self.take_step(now, service, Step::Break, out);
        }
    }

    fn take_step(&mut self, now: Moment, service: &Name, step: Step, out: &mut Outbox) {
        let Some(draining) = self.handovers.get(service) else { return };
        let from = draining.machine.from();
        match step {
            Step::Wait | Step::Done | Step::GivenBack => {}
            Step::Read => {
                let slots: Vec<Slot> = self.exporters.get(&from).map(|e| e.slots.keys().copied().collect()).unwrap_or_default();
                let token = self.wait_on(now, service);
                if slots.is_empty() || defect(Defect::LoseLastValues) {
                    return self.on_last_values(now, service, out);
                }
                out.push(Output::Sample { key: from, slots, token });
            }
            Step::Elect(to) => self.elect_successor(now, service, to, out),
            Step::Depose(to) => {
                self.lose_hander(now, service, from, out);
                self.elect_successor(now, service, to, out);
            }
            Step::Drop => self.give_up_handover(service, "its primary or its only standby was lost meanwhile", out),
            Step::Break => {
                self.lose_hander(now, service, from, out);
                let why = "its primary has let go, and the successor does not lead yet; it takes over as after a loss";
                self.give_up_handover(service, why, out);
            }
        }
    }

    /// What is waited for next has its own deadline.
    fn wait_on(&mut self, now: Moment, service: &Name) -> u64 {
        let number = self.ask(now, Question::HandOver(service.clone()), limits::HANDOVER_TIMEOUT);
        let before = self.handovers.get_mut(service).map(|d| std::mem::replace(&mut d.question, number));
        if let Some(before) = before {
            self.answered(before);
        }
        number
    }

    fn elect_successor(&mut self, now: Moment, service: &Name, to: Key, out: &mut Outbox) {
        self.wait_on(now, service);
        let shared = self.is_shared(service);
        let Some(draining) = self.handovers.get_mut(service) else { return };
        let (from, is_deposed) = (draining.machine.from(), draining.machine.is_deposed());
        if shared {
            // The register decides, and goes on trying when the time is over.
            if is_deposed {
                let epoch = Epoch(self.term_of(service, true).0 + 1);
                self.tell(out, from, ToProcess::Demote { epoch });
            }
            return self.vacate(service, to, out);
        }
        let Some(elected) = self.groups.get_mut(service).and_then(|g| g.hand_over(from, to)) else {
            return self.take_step(now, service, Step::Drop, out);
        };
        draining.machine.on_elected(elected.epoch);
        if is_deposed {
            // It may not hear that, and this agent may end before it tells the successor: on its board its term is over from now on.
            // spec: GRP-8
            out.push(Output::Epoch { key: from, epoch: elected.epoch });
            self.tell(out, from, ToProcess::Demote { epoch: elected.epoch });
        }
        self.elect(now, service, Some(elected), out);
    }

    /// The old primary stands behind its source no longer, and nobody else does.
    // spec: OUT-1, OUT-2
    fn lose_hander(&mut self, now: Moment, service: &Name, from: Key, out: &mut Outbox) {
        if self.stands_behind(from) {
            self.unbind(from, out);
            let process = self.exporters.get(&from).map_or_else(|| service.clone(), |e| e.name.clone());
            self.begin_outage(now, service, &process, from, Cause::Handover, out);
        }
    }

    /// A group member leads from now on: it stands behind its source. If somebody has handed over to it, nobody who looks on shall see more of that than
    /// its report.
    // spec: OUT-1, OUT-4, OUT-5
    pub(super) fn bind_promoted(&mut self, now: Moment, source: &Name, key: Key, epoch: Epoch, out: &mut Outbox) {
        let elsewhere = self.relieved_elsewhere(source, key, epoch);
        let taken = self.take_up(now, source, key, epoch, elsewhere, out);
        let ended = self.bind(now, source, key, taken.relieves, out);
        self.taken_up(source, taken, ended, out);
        self.keep_promise(now, source, key);
    }

    /// Somebody is about to stand behind a source, here or on another CPU; whom it relieves there, if anybody.
    // spec: OUT-5
    pub(super) fn take_up(
        &mut self,
        now: Moment,
        source: &Name,
        key: Key,
        epoch: Epoch,
        relieves: Option<Key>,
        out: &mut Outbox,
    ) -> TakenUp {
        let Some(draining) = self.handovers.get(source) else { return TakenUp { step: Step::Wait, deposed: false, epoch, relieves } };
        let (machine, here) = (&draining.machine, self.key.node);
        let (step, deposed, from) = (machine.on_promoted(key, epoch), machine.is_deposed(), machine.from());
        let is_seamless = key.node == here || relieves == Some(from);
        let is_another = step == Step::Wait && matches!(machine.phase(), Phase::TakingUp(_));
        let relieves = if step == Step::Done && !deposed && is_seamless { self.write_down_handover(source, out) } else { None };
        if step == Step::Done && relieves.is_none() {
            // Its values begin anew for who looks on: that is an outage like any.
            self.lose_hander(now, source, from, out);
        }
        if is_another {
            // Whoever was chosen was itself succeeded before it was heard here.
            self.take_step(now, source, Step::Break, out);
        }
        TakenUp { step, deposed, epoch, relieves }
    }

    /// Now it does.
    // spec: OUT-4, OUT-5
    pub(super) fn taken_up(&mut self, source: &Name, taken: TakenUp, ended: Option<Outage>, out: &mut Outbox) {
        let TakenUp { step, deposed, epoch, .. } = taken;
        match (step, ended) {
            (Step::Done, Some(outage)) => {
                if let Some((conn, req)) = self.end_handover(source) {
                    self.send(out, conn, ToProcess::Drained { req, drained: Box::new(Drained { outage, epoch, deposed }) });
                }
            }
            (Step::Done, None) => {
                self.give_up_handover(source, "its report is lost among too many others; `tif-serve ps` shows who leads", out)
            }
            (Step::GivenBack, _) => {
                self.give_up_handover(source, "no standby was left to lead; its primary leads on, in the next term", out)
            }
            _ => {}
        }
    }

    /// It is an outage like any for the record; but nothing of it is marked, and importers hear of it when it is over.
    fn write_down_handover(&mut self, service: &Name, out: &mut Outbox) -> Option<Key> {
        let draining = self.handovers.get(service)?;
        let (from, lost) = (draining.machine.from(), Lost { at: draining.since, found: None });
        let process = self.exporters.get(&from).map_or_else(|| service.clone(), |e| e.name.clone());
        let outage = self.outages.begin(lost, &self.cpu, service, &process, from, Cause::Handover);
        self.stats.outages += 1;
        self.sources.entry(service.clone()).or_default().outage = Some(outage.id);
        let mut told: BTreeSet<Conn> = BTreeSet::new();
        for id in self.table.of_source(service) {
            told.extend(self.interest.waiters(&Resource::Instrument(id)));
        }
        for conn in &told {
            if let Some(session) = self.sessions.get_mut(conn) {
                session.outages.insert(outage.id);
            }
        }
        self.outages.told(outage.id, &told);
        self.unbind(from, out);
        Some(from)
    }

    /// Whether this CPU waits for a member that leads in this term already, and was handed over to: nothing of the old primary is marked until that is bound.
    // spec: OUT-5
    pub(super) fn awaits_relief(&self, service: &Name, epoch: Epoch) -> bool {
        let machine = self.handovers.get(service).map(Draining::machine);
        machine.is_some_and(|m| m.phase() == Phase::TakingUp(Some(epoch)) && m.to().node != self.key.node && !m.is_deposed())
    }

    /// Whether the end of a handover to another CPU is waited for.
    pub(super) fn hands_over_elsewhere(&self, service: &Name) -> bool {
        let machine = self.handovers.get(service).map(Draining::machine);
        machine.is_some_and(|m| matches!(m.phase(), Phase::TakingUp(_)) && m.to().node != self.key.node)
    }

    fn give_up_handover(&mut self, service: &Name, why: &str, out: &mut Outbox) {
        if let Some((conn, req)) = self.end_handover(service) {
            self.refuse(out, conn, req, Refusal::NotHandedOver { name: service.to_string(), reason: why.to_owned() });
        }
    }

    /// It is over, one way or the other: what waited for that goes on. Returns who waits for the answer, if it is still there.
    fn end_handover(&mut self, service: &Name) -> Option<Requester> {
        let draining = self.handovers.remove(service)?;
        self.touch_member(draining.machine.from());
        self.answered(draining.question);
        for number in draining.waiting {
            if let Some(change) = self.changes.get_mut(&number) {
                change.begun = false;
                self.next_changes.push_back(number);
            }
        }
        let (conn, req) = draining.requester;
        self.end_request(conn);
        self.sessions.contains_key(&conn).then_some((conn, req))
    }

    /// Whether a change is held up by a handover: it is begun when that is over, by whoever leads then. One too many is refused.
    // spec: OUT-5, CTL-1, SEC-2
    pub(super) fn wait_for_handover(&mut self, number: u64, out: &mut Outbox) -> bool {
        let Some(change) = self.changes.get(&number).filter(|_| !defect(Defect::AcceptWhileHandingOver)) else { return false };
        let Some(draining) = self.handovers.get_mut(change.source()) else { return false };
        if draining.waiting.contains(&number) {
            return true;
        }
        if draining.waiting.len() < limits::HANDOVER_CHANGES_MAX {
            draining.waiting.push(number);
        } else {
            let reason = "its primary hands over, and too many changes wait for that: try again".into();
            self.refuse_change(number, &Refusal::Busy { name: String::new(), reason }, out);
        }
        true
    }

    /// Why a call of this exporter cannot begin, if it is handing over. Unlike a change nobody else can be given it: it has an effect of its own.
    // spec: OUT-5, TST-4
    pub(super) fn handing_over(&self, key: Key) -> Option<String> {
        let service = self.exporters.get(&key).filter(|e| e.grouped).map(|e| &e.service)?;
        let is_over = !self.handovers.contains_key(service);
        (!is_over).then(|| format!("the primary of {service} hands over: try again"))
    }

    /// A member's role as people are shown it: the successor is to become primary from when the primary was told to let go.
    // spec: GRP-5
    pub(super) fn role_shown(&self, key: Key) -> Role {
        let to = |e: &super::exporting::Exporter| e.grouped && self.handovers.get(&e.service).is_some_and(|d| d.machine.to() == key);
        match self.role_of(key) {
            Role::Standby if self.exporters.get(&key).is_some_and(to) => Role::ToBePrimary,
            role => role,
        }
    }
}
