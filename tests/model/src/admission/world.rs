//! CPUs with a machine and at most one living member each, and the streams between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tif_core::machine::admission::{self, Admission};
use tif_core::model::{Incarnation, Key, MemberNumber, NodeId, ProcId};

use super::Step;
use crate::World;

/// How much may happen.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// CPUs.
    pub cpus: usize,
    /// Members on each, one after the other.
    pub lives: u32,
    /// Cuts between two CPUs.
    pub cuts: u8,
    /// Agents that begin anew.
    pub restarts: u8,
    /// So much may be under way from one to another before who waits there has waited long enough. None: who has claimed a number does not go on before
    /// that was heard, and what was said to it.
    pub way: usize,
}

/// What one agent says to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Said {
    /// These are all its members.
    Greeting(Option<(Key, Option<MemberNumber>)>),
    Member(Key, Option<MemberNumber>),
    Gone(Key),
    Claim(Key, MemberNumber),
}

#[derive(Clone, Debug, Default, Hash)]
struct Cpu {
    admission: Admission,
    member: Option<Key>,
    /// What the member was told.
    number: Option<MemberNumber>,
    /// It waits for its time.
    waits: bool,
    /// It has not said yet which number it claims now.
    is_silent: bool,
    lives: u32,
    /// Whom it hears.
    hears: BTreeSet<usize>,
}

/// All CPUs.
#[derive(Clone, Debug)]
pub struct Group {
    bounds: Bounds,
    cpus: Vec<Cpu>,
    /// What is under way, and whether it was said before the last claim of who is to hear it was heard, or at that moment.
    ways: BTreeMap<(usize, usize), VecDeque<(Said, bool)>>,
    cuts: u8,
    restarts: u8,
}

impl std::hash::Hash for Group {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (&self.cpus, &self.ways, self.cuts, self.restarts).hash(state);
    }
}

impl Group {
    /// All speak with one another, and there are no members.
    pub fn new(bounds: Bounds) -> Group {
        let cpu = |at: usize| Cpu { hears: (0..bounds.cpus).filter(|other| *other != at).collect(), ..Cpu::default() };
        Group { bounds, cpus: (0..bounds.cpus).map(cpu).collect(), ways: BTreeMap::new(), cuts: 0, restarts: 0 }
    }

    fn say(&mut self, from: usize, to: usize, said: Said) {
        if self.cpus[from].hears.contains(&to) {
            self.ways.entry((from, to)).or_default().push_back((said, false));
        }
    }

    fn say_to_all(&mut self, from: usize, said: &Said) {
        for to in 0..self.cpus.len() {
            self.say(from, to, said.clone());
        }
    }

    /// The stream from one to the other begins anew.
    fn greet(&mut self, from: usize, to: usize) {
        self.ways.remove(&(from, to));
        let cpu = &self.cpus[from];
        let greeting = cpu.member.map(|key| (key, cpu.admission.number(key)));
        self.say(from, to, Said::Greeting(greeting));
    }

    fn take(&mut self, at: usize, steps: Vec<admission::Step>) {
        let claims = steps.iter().any(|step| matches!(step, admission::Step::Claim { .. }));
        for step in steps {
            match step {
                admission::Step::Wait { .. } => (self.cpus[at].waits, self.cpus[at].is_silent) = (true, !claims),
                admission::Step::Claim { key, number, to: None } => self.say_to_all(at, &Said::Claim(key, number)),
                admission::Step::Claim { key, number, to: Some(node) } => self.say(at, place(node), Said::Claim(key, number)),
                admission::Step::Answer { key, to } => {
                    let number = self.cpus[at].admission.number(key);
                    self.say(at, place(to), Said::Member(key, number));
                }
                admission::Step::Admitted { key, number } => {
                    self.cpus[at].number = Some(number);
                    self.say_to_all(at, &Said::Member(key, Some(number)));
                }
                admission::Step::Lost { key } => {
                    self.cpus[at].number = None;
                    self.say_to_all(at, &Said::Member(key, None));
                }
            }
        }
    }

    fn is_alone(&self, at: usize) -> bool {
        self.cpus[at].hears.is_empty()
    }

    fn join(&mut self, at: usize) {
        let cpu = &mut self.cpus[at];
        cpu.lives += 1;
        let key = Key { node: NodeId(at as u32 + 1), proc: ProcId(1), inc: Incarnation::new(1, cpu.lives) };
        cpu.member = Some(key);
        self.say_to_all(at, &Said::Member(key, None));
        self.number(at);
    }

    fn number(&mut self, at: usize) {
        let alone = self.is_alone(at);
        let Some(key) = self.cpus[at].member else { return };
        let steps = self.cpus[at].admission.on_join(key, alone);
        self.take(at, steps);
    }

    fn hear(&mut self, at: usize, from: usize, said: Said) {
        let node = NodeId(from as u32 + 1);
        let admission = &mut self.cpus[at].admission;
        let steps = match said {
            Said::Greeting(member) => {
                admission.keep_of(node, &member.iter().map(|(key, _)| *key).collect());
                member.map(|(key, number)| admission.on_member(key, number)).unwrap_or_default()
            }
            Said::Member(key, number) => admission.on_member(key, number),
            Said::Claim(key, number) => admission.on_claim(key, number),
            Said::Gone(key) => {
                admission.on_gone(key);
                Vec::new()
            }
        };
        self.take(at, steps);
    }

    fn is_quiet(&self) -> bool {
        let all_hear = self.cpus.iter().all(|cpu| cpu.hears.len() + 1 == self.cpus.len());
        all_hear && self.ways.values().all(VecDeque::is_empty) && self.cpus.iter().all(|cpu| !cpu.waits)
    }

    /// Whether so much is under way that nobody here can have waited long enough.
    fn is_too_early(&self, at: usize) -> bool {
        let in_time = self.bounds.way == 0;
        if in_time && self.cpus[at].is_silent {
            return false;
        }
        let is_full = |(from, to): &(usize, usize), said: &VecDeque<(Said, bool)>| {
            (*from == at && said.len() > self.bounds.way) || (*to == at && in_time && said.iter().any(|(_, before)| *before))
        };
        self.ways.iter().any(|(way, said)| is_full(way, said))
    }
}

fn place(node: NodeId) -> usize {
    node.0 as usize - 1
}

impl World for Group {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let all = 0..self.cpus.len();
        let mut steps = Vec::new();
        for at in all.clone() {
            let cpu = &self.cpus[at];
            match cpu.member {
                None if cpu.lives < self.bounds.lives => steps.push(Step::Join(at)),
                // The last stays, so that there is somebody.
                Some(_) if cpu.lives < self.bounds.lives => steps.push(Step::Die(at)),
                _ => {}
            }
            if cpu.waits && !self.is_too_early(at) {
                steps.push(Step::Due(at));
            }
            if self.restarts < self.bounds.restarts {
                steps.push(Step::Restart(at));
            }
            for other in all.clone().filter(|other| *other != at) {
                let hears = cpu.hears.contains(&other);
                if self.ways.get(&(other, at)).is_some_and(|said| !said.is_empty()) {
                    steps.push(Step::Deliver(other, at));
                }
                if hears && at < other && self.cuts < self.bounds.cuts {
                    steps.push(Step::Cut(at, other));
                }
                if !hears {
                    steps.push(Step::GiveUp(at, other));
                    if at < other {
                        steps.push(Step::Heal(at, other));
                    }
                }
            }
        }
        steps
    }

    fn after(&self, step: &Step) -> Option<Group> {
        let mut next = self.clone();
        match *step {
            Step::Join(at) => next.join(at),
            Step::Die(at) => {
                let cpu = &mut next.cpus[at];
                let key = cpu.member.take()?;
                (cpu.number, cpu.waits, cpu.is_silent) = (None, false, false);
                cpu.admission.on_left(key);
                next.say_to_all(at, &Said::Gone(key));
            }
            Step::Due(at) => {
                let (alone, cpu) = (next.is_alone(at), &mut next.cpus[at]);
                cpu.waits = false;
                let steps = cpu.admission.on_due(cpu.member?, alone);
                next.take(at, steps);
            }
            Step::Deliver(from, to) => {
                let (said, _) = next.ways.get_mut(&(from, to))?.pop_front()?;
                next.ways.retain(|_, said| !said.is_empty());
                let is_claim = matches!(said, Said::Claim(..));
                next.hear(to, from, said);
                for (_, before) in next.ways.get_mut(&(to, from)).filter(|_| is_claim).into_iter().flatten() {
                    *before = true;
                }
            }
            Step::Cut(a, b) => {
                next.cuts += 1;
                for (one, other) in [(a, b), (b, a)] {
                    next.cpus[one].hears.remove(&other);
                    next.ways.remove(&(one, other));
                }
            }
            Step::GiveUp(at, other) => {
                let before = next.cpus[at].admission.clone();
                next.cpus[at].admission.keep_of(NodeId(other as u32 + 1), &BTreeSet::new());
                if next.cpus[at].admission == before {
                    return None;
                }
            }
            Step::Heal(a, b) => {
                for (one, other) in [(a, b), (b, a)] {
                    next.cpus[one].hears.insert(other);
                }
                next.greet(a, b);
                next.greet(b, a);
            }
            Step::Restart(at) => {
                next.restarts += 1;
                let cpu = &mut next.cpus[at];
                let known = cpu.member.zip(cpu.number);
                (cpu.admission, cpu.waits, cpu.is_silent) = (Admission::default(), false, false);
                if let Some((key, number)) = known {
                    cpu.admission.restore(key, number);
                }
                for other in next.cpus[at].hears.clone() {
                    next.greet(at, other);
                    next.greet(other, at);
                }
                next.number(at);
            }
        }
        Some(next)
    }

    fn wrong(&self) -> Option<String> {
        let holders = self.cpus.iter().filter_map(|cpu| cpu.number);
        let all: BTreeSet<MemberNumber> = holders.clone().collect();
        let is_shared = holders.count() > all.len();
        let members = self.cpus.iter().map(|cpu| cpu.lives).sum();
        if let Some(great) = all.iter().find(|number| number.0 > members) {
            return Some(format!("somebody is member {great}, and there were {members}"));
        }
        if self.bounds.way == 0 && self.cuts == 0 && self.restarts == 0 && is_shared {
            return Some("two members hold the same number, and all was said in time".into());
        }
        if self.is_quiet() {
            if is_shared {
                return Some("nothing happens any more, and two members hold the same number".into());
            }
            if self.cpus.iter().any(|cpu| cpu.member.is_some() && cpu.number.is_none()) {
                return Some("nothing happens any more, and a member has no number".into());
            }
        }
        None
    }
}
