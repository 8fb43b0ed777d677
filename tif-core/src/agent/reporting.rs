//! Values on their way: read by the shell or computed by the service, judged, and handed to whoever follows.
//!
//! read → `propagation` (does it matter?) → each follower's own wish (does it matter to him, and now?) → his queue.
// spec: INS-6, MON-2

use std::collections::BTreeSet;

use super::io::{Conn, Moment, Output, Sample};
use super::table::Instrument;
use super::{Agent, Outbox, Question, Resource, Timer};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::propagation::{Going, Verdict};
use crate::model::{InstrumentId, Key, ProcessState, Quality, Report, Slot};
use crate::wire::ToProcess;

impl Agent {
    /// The value last known, as a report.
    pub(super) fn report_of(&self, i: &Instrument) -> Report {
        Report {
            instrument: i.id,
            value: i.value.clone(),
            quality: i.quality.clone(),
            key: i.key,
            seq: i.propagation.seq(),
            stamp: i.stamp,
            coalesced: 0,
            alarm: i.propagation.alarm(),
        }
    }

    /// The value last sent, as a report. A newcomer gets this and not what was read since and did not matter: between two such values and the next
    /// there could be twice what the declaration allows.
    // spec: INS-6
    pub(super) fn sent_report_of(&self, i: &Instrument) -> Option<Report> {
        let (value, quality, alarm) = i.propagation.last_sent()?;
        Some(Report { value: value.cloned(), quality: quality.clone(), alarm, ..self.report_of(i) })
    }

    /// Values were read.
    pub(super) fn on_sampled(&mut self, now: Moment, key: Key, samples: Vec<Sample>, token: Option<u64>, out: &mut Outbox) {
        let good = if self.is_suspect(key) { Quality::Stale { since: now.stamp } } else { Quality::Good };
        for sample in samples {
            let Some(id) = self.exporters.get(&key).and_then(|e| e.slots.get(&sample.slot)).copied() else { continue };
            let Some(instrument) = self.table.find_mut(id) else { continue };
            if instrument.is_dynamic() && !instrument.computed {
                // What stood there before is no value; what stands there instead later is one, also if the answer to the question was lost.
                match (&instrument.unset, &sample.value) {
                    (Some(unset), Ok(value)) if unset != value => instrument.computed = true,
                    (None, Ok(value)) => {
                        instrument.unset = Some(value.clone());
                        continue;
                    }
                    _ => continue,
                }
            }
            match sample.value {
                Ok(value) => {
                    instrument.value = Some(value);
                    // What is stale already is so since then.
                    if std::mem::discriminant(&instrument.quality) != std::mem::discriminant(&good) {
                        instrument.quality = good.clone();
                    }
                }
                Err(reason) => instrument.quality = Quality::Failed { reason },
            }
            instrument.stamp = now.stamp;
            instrument.sampled = now.time;
            instrument.read = true;
            self.stats.reports_in += 1;
            self.propagate(now, id, out);
            if self.keeping.is_guard(id) {
                self.on_guard(id);
            }
        }
        let Some(token) = token else { return };
        // A number that is not a question to the shell is nothing that it could answer.
        if !matches!(
            self.questions.get(&token),
            Some(Question::Sync(_) | Question::Farewell(..) | Question::SampleForSense(_) | Question::HandOver(_))
        ) {
            return;
        }
        match self.answered(token) {
            Some(Question::Sync(syncing)) => self.end_sync(now, syncing),
            Some(Question::Farewell(conn, of)) => self.leave(now, conn, of, out),
            Some(Question::SampleForSense(sense)) => self.on_sampled_for(now, sense, token, out),
            Some(Question::HandOver(service)) => self.on_last_values(now, &service, out),
            _ => {}
        }
    }

    pub(super) fn is_suspect(&self, key: Key) -> bool {
        self.registry.find(key).is_some_and(|p| p.state == ProcessState::Suspect)
    }

    /// A process is stopped or silent, or no longer. What it exports is stale for as long: nobody knows whether it still holds.
    // spec: SRV-8
    pub(super) fn suspect(&mut self, now: Moment, key: Key, suspect: bool, out: &mut Outbox) {
        let was = self.is_suspect(key);
        self.registry.on_suspicion(now.time, key, suspect);
        let is = self.is_suspect(key);
        if was == is {
            return;
        }
        let ids: Vec<InstrumentId> = self.exporters.get(&key).map(|e| e.slots.values().copied().collect()).unwrap_or_default();
        for id in ids {
            let Some(instrument) = self.table.find_mut(id) else { continue };
            match (&instrument.quality, is) {
                (Quality::Good, true) => instrument.quality = Quality::Stale { since: now.stamp },
                (Quality::Stale { .. }, false) => instrument.quality = Quality::Good,
                _ => continue,
            }
            self.propagate(now, id, out);
        }
    }

    /// Judges an instrument's value and sends it to whoever is to have it.
    // spec: INS-6, MON-2
    pub(super) fn propagate(&mut self, now: Moment, id: InstrumentId, out: &mut Outbox) {
        let wanted = self.interest.is_wanted(&Resource::Instrument(id));
        let Some(instrument) = self.table.find_mut(id) else { return };
        if !instrument.read || instrument.place.is_none() {
            // A timer from before: there is nothing to say of the dead, and nothing yet of the successor.
            return;
        }
        let verdict = instrument.propagation.judge(now.time, &instrument.descriptor, instrument.value.as_ref(), &instrument.quality);
        if !wanted {
            return;
        }
        match verdict {
            Verdict::Drop => {
                if let Some(due) = instrument.propagation.at_least_due(&instrument.descriptor) {
                    self.timers.set(due, Timer::Propagate(id));
                }
                return;
            }
            Verdict::Hold { .. } if defect(Defect::LoseHeld) => return,
            Verdict::Hold { until } => return self.timers.set(until, Timer::Propagate(id)),
            Verdict::Send => {}
        }
        let going = instrument.propagation.on_sent(now.time, instrument.value.clone(), instrument.quality.clone());
        let due = instrument.propagation.at_least_due(&instrument.descriptor);
        if let Some((key, slot)) = instrument.here() {
            out.push(Output::Sent { key, slot });
        }
        if let Some(due) = due {
            self.timers.set(due, Timer::Propagate(id));
        }
        self.hand_out(now, id, going);
    }

    /// A value goes to everybody who follows the instrument, as far as each wants it.
    // spec: MON-2
    pub(super) fn hand_out(&mut self, now: Moment, id: InstrumentId, going: Going) {
        let Some(instrument) = self.table.find(id) else { return };
        let report = Report { seq: going.seq, coalesced: going.coalesced, alarm: going.alarm, ..self.report_of(instrument) };
        let already = self.left_out_elsewhere(instrument);
        let followers: Vec<Conn> = self.interest.waiters(&Resource::Instrument(id)).collect();
        for conn in followers {
            let Some(follow) = self.sessions.get_mut(&conn).and_then(|s| s.follows.get_mut(&id)) else { continue };
            match follow.judge_rest(now.time, report.value.as_ref(), going.always, already) {
                Verdict::Send => {
                    let coalesced = report.coalesced + follow.take_suppressed();
                    self.queue_report(conn, Report { coalesced, ..report.clone() });
                }
                Verdict::Hold { until } => {
                    self.timers.set(until, Timer::Follow(conn, id));
                }
                Verdict::Drop => {}
            }
        }
    }

    /// A follower's own limit held a value back until now.
    pub(super) fn follow_up(&mut self, now: Moment, conn: Conn, id: InstrumentId) {
        let Some(instrument) = self.table.find(id).filter(|i| i.place.is_some()) else { return };
        let Some(report) = self.sent_report_of(instrument) else { return };
        let already = self.left_out_elsewhere(instrument);
        let Some(follow) = self.sessions.get_mut(&conn).and_then(|s| s.follows.get_mut(&id)) else { return };
        match follow.judge_rest(now.time, report.value.as_ref(), false, already) {
            Verdict::Send => {
                let coalesced = follow.take_suppressed();
                self.queue_report(conn, Report { coalesced, ..report });
            }
            Verdict::Hold { until } => {
                self.timers.set(until, Timer::Follow(conn, id));
            }
            Verdict::Drop => {}
        }
    }

    pub(super) fn queue_report(&mut self, conn: Conn, report: Report) {
        if let Some(session) = self.sessions.get_mut(&conn) {
            if session.queue.is_empty() {
                self.filled.insert(conn);
            }
            session.queue.push_report(report);
            if session.queue.is_overrun() {
                self.overrun.insert(conn);
            }
        }
    }

    /// Sets the watch word, and the service's clock going for a dynamic one.
    pub(super) fn watch(&mut self, id: InstrumentId, out: &mut Outbox) {
        let Some(instrument) = self.table.find_mut(id) else { return };
        let dynamic = instrument.is_dynamic();
        // What a reader had computed is old.
        instrument.computed = false;
        instrument.unset = None;
        if let Some((key, slot)) = instrument.here() {
            out.push(Output::Watch { key, slot, on: true });
            if dynamic {
                self.tell(out, key, ToProcess::WatchChanged);
            }
        }
    }

    /// Nobody watches any more.
    pub(super) fn unwatch(&mut self, id: InstrumentId, out: &mut Outbox) {
        // What another agent sends of one on its CPU is what counts, until it says that it sends no more.
        let Some(instrument) = self.table.find_mut(id).filter(|i| i.far.is_none()) else { return };
        instrument.propagation.on_unwatched();
        instrument.computed = false;
        let dynamic = instrument.is_dynamic();
        if let Some((key, slot)) = instrument.here() {
            out.push(Output::Watch { key, slot, on: false });
            if dynamic {
                self.tell(out, key, ToProcess::WatchChanged);
            }
        }
    }

    /// The service has computed dynamic ones.
    // spec: INS-2
    pub(super) fn on_computed(&mut self, now: Moment, key: Key, req: u64, failed: Vec<(Slot, String)>, out: &mut Outbox) {
        self.mark_failed(now, key, &failed, out);
        // Only who was asked can answer.
        match self.questions.get(&req) {
            Some(Question::ComputeForWatch(of, _) | Question::ComputeForSense(_, of)) if *of == key => {}
            _ => return,
        }
        match self.answered(req) {
            Some(Question::ComputeForWatch(_, slots)) => {
                let slots = self.mark_computed(key, slots, &failed);
                if !slots.is_empty() {
                    let token = self.number();
                    out.push(Output::Sample { key, slots, token });
                }
            }
            Some(Question::ComputeForSense(sense, _)) => self.on_computed_for(now, sense, req, Some((key, failed)), out),
            _ => {}
        }
    }

    /// From now on what stands in these slots is a value. Returns those that did not fail.
    pub(super) fn mark_computed(&mut self, key: Key, slots: Vec<Slot>, failed: &[(Slot, String)]) -> Vec<Slot> {
        let Some(exporter) = self.exporters.get(&key) else { return Vec::new() };
        let failed: BTreeSet<Slot> = failed.iter().map(|(slot, _)| *slot).collect();
        let good: Vec<Slot> = slots.into_iter().filter(|slot| !failed.contains(slot)).collect();
        for id in good.iter().filter_map(|slot| exporter.slots.get(slot)) {
            if let Some(instrument) = self.table.find_mut(*id) {
                instrument.computed = true;
            }
        }
        good
    }

    /// It did not answer in time. Its own clock may bring a value yet: then that is one.
    pub(super) fn on_not_computed(&mut self, now: Moment, key: Key, slots: &[Slot], out: &mut Outbox) {
        let reason = format!("it was not computed within {:?}", limits::COMPUTE_TIMEOUT);
        let waiting: Vec<(Slot, String)> = slots
            .iter()
            .filter(|slot| {
                let id = self.exporters.get(&key).and_then(|e| e.slots.get(slot));
                id.and_then(|id| self.table.find(*id)).is_some_and(|i| !i.computed)
            })
            .map(|slot| (*slot, reason.clone()))
            .collect();
        self.mark_failed(now, key, &waiting, out);
        let slots = waiting.into_iter().map(|(slot, _)| slot).collect();
        self.mark_computed(key, slots, &[]);
    }

    fn mark_failed(&mut self, now: Moment, key: Key, failed: &[(Slot, String)], out: &mut Outbox) {
        for (slot, reason) in failed {
            let Some(id) = self.exporters.get(&key).and_then(|e| e.slots.get(slot)).copied() else { continue };
            if let Some(instrument) = self.table.find_mut(id) {
                instrument.quality = Quality::Failed { reason: reason.chars().take(limits::TEXT_LEN_MAX).collect() };
                instrument.stamp = now.stamp;
                instrument.sampled = now.time;
                instrument.read = true;
                self.propagate(now, id, out);
            }
        }
    }
}
