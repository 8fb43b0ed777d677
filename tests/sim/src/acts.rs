//! The acts of a run: what chance lets happen, one after the other, so that it can be listed, and flown again without some of them.
//!
//! Like a film from which scenes are cut while the others keep their time of day. With each act is kept when it was due and the state of chance just before
//! it. When the run is flown again chance is put back to that state at each act: an act that stays is the same one, and what it causes takes as long as it
//! did, as far as that does not depend on what is left out. With nothing left out it is the same run, to the last message. While a run is neither kept nor
//! flown again all this does nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use crate::Random;
use crate::world::{SECOND, Who};

/// What sort of act it is. Each sort has its own numbers, and those of each process, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Track {
    /// A process that is there from the beginning.
    Cast,
    /// How bad the ways between CPUs are from the beginning.
    Ways,
    /// Trouble and work on a CPU.
    Trouble,
    /// Trouble between CPUs, or of a CPU as a whole.
    Between,
    /// A value of a process changes.
    Values(Who),
    /// The trouble ends. It cannot be left out.
    Calm,
}

/// The name of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActId {
    /// On which CPU; 0: between them.
    pub cpu: u32,
    /// Of which sort.
    pub track: Track,
    /// Which of them, from 0.
    pub number: u32,
}

/// An act as it was.
#[derive(Clone, Debug)]
pub struct Act {
    /// Its name.
    pub id: ActId,
    /// When it was due, in simulated nanoseconds.
    pub due: u64,
    /// What was done, in words, if they were asked for; empty if nothing came of it.
    pub what: Vec<String>,
    chance: Random,
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = if self.id.cpu == 0 { "-".to_owned() } else { format!("cpu{}", self.id.cpu) };
        let what = match (self.id.track, self.what.is_empty()) {
            (Track::Calm, _) => "the trouble ends".to_owned(),
            (_, true) => "nothing came of it".to_owned(),
            (_, false) => self.what.join("; "),
        };
        write!(f, "{:>11.6}s {cpu:<5} {what}", self.due as f64 / SECOND as f64)
    }
}

/// A run that is flown again.
#[derive(Clone, Debug, Default)]
pub struct Script {
    acts: BTreeMap<ActId, (u64, Random)>,
    kept: BTreeSet<ActId>,
    calm_at: Option<u64>,
}

impl Script {
    /// Of all these acts only those that are kept. `calm_at`: when the trouble ends, if not when it did.
    pub fn new(all: &[Act], kept: impl IntoIterator<Item = ActId>, calm_at: Option<u64>) -> Script {
        let acts = all.iter().map(|act| (act.id, (act.due, act.chance.clone()))).collect();
        Script { acts, kept: kept.into_iter().collect(), calm_at }
    }
}

/// The acts of one CPU, or of what is between them.
#[derive(Clone, Debug, Default)]
pub struct Acts {
    cpu: u32,
    keeps: bool,
    tells: bool,
    script: Option<Arc<Script>>,
    numbers: BTreeMap<Track, u32>,
    dues: BTreeMap<Track, u64>,
    done: Vec<Act>,
    open: bool,
}

impl Acts {
    /// Those of a CPU that are kept, and told in words if that is asked for, and follow a script if there is one.
    pub fn kept(cpu: u32, tells: bool, script: Option<Arc<Script>>) -> Acts {
        Acts { cpu, keeps: true, tells, script, ..Acts::default() }
    }

    /// An act begins: whether it is done. None: the script ends here, and there is no act.
    pub fn begin(&mut self, track: Track, now: u64, random: &mut Random) -> Option<bool> {
        if !self.keeps {
            return Some(true);
        }
        let number = self.numbers.entry(track).or_default();
        let id = ActId { cpu: self.cpu, track, number: *number };
        *number += 1;
        let due = self.dues.remove(&track).unwrap_or(now);
        let mut is_done = true;
        if let Some(script) = &self.script {
            let (_, chance) = script.acts.get(&id)?;
            *random = chance.clone();
            is_done = track == Track::Calm || script.kept.contains(&id);
        }
        self.open = is_done;
        if is_done {
            self.done.push(Act { id, due, what: Vec::new(), chance: random.clone() });
        }
        Some(is_done)
    }

    /// When the next act of a track is due, which chance lets happen then.
    pub fn due(&mut self, track: Track, then: u64) -> u64 {
        if !self.keeps {
            return then;
        }
        let id = ActId { cpu: self.cpu, track, number: self.numbers.get(&track).copied().unwrap_or(0) };
        let due = self.script.as_ref().and_then(|script| script.acts.get(&id)).map_or(then, |(due, _)| *due);
        self.dues.insert(track, due);
        due
    }

    /// When the trouble ends, if the script says so.
    pub fn calm_at(&self) -> Option<u64> {
        self.script.as_ref().and_then(|script| script.calm_at)
    }

    /// What the present act does, in words.
    pub fn tell(&mut self, what: impl FnOnce() -> String) {
        if self.open
            && self.tells
            && let Some(act) = self.done.last_mut()
        {
            act.what.push(what());
        }
    }

    /// Whether an act is under way that is told.
    pub fn is_telling(&self) -> bool {
        self.open && self.tells
    }

    /// The present act is over.
    pub fn end(&mut self) {
        self.open = false;
    }

    /// The acts that were done.
    pub fn take(&mut self) -> Vec<Act> {
        std::mem::take(&mut self.done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TROUBLE: ActId = ActId { cpu: 1, track: Track::Trouble, number: 1 };

    fn three() -> Vec<Act> {
        let (mut acts, mut random) = (Acts::kept(1, false, None), Random::new(7));
        for at in [10, 20, 30] {
            assert_eq!(acts.due(Track::Trouble, at), at);
            assert_eq!(acts.begin(Track::Trouble, at, &mut random), Some(true));
            random.any();
            acts.end();
        }
        acts.take()
    }

    #[test]
    fn acts_that_stay_keep_their_time_and_their_chance() {
        let all = three();
        let script = Script::new(&all, all.iter().map(|act| act.id).filter(|id| *id != TROUBLE), None);
        let (mut acts, mut random) = (Acts::kept(1, false, Some(Arc::new(script))), Random::new(8));
        let mut done = Vec::new();
        for then in [11, 12, 13] {
            let due = acts.due(Track::Trouble, then);
            done.push((due, acts.begin(Track::Trouble, due, &mut random), random.any()));
        }
        let mut chance = Random::new(7);
        assert_eq!(done, [(10, Some(true), chance.any()), (20, Some(false), chance.any()), (30, Some(true), chance.any())]);
        assert_eq!(acts.begin(Track::Trouble, 40, &mut random), None);
        assert_eq!(acts.take().len(), 2);
    }

    #[test]
    fn what_is_not_kept_costs_nothing_and_is_always_done() {
        let (mut acts, mut random) = (Acts::default(), Random::new(7));
        assert_eq!((acts.due(Track::Between, 5), acts.begin(Track::Between, 5, &mut random)), (5, Some(true)));
        acts.tell(|| unreachable!("nobody listens"));
        assert!(acts.take().is_empty());
    }
}
