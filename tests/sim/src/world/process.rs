//! What processes do by themselves: connect, answer, take over, import, die.

use std::time::Duration;

use tif_core::agent::io::Conn;
use tif_core::machine::versions::Offer;
use tif_core::model::{Cause, Key, Refusal, Role, Slot, Value, Weight};
use tif_core::wire::{Hello, Identity, Resume, ToAgent, ToProcess, Welcome};

use super::exporter::Exporter;
use super::faults::Defect;
use super::importer::{Importer, Pending, View};
use super::{By, Event, Link, MS, Process, SECOND, SPEAKS, Trade, VecDeque, Who, World};
use crate::acts::Track;
use crate::check::marks::Marks;
use crate::check::outages::Outages;
use crate::check::versions;
use crate::story;

impl World {
    /// Starts an exporting process.
    pub fn spawn_exporter(&mut self, identity: Identity, service: &str, grouped: bool) -> Who {
        let exporter = Exporter::new(super::name(service), grouped);
        self.spawn(identity, Trade::Exporter(Box::new(exporter)))
    }

    /// Starts a member of a service's group, under a name of this CPU.
    pub fn spawn_member(&mut self, service: &str) -> Who {
        let own = World::name_on(self.node, service);
        self.spawn_exporter(Identity::Pick(super::name(&own)), service, true)
    }

    /// The same for one that weighs so much.
    pub fn spawn_weighing(&mut self, service: &str, weight: Weight) -> Who {
        let own = World::name_on(self.node, service);
        let mut exporter = Exporter::new(super::name(service), true);
        exporter.weight = weight;
        self.spawn(Identity::Pick(super::name(&own)), Trade::Exporter(Box::new(exporter)))
    }

    /// Starts an importing process.
    pub fn spawn_importer(&mut self, identity: Identity) -> Who {
        self.spawn(identity, Trade::Importer(Box::default()))
    }

    /// Whether one that imports is on another kernel, and how often it says then that it lives: what its nonce is drawn from
    /// decides, too.
    fn elsewhere(chance: u64) -> Option<Duration> {
        chance.is_multiple_of(5).then(|| Duration::from_millis(100 * (1 + chance / 5 % 5)))
    }

    fn spawn(&mut self, identity: Identity, trade: Trade) -> Who {
        self.pid_last += 1;
        // Pids come again, as in a small name space.
        let pid = if self.random.percent(10) && !self.processes.is_empty() {
            let dead: Vec<u32> = self.processes.iter().filter(|p| !p.alive).map(|p| p.pid).collect();
            let free = |pid: &u32| !self.processes.iter().any(|p| p.alive && p.pid == *pid);
            let dead: Vec<u32> = dead.into_iter().filter(free).collect();
            self.random.pick(&dead).copied().unwrap_or(self.pid_last)
        } else {
            self.pid_last
        };
        let who = self.processes.len();
        let chance = self.random.any();
        let elsewhere = if matches!(trade, Trade::Importer(_)) { World::elsewhere(chance) } else { None };
        let nonce = self.nonce(chance);
        let process = Process {
            identity,
            pid,
            started: self.now / MS + u64::from(self.pid_last),
            uid: 1000,
            alive: true,
            stopped: false,
            left: false,
            key: None,
            agent: Key::NONE,
            conn: None,
            welcomed: false,
            connecting: false,
            elsewhere,
            trade,
            nonce,
            deferred: VecDeque::new(),
        };
        self.processes.push(process);
        self.note(By::Process(who), |_| format!("starts as pid {pid}"));
        self.reconnect(who);
        let clock = self.random.between(100 * MS, SECOND);
        self.after(clock, Event::OwnClock(who));
        if !self.weather.still && self.processes[who].exporter().is_some() {
            self.after_act(Track::Values(who), MS, Event::Values(who));
        }
        if let Some(period) = elsewhere {
            self.after(period.as_nanos() as u64, Event::Beat(who));
        }
        who
    }

    /// It says that it lives.
    // spec: PSM-6
    pub(super) fn beat(&mut self, who: Who) {
        let process = &self.processes[who];
        let Some(period) = process.elsewhere.filter(|_| !process.left) else { return };
        if let Some(conn) = process.conn {
            self.say(who, conn, ToAgent::Heartbeat);
        }
        self.after(period.as_nanos() as u64, Event::Beat(who));
    }

    /// The agent hears something of it.
    pub(super) fn heard(&mut self, key: Key) {
        let who = self.checks.keys.owner(key);
        if let Some(period) = who.and_then(|who| self.processes[who].elsewhere) {
            self.checks.heartbeats.on_heard(self.now, key, period.as_nanos() as u64);
        }
    }

    /// A number that nobody else has, also where chance is put back to where it was.
    fn nonce(&mut self, chance: u64) -> u128 {
        self.nonces += 1;
        u128::from(self.nonces) << 64 | u128::from(chance)
    }

    /// It tries some time soon.
    pub(super) fn reconnect(&mut self, who: Who) {
        let process = &mut self.processes[who];
        if process.connecting || process.left || !process.alive {
            return;
        }
        process.connecting = true;
        let delay = self.random.between(MS, 300 * MS);
        self.after(delay, Event::Connect(who));
    }

    pub(super) fn connect(&mut self, who: Who) {
        self.processes[who].connecting = false;
        if self.agent.is_none() || self.processes[who].conn.is_some() || self.processes[who].left {
            // It waits for the socket to appear.
            return;
        }
        self.conn_last += 1;
        let conn = Conn(self.conn_last);
        let link = Link { who, agent_end: true, process_end: true, last: [self.now; 2], pulling: false };
        self.links.insert(conn, link);
        let registration = self.registration(who);
        let offer = self.library(who);
        let process = &mut self.processes[who];
        process.conn = Some(conn);
        process.welcomed = false;
        let hello = Hello {
            offer,
            identity: process.identity.clone(),
            nonce: process.nonce,
            registration,
            resume: process.key.map(|key| Resume { key }),
            heartbeat: process.elsewhere,
            program: "sim 1.0".into(),
            outages: process.importer().map(super::importer::Importer::told_outages).unwrap_or_default(),
        };
        let at = self.under_way(conn, 0);
        self.after(at, Event::HelloArrives(conn, Box::new(hello)));
    }

    /// How long the next message of a direction takes, behind those before it.
    fn under_way(&mut self, conn: Conn, direction: usize) -> u64 {
        let delay = self.delay();
        let Some(link) = self.links.get_mut(&conn) else { return delay };
        let at = link.last[direction].max(self.now + delay);
        link.last[direction] = at;
        at - self.now
    }

    /// A process says something on a connection, unless that is gone.
    pub(super) fn say(&mut self, who: Who, conn: Conn, body: ToAgent) {
        let process = &self.processes[who];
        if process.conn != Some(conn) || !process.welcomed {
            return;
        }
        let (from, to) = (process.key.unwrap_or(Key::NONE), process.agent);
        let is_ready = matches!(body, ToAgent::Ready);
        let at = self.under_way(conn, 0);
        self.tell(who, || format!("says: {}", story::said(&body)));
        self.after(at, Event::ToAgent(conn, from, to, Box::new(body)));
        if let Some(exporter) = self.processes[who].exporter_mut().filter(|_| is_ready)
            && let Some(epoch) = exporter.elected_in.take()
            // A term that is over by now, as its board says, is not begun any more.
            && exporter.board.epoch <= epoch
        {
            exporter.primary_in = Some(epoch);
            let service = exporter.service.clone();
            self.takes_office(who, &service, epoch);
        }
    }

    /// The same, now, on its present connection.
    pub fn says(&mut self, who: Who, body: ToAgent) {
        if let Some(conn) = self.processes[who].conn {
            self.say(who, conn, body);
        }
    }

    fn says_later(&mut self, who: Who, conn: Conn, delay: u64, body: ToAgent) {
        self.after(delay, Event::Says(who, conn, Box::new(body)));
    }

    /// The process's end of its connection is gone.
    fn process_lets_go(&mut self, who: Who) {
        let now = self.time();
        let process = &mut self.processes[who];
        let Some(conn) = process.conn.take() else { return };
        process.welcomed = false;
        if let Some(importer) = process.importer_mut() {
            importer.on_link_lost(now);
            self.checks.notices.on_link_lost(who);
            self.checks.handovers.on_link_lost(who);
            self.checks.reports.on_link_lost(who);
        }
        if let Some(link) = self.links.get_mut(&conn) {
            link.process_end = false;
        }
        // Whoever forwards its connection does not always see that it is gone.
        let held_open = |p: &Process| p.elsewhere.is_some() && p.nonce.is_multiple_of(2);
        if held_open(&self.processes[who]) && !self.processes[who].left {
            return;
        }
        let at = self.under_way(conn, 0);
        self.after(at, Event::AgentSeesEnd(conn));
    }

    pub(super) fn process_sees_end(&mut self, conn: Conn) {
        let Some(who) = self.links.get(&conn).map(|l| l.who) else { return };
        if self.processes[who].conn == Some(conn) {
            self.note(By::Process(who), |_| "sees its link end".into());
            self.process_lets_go(who);
            self.reconnect(who);
        }
    }

    /// The connection breaks; what is under way is lost.
    pub fn break_link(&mut self, who: Who) {
        let Some(conn) = self.processes[who].conn else { return };
        self.note(By::Process(who), |_| "has its link broken".into());
        self.events.retain(|_, e| !matches!(e, Event::ToAgent(c, ..) | Event::ToProcess(c, ..) | Event::HelloArrives(c, _) if *c == conn));
        self.process_lets_go(who);
        self.reconnect(who);
    }

    /// A signal stops it for a while.
    pub fn stop(&mut self, who: Who, ms: u64) {
        if self.processes[who].alive && !self.processes[who].stopped {
            self.note(By::Process(who), |_| format!("is stopped for {ms} ms"));
            self.processes[who].stopped = true;
            self.after(ms * MS, Event::Continue(who));
        }
    }

    pub(super) fn continue_process(&mut self, who: Who) {
        self.note(By::Process(who), |_| "goes on".into());
        self.processes[who].stopped = false;
        // Before whatever else is to come, for that is younger: also what should have come while the whole CPU stood still.
        let first = self.events.first_key_value().map_or(self.now, |((at, _), _)| (*at).min(self.now)).saturating_sub(1);
        for event in std::mem::take(&mut self.processes[who].deferred) {
            self.order += 1;
            self.events.insert((first, self.order), event);
        }
    }

    /// It dies.
    pub fn end_process(&mut self, who: Who, cause: Cause) {
        if !self.processes[who].alive {
            return;
        }
        self.note(By::Process(who), |_| format!("dies: {cause}"));
        self.process_lets_go(who);
        let process = &mut self.processes[who];
        process.alive = false;
        process.deferred.clear();
        if let Some(exporter) = process.exporter_mut() {
            exporter.primary_in = None;
        }
        let keys: Vec<Key> = self.watched.iter().filter(|(_, w)| **w == who).map(|(key, _)| *key).collect();
        for key in keys {
            let delay = self.delay();
            self.after(delay, Event::Exit(key, cause.clone()));
        }
    }

    pub(super) fn process_hears(&mut self, conn: Conn, to: Key, message: ToProcess) {
        let Some(who) = self.links.get(&conn).map(|l| l.who) else { return };
        if self.processes[who].conn != Some(conn) {
            return;
        }
        let own = self.processes[who].key;
        let foreign = to != Key::NONE && own.is_some_and(|own| own != to);
        if foreign && !matches!(message, ToProcess::Welcome(_)) {
            return;
        }
        self.note(By::Process(who), |_| format!("hears: {}", story::told(&message)));
        match message {
            ToProcess::Welcome(welcome) => self.welcomed(who, conn, &welcome),
            ToProcess::Refused { req: 0, refusal } => self.turned_away(who, &refusal),
            ToProcess::StaleKey { .. } => {
                // If its own key is not current any more, resuming is refused.
                self.process_lets_go(who);
                self.reconnect(who);
            }
            ToProcess::Ping { nonce } => self.say(who, conn, ToAgent::Pong { nonce }),
            other if self.processes[who].exporter().is_some() => self.exporter_hears(who, conn, other),
            other => self.importer_hears(who, conn, &other),
        }
    }

    /// What the library of a process speaks: it is of any release that its agent can be spoken with.
    fn library(&self, who: Who) -> Offer {
        if SPEAKS.contains(&self.speaks) { SPEAKS[who % SPEAKS.len()] } else { self.speaks }
    }

    fn welcomed(&mut self, who: Who, conn: Conn, welcome: &Welcome) {
        let verdict = versions::on_welcome(&self.speaks, &self.library(who), welcome.protocol);
        self.judge(verdict);
        let process = &mut self.processes[who];
        if process.key.replace(welcome.key) != Some(welcome.key)
            && let Some(exporter) = process.exporter_mut()
        {
            exporter.number = None;
        }
        process.agent = welcome.agent;
        process.welcomed = true;
        process.identity = Identity::Exactly(welcome.name.clone());
        if let Some(exporter) = process.exporter_mut() {
            // Its controls first, then ready.
            // spec: CTL-7
            exporter.apply();
            let let_go = exporter.primary_let_go.take();
            exporter.let_go = false;
            let leads = (exporter.grouped && welcome.role == Role::Primary).then_some(welcome.epoch);
            // Who was the primary goes on; who was not begins when it says that it is ready.
            exporter.elected_in = leads.filter(|_| exporter.primary_in.is_none());
            exporter.primary_in = leads.filter(|_| exporter.primary_in.is_some());
            // So does who has let go in this very term, when nobody was elected: to its next agent it leads.
            if leads.is_some() && leads == let_go {
                (exporter.primary_in, exporter.elected_in) = (leads, None);
                self.checks.handovers.on_office(welcome.key);
            }
            let delay = self.delay();
            self.says_later(who, conn, delay, ToAgent::Ready);
        } else {
            self.ask_again(who, conn);
        }
    }

    fn takes_office(&mut self, who: Who, service: &tif_core::model::Name, epoch: tif_core::model::Epoch) {
        if self.cpus > 1 {
            let controls = |e: &Exporter| {
                let all = e.cells.values().filter(|cell| cell.descriptor.is_control());
                all.map(|cell| (cell.record.clone(), cell.version)).collect()
            };
            let runs = self.processes[who].exporter().map(controls).unwrap_or_default();
            self.offices.push(crate::check::shared::Office { service: service.clone(), epoch, who, runs });
        }
        // Who can see on its board that its term is over is fenced; so is a key of a life that the other CPUs have given up: it is refused wherever it
        // speaks, and whoever has it must register anew.
        let leads = |e: &Exporter| e.service == *service && e.primary_in.is_some_and(|term| e.board.epoch <= term);
        let over = self.over;
        let counts = |p: &Process| p.key.is_none_or(|key| key.inc.epoch() > over);
        let others = self.living(|p| !p.left && counts(p) && p.exporter().is_some_and(leads));
        let others: Vec<Who> = others.into_iter().filter(|w| *w != who).collect();
        if let Some(key) = self.processes[who].key {
            self.checks.handovers.on_office(key);
        }
        let result = self.checks.primaries.on_office(service, epoch, who, &others);
        self.judge(result);
    }

    fn turned_away(&mut self, who: Who, refusal: &Refusal) {
        if matches!(refusal, Refusal::StaleKey { .. } | Refusal::NameTaken { .. }) {
            self.register_anew(who);
        }
    }

    /// Its old life is over, or never was, or it has executed itself anew: it begins a new one.
    // spec: PSM-7
    pub fn register_anew(&mut self, who: Who) {
        self.process_lets_go(who);
        let chance = self.random.any();
        let nonce = self.nonce(chance);
        let process = &mut self.processes[who];
        process.key = None;
        process.nonce = nonce;
        if let Some(exporter) = process.exporter_mut() {
            exporter.primary_in = None;
            exporter.cells.values_mut().for_each(|cell| cell.version = tif_core::model::Version(0));
        }
        self.reconnect(who);
    }

    fn exporter_hears(&mut self, who: Who, conn: Conn, message: ToProcess) {
        let delay = self.delay();
        let silent = !self.calm && self.random.percent(4);
        let fails = !self.calm && self.random.percent(15);
        // Who has taken its leave does not listen any more.
        if self.processes[who].left {
            return;
        }
        let Trade::Exporter(exporter) = &mut self.processes[who].trade else { return };
        match message {
            ToProcess::Apply => {
                for (slot, version) in exporter.apply() {
                    self.says_later(who, conn, delay, ToAgent::Applied { slot, version });
                }
                self.ring(who);
            }
            ToProcess::Validate { req, value, .. } if !silent => {
                let result = if refuses(&value) { Err("sevens are not liked here".to_owned()) } else { Ok(()) };
                self.says_later(who, conn, delay, ToAgent::Validated { req, result });
            }
            ToProcess::Compute { req, slots } if !silent => self.after(delay, Event::Computes(who, conn, Some(req), slots)),
            ToProcess::Call { req, arguments, .. } => {
                let Some(Value::U64(number)) = arguments.first().cloned() else { return };
                self.effects += 1;
                let effect = format!("{} of cpu{}", self.effects, self.node);
                let result = if fails { Err(effect) } else { Ok(effect) };
                self.on_call(crate::check::calls::Event::Made(self.node, number, result.clone()));
                // Slow ones overrun their time; of some the answer is never given.
                let delay = if self.random.percent(5) { delay + 6 * SECOND } else { delay };
                if !silent {
                    self.says_later(who, conn, delay, ToAgent::Returned { req, result });
                }
            }
            ToProcess::Arm { req, slot, arming } if !silent => {
                self.says_later(who, conn, delay, ToAgent::ArmedAs { req, result: Ok(()) });
                if arming.is_some() {
                    self.says_later(who, conn, delay + 2 * SECOND, ToAgent::Disarmed { slot });
                }
            }
            // A term that is over by now, as its board says, is not begun any more.
            ToProcess::Promote { epoch } if exporter.board.epoch > epoch => {}
            ToProcess::Promote { epoch } => {
                exporter.apply();
                exporter.primary_in = Some(epoch);
                exporter.let_go = false;
                let service = exporter.service.clone();
                self.takes_office(who, &service, epoch);
                self.says_later(who, conn, delay, ToAgent::Promoted { epoch });
            }
            ToProcess::Demote { .. } => exporter.primary_in = None,
            ToProcess::Numbered { number } => exporter.number = number,
            // Some services never get to it.
            ToProcess::LetGo { epoch } if exporter.board.epoch <= epoch && !silent => {
                exporter.primary_let_go = exporter.primary_in.take();
                exporter.let_go = true;
                self.says_later(who, conn, delay, ToAgent::LetGo { epoch });
            }
            _ => {}
        }
    }

    pub(super) fn compute(&mut self, who: Who, conn: Conn, req: Option<u64>, slots: &[Slot]) {
        let mut failed = Vec::new();
        for slot in slots {
            if !self.calm && self.random.percent(10) {
                failed.push((*slot, "not now".to_owned()));
                continue;
            }
            self.count += 1;
            let value = Value::U64(self.count);
            let now = self.now;
            if self.processes[who].exporter_mut().is_some_and(|e| e.store(*slot, value, now)) {
                self.ring(who);
            }
        }
        match req {
            Some(req) => self.say(who, conn, ToAgent::Computed { req, failed }),
            None if !failed.is_empty() => self.say(who, conn, ToAgent::Computed { req: 0, failed }),
            None => {}
        }
    }

    /// What it does every so often.
    pub(super) fn own_clock(&mut self, who: Who) {
        let now = self.time();
        let ages = self.has(Defect::RestartStaleClock);
        match &mut self.processes[who].trade {
            Trade::Exporter(exporter) => {
                let slots = exporter.dynamic_watched();
                if let Some(conn) = self.processes[who].conn.filter(|_| !slots.is_empty()) {
                    self.compute(who, conn, None, &slots);
                }
                self.after(self.pace().clock(), Event::OwnClock(who));
            }
            Trade::Importer(importer) => {
                importer.on_tick(now);
                if ages {
                    rejuvenate(importer, now);
                }
                let result = self.checks.staleness.look(who, importer, self.now);
                self.judge(result);
                self.after(SECOND, Event::OwnClock(who));
            }
        }
    }

    fn importer_hears(&mut self, who: Who, conn: Conn, message: &ToProcess) {
        let now = self.time();
        let lost = matches!(message, ToProcess::Outage(o) if o.end.is_none());
        if self.has(Defect::ShowDeadAsFresh) && lost {
            return;
        }
        self.look_at_order(who, message);
        let Some(importer) = self.processes[who].importer_mut() else { return };
        let asked = message.answers().and_then(|req| importer.pending.remove(&req)).and_then(|pending| pending.again);
        let fresh = match message {
            ToProcess::ReportsBegin { source, .. } => importer.fresh_of(source),
            _ => Vec::new(),
        };
        let mark = match message {
            ToProcess::ReportsEnd(end) => importer.views.get(&end.source).map_or(Ok(()), |view| Marks::on_mark(who, &view.machine, end)),
            _ => Ok(()),
        };
        let again = importer.on_message(now, message);
        if let ToProcess::ReportsBegin { source, key, .. } = message
            && let Some(view) = importer.views.get(source)
            && let Some(record) = fresh.iter().find(|record| !view.machine.is_fresh(record))
        {
            self.checks.handovers.on_marked(who, *key, source, record);
        }
        self.judge(mark);
        if let (Some(asked), ToProcess::SetDone { result, .. }) = (&asked, message) {
            let verdict = self.checks.admissions.on_answer(asked, result, refuses);
            self.judge(verdict);
        }
        match message {
            ToProcess::Notice(notice) | ToProcess::LookedUp { notice, .. } => {
                let asked = matches!(message, ToProcess::LookedUp { .. });
                let result = self.checks.notices.on_notice(who, notice, asked, notice.key.is_some_and(|key| key.node.0 != self.node));
                self.judge(result);
                let lives = notice.key.and_then(|key| self.checks.keys.owner(key)).is_some_and(|who| self.processes[who].alive);
                let result = self.checks.deaths.on_notice(notice, lives);
                self.judge(result);
            }
            ToProcess::Announced(announced) => {
                let result = self.checks.ids.on_announced(self.processes[who].agent, announced);
                self.judge(result);
            }
            ToProcess::ReportsEnd(end) => {
                if let Trade::Importer(importer) = &self.processes[who].trade {
                    self.checks.staleness.on_end_mark(who, importer, &end.source, self.now);
                }
            }
            ToProcess::Outage(outage) => {
                let result = self.checks.outages.on_outage(who, outage);
                self.judge(result);
                let result = self.checks.handovers.on_outage(who, outage);
                self.judge(result);
            }
            _ => {}
        }
        if again {
            let result = self.checks.marks.on_mismatch(who, message);
            self.judge(result);
            self.ask_for_everything(who, conn);
        }
    }

    /// What it hears comes in order.
    fn look_at_order(&mut self, who: Who, message: &ToProcess) {
        let Some(importer) = self.processes[who].importer() else { return };
        let reports = &mut self.checks.reports;
        let verdict = match message {
            ToProcess::ReportsBegin { source, key, relieves, .. } => {
                reports.on_begin(who);
                let is_fresh = |view: &&View| !view.last && view.rows.keys().any(|record| view.shows_fresh(record));
                let replaced = importer
                    .views
                    .get(source)
                    .filter(is_fresh)
                    .and_then(|view| view.wire)
                    .filter(|before| before != key && Some(*before) != *relieves);
                Outages::on_replaced(who, replaced, *key)
            }
            ToProcess::Reports { reports: said, .. } => said.iter().try_for_each(|report| {
                let Some(source) = importer.instruments.get(&report.instrument).map(|a| &a.source) else { return Ok(()) };
                reports.on_report(who, report, importer.views.get(source).and_then(|view| view.wire), report.key.node.0 == self.node)
            }),
            _ => Ok(()),
        };
        self.judge(verdict);
    }

    fn ask_for_everything(&mut self, who: Who, conn: Conn) {
        let Some(importer) = self.processes[who].importer() else { return };
        for (subscription, wish) in importer.wishes.clone() {
            self.say(who, conn, ToAgent::Unsubscribe { subscription });
            self.say(who, conn, ToAgent::Subscribe { subscription, pattern: wish.pattern, coarsen: wish.coarsen });
        }
    }

    /// After a new connection everything is asked for again.
    fn ask_again(&mut self, who: Who, conn: Conn) {
        let Some(importer) = self.processes[who].importer_mut() else { return };
        let retries = std::mem::take(&mut importer.retries);
        let (wishes, lookups) = (importer.wishes.clone(), importer.lookups.clone());
        for (subscription, wish) in wishes {
            self.say(who, conn, ToAgent::Subscribe { subscription, pattern: wish.pattern, coarsen: wish.coarsen });
        }
        for name in lookups {
            self.request(who, |req| ToAgent::Lookup { req, name });
        }
        for set in retries {
            self.ask_retry(who, set);
        }
    }

    fn ask_retry(&mut self, who: Who, set: ToAgent) {
        if let ToAgent::Fire { request_id, name, arguments, .. } = set {
            self.request(who, |req| ToAgent::Fire { req, request_id, name, arguments });
        } else if let ToAgent::Set { request_id, settings, admission, reason, keep, .. } = set {
            self.request(who, |req| ToAgent::Set { req, request_id, settings, admission, reason, keep });
        }
    }

    /// An importer asks something and waits for the answer.
    pub fn request(&mut self, who: Who, make: impl FnOnce(u64) -> ToAgent) -> Option<u64> {
        let since = self.time();
        let process = &mut self.processes[who];
        if !process.welcomed {
            return None;
        }
        let importer = process.importer_mut()?;
        importer.last_req += 1;
        let req = importer.last_req;
        let body = make(req);
        let again = matches!(body, ToAgent::Set { .. } | ToAgent::Fire { .. }).then(|| body.clone());
        importer.pending.insert(req, Pending { since, again });
        self.says(who, body);
        Some(req)
    }

    pub(super) fn process_drained(&mut self, conn: Conn, at: u64) {
        let Some(who) = self.links.get(&conn).map(|l| l.who).filter(|who| self.processes[*who].conn == Some(conn)) else { return };
        if let Some(importer) = self.processes[who].importer() {
            let result = self.checks.freshness.look(who, importer, at, &self.checks.deaths);
            self.judge(result);
        }
    }
}

/// What every validator here does not let through.
fn refuses(value: &Value) -> bool {
    matches!(value, Value::U64(v) if v % 7 == 0)
}

/// A defect: what is stale is dated anew.
fn rejuvenate(importer: &mut Importer, now: tif_core::model::Time) {
    for view in importer.views.values_mut() {
        if let Some(key) = view.wire.filter(|_| view.machine.state() == tif_core::machine::sync::State::Stale) {
            view.machine.on_begin(now, key);
            for record in view.rows.keys() {
                view.machine.on_record(key, record);
            }
            view.machine.on_lost(now);
        }
    }
}
