//! The process state manager: names, keys, and what is known of each process.
//!
//! A registry office. Whoever comes with a name gets a key: the name's number, which never changes, and a new incarnation, which is never given
//! out twice. A death certificate is written only when the operating system says so; a process that cannot be reached is just that.
//!
//! | from | event | to |
//! |---|---|---|
//! | none, Dead, Unregistered | registers | Starting, next incarnation |
//! | live | registers again with the same nonce | as it was, same key |
//! | live | another registers the name | refused: the holder's key |
//! | Starting | ready | Alive |
//! | Alive, Suspect | link ends, process lives | Unreachable |
//! | Unreachable | resumes with its key | as before |
//! | Alive | stopped, or silent to a probe | Suspect |
//! | Suspect | runs and answers | Alive |
//! | live | operating system says it exited | Dead |
//! | live, on another kernel | silent to heartbeats and probe | Dead, as is presumed |
//! | live | takes its leave | Unregistered |
//! | Dead, Unregistered | anything | as it was: a key never comes back |
//!
//! From the process state manager design (keys with incarnations; alive, dead, unregistered).
// spec: PSM-1, PSM-2, PSM-7, PSM-8, PSM-9

use std::collections::BTreeMap;

use crate::agent::io::ProcessRecord;
use crate::defects::{Defect, defect};
use crate::limits;
use crate::model::{Cause, Incarnation, Key, Name, NodeId, ProcId, ProcessState, Refusal, Role, Time};
use crate::wire::{Credentials, Identity};

/// What is known of one name.
#[derive(Clone, Debug, Hash)]
pub struct Process {
    /// Its name.
    pub name: Name,
    /// Its latest key.
    pub key: Key,
    /// What is known.
    pub state: ProcessState,
    /// Since when.
    pub since: Time,
    /// How it ended.
    pub cause: Option<Cause>,
    /// What the operating system said of it.
    pub credentials: Credentials,
    /// Its registration's number.
    pub nonce: u128,
    /// What it was, once it is over.
    pub former: Former,
    /// Of one that the store remembers as living: since when it did, before its agent was lost.
    lived_since: Option<Time>,
    /// It was ready once: what an unreachable one returns to. Before, nobody is told of it.
    ready: bool,
    /// What was known of the name before this life, should its registration have to be taken back.
    before: Option<Box<Process>>,
}

impl Process {
    /// Whether it was ever ready, so that there is somebody of whom to tell.
    pub fn was_born(&self) -> bool {
        self.ready
    }

    /// Of one that lived before its agent was lost and was not heard of since: since when it lived.
    pub fn lived_since(&self) -> Option<Time> {
        self.lived_since
    }
}

/// What a process was that is no more, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Former {
    /// Its role.
    pub role: Role,
    /// Its service, if it exported.
    pub service: Option<Name>,
    /// The program, in its own words.
    pub program: String,
}

/// What a registration led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registered {
    /// The key.
    pub key: Key,
    /// The name.
    pub name: Name,
    /// It is the same life as before.
    pub resumed: bool,
}

/// A change that somebody may be interested in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Changed {
    /// It is ready.
    Born,
    /// It is dead for certain.
    Died(Cause),
    /// It was silent for too long, and nobody can look whether it lives: it is taken for dead, and if it is not, that life of it is over all the same.
    PresumedDead(Cause),
    /// It lives; its link is gone.
    Unreachable,
    /// It can be reached again.
    Reachable,
    /// It took its leave.
    Unregistered,
}

/// The registry of one CPU.
#[derive(Clone, Debug, Hash)]
pub struct Registry {
    node: NodeId,
    agent_epoch: u32,
    counter: u32,
    proc_max: u64,
    /// Process numbers up to this one will not be given out by any later agent.
    proc_covered: u64,
    by_name: BTreeMap<Name, Process>,
    by_proc: BTreeMap<ProcId, Name>,
}

impl Registry {
    /// An empty registry. `agent_epoch` is durable and greater than any before; `proc_max` is the greatest process number that may ever have been given
    /// out, and the next [`limits::PROCESS_NUMBERS_AHEAD`] are set apart for this registry.
    pub fn new(node: NodeId, agent_epoch: u32, proc_max: u64) -> Registry {
        let proc_covered = proc_max.saturating_add(limits::PROCESS_NUMBERS_AHEAD);
        Registry { node, agent_epoch, counter: 0, proc_max, proc_covered, by_name: BTreeMap::new(), by_proc: BTreeMap::new() }
    }

    /// Puts back what the store remembers: as unreachable until it resumes, if it lives, as dead or unregistered if not.
    // spec: MON-7
    pub fn restore(&mut self, now: Time, since: Time, record: &ProcessRecord, state: ProcessState) {
        let ProcessRecord { name, key, nonce, credentials, cause, .. } = record.clone();
        let former = Former { role: record.role, service: record.service.clone(), program: record.program.clone() };
        let (since, lived_since) = if state.is_live() { (now, Some(since)) } else { (since, None) };
        let process = Process { name, key, state, since, cause, credentials, nonce, former, lived_since, ready: true, before: None };
        self.proc_max = self.proc_max.max(key.proc.0);
        self.by_proc.insert(key.proc, process.name.clone());
        self.by_name.insert(process.name.clone(), process);
    }

    /// Gives out a key, or the same one again for the same registration.
    ///
    /// # Errors
    /// If the name is held by a live process, or there are too many names. Nothing has changed then.
    // spec: PSM-1, PSM-8
    pub fn register(&mut self, now: Time, identity: &Identity, nonce: u128, credentials: Credentials) -> Result<Registered, Refusal> {
        let name = match identity {
            Identity::Exactly(name) => name.clone(),
            Identity::Pick(prefix) => self.pick(prefix, nonce)?,
        };
        if name.as_str().len() > limits::PROCESS_NAME_LEN_MAX {
            return Err(Refusal::Malformed { reason: format!("a process name has at most {} bytes", limits::PROCESS_NAME_LEN_MAX) });
        }
        if let Some(holder) = self.by_name.get_mut(&name)
            && holder.state.is_live()
            && !(defect(Defect::TakeNameFromLiving) && holder.nonce != nonce)
        {
            if holder.nonce == nonce && holder.credentials == credentials {
                return Ok(Registered { key: holder.key, name, resumed: true });
            }
            return Err(Refusal::NameTaken { name: name.to_string(), holder: holder.key });
        }
        let proc = match self.by_name.get(&name) {
            Some(before) if !defect(Defect::ForgetNumber) => before.key.proc,
            _ => {
                self.make_room()?;
                self.proc_max += 1;
                ProcId(self.proc_max)
            }
        };
        let before = self.by_name.remove(&name).map(|before| Box::new(Process { before: None, ..before }));
        self.counter += u32::from(!defect(Defect::ReuseIncarnation));
        let epoch = if defect(Defect::ForgetAgentEpoch) { 1 } else { self.agent_epoch };
        let key = Key { node: self.node, proc, inc: Incarnation::new(epoch, self.counter) };
        let state = ProcessState::Starting;
        self.by_proc.insert(proc, name.clone());
        let (cause, former, ready) = (None, Former::default(), false);
        let lived_since = None;
        let process = Process { name: name.clone(), key, state, since: now, cause, credentials, nonce, former, lived_since, ready, before };
        self.by_name.insert(name.clone(), process);
        Ok(Registered { key, name, resumed: false })
    }

    /// A process says that it had this key before its link or its agent was lost.
    ///
    /// # Errors
    /// If that life is over or belongs to another OS process: it must register anew.
    // spec: PSM-7, PSM-9
    pub fn resume(&mut self, now: Time, key: Key, nonce: u128, credentials: Credentials) -> Result<(Registered, Option<Changed>), Refusal> {
        let current = self.current(key.proc);
        let is_same = |p: &&mut Process| (p.nonce == nonce && p.credentials == credentials) || defect(Defect::ResumeAsAnother);
        let process = self.live_mut(key).filter(is_same);
        let Some(process) = process else { return Err(Refusal::StaleKey { got: key, current }) };
        let changed = (process.state == ProcessState::Unreachable).then(|| {
            process.state = if process.ready { ProcessState::Alive } else { ProcessState::Starting };
            // It was its agent that was away, not the process.
            process.since = process.lived_since.take().unwrap_or(now);
            Changed::Reachable
        });
        Ok((Registered { key, name: process.name.clone(), resumed: true }, changed))
    }

    fn pick(&self, prefix: &Name, nonce: u128) -> Result<Name, Refusal> {
        // The same registration sent twice must find itself, even if a lower number has become free since.
        let numbered = |name: &Name| name.as_str().strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('-'));
        if let Some(own) = self.by_name.values().find(|p| p.state.is_live() && p.nonce == nonce && numbered(&p.name)) {
            return Ok(own.name.clone());
        }
        for n in 1..=limits::CONNECTIONS_MAX * 2 {
            let name: Name = format!("{prefix}-{n}").parse().map_err(|e| Refusal::Malformed { reason: format!("{e}") })?;
            match self.by_name.get(&name) {
                Some(p) if p.state.is_live() => {}
                _ => return Ok(name),
            }
        }
        Err(Refusal::TooMany { what: format!("live processes called {prefix}-N"), max: limits::CONNECTIONS_MAX as u64 * 2 })
    }

    /// Tombstones make room for the living, oldest first.
    // spec: SEC-2
    fn make_room(&mut self) -> Result<(), Refusal> {
        if self.by_name.len() < limits::PROCESSES_MAX {
            return Ok(());
        }
        let oldest =
            self.by_name.values().filter(|p| !p.state.is_live()).min_by_key(|p| (p.since, p.key)).map(|p| (p.name.clone(), p.key.proc));
        match oldest {
            Some((name, proc)) => {
                self.by_name.remove(&name);
                self.by_proc.remove(&proc);
                Ok(())
            }
            None => Err(Refusal::TooMany { what: "live processes".into(), max: limits::PROCESSES_MAX as u64 }),
        }
    }

    /// It has declared all it will export: it is born.
    pub fn on_ready(&mut self, now: Time, key: Key) -> Option<Changed> {
        let process = self.live_mut(key)?;
        let first = !process.ready;
        process.ready = true;
        if process.state == ProcessState::Starting {
            process.state = ProcessState::Alive;
            process.since = now;
        }
        first.then_some(Changed::Born)
    }

    /// Its link is gone; the operating system has said nothing.
    // spec: PSM-10
    pub fn on_link_lost(&mut self, now: Time, key: Key) -> Option<Changed> {
        let process = self.live_mut(key)?;
        if process.state == ProcessState::Unreachable {
            return None;
        }
        process.state = ProcessState::Unreachable;
        process.since = now;
        Some(Changed::Unreachable)
    }

    /// It is stopped or silent, or no longer.
    pub fn on_suspicion(&mut self, now: Time, key: Key, suspect: bool) {
        let Some(process) = self.live_mut(key) else { return };
        let next = match (process.state, suspect) {
            (ProcessState::Alive, true) => ProcessState::Suspect,
            (ProcessState::Suspect, false) => ProcessState::Alive,
            _ => return,
        };
        process.state = next;
        process.since = now;
    }

    /// The operating system says that it is dead. Only the first time counts.
    // spec: PSM-4
    pub fn on_exited(&mut self, now: Time, key: Key, cause: Cause) -> Option<Changed> {
        let process = self.live_mut(key)?;
        process.state = ProcessState::Dead;
        process.since = now;
        process.cause = Some(cause.clone());
        Some(Changed::Died(cause))
    }

    /// It is on another kernel, and has been silent for too long.
    // spec: PSM-6, PSM-10
    pub fn on_silent(&mut self, now: Time, key: Key) -> Option<Changed> {
        self.on_exited(now, key, Cause::Silent).map(|_| Changed::PresumedDead(Cause::Silent))
    }

    /// It took its leave.
    pub fn on_unregister(&mut self, now: Time, key: Key) -> Option<Changed> {
        let process = self.live_mut(key)?;
        process.state = ProcessState::Unregistered;
        process.since = now;
        process.cause = Some(Cause::Unregistered);
        Some(Changed::Unregistered)
    }

    /// The process with exactly this key, living or not.
    pub fn find(&self, key: Key) -> Option<&Process> {
        self.by_proc.get(&key.proc).and_then(|name| self.by_name.get(name)).filter(|p| p.key == key)
    }

    /// What is known of a name.
    // spec: PSM-3
    pub fn by_name(&self, name: &Name) -> Option<&Process> {
        self.by_name.get(name)
    }

    /// The live process with this pid.
    // spec: PSM-3
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.by_name.values().find(|p| p.credentials.is_here() && p.credentials.pid == pid && p.state.is_live())
    }

    /// The current key behind a process number, if that process lives.
    pub fn current(&self, proc: ProcId) -> Option<Key> {
        self.by_proc.get(&proc).and_then(|name| self.by_name.get(name)).filter(|p| p.state.is_live()).map(|p| p.key)
    }

    /// All, by name.
    pub fn iter(&self) -> impl Iterator<Item = &Process> {
        self.by_name.values()
    }

    /// At most so many, by name: all that live before any that do not, of those the latest.
    pub fn shown(&self, max: usize) -> impl Iterator<Item = &Process> {
        let mut dead: Vec<&Process> = self.by_name.values().filter(|p| !p.state.is_live()).collect();
        let live = self.by_name.len() - dead.len();
        dead.sort_unstable_by_key(|p| std::cmp::Reverse((p.since, p.key)));
        let keep: std::collections::BTreeSet<&Name> = dead.into_iter().take(max.saturating_sub(live)).map(|p| &p.name).collect();
        self.by_name.values().filter(move |p| p.state.is_live() || keep.contains(&p.name)).take(max)
    }

    /// A registration that could not be made durable, or whose process went before it was answered, did not happen: the name is as it was. Its
    /// incarnation is not used again.
    // spec: PSM-1, PSM-10
    pub fn take_back(&mut self, key: Key) {
        let Some(process) = self.live_mut(key) else { return };
        match process.before.take() {
            Some(before) => *process = *before,
            None => {
                let name = process.name.clone();
                self.by_name.remove(&name);
                self.by_proc.remove(&key.proc);
            }
        }
    }

    /// What a process was is written down while it is still known.
    pub fn remember(&mut self, key: Key, former: Former) {
        if let Some(process) = self.by_proc.get(&key.proc).and_then(|name| self.by_name.get_mut(name)).filter(|p| p.key == key) {
            process.former = former;
        }
    }

    /// Whether no later agent will give this key's number to another name, though the key itself is not durable.
    // spec: PSM-1, SEC-3
    pub fn is_covered(&self, key: Key) -> bool {
        key.proc.0 <= self.proc_covered
    }

    /// A process's record is durable, and with it that the numbers after its own are set apart.
    pub fn on_durable(&mut self, key: Key) {
        self.proc_covered = self.proc_covered.max(key.proc.0.saturating_add(limits::PROCESS_NUMBERS_AHEAD));
    }

    /// A registration is durable, or need not be.
    pub fn on_admitted(&mut self, key: Key) {
        if let Some(process) = self.live_mut(key) {
            process.before = None;
        }
    }

    fn live_mut(&mut self, key: Key) -> Option<&mut Process> {
        let name = self.by_proc.get(&key.proc)?;
        self.by_name.get_mut(name).filter(|p| p.key == key && (p.state.is_live() || defect(Defect::ResumeTheDead)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        Registry::new(NodeId(1), 3, 0)
    }

    fn named(name: &str) -> Identity {
        Identity::Exactly(name.parse().unwrap())
    }

    fn pid(pid: u32) -> Credentials {
        Credentials { pid, started: 100, ..Credentials::default() }
    }

    // spec: PSM-1
    #[test]
    fn the_same_name_keeps_its_id_and_gets_the_next_incarnation() {
        let mut r = registry();
        let first = r.register(Time(0), &named("orders-1"), 1, pid(10)).unwrap();
        r.on_exited(Time(1), first.key, Cause::Unknown);
        let second = r.register(Time(2), &named("orders-1"), 2, pid(11)).unwrap();
        assert_eq!(first.key.proc, second.key.proc);
        assert!(second.key.inc > first.key.inc);
    }

    // spec: PSM-1
    #[test]
    fn no_key_is_given_out_twice_even_after_the_store_forgot_the_process() {
        let mut before = registry();
        let old = before.register(Time(0), &named("orders-1"), 1, pid(10)).unwrap().key;
        let mut after = Registry::new(NodeId(1), 4, 0);
        let new = after.register(Time(0), &named("orders-1"), 1, pid(10)).unwrap().key;
        assert_ne!(old, new);
        assert!(new.inc > old.inc);
    }

    // spec: PSM-8
    #[test]
    fn a_name_held_by_a_live_process_is_refused_with_the_holders_key() {
        let mut r = registry();
        let holder = r.register(Time(0), &named("orders-1"), 1, pid(10)).unwrap().key;
        let refused = r.register(Time(1), &named("orders-1"), 2, pid(11));
        assert_eq!(refused, Err(Refusal::NameTaken { name: "orders-1".into(), holder }));
        r.on_link_lost(Time(2), holder);
        assert!(r.register(Time(3), &named("orders-1"), 2, pid(11)).is_err(), "unreachable is not dead");
    }

    #[test]
    fn the_same_registration_sent_twice_gets_the_same_key() {
        let mut r = registry();
        let pick = Identity::Pick("orders".parse().unwrap());
        let first = r.register(Time(0), &pick, 1, pid(10)).unwrap();
        let again = r.register(Time(1), &pick, 1, pid(10)).unwrap();
        assert_eq!(first.key, again.key);
        assert_eq!(r.register(Time(1), &pick, 2, pid(11)).unwrap().name.as_str(), "orders-2");
    }

    // spec: PSM-7, PSM-9
    #[test]
    fn a_life_that_is_over_cannot_be_resumed_nor_can_another_process_take_it() {
        let mut r = registry();
        let key = r.register(Time(0), &named("orders-1"), 1, pid(10)).unwrap().key;
        r.on_link_lost(Time(1), key);
        let reused_pid = Credentials { started: 200, ..pid(10) };
        assert!(r.resume(Time(2), key, 1, reused_pid).is_err(), "the pid came again, the process did not");
        assert!(r.resume(Time(2), key, 1, pid(10)).is_ok());
        r.on_exited(Time(3), key, Cause::Unknown);
        let refused = r.resume(Time(4), key, 1, pid(10)).unwrap_err();
        assert_eq!(refused, Refusal::StaleKey { got: key, current: None });
    }

    // spec: PSM-1, PSM-10
    #[test]
    fn a_registration_taken_back_leaves_the_name_as_it_was_and_its_key_unused() {
        let mut r = registry();
        let taken = r.register(Time(0), &named("a"), 1, pid(10)).unwrap().key;
        r.take_back(taken);
        assert!(r.by_name(&"a".parse().unwrap()).is_none());
        let first = r.register(Time(1), &named("a"), 1, pid(10)).unwrap().key;
        r.on_admitted(first);
        r.on_exited(Time(2), first, Cause::Hung);
        let second = r.register(Time(3), &named("a"), 2, pid(11)).unwrap().key;
        r.take_back(second);
        let left = r.by_name(&"a".parse().unwrap()).unwrap();
        assert_eq!((left.key, left.state, left.cause.clone()), (first, ProcessState::Dead, Some(Cause::Hung)));
        let third = r.register(Time(4), &named("a"), 2, pid(11)).unwrap().key;
        assert!(taken < first && first < second && second < third);
    }

    #[test]
    fn the_same_registration_finds_itself_even_if_a_lower_number_is_free_by_then() {
        let mut r = registry();
        let pick = Identity::Pick("orders".parse().unwrap());
        let first = r.register(Time(0), &pick, 1, pid(10)).unwrap().key;
        let second = r.register(Time(0), &pick, 2, pid(11)).unwrap();
        r.on_exited(Time(1), first, Cause::Unknown);
        assert_eq!(r.register(Time(2), &pick, 2, pid(11)).unwrap().key, second.key);
    }

    // spec: PSM-4
    #[test]
    fn a_death_counts_once_and_for_ever() {
        let mut r = registry();
        let key = r.register(Time(0), &named("a"), 1, pid(10)).unwrap().key;
        assert_eq!(r.on_ready(Time(1), key), Some(Changed::Born));
        assert_eq!(r.on_ready(Time(1), key), None);
        assert!(r.on_exited(Time(2), key, Cause::Unknown).is_some());
        assert!(r.on_exited(Time(2), key, Cause::Unknown).is_none());
        assert!(r.on_link_lost(Time(3), key).is_none() && r.on_ready(Time(3), key).is_none() && r.on_unregister(Time(3), key).is_none());
        assert_eq!(r.find(key).unwrap().state, ProcessState::Dead);
    }

    // spec: SEC-2
    #[test]
    fn tombstones_make_room_for_the_living() {
        let mut r = registry();
        for n in 0..limits::PROCESSES_MAX as u64 + 10 {
            let key = r.register(Time(n), &named(&format!("p{n}")), u128::from(n), pid(10)).unwrap().key;
            r.on_exited(Time(n), key, Cause::Unknown);
        }
        assert!(r.iter().count() <= limits::PROCESSES_MAX);
    }
}
