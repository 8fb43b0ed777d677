//! The agent's shell, modelled: what it feeds the agent with, and what it does for it.

use tif_core::agent::Agent;
use tif_core::agent::io::{ChangeRecord, Conn, Input, Output, ProcessRecord, Record};
use tif_core::limits;
use tif_core::machine::confirm::{End, Keep};
use tif_core::machine::link::{Body, Frame};
use tif_core::model::notice::NoticeEvent;
use tif_core::model::{Cause, Epoch, Incarnation, Key, Name, NodeId, Refusal, Role, SetResult, Version};
use tif_core::wire::{Credentials, Hello, PeerBody, PeerFrame, Registration, SegmentFacts, ToAgent, ToPeer, ToProcess};

use super::faults::Defect;
use super::{By, Event, MS, SECOND, Trade, Who, World};
use crate::check::outdated;
use crate::check::revivals::Revival;
use crate::check::succession;
use crate::story;

impl World {
    /// So busy is this CPU, in percent.
    pub fn busy(&mut self, percent: u8) {
        self.feed(Input::Workload { percent });
    }

    /// Hands the agent something, and does what it wants.
    pub(crate) fn feed(&mut self, input: Input) {
        let Some(mut agent) = self.agent.take() else { return };
        let mut out = Vec::new();
        let dead = self.checks.deaths.known().last().copied();
        let outdated =
            self.step.is_multiple_of(outdated::ONE_IN).then(|| outdated::of(&input, agent.key(), dead, self.step / outdated::ONE_IN));
        agent.handle(self.moment(), input, &mut out);
        // Who is asked what it speaks is not known yet to have followed anybody.
        let is_stranger = |output: &Output| matches!(output, Output::ToPeer { frame, .. } if matches!(frame.body, PeerBody::Hello { .. }));
        if let Some(outdated) = outdated.flatten().filter(|_| !out.iter().any(is_stranger)) {
            // What is still to be done after the last input is done with whatever comes next.
            agent.handle(self.moment(), Input::Launched { service: super::name("orders"), pid: 0 }, &mut out);
            let verdict = outdated::look(&mut agent, self.moment(), outdated);
            self.judge(verdict);
        }
        self.due = agent.deadline().map(|t| t.0);
        self.agent = Some(agent);
        for output in out {
            self.perform(output);
        }
        self.look_at_bounds();
    }

    fn look_at_bounds(&mut self) {
        if self.step.is_multiple_of(64)
            && let Some(agent) = &self.agent
        {
            let result = self.checks.bounds.look(&agent.stats());
            self.judge(result);
        }
    }

    /// An agent starts with what the store remembers.
    pub fn start_agent(&mut self) {
        if self.agent.is_some() {
            return;
        }
        let processes = &self.processes;
        let runs = |pid: u32, started: u64| processes.iter().any(|p| p.alive && p.pid == pid && p.started == started);
        let grows = self.weather.defect != Some(Defect::ReuseIncarnation);
        let mut start = self.store.start(self.node, self.policies(), grows, |r| runs(r.credentials.pid, r.credentials.started));
        self.checks.heartbeats.on_start();
        for record in start.processes.iter().filter(|p| !p.ended && !p.credentials.is_here()) {
            self.checks.heartbeats.on_heard(self.now, record.key, limits::HEARTBEAT_PERIOD_MAX.as_nanos() as u64);
        }
        start.voters = self.voters();
        start.offer = self.speaks;
        self.incompatible.clear();
        if self.has(Defect::ForgetChanges) {
            start.changes.clear();
        }
        if self.has(Defect::ForgetTerms) {
            start.terms.clear();
        }
        for record in start.processes.iter().filter(|p| start.alive.contains(&p.key)) {
            let who = self.processes.iter().position(|p| p.pid == record.credentials.pid && p.started == record.credentials.started);
            self.watched.extend(who.map(|who| (record.key, who)));
        }
        for record in start.processes.iter().filter(|p| !p.ended && p.credentials.is_here() && !start.alive.contains(&p.key)) {
            self.checks.deaths.on_exit(record.key, self.now);
        }
        self.checks.on_agent_start(self.moment().stamp);
        let mut out = Vec::new();
        let moment = self.moment();
        let agent = Agent::new(moment, start, &mut out);
        self.due = agent.deadline().map(|t| t.0);
        self.agent = Some(agent);
        self.agent_is_new = true;
        self.note(By::Agent, |_| "starts".into());
        for output in out {
            self.perform(output);
        }
        for who in self.living(|p| p.conn.is_none() && !p.left) {
            self.reconnect(who);
        }
    }

    /// A datagram from another CPU.
    pub fn receive(&mut self, from: NodeId, frame: Box<PeerFrame>) {
        if self.weather.trace
            && let Some(words) = story::between(&frame.body)
        {
            self.note(By::Agent, |_| format!("hears cpu{from}: {words}"));
        }
        self.heed_given_up(&frame);
        self.feed(Input::Peer { from, frame });
    }

    /// Another agent says up to which life it has given this CPU's agent up.
    fn heed_given_up(&mut self, frame: &PeerFrame) {
        if let PeerBody::Link(Frame { body: Body::Message(_, ToPeer::Greeting(greeting)), .. }) = &frame.body
            && self.agent.as_ref().is_some_and(|agent| agent.key() == frame.to)
        {
            self.over = self.over.max(greeting.over);
        }
    }

    /// Nothing on this CPU runs for a while: it is starved, or suspended.
    pub fn freeze(&mut self, ms: u64) {
        self.note(By::Cpu, |_| format!("everything stands still for {ms} ms"));
        self.checks.heartbeats.on_pause(ms * MS);
        self.now += ms * MS;
    }

    /// It is this late now, whatever was due here before.
    pub(crate) fn skip_to(&mut self, now: u64) {
        if let Some(due) = self.next().filter(|due| *due < now) {
            self.checks.heartbeats.on_pause(now - due);
        }
        self.now = self.now.max(now);
    }

    /// Everything on this CPU is gone at once, but what is durable.
    pub fn lose_power(&mut self) {
        self.note(By::Cpu, |_| "power is lost".into());
        self.kill_agent();
        for who in self.living(|_| true) {
            self.end_process(who, Cause::Unknown);
        }
    }

    /// The other agents have given this one's life up: it ends, and the next one knows of nobody who lives.
    // spec: PSM-10
    fn begin_anew(&mut self, above: Incarnation) {
        self.kill_agent();
        self.over = self.over.max(above.epoch());
        self.store.begin_anew(above.epoch());
        let delay = self.delay();
        self.after(delay, Event::AgentStarts);
    }

    /// The agent is killed. Of what it wrote some may have been committed without its knowing.
    pub fn kill_agent(&mut self) {
        if self.agent.take().is_none() {
            return;
        }
        self.due = None;
        self.store.last_seen = Some(self.moment());
        self.note(By::Agent, |_| "is killed".into());
        while self.random.percent(30) && self.store.is_waiting() {
            self.commit_one();
        }
        self.store.lose_waiting();
        self.watched.clear();
        self.mapped.clear();
        let mine = |e: &Event| {
            matches!(
                e,
                Event::HelloArrives(..)
                    | Event::ToAgent(..)
                    | Event::AgentSeesEnd(_)
                    | Event::Pull(_)
                    | Event::Commit
                    | Event::Committed(..)
                    | Event::Exit(..)
                    | Event::Sweep(_)
                    | Event::Sampled(..)
                    | Event::Launch(_)
            )
        };
        // Children that were started come all the same.
        let children: Vec<Name> =
            self.events.values().filter_map(|e| if let Event::Launch(s) = e { Some(s.clone()) } else { None }).collect();
        self.events.retain(|_, event| !mine(event));
        for service in children {
            self.child(&service);
        }
        for process in &mut self.processes {
            if let Some(exporter) = process.exporter_mut() {
                exporter.sweep_due = false;
            }
        }
        let open: Vec<Conn> = self.links.iter().filter(|(_, l)| l.agent_end).map(|(conn, _)| *conn).collect();
        for conn in open {
            self.agent_end_closes(conn);
        }
    }

    /// The agent's end closes: what it sent before still arrives.
    fn agent_end_closes(&mut self, conn: Conn) {
        let delay = self.delay();
        let Some(link) = self.links.get_mut(&conn) else { return };
        link.agent_end = false;
        if link.process_end {
            let at = link.last[1].max(self.now + delay);
            link.last[1] = at;
            self.after(at - self.now, Event::ProcessSeesEnd(conn));
        }
    }

    pub(super) fn hello_arrives(&mut self, conn: Conn, hello: Box<Hello>) {
        let Some(who) = self.links.get(&conn).filter(|l| l.agent_end).map(|l| l.who) else { return };
        let process = &mut self.processes[who];
        let credentials = Credentials { pid: process.pid, uid: process.uid, gid: 1000, started: process.started };
        let (segment, declared) = match process.exporter_mut() {
            Some(exporter) => {
                // The whole table is read now.
                exporter.table.clear();
                (Some(SegmentFacts { slots_max: 1024 }), exporter.declared())
            }
            None => (None, Vec::new()),
        };
        self.note(By::Agent, |w| format!("hears {}: {}", w.caller(conn), story::said(&ToAgent::Hello((*hello).clone()))));
        self.feed(Input::Hello { conn, credentials, hello, segment, declared });
    }

    fn perform(&mut self, output: Output) {
        if self.weather.trace
            && let Some(words) = story::wanted(&output)
        {
            self.note(By::Agent, |_| words);
        }
        match output {
            Output::Admit { conn, key, elsewhere, epoch, controls, welcome } => {
                let Some(who) = self.links.get(&conn).map(|l| l.who) else { return };
                let process = &self.processes[who];
                let ToProcess::Welcome(welcomed) = &*welcome else { return };
                let result = self.checks.keys.on_admit(key, who, &welcomed.name);
                let durable = self.store.processes.get(&welcomed.name).is_some_and(|r| r.key == key);
                let alive = process.alive;
                let excused = process.importer().is_some() && self.store.failed.contains(&key);
                self.judge(result);
                let result = self.checks.keys.on_durable(key, durable, excused);
                self.judge(result);
                if elsewhere {
                    self.heard(key);
                } else {
                    self.watched.insert(key, who);
                }
                if !alive && !elsewhere {
                    let delay = self.delay();
                    self.note(By::Process(who), |_| "is dead already".into());
                    self.after(delay, Event::Exit(key, Cause::Unknown));
                }
                if let Trade::Exporter(exporter) = &mut self.processes[who].trade {
                    exporter.new_board(epoch, controls);
                    self.mapped.insert(key, who);
                }
                self.deliver(conn, key, *welcome);
                if self.processes[who].exporter().is_some_and(|e| !e.table.is_empty()) {
                    self.ring(who);
                }
            }
            Output::Send { conn, to, message } => {
                self.look_at_answer(conn, &message);
                if let ToProcess::Promote { epoch } = *message {
                    self.look_at_succession(to, epoch);
                }
                self.deliver(conn, to, *message);
            }
            Output::HasReports { conn } => self.pull_later(conn),
            Output::Close { conn } => {
                if self.links.get(&conn).is_some_and(|l| l.agent_end) {
                    self.agent_end_closes(conn);
                    // The shell says so, as of any other end.
                    let delay = self.random.below(MS);
                    if let Some(link) = self.links.get_mut(&conn) {
                        link.agent_end = true;
                    }
                    self.after(delay, Event::AgentSeesEnd(conn));
                }
            }
            Output::Watch { key, slot, on } => {
                if on && self.spoils(Defect::ForgetWatch, 5) {
                    return;
                }
                let Some(who) = self.mapped.get(&key).copied() else { return };
                let Some(exporter) = self.processes[who].exporter_mut() else { return };
                if on {
                    exporter.board.watched.insert(slot);
                    exporter.changed.insert(slot);
                    let delay = MS + self.delay();
                    self.ring_after(who, delay);
                } else {
                    exporter.let_go = false;
                    exporter.board.watched.remove(&slot);
                    exporter.board.sent.remove(&slot);
                    exporter.changed.remove(&slot);
                }
            }
            Output::Sent { key, slot } => {
                let Some(who) = self.mapped.get(&key).copied() else { return };
                let Some(exporter) = self.processes[who].exporter_mut() else { return };
                let Some(sampled) = exporter.board.sampled.get(&slot).cloned() else { return };
                let differs = exporter.cells.get(&slot).is_some_and(|cell| cell.value != sampled);
                exporter.board.sent.insert(slot, sampled);
                if differs && exporter.board.watched.contains(&slot) {
                    exporter.changed.insert(slot);
                    self.ring(who);
                }
            }
            Output::Sample { key, slots, token } => {
                let delay = self.random.below(MS);
                self.after(delay, Event::Sampled(key, slots, token));
            }
            Output::Control { key, control } => {
                let exporter = self.mapped.get(&key).copied().and_then(|who| self.processes[who].exporter_mut());
                if let Some(exporter) = exporter {
                    exporter.board.controls.insert(control.slot, (control.version, control.value));
                }
            }
            Output::Epoch { key, epoch } => {
                let exporter = self.mapped.get(&key).copied().and_then(|who| self.processes[who].exporter_mut());
                if let Some(exporter) = exporter {
                    exporter.board.epoch = epoch;
                }
            }
            Output::Release { key } => {
                self.mapped.remove(&key);
                let is_durable = self.store.has_ended(key);
                let result = self.checks.heartbeats.on_released(key, is_durable);
                self.judge(result);
            }
            Output::Kill { key } => {
                if let Some(who) = self.watched.get(&key).copied() {
                    self.end_process(who, Cause::Signal { signal: 9, core: false });
                }
            }
            Output::Launch { service } => {
                let result = self.checks.launches.on_launch(&service, self.now);
                self.judge(result);
                let delay = self.random.between(MS, 100 * MS);
                self.after(delay, Event::Launch(service));
            }
            Output::ToPeer { to, frame } => self.outgoing.push((to, frame)),
            Output::Incompatible { node, why } => {
                self.incompatible.insert(node, why.to_string());
            }
            // The agent's life is over for the others, and with it every process of it: both begin anew.
            // spec: PSM-10
            Output::BeginAnew { above } => self.begin_anew(above),
            Output::Store { ticket, record } => {
                if let Record::Process(process) = &*record
                    && process.ended
                {
                    let presumed = process.cause == Some(Cause::Silent);
                    let result = self.checks.heartbeats.on_ended(self.now, process.key, presumed);
                    self.judge(result);
                }
                if let Record::Term { service, .. } = &*record {
                    self.look_at_last_values(service);
                }
                if let Record::Outage { outage, .. } = &*record
                    && outage.end.as_ref().is_some_and(|end| end.key == outage.key)
                {
                    self.returns.insert((outage.key, outage.id));
                }
                // Now, and not when it is written once more because it could not be before.
                if let Record::Outage { outage, .. } = &*record
                    && let Some(end) = outage.end.as_ref().filter(|end| outage.cause == Cause::Handover && end.at == self.moment().stamp)
                {
                    self.look_at_carried(&outage.source, end.key);
                }
                if self.store.push(ticket, *record) {
                    let delay = self.delay();
                    self.after(delay, Event::Commit);
                }
            }
        }
    }

    /// Somebody is told to lead.
    // spec: GRP-8
    fn look_at_succession(&mut self, key: Key, epoch: Epoch) {
        let exporter = self.mapped.get(&key).and_then(|who| self.processes[*who].exporter());
        let Some(service) = exporter.map(|e| e.service.clone()) else { return };
        let leads = |r: &&ProcessRecord| {
            !r.ended && r.grouped && r.service.as_ref() == Some(&service) && matches!(r.role, Role::Primary | Role::ToBePrimary)
        };
        let dead = |r: &&ProcessRecord| r.credentials.is_here() && !self.watched.contains_key(&r.key);
        let dead: Vec<Key> = self.store.processes.values().filter(leads).filter(dead).map(|r| r.key).collect();
        let result = succession::on_promote(&service, key, epoch, &dead);
        self.judge(result);
    }

    /// The next term is being written down: what its primary had is read by now, if it has let go.
    // spec: OUT-5
    fn look_at_last_values(&mut self, service: &Name) {
        let now = self.moment().stamp;
        for (key, who) in &self.mapped {
            if let Some(exporter) = self.processes[*who].exporter().filter(|e| e.grouped && e.service == *service) {
                // Where others are asked first, what it was watched for may have ended meanwhile, and it is free to change that.
                let unread = exporter.unread().filter(|_| self.cpus == 1);
                self.checks.handovers.on_term(now, *key, unread);
            }
        }
    }

    /// A handover is over: on the board of who leads now is all that was accepted.
    // spec: OUT-4, OUT-5, CTL-7
    fn look_at_carried(&mut self, service: &Name, key: Key) {
        // Where several CPUs elect, a deposed primary ends an outage of the same cause, and runs with what was accepted as soon as that is known.
        if self.cpus > 1 {
            return;
        }
        // Of what it has declared since it was last looked at the agent does not know.
        let exporter = self.mapped.get(&key).and_then(|who| self.processes[*who].exporter()).filter(|e| e.table.is_empty());
        let Some(exporter) = exporter else { return };
        let mut carried = Vec::new();
        for (slot, cell) in exporter.cells.iter().filter(|(_, cell)| cell.descriptor.is_control()) {
            let record = cell.record.clone();
            let accepted = self.store.control(service, &record).map(|control| control.version).unwrap_or_default();
            carried.push((record, accepted, exporter.board.controls.get(slot).map(|(version, _)| *version).unwrap_or_default()));
        }
        let result = self.checks.handovers.on_carried(service, key, &carried);
        self.judge(result);
    }

    /// An accepted change must be durable at the moment when that is said.
    fn look_at_answer(&mut self, conn: Conn, message: &ToProcess) {
        if let ToProcess::Refused { req, refusal: Refusal::Indeterminate { .. } } = message {
            let importer = self.links.get(&conn).and_then(|link| self.processes[link.who].importer());
            let request = importer.and_then(|importer| importer.pending.get(req)).and_then(|pending| pending.again.as_ref());
            match crate::check::calls::look_at_unknown(request, |id| self.store.call(id).filter(|_| self.cpus == 1)) {
                Ok(id) => id.into_iter().for_each(|id| self.on_call(crate::check::calls::Event::Unknown(id))),
                Err(violation) => self.judge(Err(violation)),
            }
        }
        if let ToProcess::Fired { request_id, result, .. } = message {
            self.on_call(crate::check::calls::Event::Told(request_id.clone(), result.clone()));
            // With several CPUs it may be in the log that these keep, and it is told all the same where that cannot be written.
            if self.cpus == 1 {
                let result = crate::check::calls::look_at_answer(request_id, self.store.knows_outcome(request_id));
                self.judge(result);
            }
        }
        if let ToProcess::Confirmed { request_id, .. } = message
            && self.cpus == 1
        {
            let is_it = |c: &ChangeRecord| matches!(&c.keep, Keep::Settles(id, End::Confirmed) if id == request_id);
            let result = self.checks.keeps.on_told(request_id, self.store.changes.iter().any(is_it));
            self.judge(result);
        }
        if let ToProcess::SetDone { result, .. } = message {
            let durable = self.store.durable_of(result);
            if self.cpus > 1 {
                // Perhaps another CPU has answered, and others must have it, too.
                return self.answered_abroad.push(result.clone());
            }
            let outcome = self.checks.controls.on_answer(result, durable.map(|(_, versions)| versions));
            self.judge(outcome);
        }
    }

    /// A call is made, or its result told: of whatever CPU, if there are several.
    pub(super) fn on_call(&mut self, event: crate::check::calls::Event) {
        if self.cpus > 1 {
            return self.calls.push(event);
        }
        let outcome = self.checks.calls.on_event(&event, |id| self.store.call(id).is_some());
        self.judge(outcome);
    }

    /// What was answered for another CPU.
    pub fn judge_answer(&mut self, result: &SetResult, durable: Option<Vec<Version>>) {
        let outcome = self.checks.controls.on_answer(result, durable);
        self.judge(outcome);
    }

    pub(super) fn commit(&mut self) {
        if let Some((ticket, failed)) = self.commit_one() {
            let delay = self.random.below(MS);
            // Answers come in order.
            self.after(delay.min(MS / 10), Event::Committed(ticket, failed));
        }
        if self.store.is_waiting() {
            let delay = self.delay().max(MS / 5);
            self.after(delay, Event::Commit);
        }
    }

    fn commit_one(&mut self) -> Option<(tif_core::agent::io::Ticket, Option<String>)> {
        let refused = self.store_full || self.store_refuses.is_some_and(|refuses| self.store.next().is_some_and(refuses));
        let fails = refused || (self.store_fails && self.random.percent(70));
        let (ticket, record) = self.store.commit(fails)?;
        if let Some(record) = &record {
            if let Record::Process(process) = record {
                self.checks.keys.on_commit(process.key);
            }
            let result = self.checks.controls.on_commit(record);
            self.judge(result);
            if let Record::Change(entry) = record {
                let result = self.checks.keeps.on_entry(entry);
                self.judge(result);
            }
        }
        let hides = self.has(Defect::AcknowledgeFailedWrites);
        Some((ticket, (record.is_none() && !hides).then(|| "no space left on device".to_owned())))
    }

    /// Sends from the agent to a process.
    fn deliver(&mut self, conn: Conn, to: Key, message: ToProcess) {
        let delay = self.delay();
        let Some(link) = self.links.get_mut(&conn).filter(|l| l.agent_end && l.process_end) else { return };
        let at = link.last[1].max(self.now + delay);
        link.last[1] = at;
        self.note(By::Agent, |w| format!("tells {}: {}", w.caller(conn), story::told(&message)));
        if let ToProcess::Outage(outage) = &message {
            self.revived.extend(Revival::of(self.wall_ahead, self.node, outage));
        }
        if matches!(message, ToProcess::Withdrawn { .. }) && self.spoils(Defect::DropWithdrawn, 3) {
            return;
        }
        if matches!(&message, ToProcess::Outage(o) if o.end.is_none()) && self.spoils(Defect::DropOutage, 2) {
            return;
        }
        if matches!(&message, ToProcess::Notice(n) if !matches!(n.event, NoticeEvent::Role { .. })) && self.spoils(Defect::RepeatNotice, 5)
        {
            self.after(at - self.now, Event::ToProcess(conn, to, Box::new(message.clone())));
        }
        if let ToProcess::Reports { reports, .. } = &message
            && self.has(Defect::ReplayOldKey)
        {
            let old = self.checks.deaths.known().first().copied();
            let replayed = reports.iter().map(|r| tif_core::model::Report { key: old.unwrap_or(r.key), ..r.clone() }).collect();
            let again = ToProcess::Reports { reports: replayed, coalesced: 0 };
            self.after(at - self.now, Event::ToProcess(conn, to, Box::new(message)));
            return self.after(at - self.now, Event::ToProcess(conn, to, Box::new(again)));
        }
        self.after(at - self.now, Event::ToProcess(conn, to, Box::new(message)));
    }

    /// A slow reader's socket has room only now and then.
    fn pull_later(&mut self, conn: Conn) {
        let slow = self
            .links
            .get(&conn)
            .is_some_and(|l| self.processes[l.who].stopped || self.processes[l.who].importer().is_some_and(|i| i.slow));
        let delay = if slow && !self.calm { self.random.between(50 * MS, 3 * SECOND) } else { self.random.below(MS) };
        if let Some(link) = self.links.get_mut(&conn).filter(|l| !l.pulling) {
            link.pulling = true;
            self.after(delay, Event::Pull(conn));
        }
    }

    pub(super) fn pull(&mut self, conn: Conn) {
        if let Some(link) = self.links.get_mut(&conn) {
            link.pulling = false;
        }
        let mut seen = self.checks.bounds.drain();
        while let Some((to, message)) = self.agent.as_mut().and_then(|a| a.pull(conn)) {
            let result = seen.on_pulled(&message);
            self.judge(result);
            self.deliver(conn, to, message);
        }
        if let Some(link) = self.links.get(&conn).filter(|l| l.process_end) {
            let at = link.last[1].max(self.now);
            self.after(at - self.now, Event::Drained(conn, self.now));
        }
    }

    /// The doorbell.
    pub(super) fn ring(&mut self, who: Who) {
        let delay = self.delay();
        self.ring_after(who, delay);
    }

    fn ring_after(&mut self, who: Who, delay: u64) {
        if let Some(exporter) = self.processes[who].exporter_mut()
            && !exporter.sweep_due
        {
            exporter.sweep_due = true;
            self.after(delay, Event::Sweep(who));
        }
    }

    pub(super) fn sweep(&mut self, who: Who) {
        let key = self.mapped.iter().find(|(_, w)| **w == who).map(|(key, _)| *key);
        let Some(exporter) = self.processes[who].exporter_mut() else { return };
        let Some(key) = key else {
            exporter.sweep_due = false;
            return;
        };
        let (changes, samples) = exporter.sweep();
        if !changes.is_empty() {
            self.note(By::Agent, |_| format!("finds the table of {key} changed: {}", story::brief(&format!("{changes:?}"))));
            self.feed(Input::Table { key, changes });
        }
        if !samples.is_empty() {
            self.note(By::Agent, |_| format!("finds values of {key}: {}", story::brief(&format!("{samples:?}"))));
            self.feed(Input::Sampled { key, samples, token: None });
        }
    }

    pub(super) fn agent_sees_exit(&mut self, key: Key, cause: Cause) {
        let Some(who) = self.watched.remove(&key) else { return };
        // What stands in the segment is read before it is said.
        if self.mapped.contains_key(&key) {
            self.sweep(who);
        }
        self.note(By::Agent, |_| format!("sees {key} dead: {cause}"));
        self.checks.deaths.on_exit(key, self.now);
        self.feed(Input::Exited { key, cause });
    }

    pub(super) fn launched(&mut self, service: &Name) {
        self.launches.push(service.clone());
        match if self.calm { 0 } else { self.random.below(10) } {
            0..7 => {
                let pid = self.child(service);
                self.feed(Input::Launched { service: service.clone(), pid });
            }
            // It starts and never registers.
            7 => self.feed(Input::Launched { service: service.clone(), pid: 1 }),
            _ => self.feed(Input::LaunchFailed { service: service.clone(), reason: "no such file".into() }),
        }
    }

    fn child(&mut self, service: &Name) -> u32 {
        let who = self.spawn_member(service.as_str());
        self.processes[who].pid
    }

    pub(super) fn registration(&self, who: Who) -> Registration {
        match self.processes[who].exporter() {
            Some(e) => Registration::Exporter { service: e.service.clone(), grouped: e.grouped, weight: e.weight },
            None => Registration::Importer,
        }
    }
}
