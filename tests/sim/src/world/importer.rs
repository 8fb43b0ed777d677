//! An importing process: subscriptions, a sync machine per source, a table of values, requests that wait for answers.

use std::collections::{BTreeMap, BTreeSet};

use tif_core::limits::STALE_AFTER_OUTAGE;
use tif_core::machine::confirm::End;
use tif_core::machine::sync::{self, Ended, Source, State};
use tif_core::model::{Coarsen, InstrumentId, Key, Name, Outage, Pattern, Quality, Refusal, Report, RequestId, SetResult, Time};
use tif_core::wire::{Announcement, ToAgent, ToProcess, ToldOutage};

/// One instrument as this importer shows it.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it is.
    pub announcement: Announcement,
    /// Since when it is there.
    pub added: Time,
    /// Its latest report under this number.
    pub report: Option<Report>,
}

/// What it has of one source.
#[derive(Clone, Debug)]
pub struct View {
    /// Which records are fresh.
    pub machine: Source,
    /// Whose life the agent last began to send.
    pub wire: Option<Key>,
    /// They are its last values: it exports no more.
    pub last: bool,
    /// By name with dimensions.
    pub rows: BTreeMap<String, Row>,
    /// The outage that it was told of and that is not over.
    pub outage: Option<Outage>,
    /// Reports since the beginning said that they are old, and none that it is good.
    old: bool,
    good: bool,
    /// So all of it ages, until something comes that is good.
    aging: bool,
}

impl View {
    /// Its exporter, or the way to it, is lost. What was only about to be said once more gets no younger by that.
    // spec: SYN-4
    fn lose(&mut self, now: Time) {
        if matches!(self.machine.state(), State::Syncing(_)) && !self.good {
            self.machine.on_still_lost(now);
        } else {
            self.machine.on_lost(now);
        }
    }

    fn new() -> View {
        View {
            machine: Source::new(STALE_AFTER_OUTAGE),
            wire: None,
            last: false,
            rows: BTreeMap::new(),
            outage: None,
            old: false,
            good: false,
            aging: false,
        }
    }

    fn complete(&mut self, now: Time, key: Key) {
        self.machine.on_begin(now, key);
        for record in self.rows.keys() {
            self.machine.on_record(key, record);
        }
        self.machine.on_end(key, self.rows.len() as u64, sync::digest(self.rows.keys().map(String::as_str)));
    }

    /// Whether a value is shown without a mark.
    // spec: SRV-8
    pub fn shows_fresh(&self, record: &str) -> bool {
        let fit = |report: &Report| matches!(report.quality, Quality::Good | Quality::Failed { .. }) && self.wire == Some(report.key);
        self.machine.is_fresh(record) && self.rows.get(record).and_then(|row| row.report.as_ref()).is_some_and(fit)
    }
}

/// A subscription.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Which instruments.
    pub pattern: Pattern,
    /// How much less than declared.
    pub coarsen: Coarsen,
}

/// A request that waits for its answer.
#[derive(Clone, Debug)]
pub struct Pending {
    /// Since when.
    pub since: Time,
    /// To be sent again after a new connection.
    pub again: Option<ToAgent>,
}

/// What an importing process holds.
#[derive(Clone, Debug, Default)]
pub struct Importer {
    /// What it wants, by number.
    pub wishes: BTreeMap<u32, Wish>,
    /// What it has.
    pub views: BTreeMap<Name, View>,
    /// What the agent's numbers mean.
    pub instruments: BTreeMap<InstrumentId, Announcement>,
    /// Whom it asked for.
    pub lookups: BTreeSet<Name>,
    /// Requests on the present connection.
    pub pending: BTreeMap<u64, Pending>,
    /// Changes whose answer was lost with a connection: they are asked again under the same id.
    pub retries: Vec<ToAgent>,
    /// The number of the last request.
    pub last_req: u64,
    /// The number of the last subscription.
    pub last_wish: u32,
    /// Exporters of whose outage it was told, and not yet that it is over.
    pub told: BTreeMap<Key, Name>,
    /// It reads only now and then.
    pub slow: bool,
    /// End marks that did not fit.
    pub mismatches: u64,
    /// How changes were answered last, by request.
    pub answers: BTreeMap<u64, Result<SetResult, Refusal>>,
    /// What procedures answered, by request, and whether it was a repetition.
    pub returned: BTreeMap<u64, (Result<String, String>, bool)>,
    /// What it was told last of all that there is, and in answer to which request.
    pub told_of_all: Option<(u64, ToProcess)>,
    /// Which changes it has confirmed, by request.
    pub confirmed: BTreeMap<u64, RequestId>,
    /// How those ended that it made and that were to be confirmed.
    pub settled: BTreeMap<RequestId, End>,
}

impl Importer {
    /// The outages of which it was told, for the next agent.
    pub fn told_outages(&self) -> Vec<ToldOutage> {
        self.told.iter().map(|(key, source)| ToldOutage { key: *key, source: source.clone() }).collect()
    }

    /// What it shows as fresh of a source.
    pub fn fresh_of(&self, source: &Name) -> Vec<String> {
        let view = self.views.get(source);
        view.into_iter().flat_map(|v| v.rows.keys().filter(|record| v.machine.is_fresh(record))).cloned().collect()
    }

    /// The link is gone, and with it the meaning of all numbers.
    pub fn on_link_lost(&mut self, now: Time) {
        self.instruments.clear();
        for view in self.views.values_mut() {
            view.lose(now);
            view.machine.on_link_lost(now);
            view.wire = None;
        }
        for pending in std::mem::take(&mut self.pending).into_values() {
            self.retries.extend(pending.again);
        }
    }

    /// A message of the agent's. True: everything must be asked for again.
    pub fn on_message(&mut self, now: Time, message: &ToProcess) -> bool {
        match message {
            ToProcess::Confirmed { req, request_id } => drop(self.confirmed.insert(*req, request_id.clone())),
            ToProcess::Listed { req, .. } | ToProcess::Sensed { req, .. } | ToProcess::Outages { req, .. } => {
                self.told_of_all = Some((*req, message.clone()));
            }
            ToProcess::Settled { request_id, end } => drop(self.settled.insert(request_id.clone(), *end)),
            ToProcess::Fired { req, result, repeated, .. } => drop(self.returned.insert(*req, (result.clone(), *repeated))),
            ToProcess::SetDone { req, result } => drop(self.answers.insert(*req, Ok(result.clone()))),
            ToProcess::Refused { req, refusal } => drop(self.answers.insert(*req, Err(refusal.clone()))),
            ToProcess::ReportsBegin { source, key, relieves, last } => {
                let view = self.views.entry(source.clone()).or_insert_with(View::new);
                let before = view.wire.replace(*key);
                (view.last, view.old, view.good, view.aging) = (*last, false, false, false);
                match relieves {
                    Some(_) if before == *relieves => view.machine.on_relieved(now, *key),
                    _ => view.machine.on_begin(now, *key),
                }
            }
            ToProcess::Announced(announced) => {
                for announcement in &announced.instruments {
                    self.instruments.insert(announcement.instrument, announcement.clone());
                    let view = self.views.entry(announcement.source.clone()).or_insert_with(View::new);
                    let record = format!("{}{}", announcement.name, announcement.dims);
                    if let Some(key) = view.wire {
                        view.machine.on_record(key, &record);
                    }
                    view.rows.entry(record).and_modify(|row| row.announcement = announcement.clone()).or_insert_with(|| Row {
                        announcement: announcement.clone(),
                        added: now,
                        report: None,
                    });
                }
            }
            ToProcess::Withdrawn { instruments } => {
                for announcement in instruments.iter().filter_map(|id| self.instruments.remove(id)) {
                    let record = format!("{}{}", announcement.name, announcement.dims);
                    if let Some(view) = self.views.get_mut(&announcement.source) {
                        view.machine.forget(&record);
                        view.rows.remove(&record);
                    }
                }
            }
            ToProcess::Reports { reports, .. } => reports.iter().for_each(|report| self.on_report(now, report)),
            ToProcess::ReportsEnd(end) => {
                let Some(view) = self.views.get_mut(&end.source) else { return false };
                match view.machine.on_end(end.key, end.count, end.digest) {
                    Ended::Complete(swept) => {
                        swept.removed.iter().for_each(|record| drop(view.rows.remove(record)));
                        if (view.old && !view.good) || view.outage.as_ref().is_some_and(|o| o.key == end.key) {
                            // Old values, said again: they get no younger.
                            // spec: SYN-4
                            view.machine.on_still_lost(now);
                            // One that an earlier agent told of another life is over with this begin.
                            view.aging = view.outage.as_ref().is_none_or(|o| o.key != end.key);
                        }
                    }
                    Ended::Mismatch => {
                        self.mismatches += 1;
                        return true;
                    }
                    Ended::NotCurrent => {}
                }
            }
            ToProcess::Outage(outage) => {
                if outage.end.is_some() {
                    self.told.remove(&outage.key);
                } else {
                    self.told.insert(outage.key, outage.source.clone());
                }
                let Some(view) = self.views.get_mut(&outage.source) else { return false };
                if outage.end.is_some() {
                    view.outage = None;
                } else {
                    view.outage = Some(outage.clone());
                    if view.wire.is_none_or(|wire| wire == outage.key) {
                        view.lose(now);
                        view.aging = false;
                    }
                }
            }
            _ => {}
        }
        false
    }

    fn on_report(&mut self, now: Time, report: &Report) {
        let Some(announcement) = self.instruments.get(&report.instrument) else { return };
        let Some(view) = self.views.get_mut(&announcement.source) else { return };
        let record = format!("{}{}", announcement.name, announcement.dims);
        match report.quality {
            Quality::Good | Quality::Failed { .. } => {
                // Until now all that came was old, and its exporter speaks again: what is known of it is all there is.
                if std::mem::take(&mut view.aging) && view.wire == Some(report.key) {
                    view.complete(now, report.key);
                }
                view.good = true;
            }
            Quality::Stale { .. } | Quality::Outage { .. } => view.old = true,
        }
        if let Some(row) = view.rows.get_mut(&record) {
            row.report = Some(report.clone());
        }
    }

    /// Clears what was stale for too long.
    pub fn on_tick(&mut self, now: Time) {
        for view in self.views.values_mut() {
            for record in view.machine.on_tick(now).removed {
                view.rows.remove(&record);
            }
        }
    }
}
