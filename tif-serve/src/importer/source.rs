//! What the importer knows of each source: which instruments, confirmed by which life of it, and what an incoming message means for them.
//!
//! Pure: messages in, events out; time is an argument. The decisions of a restart are [`tif_core::machine::sync`]'s.
// spec: SYN-1, SYN-3, SYN-4, SYN-6, SYN-7, SRV-8

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use tif_core::limits::{OUTAGES_KEPT_MAX, STALE_AFTER_OUTAGE};
use tif_core::machine::sync::{Ended, State};
use tif_core::model::{InstrumentId, Key, Name, Outage, Pattern, Quality, Report, Stamp, Time};
use tif_core::wire::{Announcement, ReportsEnd, ToldOutage};

use super::held::Held;
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
    /// Everything has been asked for again: the agent withdraws each of these once for that, and it is on its way back. What other sources say meanwhile
    /// may have been sent before the agent heard of it, so only the withdrawals themselves tell how far it is.
    asked_again: HashSet<InstrumentId>,
    /// Exporters of whose outage it was told, and not yet that it is over.
    outages: BTreeMap<Key, Name>,
    /// And those of which it was told that it is over.
    over: BTreeSet<Key>,
}

/// When something happens, for deciding and for people.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) time: Time,
    pub(super) stamp: Stamp,
}

fn record_of(announcement: &Announcement) -> String {
    format!("{}{}", announcement.name, announcement.dims)
}

/// Its number is no longer its own; it may be another instrument's already.
fn forget_number(instruments: &mut HashMap<InstrumentId, Arc<Announcement>>, gone: &Announcement) {
    let same = |now: &Arc<Announcement>| now.source == gone.source && now.name == gone.name && now.dims == gone.dims;
    if instruments.get(&gone.instrument).is_some_and(same) {
        instruments.remove(&gone.instrument);
    }
}

impl Sources {
    /// `relieves`: the exporter before has handed over to this one. What that one said holds until the end mark, and nobody is told anything.
    // spec: OUT-5
    pub(super) fn on_begin(&mut self, now: Now, source: Name, key: Key, relieves: Option<Key>, out: &mut Vec<Event>) {
        let held = self.sources.entry(source.clone()).or_insert_with(Held::new);
        let another = held.anew || held.wire != Some(key);
        if another && !held.anew && held.machine.state() != State::Stale && relieves.is_some() && relieves == held.wire {
            return held.relieve(now, key);
        }
        if another && held.is_live() && !held.records.is_empty() {
            held.mark(&source, now.stamp, out);
        }
        held.begin(now, key);
    }

    pub(super) fn on_announced(&mut self, now: Now, instruments: Vec<Announcement>, out: &mut Vec<Event>) {
        for announcement in instruments {
            let announcement = Arc::new(announcement);
            self.instruments.insert(announcement.instrument, announcement.clone());
            let held = self.sources.entry(announcement.source.clone()).or_insert_with(Held::new);
            let record = record_of(&announcement);
            let was_fresh = held.machine.is_confirmed(&record);
            if held.machine.on_record(held.life(), &record) && !was_fresh && held.records.contains_key(&record) {
                held.silent.entry(record.clone()).or_insert(held.lost_since.unwrap_or(now.time) + STALE_AFTER_OUTAGE);
            }
            held.lost.remove(&record);
            let known = held.records.insert(record, announcement.clone());
            if let Some(known) = known.as_ref().filter(|known| known.instrument != announcement.instrument) {
                forget_number(&mut self.instruments, known);
            }
            held.marked &= known.is_some();
            // spec: SYN-5
            if known.is_none_or(|known| known != announcement) {
                out.push(Event::Announced(announcement));
            }
        }
    }

    pub(super) fn on_withdrawn(&mut self, now: Now, instruments: &[InstrumentId], out: &mut Vec<Event>) {
        for instrument in instruments {
            if self.asked_again.remove(instrument) {
                // Not gone: it stays as stale until it is sent again, or its time is over.
                let source = self.instruments.get(instrument).map(|a| a.source.clone());
                if let Some((source, held)) = source.and_then(|source| self.sources.get_mut(&source).map(|held| (source, held)))
                    && held.machine.state() != State::Stale
                {
                    held.lose(now);
                    held.mark(&source, now.stamp, out);
                }
                continue;
            }
            let Some(announcement) = self.instruments.remove(instrument) else { continue };
            let Some(held) = self.sources.get_mut(&announcement.source) else { continue };
            let record = record_of(&announcement);
            // Whatever life it is of: the agent says that it is no more.
            held.machine.forget(&record);
            held.silent.remove(&record);
            let (shown, lost) = (held.records.remove(&record), held.lost.remove(&record));
            if shown.or(lost).is_some() {
                out.push(Event::Removed(announcement));
            }
        }
        self.drop_what_is_over();
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
            held.complete(now);
        }
        let current = held.wire == Some(report.key);
        match &report.quality {
            Quality::Good | Quality::Failed { .. } => {
                // spec: SRV-8, PSM-7
                if current && held.aging {
                    held.complete(now);
                }
                if !current || !(held.machine.is_confirmed(&record) || held.machine.on_record(held.life(), &record)) {
                    self.dropped += 1;
                    tracing::debug!(target: "tif::importer", name = %announcement.name, key = %report.key, dropped = self.dropped, "a report that is not current");
                    return;
                }
                held.good = true;
                held.marked = false;
                // It lives: should it have been lost before, it can be lost another time.
                self.over.remove(&report.key);
            }
            // Says itself that it is old, so it can do no harm; but it makes nothing fresh.
            Quality::Stale { since } | Quality::Outage { since, .. } => {
                if current && held.machine.on_record(held.life(), &record) {
                    held.old_since = Some(held.old_since.map_or(*since, |old| old.min(*since)));
                }
            }
        }
        held.silent.remove(&record);
        held.lost.remove(&record);
        if held.records.insert(record, announcement.clone()).is_none() {
            // It had been cleared as too old, and is there again under the same number.
            out.push(Event::Announced(announcement.clone()));
        }
        out.push(Event::Report { announcement, report });
    }

    /// Returns how long to wait before asking for everything again, if that is due: as a power of two.
    pub(super) fn on_end(&mut self, now: Now, end: ReportsEnd, out: &mut Vec<Event>) -> Option<u32> {
        let held = self.sources.get_mut(&end.source).filter(|held| held.wire == Some(end.key))?;
        let is_relieved = held.machine.is_relieved();
        match held.machine.on_end(held.life(), end.count, end.digest) {
            Ended::NotCurrent => None,
            Ended::Mismatch => {
                held.attempts += 1;
                let attempts = held.attempts;
                if is_relieved {
                    held.mark(&end.source, now.stamp, out);
                }
                tracing::warn!(target: "tif::importer", source = %end.source, attempts, "the end mark does not fit what came");
                (attempts <= RESYNC_MAX).then_some(attempts)
            }
            Ended::Complete(swept) => {
                held.attempts = 0;
                held.lost_since = None;
                for record in swept.removed {
                    held.silent.remove(&record);
                    if let Some(gone) = held.records.remove(&record) {
                        forget_number(&mut self.instruments, &gone);
                        out.push(Event::Removed(gone));
                    }
                }
                // That it is complete says of these, too, that they are no more.
                for gone in std::mem::take(&mut held.lost).into_values() {
                    forget_number(&mut self.instruments, &gone);
                }
                out.push(Event::Synced { source: end.source.clone(), key: end.key });
                if let Some(since) = held.old_since.take().filter(|_| !held.good) {
                    held.age(now);
                    held.mark(&end.source, since, out);
                }
                if held.is_over() {
                    self.drop_what_is_over();
                }
                None
            }
        }
    }

    // spec: OUT-2, SYN-1
    pub(super) fn on_outage(&mut self, now: Now, outage: Outage, out: &mut Vec<Event>) {
        let lost = outage.end.is_none().then(|| (outage.source.clone(), outage.key, outage.since));
        if self.is_news(&outage) {
            out.push(Event::Outage(outage));
        }
        let Some((source, key, since)) = lost else { return };
        let Some(held) = self.sources.get_mut(&source) else { return };
        // The news may be older than what the successor has sent already.
        if held.wire.is_some_and(|wire| wire != key) && held.machine.state() != State::Stale {
            return;
        }
        held.lose(now);
        if !held.records.is_empty() {
            held.mark(&source, since, out);
        }
    }

    /// Whether it says anything that was not said: each loss begins once and ends once, also over several links and agents.
    // spec: OUT-2, OUT-4
    fn is_news(&mut self, outage: &Outage) -> bool {
        if outage.end.as_ref().is_some_and(|end| end.key == outage.key) {
            // It was presumed lost and was not: it can be lost another time.
            return self.outages.remove(&outage.key).is_some();
        }
        if let Some(end) = &outage.end {
            // Who was deposed once and leads again can be lost another time.
            self.over.remove(&end.key);
            if self.over.len() >= OUTAGES_KEPT_MAX {
                self.over.pop_first();
            }
            // Also one of which it was not told that it began: then it knows now that it was.
            return self.over.insert(outage.key) | self.outages.remove(&outage.key).is_some();
        }
        if self.outages.len() >= OUTAGES_KEPT_MAX {
            self.outages.pop_first();
        }
        !self.over.contains(&outage.key) && self.outages.insert(outage.key, outage.source.clone()).is_none()
    }

    /// The exporters of whose outage it was told, and not yet that it is over.
    pub(super) fn outages(&self) -> Vec<ToldOutage> {
        self.outages.iter().map(|(key, source)| ToldOutage { key: *key, source: source.clone() }).collect()
    }

    /// The agent is gone: nothing is confirmed any more, and its numbers mean nothing.
    pub(super) fn on_link_lost(&mut self, now: Now, out: &mut Vec<Event>) {
        self.instruments.clear();
        self.asked_again.clear();
        for (source, held) in &mut self.sources {
            // Nobody could say any more that what was lost before is gone for good.
            out.extend(std::mem::take(&mut held.lost).into_values().map(Event::Removed));
            held.lose(now);
            held.anew = true;
            held.attempts = 0;
            if !held.records.is_empty() {
                held.mark(source, now.stamp, out);
            }
        }
        self.drop_what_is_over();
    }

    /// Everything is being asked for again: what was sent before does not count any more.
    // spec: SYN-7
    pub(super) fn on_asked_again(&mut self) {
        self.asked_again = self.instruments.keys().copied().collect();
        for held in self.sources.values_mut() {
            held.anew = true;
        }
    }

    /// What none of the patterns fits is no longer wanted.
    pub(super) fn keep_only(&mut self, patterns: &[Pattern], out: &mut Vec<Event>) {
        let wanted = |a: &Announcement| patterns.iter().any(|p| fits(p, a));
        for held in self.sources.values_mut() {
            let unwanted: Vec<String> =
                held.records.iter().chain(&held.lost).filter(|(_, a)| !wanted(a)).map(|(record, _)| record.clone()).collect();
            for record in unwanted {
                held.machine.forget(&record);
                held.silent.remove(&record);
                out.extend(held.records.remove(&record).or(held.lost.remove(&record)).map(Event::Removed));
            }
        }
        // By what the numbers mean now: a restarted agent may have given that of an old row to another instrument.
        self.instruments.retain(|_, announcement| wanted(announcement));
        self.drop_what_is_over();
    }

    /// Processes come under ever new names: a source of which nothing is left must not be kept for ever.
    fn drop_what_is_over(&mut self) {
        if !self.sources.values().any(Held::is_over) {
            return;
        }
        // The agent may report under a number it has given without another word.
        let numbered: BTreeSet<&Name> = self.instruments.values().map(|announcement| &announcement.source).collect();
        self.sources.retain(|name, held| !held.is_over() || numbered.contains(name));
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
            let mut gone: Vec<(String, Arc<Announcement>)> = Vec::new();
            for record in mute {
                held.silent.remove(&record);
                if held.machine.state() == State::Stale {
                    // Nobody says that it is there.
                    held.machine.forget(&record);
                    gone.extend(held.records.remove_entry(&record));
                } else if let Some(announcement) = held.records.get(&record) {
                    // It is there, but its old value is too old.
                    out.push(Event::Removed(announcement.clone()));
                    out.push(Event::Announced(announcement.clone()));
                }
            }
            let swept = held.machine.on_tick(now);
            held.silent.retain(|record, _| !swept.removed.contains(record));
            gone.extend(swept.removed.into_iter().filter_map(|record| held.records.remove_entry(&record)));
            if gone.is_empty() {
                continue;
            }
            if held.machine.is_empty() && !held.is_live() {
                // The numbers stay: the agent may report under them again without another word.
                held.lost.extend(gone);
                out.push(Event::Standing { source: source.clone(), standing: Standing::Lost });
            } else {
                out.extend(gone.into_iter().map(|(_, announcement)| Event::Removed(announcement)));
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
#[path = "source_tests.rs"]
mod tests;
