//! What befalls the processes: work, changes, and trouble.

use std::collections::BTreeSet;
use std::time::Duration;

use tif_core::machine::confirm::Guard;
use tif_core::model::{Arming, Cause, Coarsen, FaultAction, Key, Kind, Number, RequestId, Setting, Slot, Value};
use tif_core::wire::{Admission, Identity, KeepAsked, ToAgent};

use super::importer::Wish;
use super::{By, Event, MS, SECOND, Who, World, catalogue, name};
use crate::acts::Track;
use crate::check::keeps::WITHIN_MIN;

const PATTERNS: [&str; 9] = [
    "**",
    "orders.**",
    "billing.queue.*",
    "*.queue.level",
    "*.batch",
    "**@cache-1",
    "cache.session.bytes{id=*}",
    "*.memory.used",
    "orders.session.**",
];
const CONTROLS: [&str; 8] = [
    "orders.batch",
    "orders.limit",
    "orders.scratch",
    "billing.batch",
    "billing.limit",
    "cache.batch@cache-1",
    "cache.limit@cache-2",
    "cache.batch",
];
const NAMES: [&str; 7] = ["orders-1", "orders-2", "billing-1", "cache-1", "cache-2", "imp-1", "nobody"];

/// Another control of the same exporter.
fn with_path(control: &str, path: &str) -> String {
    let (name, at) = control.split_at(control.find('@').unwrap_or(control.len()));
    let service = name.split('.').next().unwrap_or_default();
    format!("{service}.{path}{at}")
}

impl World {
    /// The usual population, and trouble from now on.
    pub fn populate(&mut self) {
        for (service, count) in [("orders", 2), ("billing", 1)] {
            for _ in 0..if self.hosts(service) { count } else { 0 } {
                self.cast(|w| w.spawn_member(service));
            }
        }
        for own in ["cache-1", "cache-2"] {
            self.cast(|w| w.spawn_exporter(w.exactly(own), "cache", false));
        }
        for own in ["imp-1", "imp-2", "imp-3"] {
            self.cast(|w| w.spawn_importer(w.exactly(own)));
        }
        self.calm = false;
        self.after_act(Track::Trouble, 5 * MS, Event::Trouble);
    }

    /// A process that is there from the beginning, unless it is left out: then its place is taken by one that never lived.
    fn cast(&mut self, spawn: impl FnOnce(&mut World) -> Who) {
        let is_there = self.acts.begin(Track::Cast, self.now, &mut self.random);
        let who = spawn(self);
        if is_there != Some(true) {
            self.processes[who].alive = false;
            self.note(By::Process(who), |_| "is left out".into());
        }
        self.acts.end();
    }

    /// Trouble ends and everything heals.
    pub fn calm_down(&mut self) {
        self.note(By::Cpu, |_| "calm from now on".into());
        self.acts.begin(Track::Calm, self.now, &mut self.random);
        self.acts.end();
        self.calm = true;
        self.store_fails = false;
        for who in self.living(|p| p.stopped) {
            self.continue_process(who);
        }
        // Who took its leave, and perhaps was not heard, is gone for good.
        for who in self.living(|p| p.left) {
            self.end_process(who, Cause::Exit { status: 0 });
        }
        if self.agent.is_none() {
            self.start_agent();
        }
    }

    /// When the last of those lives on other kernels that are over is given up at the latest: until then it holds its name.
    pub fn given_up_at(&self) -> u64 {
        let lives: BTreeSet<Key> = self.processes.iter().filter(|p| p.alive).filter_map(|p| p.key).collect();
        self.checks.heartbeats.given_up_at(|key| !lives.contains(&key))
    }

    /// Something happens, and something else a little later.
    pub(super) fn trouble(&mut self) {
        if self.calm {
            return;
        }
        let Some(is_done) = self.acts.begin(Track::Trouble, self.now, &mut self.random) else { return };
        let gap = if self.random.percent(70) { self.random.between(MS, 40 * MS) } else { self.random.between(40 * MS, 900 * MS) };
        self.after_act(Track::Trouble, gap * self.pace().slower(), Event::Trouble);
        if is_done {
            self.act();
        }
        self.acts.end();
    }

    fn act(&mut self) {
        if self.spoils(super::faults::Defect::FalseDeath, 50) {
            self.lie();
        }
        match self.random.below(1000) {
            0..200 => self.import(),
            200..420 => self.set_something(),
            420..480 => self.ask_something(),
            480..620 => self.change_table(),
            620..640 => self.fire_or_arm(),
            640..700 => self.one(|w, who| w.break_link(who)),
            700..745 => self.one(|w, who| {
                let ms = w.random.between(20, 4000);
                w.stop(who, ms);
            }),
            745..805 => self.one(|w, who| {
                let status = w.random.below(3) as i32;
                w.end_process(who, Cause::Exit { status });
            }),
            805..820 => {
                // Two at once.
                for who in self.living(|p| p.exporter().is_some_and(|e| e.service.as_str() == "orders")) {
                    self.end_process(who, Cause::Signal { signal: 9, core: false });
                }
            }
            820..840 => {
                // Importers just end: an agent that restarts could not tell the one from the other.
                if let Some(who) = self.an_exporter() {
                    self.leave(who);
                }
            }
            840..870 => {
                self.kill_agent();
                let down =
                    if self.random.percent(70) { self.random.between(MS, 300 * MS) } else { self.random.between(300 * MS, 4 * SECOND) };
                self.after(down, Event::AgentStarts);
            }
            870..890 => {
                self.store_fails = !self.store_fails && self.random.percent(50);
                let fails = self.store_fails;
                self.acts.tell(|| if fails { "most writes fail from now on" } else { "no write fails from now on" }.into());
            }
            890..960 => self.start_missing(),
            960..985 => self.lag(),
            _ => self.drain_something(),
        }
    }

    /// A defect: the agent is told of a death that was none.
    fn lie(&mut self) {
        let welcomed = self.living(|p| p.welcomed);
        let key = self.random.pick(&welcomed).and_then(|who| self.processes[*who].key);
        if let Some(key) = key {
            self.agent_sees_exit(key, Cause::Unknown);
        }
    }

    fn one(&mut self, act: impl FnOnce(&mut World, Who)) {
        let living = self.living(|_| true);
        if let Some(who) = self.random.pick(&living).copied() {
            act(self, who);
        }
    }

    fn an_importer(&mut self) -> Option<Who> {
        let living = self.living(|p| p.importer().is_some() && p.welcomed && !p.stopped);
        self.random.pick(&living).copied()
    }

    fn an_exporter(&mut self) -> Option<Who> {
        let living = self.living(|p| p.exporter().is_some() && !p.stopped);
        self.random.pick(&living).copied()
    }

    /// Takes its leave and ends.
    pub fn leave(&mut self, who: Who) {
        if !self.processes[who].welcomed || self.processes[who].stopped {
            return;
        }
        self.says(who, ToAgent::Unregister);
        self.processes[who].left = true;
        if let Some(exporter) = self.processes[who].exporter_mut() {
            exporter.primary_in = None;
        }
    }

    fn start_missing(&mut self) {
        for who in self.living(|p| p.left && p.conn.is_none()) {
            self.end_process(who, Cause::Exit { status: 0 });
        }
        for own in ["cache-1", "cache-2"] {
            let there = self.living(|p| p.identity == self.exactly(own) && !p.left);
            if there.is_empty() || self.random.percent(3) {
                self.spawn_exporter(self.exactly(own), "cache", false);
                return;
            }
        }
        for service in ["orders", "billing"] {
            let there = self.living(|p| !p.left && p.exporter().is_some_and(|e| e.service.as_str() == service));
            if self.hosts(service) && there.len() < 2 && self.random.percent(30) {
                self.spawn_member(service);
                return;
            }
        }
        for own in ["imp-1", "imp-2", "imp-3"] {
            if self.living(|p| p.identity == self.exactly(own) && !p.left).is_empty() {
                self.spawn_importer(self.exactly(own));
                return;
            }
        }
    }

    /// Under its name on this CPU.
    fn exactly(&self, base: &str) -> Identity {
        Identity::Exactly(name(&World::name_on(self.node, base)))
    }

    /// Of what carries the name of a process: that on some CPU.
    fn somewhere(&mut self, text: &str) -> String {
        if self.cpus == 1 {
            return text.to_owned();
        }
        let node = self.random.between(1, u64::from(self.cpus)) as u32;
        // A name that fits something on every CPU means another thing at another time: a change of it is not one change.
        if text == "cache.batch" {
            return format!("cache.batch@{}", World::name_on(node, "cache-1"));
        }
        for base in ["cache-1", "cache-2", "imp-1"] {
            if text.ends_with(base) {
                return text.replace(base, &World::name_on(node, base));
            }
        }
        text.to_owned()
    }

    fn lag(&mut self) {
        if let Some(who) = self.an_importer()
            && let Some(importer) = self.processes[who].importer_mut()
        {
            importer.slow = !importer.slow;
            let how = if importer.slow { "slowly" } else { "at once" };
            self.tell(who, || format!("reads {how} from now on"));
        }
    }

    fn import(&mut self) {
        let Some(who) = self.an_importer() else { return };
        let Some(importer) = self.processes[who].importer() else { return };
        let wishes: Vec<u32> = importer.wishes.keys().copied().collect();
        if wishes.len() > 4 || (!wishes.is_empty() && self.random.percent(40)) {
            if let Some(gone) = self.random.pick(&wishes).copied() {
                self.unsubscribe(who, gone);
            }
        } else {
            let pattern = self.random.pick(&PATTERNS).copied().unwrap_or("**");
            let pattern = self.somewhere(pattern);
            let coarsen = match self.random.below(4) {
                0 => Coarsen { deadband: Some(20.0), at_most_every: None },
                1 => Coarsen { deadband: None, at_most_every: Some(Duration::from_millis(250)) },
                _ => Coarsen::default(),
            };
            self.subscribe(who, &pattern, coarsen);
        }
    }

    /// An importer subscribes.
    pub fn subscribe(&mut self, who: Who, pattern: &str, coarsen: Coarsen) -> u32 {
        if coarsen != Coarsen::default() {
            self.checks.reports.on_coarse(who);
        }
        let Ok(pattern) = pattern.parse::<tif_core::model::Pattern>() else { return 0 };
        let Some(importer) = self.processes[who].importer_mut() else { return 0 };
        importer.last_wish += 1;
        let subscription = importer.last_wish;
        importer.wishes.insert(subscription, Wish { pattern: pattern.clone(), coarsen });
        self.says(who, ToAgent::Subscribe { subscription, pattern, coarsen });
        subscription
    }

    /// An importer withdraws a subscription.
    pub fn unsubscribe(&mut self, who: Who, subscription: u32) {
        if let Some(importer) = self.processes[who].importer_mut() {
            importer.wishes.remove(&subscription);
            self.says(who, ToAgent::Unsubscribe { subscription });
        }
    }

    /// An importer asks for a change of a control.
    pub fn set(&mut self, who: Who, control: &str, value: &str, id: &str, admission: Admission) -> Option<u64> {
        self.set_all(who, vec![Setting::new(control, value)], id, admission)
    }

    /// Asks for a step of several controls.
    pub fn set_all(&mut self, who: Who, settings: Vec<Setting>, id: &str, admission: Admission) -> Option<u64> {
        self.set_to_keep(who, settings, id, admission, None)
    }

    /// The same, on these terms.
    pub fn set_to_keep(
        &mut self,
        who: Who,
        settings: Vec<Setting>,
        id: &str,
        admission: Admission,
        keep: Option<KeepAsked>,
    ) -> Option<u64> {
        let request_id: RequestId = id.parse().ok()?;
        self.request(who, |req| ToAgent::Set { req, request_id, settings, admission, reason: None, keep })
    }

    /// Confirms what holds a control.
    pub fn confirm(&mut self, who: Who, control: &str) -> Option<u64> {
        self.request(who, |req| ToAgent::Confirm { req, name: control.to_owned(), request_id: None })
    }

    fn set_something(&mut self) {
        let Some(who) = self.an_importer() else { return };
        let control = self.random.pick(&CONTROLS).copied().unwrap_or("orders.batch");
        let control = self.somewhere(control);
        self.wish_last += 1;
        let id = format!("r{}-{}", self.node, self.wish_last);
        let value = self.random.between(1, 4300);
        let dry_run = self.random.percent(5);
        // Some expect the version that they were last told, which may be over.
        let told = self.processes[who].importer().into_iter().flat_map(|i| i.answers.values().rev().flatten());
        let known = told.flat_map(|r| &r.changed).find(|c| c.name == control);
        let if_version = known.map(|changed| changed.version).filter(|_| value.is_multiple_of(3));
        let admission = Admission { dry_run, ..Admission::default() };
        let mut settings = vec![Setting { if_version, ..Setting::new(&control, value.to_string()) }];
        if self.weather.steps && value.is_multiple_of(2) {
            let others = ["batch", "limit", "scratch"].map(|path| with_path(&control, path));
            settings.extend((1..).zip(others.into_iter().filter(|c| *c != control)).map(|(n, c)| Setting::new(c, (value + n).to_string())));
        }
        let keep = (self.weather.steps && value.is_multiple_of(5)).then(|| KeepAsked {
            // What has another cause to be taken back waits for that.
            within: if value.is_multiple_of(3) || value.is_multiple_of(4) {
                Duration::from_secs(3600)
            } else {
                WITHIN_MIN + Duration::from_millis(value % 2000)
            },
            guard: value.is_multiple_of(3).then(|| Guard {
                indicator: if self.cpus > 1 && (self.now / 1_000_000).is_multiple_of(2) {
                    let node = 1 + (self.now / 1_000 % u64::from(self.cpus)) as u32;
                    format!("cache.queue.depth@cpu{node}.{}", World::name_on(node, "cache-1"))
                } else {
                    with_path(&control, "queue.depth")
                },
                low: Number::Whole(0),
                high: Number::Float(value as f64 / 50.0),
            }),
            while_connected: value.is_multiple_of(4),
        });
        self.set_to_keep(who, settings.clone(), &id, admission, keep);
        if self.weather.steps && value % 4 == 3 {
            self.confirm(who, &control);
        }
        if self.random.percent(25) {
            // Impatient: the same once more, from itself or another.
            let who = if self.random.percent(50) { Some(who) } else { self.an_importer() };
            if let Some(who) = who {
                self.set_all(who, settings.clone(), &id, admission);
            }
        }
        if self.random.percent(5) && self.wish_last > 3 {
            // Long after.
            let id = format!("r{}-{}", self.node, self.random.between(1, self.wish_last));
            self.set_all(who, settings.into_iter().take(1).collect(), &id, Admission::default());
        }
    }

    fn ask_something(&mut self) {
        let Some(who) = self.an_importer() else { return };
        let asked = self.random.pick(&NAMES).copied().unwrap_or("nobody");
        let asked = self.somewhere(asked);
        let pattern = self.random.pick(&PATTERNS).copied().unwrap_or("**").parse().ok();
        match (self.random.below(6), pattern) {
            (0, Some(pattern)) => drop(self.request(who, |req| ToAgent::List { req, pattern, after: None, limit: 5 })),
            (1 | 2, Some(pattern)) => drop(self.request(who, |req| ToAgent::Sense { req, patterns: vec![pattern], patience: None })),
            (3, _) => drop(self.request(who, |req| ToAgent::Processes { req })),
            _ => self.lookup(who, &asked),
        }
    }

    /// An importer looks a name up.
    pub fn lookup(&mut self, who: Who, asked: &str) {
        let asked = name(asked);
        if let Some(importer) = self.processes[who].importer_mut() {
            importer.lookups.insert(asked.clone());
        }
        self.request(who, |req| ToAgent::Lookup { req, name: asked });
    }

    fn fire_or_arm(&mut self) {
        let Some(who) = self.an_importer() else { return };
        if self.random.percent(50) {
            self.fires += 1;
            // Now and then an earlier one, long after; or at once, by somebody else.
            let number = if self.random.percent(15) { self.random.between(1, self.fires) } else { self.fires };
            self.fire(who, number);
            if let Some(other) = self.an_importer().filter(|_| self.random.percent(20)) {
                self.fire(other, number);
            }
        } else {
            let arming = Arming {
                action: FaultAction::Count,
                probability: 1.0,
                hits_max: None,
                expires_after: Duration::from_secs(2),
                conditions: Vec::new(),
                outlives_session: false,
            };
            self.request(who, |req| ToAgent::Arm { req, name: "orders.fault.write".into(), arming });
        }
    }

    /// An importer calls a procedure, under this CPU's own number of the call.
    pub fn fire(&mut self, who: Who, number: u64) -> Option<u64> {
        self.fire_as(who, &format!("f{}-{number}", self.node))
    }

    /// The same under an id that may be another CPU's.
    pub fn fire_as(&mut self, who: Who, id: &str) -> Option<u64> {
        let request_id = id.parse::<RequestId>().ok()?;
        let count = crate::check::calls::number_of(&request_id).unwrap_or_default();
        let arguments = vec![("count".to_owned(), count.to_string())];
        self.request(who, |req| ToAgent::Fire { req, request_id, name: "orders.flush".into(), arguments })
    }

    /// Somebody wants a primary to hand over, and does not always know who that is.
    fn drain_something(&mut self) {
        let Some(who) = self.an_importer() else { return };
        let drained = self.random.pick(&["orders", "orders", "orders", "billing", "billing", "orders-1", "cache-1"]).copied();
        let drained = self.somewhere(drained.unwrap_or("orders"));
        let to = if self.random.percent(25) {
            Some(name(&self.somewhere("orders-2")))
        } else {
            // By the time, and not by a number drawn: what else a seed is stays as it is.
            let (cpu, member) =
                (1 + self.now / 1_000 % u64::from(self.cpus), ["orders-1", "orders-2", "billing-1"][(self.now / 17_000 % 3) as usize]);
            (self.cpus > 1 && (self.now / 1_000_000).is_multiple_of(2)).then(|| name(&format!("cpu{cpu}.{member}")))
        };
        self.drain(who, &drained, to);
        // Others do not know, and go on.
        for _ in 0..self.random.below(5) {
            self.set_something();
        }
    }

    /// An importer asks for a handover.
    pub fn drain(&mut self, who: Who, drained: &str, to: Option<tif_core::model::Name>) -> Option<u64> {
        let drained = name(drained);
        self.request(who, |req| ToAgent::Drain { req, name: drained, to })
    }

    /// Instances come and go, sometimes the same in another place within one sweep.
    fn change_table(&mut self) {
        let Some(who) = self.an_exporter() else { return };
        if self.processes[who].exporter().is_some_and(|e| e.let_go) {
            return;
        }
        let id = self.random.below(5);
        let late = self.random.percent(20);
        let moves = self.random.percent(30);
        let Some(exporter) = self.processes[who].exporter_mut() else { return };
        let instances = exporter.instances();
        let dims = catalogue::instance(id).1;
        let there = instances.iter().copied().find(|slot| exporter.cells.get(slot).is_some_and(|cell| cell.dims == dims));
        match there {
            Some(slot) => {
                exporter.withdraw(slot);
                if moves {
                    // Another takes the free place, then it comes again somewhere else.
                    let other = (id + 1) % 5;
                    let other_dims = catalogue::instance(other).1;
                    if !exporter.cells.values().any(|cell| cell.dims == other_dims) {
                        exporter.declare(catalogue::instance(other));
                    }
                    exporter.declare(catalogue::instance(id));
                }
            }
            None => drop(exporter.declare(catalogue::instance(id))),
        }
        if late {
            let batch = exporter.cells.iter().find(|(_, cell)| cell.descriptor.path.as_str() == "batch").map(|(slot, _)| *slot);
            match batch {
                Some(slot) => exporter.withdraw(slot),
                None => drop(exporter.declare(catalogue::control("batch", true, false))),
            }
        }
        self.tell(who, || format!("changes its table: instance {id}{}", if late { ", and batch" } else { "" }));
        self.ring(who);
    }

    /// There will be so many instruments here and on other CPUs.
    pub fn expect_instruments(&mut self, max: u64) {
        self.checks.bounds.expect(max);
    }

    /// An exporter changes its table, and rings the doorbell.
    pub fn change_exporter(&mut self, who: Who, change: impl FnOnce(&mut super::exporter::Exporter)) {
        if let Some(exporter) = self.processes[who].exporter_mut() {
            change(exporter);
            self.ring(who);
        }
    }

    /// An exporter does its work: values change.
    pub(super) fn change_values(&mut self, who: Who) {
        if self.calm {
            return;
        }
        let Some(is_done) = self.acts.begin(Track::Values(who), self.now, &mut self.random) else { return };
        let gap = self.random.between(MS, 120 * MS);
        self.after_act(Track::Values(who), gap * self.pace().slower(), Event::Values(who));
        let chance = self.random.any();
        if is_done {
            self.change_value(who, chance);
        }
        self.acts.end();
    }

    fn change_value(&mut self, who: Who, chance: u64) {
        let Some(exporter) = self.processes[who].exporter_mut().filter(|e| !e.let_go) else { return };
        let slots: Vec<Slot> = exporter.cells.keys().copied().collect();
        let slot = slots[(chance % slots.len() as u64) as usize];
        let step = (chance >> 32) % 25;
        let Some(cell) = exporter.cells.get(&slot) else { return };
        let value = match (&cell.descriptor.kind, &cell.value) {
            (Kind::Counter, Value::U64(v)) => Value::U64(v + step),
            (Kind::Gauge, Value::F64(v)) => Value::F64((v + step as f64 - 12.0).clamp(-100.0, 100.0)),
            (Kind::Gauge, Value::U64(_)) => Value::U64(step),
            (Kind::Gauge, Value::Text(_)) => Value::Text(format!("state {}", step % 3)),
            _ => return,
        };
        self.store_value(who, slot, value);
    }

    /// An exporter stores a value.
    pub fn store_value(&mut self, who: Who, slot: Slot, value: Value) {
        let now = self.now;
        self.tell(who, || format!("sets slot {slot} to {value:?}"));
        if self.processes[who].exporter_mut().is_some_and(|e| e.store(slot, value, now)) {
            self.ring(who);
        }
    }
}
