//! Requests of this CPU's importers that other CPUs have to answer.
//!
//! A request for one instrument goes to its home, and the answer comes back the same way. A question about all that there is (a listing, a reading, the
//! processes, the outages) goes to every agent that can be reached, this one included, and the answers are put together. Answers come to the agent,
//! never to the requester: one that has gone meanwhile does no harm.
// spec: MON-4, CTL-5, INS-9

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::super::changing::Change;
use super::super::io::{Conn, Moment};
use super::super::page::AfterOf;
use super::super::table::{Instrument, Place};
use super::super::{Agent, Outbox, Question};
use super::Peer;
use super::directory::Home;
use crate::limits;
use crate::model::{InstrumentId, Name, NodeId, Refusal, Report, RequestId, Stamp};
use crate::wire::{Announcement, ListRow, OutageRow, ProcessRow, ToAgent, ToPeer, ToProcess};

/// How long another agent may take to answer a question about all that it has.
const GATHER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long it may take to do something for somebody, beyond the time that the service itself may take.
const FORWARD_TIMEOUT: Duration = Duration::from_secs(10);

/// A request that went to its home.
#[derive(Debug)]
pub(in super::super) struct Forwarded {
    conn: Conn,
    req: u64,
    node: NodeId,
    name: String,
    request_id: Option<RequestId>,
}

/// A question about all that there is.
#[derive(Debug)]
pub(in super::super) struct Gathering {
    conn: Conn,
    req: u64,
    /// Who has not answered,
    open: BTreeSet<NodeId>,
    /// and who will not.
    silent: BTreeSet<NodeId>,
    limit: usize,
    rows: Rows,
}

/// Where requests with an id went; the oldest are forgotten first.
// spec: CTL-3, SEC-2
#[derive(Debug, Default)]
pub(super) struct Routes {
    nodes: BTreeMap<RequestId, (NodeId, String)>,
    order: VecDeque<RequestId>,
}

impl Routes {
    /// Where it went, and about which instrument.
    fn find(&self, id: &RequestId) -> Option<(NodeId, &str)> {
        self.nodes.get(id).map(|(node, name)| (*node, name.as_str()))
    }

    /// It was refused: nothing came of it, and it may be used for something else.
    fn forget(&mut self, id: &RequestId) {
        if self.nodes.remove(id).is_some() {
            self.order.retain(|other| other != id);
        }
    }

    fn remember(&mut self, id: RequestId, node: NodeId, name: String) {
        if self.nodes.insert(id.clone(), (node, name)).is_none() {
            self.order.push_back(id);
        }
        while self.order.len() > limits::RESULTS_KEPT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.nodes.remove(&oldest);
            }
        }
    }
}

#[derive(Debug)]
enum Rows {
    /// Each at its place, with where the answers end that are not whole: behind the first of these ends nothing is known to be complete.
    List(Vec<(AfterOf, ListRow)>, Vec<AfterOf>),
    Sense {
        rows: Vec<(Announcement, Report)>,
        missing: Vec<Refusal>,
        answers: usize,
        truncated: bool,
    },
    Processes(Vec<ProcessRow>),
    Outages(Vec<(NodeId, OutageRow)>),
    /// What became of a request; one knows, or has heard of it.
    Recalled(RequestId, Option<ToProcess>),
}

impl Agent {
    /// Takes over a request that concerns other CPUs. Gives back what is for this one alone.
    pub(in super::super) fn forward(&mut self, now: Moment, conn: Conn, body: ToAgent, out: &mut Outbox) -> Option<ToAgent> {
        if conn.peer().is_some() || self.peers.greeted().next().is_none() {
            return Some(body);
        }
        let (req, name, request_id) = match &body {
            ToAgent::List { req, limit, pattern, after } if pattern.incarnation().is_none() => {
                // A page that began when no other CPU could be asked goes on as it began.
                if after.as_deref().is_some_and(|after| AfterOf::parse(after).is_none()) {
                    return Some(body);
                }
                let limit = (*limit as usize).clamp(1, limits::PAGE_ROWS_MAX);
                return self.gather(now, conn, *req, limit, Rows::List(Vec::new(), Vec::new()), body, out);
            }
            ToAgent::Sense { req, .. } => {
                let rows = Rows::Sense { rows: Vec::new(), missing: Vec::new(), answers: 0, truncated: false };
                return self.gather(now, conn, *req, limits::PAGE_ROWS_MAX, rows, body, out);
            }
            ToAgent::Processes { req } => {
                return self.gather(now, conn, *req, usize::MAX, Rows::Processes(Vec::new()), body, out);
            }
            ToAgent::Outages { req } => return self.gather(now, conn, *req, usize::MAX, Rows::Outages(Vec::new()), body, out),
            ToAgent::Recall { req, request_id } => {
                let known_here = self.used_by_change(request_id).or_else(|| self.used_by_call(request_id)).is_some();
                if known_here {
                    return Some(body);
                }
                return self.gather(now, conn, *req, 1, Rows::Recalled(request_id.clone(), None), body, out);
            }
            // Where the first is the others must be.
            ToAgent::Set { req, settings, request_id, .. } => match settings.first() {
                Some(first) => (*req, first.name.clone(), Some(request_id.clone())),
                None => return Some(body),
            },
            ToAgent::Fire { req, name, request_id, .. } => (*req, name.clone(), Some(request_id.clone())),
            ToAgent::Confirm { req, name, .. } => (*req, name.clone(), None),
            ToAgent::Arm { req, name, .. } | ToAgent::Disarm { req, name } => (*req, name.clone(), None),
            ToAgent::Drain { req, name, .. } => (*req, name.to_string(), None),
            _ => return Some(body),
        };
        // A request that is repeated goes where it went, whatever has come since: there its result is recorded.
        // spec: CTL-3
        let went = request_id.as_ref().and_then(|id| Some((id, self.peers.routes.find(id)?)));
        if let Some((id, (_, was))) = went.filter(|(_, (_, was))| *was != name) {
            let refusal = Refusal::RequestIdReused { id: id.to_string(), was: was.to_owned() };
            self.refuse(out, conn, req, refusal);
            return None;
        }
        // Of a group on several CPUs whoever leads knows it.
        let before =
            went.map(|(_, (node, _))| node).filter(|node| !self.is_of_shared(&name) && self.peers.get(*node).is_some_and(|p| p.greeted));
        let known_here = request_id.as_ref().is_some_and(|id| self.used_by_change(id).or_else(|| self.used_by_call(id)).is_some());
        let home = if let ToAgent::Drain { name, .. } = &body {
            self.primary_elsewhere(name).map_or(Home::Here, Home::There)
        } else if known_here {
            Home::Here
        } else {
            before.map_or_else(|| self.home_of(&name), Home::There)
        };
        match home {
            Home::Here => return Some(body),
            Home::Several(candidates) => self.refuse(out, conn, req, Refusal::Ambiguous { name, candidates }),
            Home::There(node) => {
                if self.begin_request(conn, req, out) {
                    if let (ToAgent::Set { keep: Some(_), .. }, Some(id)) = (&body, &request_id) {
                        self.remember_maker(id, conn);
                    }
                    if let Some(id) = &request_id {
                        self.peers.routes.remember(id.clone(), node, name.clone());
                    }
                    let on_behalf = self.sessions.get(&conn).map(|s| (s.name.clone(), s.credentials.uid));
                    let number = self.ask(now, Question::Forwarded(Forwarded { conn, req, node, name, request_id }), FORWARD_TIMEOUT);
                    self.request_of(now, node, on_behalf, renumbered(body, number), out);
                }
            }
        }
        None
    }

    /// The CPU that an instrument has moved to, whose agent can be asked.
    pub(in super::super) fn new_home_of(&self, id: InstrumentId) -> Option<NodeId> {
        let Some(Place::There(node)) = self.table.find(id)?.place else { return None };
        self.peers.get(node).filter(|p| p.greeted).map(|_| node)
    }

    /// A change that this CPU has not begun is that of another by now. Whoever asked for it is answered when that has answered.
    // spec: OUT-5, CTL-3
    pub(in super::super) fn pass_change_on(&mut self, now: Moment, node: NodeId, change: Change, out: &mut Outbox) {
        let name = change.address().to_owned();
        let Change { underway, asked_as: (settings, keep), admission, reason, who, uid, .. } = change;
        let request_id = underway.request_id;
        self.peers.routes.remember(request_id.clone(), node, name.clone());
        for (conn, req) in underway.requesters {
            let forwarded = Forwarded { conn, req, node, name: name.clone(), request_id: Some(request_id.clone()) };
            let number = self.ask(now, Question::Forwarded(forwarded), FORWARD_TIMEOUT);
            let (settings, keep, reason) = (settings.clone(), keep.clone(), reason.clone());
            let body = ToAgent::Set { req: number, settings, request_id: request_id.clone(), admission, reason, keep };
            self.request_of(now, node, Some((who.clone(), uid)), body, out);
        }
    }

    #[expect(clippy::too_many_arguments, reason = "these are the parts of one request")]
    fn gather(&mut self, now: Moment, conn: Conn, req: u64, limit: usize, rows: Rows, body: ToAgent, out: &mut Outbox) -> Option<ToAgent> {
        if !self.begin_request(conn, req, out) {
            return None;
        }
        self.serve_itself(now);
        let mut open: BTreeSet<NodeId> = self.peers.greeted().collect();
        let nodes: Vec<NodeId> = open.iter().copied().collect();
        open.insert(self.key.node);
        let gathering = Gathering { conn, req, open, silent: BTreeSet::new(), limit, rows };
        let number = self.ask(now, Question::Gather(Box::new(gathering)), GATHER_TIMEOUT);
        for node in nodes {
            self.request_of(now, node, None, on_node(renumbered(body.clone(), number), node), out);
        }
        // This agent asks itself as it asks the others.
        self.on_request(now, Conn::of_peer(self.key.node), on_node(renumbered(body, number), self.key.node), out);
        None
    }

    /// Whether an instrument is for this agent to show to somebody who asks for all that there is: one on another CPU only when that cannot answer for it, and
    /// the last values of one that led no longer than another leads in its place.
    pub(in super::super) fn shows(&self, conn: Conn, instrument: &Instrument) -> bool {
        match instrument.place {
            None if self.is_led_elsewhere(&instrument.source) => false,
            _ if instrument.far.is_none() => true,
            _ if conn.peer().is_some_and(|node| node != self.key.node) => false,
            Some(Place::There(node)) => !self.peers.get(node).is_some_and(|p| p.greeted),
            _ => true,
        }
    }

    pub(super) fn request_of(
        &mut self,
        now: Moment,
        node: NodeId,
        on_behalf: Option<(crate::model::Name, u32)>,
        body: ToAgent,
        out: &mut Outbox,
    ) {
        self.say(now, node, ToPeer::Request { on_behalf, body: Box::new(body) }, out);
    }

    /// An answer of another agent, or of this one to itself.
    pub(super) fn on_answer(&mut self, now: Moment, node: NodeId, req: u64, answer: ToProcess, out: &mut Outbox) {
        let gathers = matches!(self.questions.get(&req), Some(Question::Gather(_)));
        let names = self.peers.get(node).filter(|_| gathers).map(Names::of);
        match self.questions.get_mut(&req) {
            Some(Question::Forwarded(forwarded)) if forwarded.node == node => {
                let (conn, req_there) = (forwarded.conn, forwarded.req);
                // What did not answer in time may have been done.
                let refused = matches!(&answer, ToProcess::Refused { refusal, .. } if !matches!(refusal, Refusal::TimedOut { .. } | Refusal::Indeterminate { .. } | Refusal::RequestIdReused { .. }));
                if let Some(id) = forwarded.request_id.clone().filter(|_| refused) {
                    self.peers.routes.forget(&id);
                }
                self.answered(req);
                self.end_request(conn);
                self.send(out, conn, answered_as(answer, req_there));
            }
            Some(Question::Guard(guard)) if guard.node() == node => {
                if let Some(Question::Guard(guard)) = self.answered(req) {
                    self.on_guard_answer(now, *guard, answer, out);
                }
            }
            Some(Question::Gather(gathering)) => {
                let names = names.unwrap_or_default();
                if gathering.open.remove(&node) {
                    gathering.take(node, answer, &names);
                }
                if gathering.open.is_empty()
                    && let Some(Question::Gather(gathering)) = self.answered(req)
                {
                    self.finish_gathering(*gathering, out);
                }
            }
            _ => {}
        }
    }

    /// All have answered, or will not.
    pub(in super::super) fn finish_gathering(&mut self, gathering: Gathering, out: &mut Outbox) {
        self.end_request(gathering.conn);
        let silent: Vec<String> = gathering.open.union(&gathering.silent).map(|node| format!("`{}`", self.cpu_name(*node))).collect();
        let (conn, answer) = (gathering.conn, gathering.into_answer(&silent.join(", ")));
        self.send(out, conn, answer);
    }

    /// The home of an instrument did not answer.
    pub(in super::super) fn on_not_forwarded(&mut self, forwarded: &Forwarded, out: &mut Outbox) {
        self.end_request(forwarded.conn);
        let cpu = self.peers.get(forwarded.node).and_then(|p| p.cpu.as_ref()).map_or_else(String::new, ToString::to_string);
        let again = match &forwarded.request_id {
            Some(_) => "ask again with the same request id",
            None => "look how it is now, with `tif-serve get` or `tif-serve groups`",
        };
        let reason = format!("CPU `{cpu}` has not answered; whether it was done is not known: {again}");
        let (name, request_id) = (forwarded.name.clone(), forwarded.request_id.clone());
        self.refuse(out, forwarded.conn, forwarded.req, Refusal::TimedOut { name, reason, request_id });
    }

    /// An agent cannot be asked any more.
    pub(super) fn drop_questions_of(&mut self, node: NodeId, out: &mut Outbox) {
        let open: Vec<u64> = self
            .questions
            .iter()
            .filter(|(_, q)| match q {
                Question::Forwarded(f) => f.node == node,
                Question::Gather(g) => g.open.contains(&node),
                Question::Guard(guard) => guard.node() == node,
                _ => false,
            })
            .map(|(number, _)| *number)
            .collect();
        for number in open {
            if let Some(Question::Gather(gathering)) = self.questions.get_mut(&number) {
                gathering.open.remove(&node);
                gathering.silent.insert(node);
                if !gathering.open.is_empty() {
                    continue;
                }
            }
            match self.answered(number) {
                Some(Question::Forwarded(forwarded)) => self.on_not_forwarded(&forwarded, out),
                Some(Question::Gather(gathering)) => self.finish_gathering(*gathering, out),
                Some(Question::Guard(guard)) => self.on_no_guard_answer(*guard, out),
                _ => {}
            }
        }
    }
}

impl Gathering {
    fn take(&mut self, node: NodeId, answer: ToProcess, names: &Names) {
        match (&mut self.rows, answer) {
            (Rows::List(all, ends), ToProcess::Listed { rows, next, .. }) => {
                all.extend(rows.into_iter().map(|mut row| {
                    let a = &row.announcement;
                    let place = AfterOf { record: format!("{}{}", a.name, a.dims), node, source: a.source.clone() };
                    names.rename(&mut row.announcement);
                    (place, row)
                }));
                ends.extend(all.last().filter(|_| next.is_some()).map(|(place, _)| place.clone()));
            }
            (Rows::Sense { rows, missing, answers, truncated }, ToProcess::Sensed { rows: mut r, missing: m, truncated: t, .. }) => {
                r.iter_mut().for_each(|(announcement, _)| names.rename(announcement));
                rows.extend(r);
                // Missing is only what nobody has.
                if *answers == 0 {
                    *missing = m;
                } else {
                    missing.retain(|mine| m.iter().any(|other| named(other) == named(mine)));
                }
                *answers += 1;
                *truncated |= t;
            }
            (Rows::Processes(all), ToProcess::Processes { rows, .. }) => all.extend(rows),
            (Rows::Outages(all), ToProcess::Outages { rows, .. }) => all.extend(rows.into_iter().map(|row| (node, row))),
            (Rows::Recalled(..), ToProcess::Refused { refusal: Refusal::UnknownRequest { .. }, .. }) => {}
            // What it came to counts before that somebody does not know that.
            (Rows::Recalled(_, known), answer)
                if known.is_none() || matches!(answer, ToProcess::SetDone { .. } | ToProcess::Fired { .. }) =>
            {
                if !matches!(answer, ToProcess::Refused { .. }) {
                    self.open.clear();
                }
                *known = Some(answer);
            }
            // Refused: there is nothing of it here.
            _ => {}
        }
    }

    /// `silent`: the CPUs that have not answered.
    fn into_answer(self, silent: &str) -> ToProcess {
        let Gathering { req, limit, rows, .. } = self;
        match rows {
            Rows::List(mut rows, ends) => {
                rows.sort_by(|(a, _), (b, _)| a.cmp(b));
                let end = ends.iter().min();
                rows.retain(|(place, _)| end.is_none_or(|end| place <= end));
                let more = end.is_some() || rows.len() > limit;
                rows.truncate(limit);
                let next = rows.last().filter(|_| more).map(|(place, _)| place.to_string());
                let mut shown = BTreeSet::new();
                let is_new = |(place, r): &(AfterOf, ListRow)| {
                    shown.insert((place.record.clone(), r.announcement.cpu.clone(), r.announcement.process.clone(), r.incarnation))
                };
                ToProcess::Listed { req, rows: rows.into_iter().filter(is_new).map(|(_, row)| row).collect(), next }
            }
            Rows::Sense { mut rows, missing, truncated, .. } => {
                // Of the same life what came last.
                rows.sort_by_cached_key(|(a, r)| {
                    (format!("{}{}", a.name, a.dims), a.source.clone(), a.cpu.clone(), a.process.clone(), r.key, Reverse(r.seq))
                });
                rows.dedup_by(|(a, r), (kept, before)| r.key == before.key && is_same(a, kept));
                let truncated = truncated || rows.len() > limit;
                rows.truncate(limit);
                // What one of them may have is not said to be nowhere.
                let unknown = |refusal: Refusal| match refusal {
                    Refusal::NotFound { name, .. } if !silent.is_empty() => {
                        let reason = format!("no other CPU has it, and {silent} has not answered: try again");
                        Refusal::TimedOut { name, reason, request_id: None }
                    }
                    refusal => refusal,
                };
                let missing = missing.into_iter().map(unknown).collect();
                ToProcess::Sensed { req, rows, missing, truncated }
            }
            Rows::Processes(mut rows) => {
                rows.sort_by(|a, b| (&a.cpu, &a.name).cmp(&(&b.cpu, &b.name)));
                ToProcess::Processes { req, rows }
            }
            Rows::Outages(rows) => ToProcess::Outages { req, rows: joined(rows) },
            Rows::Recalled(_, Some(answer)) => answered_as(answer, req),
            Rows::Recalled(id, None) => {
                ToProcess::Refused { req, refusal: Refusal::UnknownRequest { id: id.to_string(), silent: silent.to_owned() } }
            }
        }
    }
}

/// Whether two agents speak of the same instrument.
fn is_same(a: &Announcement, b: &Announcement) -> bool {
    (&a.name, &a.dims, &a.cpu, &a.process) == (&b.name, &b.dims, &b.cpu, &b.process)
}

/// What the sources of another CPU are called here.
#[derive(Debug, Default)]
struct Names {
    cpu: Option<Name>,
    /// Its processes that are of a group.
    grouped: BTreeSet<Name>,
}

impl Names {
    fn of(peer: &Peer) -> Names {
        let grouped = peer.members.values().filter(|m| m.grouped).map(|m| m.process.clone());
        Names { cpu: peer.cpu.clone(), grouped: grouped.collect() }
    }

    /// A group is called the same everywhere; of any other process the source is that process, and has its CPU before its name elsewhere.
    fn rename(&self, a: &mut Announcement) {
        let is_its_own = a.source == a.process && !self.grouped.contains(&a.process);
        if let Some(name) = self.cpu.as_ref().filter(|cpu| is_its_own && a.cpu == **cpu).and_then(|cpu| cpu.join(&a.source).ok()) {
            a.source = name;
        }
    }
}

/// One row of each outage: the loss of an exporter is seen on its own CPU and on each where somebody follows it. Its own CPU knows best how it was lost and
/// when; who was told was told everywhere.
// spec: OUT-1, OUT-2
fn joined(mut rows: Vec<(NodeId, OutageRow)>) -> Vec<OutageRow> {
    rows.sort_by_key(|(node, row)| (row.outage.key, *node != row.outage.key.node, row.outage.since));
    let mut joined: Vec<OutageRow> = Vec::new();
    for (_, row) in rows {
        let until = |row: &OutageRow| row.outage.end.as_ref().map_or(Stamp(u64::MAX), |end| end.at);
        let is_of = |one: &OutageRow| one.outage.since <= until(&row) && row.outage.since <= until(one);
        match joined.iter_mut().rev().take_while(|one| one.outage.key == row.outage.key).find(|one| is_of(one)) {
            Some(one) => one.told += row.told,
            None => joined.push(row),
        }
    }
    joined.sort_by_key(|row| row.outage.since);
    joined
}

fn named(refusal: &Refusal) -> &str {
    match refusal {
        Refusal::NotFound { name, .. } => name,
        _ => "",
    }
}

/// The same request under another number.
fn renumbered(mut body: ToAgent, number: u64) -> ToAgent {
    match &mut body {
        ToAgent::List { req, .. }
        | ToAgent::Sense { req, .. }
        | ToAgent::Processes { req }
        | ToAgent::Outages { req }
        | ToAgent::Set { req, .. }
        | ToAgent::Fire { req, .. }
        | ToAgent::Confirm { req, .. }
        | ToAgent::Arm { req, .. }
        | ToAgent::Disarm { req, .. }
        | ToAgent::Recall { req, .. }
        | ToAgent::Drain { req, .. } => *req = number,
        _ => {}
    }
    body
}

/// The same request for one CPU of several.
fn on_node(mut body: ToAgent, node: NodeId) -> ToAgent {
    if let ToAgent::List { after: Some(after), .. } = &mut body
        && let Some(row) = AfterOf::parse(after)
    {
        *after = row.on(node).to_string();
    }
    body
}

/// The same answer to the requester's own number.
fn answered_as(mut answer: ToProcess, number: u64) -> ToProcess {
    match &mut answer {
        ToProcess::Refused { req, .. }
        | ToProcess::SetDone { req, .. }
        | ToProcess::Confirmed { req, .. }
        | ToProcess::Fired { req, .. }
        | ToProcess::Armed { req, .. }
        | ToProcess::Drained { req, .. } => *req = number,
        _ => {}
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Descriptor, Dimensions, Incarnation, InstrumentId, Quality, ValueType, Version};

    fn listed(node: u32, names: &[&str], more: bool) -> (NodeId, ToProcess) {
        let row = |name: &&str| {
            let announcement = Announcement {
                instrument: InstrumentId(1),
                source: "s".parse().unwrap(),
                name: name.parse().unwrap(),
                dims: Dimensions::NONE,
                cpu: format!("cpu{node}").parse().unwrap(),
                process: "s".parse().unwrap(),
                descriptor: Descriptor::bare(name.parse().unwrap(), crate::model::Kind::Counter, ValueType::U64),
                version: Version(0),
            };
            ListRow { announcement, incarnation: Incarnation(1), quality: Quality::Good }
        };
        let next = more.then(|| "whatever".to_owned());
        (NodeId(node), ToProcess::Listed { req: 7, rows: names.iter().map(row).collect(), next })
    }

    // spec: INS-9
    #[test]
    fn a_page_ends_where_the_first_answer_ends_that_is_not_whole() {
        let rows = Rows::List(Vec::new(), Vec::new());
        let mut gathering = Gathering { conn: Conn(1), req: 7, open: BTreeSet::new(), silent: BTreeSet::new(), limit: 10, rows };
        // What the first has to say weighs more than an answer may: there is something between c and e.
        for (node, answer) in [listed(1, &["a", "c"], true), listed(2, &["b", "e"], false)] {
            gathering.take(node, answer, &Names::default());
        }
        let ToProcess::Listed { rows, next, .. } = gathering.into_answer("") else { panic!() };
        let names: Vec<&str> = rows.iter().map(|r| r.announcement.name.as_str()).collect();
        assert_eq!((names.as_slice(), next.as_deref()), (["a", "b", "c"].as_slice(), Some("1 c@s")));
    }
}
