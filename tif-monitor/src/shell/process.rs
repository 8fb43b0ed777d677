//! A registered process, as far as the shell has to do with it.

use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::time::Duration;

use mio::Token;
use tif::segment::{Attachment, SETTLE};
use tif_core::agent::io::{Conn, Observed};
use tif_core::model::{Slot, Time};
use tif_core::wire::Credentials;

/// What the shell holds of a process that lives.
#[derive(Debug)]
pub struct Process {
    /// Who it is, by the operating system.
    pub credentials: Credentials,
    /// Readable when it is dead.
    pub pidfd: OwnedFd,
    /// The pidfd's place in the poll; none when it is known to be dead, or when the poll could not take it and only the scan sees its end.
    pub token: Option<Token>,
    /// Its connection, while it has one.
    pub conn: Option<Conn>,
    /// Its segment, if it exports and has connected since the agent started.
    pub exporter: Option<Exporter>,
    /// What the core was last told of how it runs.
    pub told: Observed,
    /// It was seen stopped in the last scan.
    pub stopped: bool,
}

impl Process {
    /// Whether it is this process of the operating system.
    // spec: PSM-9
    pub fn is(&self, credentials: &Credentials) -> bool {
        (self.credentials.pid, self.credentials.started) == (credentials.pid, credentials.started)
    }
}

/// An exporter's segment, board and bell.
#[derive(Debug)]
pub struct Exporter {
    /// The three of them.
    pub attachment: Attachment,
    /// The bell's place in the poll; none while it is muted.
    pub bell: Option<Token>,
    /// When it will be looked at without being rung for; none while it is armed.
    pub look: Option<Time>,
    /// How long its last sweep took, with all that it brought.
    pub took: Duration,
    /// Instruments whose watch has just begun.
    pub settling: Settling,
    /// How often it rang since it was armed. Once is right.
    pub rings: u32,
}

impl Exporter {
    /// Whether there are instruments whose watch has just begun.
    pub fn unsettled(&self) -> bool {
        self.attachment.unsettled() || self.settling.waiting()
    }
}

/// When instruments are looked at whose watch has just begun: a store that was under way then is done a moment later, and was perhaps not flagged.
///
/// One batch rests at a time; what comes meanwhile is the next. So however quickly watches begin and end, each batch has its turn after one rest.
#[derive(Debug)]
pub struct Settling {
    since: Time,
    late: BTreeSet<Slot>,
    next: BTreeSet<Slot>,
}

impl Settling {
    /// Nothing to look at.
    pub fn new(now: Time) -> Settling {
        Settling { since: now, late: BTreeSet::new(), next: BTreeSet::new() }
    }

    /// A watch begins. `waiting`: others wait to be looked at already.
    pub fn begin(&mut self, now: Time, slot: Slot, waiting: bool) {
        if waiting || self.waiting() {
            self.next.insert(slot);
        } else {
            self.since = now;
        }
    }

    /// A watch has ended.
    pub fn end(&mut self, slot: Slot) {
        self.late.remove(&slot);
        self.next.remove(&slot);
    }

    /// Whether any wait here.
    pub fn waiting(&self) -> bool {
        !self.late.is_empty() || !self.next.is_empty()
    }

    /// Whether those that wait have rested.
    pub fn due(&self, now: Time) -> bool {
        now.since(self.since) >= SETTLE
    }

    /// Those that came too late to be in the last batch, to be looked at now; what came since begins its rest.
    pub fn take(&mut self, now: Time) -> BTreeSet<Slot> {
        self.since = now;
        std::mem::replace(&mut self.late, std::mem::take(&mut self.next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: MON-6, INS-8
    #[test]
    fn however_quickly_watches_begin_and_end_each_is_looked_at_after_one_rest() {
        let step = SETTLE / 4;
        let mut now = Time(1_000_000_000);
        let mut settling = Settling::new(now);
        settling.begin(now, Slot(0), false);
        let (mut waiting, mut turns) = (true, 0);
        for i in 1..=40 {
            now = now + step;
            let (slot, other) = (Slot(i), Slot(1000));
            settling.begin(now, slot, waiting);
            settling.begin(now, other, waiting);
            settling.end(other);
            if settling.due(now) {
                let taken = settling.take(now);
                // What began while the batch before rested, and not what has had no rest yet.
                assert!(taken.iter().all(|s| s.0 + 4 <= i && s.0 + 8 > i), "{taken:?} at {i}");
                assert!(!taken.contains(&other));
                (waiting, turns) = (false, turns + 1);
            }
        }
        assert_eq!(turns, 10, "one a rest");
        while settling.waiting() {
            now = now + SETTLE;
            assert!(settling.due(now));
            settling.take(now);
        }
    }
}
