//! Events on their way from the importer's thread to a consumer that may be slow.
//!
//! The consumer's channel holds [`EVENTS_MAX`]; what does not fit waits here. Past [`BACKLOG_MAX`] the thread stops reading its socket, so that
//! the agent coalesces; if it must read on, because a request is waiting for its answer, it coalesces here by the same rule: newest value
//! wins, counted; notices and outages stay. At [`WAITING_MAX`] it stops in any case: the request has to wait for the consumer then.
// spec: MON-6, INS-8

use std::collections::{HashMap, VecDeque};

use parking_lot::{Condvar, Mutex};
use tif_core::model::InstrumentId;

use super::Event;

/// Events in the consumer's channel: a screen's worth of changes.
pub(super) const EVENTS_MAX: usize = 1024;
/// Events that wait beyond that before reading stops: one snapshot of a large service.
pub(super) const BACKLOG_MAX: usize = 16 << 10;

/// Events that wait beyond that at most, a request or not, give or take one message: announcements and notices cannot be coalesced.
pub(super) const WAITING_MAX: usize = 8 * BACKLOG_MAX;

#[derive(Debug, Default)]
pub(super) struct Backlog {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Event>,
    /// How many have left: the absolute number of the front.
    left: u64,
    /// Reports that a newer one may replace: the absolute number of each instrument's last, since the last event that is no report.
    newest: HashMap<InstrumentId, u64>,
    missed: u64,
    closed: bool,
}

impl Backlog {
    pub(super) fn push(&self, event: Event) {
        let mut queue = self.queue.lock();
        queue.push(event);
        drop(queue);
        self.changed.notify_one();
    }

    /// Whether reading should stop, unless a request waits.
    pub(super) fn is_full(&self) -> bool {
        self.queue.lock().waiting.len() >= BACKLOG_MAX
    }

    /// Whether reading should stop even if a request waits.
    pub(super) fn is_at_its_limit(&self) -> bool {
        self.queue.lock().waiting.len() >= WAITING_MAX
    }

    /// The next event, and whether reading may go on that was stopped; none when closed.
    pub(super) fn next(&self) -> Option<(Event, bool)> {
        let mut queue = self.queue.lock();
        loop {
            if queue.closed {
                return None;
            }
            if queue.missed > 0 {
                let missed = std::mem::take(&mut queue.missed);
                return Some((Event::Coalesced(missed), false));
            }
            if let Some(event) = queue.waiting.pop_front() {
                queue.left += 1;
                // Not as soon as there is room for one: it would go back and forth between the threads for each event.
                let left = queue.waiting.len();
                return Some((event, left == BACKLOG_MAX / 2 || left == WAITING_MAX - BACKLOG_MAX));
            }
            queue.newest.clear();
            self.changed.wait(&mut queue);
        }
    }

    /// Ends the waiting.
    pub(super) fn close(&self) {
        self.queue.lock().closed = true;
        self.changed.notify_all();
    }
}

impl Queue {
    fn push(&mut self, event: Event) {
        if let Event::Coalesced(missed) = event {
            // Told ahead of what waits: a count has no place of its own among the values.
            self.missed = self.missed.saturating_add(missed);
            return;
        }
        let Event::Report { report, .. } = &event else {
            // A report must not overtake what says how it is to be read.
            self.newest.clear();
            self.waiting.push_back(event);
            return;
        };
        let instrument = report.instrument;
        let place = self.newest.get(&instrument).and_then(|number| usize::try_from(number.checked_sub(self.left)?).ok());
        if self.waiting.len() >= BACKLOG_MAX
            && let Some(Event::Report { report: old, .. }) = place.and_then(|place| self.waiting.get_mut(place))
        {
            let coalesced = old.coalesced + 1;
            *old = report.clone();
            old.coalesced += coalesced;
            self.missed += 1;
            return;
        }
        self.newest.insert(instrument, self.left + self.waiting.len() as u64);
        self.waiting.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importer::test_data::{announcement, outage, report};

    // spec: MON-6, INS-8
    #[test]
    fn past_its_bound_the_newest_value_wins_counted_and_outages_stay() {
        let backlog = Backlog::default();
        let a = announcement(1, "demo", "demo.a");
        let event = |n: u64| Event::Report { announcement: a.clone(), report: report(1, n) };
        for n in 0..BACKLOG_MAX as u64 {
            backlog.push(event(n));
        }
        assert!(backlog.is_full());
        backlog.push(event(90_000));
        backlog.push(event(90_001));
        backlog.push(Event::Outage(outage("demo", None)));
        backlog.push(event(90_002));
        assert_eq!(backlog.next().map(|(e, _)| e), Some(Event::Coalesced(2)));
        let mut rest = Vec::new();
        for _ in 0..BACKLOG_MAX + 2 {
            rest.push(backlog.next().expect("it is there").0);
        }
        let [.., Event::Report { report: last_before, .. }, Event::Outage(_), Event::Report { report: last, .. }] = rest.as_slice() else {
            panic!("the outage stands between the reports")
        };
        assert_eq!((last_before.seq, last_before.coalesced), (90_001, 2));
        assert_eq!((last.seq, last.coalesced), (90_002, 0));
    }

    // spec: MON-6, INS-8
    #[test]
    fn counts_that_come_with_the_reports_take_no_place_and_keep_none_from_being_coalesced() {
        let backlog = Backlog::default();
        let a = announcement(1, "demo", "demo.a");
        let number = BACKLOG_MAX as u64 + 100;
        for n in 0..number {
            backlog.push(Event::Report { announcement: a.clone(), report: report(1, n) });
            backlog.push(Event::Coalesced(2));
        }
        assert!(backlog.is_full() && backlog.queue.lock().waiting.len() == BACKLOG_MAX);
        assert_eq!(backlog.next().map(|(e, _)| e), Some(Event::Coalesced(2 * number + 100)));
    }

    // spec: MON-6
    #[test]
    fn what_cannot_be_coalesced_stops_the_reading_even_if_a_request_waits_and_it_goes_on_when_there_is_room() {
        let backlog = Backlog::default();
        (0..WAITING_MAX - 1).for_each(|_| backlog.push(Event::Outage(outage("demo", None))));
        assert!(backlog.is_full() && !backlog.is_at_its_limit());
        backlog.push(Event::Outage(outage("demo", None)));
        assert!(backlog.is_at_its_limit());
        let wakes = (0..WAITING_MAX).filter(|_| backlog.next().expect("it is there").1).count();
        assert_eq!(wakes, 2, "once for a request, once for everybody");
        assert!(!backlog.is_full());
    }
}
