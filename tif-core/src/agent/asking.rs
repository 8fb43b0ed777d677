//! Discovery, sensing, processes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::io::{Conn, Moment, Output};
use super::page::{After, AfterOf};
use super::{Agent, Outbox, Question, Resource};
use crate::limits;
use crate::model::notice::NoticeEvent;
use crate::model::{InstrumentId, Key, Kind, Name, Notice, Pattern, Quality, Refusal, Report, Slot, TestPointKind};
use crate::wire::{Announcement, ListRow, ProcessRow, ToProcess};

/// How many processes fit one answer: the live ones first, then the latest dead.
const PROCESSES_SHOWN_MAX: usize = 8_192;

/// Of how many that were not computed in time the answer tells beside their rows.
const LATE_TOLD_MAX: usize = 8;

/// Values that somebody reads.
#[derive(Debug)]
pub(super) struct Sensing {
    conn: Conn,
    req: u64,
    instruments: Vec<InstrumentId>,
    dead: Vec<(Announcement, Report)>,
    missing: Vec<Refusal>,
    truncated: bool,
    /// Questions (to the shell or to exporters) that are not answered yet.
    open: BTreeSet<u64>,
    /// Dynamic ones, by the question with which each is being computed.
    computing: BTreeMap<u64, (Key, Slot)>,
    /// What is to be read when that is over, so that nothing grows old meanwhile.
    to_sample: BTreeMap<Key, Vec<Slot>>,
    /// How long that may take.
    patience: Duration,
    /// Those that were not computed in time.
    late: BTreeSet<InstrumentId>,
    /// The question that stands for the whole in `questions`.
    number: u64,
}

impl Agent {
    // spec: INS-9
    pub(super) fn on_list(&mut self, conn: Conn, req: u64, pattern: &Pattern, after: Option<String>, limit: u32, out: &mut Outbox) {
        let limit = (limit as usize).clamp(1, limits::PAGE_ROWS_MAX);
        let mut rows = Vec::new();
        let mut next = None;
        let mut weight = 0;
        if let Some(incarnation) = pattern.incarnation() {
            let of_dead = self.corpses.iter().filter(|c| c.key.inc == incarnation && pattern.at().is_none_or(|at| *at == c.process));
            let mut fitting = of_dead.flat_map(|c| &c.rows).filter(|(a, _)| pattern.matches(&a.name, &a.dims));
            while rows.len() < limit
                && weight <= limits::FRAME_LEN_MAX / 8
                && let Some((a, r)) = fitting.next()
            {
                weight += weight_of(a);
                rows.push(ListRow { announcement: a.clone(), incarnation: r.key.inc, quality: r.quality.clone() });
            }
        } else {
            // The other CPUs that had a part in the page before may be gone.
            let mark = |text: &str| After::parse(text).or_else(|| AfterOf::parse(text).map(|row| row.on(self.key.node)));
            let after = match after.as_deref().map(mark) {
                None => None,
                Some(Some(after)) => Some(after),
                Some(None) => {
                    let reason = "the page to go on behind is not one that a listing gave".into();
                    return self.refuse(out, conn, req, Refusal::Malformed { reason });
                }
            };
            for instrument in self.table.from(after) {
                let fits = self.shows(conn, instrument)
                    && pattern.matches(&instrument.name, &instrument.dims)
                    && pattern.at().is_none_or(|at| self.is_at(instrument, at));
                if !fits {
                    continue;
                }
                if rows.len() == limit || weight > limits::FRAME_LEN_MAX / 8 {
                    let mark = |a: &Announcement| After::Row(format!("{}{}", a.name, a.dims), a.source.clone()).to_string();
                    next = rows.last().map(|r: &ListRow| mark(&r.announcement));
                    break;
                }
                let announcement = self.announcement(instrument);
                weight += weight_of(&announcement);
                rows.push(ListRow { announcement, incarnation: instrument.key.inc, quality: instrument.quality.clone() });
            }
        }
        self.send(out, conn, ToProcess::Listed { req, rows, next });
    }

    // spec: SRV-2
    pub(super) fn on_sense(
        &mut self,
        now: Moment,
        conn: Conn,
        req: u64,
        patterns: Vec<Pattern>,
        patience: Option<Duration>,
        out: &mut Outbox,
    ) {
        if patterns.len() > limits::SUBSCRIPTIONS_MAX {
            let max = limits::SUBSCRIPTIONS_MAX as u64;
            return self.refuse(out, conn, req, Refusal::TooMany { what: "patterns in one request".into(), max });
        }
        if !self.begin_request(conn, req, out) {
            return;
        }
        let (mut found, mut dead, mut missing) = (BTreeSet::new(), Vec::new(), Vec::new());
        for pattern in &patterns {
            let mut fits = false;
            match pattern.incarnation() {
                Some(incarnation) => {
                    let of_dead =
                        self.corpses.iter().filter(|c| c.key.inc == incarnation && pattern.at().is_none_or(|at| *at == c.process));
                    for row in of_dead.flat_map(|c| &c.rows).filter(|(a, _)| pattern.matches(&a.name, &a.dims)) {
                        fits = true;
                        if dead.len() > limits::PAGE_ROWS_MAX {
                            break;
                        }
                        dead.push(row.clone());
                    }
                }
                None => {
                    for instrument in self.table.matching(pattern, |i, at| self.is_at(i, at)).filter(|i| self.shows(conn, i)) {
                        fits = true;
                        found.insert(instrument.id);
                    }
                }
            }
            if pattern.is_literal() && !fits {
                // The nearest names are worth their price for a person's few names, not for a program's thousand.
                let text = pattern.to_string();
                missing.push(match missing.len() {
                    0..8 => self.table.not_found(&text, &pattern.name_text()),
                    _ => Refusal::NotFound { name: text, nearest: Vec::new() },
                });
            }
        }
        let truncated = found.len() + dead.len() > limits::PAGE_ROWS_MAX;
        let instruments: Vec<InstrumentId> = found.into_iter().take(limits::PAGE_ROWS_MAX).collect();
        dead.truncate(limits::PAGE_ROWS_MAX - instruments.len());

        // The living are read afresh; dynamic ones are computed first, each for itself: a slow one holds up no other.
        // spec: INS-2
        let number = self.number();
        let patience = patience.map_or(limits::COMPUTE_TIMEOUT, |p| p.min(limits::COMPUTE_TIMEOUT));
        let mut sensing = Sensing {
            conn,
            req,
            instruments,
            dead,
            missing,
            truncated,
            open: BTreeSet::new(),
            computing: BTreeMap::new(),
            to_sample: BTreeMap::new(),
            patience,
            late: BTreeSet::new(),
            number,
        };
        for id in sensing.instruments.clone() {
            let Some(instrument) = self.table.find(id) else { continue };
            let Some((key, slot)) = instrument.here() else { continue };
            if !instrument.is_dynamic() {
                sensing.to_sample.entry(key).or_default().push(slot);
            } else if !self.is_suspect(key) {
                // One that is stopped or silent would not answer; its last values are shown as what they are.
                self.compute_for(now, &mut sensing, key, slot, out);
            }
        }
        self.timers.set(now.time + limits::COMPUTE_TIMEOUT * 2, super::Timer::Question(number));
        self.go_on_sensing(now, sensing, out);
    }

    fn compute_for(&mut self, now: Moment, sensing: &mut Sensing, key: Key, slot: Slot, out: &mut Outbox) {
        let question = self.ask(now, Question::ComputeForSense(sensing.number, key), sensing.patience);
        if self.tell(out, key, ToProcess::Compute { req: question, slots: vec![slot] }) {
            sensing.open.insert(question);
            sensing.computing.insert(question, (key, slot));
        } else {
            self.answered(question);
        }
    }

    fn sample_for(&mut self, now: Moment, sensing: &mut Sensing, key: Key, slots: Vec<Slot>, out: &mut Outbox) {
        let token = self.ask(now, Question::SampleForSense(sensing.number), limits::COMPUTE_TIMEOUT);
        sensing.open.insert(token);
        out.push(Output::Sample { key, slots, token });
    }

    /// The shell has read some of the values.
    pub(super) fn on_sampled_for(&mut self, now: Moment, sense: u64, token: u64, out: &mut Outbox) {
        let Some(Question::Sense(mut sensing)) = self.questions.remove(&sense) else { return };
        sensing.open.remove(&token);
        self.go_on_sensing(now, sensing, out);
    }

    /// An exporter has computed a dynamic one, or has not in time.
    pub(super) fn on_computed_for(
        &mut self,
        now: Moment,
        sense: u64,
        question: u64,
        answer: Option<(Key, Vec<(Slot, String)>)>,
        out: &mut Outbox,
    ) {
        let Some(Question::Sense(mut sensing)) = self.questions.remove(&sense) else { return };
        sensing.open.remove(&question);
        if let Some((key, slot)) = sensing.computing.remove(&question) {
            match answer {
                Some((from, failed)) if from == key => {
                    let good = self.mark_computed(key, vec![slot], &failed);
                    sensing.to_sample.entry(key).or_default().extend(good);
                }
                // Only who asked is told: others that watch it may have more patience.
                _ => sensing.late.extend(self.exporters.get(&key).and_then(|e| e.slots.get(&slot))),
            }
        }
        self.go_on_sensing(now, sensing, out);
    }

    fn go_on_sensing(&mut self, now: Moment, mut sensing: Sensing, out: &mut Outbox) {
        if sensing.computing.is_empty() {
            for (key, slots) in std::mem::take(&mut sensing.to_sample).into_iter().filter(|(_, slots)| !slots.is_empty()) {
                self.sample_for(now, &mut sensing, key, slots, out);
            }
        }
        if sensing.open.is_empty() {
            self.finish_sense(sensing, out);
        } else {
            self.questions.insert(sensing.number, Question::Sense(sensing));
        }
    }

    pub(super) fn finish_sense(&mut self, sensing: Sensing, out: &mut Outbox) {
        self.timers.cancel(super::Timer::Question(sensing.number));
        self.end_request(sensing.conn);
        let not_in_time = format!("it was not computed within {:?}", sensing.patience);
        let live = sensing.instruments.iter().filter_map(|id| self.table.find(*id)).map(|i| {
            let mut report = self.report_of(i);
            if sensing.late.contains(&i.id) {
                report.quality = Quality::Failed { reason: not_in_time.clone() };
            }
            (self.announcement(i), report)
        });
        let mut weight = 0;
        let all = live.chain(sensing.dead);
        let rows: Vec<(Announcement, Report)> = all
            .take_while(|(announcement, report)| {
                weight += weight_of(announcement) + crate::machine::queue::weight_of(report);
                weight <= limits::FRAME_LEN_MAX / 4
            })
            .collect();
        let Sensing { conn, req, mut missing, truncated, late, .. } = sensing;
        let addresses = late.iter().filter_map(|id| self.table.find(*id)).map(super::table::Instrument::address);
        missing.extend(addresses.take(LATE_TOLD_MAX).map(|name| Refusal::TimedOut { name, reason: not_in_time.clone(), request_id: None }));
        let truncated = truncated || weight > limits::FRAME_LEN_MAX / 4;
        self.send(out, conn, ToProcess::Sensed { req, rows, missing, truncated });
    }

    // spec: PSM-2
    pub(super) fn on_processes(&mut self, now: Moment, conn: Conn, req: u64, out: &mut Outbox) {
        let sessions: BTreeMap<Key, &super::session::Session> = self.sessions.values().map(|s| (s.key, s)).collect();
        let rows: Vec<ProcessRow> = self
            .registry
            .shown(PROCESSES_SHOWN_MAX)
            .map(|p| {
                let exporter = self.exporters.get(&p.key);
                let session = sessions.get(&p.key);
                let epoch =
                    exporter.filter(|e| e.grouped).and_then(|e| self.groups.get(&e.service)).map(crate::machine::group::Group::epoch);
                ProcessRow {
                    name: p.name.clone(),
                    cpu: self.cpu.clone(),
                    key: p.key,
                    state: p.state,
                    cause: p.cause.clone(),
                    role: if p.state.is_live() { self.role_shown(p.key) } else { p.former.role },
                    service: exporter.map(|e| e.service.clone()).or_else(|| p.former.service.clone()),
                    epoch: epoch.unwrap_or_default(),
                    number: self.number_of(p.key),
                    weight: exporter.filter(|e| e.grouped).map(|e| e.weight),
                    pid: p.credentials.pid,
                    program: session.map_or_else(|| p.former.program.clone(), |s| s.program.clone()),
                    since_ms: u64::try_from(now.time.since(p.since).as_millis()).unwrap_or(u64::MAX),
                    instruments: exporter.map_or(0, |e| e.declared.len() as u64),
                    subscriptions: session.map_or(0, |s| s.subscriptions.len() as u64),
                    coalesced: session.map_or(0, |s| s.queue.coalesced()),
                }
            })
            .collect();
        self.send(out, conn, ToProcess::Processes { req, rows });
    }

    /// What is known now; what becomes of it will be told.
    // spec: PSM-3
    pub(super) fn on_lookup(&mut self, conn: Conn, req: u64, resource: Resource, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        // Asked again it is the same interest.
        // spec: MON-3, SEC-2
        if !self.interest.is_waiting(&resource, conn) {
            if session.lookups >= limits::LOOKUPS_MAX {
                let max = limits::LOOKUPS_MAX as u64;
                return self.refuse(out, conn, req, Refusal::TooMany { what: "processes asked after by one process".into(), max });
            }
            session.lookups += 1;
            self.interest.declare(&resource, conn);
            if let Resource::Process(name) = &resource {
                self.look_elsewhere(conn, name);
            }
        }
        let notice = match &resource {
            Resource::Process(name) => {
                let here = self.notice_of(name);
                let far = if here.key.is_none() && conn.peer().is_none() { self.far_notice_of(name) } else { None };
                far.unwrap_or(here)
            }
            Resource::Pid(pid) => match self.registry.by_pid(*pid).map(|p| p.name.clone()) {
                Some(name) => self.notice_of(&name),
                None => {
                    let name: Name = format!("pid-{pid}").parse().unwrap_or_else(|_| self.cpu.clone());
                    Notice { name, key: None, event: NoticeEvent::NotAvailable }
                }
            },
            Resource::Instrument(_) | Resource::Pattern(_) => return,
        };
        // In line behind notices that are on their way, so that the newest is the last.
        self.queue(conn, ToProcess::LookedUp { req, notice });
    }
}

/// About how many bytes an announcement takes on the wire.
fn weight_of(announcement: &Announcement) -> usize {
    let d = &announcement.descriptor;
    let texts = |list: &[String]| list.iter().map(|s| s.len() + 2).sum::<usize>();
    let arguments = match &d.kind {
        Kind::TestPoint(TestPointKind::InPath { fields: list } | TestPointKind::Procedure { arguments: list, .. }) => list.as_slice(),
        _ => &[],
    };
    let arguments: usize = arguments.iter().map(|a| 40 + a.name.len() + texts(&a.choices)).sum();
    400 + d.help.len() + texts(&d.choices) + texts(&d.writers) + arguments
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Argument, Descriptor, Dimensions, ValueType, Version};

    // spec: SEC-2
    #[test]
    fn what_a_declaration_weighs_is_about_what_it_takes() {
        let choices: Vec<String> = (0..64).map(|n| format!("{n:0>60}")).collect();
        let argument = Argument { name: "x".repeat(60), value_type: ValueType::Choice, choices, range: None };
        let kind = Kind::TestPoint(TestPointKind::InPath { fields: vec![argument; 16] });
        let announcement = Announcement {
            instrument: InstrumentId(1),
            source: "orders".parse().unwrap(),
            name: "orders.point".parse().unwrap(),
            dims: Dimensions::NONE,
            cpu: "cpu1".parse().unwrap(),
            process: "orders-1".parse().unwrap(),
            descriptor: Descriptor::bare("point".parse().unwrap(), kind, ValueType::U64),
            version: Version(0),
        };
        let mut frame = Vec::new();
        crate::wire::encode(&announcement, &mut frame).unwrap();
        assert!(frame.len() <= weight_of(&announcement), "{} bytes, thought to be {}", frame.len(), weight_of(&announcement));
    }
}
