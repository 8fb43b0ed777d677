//! Starting: what the store remembers, who of them still lives, and only then the socket.
// spec: MON-7, PSM-1, PSM-9

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use tif::segment::Vigil;
use tif_core::agent::Agent;
use tif_core::agent::io::{LaunchPolicy, Observed, ProcessRecord, Start};
use tif_core::model::{Key, Name, NodeId};
use tif_process::{RunDir, peer};

use super::process::Process;
use super::scan::Scan;
use super::seen::Seen;
use super::sources::{Signals, Source, Sources};
use super::{Figures, Shell, now};
use crate::fabric::{Fabric, Peer};
use crate::local::Listener;
use crate::local::connection::READ_TURN_MAX;
use crate::store::{StateStore, StoreError, Writer};
use crate::supervisor::Supervisor;

/// All that an agent is made of.
#[derive(Debug)]
pub struct Setup {
    /// The CPU's name.
    pub cpu: Name,
    /// Where processes find it. The caller holds its [`crate::lock::Lock`].
    pub run_dir: RunDir,
    /// What survives it.
    pub store: Box<dyn StateStore>,
    /// The store was made just now.
    pub store_is_new: bool,
    /// Starts processes.
    pub supervisor: Supervisor,
    /// What the core needs to know of services that can be launched.
    pub policies: Vec<LaunchPolicy>,
    /// The CPUs that vote on who leads.
    pub voters: Vec<NodeId>,
    /// The way to other CPUs.
    pub fabric: Box<dyn Fabric>,
    /// Signals to end at.
    pub signals: Option<Signals>,
}

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The operating system.
    #[error("cannot {what}")]
    Io {
        /// What was being done.
        what: &'static str,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

fn io(what: &'static str) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Io { what, source }
}

impl Shell {
    /// Starts the agent. Processes can connect when this returns.
    ///
    /// # Errors
    /// If there is no store or no socket. The agent's epoch may have grown.
    pub fn start(mut setup: Setup) -> Result<Shell, StartError> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let beacon = Beacon::of(&setup.run_dir);
        let seen = Seen::of(&setup.run_dir, boot.trim());
        let last_seen = seen.last(now());
        let remembered = setup.store.load()?;
        let agent_epoch = setup.store.begin(beacon.least(setup.store_is_new), boot.trim())?;
        beacon.write(agent_epoch).map_err(io("write the agent's epoch into the run directory"))?;

        let same_boot = remembered.boot == boot.trim();
        let living: Vec<(ProcessRecord, OwnedFd)> = remembered
            .processes
            .iter()
            .filter(|p| same_boot && !p.ended)
            .filter_map(|p| Some((p.clone(), peer::open_pidfd(&p.credentials).ok()?)))
            .collect();
        tracing::info!(
            target: "tif::shell",
            cpu = %setup.cpu, epoch = agent_epoch, remembered = remembered.processes.len(), alive = living.len(),
            controls = remembered.controls.len(), "agent starts"
        );
        if setup.store_is_new && !remembered.founding && setup.voters.len() > 1 && setup.voters.contains(&remembered.node) {
            tracing::warn!(
                target: "tif::store",
                "the store is new: this CPU votes once most of the others have told it what was voted. If the system is new, too, found it: see --found"
            );
        }
        let start = Start {
            node: remembered.node,
            cpu: Some(setup.cpu.clone()),
            offer: tif_core::wire::SPOKEN,
            agent_epoch,
            proc_max: remembered.proc_max,
            same_boot,
            last_seen,
            processes: remembered.processes,
            alive: living.iter().map(|(p, _)| p.key).collect(),
            controls: remembered.controls,
            changes: remembered.changes,
            unsettled: remembered.unsettled,
            calls: remembered.calls,
            terms: remembered.terms,
            outages: remembered.outages,
            launchable: setup.policies,
            voters: setup.voters,
            store: remembered.store,
            founding: remembered.founding,
            votes: remembered.votes,
            logs: remembered.logs,
        };
        let node = start.node;

        let sources = Sources::new(setup.signals).map_err(io("wait on descriptors"))?;
        let writer = Writer::start(setup.store, sources.waker()).map_err(io("start the store's thread"))?;
        setup.fabric.on_arrival(Box::new(sources.waker()));
        setup.fabric.announce(Peer { node, cpu: setup.cpu, agent_epoch });
        let (tells, early) = crossbeam_channel::unbounded();
        let wakes = sources.waker();
        let vigil = Vigil::new(move |key| {
            // The shell is gone: nobody is to be told.
            let _ = tells.send(key);
            wakes();
        });
        let at = now();
        let mut outbox = Vec::new();
        let agent = Agent::new(at, start, &mut outbox);
        let mut shell = Shell {
            own: agent.key(),
            agent,
            outbox,
            inputs: VecDeque::new(),
            sources,
            listener: Listener::bind(&setup.run_dir).map_err(io("listen in the run directory"))?,
            waiting: false,
            connections: BTreeMap::new(),
            conn_last: 0,
            buffer: vec![0; READ_TURN_MAX].into_boxed_slice(),
            readable: BTreeSet::new(),
            dirty: BTreeSet::new(),
            hangups: BTreeSet::new(),
            processes: BTreeMap::new(),
            vigil,
            early,
            children: BTreeMap::new(),
            launches: Vec::new(),
            looks: BTreeSet::new(),
            writer,
            supervisor: setup.supervisor,
            fabric: setup.fabric,
            scan: Scan::new(at.time),
            seen,
            beacon,
            figures: Figures::default(),
            ending: false,
            anew: None,
        };
        shell.sources.add(&shell.listener, Source::Listener).map_err(io("wait on the socket"))?;
        for (record, pidfd) in living {
            shell.watch_again(record.key, record, pidfd).map_err(io("watch a process"))?;
        }
        shell.perform();
        shell.flush();
        Ok(shell)
    }

    fn watch_again(&mut self, key: Key, record: ProcessRecord, pidfd: OwnedFd) -> io::Result<()> {
        let token = self.sources.add(&pidfd, Source::Pidfd(key))?;
        let process = Process {
            credentials: record.credentials,
            pidfd,
            token: Some(token),
            conn: None,
            exporter: None,
            told: Observed::Running,
            stopped: false,
        };
        self.processes.insert(key, process);
        Ok(())
    }
}

/// The agent's epoch, once more, in the run directory: what living processes' keys were made of, even if the store is lost or replaced by an older copy.
// spec: PSM-1
#[derive(Debug)]
pub(super) struct Beacon(PathBuf);

/// Epochs of a new store begin with the minutes since 2020: greater than those of a lost one, whose agent was started less than once a minute.
const EPOCHS_BEGIN: Duration = Duration::from_secs(1_577_836_800);

impl Beacon {
    fn of(run_dir: &RunDir) -> Beacon {
        Beacon(run_dir.path().join("agent.epoch"))
    }

    fn least(&self, store_is_new: bool) -> u32 {
        let last: u32 = fs::read_to_string(&self.0).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        if store_is_new && last > 0 {
            tracing::warn!(target: "tif::store", epoch = last, "there was an agent here, and its store is gone: controls and names are forgotten");
        }
        let minutes = Duration::from_nanos(now().stamp.0).saturating_sub(EPOCHS_BEGIN).as_secs() / 60;
        let fresh = if store_is_new { u32::try_from(minutes).unwrap_or(u32::MAX / 2) } else { 0 };
        last.saturating_add(1).max(fresh).max(1)
    }

    pub(super) fn write(&self, epoch: u32) -> io::Result<()> {
        let new = self.0.with_extension("epoch.new");
        fs::write(&new, format!("{epoch}\n"))?;
        fs::rename(new, &self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: PSM-1
    #[test]
    fn epochs_grow_past_a_lost_store() {
        let dir = tempfile::tempdir().unwrap();
        let beacon = Beacon::of(&RunDir::resolve(Some(dir.path())));
        assert_eq!(beacon.least(false), 1);
        let fresh = beacon.least(true);
        assert!(fresh > 3_000_000, "{fresh} minutes since 2020");
        beacon.write(fresh + 7).unwrap();
        assert_eq!(beacon.least(true), fresh + 8);
        assert_eq!(beacon.least(false), fresh + 8);
    }
}
