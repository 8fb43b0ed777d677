//! Subscriptions, and who follows what.
//!
//! A subscription is a pattern; what it fits at the moment is *followed*. The first follower of an instrument on this CPU sets its watch word, the
//! last one's going clears it. An importer gets, per source: begin, announcements, first values, end mark; afterwards only what changes (`reporting`).

use std::collections::{BTreeMap, BTreeSet};

use super::io::{Conn, Moment, Output};
use super::table::Instrument;
use super::{Agent, Outbox, Question, Resource, Timer};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::propagation::Follow;
use crate::machine::sync;
use crate::model::{Coarsen, InstrumentId, Key, Name, Outage, Pattern, Refusal, Slot, Version};
use crate::wire::{Announced, Announcement, ReportsEnd, ToProcess};

/// How many announcements go in one message: with the longest help texts a frame still holds them.
const ANNOUNCED_MAX: usize = 128;

/// Instruments that are followed now and were not, and those of which an importer now wants more or less.
pub(super) type Changed = (Vec<InstrumentId>, Vec<InstrumentId>);

/// The same by source.
pub(super) type Changes = BTreeMap<Name, Changed>;

/// Importers that wait for the first values of a source.
#[derive(Debug)]
pub(super) struct Syncing {
    pub source: Name,
    pub key: Key,
    pub conns: Vec<Conn>,
    /// The outage that this ends, to be told after the end mark.
    pub ended: Option<Outage>,
}

impl Agent {
    // spec: MON-2, SRV-2
    pub(super) fn on_subscribe(
        &mut self,
        now: Moment,
        conn: Conn,
        subscription: u32,
        pattern: Pattern,
        coarsen: Coarsen,
        out: &mut Outbox,
    ) {
        let Some(replaced) = self.record_subscription(conn, subscription, &pattern, coarsen, out) else { return };
        let changed = self.follow_patterns(conn, vec![(pattern.clone(), coarsen)], replaced, out);
        self.show_changed(now, conn, changed, out);
        self.tell_of_lost(conn, &pattern);
    }

    /// It has subscribed. Says whether that was in the place of an earlier subscription; none if it may not.
    pub(super) fn record_subscription(
        &mut self,
        conn: Conn,
        number: u32,
        pattern: &Pattern,
        coarsen: Coarsen,
        out: &mut Outbox,
    ) -> Option<bool> {
        let session = self.sessions.get_mut(&conn)?;
        if session.subscriptions.len() >= limits::SUBSCRIPTIONS_MAX && !session.subscriptions.contains_key(&number) {
            let max = limits::SUBSCRIPTIONS_MAX as u64;
            self.refuse(out, conn, 0, Refusal::TooMany { what: "subscriptions of one importer".into(), max });
            return None;
        }
        let before = session.subscriptions.insert(number, super::session::Subscription { pattern: pattern.clone(), coarsen });
        self.want_pattern(conn, pattern, true);
        let replaced = before.is_some();
        if let Some(before) = before {
            self.want_pattern(conn, &before.pattern, false);
        }
        Some(replaced)
    }

    /// It follows what its new subscriptions fit.
    pub(super) fn follow_patterns(&mut self, conn: Conn, added: Vec<(Pattern, Coarsen)>, replaced: bool, out: &mut Outbox) -> Changes {
        if replaced {
            return self.refresh_all(conn, out);
        }
        let mut all = Changes::new();
        for (pattern, coarsen) in added {
            for (source, (added, wished)) in self.follow_pattern(conn, &pattern, coarsen, out) {
                let of_source = all.entry(source).or_default();
                of_source.0.extend(added);
                // What it did not follow before is announced first.
                let new: BTreeSet<InstrumentId> = if wished.is_empty() { BTreeSet::new() } else { of_source.0.iter().copied().collect() };
                of_source.1.extend(wished.into_iter().filter(|id| !new.contains(id)));
            }
        }
        all
    }

    /// What it follows now and did not is sent to it.
    pub(super) fn show_changed(&mut self, now: Moment, conn: Conn, changed: Changes, out: &mut Outbox) {
        for (source, (added, wished)) in changed {
            for id in wished {
                self.follow_up(now, conn, id);
            }
            if added.is_empty() {
                continue;
            }
            let Some(state) = self.sources.get(&source) else { continue };
            match (state.exporter, state.outage) {
                (Some(key), _) => self.begin_sync(now, &source, key, BTreeMap::from([(conn, added)]), None, out),
                // The last values of the dead, then what happened. All of them: the importer may have cleared those that it had before. But nothing older than
                // what an importer that was there would still show.
                // spec: OUT-2, SYN-4
                (None, outage) => {
                    let outage = outage.and_then(|id| self.outages.find(id)).map(|(o, began)| (o.clone(), began));
                    if outage.as_ref().is_none_or(|(_, began)| now.time.since(*began) < limits::STALE_AFTER_OUTAGE) {
                        let all = self.followed(conn, &source);
                        self.show_stale(now, conn, &source, &all, outage.map(|(o, _)| o));
                    }
                }
            }
        }
    }

    /// Outages of sources of which this agent, started since, knows no instrument yet.
    // spec: OUT-2, MON-7
    fn tell_of_lost(&mut self, conn: Conn, pattern: &Pattern) {
        let lost: Vec<Outage> = self
            .sources
            .iter()
            .filter(|(source, s)| s.exporter.is_none() && self.table.of_source(source).next().is_none())
            .filter_map(|(_, s)| s.outage.and_then(|id| self.outages.find(id)).map(|(o, _)| o))
            .filter(|o| {
                let service = self.registry.find(o.key).and_then(|p| p.former.service.as_ref()).unwrap_or(&o.source);
                pattern.may_fit_below(service) && pattern.at().is_none_or(|at| *at == self.cpu || *at == o.source || *at == o.process)
            })
            .cloned()
            .collect();
        for outage in lost {
            self.tell_outage(conn, &outage);
        }
    }

    /// Makes all that the importer follows what its subscriptions fit now. Returns, by source, what [`Agent::refresh_follows`] does.
    fn refresh_all(&mut self, conn: Conn, out: &mut Outbox) -> Changes {
        let sources: Vec<Name> = self.sources.keys().cloned().collect();
        sources
            .into_iter()
            .map(|source| {
                let changed = self.refresh_follows(conn, &source, out);
                (source, changed)
            })
            .collect()
    }

    /// The importer wants these, too. Only what the new pattern fits is looked at.
    fn follow_pattern(&mut self, conn: Conn, pattern: &Pattern, coarsen: Coarsen, out: &mut Outbox) -> Changes {
        let mut changes = Changes::new();
        if pattern.incarnation().is_some() {
            return changes;
        }
        let fitting: Vec<(InstrumentId, Name)> =
            self.table.matching(pattern, |i, at| self.is_at(i, at)).filter(|i| i.is_for(conn)).map(|i| (i.id, i.source.clone())).collect();
        for (id, source) in fitting {
            let Some(session) = self.sessions.get_mut(&conn) else { break };
            let of_source = changes.entry(source.clone()).or_default();
            match session.follows.get_mut(&id) {
                Some(follow) => {
                    if follow.wish_finer(coarsen) {
                        of_source.1.push(id);
                    }
                }
                None => {
                    session.follow(id, &source, Follow::new(coarsen));
                    of_source.0.push(id);
                    if self.interest.declare(&Resource::Instrument(id), conn) {
                        self.watch(id, out);
                    }
                }
            }
        }
        changes
    }

    /// The importer no longer follows an instrument.
    pub(super) fn unfollow(&mut self, conn: Conn, id: InstrumentId) {
        self.timers.cancel(Timer::Follow(conn, id));
        let Some(source) = self.table.find(id).map(|i| i.source.clone()) else { return };
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.unfollow(id, &source);
        }
    }

    pub(super) fn on_unsubscribe(&mut self, conn: Conn, subscription: u32, out: &mut Outbox) {
        let Some(session) = self.sessions.get_mut(&conn) else { return };
        let Some(before) = session.subscriptions.remove(&subscription) else { return };
        self.want_pattern(conn, &before.pattern, false);
        self.refresh_all(conn, out);
    }

    /// Makes the followed instruments of a source those that the importer's subscriptions fit now. Returns the new ones, and those of which it now wants
    /// more or less; the importer is told of those that went.
    pub(super) fn refresh_follows(&mut self, conn: Conn, source: &Name, out: &mut Outbox) -> Changed {
        let Some(session) = self.sessions.get(&conn) else { return (Vec::new(), Vec::new()) };
        let mut wanted: BTreeMap<InstrumentId, Follow> = BTreeMap::new();
        for id in self.table.of_source(source) {
            let Some(instrument) = self.table.find(id) else { continue };
            for s in session.subscriptions.values() {
                if self.fits(conn, &s.pattern, instrument) {
                    wanted.entry(id).and_modify(|f| f.refine(s.coarsen)).or_insert_with(|| Follow::new(s.coarsen));
                }
            }
        }
        let had = session.by_source.get(source).cloned().unwrap_or_default();
        let mut gone = Vec::new();
        for id in had.iter().filter(|id| !wanted.contains_key(id)) {
            // Another agent hears of what has moved to another CPU from there: it is not gone.
            // spec: OUT-4, OUT-5
            if conn.peer().is_none() || self.table.find(*id).is_none_or(|i| i.far.is_none()) {
                gone.push(*id);
            }
            self.unfollow(conn, *id);
            if self.interest.withdraw_all(&Resource::Instrument(*id), conn) {
                self.unwatch(*id, out);
            }
        }
        if !gone.is_empty() {
            self.queue(conn, ToProcess::Withdrawn { instruments: gone });
        }
        let (mut added, mut other) = (Vec::new(), Vec::new());
        for (id, follow) in wanted {
            if let Some(session) = self.sessions.get_mut(&conn) {
                match session.follows.get_mut(&id) {
                    Some(known) => {
                        if known.take_wish(&follow) {
                            other.push(id);
                        }
                    }
                    None => {
                        session.follow(id, source, follow);
                    }
                }
            }
            if !had.contains(&id) {
                added.push(id);
                if self.interest.declare(&Resource::Instrument(id), conn) {
                    self.watch(id, out);
                }
            }
        }
        (added, other)
    }

    /// Another exporter stands behind the source: everybody who follows any of it gets all of it.
    pub(super) fn follow_source(
        &mut self,
        now: Moment,
        source: &Name,
        key: Key,
        relieves: Option<Key>,
        ended: Option<Outage>,
        out: &mut Outbox,
    ) {
        // The new board knows nothing of who watches.
        let ids: Vec<InstrumentId> = self.table.of_source(source).collect();
        for id in &ids {
            if self.interest.is_wanted(&Resource::Instrument(*id)) && !defect(Defect::ForgetWatches) {
                self.watch(*id, out);
            }
        }
        if let Some(outage) = ended.as_ref().filter(|_| defect(Defect::EndOutageEarly)) {
            self.tell_outage_over(outage);
        }
        let importers: Vec<Conn> = self.sessions.iter().filter(|(_, s)| !s.subscriptions.is_empty()).map(|(c, _)| *c).collect();
        let mut all = BTreeMap::new();
        for conn in importers {
            let had_any = self.follows_any(conn, &ids);
            self.refresh_follows(conn, source, out);
            let follows = self.followed(conn, source);
            if had_any || !follows.is_empty() || self.may_want_none_of(conn, source, key) {
                all.insert(conn, follows);
            }
        }
        let others: Vec<Conn> = self.sessions.keys().filter(|conn| !all.contains_key(conn)).copied().collect();
        for conn in others {
            self.end_all_outages_before(now, conn, source, key);
        }
        self.begin_sync_of(now, source, key, relieves, all, ended, out);
    }

    /// Instruments came while the source was live.
    pub(super) fn follow_new(&mut self, now: Moment, source: &Name, key: Key, added: &BTreeSet<InstrumentId>, out: &mut Outbox) {
        if added.is_empty() {
            return;
        }
        let importers: Vec<Conn> = self.sessions.iter().filter(|(_, s)| !s.subscriptions.is_empty()).map(|(c, _)| *c).collect();
        let mut to_sample = BTreeSet::new();
        // Who followed nothing of this source does not know whose life it is: it gets begin and end mark, too.
        // spec: SYN-2
        let mut begin = BTreeMap::new();
        for conn in importers {
            let knows = self.sessions.get(&conn).is_some_and(|s| s.by_source.contains_key(source));
            // One that was bound anew in the same slot is followed already, and is announced with what it now declares.
            let tell: Vec<InstrumentId> = added.iter().copied().filter(|id| self.follow_if_wanted(conn, *id, out)).collect();
            to_sample.extend(tell.iter().copied());
            if knows {
                self.announce(conn, &tell);
                // One of another CPU comes with its value.
                for id in &tell {
                    self.send_first(now, conn, *id);
                }
            } else if !tell.is_empty() {
                begin.insert(conn, tell);
            }
        }
        for id in &to_sample {
            self.watch(*id, out);
        }
        if !begin.is_empty() {
            self.begin_sync(now, source, key, begin, None, out);
        }
        let slots = self.slots_to_sample(now, key, to_sample, out);
        if !slots.is_empty() {
            let token = self.number();
            out.push(Output::Sample { key, slots, token });
        }
    }

    /// Whether an importer follows an instrument that just came, or came anew.
    fn follow_if_wanted(&mut self, conn: Conn, id: InstrumentId, out: &mut Outbox) -> bool {
        let (Some(session), Some(instrument)) = (self.sessions.get(&conn), self.table.find(id)) else { return false };
        if session.follows.contains_key(&id) {
            return true;
        }
        let mut wish: Option<Follow> = None;
        for s in session.subscriptions.values().filter(|s| self.fits(conn, &s.pattern, instrument)) {
            match &mut wish {
                Some(follow) => follow.refine(s.coarsen),
                None => wish = Some(Follow::new(s.coarsen)),
            }
        }
        let (Some(follow), source) = (wish, instrument.source.clone()) else { return false };
        if let Some(session) = self.sessions.get_mut(&conn) {
            session.follow(id, &source, follow);
        }
        if self.interest.declare(&Resource::Instrument(id), conn) {
            self.watch(id, out);
        }
        true
    }

    /// Whether a subscription to this pattern is one to this instrument.
    fn fits(&self, conn: Conn, pattern: &Pattern, instrument: &Instrument) -> bool {
        instrument.is_for(conn)
            && pattern.incarnation().is_none()
            && pattern.matches(&instrument.name, &instrument.dims)
            && pattern.at().is_none_or(|at| self.is_at(instrument, at))
    }

    fn follows_any(&self, conn: Conn, ids: &[InstrumentId]) -> bool {
        self.sessions.get(&conn).is_some_and(|s| ids.iter().any(|id| s.follows.contains_key(id)))
    }

    fn followed(&self, conn: Conn, source: &Name) -> Vec<InstrumentId> {
        self.sessions.get(&conn).and_then(|s| s.by_source.get(source)).map(|ids| ids.iter().copied().collect()).unwrap_or_default()
    }

    pub(super) fn begin_sync(
        &mut self,
        now: Moment,
        source: &Name,
        key: Key,
        who: BTreeMap<Conn, Vec<InstrumentId>>,
        ended: Option<Outage>,
        out: &mut Outbox,
    ) {
        self.begin_sync_of(now, source, key, None, who, ended, out);
    }

    /// Begin, announcements, what values there are; then asks for the rest. `relieves`: who has handed over to this exporter.
    // spec: SYN-2, OUT-5
    #[expect(clippy::too_many_arguments, reason = "these are the parts of one restart")]
    fn begin_sync_of(
        &mut self,
        now: Moment,
        source: &Name,
        key: Key,
        relieves: Option<Key>,
        who: BTreeMap<Conn, Vec<InstrumentId>>,
        ended: Option<Outage>,
        out: &mut Outbox,
    ) {
        // That of the very exporter that was lost is over before it says anything: what it says is not the last of the dead.
        // spec: OUT-4
        let same = |outage: &Outage| outage.end.as_ref().is_some_and(|end| end.key == outage.key);
        let ended = ended.filter(|outage| {
            if same(outage) {
                self.tell_outage_over(outage);
            }
            !same(outage)
        });
        let mut to_sample = BTreeSet::new();
        let conns: Vec<Conn> = who.keys().copied().collect();
        for (conn, ids) in who {
            self.end_outages_before(now, conn, source, key, true);
            let relieves = relieves.filter(|_| !defect(Defect::StaleAtHandover));
            self.queue(conn, ToProcess::ReportsBegin { source: source.clone(), key, relieves, last: false });
            self.announce(conn, &ids);
            for id in ids {
                if !self.send_first(now, conn, id) {
                    to_sample.insert(id);
                }
            }
        }
        let slots = self.slots_to_sample(now, key, to_sample, out);
        let syncing = Syncing { source: source.clone(), key, conns, ended };
        if slots.is_empty() {
            return self.end_sync(now, syncing);
        }
        let token = self.ask(now, Question::Sync(syncing), limits::COMPUTE_TIMEOUT);
        out.push(Output::Sample { key, slots, token });
    }

    /// A newcomer gets what all others have. False if nobody has anything yet.
    fn send_first(&mut self, now: Moment, conn: Conn, id: InstrumentId) -> bool {
        let Some(report) = self.table.find(id).and_then(|i| self.sent_report_of(i)) else { return false };
        if let Some(follow) = self.sessions.get_mut(&conn).and_then(|s| s.follows.get_mut(&id)) {
            follow.on_sent(now.time, report.value.as_ref());
        }
        self.queue_report(conn, report);
        true
    }

    /// The slots to read; dynamic ones are computed first.
    fn slots_to_sample(&mut self, now: Moment, key: Key, ids: BTreeSet<InstrumentId>, out: &mut Outbox) -> Vec<Slot> {
        let (mut slots, mut dynamic) = (Vec::new(), Vec::new());
        for instrument in ids.iter().filter_map(|id| self.table.find(*id)) {
            if let Some((_, slot)) = instrument.here().filter(|(k, _)| *k == key) {
                if instrument.is_dynamic() { dynamic.push(slot) } else { slots.push(slot) }
            }
        }
        // Each for itself: a slow one holds up no other.
        for slot in dynamic {
            let req = self.ask(now, Question::ComputeForWatch(key, vec![slot]), limits::COMPUTE_TIMEOUT);
            self.tell(out, key, ToProcess::Compute { req, slots: vec![slot] });
        }
        slots
    }

    // spec: SYN-7
    pub(super) fn end_sync(&mut self, now: Moment, syncing: Syncing) {
        let Syncing { source, key, conns, ended } = syncing;
        let conns: Vec<Conn> = conns.into_iter().filter(|conn| self.sessions.contains_key(conn)).collect();
        for conn in conns {
            let records: Vec<&str> =
                self.followed(conn, &source).iter().filter_map(|id| self.table.find(*id)).map(|i| i.record.as_str()).collect();
            let (count, digest) = (records.len() as u64, sync::digest(records));
            self.queue(conn, ToProcess::ReportsEnd(ReportsEnd { source: source.clone(), key, count, digest }));
            if self.sources.get(&source).is_some_and(|s| s.exporter == Some(key)) {
                self.end_outages_before(now, conn, &source, key, false);
            }
        }
        if let Some(outage) = &ended {
            self.tell_outage_over(outage);
        }
    }

    /// The last values of a source that has no exporter.
    pub(super) fn show_stale(&mut self, now: Moment, conn: Conn, source: &Name, ids: &[InstrumentId], outage: Option<Outage>) {
        let Some(key) = ids.first().and_then(|id| self.table.find(*id)).map(|i| i.key) else { return };
        self.queue(conn, ToProcess::ReportsBegin { source: source.clone(), key, relieves: None, last: true });
        self.announce(conn, ids);
        for id in ids {
            if let Some(instrument) = self.table.find(*id) {
                let report = self.report_of(instrument);
                self.queue_report(conn, report);
            }
        }
        self.end_sync(now, Syncing { source: source.clone(), key, conns: vec![conn], ended: None });
        match outage {
            // It may have forgotten the source meanwhile, and the outage with it.
            Some(outage) if conn.peer().is_some() => self.queue(conn, ToProcess::Outage(outage)),
            Some(outage) => self.tell_outage(conn, &outage),
            None => {}
        }
    }

    fn announce(&mut self, conn: Conn, ids: &[InstrumentId]) {
        for part in ids.chunks(ANNOUNCED_MAX) {
            let instruments: Vec<Announcement> = part.iter().filter_map(|id| self.table.find(*id)).map(|i| self.announcement(i)).collect();
            self.queue(conn, ToProcess::Announced(Announced { instruments }));
        }
    }

    pub(super) fn announcement(&self, i: &Instrument) -> Announcement {
        if let Some(far) = &i.far {
            let (cpu, process) = (far.cpu.clone(), far.process.clone());
            return Announcement { cpu, process, version: far.version, ..self.announcement_of(i) };
        }
        self.announcement_of(i)
    }

    fn announcement_of(&self, i: &Instrument) -> Announcement {
        let control = (i.source.clone(), i.record.clone());
        let version = if i.descriptor.is_control() { self.ledger.current(&control, &i.descriptor).0 } else { Version(0) };
        Announcement {
            instrument: i.id,
            source: i.source.clone(),
            name: i.name.clone(),
            dims: i.dims.clone(),
            cpu: self.cpu.clone(),
            process: self.registry.find(i.key).map_or_else(|| i.source.clone(), |p| p.name.clone()),
            descriptor: i.descriptor.as_ref().clone(),
            version,
        }
    }
}
