//! What waits to be sent to one importer.
//!
//! A queue in which values overtake nothing and are overtaken by nothing, but of each instrument only the newest value waits: it takes the
//! older one's place and counts it. Everything else (announcements, notices, outages, marks, answers, and values with which quality or alarm changed) waits
//! in line and is never dropped.
// spec: MON-6, INS-8

use std::collections::{BTreeMap, VecDeque};

use crate::defects::{Defect, defect};
use crate::limits;
use crate::model::{InstrumentId, Report, Value};
use crate::wire::ToProcess;

#[derive(Clone, Debug)]
enum Item {
    Message(Box<ToProcess>),
    /// The report that has this turn, if it still waits.
    Report(u64),
}

/// The queue of one importer.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    items: VecDeque<Item>,
    reports: BTreeMap<u64, Report>,
    /// The waiting reports of each instrument, in order. The next value may replace the last.
    turns: BTreeMap<InstrumentId, VecDeque<u64>>,
    /// The last report that waited when its instrument was announced anew: what is reported after that must not take its place, before the announcement.
    sealed: BTreeMap<InstrumentId, u64>,
    turn: u64,
    /// What waits and may not be dropped. An announcement counts as many as the instruments in it.
    kept: usize,
    coalesced_untold: u64,
    coalesced: u64,
}

fn count(message: &ToProcess) -> usize {
    match message {
        // A sixteenth: they come by the hundred thousand to whoever subscribes to everything, and are no sign of being slow.
        ToProcess::Announced(announced) => announced.instruments.len().div_ceil(16),
        _ => 1,
    }
}

impl Queue {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// How many significant changes were coalesced here in all.
    pub fn coalesced(&self) -> u64 {
        self.coalesced
    }

    /// Whether the importer is so far behind that it must be cut off: its notices no longer fit, and they may not be dropped.
    pub fn is_overrun(&self) -> bool {
        self.kept > limits::NOTICES_QUEUED_MAX || self.items.len() > limits::REPORTS_QUEUED_MAX + limits::NOTICES_QUEUED_MAX
    }

    /// Adds a message that may not be lost.
    pub fn push(&mut self, message: ToProcess) {
        if defect(Defect::CoalesceNotices) || defect(Defect::CoalesceOutages) {
            self.coalesce(&message);
        }
        if let ToProcess::Announced(announced) = &message {
            self.seal(announced.instruments.iter().map(|announcement| announcement.instrument));
        }
        self.kept += count(&message);
        self.items.push_back(Item::Message(Box::new(message)));
    }

    fn seal(&mut self, announced: impl Iterator<Item = InstrumentId>) {
        for instrument in announced {
            if let Some(last) = self.turns.get(&instrument).and_then(VecDeque::back) {
                self.sealed.insert(instrument, *last);
            }
        }
    }

    /// What must not be: something newer takes the place of a message that waits.
    fn coalesce(&mut self, message: &ToProcess) {
        let replaced = |waiting: &ToProcess| match (waiting, message) {
            (ToProcess::Notice(old), ToProcess::Notice(new)) => defect(Defect::CoalesceNotices) && old.name == new.name,
            (ToProcess::Outage(old), ToProcess::Outage(new)) => defect(Defect::CoalesceOutages) && old.key == new.key,
            _ => false,
        };
        self.items.retain(|item| !matches!(item, Item::Message(waiting) if replaced(waiting)));
    }

    /// Adds a report. If one waits that says the same of quality and alarm, in the same life of the exporter, the new value takes its place. One that says
    /// something else of these stays, and the new one waits at the end. One of an older life, or from before the instrument was announced anew, is dropped for it,
    /// and the new one waits at the end, too: it must not overtake the notice of what happened between.
    pub fn push_report(&mut self, mut report: Report) {
        let instrument = report.instrument;
        let turns = self.turns.entry(instrument).or_default();
        if let Some(turn) = turns.back().copied()
            && let Some(waiting) = self.reports.get_mut(&turn)
        {
            let same_life = waiting.key == report.key || defect(Defect::OvertakeNotice);
            let is_sealed = self.sealed.get(&instrument) == Some(&turn);
            let says_the_same = waiting.quality == report.quality && waiting.alarm == report.alarm;
            if same_life && !says_the_same {
                self.kept += 1;
            } else {
                report.coalesced += if defect(Defect::LossNotCounted) { 0 } else { waiting.coalesced + 1 };
                self.coalesced += 1;
                self.coalesced_untold += 1;
                if same_life && !is_sealed {
                    *waiting = report;
                    return;
                }
                self.reports.remove(&turn);
                turns.pop_back();
            }
        }
        self.turn += 1;
        turns.push_back(self.turn);
        self.reports.insert(self.turn, report);
        self.items.push_back(Item::Report(self.turn));
    }

    /// The importer no longer follows an instrument.
    pub fn forget(&mut self, instrument: InstrumentId) {
        let turns = self.turns.remove(&instrument).unwrap_or_default();
        self.sealed.remove(&instrument);
        self.kept = self.kept.saturating_sub(turns.len().saturating_sub(1));
        for turn in turns {
            self.reports.remove(&turn);
        }
    }

    /// The next message to send: one that waited in line, or as many reports as fit a frame well.
    pub fn pop(&mut self) -> Option<ToProcess> {
        let mut reports = Vec::new();
        let mut weight = 0;
        while reports.len() < limits::BATCH_REPORTS_MAX && weight < limits::FRAME_LEN_MAX / 16 {
            match self.items.front() {
                Some(Item::Report(turn)) => {
                    if let Some(report) = self.reports.remove(turn) {
                        if let Some(turns) = self.turns.get_mut(&report.instrument) {
                            turns.pop_front();
                            if turns.is_empty() {
                                self.turns.remove(&report.instrument);
                                self.sealed.remove(&report.instrument);
                            } else {
                                self.kept = self.kept.saturating_sub(1);
                            }
                        }
                        weight += weight_of(&report);
                        reports.push(report);
                    }
                    self.items.pop_front();
                }
                Some(Item::Message(_)) if reports.is_empty() => {
                    if let Some(Item::Message(message)) = self.items.pop_front() {
                        self.kept = self.kept.saturating_sub(count(&message));
                        return Some(*message);
                    }
                }
                _ => break,
            }
        }
        if reports.is_empty() {
            return None;
        }
        Some(ToProcess::Reports { reports, coalesced: std::mem::take(&mut self.coalesced_untold) })
    }
}

/// About how many bytes a report takes on the wire.
pub(crate) fn weight_of(report: &Report) -> usize {
    64 + match &report.value {
        Some(Value::Histogram(h)) => 32 + h.buckets.len() * 12,
        Some(Value::Text(t)) => t.len(),
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Alarm, Descriptor, Dimensions, Incarnation, Key, Kind, Name, NodeId, ProcId, Quality, Stamp, ValueType, Version};
    use crate::wire::{Announced, Announcement};

    fn report(instrument: u64, life: u32, value: u64) -> Report {
        Report {
            instrument: InstrumentId(instrument),
            value: Some(Value::U64(value)),
            quality: Quality::Good,
            key: Key { node: NodeId(1), proc: ProcId(1), inc: Incarnation::new(1, life) },
            seq: value,
            stamp: Stamp(0),
            coalesced: 0,
            alarm: Alarm::Ok,
        }
    }

    fn announcement(instrument: u64) -> Announcement {
        let name: Name = "orders".parse().unwrap();
        Announcement {
            instrument: InstrumentId(instrument),
            source: name.clone(),
            name: name.clone(),
            dims: Dimensions::NONE,
            cpu: name.clone(),
            process: name.clone(),
            descriptor: Descriptor::bare(name, Kind::Gauge, ValueType::U64),
            version: Version(0),
        }
    }

    fn drain(queue: &mut Queue) -> Vec<String> {
        let mut got = Vec::new();
        while let Some(message) = queue.pop() {
            match message {
                ToProcess::Reports { reports, .. } => {
                    for r in reports {
                        got.push(format!("{}={} +{}", r.instrument, r.seq, r.coalesced));
                    }
                }
                ToProcess::Ping { nonce } => got.push(format!("message {nonce}")),
                ToProcess::Announced(announced) => got.extend(announced.instruments.iter().map(|a| format!("announced {}", a.instrument))),
                other => panic!("{other:?}"),
            }
        }
        got
    }

    // spec: MON-6, INS-8
    #[test]
    fn the_newest_value_takes_the_place_of_the_older_and_counts_it() {
        let mut queue = Queue::default();
        queue.push_report(report(1, 1, 10));
        queue.push_report(report(2, 1, 20));
        queue.push_report(report(1, 1, 11));
        queue.push_report(report(1, 1, 12));
        assert_eq!(queue.coalesced(), 2);
        assert_eq!(drain(&mut queue), ["1=12 +2", "2=20 +0"]);
        assert!(queue.is_empty());
    }

    // spec: MON-6
    #[test]
    fn a_message_is_never_dropped_and_values_of_a_new_life_do_not_overtake_it() {
        let mut queue = Queue::default();
        queue.push_report(report(1, 1, 10));
        queue.push(ToProcess::Ping { nonce: 7 });
        queue.push_report(report(1, 2, 1));
        queue.push_report(report(1, 2, 2));
        assert_eq!(drain(&mut queue), ["message 7", "1=2 +2"]);
    }

    // spec: MON-6, SYN-2
    #[test]
    fn what_is_reported_after_an_instrument_was_announced_anew_does_not_go_before_the_announcement() {
        let mut queue = Queue::default();
        queue.push_report(report(1, 1, 14));
        queue.push_report(report(2, 1, 5));
        queue.push(ToProcess::Announced(Announced { instruments: vec![announcement(1)] }));
        queue.push_report(report(1, 1, 0));
        queue.push_report(report(1, 1, 1));
        queue.push_report(report(2, 1, 6));
        assert_eq!(drain(&mut queue), ["2=6 +1", "announced 1", "1=1 +2"]);
        assert!(queue.sealed.is_empty() && queue.kept == 0 && queue.turns.is_empty());
    }

    #[test]
    fn an_alarm_does_not_hide_behind_a_value_that_waits() {
        let mut queue = Queue::default();
        queue.push_report(report(1, 1, 10));
        queue.push_report(report(2, 1, 10));
        queue.push_report(Report { alarm: Alarm::Critical, ..report(1, 1, 99) });
        assert_eq!(drain(&mut queue), ["1=10 +0", "2=10 +0", "1=99 +0"]);
    }

    // spec: MON-6
    #[test]
    fn an_alarm_that_was_over_before_it_was_sent_is_sent_all_the_same() {
        let mut queue = Queue::default();
        for (seq, alarm) in [(1, Alarm::Ok), (2, Alarm::Critical), (3, Alarm::Critical), (4, Alarm::Ok), (5, Alarm::Ok)] {
            queue.push_report(Report { alarm, ..report(1, 1, seq) });
        }
        assert_eq!(drain(&mut queue), ["1=1 +0", "1=3 +1", "1=5 +1"]);
        assert_eq!(queue.kept, 0);
    }

    // spec: MON-6, SEC-2
    #[test]
    fn an_importer_that_never_reads_holds_one_value_an_instrument() {
        let mut queue = Queue::default();
        for v in 0..100_000 {
            queue.push_report(report(v % 10, 1, v));
        }
        assert_eq!(queue.items.len(), 10);
        assert!(!queue.is_overrun());
        for nonce in 0..=limits::NOTICES_QUEUED_MAX as u64 {
            queue.push(ToProcess::Ping { nonce });
        }
        assert!(queue.is_overrun());
    }
}
