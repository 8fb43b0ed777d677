//! Several CPUs: a world each, one fabric between them, one order of time.

pub mod net;
pub mod stories;

use std::collections::BTreeSet;

use tif_core::agent::io::Input;
use tif_core::machine::versions::Offer;
use tif_core::model::NodeId;

use crate::Random;
use crate::acts::{Acts, Track};
use crate::check::convergence::{self, Doubt};
use crate::check::shared::SharedGroups;
use crate::check::versions;
use crate::check::{Verdict, Violation};
use crate::story::Line;
use crate::world::{MS, SECOND, SPEAKS, Weather, World, speaks};
use net::Net;

/// All CPUs.
#[derive(Debug)]
pub struct System {
    /// Chance.
    pub random: Random,
    /// The CPUs, by number less one.
    pub worlds: Vec<World>,
    /// What is between them.
    pub net: Net,
    /// How many events there were.
    pub step: u64,
    /// The next trouble between CPUs; none: it is calm.
    pub trouble_at: Option<u64>,
    /// Groups with members on several CPUs.
    pub shared: SharedGroups,
    /// Which releases the CPUs run; none: all the same.
    // spec: FAB-5
    releases: Option<Random>,
    /// What happened to calls of procedures.
    pub calls: crate::check::calls::Calls,
    revivals: crate::check::revivals::Revivals,
    /// What chance lets happen between the CPUs, if that is kept.
    pub acts: Acts,
    /// The timeline of what is between the CPUs, if it is kept.
    pub timeline: Vec<Line>,
    trace: bool,
    /// When something happens next in which world, in order; and in each world.
    agenda: BTreeSet<(u64, usize)>,
    next_of: Vec<Option<u64>>,
    /// The time of the world that is furthest, as far as the present run has seen.
    latest: u64,
    /// When which cut heals.
    mends: Vec<(u64, Mend)>,
}

/// Which releases the CPUs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Releases {
    /// All the same.
    One,
    /// Any of three, and not the same after every start.
    Mixed,
    /// The same, and the last CPU one that has nothing in common with them.
    MixedAndForeign,
}

fn any_release(random: &mut Random) -> Offer {
    SPEAKS[random.below(SPEAKS.len() as u64) as usize]
}

fn foreign(random: &mut Random) -> Offer {
    if random.percent(50) { speaks(4, 5) } else { speaks(9, 12) }
}

fn numbers(nodes: &[NodeId]) -> String {
    nodes.iter().map(|node| format!("cpu{node}")).collect::<Vec<_>>().join(", ")
}

/// Where the next event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    Fate,
    Net,
    World(usize),
}

#[derive(Clone, Debug)]
enum Mend {
    /// All ways are whole again.
    Ways,
    /// This CPU comes back.
    Cpu(usize),
}

impl System {
    /// So many CPUs whose agents have just started.
    pub fn new(cpus: u32, seed: u64, weather: Weather) -> System {
        System::of_releases(cpus, seed, weather, Releases::One)
    }

    /// The same, of one release or of several.
    pub fn of_releases(cpus: u32, seed: u64, weather: Weather, releases: Releases) -> System {
        let mut random = Random::new(seed ^ 0x5eed_0fa1);
        let mut chance = (releases != Releases::One).then(|| Random::new(seed ^ 0x0ffe_12ed));
        let offers = |node: u32| match &mut chance {
            None => SPEAKS[0],
            Some(random) if releases == Releases::MixedAndForeign && node == cpus => foreign(random),
            Some(random) => any_release(random),
        };
        let offers: Vec<Offer> = (1..=cpus).map(offers).collect();
        let worlds = (1..=cpus).zip(offers).map(|(node, offer)| World::of_system(node, cpus, offer, random.any(), weather)).collect();
        let mut system = System {
            random,
            worlds,
            net: Net::default(),
            step: 0,
            shared: SharedGroups::default(),
            calls: Default::default(),
            revivals: Default::default(),
            trouble_at: None,
            releases: chance,
            acts: Acts::default(),
            timeline: Vec::new(),
            trace: weather.trace,
            agenda: BTreeSet::new(),
            next_of: Vec::new(),
            latest: 0,
            mends: Vec::new(),
        };
        system.introduce();
        system
    }

    /// The usual population everywhere, and trouble from now on.
    pub fn populate(&mut self) {
        for world in &mut self.worlds {
            world.populate();
        }
        let now = self.now();
        let is_bad = self.acts.begin(Track::Ways, now, &mut self.random);
        let (loss, doubles) = (self.random.below(6), self.random.below(4));
        if is_bad == Some(true) {
            self.make_ways(loss, doubles);
        }
        self.acts.end();
        self.trouble_at = Some(self.acts.due(Track::Between, now + 500 * MS));
    }

    /// The ways between CPUs are as bad as this, in a hundred datagrams.
    fn make_ways(&mut self, loss: u64, doubles: u64) {
        (self.net.loss, self.net.doubles) = (loss, doubles);
        self.note(|| format!("{loss} % of datagrams are lost and {doubles} % come twice"));
    }

    /// A line for the timeline, if it is kept.
    fn note(&mut self, what: impl FnOnce() -> String) {
        if self.trace {
            let what = what();
            self.acts.tell(|| what.clone());
            self.timeline.push(Line { step: self.step, at: self.now(), cpu: 0, who: "fabric".into(), what });
        }
    }

    /// The time: that of the world that is furthest.
    pub fn now(&self) -> u64 {
        self.worlds.iter().map(|w| w.now).max().unwrap_or(0)
    }

    /// The first thing that was wrong anywhere.
    pub fn violation(&self) -> Option<&Violation> {
        self.worlds.iter().find_map(|w| w.violation.as_ref())
    }

    /// Every agent can see every other, as far as the fabric knows.
    fn introduce(&mut self) {
        for i in 0..self.worlds.len() {
            self.introduce_to(i);
        }
    }

    fn introduce_to(&mut self, i: usize) {
        let own = self.worlds[i].node;
        for node in (1..=self.worlds.len() as u32).filter(|node| *node != own) {
            self.worlds[i].feed(Input::PeerSeen { node: NodeId(node) });
        }
        self.collect(i);
    }

    /// Takes what a world sends to the others.
    fn collect(&mut self, i: usize) {
        let world = &mut self.worlds[i];
        let (from, now) = (NodeId(world.node), world.now);
        for (to, frame) in std::mem::take(&mut world.outgoing) {
            let verdict = versions::on_sent(&self.worlds[i], &self.worlds[to.0 as usize - 1], &frame);
            self.worlds[i].judge(verdict);
            self.net.send(&mut self.random, now, from, to, frame);
        }
        // spec: CTL-4
        for result in std::mem::take(&mut self.worlds[i].answered_abroad) {
            if !result.dry_run {
                self.judge_shared(i, &result);
            }
            let durable = self.worlds.iter().filter_map(|w| w.store.durable_of(&result)).max();
            self.worlds[i].judge_answer(&result, durable.map(|(_, version)| version));
        }
        for revival in std::mem::take(&mut self.worlds[i].revived) {
            let home = &self.worlds[revival.home() as usize - 1];
            let verdict = match &home.agent {
                Some(agent) => self.revivals.on_told(self.worlds[i].node, &revival, home.now, &agent.outages(home.time()), &home.returns),
                None => Ok(()),
            };
            self.worlds[i].judge(verdict);
        }
        for event in std::mem::take(&mut self.worlds[i].calls) {
            let verdict = self.calls.on_event(&event, |id| self.worlds.iter().any(|world| world.store.call(id).is_some()));
            self.worlds[i].judge(verdict);
        }
        for office in std::mem::take(&mut self.worlds[i].offices) {
            let verdict = self.shared.on_office(self.worlds[i].node, &office, self.worlds[i].store.logs.get(&office.service));
            self.worlds[i].judge(verdict);
        }
        // An agent that started is told who can be seen.
        if std::mem::take(&mut self.worlds[i].agent_is_new) {
            self.introduce_to(i);
        }
    }

    /// A change was answered: of a group on several CPUs it is where it must be.
    fn judge_shared(&mut self, i: usize, result: &tif_core::model::SetResult) {
        for service in ["orders", "billing"].map(crate::world::name) {
            if result.changed.iter().any(|c| c.name.starts_with(&format!("{service}."))) {
                let logs: Vec<_> = self.worlds.iter().filter_map(|w| w.store.logs.get(&service)).collect();
                let verdict = self.shared.on_answer(&service, result, &logs);
                self.worlds[i].judge(verdict);
            }
        }
    }

    /// Everything until it is this late, but no step after this one.
    pub fn run_to(&mut self, end: u64, stop: u64) {
        self.look_at_agendas();
        while self.latest < end && self.step < stop {
            match self.next() {
                Some((at, next)) if self.happen(at, next) => {}
                _ => return,
            }
        }
    }

    /// What happens next, and when. Of what happens at the same time: fate first, then the net, then the CPUs by number.
    fn next(&self) -> Option<(u64, Next)> {
        let fate = self.trouble_at.into_iter().chain(self.mends.iter().map(|(at, _)| *at)).min().map(|at| (at, Next::Fate));
        let net = self.net.next().map(|at| (at, Next::Net));
        let world = self.agenda.first().map(|(at, i)| (*at, Next::World(*i)));
        fate.into_iter().chain(net).chain(world).min()
    }

    fn happen(&mut self, at: u64, next: Next) -> bool {
        self.step += 1;
        let i = match next {
            Next::Fate => {
                self.fate(at);
                self.look_at_agendas();
                return self.violation().is_none();
            }
            Next::Net => {
                let Some((from, to, frame)) = self.net.take() else { return true };
                let i = to.0 as usize - 1;
                self.worlds[i].now = self.worlds[i].now.max(at);
                self.worlds[i].step = self.step;
                self.worlds[i].receive(from, frame);
                i
            }
            Next::World(i) => {
                self.worlds[i].step = self.step;
                self.worlds[i].advance();
                i
            }
        };
        // Nothing else is touched: with many CPUs not all of them are looked at for each event.
        self.collect(i);
        self.look_at_agenda(i);
        self.worlds[i].violation.is_none()
    }

    /// Everything up to a time.
    pub fn run_until(&mut self, end: u64) -> bool {
        self.run_until_step(end, u64::MAX)
    }

    /// Everything up to a time, but no step after this one.
    pub fn run_until_step(&mut self, end: u64, stop: u64) -> bool {
        // What others did to the worlds since the last run is not known.
        self.look_at_agendas();
        while self.step < stop {
            match self.next() {
                Some((at, next)) if at <= end => {
                    if !self.happen(at, next) {
                        return false;
                    }
                }
                _ => {
                    for world in &mut self.worlds {
                        world.now = world.now.max(end);
                    }
                    break;
                }
            }
        }
        self.violation().is_none()
    }

    /// When something happens next in each world is looked at anew.
    fn look_at_agendas(&mut self) {
        self.agenda.clear();
        self.next_of = vec![None; self.worlds.len()];
        for i in 0..self.worlds.len() {
            self.look_at_agenda(i);
        }
    }

    fn look_at_agenda(&mut self, i: usize) {
        let next = self.worlds[i].next();
        self.latest = self.latest.max(self.worlds[i].now);
        if self.next_of.get(i).is_some_and(|known| *known != next) {
            if let Some(before) = std::mem::replace(&mut self.next_of[i], next) {
                self.agenda.remove(&(before, i));
            }
            self.agenda.extend(next.map(|at| (at, i)));
        }
    }

    /// Everything for so many milliseconds.
    pub fn run_ms(&mut self, ms: u64) -> bool {
        self.run_until(self.now() + ms * MS)
    }

    fn fate(&mut self, now: u64) {
        for world in &mut self.worlds {
            world.skip_to(now);
        }
        let due: Vec<Mend> = self.mends.extract_if(.., |(at, _)| *at <= now).map(|(_, mend)| mend).collect();
        for mend in due {
            match mend {
                Mend::Ways => {
                    self.net.cut.clear();
                    self.note(|| "all ways are whole again".into());
                }
                Mend::Cpu(i) => self.start_cpu(i),
            }
        }
        if self.trouble_at.is_some_and(|at| at <= now) {
            let Some(is_done) = self.acts.begin(Track::Between, now, &mut self.random) else {
                self.trouble_at = None;
                return;
            };
            let then = now + self.random.between(200 * MS, 6 * SECOND) * self.worlds[0].pace().slower();
            self.trouble_at = Some(self.acts.due(Track::Between, then));
            if is_done {
                self.trouble(now);
            }
            self.acts.end();
        }
    }

    /// Something happens between the CPUs, or to one of them as a whole.
    fn trouble(&mut self, now: u64) {
        let cpus = self.worlds.len();
        match self.random.below(100) {
            0..35 => {
                let one = self.random.below(cpus as u64) as usize;
                let (mut a, mut b) = (vec![NodeId(one as u32 + 1)], Vec::new());
                for node in (1..=cpus as u32).map(NodeId).filter(|n| n.0 as usize != one + 1) {
                    if self.random.percent(25) { a.push(node) } else { b.push(node) }
                }
                let both = self.random.percent(75);
                self.net.part(&a, &b, both);
                self.note(|| format!("nothing gets from {} to {}{}", numbers(&a), numbers(&b), if both { ", nor back" } else { "" }));
                let long =
                    if self.random.percent(60) { self.random.between(50 * MS, 900 * MS) } else { self.random.between(SECOND, 8 * SECOND) };
                self.mends.push((now + long, Mend::Ways));
            }
            35..50 => {
                let (loss, doubles) = (self.random.below(30), self.random.below(10));
                self.make_ways(loss, doubles);
            }
            50..65 => {
                let loss = self.random.below(3);
                self.make_ways(loss, 0);
            }
            65..80 => {
                let i = self.random.below(cpus as u64) as usize;
                self.stop_cpu(i);
                self.note(|| format!("cpu{} loses power", i + 1));
                let down = self.random.between(100 * MS, 6 * SECOND);
                self.mends.push((now + down, Mend::Cpu(i)));
            }
            80..95 => {
                // An agent that is starved or suspended.
                let i = self.random.below(cpus as u64) as usize;
                let ms = if self.random.percent(70) { self.random.between(50, 900) } else { self.random.between(1000, 10_000) };
                self.worlds[i].freeze(ms);
                self.note(|| format!("cpu{} stands still for {ms} ms", i + 1));
            }
            _ => {}
        }
    }

    /// A CPU loses its power.
    pub fn stop_cpu(&mut self, i: usize) {
        self.worlds[i].lose_power();
    }

    /// It has power again, perhaps with another release.
    pub fn start_cpu(&mut self, i: usize) {
        if let Some(random) = &mut self.releases
            && self.worlds[i].agent.is_none()
            && SPEAKS.contains(&self.worlds[i].speaks)
        {
            self.worlds[i].speaks = any_release(random);
        }
        self.worlds[i].start_agent();
        self.collect(i);
    }

    /// Looks at everything, after the trouble: who speaks with one another is one system, and who speaks with nobody one by itself.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn look(&self) -> Verdict {
        self.look_again(&mut Doubt::default())
    }

    /// The same, for who looks again and again until all is right.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn look_again(&self, doubt: &mut Doubt) -> Verdict {
        let all: Vec<&World> = self.worlds.iter().collect();
        versions::look(&all)?;
        let (system, apart): (Vec<&World>, Vec<&World>) = all.iter().partition(|world| versions::are_compatible(all[0], world));
        convergence::look_again(&system, doubt)?;
        apart.iter().try_for_each(|world| convergence::look(&[world]))
    }

    /// Trouble ends and everything heals.
    pub fn calm_down(&mut self) {
        self.trouble_at = None;
        let now = self.now();
        self.acts.begin(Track::Calm, now, &mut self.random);
        self.acts.end();
        for world in &mut self.worlds {
            world.skip_to(now);
        }
        self.mends.clear();
        self.net.heal();
        for i in 0..self.worlds.len() {
            self.worlds[i].calm_down();
            self.collect(i);
        }
    }
}
