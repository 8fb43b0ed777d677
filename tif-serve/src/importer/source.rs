//! What the importer knows of each source: which instruments, confirmed by which life of it, and what an incoming message means for them.
//!
//! Pure: messages in, events out; time is an argument. The decisions of a restart are [`tif_core::machine::sync`]'s.
// spec: SYN-1, SYN-3, SYN-4, SYN-6, SYN-7, SRV-8

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tif_core::limits::STALE_AFTER_OUTAGE;
use tif_core::machine::sync::{self, Ended, Source, State};
use tif_core::model::{Incarnation, InstrumentId, Key, Name, Outage, Pattern, Quality, Report, Stamp, Time};
use tif_core::wire::{Announcement, ReportsEnd};

use super::{Event, Standing};

/// How often a source is asked for everything again because its end mark did not fit.
pub(super) const RESYNC_MAX: u32 = 3;

/// All sources of one importer.
#[derive(Debug, Default)]
pub(super) struct Sources {
    sources: BTreeMap<Name, Held>,
    /// By the present agent's numbers.
    instruments: HashMap<InstrumentId, Arc<Announcement>>,
    /// Reports that were not shown, because what they come from is not current.
    dropped: u64,
    /// Everything has been asked for again: what the agent withdraws for that is on its way back.
    asked_again: bool,
}

/// When something happens, for deciding and for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: Time,
    pub(super) stamp: Stamp,
}

#[derive(Debug)]
struct Held {
    machine: Source,
    /// The exporter, as messages name it. None: its source has not begun.
    wire: Option<Key>,
    /// What the machine is told as the exporter's life. An exporter goes on under its key when its agent restarts, but what it sent through the
    /// old agent must not count towards the end mark of the new one.
    round: u32,
    /// The next beginning is a new round, whatever its key.
    anew: bool,
    records: BTreeMap<String, Arc<Announcement>>,
    /// There again after a silence, but without a word of their value: their old value goes at this time.
    silent: BTreeMap<String, Time>,
    /// When the silence began that is not over until an end mark fits.
    lost_since: Option<Time>,
    /// The agent itself says that values of this round are old: since when.
    old_since: Option<Stamp>,
    /// A value of this round that is not.
    good: bool,
    attempts: u32,
}

impl Held {
    fn new() -> Held {
        Held {
            machine: Source::new(STALE_AFTER_OUTAGE),
            wire: None,
            round: 0,
            anew: true,
            records: BTreeMap::new(),
            silent: BTreeMap::new(),
            lost_since: None,
            old_since: None,
            good: false,
            attempts: 0,
        }
    }

    fn life(&self) -> Key {
        let Key { node, proc, .. } = self.wire.unwrap_or(Key::NONE);
        Key { node, proc, inc: Incarnation(u64::from(self.round)) }
    }

    fn lose(&mut self, now: Now) {
        self.machine.on_lost(now.time);
        self.lost_since.get_or_insert(now.time);
    }

    fn begin(&mut self, now: Now, key: Key) {
        if self.anew || self.wire != Some(key) {
            self.lost_since.get_or_insert(now.time);
            self.round += 1;
            self.anew = false;
        }
        self.wire = Some(key);
        self.old_since = None;
        self.good = false;
        self.machine.on_begin(now.time, self.life());
    }

    /// When the next thing goes.
    fn deadline(&self) -> Option<Time> {
        self.machine.deadline().into_iter().chain(self.silent.values().copied()).min()
    }

    fn is_live(&self) -> bool {
        matches!(self.machine.state(), State::Live(_))
    }
}

fn record_of(announcement: &Announcement) -> String {
    format!("{}{}", announcement.name, announcement.dims)
}

impl Sources {
    pub(super) fn on_begin(&mut self, now: Now, source: Name, key: Key, out: &mut Vec<Event>) {
        self.asked_again = false;
        let held = self.sources.entry(source.clone()).or_insert_with(Held::new);
        let another = held.anew || held.wire != Some(key);
        if another && held.is_live() && !held.records.is_empty() {
            out.push(Event::Standing { source, standing: Standing::Stale { since: now.stamp } });
        }
        held.begin(now, key);
    }

    pub(super) fn on_announced(&mut self, now: Now, instruments: Vec<Announcement>, out: &mut Vec<Event>) {
        for announcement in instruments {
            let announcement = Arc::new(announcement);
            self.instruments.insert(announcement.instrument, announcement.clone());
            let held = self.sources.entry(announcement.source.clone()).or_insert_with(Held::new);
            let record = record_of(&announcement);
            let was_fresh = held.machine.is_fresh(&record);
            if held.machine.on_record(held.life(), &record) && !was_fresh && held.records.contains_key(&record) {
                held.silent.entry(record.clone()).or_insert(held.lost_since.unwrap_or(now.time) + STALE_AFTER_OUTAGE);
            }
            let known = held.records.insert(record, announcement.clone());
            // spec: SYN-5
            if known.is_none_or(|known| known != announcement) {
                out.push(Event::Announced(announcement));
            }
        }
    }

    pub(super) fn on_withdrawn(&mut self, now: Now, instruments: &[InstrumentId], out: &mut Vec<Event>) {
        for instrument in instruments {
            if self.asked_again {
                // Not gone: it stays as stale until it is sent again, or its time is over.
                let source = self.instruments.get(instrument).map(|a| a.source.clone());
                if let Some((source, held)) = source.and_then(|source| self.sources.get_mut(&source).map(|held| (source, held)))
                    && held.machine.state() != State::Stale
                {
                    held.lose(now);
                    out.push(Event::Standing { source, standing: Standing::Stale { since: now.stamp } });
                }
                continue;
            }
            let Some(announcement) = self.instruments.remove(instrument) else { continue };
            let Some(held) = self.sources.get_mut(&announcement.source) else { continue };
            let record = record_of(&announcement);
            // Whatever life it is of: the agent says that it is no more.
            held.machine.forget(&record);
            held.silent.remove(&record);
            if held.records.remove(&record).is_some() {
                out.push(Event::Removed(announcement));
            }
        }
    }

    pub(super) fn on_report(&mut self, now: Now, report: Report, out: &mut Vec<Event>) {
        let Some(announcement) = self.instruments.get(&report.instrument).cloned() else {
            self.dropped += 1;
            return;
        };
        let held = self.sources.entry(announcement.source.clone()).or_insert_with(Held::new);
        let record = record_of(&announcement);
        if held.wire.is_none() {
            // Instruments of a source that had none for us before: its first report says whose they are.
            held.begin(now, report.key);
            for known in held.records.keys().cloned().collect::<Vec<_>>() {
                held.machine.on_record(held.life(), &known);
            }
            let all: Vec<&str> = held.records.keys().map(String::as_str).collect();
            held.machine.on_end(held.life(), all.len() as u64, sync::digest(all));
        }
        let current = held.wire == Some(report.key);
        match &report.quality {
            Quality::Good | Quality::Failed { .. } => {
                // spec: SRV-8, PSM-7
                if !current || !(held.machine.is_fresh(&record) || held.machine.on_record(held.life(), &record)) {
                    self.dropped += 1;
                    tracing::debug!(target: "tif::importer", name = %announcement.name, key = %report.key, dropped = self.dropped, "a report that is not current");
                    return;
                }
                held.good = true;
            }
            // Says itself that it is old, so it can do no harm; but it makes nothing fresh.
            Quality::Stale { since } | Quality::Outage { since, .. } => {
                if current && held.machine.on_record(held.life(), &record) {
                    held.old_since = Some(held.old_since.map_or(*since, |old| old.min(*since)));
                }
            }
        }
        held.silent.remove(&record);
        if held.records.insert(record, announcement.clone()).is_none() {
            // It had been cleared as too old, and is there again under the same number.
            out.push(Event::Announced(announcement.clone()));
        }
        out.push(Event::Report { announcement, report });
    }

    /// Returns how long to wait before asking for everything again, if that is due: as a power of two.
    pub(super) fn on_end(&mut self, now: Now, end: ReportsEnd, out: &mut Vec<Event>) -> Option<u32> {
        let held = self.sources.entry(end.source.clone()).or_insert_with(Held::new);
        if held.wire != Some(end.key) {
            return None;
        }
        match held.machine.on_end(held.life(), end.count, end.digest) {
            Ended::NotCurrent => None,
            Ended::Mismatch => {
                held.attempts += 1;
                let attempts = held.attempts;
                tracing::warn!(target: "tif::importer", source = %end.source, attempts, "the end mark does not fit what came");
                (attempts <= RESYNC_MAX).then_some(attempts)
            }
            Ended::Complete(swept) => {
                held.attempts = 0;
                held.lost_since = None;
                for record in swept.removed {
                    held.silent.remove(&record);
                    if let Some(gone) = held.records.remove(&record) {
                        if self.instruments.get(&gone.instrument).is_some_and(|now| now.source == gone.source && record_of(now) == record) {
                            self.instruments.remove(&gone.instrument);
                        }
                        out.push(Event::Removed(gone));
                    }
                }
                out.push(Event::Synced { source: end.source.clone(), key: end.key });
                if let Some(since) = held.old_since.take().filter(|_| !held.good) {
                    // The agent has no live exporter for these either: they age here as well, from when they were last fresh.
                    // spec: SYN-4
                    held.machine.on_still_lost(now.time);
                    held.lost_since.get_or_insert(now.time);
                    out.push(Event::Standing { source: end.source, standing: Standing::Stale { since } });
                }
                None
            }
        }
    }

    // spec: OUT-2, SYN-1
    pub(super) fn on_outage(&mut self, now: Now, outage: Outage, out: &mut Vec<Event>) {
        let lost = outage.end.is_none().then(|| (outage.source.clone(), outage.key, outage.since));
        out.push(Event::Outage(outage));
        let Some((source, key, since)) = lost else { return };
        let Some(held) = self.sources.get_mut(&source) else { return };
        // The news may be older than what the successor has sent already.
        if held.wire.is_some_and(|wire| wire != key) && held.machine.state() != State::Stale {
            return;
        }
        held.lose(now);
        if !held.records.is_empty() {
            out.push(Event::Standing { source, standing: Standing::Stale { since } });
        }
    }

    /// The agent is gone: nothing is confirmed any more, and its numbers mean nothing.
    pub(super) fn on_link_lost(&mut self, now: Now, out: &mut Vec<Event>) {
        self.instruments.clear();
        for (source, held) in &mut self.sources {
            held.lose(now);
            held.anew = true;
            held.attempts = 0;
            if !held.records.is_empty() {
                out.push(Event::Standing { source: source.clone(), standing: Standing::Stale { since: now.stamp } });
            }
        }
    }

    /// Everything is being asked for again: what was sent before does not count any more.
    // spec: SYN-7
    pub(super) fn on_asked_again(&mut self) {
        self.asked_again = true;
        for held in self.sources.values_mut() {
            held.anew = true;
        }
    }

    /// What none of the patterns fits is no longer wanted.
    pub(super) fn keep_only(&mut self, patterns: &[Pattern], out: &mut Vec<Event>) {
        for held in self.sources.values_mut() {
            let unwanted: Vec<String> =
                held.records.iter().filter(|(_, a)| !patterns.iter().any(|p| fits(p, a))).map(|(record, _)| record.clone()).collect();
            for record in unwanted {
                held.machine.forget(&record);
                held.silent.remove(&record);
                if let Some(announcement) = held.records.remove(&record) {
                    self.instruments.remove(&announcement.instrument);
                    out.push(Event::Removed(announcement));
                }
            }
        }
    }

    /// When [`Sources::on_tick`] has something to do next.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.sources.values().filter_map(Held::deadline).min()
    }

    /// Clears what has been stale for too long.
    // spec: SYN-4
    pub(super) fn on_tick(&mut self, now: Time, out: &mut Vec<Event>) {
        for (source, held) in &mut self.sources {
            if held.deadline().is_none_or(|deadline| deadline > now) {
                continue;
            }
            let mute: Vec<String> = held.silent.iter().filter(|(_, at)| **at <= now).map(|(record, _)| record.clone()).collect();
            for record in mute {
                held.silent.remove(&record);
                if let Some(announcement) = held.records.get(&record) {
                    // It is there, but its old value is too old.
                    out.push(Event::Removed(announcement.clone()));
                    out.push(Event::Announced(announcement.clone()));
                }
            }
            let swept = held.machine.on_tick(now);
            held.silent.retain(|record, _| !swept.removed.contains(record));
            let gone: Vec<Arc<Announcement>> = swept.removed.iter().filter_map(|record| held.records.remove(record)).collect();
            if gone.is_empty() {
                continue;
            }
            if held.machine.is_empty() && !held.is_live() {
                // The numbers stay: the agent may report under them again without another word.
                out.push(Event::Standing { source: source.clone(), standing: Standing::Lost });
            } else {
                out.extend(gone.into_iter().map(Event::Removed));
            }
        }
    }
}

/// Whether an instrument is what a pattern means, its place included.
pub(crate) fn fits(pattern: &Pattern, announcement: &Announcement) -> bool {
    pattern.matches(&announcement.name, &announcement.dims)
        && pattern.at().is_none_or(|at| *at == announcement.cpu || *at == announcement.process || *at == announcement.source)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::importer::Table;
    use crate::importer::test_data::{announcement, life, outage, report};
    use tif_core::model::OutageId;

    /// One importer's sources and the table that its events make, on a clock of seconds.
    #[derive(Default)]
    struct World {
        sources: Sources,
        table: Table,
        now: u64,
    }

    impl World {
        fn now(&self) -> Now {
            Now { time: Time(self.now * 1_000_000_000), stamp: Stamp(self.now) }
        }

        fn does(&mut self, act: impl FnOnce(&mut Sources, Now, &mut Vec<Event>)) -> Vec<Event> {
            let mut out = Vec::new();
            let now = self.now();
            act(&mut self.sources, now, &mut out);
            out.iter().for_each(|event| self.table.apply(event));
            out
        }

        /// A life of the source `d` announces these, reports those, and says that it has `count`.
        fn sync(&mut self, n: u32, announced: &[(u64, &str)], reported: &[u64], all: &[&str]) -> Option<u32> {
            let mut again = None;
            self.does(|s, now, out| {
                s.on_begin(now, "d".parse().unwrap(), life(n), out);
                let instruments = announced.iter().map(|(id, name)| announcement(*id, "d", name).as_ref().clone()).collect();
                s.on_announced(now, instruments, out);
                for id in reported {
                    s.on_report(now, Report { key: life(n), ..report(*id, u64::from(n)) }, out);
                }
                let (count, digest) = (all.len() as u64, sync::digest(all.iter().copied()));
                again = s.on_end(now, ReportsEnd { source: "d".parse().unwrap(), key: life(n), count, digest }, out);
            });
            again
        }

        fn after(&mut self, seconds: u64) -> Vec<Event> {
            self.now += seconds;
            self.does(|s, now, out| s.on_tick(now.time, out))
        }

        fn dies(&mut self, n: u32) {
            self.does(|s, now, out| s.on_outage(now, Outage { key: life(n), since: now.stamp, ..outage("d", None) }, out));
        }

        /// Path, value and standing of each row.
        fn rows(&self) -> Vec<String> {
            let value = |row: &crate::importer::Row| row.report.as_ref().and_then(|r| r.value.as_ref()?.to_bits());
            let show = |row: &crate::importer::Row| {
                let value = value(row).map_or("-".to_owned(), |v| v.to_string());
                format!("{} {value} {}", row.announcement.descriptor.path, row.standing)
            };
            self.table.rows().map(show).collect()
        }
    }

    // spec: SYN-4, SRV-8
    #[test]
    fn what_is_stale_for_too_long_is_lost_and_comes_back_with_its_source() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
        w.dies(1);
        assert!(w.after(29).is_empty());
        assert_eq!(w.rows(), ["a 1 stale", "b 1 stale"]);
        w.after(1);
        assert_eq!(w.rows(), ["a - lost", "b - lost"]);
        w.sync(2, &[(1, "d.a")], &[1], &["d.a"]);
        assert_eq!(w.rows(), ["a 2 live"]);
        assert_eq!(w.sources.deadline(), None);
    }

    // spec: SYN-4
    #[test]
    fn a_crash_loop_does_not_keep_old_values_alive() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
        w.dies(1);
        for n in 2..6 {
            w.after(5);
            // Each life announces something else and dies before its end mark fits.
            w.sync(n, &[(2, "d.b")], &[2], &["d.b", "d.c"]);
            w.dies(n);
        }
        w.after(10);
        assert_eq!(w.rows(), ["b 5 stale"]);
        w.after(20);
        assert_eq!(w.rows(), ["b - lost"]);
    }

    // spec: SYN-7
    #[test]
    fn a_second_subscription_brings_only_what_is_new_and_the_mark_counts_all() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
        assert_eq!(w.sync(1, &[(2, "d.b")], &[2], &["d.a", "d.b"]), None);
        assert_eq!(w.rows(), ["a 1 live", "b 1 live"]);
        // Also when the agent has only old values to show.
        w.dies(1);
        let again = w.does(|s, now, out| {
            s.on_begin(now, "d".parse().unwrap(), life(1), out);
            s.on_announced(now, vec![announcement(3, "d", "d.c").as_ref().clone()], out);
            s.on_report(now, Report { quality: Quality::Outage { id: OutageId(1), since: Stamp(0) }, ..report(3, 1) }, out);
            let digest = sync::digest(["d.a", "d.b", "d.c"]);
            assert_eq!(s.on_end(now, ReportsEnd { source: "d".parse().unwrap(), key: life(1), count: 3, digest }, out), None);
        });
        assert!(!again.iter().any(|e| matches!(e, Event::Removed(_))));
        assert_eq!(w.rows(), ["a 1 stale", "b 1 stale", "c 1 stale"]);
        w.after(30);
        assert_eq!(w.rows(), ["a - lost", "b - lost", "c - lost"]);
    }

    // spec: SYN-6
    #[test]
    fn what_a_restarted_agent_does_not_send_again_goes_although_its_exporter_has_the_same_key() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
        w.does(|s, now, out| s.on_link_lost(now, out));
        assert_eq!(w.rows(), ["a 1 stale", "b 1 stale"]);
        assert_eq!(w.sync(1, &[(9, "d.a")], &[9], &["d.a"]), None);
        assert_eq!(w.rows(), ["a 1 live"]);
    }

    // spec: SYN-7
    #[test]
    fn what_is_asked_for_again_stays_as_stale_until_it_comes() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
        assert_eq!(w.sync(1, &[(2, "d.b")], &[2], &["d.a", "d.b", "d.c"]), Some(1));
        w.sources.on_asked_again();
        w.does(|s, now, out| s.on_withdrawn(now, &[InstrumentId(1), InstrumentId(2)], out));
        assert_eq!(w.rows(), ["a 1 stale", "b 1 stale"]);
        assert_eq!(w.sync(1, &[(1, "d.a"), (3, "d.c")], &[1, 3], &["d.a", "d.c"]), None);
        assert_eq!(w.rows(), ["a 1 live", "c 1 live"]);
        // At most so often.
        let tries: Vec<_> = (0..5).map(|_| w.sync(1, &[], &[], &["d.x"])).collect();
        assert_eq!(tries, [Some(1), Some(2), Some(3), None, None]);
    }

    // spec: SRV-8
    #[test]
    fn an_instrument_that_is_there_again_without_a_value_shows_its_old_one_as_stale_and_then_none() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a"), (2, "d.b")], &[1, 2], &["d.a", "d.b"]);
        w.dies(1);
        w.after(20);
        assert_eq!(w.sync(2, &[(1, "d.a"), (2, "d.b")], &[1], &["d.a", "d.b"]), None);
        assert_eq!(w.rows(), ["a 2 live", "b 1 stale"]);
        w.after(10);
        assert_eq!(w.rows(), ["a 2 live", "b - live"]);
    }

    // spec: PSM-7, SRV-8
    #[test]
    fn what_a_deposed_exporter_still_says_is_not_shown() {
        let mut w = World::default();
        w.sync(1, &[(1, "d.a")], &[1], &["d.a"]);
        w.sync(2, &[(1, "d.a")], &[1], &["d.a"]);
        assert!(w.does(|s, now, out| s.on_report(now, report(1, 77), out)).is_empty());
        w.dies(1);
        assert_eq!(w.rows(), ["a 2 live"], "old news of the old exporter");
        assert_eq!(w.sources.dropped, 1);
    }
}
