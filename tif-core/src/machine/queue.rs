//! What waits to be sent to one importer.
//!
//! A queue in which values overtake nothing and are overtaken by nothing, but of each instrument only the newest value waits: it takes the
//! older one's place and counts it. Everything else (announcements, notices, outages, marks, answers) waits in line and is never dropped.
// spec: MON-6, INS-8

use std::collections::{BTreeMap, VecDeque};

use crate::limits;
use crate::model::{InstrumentId, Report, Value};
use crate::wire::ToProcess;

#[derive(Clone, Debug)]
enum Item {
    Message(Box<ToProcess>),
    /// The waiting report of the instrument, if its turn is still this one.
    Report {
        instrument: InstrumentId,
        turn: u64,
    },
}

#[derive(Clone, Debug)]
struct Waiting {
    turn: u64,
    report: Report,
}

/// The queue of one importer.
#[derive(Clone, Debug, Default)]
pub struct Queue {
    items: VecDeque<Item>,
    reports: BTreeMap<InstrumentId, Waiting>,
    turn: u64,
    messages: usize,
    coalesced_untold: u64,
    coalesced: u64,
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
        self.messages > limits::NOTICES_QUEUED_MAX || self.items.len() > limits::REPORTS_QUEUED_MAX + limits::NOTICES_QUEUED_MAX
    }

    /// Adds a message that may not be lost.
    pub fn push(&mut self, message: ToProcess) {
        self.messages += 1;
        self.items.push_back(Item::Message(Box::new(message)));
    }

    /// Adds a report. If one of the same exporter's life waits, the new value takes its place; one of an older life is dropped for it, and the new one waits at the end
    /// (it must not overtake the notice of what happened between).
    pub fn push_report(&mut self, mut report: Report) {
        let instrument = report.instrument;
        if let Some(waiting) = self.reports.get_mut(&instrument) {
            report.coalesced += waiting.report.coalesced + 1;
            self.coalesced += 1;
            self.coalesced_untold += 1;
            let same_life = waiting.report.key == report.key;
            let same_quality = waiting.report.quality == report.quality && waiting.report.alarm == report.alarm;
            if same_life && same_quality {
                waiting.report = report;
                return;
            }
        }
        self.turn += 1;
        self.reports.insert(instrument, Waiting { turn: self.turn, report });
        self.items.push_back(Item::Report { instrument, turn: self.turn });
    }

    /// The importer no longer follows an instrument.
    pub fn forget(&mut self, instrument: InstrumentId) {
        self.reports.remove(&instrument);
    }

    /// The next message to send: one that waited in line, or as many reports as fit a frame well.
    pub fn pop(&mut self) -> Option<ToProcess> {
        let mut reports = Vec::new();
        let mut weight = 0;
        while reports.len() < limits::BATCH_REPORTS_MAX && weight < limits::FRAME_LEN_MAX / 16 {
            match self.items.front() {
                Some(Item::Report { instrument, turn }) => {
                    let current = self.reports.get(instrument).is_some_and(|w| w.turn == *turn);
                    if current && let Some(waiting) = self.reports.remove(instrument) {
                        weight += weight_of(&waiting.report);
                        reports.push(waiting.report);
                    }
                    self.items.pop_front();
                }
                Some(Item::Message(_)) if reports.is_empty() => {
                    if let Some(Item::Message(message)) = self.items.pop_front() {
                        self.messages -= 1;
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
fn weight_of(report: &Report) -> usize {
    64 + match &report.value {
        Some(Value::Histogram(h)) => 32 + h.buckets.len() * 12,
        Some(Value::Text(t)) => t.len(),
        _ => 9,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Alarm, Incarnation, Key, NodeId, ProcId, Quality, Stamp};

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

    // spec: MON-6
    #[test]
    fn an_alarm_does_not_hide_behind_a_value_that_waits() {
        let mut queue = Queue::default();
        queue.push_report(report(1, 1, 10));
        queue.push_report(report(2, 1, 10));
        queue.push_report(Report { alarm: Alarm::Critical, ..report(1, 1, 99) });
        assert_eq!(drain(&mut queue), ["2=10 +0", "1=99 +1"]);
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
