//! Processes, their registry, the store, and what the operating system knows to be true.

use std::collections::{BTreeMap, BTreeSet};

use tif_core::agent::io::ProcessRecord;
use tif_core::machine::fates::fates;
use tif_core::machine::process::{Changed, Former, Process, Registry};
use tif_core::model::{Cause, Epoch, Key, Name, NodeId, ProcId, ProcessState, Role, Stamp, Time};
use tif_core::wire::{Credentials, Identity};

use super::Step;
use super::watcher::{Told, Watcher};
use crate::World;

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Names.
    pub names: usize,
    /// OS processes that want each name, one after the other or at once.
    pub lives: usize,
    /// Agents, one after the other.
    pub agents: u32,
    /// How often each process may connect to register or to resume.
    pub hellos: u8,
    /// Processes may say each other's keys.
    pub steal: bool,
    /// How often the watcher may connect.
    pub watches: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Os {
    Unborn,
    Runs,
    Dead,
}

#[derive(Clone, Debug, Hash)]
struct Body {
    os: Os,
    /// What it was told.
    key: Option<Key>,
    /// It has a connection, and the agent knows no better.
    link: bool,
    /// It is registered, and waits for the store.
    admitting: Option<Key>,
    left: bool,
    hellos: u8,
}

/// One CPU.
#[derive(Clone, Debug)]
pub struct Office {
    bounds: Bounds,
    agents: u32,
    registry: Option<Registry>,
    store: BTreeMap<Name, ProcessRecord>,
    bodies: Vec<Body>,
    watcher: Watcher,
    watches: u8,
    /// Whose each key that was ever given out is.
    given: BTreeMap<Key, usize>,
    /// Those that were told to anybody: a registration that was taken back before is as if it had not been.
    answered: BTreeSet<Key>,
    wrong: Option<String>,
}

impl std::hash::Hash for Office {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.agents, &self.registry, &self.bodies, &self.watcher, self.watches, &self.given, &self.answered, &self.wrong).hash(state);
        for record in self.store.values() {
            (record.key, record.nonce, record.ended, &record.cause).hash(state);
        }
    }
}

const NOW: Time = Time(0);

impl Office {
    /// Nobody is there; the first agent has started.
    pub fn new(bounds: Bounds) -> Office {
        let body = Body { os: Os::Unborn, key: None, link: false, admitting: None, left: false, hellos: 0 };
        Office {
            bounds,
            agents: 1,
            registry: Some(Registry::new(NodeId(1), 1, 0)),
            store: BTreeMap::new(),
            bodies: vec![body; bounds.names * bounds.lives],
            watcher: Watcher::default(),
            watches: 0,
            given: BTreeMap::new(),
            answered: BTreeSet::new(),
            wrong: None,
        }
    }

    fn name(&self, at: usize) -> Name {
        format!("p{}", at / self.bounds.lives).parse().expect("a name")
    }

    /// The next life of a name has the same pid; nothing but its start tells them apart.
    fn credentials(&self, at: usize) -> Credentials {
        let (name, life) = (at / self.bounds.lives, at % self.bounds.lives);
        Credentials { pid: name as u32 + 1, started: life as u64, ..Credentials::default() }
    }

    fn is_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    fn registry(&mut self) -> &mut Registry {
        self.registry.as_mut().expect("only an agent that is there is asked")
    }

    fn keep(&mut self, at: usize, key: Key, ended: bool, cause: Option<Cause>) {
        let record = ProcessRecord {
            name: self.name(at),
            key,
            nonce: at as u128,
            credentials: self.credentials(at),
            service: None,
            grouped: false,
            role: Role::Importer,
            term: Epoch(0),
            number: None,
            ended,
            program: String::new(),
            cause,
            since: Stamp(0),
        };
        self.store.insert(record.name.clone(), record);
    }

    /// Whoever is interested is told, once the process was born.
    fn announce(&mut self, key: Key, changed: Option<Changed>) {
        let Some(changed) = changed else { return };
        if !self.registry().find(key).is_some_and(Process::was_born) {
            return;
        }
        let told = match changed {
            Changed::Born => Told::Born,
            Changed::Unreachable | Changed::Reachable => Told::Lives,
            Changed::Died(_) | Changed::PresumedDead(_) => Told::Over,
            Changed::Unregistered => Told::Over,
        };
        if let Some(wrong) = self.watcher.hear(key, told, false) {
            self.is_wrong(wrong);
        }
    }

    fn hello(&mut self, at: usize) {
        let (name, credentials, nonce) = (self.name(at), self.credentials(at), at as u128);
        self.bodies[at].hellos += 1;
        let resumed = match self.bodies[at].key {
            Some(key) => self.registry().resume(NOW, key, nonce, credentials),
            None => match self.registry().register(NOW, &Identity::Exactly(name), nonce, credentials) {
                Ok(registered) if registered.resumed => self.registry().resume(NOW, registered.key, nonce, credentials),
                Ok(registered) => return self.admit_later(at, registered.key),
                // Its name is taken: it may come again.
                Err(_) => return,
            },
        };
        match resumed {
            Ok((registered, changed)) => {
                self.announce(registered.key, changed);
                self.bodies[at].link = true;
                self.bodies[at].key = Some(registered.key);
                if self.given.get(&registered.key) != Some(&at) {
                    self.is_wrong(format!("process {at} goes on with {}, which is not its own", registered.key));
                }
            }
            Err(_) => self.is_wrong(format!("process {at} lives and cannot go on")),
        }
    }

    /// A key is given out, and is written down.
    fn admit_later(&mut self, at: usize, key: Key) {
        if self.given.contains_key(&key) {
            self.is_wrong(format!("{key} is given out twice"));
        }
        for (other, of) in self.given.clone() {
            let same = self.name(of) == self.name(at);
            if other.proc == key.proc && !same || other.proc != key.proc && same && self.answered.contains(&other) {
                self.is_wrong(format!("{key} and {other}: a number is a name's own, for ever"));
            } else if same && other.inc >= key.inc {
                self.is_wrong(format!("{key} is given out after {other}"));
            }
        }
        let lives = |(of, body): (usize, &Body)| {
            of != at && self.name(of) == self.name(at) && body.os == Os::Runs && (body.key.is_some() || body.admitting.is_some())
        };
        if self.bodies.iter().enumerate().any(lives) {
            self.is_wrong(format!("process {at} gets a name whose holder lives"));
        }
        // Incarnations grow, so an older key of the same process is not needed to tell the next ones from.
        let answered = &self.answered;
        self.given.retain(|other, of| *of != at || answered.contains(other));
        self.given.insert(key, at);
        self.keep(at, key, false, None);
        self.bodies[at].link = true;
        self.bodies[at].admitting = Some(key);
    }

    fn stored(&mut self, at: usize, heard: bool) {
        let Some(key) = self.bodies[at].admitting.take() else { return };
        self.answered.insert(key);
        self.registry().on_admitted(key);
        self.registry().remember(key, Former::default());
        if heard {
            self.bodies[at].key = Some(key);
        } else {
            self.lose_link(at, key);
        }
    }

    fn lose_link(&mut self, at: usize, key: Key) {
        self.bodies[at].link = false;
        let changed = self.registry().on_link_lost(NOW, key);
        self.announce(key, changed);
    }

    /// It went before it was answered.
    fn abandon(&mut self, at: usize) -> bool {
        let Some(key) = self.bodies[at].admitting.take() else { return false };
        self.bodies[at].link = false;
        self.registry().take_back(key);
        self.keep(at, key, true, None);
        true
    }

    fn break_link(&mut self, at: usize) {
        if !self.abandon(at)
            && let Some(key) = self.bodies[at].key
        {
            self.lose_link(at, key);
        }
    }

    /// The lives of an OS process that the registry takes for living.
    fn held(&self, at: usize) -> Option<Key> {
        let held = |p: &&Process| p.state.is_live() && p.credentials == self.credentials(at);
        self.registry.as_ref()?.iter().find(held).map(|p| p.key)
    }

    fn exit(&mut self, at: usize) {
        if self.abandon(at) {
            return;
        }
        let Some(key) = self.held(at) else { return };
        self.bodies[at].link = false;
        let changed = self.registry().on_exited(NOW, key, Cause::Unknown);
        self.announce(key, changed);
        self.keep(at, key, true, Some(Cause::Unknown));
    }

    fn leave(&mut self, at: usize) {
        let Some(key) = self.bodies[at].key.take() else { return };
        (self.bodies[at].link, self.bodies[at].left) = (false, true);
        let changed = self.registry().on_unregister(NOW, key);
        self.announce(key, changed);
        self.keep(at, key, true, Some(Cause::Unregistered));
    }

    fn steal(&mut self, by: usize, of: usize) {
        let Some(key) = self.bodies[of].key else { return };
        let credentials = self.credentials(by);
        if self.registry().resume(NOW, key, by as u128, credentials).is_ok() {
            self.is_wrong(format!("process {by} takes the key of process {of}"));
        }
    }

    fn late(&mut self, at: usize) {
        let Some(key) = self.bodies[at].key else { return };
        let credentials = self.credentials(at);
        if self.registry().resume(NOW, key, at as u128, credentials).is_ok() {
            self.is_wrong(format!("{key} goes on after its end"));
        }
        let changed = self.registry().on_ready(NOW, key);
        self.announce(key, changed);
    }

    fn crash(&mut self) {
        self.registry = None;
        self.watcher.link = None;
        for body in &mut self.bodies {
            (body.link, body.admitting) = (false, None);
        }
    }

    fn restart(&mut self) {
        self.agents += 1;
        // The greatest number that was ever written down.
        let proc_max = self.given.keys().map(|k| k.proc).max().unwrap_or(ProcId(0)).0;
        let mut registry = Registry::new(NodeId(1), self.agents, proc_max);
        let records: Vec<ProcessRecord> = self.store.values().cloned().collect();
        let runs = |p: &&ProcessRecord| self.bodies[p.nonce as usize].os == Os::Runs;
        let alive: BTreeSet<Key> = records.iter().filter(runs).map(|p| p.key).collect();
        for (record, state) in records.iter().zip(fates(&records, &alive)) {
            if state.is_live() && !alive.contains(&record.key) {
                self.is_wrong(format!("{} is dead, and the new agent takes it for alive", record.key));
            }
            registry.restore(NOW, NOW, record, state);
        }
        self.registry = Some(registry);
    }

    fn watch(&mut self) {
        self.watches += 1;
        self.watcher.link = Some(BTreeSet::new());
        let known: Vec<(Key, ProcessState)> = self.registry().iter().filter(|p| p.was_born()).map(|p| (p.key, p.state)).collect();
        for (key, state) in known {
            let told = if state.is_live() { Told::Lives } else { Told::Over };
            if let Some(wrong) = self.watcher.hear(key, told, true) {
                self.is_wrong(wrong);
            }
        }
    }

    /// What an outsider who sees everything knows to be wrong.
    fn look(&self) -> Option<String> {
        for p in self.registry.as_ref()?.iter() {
            let body = &self.bodies[p.nonce as usize];
            let dead = p.state == ProcessState::Dead && p.cause == Some(Cause::Unknown);
            if dead && body.os != Os::Dead {
                return Some(format!("{} is said to be dead, and lives", p.key));
            }
            if p.state == ProcessState::Unregistered && !body.left {
                return Some(format!("{} is said to have left, and has not", p.key));
            }
            if p.state.is_live() && body.left {
                return Some(format!("{} has left, and is said to live", p.key));
            }
        }
        None
    }
}

impl World for Office {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let up = self.registry.is_some();
        for (at, body) in self.bodies.iter().enumerate() {
            match body.os {
                // Those who want the same name are alike until they start.
                Os::Unborn if at % self.bounds.lives == 0 || self.bodies[at - 1].os != Os::Unborn => steps.push(Step::Start(at)),
                Os::Runs => {
                    steps.push(Step::Die(at));
                    if up && !body.link && !body.left && body.hellos < self.bounds.hellos {
                        steps.push(Step::Hello(at));
                    }
                    if up && body.link && body.admitting.is_none() {
                        steps.extend([Step::Ready(at), Step::Leave(at)]);
                    }
                    let others = (0..self.bodies.len()).filter(|of| up && self.bounds.steal && *of != at);
                    steps.extend(others.map(|of| Step::Steal { by: at, of }));
                }
                Os::Dead if up && (self.held(at).is_some() || body.admitting.is_some()) => steps.push(Step::Exit(at)),
                Os::Dead if up && body.key.is_some() => steps.push(Step::Late(at)),
                Os::Unborn | Os::Dead => {}
            }
            if body.admitting.is_some() {
                steps.extend([Step::Stored(at), Step::StoredUnheard(at)]);
            }
            steps.extend(body.link.then_some(Step::Break(at)));
        }
        if up {
            steps.push(Step::Crash);
            match self.watcher.link {
                Some(_) => steps.push(Step::Unwatch),
                None => steps.extend((self.watches < self.bounds.watches).then_some(Step::Watch)),
            }
        } else {
            steps.extend((self.agents < self.bounds.agents).then_some(Step::Restart));
        }
        steps
    }

    fn after(&self, step: &Step) -> Option<Office> {
        let mut next = self.clone();
        match *step {
            Step::Start(at) => next.bodies[at].os = Os::Runs,
            Step::Die(at) => {
                next.bodies[at].os = Os::Dead;
                // It does not come again.
                next.bodies[at].hellos = next.bounds.hellos;
            }
            Step::Hello(at) => next.hello(at),
            Step::Stored(at) => next.stored(at, true),
            Step::StoredUnheard(at) => next.stored(at, false),
            Step::Ready(at) => {
                let key = next.bodies[at].key?;
                let changed = next.registry().on_ready(NOW, key);
                next.announce(key, changed);
            }
            Step::Break(at) => next.break_link(at),
            Step::Exit(at) => next.exit(at),
            Step::Leave(at) => next.leave(at),
            Step::Steal { by, of } => next.steal(by, of),
            Step::Late(at) => next.late(at),
            Step::Crash => next.crash(),
            Step::Restart => next.restart(),
            Step::Watch => next.watch(),
            Step::Unwatch => next.watcher.link = None,
        }
        if next.wrong.is_none() {
            next.wrong = next.look();
        }
        Some(next)
    }

    fn wrong(&self) -> Option<String> {
        self.wrong.clone()
    }
}
