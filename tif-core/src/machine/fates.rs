//! What has become of the processes that the store remembers, when an agent starts.
//!
//! | record | operating system | it is |
//! |---|---|---|
//! | not ended, the last of its registration | runs | Unreachable, until it resumes |
//! | not ended, and another of its registration is later | runs | Dead: that life was taken back |
//! | not ended | is gone | Dead: nobody saw how |
//! | ended, by its own leave | either | Unregistered |
//! | ended otherwise | either | Dead |
// spec: MON-7, PSM-1, PSM-4

use std::collections::{BTreeMap, BTreeSet};

use crate::agent::io::ProcessRecord;
use crate::defects::{Defect, defect};
use crate::model::{Cause, Incarnation, Key, ProcessState};

/// The state of each process, in the order of the records. `alive` are the keys whose very OS process runs, by its pid and its start.
pub fn fates(processes: &[ProcessRecord], alive: &BTreeSet<Key>) -> Vec<ProcessState> {
    // Of one registration that was taken back and made again, both may be remembered: the later is the one.
    let mut registrations: BTreeMap<(u128, u32, u64), Incarnation> = BTreeMap::new();
    let registration = |p: &ProcessRecord| (p.nonce, p.credentials.pid, p.credentials.started);
    for process in processes {
        let last = registrations.entry(registration(process)).or_default();
        *last = (*last).max(process.key.inc);
    }
    let fate = |process: &ProcessRecord| {
        let is_last = registrations.get(&registration(process)) == Some(&process.key.inc);
        let ended = process.ended && !defect(Defect::ForgetEnd);
        let runs = (alive.contains(&process.key) || defect(Defect::RaiseDead)) && !defect(Defect::BuryOrphan);
        if !ended && is_last && runs {
            ProcessState::Unreachable
        } else if process.ended && process.cause == Some(Cause::Unregistered) {
            ProcessState::Unregistered
        } else {
            ProcessState::Dead
        }
    };
    processes.iter().map(fate).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Epoch, NodeId, ProcId, Role, Stamp};
    use crate::wire::Credentials;

    fn record(proc: u64, counter: u32, nonce: u128, ended: bool, cause: Option<Cause>) -> ProcessRecord {
        ProcessRecord {
            name: format!("p-{proc}").parse().unwrap(),
            key: Key { node: NodeId(1), proc: ProcId(proc), inc: Incarnation::new(1, counter) },
            nonce,
            credentials: Credentials { pid: 7, started: 100, ..Credentials::default() },
            service: None,
            grouped: false,
            role: Role::Importer,
            term: Epoch(0),
            number: None,
            ended,
            program: String::new(),
            cause,
            since: Stamp::default(),
        }
    }

    // spec: MON-7
    #[test]
    fn who_runs_is_unreachable_and_who_does_not_is_dead() {
        let all = [record(1, 1, 1, false, None), record(2, 2, 2, false, None)];
        assert_eq!(fates(&all, &BTreeSet::from([all[0].key])), [ProcessState::Unreachable, ProcessState::Dead]);
    }

    // spec: PSM-4
    #[test]
    fn a_life_that_was_ended_stays_so_though_its_os_process_runs() {
        let all = [record(1, 1, 1, true, Some(Cause::Unregistered)), record(2, 2, 2, true, None)];
        let alive = all.iter().map(|p| p.key).collect();
        assert_eq!(fates(&all, &alive), [ProcessState::Unregistered, ProcessState::Dead]);
    }

    // spec: PSM-1
    #[test]
    fn of_a_registration_made_twice_the_later_lives() {
        let all = [record(1, 1, 1, false, None), record(2, 2, 1, false, None)];
        let alive = all.iter().map(|p| p.key).collect();
        assert_eq!(fates(&all, &alive), [ProcessState::Dead, ProcessState::Unreachable]);
    }
}
