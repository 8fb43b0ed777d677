//! The world around one agent: what happens, and when.
//!
//! One queue of events in the order of time; ties are broken by the order in which they were made. Nothing else decides: the same seed is the
//! same run, to the last message.
//!
//! - `shell`: does what the agent wants done. `process`: what processes do. `workload`: what befalls them.
//! - `exporter`, `importer`, `store`, `catalogue`: what they are made of.

pub mod catalogue;
pub mod exporter;
pub mod faults;
pub mod importer;
mod process;
mod shell;
pub mod store;
mod workload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tif_core::agent::Agent;
use tif_core::agent::io::{Conn, Input, LaunchPolicy, Moment, Record, Ticket};
use tif_core::machine::versions::Offer;
use tif_core::model::{Cause, Key, Name, Slot, Stamp, Time};
use tif_core::wire::{Hello, Identity, ToAgent, ToProcess};

use crate::Random;
use crate::acts::{Acts, Track};
use crate::check::{Checks, Violation};
use crate::story::{self, Line};
use exporter::Exporter;
use faults::Defect;
use importer::Importer;
use store::Store;

/// A millisecond of simulated time.
pub const MS: u64 = 1_000_000;
/// A second.
pub const SECOND: u64 = 1000 * MS;

/// A process, by its place in the world's list. Never used again for another.
pub type Who = usize;

/// What a process does.
#[derive(Clone, Debug)]
pub enum Trade {
    /// It exports.
    Exporter(Box<Exporter>),
    /// It imports.
    Importer(Box<Importer>),
}

/// An operating system process.
#[derive(Clone, Debug)]
pub struct Process {
    /// How it wants to be called.
    pub identity: Identity,
    /// Its pid; may come again.
    pub pid: u32,
    /// Its start time; with the pid it is unique.
    pub started: u64,
    /// As which user it runs.
    pub uid: u32,
    /// It runs or is stopped.
    pub alive: bool,
    /// Stopped by a signal.
    pub stopped: bool,
    /// It took its leave and will not register again.
    pub left: bool,
    /// The key it was given.
    pub key: Option<Key>,
    /// The key of the agent that it talks to.
    pub agent: Key,
    /// Its connection, also while it waits for the welcome.
    pub conn: Option<Conn>,
    /// It was welcomed on this connection.
    pub welcomed: bool,
    /// It tries to connect some time soon.
    pub connecting: bool,
    /// It is on another kernel, and says so often that it lives.
    // spec: PSM-6
    pub elsewhere: Option<Duration>,
    /// What it does.
    pub trade: Trade,
    nonce: u128,
    /// What waits for it to be continued.
    deferred: VecDeque<Event>,
}

impl Process {
    /// The exporter in it.
    pub fn exporter(&self) -> Option<&Exporter> {
        match &self.trade {
            Trade::Exporter(exporter) => Some(exporter),
            Trade::Importer(_) => None,
        }
    }

    fn exporter_mut(&mut self) -> Option<&mut Exporter> {
        match &mut self.trade {
            Trade::Exporter(exporter) => Some(exporter),
            Trade::Importer(_) => None,
        }
    }

    /// The importer in it.
    pub fn importer(&self) -> Option<&Importer> {
        match &self.trade {
            Trade::Importer(importer) => Some(importer),
            Trade::Exporter(_) => None,
        }
    }

    fn importer_mut(&mut self) -> Option<&mut Importer> {
        match &mut self.trade {
            Trade::Importer(importer) => Some(importer),
            Trade::Exporter(_) => None,
        }
    }
}

/// A connection. Each direction delivers in order.
#[derive(Clone, Debug)]
struct Link {
    who: Who,
    /// The agent's end is open.
    agent_end: bool,
    /// The process's end is open.
    process_end: bool,
    /// When the last of what is under way arrives, to the agent and to the process.
    last: [u64; 2],
    pulling: bool,
}

#[derive(Clone, Debug)]
enum Event {
    HelloArrives(Conn, Box<Hello>),
    ToAgent(Conn, Key, Key, Box<ToAgent>),
    AgentSeesEnd(Conn),
    ToProcess(Conn, Key, Box<ToProcess>),
    /// The importer has everything that the agent knew at this time.
    Drained(Conn, u64),
    ProcessSeesEnd(Conn),
    Pull(Conn),
    Commit,
    Committed(Ticket, Option<String>),
    Exit(Key, Cause),
    Sweep(Who),
    Sampled(Key, Vec<Slot>, u64),
    Connect(Who),
    Says(Who, Conn, Box<ToAgent>),
    Computes(Who, Conn, Option<u64>, Vec<Slot>),
    Values(Who),
    OwnClock(Who),
    Beat(Who),
    Continue(Who),
    Launch(Name),
    AgentStarts,
    Trouble,
}

/// Who did what a line of the timeline tells.
#[derive(Clone, Copy, Debug)]
enum By {
    /// Nobody: it befell the CPU.
    Cpu,
    Agent,
    Process(Who),
}

/// How a world is to be.
#[derive(Clone, Copy, Debug, Default)]
pub struct Weather {
    /// Nothing happens by itself: a scenario does it.
    pub still: bool,
    /// What is wrong with this world.
    pub defect: Option<Defect>,
    /// Keep a timeline.
    pub trace: bool,
    /// How densely things happen.
    pub pace: Pace,
    /// Many changes are steps of several controls.
    // spec: CTL-6
    pub steps: bool,
    /// The members of `orders` are as many in the whole system, and started where they are missing.
    // spec: GRP-7
    pub introduces: u32,
}

/// How densely things happen. What goes wrong while something else is still going wrong shows in a storm; what a clock, a date or a long quiet brings about
/// shows in fair weather, which lasts as much longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pace {
    /// Something every few milliseconds, for seconds.
    #[default]
    Storm,
    /// Something every second, for minutes.
    Breeze,
    /// Something every ten seconds, for half an hour.
    Fair,
}

impl Pace {
    /// How many times as long as in a storm it takes until the next trouble.
    pub fn slower(self) -> u64 {
        match self {
            Pace::Storm => 1,
            Pace::Breeze => 10,
            Pace::Fair => 100,
        }
    }

    /// How often a service looks after its dynamic indicators by itself.
    fn clock(self) -> u64 {
        match self {
            Pace::Storm => 300 * MS,
            Pace::Breeze => SECOND,
            Pace::Fair => 10 * SECOND,
        }
    }
}

/// What agents and libraries of three releases in a row speak; the first is the middle one. Any two have a version in common.
// spec: FAB-5
pub const SPEAKS: [Offer; 3] = [speaks(7, 7), speaks(6, 7), speaks(7, 8)];

/// A range of protocol versions.
pub const fn speaks(min: u16, max: u16) -> Offer {
    Offer { min, max, features: 0, schema: 1 }
}

/// Everything.
#[derive(Debug)]
pub struct World {
    /// Chance.
    pub random: Random,
    /// Now, in nanoseconds.
    pub now: u64,
    /// How many events there were.
    pub step: u64,
    /// The agent, unless it is down.
    pub agent: Option<Agent>,
    /// What it remembers.
    pub store: Store,
    /// All processes there ever were.
    pub processes: Vec<Process>,
    /// The first thing that was wrong.
    pub violation: Option<Violation>,
    /// The timeline, if it is kept.
    pub timeline: Vec<Line>,
    /// The independent witnesses.
    pub checks: Checks,
    /// What chance lets happen, if that is kept.
    pub acts: Acts,
    /// How far the wall clock is ahead of the others, in nanoseconds; behind them if less than 0.
    pub wall_ahead: i64,
    /// Trouble is over.
    pub calm: bool,
    /// After how long without trouble everything was right.
    pub healed_after: Option<u64>,
    /// Commits fail.
    pub store_fails: bool,
    /// No write is done at all.
    pub store_full: bool,
    /// None of these is.
    pub store_refuses: Option<fn(&Record) -> bool>,
    /// Launches by what becomes of them; none: chance decides.
    pub launches: Vec<Name>,
    /// Which CPU it is; the first is alone unless it is one of a system.
    pub node: u32,
    /// How many CPUs the system has.
    pub cpus: u32,
    /// Datagrams for other CPUs, until the system takes them.
    pub outgoing: Vec<(tif_core::model::NodeId, Box<tif_core::wire::PeerFrame>)>,
    /// Changes that another CPU accepted, as this one has just said, until the system looks at them.
    pub answered_abroad: Vec<tif_core::model::SetResult>,
    /// Exporters of other CPUs that this one's agent says are back, not looked at yet.
    pub(crate) revived: Vec<crate::check::revivals::Revival>,
    /// Outages of this CPU that ended since who was lost was back.
    pub(crate) returns: BTreeSet<(Key, tif_core::model::OutageId)>,
    /// What happened to calls, until the system looks at it.
    pub calls: Vec<crate::check::calls::Event>,
    /// How often a procedure was called.
    effects: u64,
    /// Who has taken office, until the system looks at it.
    pub offices: Vec<crate::check::shared::Office>,
    /// Lives of this CPU's agent up to this one were given up by another CPU, as this one was told, and every key of them.
    pub over: u32,
    /// What the agent speaks from its next start on.
    pub speaks: Offer,
    /// With which CPUs the agent says that it has no protocol version in common, and what it says.
    pub incompatible: BTreeMap<tif_core::model::NodeId, String>,
    /// An agent has started that was not told yet whom it can see.
    pub agent_is_new: bool,
    weather: Weather,
    /// When the agent's next deadline is: it moves only when the agent is handed something.
    due: Option<u64>,
    events: BTreeMap<(u64, u64), Event>,
    order: u64,
    links: BTreeMap<Conn, Link>,
    /// Whose pidfd the agent watches.
    watched: BTreeMap<Key, Who>,
    /// Whose segment the agent has mapped.
    mapped: BTreeMap<Key, Who>,
    conn_last: u64,
    nonces: u64,
    pid_last: u32,
    wish_last: u64,
    fires: u64,
    count: u64,
}

impl World {
    /// A world with an agent that has just started, and nobody else.
    pub fn new(seed: u64, weather: Weather) -> World {
        World::of_system(1, 1, SPEAKS[0], seed, weather)
    }

    /// One CPU of several.
    pub fn of_system(node: u32, cpus: u32, speaks: Offer, seed: u64, weather: Weather) -> World {
        let mut world = World {
            random: Random::new(seed),
            now: SECOND,
            step: 0,
            agent: None,
            store: Store::default(),
            processes: Vec::new(),
            violation: None,
            timeline: Vec::new(),
            checks: Checks::default(),
            acts: Acts::default(),
            wall_ahead: 0,
            calm: weather.still,
            healed_after: None,
            store_fails: false,
            store_full: false,
            store_refuses: None,
            launches: Vec::new(),
            node,
            cpus,
            outgoing: Vec::new(),
            answered_abroad: Vec::new(),
            revived: Vec::new(),
            returns: BTreeSet::new(),
            offices: Vec::new(),
            over: 0,
            speaks,
            incompatible: BTreeMap::new(),
            agent_is_new: false,
            weather,
            due: None,
            events: BTreeMap::new(),
            order: 0,
            links: BTreeMap::new(),
            watched: BTreeMap::new(),
            mapped: BTreeMap::new(),
            conn_last: 0,
            nonces: 0,
            pid_last: 100,
            wish_last: 0,
            fires: 0,
            effects: 0,
            calls: Vec::new(),
            count: 0,
        };
        world.start_agent();
        world
    }

    /// The services that can be launched. Where nothing happens by itself, only what was lost is.
    pub fn policies(&self) -> Vec<LaunchPolicy> {
        let policy = |service: &str, members, starts, hung_after| LaunchPolicy {
            service: name(service),
            members,
            everywhere: false,
            starts,
            hung_after,
        };
        if self.weather.introduces > 0 {
            let here = self.cpus > 1 && self.hosts("orders");
            return if here {
                vec![LaunchPolicy { everywhere: true, ..policy("orders", self.weather.introduces, true, None) }]
            } else {
                Vec::new()
            };
        }
        let all = [policy("orders", 2, !self.weather.still, None), policy("billing", 1, false, Some(Duration::from_secs(6)))];
        all.into_iter().filter(|p| self.hosts(p.service.as_str())).collect()
    }

    /// The CPU's name.
    pub fn cpu(&self) -> Name {
        name(&format!("cpu{}", self.node))
    }

    /// Whether a service's group lives on this CPU.
    pub fn hosts(&self, service: &str) -> bool {
        match service {
            "orders" => self.cpus == 1 || self.node <= 3,
            "billing" => self.cpus == 1 || self.node == 2,
            _ => true,
        }
    }

    /// The CPUs that vote on who leads: the first three, or both.
    pub fn voters(&self) -> Vec<tif_core::model::NodeId> {
        if self.cpus == 1 { Vec::new() } else { (1..=self.cpus.min(3)).map(tif_core::model::NodeId).collect() }
    }

    /// What a process of this kind is called on a CPU: names are a CPU's own, and differ to tell them apart.
    pub fn name_on(node: u32, base: &str) -> String {
        if node == 1 { base.to_owned() } else { format!("{base}-n{node}") }
    }

    /// When something happens next.
    pub fn next(&self) -> Option<u64> {
        let event = self.events.first_key_value().map(|((at, _), _)| *at);
        [event, self.due].into_iter().flatten().min().map(|at| at.max(self.now))
    }

    /// The clock as the agent sees it.
    pub fn time(&self) -> Time {
        Time(self.now)
    }

    /// One event. False if there is none, or something was wrong.
    pub fn advance(&mut self) -> bool {
        if self.violation.is_some() {
            return false;
        }
        let next = self.events.first_key_value().map(|(key, _)| *key);
        let due = self.due.map(|at| at.max(self.now));
        self.step += 1;
        match (next, due) {
            (None, None) => return false,
            (Some((at, _)), Some(due)) if due <= at => self.tick(due),
            (None, Some(due)) => self.tick(due),
            (Some((at, _)), _) => {
                self.now = self.now.max(at);
                if let Some((_, event)) = self.events.pop_first() {
                    self.happen(event);
                }
            }
        }
        self.violation.is_none()
    }

    fn tick(&mut self, due: u64) {
        self.now = due;
        self.feed(Input::Tick);
    }

    /// Everything up to a time.
    pub fn run_until(&mut self, end: u64) -> bool {
        self.run_until_step(end, u64::MAX)
    }

    /// Everything up to a time, but no step after this one.
    pub fn run_until_step(&mut self, end: u64, stop: u64) -> bool {
        while self.step < stop {
            match self.next() {
                Some(at) if at <= end => {
                    if !self.advance() {
                        return false;
                    }
                }
                _ => {
                    self.now = self.now.max(end);
                    break;
                }
            }
        }
        self.violation.is_none()
    }

    /// Everything for so many milliseconds.
    pub fn run_ms(&mut self, ms: u64) -> bool {
        self.run_until(self.now + ms * MS)
    }

    fn happen(&mut self, event: Event) {
        if let Some(who) = self.actor(&event) {
            let process = &mut self.processes[who];
            if !process.alive {
                return;
            }
            if process.stopped && !matches!(event, Event::Continue(_)) {
                return process.deferred.push_back(event);
            }
        }
        match event {
            Event::HelloArrives(conn, hello) => self.hello_arrives(conn, hello),
            Event::ToAgent(conn, from, to, body) => {
                if self.links.get(&conn).is_some_and(|l| l.agent_end) {
                    self.note(By::Agent, |w| format!("hears {}: {}", w.caller(conn), story::said(&body)));
                    if matches!(*body, ToAgent::LetGo { .. }) {
                        self.checks.handovers.on_let_go(from);
                    }
                    self.heard(from);
                    self.feed(Input::Message { conn, from, to, body });
                }
            }
            Event::AgentSeesEnd(conn) => {
                if let Some(link) = self.links.get_mut(&conn).filter(|l| l.agent_end) {
                    link.agent_end = false;
                    self.note(By::Agent, |w| format!("sees the link to {} end", w.caller(conn)));
                    self.feed(Input::Closed { conn });
                }
            }
            Event::ToProcess(conn, to, message) => self.process_hears(conn, to, *message),
            Event::Drained(conn, at) => self.process_drained(conn, at),
            Event::ProcessSeesEnd(conn) => self.process_sees_end(conn),
            Event::Pull(conn) => self.pull(conn),
            Event::Commit => self.commit(),
            Event::Committed(ticket, None) => {
                self.note(By::Agent, |_| format!("write {} is durable", ticket.0));
                self.feed(Input::Stored(ticket));
            }
            Event::Committed(ticket, Some(reason)) => {
                self.note(By::Agent, |_| format!("write {} has failed: {reason}", ticket.0));
                self.feed(Input::StoreFailed(ticket, reason));
            }
            Event::Exit(key, cause) => self.agent_sees_exit(key, cause),
            Event::Sweep(who) => self.sweep(who),
            Event::Sampled(key, slots, token) => {
                let who = self.mapped.get(&key).copied();
                let exporter = who.and_then(|who| self.processes[who].exporter_mut());
                let samples = exporter.map(|e| e.sample(&slots)).unwrap_or_default();
                self.feed(Input::Sampled { key, samples, token: Some(token) });
            }
            Event::Connect(who) => self.connect(who),
            Event::Says(who, conn, body) => self.say(who, conn, *body),
            Event::Computes(who, conn, req, slots) => self.compute(who, conn, req, &slots),
            Event::Values(who) => self.change_values(who),
            Event::OwnClock(who) => self.own_clock(who),
            Event::Beat(who) => self.beat(who),
            Event::Continue(who) => self.continue_process(who),
            Event::Launch(service) => self.launched(&service),
            Event::AgentStarts => self.start_agent(),
            Event::Trouble => self.trouble(),
        }
    }

    /// Which process an event is done by, so that it waits while that is stopped.
    fn actor(&self, event: &Event) -> Option<Who> {
        match event {
            Event::Connect(who)
            | Event::Says(who, ..)
            | Event::Computes(who, ..)
            | Event::Values(who)
            | Event::OwnClock(who)
            | Event::Beat(who)
            | Event::Continue(who) => Some(*who),
            Event::ToProcess(conn, ..) | Event::ProcessSeesEnd(conn) | Event::Drained(conn, _) => self.links.get(conn).map(|l| l.who),
            _ => None,
        }
    }

    // Small hands.

    fn after(&mut self, delay: u64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + delay, self.order), event);
    }

    /// An act that comes after so long, unless the run is flown again and it came at another time.
    fn after_act(&mut self, track: Track, delay: u64, event: Event) {
        let due = self.acts.due(track, self.now + delay);
        self.after(due.saturating_sub(self.now), event);
    }

    /// How long a message, a wake-up or a commit takes: mostly little.
    fn delay(&mut self) -> u64 {
        match self.random.below(100) {
            0..80 => self.random.between(MS / 50, MS),
            80..97 => self.random.between(MS, 8 * MS),
            _ if self.calm => self.random.between(MS, 8 * MS),
            _ => self.random.between(10 * MS, 60 * MS),
        }
    }

    /// The clocks of this CPU.
    pub fn moment(&self) -> Moment {
        Moment { time: Time(self.now), boot: Time(self.now), stamp: Stamp(self.now.saturating_add_signed(self.wall_ahead)) }
    }

    /// A line for the timeline, if it is kept.
    fn note(&mut self, by: By, what: impl FnOnce(&World) -> String) {
        if self.weather.trace {
            let what = what(self);
            if self.acts.is_telling() {
                let who = self.called(by);
                self.acts.tell(|| format!("{who} {what}").trim_start().to_owned());
            }
            let line = Line { step: self.step, at: self.now, cpu: self.node, who: self.called(by), what };
            self.timeline.push(line);
        }
    }

    fn called(&self, by: By) -> String {
        match by {
            By::Cpu => String::new(),
            By::Agent => "agent".into(),
            By::Process(who) => match self.processes.get(who).map(|p| &p.identity) {
                Some(Identity::Exactly(name)) => format!("{name} [{who}]"),
                Some(Identity::Pick(prefix)) => format!("{prefix}? [{who}]"),
                None => format!("[{who}]"),
            },
        }
    }

    /// What a process does in the present act, if that is told.
    fn tell(&mut self, who: Who, what: impl FnOnce() -> String) {
        if self.acts.is_telling() {
            let name = self.called(By::Process(who));
            self.acts.tell(|| format!("{name} {}", what()));
        }
    }

    /// Who is at the other end of a connection.
    fn caller(&self, conn: Conn) -> String {
        self.links.get(&conn).map_or_else(|| format!("connection {}", conn.0), |link| self.called(By::Process(link.who)))
    }

    pub(crate) fn judge(&mut self, result: Result<(), Violation>) {
        if let Err(mut violation) = result
            && self.violation.is_none()
        {
            violation.step = self.step;
            violation.at_ms = self.now / MS;
            self.note(By::Cpu, |_| format!("VIOLATION {violation}"));
            self.violation = Some(violation);
        }
    }

    /// How densely things happen.
    pub fn pace(&self) -> Pace {
        self.weather.pace
    }

    fn has(&self, defect: Defect) -> bool {
        self.weather.defect == Some(defect)
    }

    /// Every so many times, where a defect is.
    fn spoils(&mut self, defect: Defect, every: u64) -> bool {
        if !self.has(defect) {
            return false;
        }
        self.count += 1;
        self.count.is_multiple_of(every)
    }

    /// Live exporters that stand behind their source as far as the world can see: connected, and primary or for themselves.
    pub fn standing(&self) -> BTreeMap<Name, Who> {
        let mut standing = BTreeMap::new();
        for (who, process) in self.processes.iter().enumerate().filter(|(_, p)| p.alive && p.welcomed && !p.left) {
            if let Some(exporter) = process.exporter() {
                match (&process.identity, exporter.grouped) {
                    (_, true) if exporter.primary_in.is_some() => drop(standing.insert(exporter.service.clone(), who)),
                    (Identity::Exactly(name), false) => drop(standing.insert(name.clone(), who)),
                    _ => {}
                }
            }
        }
        standing
    }

    /// The live processes.
    pub fn living(&self, which: impl Fn(&Process) -> bool) -> Vec<Who> {
        self.processes.iter().enumerate().filter(|(_, p)| p.alive && which(p)).map(|(who, _)| who).collect()
    }

    /// The keys that the agent was told are dead.
    pub fn dead_keys(&self) -> &BTreeSet<Key> {
        self.checks.deaths.known()
    }
}

/// A name that is one.
pub fn name(text: &str) -> Name {
    text.parse().unwrap_or_else(|_| unreachable!("{text} is a name"))
}
