//! The agent: composes the machines.
//!
//! [`Agent::handle`] is the only way anything happens. It takes one [`Input`], asks the machines, and says in an [`Outbox`] what is to be
//! done; the shell (or the simulator) does it, in order. Each file below is one conversation:
//!
//! - `restoring`: what the store remembers. `admitting`: a process registers. `numbering`: what a group's member is called. `exporting`: its instruments. `ending`: it is gone. `leading`: who
//!   succeeds it. `draining`: who hands over to whom. `noticing`: who is told.
//! - `importing`: subscriptions, who follows what, values on their way out.
//! - `changing`: controls. `agreeing`: changes that other CPUs must have. `calling`: procedures. `arming`: in-path test points. `asking`: discovery, sensing, processes, outages.
//! - `table`, `session`, `outages`: what is remembered of instruments, connections, outages. `portrait`: all of it, for people.
//!
//! What is asked of the shell or of a process is a *question* with a number and a deadline; its answer carries the number.

mod admitting;
mod agreeing;
mod arming;
mod asking;
mod calling;
mod changing;
mod draining;
mod ending;
mod exporting;
mod importing;
pub mod io;
mod leading;
mod listening;
mod noticing;
mod numbering;
mod outages;
mod page;
mod peers;
mod portrait;
mod recalling;
mod reporting;
mod restoring;
mod session;
mod settling;
mod stats;
mod table;
mod timers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::defects::{Defect, defect};
use crate::machine::book::Entry;
use crate::machine::confirm::Keep;
use crate::machine::control::{ControlName, Ledger};
use crate::machine::group::Group;
use crate::machine::heartbeat::Heartbeats;
use crate::machine::interest::Interest;
use crate::machine::process::Registry;
use crate::machine::takeover::Launcher;
use crate::machine::versions::Offer;
use crate::model::{InstrumentId, Key, Name, NodeId, Pattern, Refusal, RequestId, Time};
use crate::wire::{OutageRow, ToAgent, ToProcess};
use io::{Conn, Input, Moment, Output, Record, Start, Ticket};
use session::Session;

pub use stats::Stats;

/// What the agent wants done, in order.
pub type Outbox = Vec<Output>;

/// What can be wanted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Resource {
    Instrument(InstrumentId),
    Process(Name),
    Pid(u32),
    /// Whatever fits it, on other CPUs.
    Pattern(Pattern),
}

/// What is due at some time. What it is about may be gone by then: then nothing happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// An instrument's value was held back, or is due though unchanged.
    Propagate(InstrumentId),
    /// A follower's value was held back.
    Follow(Conn, InstrumentId),
    /// A question was not answered.
    Question(u64),
    /// An accepted change was not confirmed by its service.
    Applied(u64),
    /// Probe the silent, forget the expired.
    Rounds,
    /// Heartbeats of processes on other kernels may be missing.
    Heartbeats,
    /// A change that is to be confirmed may have to be taken back.
    Keep,
    /// A member claims its number.
    Claim(Key),
    /// Look at groups that may have members on several CPUs.
    Groups,
    /// The stream to another CPU's agent has something to send, or to send again.
    Stream(NodeId),
}

/// How often the rounds are made.
const ROUNDS_PERIOD: Duration = Duration::from_secs(1);
/// A process that was silent for so long is probed.
const PROBE_AFTER: Duration = Duration::from_secs(5);
/// One that did not answer a probe for so long is suspect.
const SUSPECT_AFTER: Duration = Duration::from_secs(3);

/// One CPU's agent: every decision of it, no input or output.
#[derive(Debug)]
pub struct Agent {
    key: Key,
    cpu: Name,
    /// What this agent speaks.
    offer: Offer,
    registry: Registry,
    groups: BTreeMap<Name, Group>,
    /// What the groups' members are called.
    numbers: numbering::Numbers,
    launcher: Launcher,
    hung_after: BTreeMap<Name, Duration>,
    sessions: BTreeMap<Conn, Session>,
    /// Processes whose key is not durable yet.
    admitting: BTreeMap<Key, admitting::Admitting>,
    exporters: BTreeMap<Key, exporting::Exporter>,
    sources: BTreeMap<Name, exporting::Source>,
    table: table::Table,
    interest: Interest<Resource, Conn>,
    ledger: Ledger,
    changes: BTreeMap<u64, changing::Change>,
    busy: BTreeMap<ControlName, VecDeque<u64>>,
    keeping: settling::Keeping,
    calls: calling::Calls,
    questions: BTreeMap<u64, Question>,
    tickets: BTreeMap<Ticket, Waiting>,
    timers: timers::Timers,
    /// Changes that are first in line for their control since this step.
    next_changes: VecDeque<u64>,
    /// Services of which the primary hands over.
    handovers: BTreeMap<Name, draining::Draining>,
    outages: outages::Outages,
    corpses: outages::Corpses,
    /// Processes that the agent ends because they are silent.
    hung: BTreeSet<Key>,
    /// Presumed dead, and the store does not know yet: nobody was told.
    // spec: PSM-6
    given_up: BTreeSet<Key>,
    /// Ends of processes that the store does not know of yet.
    unended: BTreeMap<Key, ending::Ended>,
    /// Importers that live and of which the store does not know yet.
    unwritten: BTreeSet<Key>,
    /// Outages of which the store does not know yet how they stand.
    untold: BTreeSet<crate::model::OutageId>,
    /// Sources whose values the store could not forget yet.
    unforgotten: BTreeSet<Name>,
    /// Connections whose queue has got its first item in this step.
    filled: BTreeSet<Conn>,
    /// Connections whose queue has become too long in this step.
    overrun: BTreeSet<Conn>,
    /// Other CPUs' agents.
    heartbeats: Heartbeats,
    /// When this agent came back from its last absence.
    back_since: Time,
    peers: peers::Peers,
    /// The lives of this CPU's agent up to this one were given up by another, and their processes with them.
    over: u32,
    last_number: u64,
    stats: Stats,
}

/// What an unanswered question is about.
#[derive(Debug)]
enum Question {
    /// First values for importers that began to follow a source.
    Sync(importing::Syncing),
    /// Somebody reads values.
    Sense(asking::Sensing),
    /// The same, while a dynamic one is computed: the sensing it belongs to.
    ComputeForSense(u64, Key),
    /// The same, while the shell reads.
    SampleForSense(u64),
    /// Dynamic ones that somebody begins to watch.
    ComputeForWatch(Key, Vec<crate::model::Slot>),
    /// A process takes its leave; its last values are being read.
    Farewell(Conn, Key),
    /// A service's validator.
    Validate(u64),
    /// A standby was told to take over.
    Promote(Name, crate::machine::group::Elected),
    /// A process that was admitted as the primary has not said yet that it is ready.
    Begin(Name, crate::machine::group::Elected),
    /// The primary of this service hands over: what is waited for next.
    HandOver(Name),
    /// A procedure runs.
    Call(u64),
    /// A test point is armed or disarmed.
    Arm(arming::ArmingUnderWay),
    /// Another CPU was asked for something.
    Forwarded(peers::Forwarded),
    /// All CPUs were asked for what they have.
    Gather(Box<peers::Gathering>),
    /// Another CPU was asked how the guard of a change stands.
    Guard(Box<peers::GuardAsked>),
}

/// What a write to the store holds up.
#[derive(Debug)]
enum Waiting {
    /// A term and who leads in it, before anybody acts in it: an agent that restarts must not elect another. With the process that is admitted as its
    /// primary.
    Term(Name, crate::machine::group::Elected, Option<Key>),
    /// A process, before it gets its key.
    Admission(Key),
    /// An importer that has its key already, because the store could not be written. Nobody waits; it is tried again.
    Late(Key),
    /// How an outage stands. If it does not become durable, it is tried again.
    Outage(crate::model::OutageId),
    /// A change, before it is accepted.
    Change(u64),
    /// That a change stays, or is taken back.
    Settling(Box<Entry>),
    /// A call: that it begins, before the procedure hears of it; or what became of it, before anybody is told.
    Call(u64),
    /// The same, when all have been told because it could not be written at first. It is tried again.
    Outcome(crate::model::RequestId),
    /// The end of a process. If it does not become durable, it is tried again, and nobody succeeds it before.
    Ended(Box<ending::Ended>),
    /// Values that end with their source. If they do not, it is tried again.
    Forget(Name),
    /// What a voter promises, or a log holds, before others hear of it.
    Replicated(Box<Record>),
    /// Nobody waits: after a crash the same is found out again.
    Nobody,
}

impl Agent {
    /// An agent that starts with what its store remembers.
    // spec: MON-7
    pub fn new(now: Moment, start: Start, out: &mut Outbox) -> Agent {
        let cpu = start.cpu.clone().unwrap_or_else(|| "cpu1".parse().unwrap_or_else(|_| unreachable!("a name")));
        let key = Key { node: start.node, proc: crate::model::ProcId(0), inc: crate::model::Incarnation::new(start.agent_epoch, 0) };
        let mut agent = Agent {
            key,
            cpu,
            offer: start.offer,
            registry: Registry::new(start.node, start.agent_epoch, start.proc_max),
            groups: BTreeMap::new(),
            numbers: numbering::Numbers::new(),
            launcher: Launcher::default(),
            hung_after: BTreeMap::new(),
            sessions: BTreeMap::new(),
            admitting: BTreeMap::new(),
            exporters: BTreeMap::new(),
            sources: BTreeMap::new(),
            table: table::Table::default(),
            interest: Interest::default(),
            ledger: Ledger::default(),
            changes: BTreeMap::new(),
            busy: BTreeMap::new(),
            keeping: settling::Keeping::default(),
            calls: calling::Calls::default(),
            questions: BTreeMap::new(),
            tickets: BTreeMap::new(),
            timers: timers::Timers::default(),
            next_changes: VecDeque::new(),
            handovers: BTreeMap::new(),
            outages: outages::Outages::default(),
            corpses: outages::Corpses::default(),
            hung: BTreeSet::new(),
            given_up: BTreeSet::new(),
            unended: BTreeMap::new(),
            unwritten: BTreeSet::new(),
            untold: BTreeSet::new(),
            unforgotten: BTreeSet::new(),
            filled: BTreeSet::new(),
            overrun: BTreeSet::new(),
            heartbeats: Heartbeats::default(),
            back_since: now.time,
            peers: peers::Peers::new(key),
            over: 0,
            last_number: first_number(start.agent_epoch),
            stats: Stats::default(),
        };
        agent.timers.set(now.time + ROUNDS_PERIOD, Timer::Rounds);
        agent.restore(now, start, out);
        agent
    }

    /// The agent's own key.
    pub fn key(&self) -> Key {
        self.key
    }

    /// The only way anything happens.
    pub fn handle(&mut self, now: Moment, input: Input, out: &mut Outbox) {
        self.heed_own_absence(now, self.timers.first());
        match input {
            Input::Hello { conn, credentials, hello, segment, declared } => {
                self.on_hello(now, conn, credentials, *hello, segment, declared, out)
            }
            Input::Message { conn, from, to, body } => self.on_message(now, conn, from, to, *body, out),
            Input::Closed { conn } => self.on_closed(now, conn, out),
            Input::Exited { key, cause } => self.on_exited(now, key, cause, out),
            Input::Observed { key, observed } => self.suspect(now, key, observed == io::Observed::Stopped, out),
            Input::Table { key, changes } => self.on_table(now, key, changes, out),
            Input::Sampled { key, samples, token } => self.on_sampled(now, key, samples, token, out),
            Input::Stored(ticket) => self.on_stored(now, ticket, out),
            Input::StoreFailed(ticket, reason) => self.on_store_failed(now, ticket, &reason, out),
            Input::Launched { .. } => {}
            Input::LaunchFailed { service, .. } => self.launcher.on_failed(now.time, &service),
            Input::Workload { percent } => self.on_workload(percent),
            Input::PeerSeen { node } => self.on_peer_seen(node, out),
            Input::Peer { from, frame } => self.on_peer_frame(now, from, *frame, out),
            Input::Tick => self.on_tick(now, out),
        }
        self.look_at_groups(now, out);
        self.start_next_changes(now, out);
        self.settle_due(now, out);
        self.cut_off_overrun(now, out);
        self.launch_due(now, out);
        self.route(now, out);
        out.extend(std::mem::take(&mut self.filled).into_iter().map(|conn| Output::HasReports { conn }));
    }

    /// When [`Input::Tick`] is next due.
    pub fn deadline(&self) -> Option<Time> {
        [self.timers.first(), self.launcher.deadline(), self.peers.deadline()].into_iter().flatten().min()
    }

    /// When a member of a service is launched next; none if none is missing.
    pub fn next_launch(&self, service: &Name) -> Option<Time> {
        self.launcher.next(service)
    }

    /// The outages of this CPU and those of other CPUs of which somebody here is told, oldest first.
    pub fn outages(&self, now: Time) -> Vec<OutageRow> {
        self.outages.rows(now)
    }

    /// The next message of reports for a connection that can be written to, with the receiver's key; none when its queue is empty.
    // spec: MON-6
    pub fn pull(&mut self, conn: Conn) -> Option<(Key, ToProcess)> {
        let session = self.sessions.get_mut(&conn)?;
        let message = session.queue.pop()?;
        if let ToProcess::Reports { reports, .. } = &message {
            self.stats.reports_out += reports.len() as u64;
        }
        Some((session.key, message))
    }

    fn on_message(&mut self, now: Moment, conn: Conn, from: Key, to: Key, body: ToAgent, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&conn) else {
            let refusal = Refusal::Malformed { reason: "the first message must be Hello, and be answered, before any other".into() };
            return self.send(out, conn, ToProcess::Refused { req: 0, refusal });
        };
        // spec: PSM-7, PSM-11
        let current = session.key == from && to == self.key && self.registry.current(from.proc) == Some(from);
        if !current && !defect(Defect::TakeStaleSender) {
            self.stats.stale_keys += 1;
            let current = self.registry.current(from.proc);
            return self.send(out, conn, ToProcess::StaleKey { current });
        }
        session.heard = now.time;
        let probed = session.probed.take().is_some();
        self.hear(now, from, out);
        if probed {
            self.suspect(now, from, false, out);
        }
        match body {
            ToAgent::Hello(_) => {
                let refusal = Refusal::Malformed { reason: "this connection is registered already".into() };
                self.send(out, conn, ToProcess::Refused { req: 0, refusal });
            }
            ToAgent::Ready => self.on_ready(now, from, out),
            ToAgent::Unregister => self.on_unregister(now, conn, from, out),
            ToAgent::Pong { .. } | ToAgent::Heartbeat => {}

            ToAgent::Validated { req, result } => self.on_validated(now, from, req, result, out),
            ToAgent::Applied { slot, version } => self.on_applied(now, from, slot, version, out),
            ToAgent::Computed { req, failed } => self.on_computed(now, from, req, failed, out),
            ToAgent::Returned { req, result } => self.on_returned(now, from, req, result, out),
            ToAgent::Busy { req, reason } => self.on_busy(now, from, req, reason, out),
            ToAgent::ArmedAs { req, result } => self.on_armed(from, req, result, out),
            ToAgent::Disarmed { slot } => self.on_disarmed(from, slot),
            ToAgent::Promoted { epoch } => self.on_promoted(now, from, epoch, out),
            ToAgent::LetGo { epoch } => self.on_let_go(now, from, epoch, out),

            request => {
                if let Some(request) = self.forward(now, conn, request, out) {
                    self.on_request(now, conn, request, out);
                }
            }
        }
    }

    /// What an importer asks for, or another CPU's agent for its importers.
    fn on_request(&mut self, now: Moment, conn: Conn, request: ToAgent, out: &mut Outbox) {
        match request {
            ToAgent::Subscribe { subscription, pattern, coarsen } => self.on_subscribe(now, conn, subscription, pattern, coarsen, out),
            ToAgent::Unsubscribe { subscription } => self.on_unsubscribe(conn, subscription, out),
            ToAgent::List { req, pattern, after, limit } => self.on_list(conn, req, &pattern, after, limit, out),
            ToAgent::Sense { req, patterns, patience } => self.on_sense(now, conn, req, patterns, patience, out),
            ToAgent::Confirm { req, name, request_id } => self.on_confirm(now, conn, req, &name, request_id, out),
            ToAgent::Set { req, request_id, settings, admission, reason, keep } => {
                let asked = changing::Asked { request_id, settings, admission, reason, keep, guard_is_known: false };
                self.on_set(now, conn, req, asked, out);
            }
            ToAgent::Fire { req, request_id, name, arguments } => self.on_fire(now, conn, req, request_id, &name, arguments, out),
            ToAgent::Arm { req, name, arming } => self.on_arm(now, conn, req, &name, Some(arming), out),
            ToAgent::Recall { req, request_id } => self.on_recall(now, conn, req, &request_id, out),
            ToAgent::Disarm { req, name } => self.on_arm(now, conn, req, &name, None, out),
            ToAgent::Processes { req } => self.on_processes(now, conn, req, out),
            ToAgent::Drain { req, name, to } => self.on_drain(now, conn, req, &name, to.as_ref(), out),
            ToAgent::Outages { req } => {
                let rows = self.outages(now.time);
                self.send(out, conn, ToProcess::Outages { req, rows });
            }
            ToAgent::Cpus { req } if conn.peer().is_none() => {
                let rows = self.cpus(now);
                self.send(out, conn, ToProcess::Cpus { req, rows });
            }
            ToAgent::Groups { req } if conn.peer().is_none() => {
                let rows = self.group_rows();
                self.send(out, conn, ToProcess::Groups { req, rows });
            }
            ToAgent::Lookup { req, name } => self.on_lookup(conn, req, Resource::Process(name), out),
            ToAgent::LookupPid { req, pid } => self.on_lookup(conn, req, Resource::Pid(pid), out),
            ToAgent::Forget { name } => {
                self.look_elsewhere(conn, &name);
                // However often it asked.
                let resource = Resource::Process(name);
                if self.interest.is_waiting(&resource, conn)
                    && let Some(session) = self.sessions.get_mut(&conn)
                {
                    session.lookups = session.lookups.saturating_sub(1);
                }
                self.interest.withdraw_all(&resource, conn);
            }
            _ => {
                let refusal = Refusal::Malformed { reason: "this is not for another CPU to say".into() };
                self.refuse(out, conn, 0, refusal);
            }
        }
    }

    /// What is due.
    fn on_tick(&mut self, now: Moment, out: &mut Outbox) {
        self.look_after_peers(now, out);
        while let Some(timer) = self.timers.pop_due(now.time) {
            match timer {
                Timer::Propagate(id) => self.propagate(now, id, out),
                Timer::Follow(conn, id) => self.follow_up(now, conn, id),
                Timer::Question(number) => self.on_unanswered(now, number, out),
                Timer::Applied(change) => self.finish_change(change, false, out),
                Timer::Rounds => self.make_rounds(now, out),
                Timer::Heartbeats => self.count_heartbeats(now, out),
                Timer::Keep => self.on_keep_due(now),
                Timer::Claim(key) => self.on_claim_due(now, key, out),
                Timer::Groups => self.on_groups_due(now, out),
                Timer::Stream(node) => self.peers.stir(node),
            }
        }
    }

    fn make_rounds(&mut self, now: Moment, out: &mut Outbox) {
        self.timers.set(now.time + ROUNDS_PERIOD, Timer::Rounds);
        self.corpses.expire(now.time);
        self.expire_sources(now, out);
        self.expire_far(now, out);
        self.greet_again(out);
        self.probe_silent(now, out);
        self.write_again(now, out);
        self.end_again(out);
        self.write_calls_again(out);
        self.look_at_guards(now, out);
        self.give_confirming_up(now, out);
        self.elect_missing(now, out);
        self.promote_missing(now, out);
        self.forget_again(out);
    }

    fn on_unanswered(&mut self, now: Moment, number: u64, out: &mut Outbox) {
        let Some(question) = self.answered(number) else { return };
        match question {
            // The shell always answers; this is for the day it does not.
            Question::Sync(syncing) => self.end_sync(now, syncing),
            Question::ComputeForWatch(key, slots) => self.on_not_computed(now, key, &slots, out),
            Question::Farewell(conn, key) => self.leave(now, conn, key, out),
            Question::Sense(sensing) => self.finish_sense(sensing, out),
            Question::ComputeForSense(sense, _) => self.on_computed_for(now, sense, number, None, out),
            Question::SampleForSense(sense) => self.on_sampled_for(now, sense, number, out),
            Question::Validate(change) => self.on_not_validated(change, out),
            Question::Promote(service, elected) => self.on_not_promoted(now, &service, elected, out),
            Question::Begin(service, elected) => self.on_not_begun(now, service, elected, out),
            Question::HandOver(service) => self.on_handover_overdue(now, &service, out),
            Question::Forwarded(forwarded) => self.on_not_forwarded(&forwarded, out),
            Question::Gather(gathering) => self.finish_gathering(*gathering, out),
            Question::Guard(guard) => self.on_no_guard_answer(*guard, out),
            Question::Call(call) => self.on_call_overdue(now, number, call, out),
            Question::Arm(arming) => {
                // Should it do so later all the same, it is taken back at once.
                // spec: TST-5
                self.disarm_for_session(arming.key, arming.slot, out);
                self.finish_arming(arming, Err("the service did not answer".into()), out);
            }
        }
    }

    fn on_stored(&mut self, now: Moment, ticket: Ticket, out: &mut Outbox) {
        // The store can be written: what it could not be told before is told first.
        self.write_again(now, out);
        self.end_again(out);
        self.write_calls_again(out);
        match self.tickets.remove(&ticket) {
            Some(Waiting::Term(service, _, Some(key))) => {
                if self.is_succession_durable(&service) {
                    self.store_admission(now, key, out);
                } else {
                    let reason = "the end of the primary before is not written yet".into();
                    self.refuse_admission(now, key, Refusal::Store { reason }, out);
                }
            }
            Some(Waiting::Term(service, elected, None)) => self.on_term_stored(now, &service, elected, out),
            Some(Waiting::Late(key)) => self.registry.on_durable(key),
            Some(Waiting::Admission(key)) => {
                self.registry.on_durable(key);
                if let Some(admitting) = self.admitting.remove(&key) {
                    self.admit(now, admitting, out);
                }
            }
            Some(Waiting::Change(change)) => self.on_change_stored(now, change, out),
            Some(Waiting::Settling(entry)) => self.take_effect(now, *entry, out),
            Some(Waiting::Call(call)) => self.on_call_stored(now, call, out),
            Some(Waiting::Replicated(record)) => self.on_replicated_stored(now, *record, out),
            Some(Waiting::Ended(ended)) => {
                self.bury_given_up(now, ended.record.key, out);
                self.promote_missing(now, out);
            }
            Some(Waiting::Forget(_) | Waiting::Outage(_) | Waiting::Outcome(_) | Waiting::Nobody) | None => {}
        }
    }

    fn on_store_failed(&mut self, now: Moment, ticket: Ticket, reason: &str, out: &mut Outbox) {
        self.stats.store_failures += 1;
        let refusal = Refusal::Store { reason: reason.chars().take(200).collect() };
        match self.tickets.remove(&ticket) {
            Some(Waiting::Term(_, _, Some(key))) => self.refuse_admission(now, key, refusal, out),
            Some(Waiting::Admission(key)) => self.on_admission_not_stored(now, key, refusal, out),
            Some(Waiting::Late(key)) => drop(self.unwritten.insert(key)),
            Some(Waiting::Outage(id)) => drop(self.untold.insert(id)),
            Some(Waiting::Term(service, elected, None)) => self.on_term_not_stored(now, &service, elected, out),
            Some(Waiting::Change(change)) => self.refuse_change(change, &refusal, out),
            Some(Waiting::Settling(entry)) => {
                if let Keep::Settles(id, _) = &entry.change.keep {
                    self.on_not_settled(now, id, &refusal, out);
                }
            }
            Some(Waiting::Call(call)) => self.on_call_not_stored(call, &refusal, out),
            Some(Waiting::Outcome(id)) => self.on_outcome_not_stored(id),
            Some(Waiting::Replicated(record)) => self.on_replicated_not_stored(&record, &refusal, out),
            Some(Waiting::Ended(ended)) => drop(self.unended.insert(ended.record.key, *ended)),
            Some(Waiting::Forget(source)) => drop(self.unforgotten.insert(source)),
            Some(Waiting::Nobody) | None => {}
        }
    }

    // Small hands.

    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn store(&mut self, record: Record, waiting: Waiting, out: &mut Outbox) {
        let ticket = Ticket(self.number());
        self.tickets.insert(ticket, waiting);
        out.push(Output::Store { ticket, record: Box::new(record) });
    }

    fn ask(&mut self, now: Moment, question: Question, patience: Duration) -> u64 {
        let number = self.number();
        self.questions.insert(number, question);
        self.timers.set(now.time + patience, Timer::Question(number));
        number
    }

    /// The question is answered, or nobody asks any more.
    fn answered(&mut self, number: u64) -> Option<Question> {
        self.timers.cancel(Timer::Question(number));
        self.questions.remove(&number)
    }

    fn send(&mut self, out: &mut Outbox, conn: Conn, message: ToProcess) {
        let to = self.sessions.get(&conn).map_or(Key::NONE, |s| s.key);
        out.push(Output::Send { conn, to, message: Box::new(message) });
    }

    /// To an exporter, if it can be reached.
    fn tell(&mut self, out: &mut Outbox, key: Key, message: ToProcess) -> bool {
        match self.exporters.get(&key).and_then(|e| e.conn) {
            Some(conn) => {
                out.push(Output::Send { conn, to: key, message: Box::new(message) });
                true
            }
            None => false,
        }
    }

    fn refuse(&mut self, out: &mut Outbox, conn: Conn, req: u64, refusal: Refusal) {
        self.stats.refusals += 1;
        self.send(out, conn, ToProcess::Refused { req, refusal });
    }

    /// Puts a message that may not be lost into a session's queue.
    fn queue(&mut self, conn: Conn, message: ToProcess) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            if session.queue.is_empty() {
                self.filled.insert(conn);
            }
            session.queue.push(message);
            if session.queue.is_overrun() {
                self.overrun.insert(conn);
            }
        }
    }

    /// Notices may not be dropped: who does not read them is cut off, and starts anew when it comes back.
    // spec: MON-6
    fn cut_off_overrun(&mut self, now: Moment, out: &mut Outbox) {
        for conn in std::mem::take(&mut self.overrun) {
            if self.sessions.contains_key(&conn) {
                self.stats.cut_off += 1;
                out.push(Output::Close { conn });
                self.on_closed(now, conn, out);
            }
        }
    }

    /// A request begins to wait for somebody else. False if the requester has too many already.
    fn begin_request(&mut self, conn: Conn, req: u64, out: &mut Outbox) -> bool {
        let Some(session) = self.sessions.get_mut(&conn) else { return false };
        if session.pending >= crate::limits::REQUESTS_PENDING_MAX {
            let max = crate::limits::REQUESTS_PENDING_MAX as u64;
            self.refuse(out, conn, req, Refusal::TooMany { what: "requests waiting for an answer".into(), max });
            return false;
        }
        session.pending += 1;
        true
    }

    fn end_request(&mut self, conn: Conn) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.pending = session.pending.saturating_sub(1);
        }
    }
}

/// Where an agent's numbers begin, so that no two of its lives use the same: another CPU may answer to one life what an earlier one has asked.
// spec: PSM-7, CTL-3
fn first_number(agent_epoch: u32) -> u64 {
    u64::from(agent_epoch) << NUMBERS_OF_A_LIFE
}

/// So many bits: at a million a second, eleven days of questions. Of more than 2^24 lives the numbers come again, long after anybody could answer.
const NUMBERS_OF_A_LIFE: u32 = 40;

/// Who waits for the outcome of a request: the connection and its number there.
type Requester = (Conn, u64);

/// What a request id was used for, and by whom it is waited for.
#[derive(Clone, Debug)]
struct Underway {
    request_id: RequestId,
    request: String,
    requesters: Vec<Requester>,
}
