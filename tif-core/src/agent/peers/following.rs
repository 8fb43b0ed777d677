//! What this CPU's importers want of other CPUs, and what comes of it.
//!
//! Towards another agent this one is an importer, for all of its own together: of each pattern that some importer here subscribed to, one subscription goes
//! out, in the finest of the wishes; the last withdrawal goes out, too. What the other sends for a source (begin, announcements, values, end mark) is kept
//! apart until the mark fits; then every instrument is bound, and each importer here is told in its turn. So a restart of the other agent, a healed link
//! and a takeover look to an importer like the restart of a process next door.
// spec: MON-2, MON-3, SYN-5, SYN-6

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::exporting::Source;
use super::super::io::{Conn, Moment};
use super::super::outages::Tally;
use super::super::table::{Declared, Far, Instrument, Place};
use super::super::{Agent, Outbox, Resource};
use crate::defects::{Defect, defect};
use crate::limits;
use crate::machine::propagation::{Follow, Going};
use crate::machine::sync;
use crate::model::{Cause, Coarsen, InstrumentId, Key, Name, NodeId, Outage, OutageId, Pattern, Quality, Report};
use crate::wire::{Announced, Announcement, ReportsEnd, ToAgent, ToPeer};

/// How often a source is asked for again whose end mark did not fit.
const RETRIES_MAX: u8 = 3;

/// What another agent sends of a source, from its begin to its end mark.
#[derive(Debug)]
pub(super) struct Incoming {
    key: Key,
    /// The life that is live here says all of it once more, on the same stream.
    again: bool,
    /// Who has handed over to it.
    relieves: Option<Key>,
    /// They are the last values of a life that exports no more.
    last: bool,
    announced: BTreeMap<InstrumentId, Announcement>,
    reports: BTreeMap<InstrumentId, Report>,
}

/// A source of another CPU as it is known here.
#[derive(Debug)]
pub(in super::super) struct FarSource {
    /// Who sends it.
    pub node: NodeId,
    sync: sync::Source,
    retries: u8,
}

impl Agent {
    /// A subscription has come or gone: the wish behind its pattern is looked at, at the end of the step.
    pub(in super::super) fn want_pattern(&mut self, conn: Conn, pattern: &Pattern, wanted: bool) {
        if conn.peer().is_some() || pattern.incarnation().is_some() {
            return;
        }
        let resource = Resource::Pattern(pattern.clone());
        if wanted {
            self.interest.declare(&resource, conn);
        } else {
            self.interest.withdraw(&resource, conn);
        }
        self.peers.wishes.insert(pattern.clone());
    }

    /// The finest of what importers here wish of a pattern; none if nobody does.
    fn wish(&self, pattern: &Pattern) -> Option<Coarsen> {
        let resource = Resource::Pattern(pattern.clone());
        let is_own = self.peers.awaited.contains(pattern) || self.peers.guards.contains(pattern);
        let mut finest = is_own.then(|| Follow::new(Coarsen::default()));
        for session in self.interest.waiters(&resource).filter_map(|conn| self.sessions.get(&conn)) {
            for s in session.subscriptions.values().filter(|s| s.pattern == *pattern) {
                match &mut finest {
                    Some(follow) => follow.refine(s.coarsen),
                    None => finest = Some(Follow::new(s.coarsen)),
                }
            }
        }
        finest.map(|f| f.wished())
    }

    /// Tells the other agents what is wanted of them now, where that has changed.
    pub(super) fn send_wishes(&mut self, now: Moment, out: &mut Outbox) {
        let changed = std::mem::take(&mut self.peers.wishes);
        if changed.is_empty() {
            return;
        }
        let nodes: Vec<NodeId> = self.peers.greeted().collect();
        for node in nodes {
            let mut any = false;
            for pattern in &changed {
                any |= self.send_wish(now, node, pattern, out);
            }
            if any {
                self.say(now, node, ToPeer::Wished, out);
            }
        }
    }

    /// All wishes, to an agent that knows none of them or has another service now.
    pub(super) fn send_all_wishes(&mut self, now: Moment, node: NodeId, out: &mut Outbox) {
        let wanted = self.interest.resources().filter_map(|r| if let Resource::Pattern(p) = r { Some(p) } else { None });
        let all: BTreeSet<Pattern> = wanted.chain(&self.peers.awaited).chain(&self.peers.guards).cloned().collect();
        for pattern in all {
            self.send_wish(now, node, &pattern, out);
        }
        self.say(now, node, ToPeer::Wished, out);
    }

    /// An outage that began here lasts, though the service is led on another CPU by now, or a primary of this CPU makes way for one there. Whether somebody here follows it or not: this agent does, until what
    /// was lost is bound to the successor, so that what is written down of the outage says when it was over.
    // spec: OUT-4, OUT-6
    pub(super) fn await_end(&mut self, service: &Name) {
        let open = self.outages.open_of(service).and_then(|id| self.outages.find(id));
        let is_open = open.is_some_and(|(outage, _)| outage.cpu == self.cpu) && self.is_led_elsewhere(service);
        let is_awaited = is_open || self.hands_over_elsewhere(service);
        let Ok(pattern) = format!("{service}.**").parse::<Pattern>() else { return };
        let changed = if is_awaited { self.peers.awaited.insert(pattern.clone()) } else { self.peers.awaited.remove(&pattern) };
        if changed {
            self.peers.wishes.insert(pattern);
        }
    }

    /// Only where something is that the pattern may fit. True if there is something new to be sent for it.
    fn send_wish(&mut self, now: Moment, node: NodeId, pattern: &Pattern, out: &mut Outbox) -> bool {
        let wish = self.wish(pattern);
        let Some(peer) = self.peers.get_mut(node) else { return false };
        // What is subscribed to stays so while a service is without members: what is known of it is still shown.
        let wish = wish.filter(|_| peer.upstream.contains_key(pattern) || peer.members.values().any(|m| pattern.may_fit_below(&m.service)));
        let body = match (wish, peer.upstream.get(pattern).copied()) {
            (Some(coarsen), Some((_, sent))) if sent == coarsen => return false,
            (Some(coarsen), known) => {
                let subscription = known.map_or(peer.last_subscription + 1, |(id, _)| id);
                peer.last_subscription = peer.last_subscription.max(subscription);
                peer.upstream.insert(pattern.clone(), (subscription, coarsen));
                ToAgent::Subscribe { subscription, pattern: pattern.clone(), coarsen }
            }
            (None, Some((subscription, _))) => {
                peer.upstream.remove(pattern);
                ToAgent::Unsubscribe { subscription }
            }
            (None, None) => return false,
        };
        let asks = matches!(body, ToAgent::Subscribe { .. });
        self.request_of(now, node, None, body, out);
        if !asks {
            self.forget_doubted(node, out);
        }
        self.look_again(now, node, |i| pattern.matches(&i.name, &i.dims));
        asks
    }

    /// What a source of another CPU is called here: a group's name is the same everywhere, a process's only with its CPU.
    fn far_name(&self, node: NodeId, key: Key, source: &Name) -> Option<Name> {
        let peer = self.peers.get(node)?;
        let member = peer.members.get(&key)?;
        if member.grouped { Some(source.clone()) } else { peer.cpu.as_ref()?.join(source).ok() }
    }

    /// A source begins to send.
    pub(super) fn on_far_begin(&mut self, now: Moment, node: NodeId, source: &Name, key: Key, relieves: Option<Key>, last: bool) {
        let Some(source) = self.far_name(node, key, source) else { return self.drop_incoming_of(now, node, source) };
        // Who led in an earlier term, or is known to be dead, is not listened to.
        // spec: GRP-8, PSM-7
        let is_followed = last && self.sources.get(&source).and_then(|s| s.exporter).is_some_and(|live| live != key);
        if self.peers.is_over(key) || self.is_deposed(&source, key) || is_followed {
            self.stats.stale_keys += 1;
            return self.drop_incoming_of(now, node, &source);
        }
        let far = self.peers.sources.entry(source.clone()).or_insert_with(|| FarSource::new(node));
        far.node = node;
        let again = far.sync.state() == sync::State::Live(key);
        far.sync.on_begin(now.time, key);
        let Some(peer) = self.peers.get_mut(node) else { return };
        // A second begin of the same life, for another subscription: both go on, and each end mark is over all that came.
        if peer.incoming.get(&source).is_none_or(|incoming| incoming.key != key) {
            peer.incoming.insert(source, Incoming { key, again, relieves, last, announced: BTreeMap::new(), reports: BTreeMap::new() });
        }
    }

    /// What a life has begun to send will not be ended: it is over.
    // spec: SYN-4
    pub(super) fn drop_incoming(&mut self, now: Moment, node: NodeId, key: Key) {
        let of_key = self.peers.get(node).into_iter().flat_map(|p| p.incoming.iter()).filter(|(_, i)| i.key == key);
        for source in of_key.map(|(source, _)| source.clone()).collect::<Vec<Name>>() {
            self.drop_incoming_of(now, node, &source);
        }
    }

    fn drop_incoming_of(&mut self, now: Moment, node: NodeId, source: &Name) {
        let dropped = self.peers.get_mut(node).and_then(|p| p.incoming.remove(source)).is_some();
        if let Some(far) = self.peers.sources.get_mut(source).filter(|far| dropped && far.node == node) {
            // Nobody was shown what came: it makes nothing younger.
            far.sync.on_still_lost(now.time);
        }
    }

    pub(super) fn on_far_announced(&mut self, now: Moment, node: NodeId, announced: Announced, out: &mut Outbox) {
        let mut live: BTreeMap<Name, (Key, Vec<Announcement>)> = BTreeMap::new();
        for a in announced.instruments {
            let Some((source, key)) = self.far_home(node, &a) else { continue };
            let record = format!("{}{}", a.name, a.dims);
            if !self.peers.sources.get_mut(&source).is_some_and(|far| far.node == node && far.sync.on_record(key, &record)) {
                self.stats.stale_keys += 1;
                continue;
            }
            let Some(peer) = self.peers.get_mut(node) else { return };
            peer.places.insert(a.instrument, (source.clone(), record));
            match peer.incoming.get_mut(&source) {
                Some(incoming) => drop(incoming.announced.insert(a.instrument, a)),
                None => live.entry(source).or_insert_with(|| (key, Vec::new())).1.push(a),
            }
        }
        for (source, (key, announced)) in live {
            let added = self.bind_announced(now, node, &source, key, announced, &BTreeMap::new());
            self.follow_new(now, &source, key, &added, out);
        }
    }

    /// Of which source here an instrument is, and whose life: that of the block that it comes in, or of the source as it stands.
    fn far_home(&self, node: NodeId, a: &Announcement) -> Option<(Name, Key)> {
        let peer = self.peers.get(node)?;
        let own = peer.cpu.as_ref()?.join(&a.source).ok();
        [Some(a.source.clone()), own].into_iter().flatten().find_map(|source| {
            if let Some(incoming) = peer.incoming.get(&source) {
                return Some((source, incoming.key));
            }
            let key = self.sources.get(&source)?.exporter.filter(|key| key.node == node)?;
            Some((source, key))
        })
    }

    pub(super) fn on_far_reports(&mut self, now: Moment, node: NodeId, reports: Vec<Report>) {
        for report in reports {
            let Some(peer) = self.peers.get_mut(node) else { return };
            let Some((source, record)) = peer.places.get(&report.instrument) else { continue };
            let incoming = peer.incoming.get_mut(source).filter(|i| i.announced.contains_key(&report.instrument));
            if let Some(incoming) = incoming {
                if report.key == incoming.key {
                    incoming.reports.insert(report.instrument, report);
                }
                continue;
            }
            let Some(id) = self.table.id_of(record, source) else { continue };
            self.relay(now, id, report);
        }
    }

    /// A value that another agent sent goes on to whoever follows it here.
    fn relay(&mut self, now: Moment, id: InstrumentId, report: Report) {
        let Some(instrument) = self.table.find_mut(id) else { return };
        if instrument.key != report.key || instrument.place.is_none() {
            self.stats.stale_keys += 1;
            return;
        }
        let going = instrument.take_far(now, report);
        self.stats.reports_in += 1;
        self.hand_out(now, id, going);
        if self.is_guard(id) {
            self.on_guard(id);
        }
    }

    /// How much of an instrument's changes its home leaves out: what all here who follow it agreed to.
    pub(in super::super) fn left_out_elsewhere(&self, instrument: &Instrument) -> f64 {
        let Some(Place::There(node)) = instrument.place else { return 0.0 };
        let wishes = self.asked_of(node, instrument);
        wishes.map(|coarsen| coarsen.deadband.unwrap_or(0.0)).reduce(f64::min).unwrap_or(0.0)
    }

    /// What was asked of a CPU that this instrument fits.
    fn asked_of<'a>(&'a self, node: NodeId, instrument: &'a Instrument) -> impl Iterator<Item = Coarsen> + 'a {
        let fits = |p: &Pattern| p.matches(&instrument.name, &instrument.dims) && p.at().is_none_or(|at| self.is_at(instrument, at));
        let upstream = self.peers.get(node).into_iter().flat_map(|p| &p.upstream);
        upstream.filter(move |(pattern, _)| fits(pattern)).map(|(_, (_, coarsen))| *coarsen)
    }

    fn is_asked_of(&self, node: NodeId, instrument: &Instrument) -> bool {
        self.asked_of(node, instrument).next().is_some()
    }

    /// The home of some instruments leaves out more or less than before: who coarsens here may be owed the last value.
    fn look_again(&mut self, now: Moment, node: NodeId, fits: impl Fn(&Instrument) -> bool) {
        let far = self.peers.sources.iter().filter(|(_, far)| far.node == node).map(|(source, _)| source);
        let ids: Vec<InstrumentId> =
            far.flat_map(|s| self.table.of_source(s)).filter(|id| self.table.find(*id).is_some_and(&fits)).collect();
        for id in ids {
            let coarse =
                |conn: &Conn| self.sessions.get(conn).and_then(|s| s.follows.get(&id)).is_some_and(|f| f.wished().deadband.is_some());
            let coarse: Vec<Conn> = self.interest.waiters(&Resource::Instrument(id)).filter(coarse).collect();
            for conn in coarse {
                self.follow_up(now, conn, id);
            }
        }
    }

    /// The end mark: if it fits, all of it counts.
    // spec: SYN-3, SYN-7
    pub(super) fn on_far_end(&mut self, now: Moment, node: NodeId, end: ReportsEnd, out: &mut Outbox) {
        let Some(source) = self.far_name(node, end.key, &end.source) else { return };
        let Some(far) = self.peers.sources.get_mut(&source).filter(|far| far.node == node) else { return };
        let ended = far.sync.on_end(end.key, end.count, end.digest);
        if ended == sync::Ended::NotCurrent {
            return;
        }
        // None: an earlier end mark was over this, too.
        let Some(incoming) = self.peers.get_mut(node).and_then(|p| p.incoming.remove(&source)) else { return };
        match ended {
            sync::Ended::NotCurrent => {}
            sync::Ended::Mismatch => self.ask_again(now, node, &source, out),
            sync::Ended::Complete(swept) => {
                if let Some(far) = self.peers.sources.get_mut(&source) {
                    far.retries = 0;
                }
                self.bind_far(now, node, &source, incoming, &swept, out);
            }
        }
    }

    /// What came is not what was sent: all of it again, on a new stream. Nothing was swept.
    // spec: SYN-7
    fn ask_again(&mut self, now: Moment, node: NodeId, source: &Name, out: &mut Outbox) {
        let Some(far) = self.peers.sources.get_mut(source) else { return };
        far.retries += 1;
        if far.retries <= RETRIES_MAX {
            self.reset_peer(now, node, out);
        }
    }

    /// The life that sent all of this stands behind the source from now on.
    // spec: OUT-3, OUT-4
    fn bind_far(&mut self, now: Moment, node: NodeId, source: &Name, incoming: Incoming, swept: &sync::Swept, out: &mut Outbox) {
        let Incoming { key, again, relieves, last, announced, reports } = incoming;
        let epoch = self.peers.get(node).and_then(|p| p.members.get(&key)).map(|m| m.epoch).unwrap_or_default();
        let taken = (!last).then(|| self.take_up(now, source, key, epoch, relieves, out));
        let relieves = taken.and_then(|taken| taken.relieves);
        if !last {
            self.lose_replaced(now, source, key, relieves, out);
        }
        // With its CPU: here a process may have the same name.
        let process =
            announced.values().next().map_or_else(|| source.clone(), |a| a.cpu.join(&a.process).unwrap_or_else(|_| a.process.clone()));
        let before: BTreeSet<InstrumentId> = self.table.of_source(source).collect();
        let same = self.sources.get(source).is_some_and(|s| s.exporter == Some(key));
        let had: Vec<(InstrumentId, Report)> =
            before.iter().filter(|_| same).filter_map(|id| self.table.find(*id)).map(|i| (i.id, self.report_of(i))).collect();
        let bound = self.bind_announced(now, node, source, key, announced.into_values(), &reports);
        for record in &swept.removed {
            if let Some(id) = self.table.id_of(record, source) {
                self.remove_instrument(id, out);
            }
        }
        if last
            && !defect(Defect::ReviveByLastValues)
            && let Some(outage) = self.outage_of(source, key)
        {
            return self.bind_last(now, source, outage, &bound, out);
        }
        if same {
            // What it did not repeat it had said just before: a value that waits to be sent there is not sent twice.
            for (id, was) in had.iter().filter(|(id, _)| again && bound.contains(id)) {
                if let Some(instrument) = self.table.find_mut(*id).filter(|i| i.propagation.last_sent().is_none()) {
                    instrument.take_far(now, was.clone());
                }
            }
            let added = bound.difference(&before).copied().collect();
            // The same life has said all once more: what is as it was is not told again.
            // spec: SYN-3
            for (id, was) in had {
                if let Some(report) = self.table.find(id).map(|i| self.report_of(i)).filter(|is| *is != was) {
                    self.hand_out(now, id, Going { seq: report.seq, alarm: report.alarm, coalesced: 0, always: true });
                }
            }
            self.look_again(now, node, |i| i.source == *source);
            self.follow_new(now, source, key, &added, out);
            self.look_at_guards(now, out);
            return self.forget_far_if_empty(source);
        }
        let mut tally = Tally { remapped: bound.intersection(&before).count() as u64, ..Tally::default() };
        tally.added = bound.len() as u64 - tally.remapped;
        // As far as it is known here: a CPU that has no member of it knows of no change.
        tally.carried = self.book_of(source).map_or(0, |book| book.controls().count() as u64);
        for id in before.difference(&bound) {
            // What nobody here follows any more is not said, and may be there.
            let is_followed = self.table.find(*id).is_some_and(|instrument| self.is_asked_of(node, instrument));
            tally.removed += u64::from(is_followed);
            self.remove_instrument(*id, out);
        }
        let state: &mut Source = self.sources.entry(source.clone()).or_default();
        // Whoever follows it here sees no more of that than one next door to it.
        // spec: OUT-5
        let relieves = relieves.filter(|before| state.exporter == Some(*before));
        state.relieved = relieves;
        state.exporter = Some(key);
        let outage = state.outage.take().or_else(|| self.outages.open_of(source));
        let ended = outage.and_then(|id| self.outages.end(now, id, &process, key, tally));
        // One that began here is in the store here.
        // spec: OUT-6, MON-7
        if let Some(outage) = ended.as_ref().filter(|outage| outage.cpu == self.cpu) {
            self.store_outage(outage.id, out);
            self.peers.electing.stir();
        }
        self.follow_source(now, source, key, relieves, ended.clone(), out);
        if let Some(taken) = taken {
            self.taken_up(source, taken, ended, out);
        }
        self.keep_promise(now, source, key);
        self.look_at_guards(now, out);
        self.forget_far_if_empty(source);
    }

    /// The outage of a source that is known here to have lost this life.
    fn outage_of(&self, source: &Name, key: Key) -> Option<OutageId> {
        let open = self.sources.get(source).and_then(|s| s.outage).or_else(|| self.outages.open_of(source))?;
        self.outages.find(open).filter(|(outage, _)| outage.key == key).map(|_| open)
    }

    /// The last values of a life that is known to be lost: the outage lasts, and they get no younger. Who follows some of them only now is shown them.
    // spec: OUT-2, OUT-4, SYN-4
    fn bind_last(&mut self, now: Moment, source: &Name, id: OutageId, bound: &BTreeSet<InstrumentId>, out: &mut Outbox) {
        let Some((since, key)) = self.outages.find(id).map(|(outage, _)| (outage.since, outage.key)) else { return };
        let state = self.sources.entry(source.clone()).or_default();
        (state.exporter, state.outage) = (None, Some(id));
        if let Some(far) = self.peers.sources.get_mut(source) {
            far.sync.on_still_lost(now.time);
        }
        for id_of in bound {
            if let Some(instrument) = self.table.find_mut(*id_of).filter(|i| i.key == key) {
                instrument.place = None;
                instrument.quality = Quality::Outage { id, since };
            }
        }
        let importers: Vec<Conn> = self.sessions.iter().filter(|(_, s)| !s.subscriptions.is_empty()).map(|(c, _)| *c).collect();
        for conn in importers {
            let changed = self.refresh_follows(conn, source, out);
            self.show_changed(now, conn, BTreeMap::from([(source.clone(), changed)]), out);
        }
        self.forget_far_if_empty(source);
    }

    fn bind_announced(
        &mut self,
        now: Moment,
        node: NodeId,
        source: &Name,
        key: Key,
        announced: impl IntoIterator<Item = Announcement>,
        reports: &BTreeMap<InstrumentId, Report>,
    ) -> BTreeSet<InstrumentId> {
        let mut bound = BTreeSet::new();
        for a in announced {
            let far = Arc::new(Far { cpu: a.cpu, process: a.process, version: a.version });
            let declared = Declared { name: a.name, dims: a.dims, descriptor: Arc::new(a.descriptor) };
            let id = self.table.bind_far(source, declared, key, node, far);
            if let (Some(report), Some(instrument)) = (reports.get(&a.instrument), self.table.find_mut(id)) {
                instrument.take_far(now, report.clone());
            }
            bound.insert(id);
        }
        bound
    }

    /// Instruments that another agent no longer sends: they are no more, or nobody here wants them.
    pub(super) fn on_far_withdrawn(&mut self, node: NodeId, instruments: &[InstrumentId], out: &mut Outbox) {
        for id in instruments {
            let Some(peer) = self.peers.get_mut(node) else { return };
            let Some((source, record)) = peer.places.remove(id) else { continue };
            if let Some(incoming) = peer.incoming.get_mut(&source) {
                incoming.announced.remove(id);
            }
            if let Some(far) = self.peers.sources.get_mut(&source).filter(|far| far.node == node) {
                far.sync.forget(&record);
                if let Some(id) = self.table.id_of(&record, &source) {
                    self.remove_instrument(id, out);
                }
            }
            self.forget_far_if_empty(&source);
        }
    }

    /// Nothing is left of it that anybody here wants.
    fn forget_far_if_empty(&mut self, source: &Name) {
        let empty = self.peers.sources.get(source).is_some_and(|far| far.sync.is_empty());
        let incoming = self.peers.iter().any(|(_, p)| p.incoming.contains_key(source));
        if empty && !incoming && self.table.of_source(source).next().is_none() {
            self.peers.sources.remove(source);
            if self.sources.get(source).is_some_and(|s| s.exporter.is_none_or(|key| key.node != self.key.node)) {
                // Its outage is remembered as long as somebody waits to be told that it is over.
                self.sources.remove(source);
            }
        }
    }

    /// Another agent says that a source of its is without an exporter.
    // spec: OUT-1, OUT-2
    pub(super) fn on_far_outage(&mut self, now: Moment, node: NodeId, outage: &Outage, out: &mut Outbox) {
        if outage.end.is_some() {
            if outage.cause == Cause::Handover {
                self.on_far_handover(now, outage);
            }
            return;
        }
        let here = self.peers.get(node).and_then(|p| p.cpu.as_ref()).and_then(|cpu| cpu.join(&outage.source).ok());
        self.drop_incoming(now, node, outage.key);
        let source = [Some(outage.source.clone()), here]
            .into_iter()
            .flatten()
            .find(|s| self.sources.get(s).is_some_and(|s| s.exporter == Some(outage.key)));
        if let Some(source) = source {
            self.lose_far(now, &source, &outage.process, outage.key, outage.cause.clone(), out);
        }
    }

    /// The exporter of a source on another CPU is gone, or is taken to be.
    pub(super) fn lose_far(&mut self, now: Moment, source: &Name, process: &Name, key: Key, cause: Cause, out: &mut Outbox) {
        if let Some(far) = self.peers.sources.get_mut(source) {
            far.sync.on_life_lost(now.time, key);
        }
        let cpu = self.peers.get(key.node).and_then(|p| p.cpu.clone()).unwrap_or_else(|| self.cpu.clone());
        let at = self.peers.detector.silent_since(key.node).map_or(now, |heard| Moment { time: heard, stamp: now.stamp_of(heard), ..now });
        self.begin_outage_of(now, at, &cpu, source, process, key, cause, out);
    }

    /// Somebody else stands behind a source from now on, and nobody has said here yet that the one before on another CPU is lost: who follows it has heard
    /// nothing of it since, and that was an outage.
    // spec: OUT-1, OUT-2
    pub(in super::super) fn lose_replaced(&mut self, now: Moment, source: &Name, key: Key, relieves: Option<Key>, out: &mut Outbox) {
        let replaced = self.sources.get(source).and_then(|s| s.exporter).filter(|before| *before != key && Some(*before) != relieves);
        let Some(before) = replaced.filter(|before| before.node != self.key.node) else { return };
        let cause = if self.peers.detector.is_up(before.node) { Cause::Unknown } else { Cause::CpuDown };
        let process = self.process_behind(source);
        self.lose_far(now, source, &process, before, cause, out);
    }

    /// What the process is called that exported a source of another CPU last.
    fn process_behind(&self, source: &Name) -> Name {
        let process = self.table.of_source(source).find_map(|id| self.table.find(id)?.far.as_ref().map(|f| f.process.clone()));
        process.unwrap_or_else(|| source.clone())
    }

    /// An agent is down, or has not the exporters any more that it had: what was followed there is lost.
    // spec: OUT-1
    pub(super) fn lose_exporters(&mut self, now: Moment, node: NodeId, cause: &Cause, out: &mut Outbox) {
        let there = |key: &Key| self.peers.get(node).is_some_and(|p| p.members.contains_key(key));
        let lost: Vec<(Name, Key)> = self
            .sources
            .iter()
            .filter_map(|(source, s)| s.exporter.filter(|key| key.node == node && !there(key)).map(|key| (source.clone(), key)))
            .collect();
        for (source, key) in lost {
            if defect(Defect::KeepWhatIsDown) {
                continue;
            }
            let process = self.process_behind(&source);
            self.lose_far(now, &source, &process, key, cause.clone(), out);
        }
    }

    /// The stream is lost and what it may have said meanwhile: the same lives must say everything again.
    // spec: SYN-6
    pub(super) fn doubt_sources(&mut self, now: Moment, node: NodeId) {
        for far in self.peers.sources.values_mut().filter(|far| far.node == node) {
            if matches!(far.sync.state(), sync::State::Syncing(_)) {
                far.sync.on_still_lost(now.time);
            }
            far.sync.on_link_lost(now.time);
        }
    }

    /// A stream has begun: of what was doubted, that which nobody here follows is forgotten. It is not asked for, so nobody would say what became of it.
    // spec: SYN-6
    pub(super) fn forget_unfollowed(&mut self, node: NodeId, out: &mut Outbox) {
        let sources = self.peers.sources.iter().filter(|(_, far)| far.node == node).map(|(source, _)| source.clone()).collect();
        self.forget_unfollowed_of(sources, out);
    }

    /// A subscription has ended: of what the other has said nothing since its stream began, it may follow nothing, and would not say what becomes of it.
    // spec: SYN-6
    fn forget_doubted(&mut self, node: NodeId, out: &mut Outbox) {
        let is_doubted = |far: &FarSource| far.node == node && far.sync.state() == sync::State::Stale;
        let sources = self.peers.sources.iter().filter(|(_, far)| is_doubted(far)).map(|(source, _)| source.clone()).collect();
        self.forget_unfollowed_of(sources, out);
    }

    fn forget_unfollowed_of(&mut self, sources: Vec<Name>, out: &mut Outbox) {
        for source in sources {
            let unfollowed: Vec<InstrumentId> =
                self.table.of_source(&source).filter(|id| !self.interest.is_wanted(&Resource::Instrument(*id))).collect();
            for id in unfollowed {
                let record = self.table.find(id).map(|i| i.record.clone());
                if let (Some(record), Some(far)) = (record, self.peers.sources.get_mut(&source)) {
                    far.sync.forget(&record);
                }
                self.remove_instrument(id, out);
            }
            self.forget_far_if_empty(&source);
        }
    }

    /// What was not sent again in time is cleared.
    // spec: SYN-4
    pub(in super::super) fn expire_far(&mut self, now: Moment, out: &mut Outbox) {
        self.lose_promised(now, out);
        let mut gone = Vec::new();
        for (source, far) in &mut self.peers.sources {
            gone.extend(far.sync.on_tick(now.time).removed.into_iter().map(|record| (source.clone(), record)));
        }
        for (source, record) in gone {
            if let Some(id) = self.table.id_of(&record, &source) {
                self.remove_instrument(id, out);
            }
            self.forget_far_if_empty(&source);
        }
        // Of outages on other CPUs nobody here is to be told any more: how they end is not heard.
        let awaited: BTreeSet<OutageId> = self.sessions.values().flat_map(|s| s.outages.iter().copied()).collect();
        let (own, sources) = (&self.cpu, &self.sources);
        self.outages.forget(|o| o.cpu != *own && !awaited.contains(&o.id) && !sources.contains_key(&o.source));
    }
}

impl FarSource {
    fn new(node: NodeId) -> FarSource {
        FarSource { node, sync: sync::Source::new(limits::STALE_AFTER_OUTAGE), retries: 0 }
    }
}

impl Instrument {
    /// A value that another agent sent.
    fn take_far(&mut self, now: Moment, report: Report) -> Going {
        self.value.clone_from(&report.value);
        // Whether there is an outage is decided here: the other's number of it means nothing.
        self.quality = match report.quality {
            Quality::Outage { since, .. } => Quality::Stale { since },
            other => other,
        };
        self.stamp = report.stamp;
        self.sampled = now.time;
        self.read = true;
        let going = Going { seq: report.seq, alarm: report.alarm, coalesced: report.coalesced, always: false };
        self.propagation.on_relayed(now.time, report.value, self.quality.clone(), going)
    }
}
