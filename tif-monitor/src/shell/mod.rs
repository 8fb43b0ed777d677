//! The shell: one thread, one loop. What happens outside becomes an [`Input`] for the core, and what the core wants becomes done. No decision is
//! made here.
//!
//! A turn: wait · take doorbells, receipts of the store, deaths, connections, timers · write what is to be written · start processes.

mod accepting;
mod connections;
mod deaths;
mod exporters;
mod figures;
mod outputs;
mod process;
mod scan;
mod seen;
mod sources;
mod start;
#[cfg(test)]
mod tests;
mod workload;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tif::segment::Vigil;
use tif_core::agent::io::{Conn, Input, Moment};
use tif_core::agent::{Agent, Outbox};
use tif_core::limits::SCAN_PERIOD;
use tif_core::model::{Incarnation, Key, Name, Stamp, Time};
use tif_core::wire::codec;

use crate::fabric::{Arrival, Fabric};
use crate::local::{Connection, Listener};
use crate::store::{Done, Writer};
use crate::supervisor::Supervisor;

pub use figures::{Figures, Show, Shown};
pub use sources::Signals;
pub use start::{Setup, StartError};

use process::Process;
use scan::Scan;
use seen::Seen;
use sources::{Source, Sources};
use start::Beacon;

/// The running agent.
#[derive(Debug)]
pub struct Shell {
    agent: Agent,
    own: Key,
    outbox: Outbox,
    inputs: VecDeque<Input>,
    sources: Sources,
    listener: Listener,
    /// Somebody may wait at the door.
    waiting: bool,
    connections: BTreeMap<Conn, Connection>,
    conn_last: u64,
    buffer: Box<[u8]>,
    readable: BTreeSet<Conn>,
    dirty: BTreeSet<Conn>,
    /// Connections that their processes have closed, and when the core is told unless the process dies before.
    hangups: BTreeSet<(Time, Conn)>,
    processes: BTreeMap<Key, Process>,
    /// Waits for the ends of exporters, and tells of them here.
    vigil: Vigil,
    early: Receiver<Key>,
    /// Launched processes, and their places in the poll.
    children: BTreeMap<u32, mio::Token>,
    /// Services of which a process is to be started at the end of the turn.
    launches: Vec<Name>,
    looks: BTreeSet<(Time, Key)>,
    writer: Writer,
    supervisor: Supervisor,
    fabric: Box<dyn Fabric>,
    scan: Scan,
    seen: Seen,
    beacon: Beacon,
    figures: Figures,
    ending: bool,
    /// The others have given this life of the agent up: the next is greater than this.
    anew: Option<Incarnation>,
}

/// Why the loop has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A signal asked for it.
    Asked,
    /// The agent has to begin another life. What it needs for that is written down.
    // spec: PSM-10
    Anew,
}

/// The clocks, now.
fn now() -> Moment {
    let nanoseconds = |clock| {
        let t = rustix::time::clock_gettime(clock);
        u64::try_from(t.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(t.tv_nsec).unwrap_or(0)
    };
    Moment {
        time: Time(nanoseconds(rustix::time::ClockId::Monotonic)),
        boot: Time(nanoseconds(rustix::time::ClockId::Boottime)),
        stamp: Stamp(nanoseconds(rustix::time::ClockId::Realtime)),
    }
}

impl Shell {
    /// Runs until a signal asks for the end, or the agent must begin anew. What the agent launched goes on.
    ///
    /// # Errors
    /// If there is nothing left to wait on: a fault of the operating system.
    pub fn run(&mut self) -> io::Result<Ended> {
        while !self.ending {
            self.turn(None)?;
        }
        tracing::info!(target: "tif::shell", "ending; processes go on without an agent");
        self.seen.write(now());
        self.writer.finish();
        self.take_receipts();
        self.flush();
        let Some(above) = self.anew else { return Ok(Ended::Asked) };
        self.beacon.write(above.epoch())?;
        Ok(Ended::Anew)
    }

    /// Waits for something to happen, at most until the next timer or for `longest`, and does all that it brings.
    ///
    /// # Errors
    /// If waiting fails.
    pub fn turn(&mut self, longest: Option<Duration>) -> io::Result<()> {
        let happened = self.sources.wait(self.timeout(longest))?;
        let woken = now();
        let begun = woken.time;
        let (mut deaths, mut children) = (Vec::new(), Vec::new());
        for event in happened {
            match event.source {
                Source::Wake => {}
                Source::Signal => self.ending |= self.sources.signalled(),
                Source::Listener => self.waiting = true,
                Source::Conn(conn) => self.on_connection_event(conn, event.readable, event.writable),
                Source::Bell(key) => self.on_bell(key),
                Source::Pidfd(key) => deaths.push(key),
                Source::Child(pid) => children.push(pid),
            }
        }
        self.take_receipts();
        self.take_arrivals();
        self.take_early_deaths();
        // The dead are buried before the living are heard: a successor may say its name in the same turn.
        // spec: PSM-8
        for key in deaths {
            self.on_death(key);
        }
        for pid in children {
            self.on_child_end(pid);
        }
        self.accept();
        self.read_connections();
        self.on_timers(woken);
        self.flush();
        if !self.launches.is_empty() {
            self.launch_all();
        }
        self.figures.turn_took(now().time.since(begun));
        Ok(())
    }

    fn timeout(&self, longest: Option<Duration>) -> Option<Duration> {
        if !self.readable.is_empty() || self.waiting || !self.launches.is_empty() {
            return Some(Duration::ZERO);
        }
        let next =
            [self.agent.deadline(), self.looks.first().map(|(at, _)| *at), self.hangups.first().map(|(at, _)| *at), Some(self.scan.due)];
        let next = next.into_iter().flatten().min();
        [next.map(|at| at.since(now().time)), longest].into_iter().flatten().min()
    }

    fn on_timers(&mut self, woken: Moment) {
        let time = now().time;
        while let Some((at, key)) = self.looks.first().copied()
            && at <= time
        {
            self.looks.pop_first();
            self.on_look(key);
        }
        self.take_hangups();
        if self.agent.deadline().is_some_and(|at| at <= time) {
            self.feed(Input::Tick);
        }
        if self.scan.due <= time {
            self.scan.due = time + SCAN_PERIOD;
            self.scan_processes();
            // Whoever was dead when this turn woke has been buried in it.
            self.seen.write(woken);
            self.scan_connections();
            self.show_figures();
        }
    }

    /// Hands something in, and does all that comes out of it and of what that brings.
    fn feed(&mut self, input: Input) {
        self.inputs.push_back(input);
        self.settle();
    }

    /// Hands in what is left, until nothing is.
    fn settle(&mut self) {
        while let Some(input) = self.inputs.pop_front() {
            tracing::trace!(target: "tif::shell", ?input);
            self.agent.handle(now(), input, &mut self.outbox);
            self.perform();
        }
    }

    fn perform(&mut self) {
        for output in std::mem::take(&mut self.outbox) {
            tracing::trace!(target: "tif::shell", ?output);
            self.do_output(output);
        }
    }

    fn take_receipts(&mut self) {
        for done in self.writer.done() {
            match done {
                Done::Stored(ticket) => self.feed(Input::Stored(ticket)),
                Done::Failed(ticket, why) => {
                    tracing::error!(target: "tif::store", error = why, "a write failed");
                    self.feed(Input::StoreFailed(ticket, why));
                }
            }
        }
    }

    fn take_arrivals(&mut self) {
        while let Some(arrival) = self.fabric.receive() {
            match arrival {
                Arrival::Appeared(peer) => {
                    tracing::info!(target: "tif::fabric", cpu = %peer.cpu, node = %peer.node, "a CPU appeared");
                    self.feed(Input::PeerSeen { node: peer.node });
                }
                Arrival::Vanished(node) => tracing::info!(target: "tif::fabric", %node, "a CPU vanished"),
                // spec: SEC-2
                Arrival::Message { from, bytes } => match codec::decode(&bytes) {
                    Ok(frame) => self.feed(Input::Peer { from, frame: Box::new(frame) }),
                    Err(error) => tracing::warn!(target: "tif::fabric", node = %from, len = bytes.len(), %error, "not understood"),
                },
                Arrival::Gap(dropped) => tracing::warn!(target: "tif::fabric", dropped, "arrivals were dropped"),
            }
        }
    }
}
