//! Service `tif`: the agent's own figures, set once a second by its loop.
// spec: MON-8, INS-8

use std::fmt;
use std::ops::Deref;
use std::time::Duration;

use parking_lot::Mutex;
use tif::{Counter, Histogram, Indicator, Instruments};

use crate::shell::{Show, Shown};

/// What the agent counts of itself.
#[derive(Instruments)]
#[tif(service = "tif")]
pub struct Own {
    /// Live registered processes.
    processes: Indicator<u64>,
    /// Live exporters.
    exporters: Indicator<u64>,
    /// Live importers.
    importers: Indicator<u64>,
    /// Instruments that can be seen.
    instruments: Indicator<u64>,
    /// Subscriptions of all importers.
    subscriptions: Indicator<u64>,
    /// Instruments that somebody watches.
    watched: Indicator<u64>,
    /// Values that were read and judged.
    #[tif(name = "reports.in")]
    reports_in: Counter,
    /// Reports that were sent to importers.
    #[tif(name = "reports.out")]
    reports_out: Counter,
    /// Significant changes that a newer value replaced before they were sent.
    #[tif(name = "reports.coalesced")]
    coalesced: Counter,
    /// Notices that were sent.
    notices: Counter,
    /// Outages since the agent started.
    #[tif(name = "outages.count")]
    outages: Counter,
    /// Outages that last.
    #[tif(name = "outages.open", warn = 1)]
    outages_open: Indicator<u64>,
    /// Messages dropped because a key in them was not current.
    stale_keys: Counter,
    /// Requests that were refused.
    refusals: Counter,
    /// Writes that the store could not do.
    store_failures: Counter,
    /// Importers that were cut off because they did not read.
    cut_off: Counter,
    /// Connections to the agent.
    #[tif(name = "connections.open")]
    connections: Indicator<u64>,
    /// Connections that were let in.
    #[tif(name = "connections.accepted")]
    accepted: Counter,
    /// Connections that were refused at the door or for what they sent.
    #[tif(name = "connections.refused")]
    refused: Counter,
    /// Messages that were none.
    #[tif(name = "connections.garbled")]
    garbled: Counter,
    /// Times that nobody could be let in for want of descriptors.
    #[tif(name = "connections.starved")]
    starved: Counter,
    /// Open descriptors of the agent.
    descriptors: Indicator<u64>,
    /// Looks at exporters' segments.
    sweeps: Counter,
    /// How long a turn of the agent's loop works. Everybody else waits so long at most.
    #[tif(name = "loop.turn", unit = "s", at_most_every = "1s")]
    turn: Histogram,
}

/// Turns of the loop between two showings that are recorded one by one.
const TURNS_MAX: usize = 8192;

/// The figures, exported.
pub struct Exported<D> {
    own: D,
    /// Recorded once a second: a loop that rang its own bell at each turn would never rest.
    turns: Mutex<Vec<Duration>>,
}

impl<D: Deref<Target = Own>> Exported<D> {
    /// With these instruments.
    pub fn new(own: D) -> Exported<D> {
        Exported { own, turns: Mutex::new(Vec::new()) }
    }
}

impl<D> fmt::Debug for Exported<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exported(tif)")
    }
}

impl<D: Deref<Target = Own> + Send> Show for Exported<D> {
    fn turn_took(&self, took: Duration) {
        let mut turns = self.turns.lock();
        if turns.len() < TURNS_MAX {
            turns.push(took);
        }
    }

    fn show(&self, shown: &Shown) {
        let own = &*self.own;
        for (instrument, value) in [
            (&own.processes, shown.core.processes),
            (&own.exporters, shown.core.exporters),
            (&own.importers, shown.core.importers),
            (&own.instruments, shown.core.instruments),
            (&own.subscriptions, shown.core.subscriptions),
            (&own.watched, shown.core.watched),
            (&own.outages_open, shown.core.outages_open),
            (&own.connections, shown.connections),
            (&own.descriptors, shown.descriptors),
        ] {
            instrument.set(value);
        }
        for (counter, count) in [
            (&own.reports_in, shown.core.reports_in),
            (&own.reports_out, shown.core.reports_out),
            (&own.coalesced, shown.core.coalesced),
            (&own.notices, shown.core.notices),
            (&own.outages, shown.core.outages),
            (&own.stale_keys, shown.core.stale_keys),
            (&own.refusals, shown.core.refusals),
            (&own.store_failures, shown.core.store_failures),
            (&own.cut_off, shown.core.cut_off),
            (&own.accepted, shown.connections_accepted),
            (&own.refused, shown.refused_at_door),
            (&own.garbled, shown.frames_refused),
            (&own.starved, shown.accepts_failed),
            (&own.sweeps, shown.sweeps),
        ] {
            counter.add(count.saturating_sub(counter.get()));
        }
        for took in self.turns.lock().drain(..) {
            own.turn.record(took);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: MON-8, EXP-4
    #[test]
    fn what_is_shown_is_what_was_counted() {
        let exported = Exported::new(Own::detached());
        exported.turn_took(Duration::from_micros(10));
        for sweeps in [3, 5] {
            exported.show(&Shown { sweeps, connections: 2, ..Shown::default() });
        }
        assert_eq!((exported.own.sweeps.get(), exported.own.connections.get(), exported.own.turn.get().count), (5, 2, 1));
    }
}
