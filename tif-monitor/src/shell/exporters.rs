//! When exporters' segments are looked at.
//!
//! An exporter sleeps with its bell armed. The first change after quiet rings, and is picked up at once. Then the exporter rests for a moment with
//! its bell disarmed, however much changes, and is looked at again; so the hottest instrument costs a sweep a millisecond, and nothing is polled
//! that is quiet.
// spec: EXP-2, EXP-7, MON-6

use std::time::Duration;

use tif_core::agent::io::{Input, Sample};
use tif_core::model::{Key, Slot};

use super::process::Exporter;
use super::sources::Source;
use super::{Shell, now};

/// How long an exporter rests between two looks.
pub const REST: Duration = Duration::from_millis(1);
/// Rings without being armed that are forgiven (one can be under way); then the bell is muted until it is armed again.
const RINGS_MAX: u32 = 4;

impl Shell {
    /// The bell of an exporter rang.
    pub(super) fn on_bell(&mut self, key: Key) {
        let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) else { return };
        // The bell is never read: it is watched by edges, and each ring is one. So a stranger's bell cannot make the loop wait.
        exporter.rings += 1;
        if exporter.rings > RINGS_MAX
            && let Some(token) = exporter.bell.take()
        {
            self.sources.remove(exporter.attachment.bell(), token);
            tracing::debug!(target: "tif::shell", %key, "rings without being asked: muted");
        }
        if exporter.look.is_none() {
            self.sweep(key);
            self.look_again(key);
        }
    }

    /// Instruments that are watched since a moment: what was being stored just then was perhaps not flagged.
    fn settle_watches(&mut self, key: Key) {
        let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) else { return };
        let mut moved = exporter.attachment.settle();
        moved.extend(exporter.settling.take(now().time));
        let samples = samples(exporter, moved);
        if !samples.is_empty() {
            self.feed(Input::Sampled { key, samples, token: None });
        }
    }

    /// The exporter has rested.
    pub(super) fn on_look(&mut self, key: Key) {
        let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) else { return };
        exporter.look = None;
        if exporter.unsettled() {
            if exporter.settling.due(now().time) {
                self.settle_watches(key);
            }
            if self.with_board(key, |exporter| exporter.unsettled()) == Some(true) {
                self.look_again(key);
            }
        }
        let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) else { return };
        if !exporter.attachment.arm() {
            self.sweep(key);
            self.look_again(key);
            return;
        }
        exporter.rings = 0;
        if exporter.bell.is_none() {
            match self.sources.add(exporter.attachment.bell(), Source::Bell(key)) {
                Ok(token) => exporter.bell = Some(token),
                Err(error) => {
                    tracing::error!(target: "tif::shell", %key, %error, "a doorbell cannot be watched; looking again");
                    self.look_again(key);
                }
            }
        }
    }

    /// The exporter is looked at after a rest, whether it rings or not.
    pub(super) fn look_again(&mut self, key: Key) {
        let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) else { return };
        if exporter.look.is_none() {
            // Whose sweeps take long rests as long: no exporter gets more than half of the loop's time.
            let at = now().time + exporter.took.max(REST);
            exporter.look = Some(at);
            self.looks.insert((at, key));
        }
    }

    /// Takes up what has changed.
    pub(super) fn sweep(&mut self, key: Key) {
        let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) else { return };
        let begun = now().time;
        let swept = exporter.attachment.sweep();
        let samples = samples(exporter, swept.changed);
        self.figures.sweeps += 1;
        if !swept.table.is_empty() {
            self.feed(Input::Table { key, changes: swept.table });
        }
        if !samples.is_empty() {
            self.feed(Input::Sampled { key, samples, token: None });
        }
        if let Some(exporter) = self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) {
            exporter.took = now().time.since(begun);
        }
    }

    /// Answers the core's question; of a process that is gone, that it is.
    pub(super) fn sample(&mut self, key: Key, slots: Vec<Slot>, token: u64) {
        let samples = match self.processes.get_mut(&key).and_then(|p| p.exporter.as_mut()) {
            Some(exporter) => samples(exporter, slots),
            None => slots.into_iter().map(|slot| Sample { slot, value: Err("its exporter is gone".into()) }).collect(),
        };
        self.inputs.push_back(Input::Sampled { key, samples, token: Some(token) });
    }
}

fn samples(exporter: &mut Exporter, slots: Vec<Slot>) -> Vec<Sample> {
    let read = |slot| exporter.attachment.sample(slot).map(|value| Sample { slot, value });
    slots.into_iter().filter_map(read).collect()
}
