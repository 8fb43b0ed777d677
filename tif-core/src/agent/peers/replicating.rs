//! Accepted changes of a service on several CPUs: what goes between `changing` and the machines of `witness` and `replication`.
//!
//! What these want done is worked off in their order, and nothing that comes after a record before that is durable. If it cannot be made durable, the
//! rest is dropped, and both are made anew from what is: to the others that is the same as a crash.
// spec: CTL-3, CTL-4, GRP-9

use std::collections::VecDeque;
use std::time::Duration;

use super::super::io::{ControlRecord, Moment, Output, Record};
use super::super::{Agent, Outbox, Waiting};
use super::electing::{ATTEMPT, Electing, NO_HURRY};
use crate::defects::{Defect, defect};
use crate::machine::book::{Book, Entry, Line};
use crate::machine::group::Group;
use crate::machine::replication::{self, Fact, Log, NotProposed, Output as Wanted, Proposal, Replica};
use crate::machine::witness::{Acceptor, Ask, Member, Proposer, Reply, Term, Vote};
use crate::model::{Epoch, Key, Name, NodeId, Refusal, SetResult, Time};
use crate::wire::{GroupMessage, ToPeer, ToProcess};

/// How often followers that have not confirmed everything are sent it again.
const REMIND: Duration = Duration::from_millis(500);
/// How long a requester waits for the CPUs to agree before it is told that it is not known what will become of its change.
const PATIENCE: Duration = Duration::from_secs(5);

type Wants = Vec<Wanted<Book, Line>>;

/// One service whose group may have members on several CPUs.
#[derive(Debug)]
pub(in super::super) struct Shared {
    /// This CPU votes.
    pub acceptor: Option<Acceptor>,
    /// What of its vote is durable.
    vote: Option<Vote>,
    pub proposer: Proposer,
    /// When the register is asked again if nobody has answered, and how often it was asked in vain.
    pub again_at: Time,
    pub attempts: u32,
    /// When it was last read without a cause of this CPU's own.
    pub read: Time,
    /// Until then this CPU need not know what it holds, if nobody here leads.
    pub unhurried_until: Time,
    /// Since when what was read is seen to be old.
    pub old_since: Option<Time>,
    /// What it holds, once it was read.
    pub register: Option<Option<Term>>,
    /// Since when it is seen here that nobody leads.
    pub gone_since: Option<Time>,
    /// When this CPU last asked for a term of its own.
    pub stood: Option<Time>,
    /// The primary of this term has let go for this member to lead in the next.
    // spec: OUT-5
    pub vacated: Option<(Epoch, Key)>,
    /// The last term whose primary made way for a member of this CPU, and the register was read for that.
    pub offered: Epoch,
    pub replica: Replica<Book>,
    /// What of the log is durable.
    log: Log<Book>,
    /// This CPU leads in this term, and all that it took over is where it must be.
    pub established: Option<Epoch>,
    steps: VecDeque<Step>,
    storing: bool,
    reminded: Time,
}

#[derive(Debug)]
enum Step {
    Store(Box<Record>),
    Say(NodeId, Box<GroupMessage>),
    Know(Box<Fact<Line>>),
}

impl Shared {
    pub(super) fn new(electing: &Electing, vote: Option<Vote>, log: Option<Log<Book>>) -> Shared {
        let (me, log) = (electing.me, log.unwrap_or_default());
        let acceptor = electing.voters.contains(&me.node).then(|| acceptor(me, electing.founding, vote.clone()));
        Shared {
            acceptor,
            vote,
            proposer: Proposer::new(me, electing.agent_epoch, electing.voters.clone()),
            again_at: Time::ZERO,
            attempts: 0,
            read: Time::ZERO,
            unhurried_until: Time::ZERO,
            old_since: None,
            register: None,
            gone_since: None,
            stood: None,
            vacated: None,
            offered: Epoch(0),
            replica: Replica::new(me, log.clone()),
            log,
            established: None,
            steps: VecDeque::new(),
            storing: false,
            reminded: Time::ZERO,
        }
    }

    /// The log begins with what was accepted before there was one.
    pub(super) fn begin_with(&mut self, before: Book, service: &Name) {
        if before == Book::default() {
            return;
        }
        let log = Log { state: before, ..Log::default() };
        self.replica = Replica::new(self.replica.member(), log.clone());
        let record = Box::new(replication::Record::Replaced(log));
        self.steps.push_back(Step::Store(Box::new(Record::Replicated { service: service.clone(), record })));
    }

    /// The register is asked for the first time about something.
    pub(super) fn begin_attempt(&mut self, now: Time) {
        self.attempts = 0;
        self.again_at = now + ATTEMPT.0;
        self.outbid();
    }

    /// The next ballot is greater than all that this CPU has heard of as a voter.
    pub(super) fn outbid(&mut self) {
        if let Some(promised) = self.acceptor.as_ref().and_then(|a| a.vote().promised) {
            self.proposer.heed(promised);
        }
    }

    fn follow_up(&mut self, service: &Name, wanted: Wants) {
        let log = |message| Box::new(GroupMessage::Log(message));
        self.steps.extend(wanted.into_iter().map(|wanted| match wanted {
            Wanted::Store(record) => Step::Store(Box::new(Record::Replicated { service: service.clone(), record: Box::new(record) })),
            Wanted::Send(message) => Step::Say(message.to.node, log(message)),
            Wanted::Tell(fact) => Step::Know(Box::new(fact)),
        }));
    }
}

fn acceptor(me: Member, founding: bool, vote: Option<Vote>) -> Acceptor {
    match vote {
        Some(vote) => Acceptor::restored(me, vote),
        None if founding => Acceptor::founding(me),
        None => Acceptor::blank(me),
    }
}

impl Agent {
    /// Something happens to the log, and what it wants is done.
    pub(super) fn with_replica(&mut self, now: Moment, service: &Name, out: &mut Outbox, act: impl FnOnce(&mut Replica<Book>, &mut Wants)) {
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        let mut wanted = Wants::new();
        act(&mut shared.replica, &mut wanted);
        shared.follow_up(service, wanted);
        self.take_steps(now, service, out);
    }

    /// What can be done is done, in order, up to the next record that has to be durable first.
    pub(super) fn take_steps(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        loop {
            let Some(shared) = self.peers.electing.groups.get_mut(service).filter(|s| !s.storing) else { return };
            match shared.steps.pop_front() {
                None => return,
                Some(Step::Store(record)) => {
                    shared.storing = !defect(Defect::ConfirmBeforeDurable);
                    self.store((*record).clone(), Waiting::Replicated(record), out);
                }
                Some(Step::Say(node, message)) => self.tell_of_group(now, node, service, *message, out),
                Some(Step::Know(fact)) => self.on_fact(now, service, *fact, out),
            }
        }
    }

    /// It is durable: what waited for it goes on.
    pub(in super::super) fn on_replicated_stored(&mut self, now: Moment, record: Record, out: &mut Outbox) {
        let (Record::Vote { service, .. } | Record::Replicated { service, .. }) = &record else { return };
        let service = service.clone();
        let Some(shared) = self.peers.electing.groups.get_mut(&service) else { return };
        shared.storing = false;
        match record {
            Record::Vote { vote, .. } => shared.vote = Some(vote),
            Record::Replicated { record, .. } => shared.log.take_in(&record),
            _ => {}
        }
        self.take_steps(now, &service, out);
    }

    /// It could not be made durable: what is not never was.
    // spec: SEC-3
    pub(in super::super) fn on_replicated_not_stored(&mut self, record: &Record, refusal: &Refusal, out: &mut Outbox) {
        let (Record::Vote { service, .. } | Record::Replicated { service, .. }) = record else { return };
        let (me, founding) = (self.peers.electing.me, self.peers.electing.founding);
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        shared.storing = false;
        shared.steps.clear();
        if shared.acceptor.is_some() {
            shared.acceptor = Some(acceptor(me, founding, shared.vote.clone()));
        }
        shared.replica = Replica::new(me, shared.log.clone());
        (shared.register, shared.established) = (None, None);
        let known = shared.log.state.clone();
        self.drop_proposed(service, |id| known.is_answered(id), refusal, out);
        self.drop_journaled(service, refusal, out);
    }

    /// To a voter or a follower, or to this CPU itself.
    pub(super) fn tell_of_group(&mut self, now: Moment, node: NodeId, service: &Name, message: GroupMessage, out: &mut Outbox) {
        if node == self.key.node {
            self.on_group_message(now, node, service, message, out);
        } else if self.peers.detector.is_up(node) {
            self.say(now, node, ToPeer::Group { service: service.clone(), message: Box::new(message) }, out);
        }
    }

    pub(super) fn ask_voters(&mut self, now: Moment, service: &Name, asks: Vec<Ask>, out: &mut Outbox) {
        for ask in asks {
            let to = match &ask {
                Ask::Prepare(prepare) => prepare.to,
                Ask::Accept(accept) => accept.to,
            };
            self.tell_of_group(now, to, service, GroupMessage::Ask(ask), out);
        }
    }

    /// An agent says something about a service's group.
    // spec: PSM-11
    pub(super) fn on_group_message(&mut self, now: Moment, node: NodeId, service: &Name, message: GroupMessage, out: &mut Outbox) {
        let speaker = match &message {
            GroupMessage::Ask(Ask::Prepare(p)) => p.from,
            GroupMessage::Ask(Ask::Accept(a)) => a.from,
            GroupMessage::Reply(Reply::Promise(p)) => p.from,
            GroupMessage::Reply(Reply::Accepted(a)) => a.from,
            GroupMessage::Reply(Reply::Refused(r)) => r.from,
            GroupMessage::CatchUp(c) => c.from,
            GroupMessage::Caught(c) => c.from,
            GroupMessage::Log(m) => m.from,
        };
        if speaker.node != node {
            self.stats.stale_keys += 1;
            return;
        }
        let voters = self.peers.electing.voters.clone();
        let Some(shared) = self.shared_of(service, out) else { return };
        let vote = |vote| Step::Store(Box::new(Record::Vote { service: service.clone(), vote }));
        let (mut act, mut sought) = (None, false);
        match message {
            GroupMessage::Ask(ask) => {
                let Some(answer) = shared.acceptor.as_mut().and_then(|a| a.on_ask(&ask)) else { return };
                if defect(Defect::AnswerBeforeDurable) {
                    shared.steps.push_front(Step::Say(node, Box::new(GroupMessage::Reply(answer.reply.clone()))));
                }
                shared.steps.extend(answer.record.map(vote));
                shared.steps.push_back(Step::Say(node, Box::new(GroupMessage::Reply(answer.reply))));
            }
            GroupMessage::CatchUp(ask) => {
                let Some(answer) = shared.acceptor.as_mut().and_then(|a| a.on_catch_up(&ask)) else { return };
                shared.steps.extend(answer.record.map(vote));
                shared.steps.push_back(Step::Say(node, Box::new(GroupMessage::Caught(answer.reply))));
            }
            GroupMessage::Caught(caught) => {
                let record = shared.acceptor.as_mut().and_then(|a| a.on_caught(caught, &voters));
                shared.steps.extend(record.map(vote));
            }
            GroupMessage::Reply(reply) => act = shared.proposer.on_reply(reply),
            GroupMessage::Log(message) => {
                // Somebody was told that this CPU leads, and it does not know: it ended before that was durable here.
                sought = matches!(message.body, replication::Body::Join) && shared.replica.leads().is_none();
                let mut wanted = Wants::new();
                shared.replica.on_message(message, &mut wanted);
                shared.follow_up(service, wanted);
            }
        }
        self.take_steps(now, service, out);
        if let Some(act) = act {
            self.on_act(now, service, act, out);
        }
        if sought {
            self.read_if_old(now, service, out);
        }
    }

    /// Whom a leader can reach has changed, perhaps.
    pub(super) fn heed_reach(&mut self, service: &Name, now: Moment, out: &mut Outbox) {
        let Some(shared) = self.peers.electing.groups.get(service) else { return };
        let Some(term) = shared.replica.leads() else { return };
        let me = self.peers.electing.me;
        let others = term.in_sync.iter().copied().chain(shared.replica.followers()).filter(|m| *m != me);
        let others: Vec<(Member, bool)> = others.map(|m| (m, self.is_in_reach(now, m.node))).collect();
        self.with_replica(now, service, out, |replica, wanted| {
            for (member, reachable) in others {
                if reachable { replica.on_reachable(member, wanted) } else { replica.on_unreachable(member, wanted) }
            }
        });
    }

    pub(super) fn remind_followers(&mut self, now: Moment, service: &Name, out: &mut Outbox) {
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        if shared.replica.leads().is_some() && now.time.since(shared.reminded) >= REMIND {
            shared.reminded = now.time;
            self.with_replica(now, service, out, Replica::resend);
        }
    }

    /// What the log has come to.
    fn on_fact(&mut self, now: Moment, service: &Name, fact: Fact<Line>, out: &mut Outbox) {
        let Some(shared) = self.peers.electing.groups.get_mut(service) else { return };
        match fact {
            Fact::Needs(change) => {
                // The members of one that is out of date are not waited for. Of those that begin a term the register itself knows.
                let new_term = change.expect.as_ref().is_none_or(|e| e.epoch < change.new.epoch);
                if shared.proposer.is_busy() || (!new_term && shared.replica.wants() != Some(&change)) {
                    return;
                }
                shared.begin_attempt(now.time);
                let asks = shared.proposer.change(change);
                self.ask_voters(now, service, asks, out);
            }
            Fact::Established { epoch, .. } => {
                if shared.replica.leads().is_some_and(|t| t.epoch == epoch) {
                    shared.established = Some(epoch);
                    let book = shared.replica.log().state.clone();
                    self.ledger.take_book(service, &book);
                    self.give_up_unsettled(service, out);
                    self.take_up_unsettled(now, Some(service));
                    self.look_at_guards(now, out);
                    self.take_calls(now, service, &book, out);
                    self.peers.electing.stir();
                    self.show_controls(service, out);
                }
            }
            Fact::Acknowledged { entry: Line::Change(entry), replicated, .. } => self.on_change_agreed(now, entry, replicated, out),
            Fact::Acknowledged { entry: Line::Call(call), .. } => self.on_call_agreed(now, &call, out),
            Fact::Settled { entry: Line::Change(entry), kept, replicated } => self.on_change_settled(service, entry, kept, replicated, out),
            Fact::Settled { entry: Line::Call(call), kept, .. } => self.on_call_settled(now, service, &call, kept, out),
            Fact::Acknowledged { entry: Line::NotCalled(_), .. } | Fact::Settled { entry: Line::NotCalled(_), .. } => {}
            Fact::Deposed { .. } => {
                (shared.established, shared.register) = (None, None);
                shared.unhurried_until = now.time + NO_HURRY;
                self.give_up_unsettled(service, out);
                self.peers.electing.stir();
            }
        }
    }

    /// Whoever leads here already runs with what was accepted.
    // spec: CTL-7
    fn show_controls(&mut self, service: &Name, out: &mut Outbox) {
        let Some(key) = self.groups.get(service).and_then(Group::leader) else { return };
        let Some(exporter) = self.exporters.get(&key) else { return };
        for control in self.controls_for(exporter) {
            out.push(Output::Control { key, control });
        }
        self.tell(out, key, ToProcess::Apply);
    }

    /// Everybody here agrees to a change: now the other CPUs are asked.
    // spec: CTL-4, GRP-9
    pub(in super::super) fn propose_change(&mut self, now: Moment, number: u64, mut entry: Entry, out: &mut Outbox) {
        let Some(ControlRecord { source: service, name, .. }) = entry.controls.first().cloned() else { return };
        let Some(shared) =
            self.peers.electing.groups.get_mut(&service).filter(|s| s.established.is_some() || defect(Defect::LeadUnestablished))
        else {
            return self.refuse_change(number, &why_not(&name, NotProposed::NotLeading), out);
        };
        entry.change.result.replicated = shared.replica.waits_for().is_some_and(|others| !others.is_empty());
        let (id, request) = (entry.change.request_id.clone(), entry.change.request.clone());
        let mut wanted = Wants::new();
        let proposed = shared.replica.propose(Line::Change(entry), &mut wanted);
        let refusal = match proposed {
            Ok(Proposal::New(_)) => {
                self.mark_proposed(number, now);
                None
            }
            // An earlier attempt of the same request, of which nobody here waits to hear.
            Ok(Proposal::Known { acknowledged: true }) => {
                let done = shared.replica.log().state.answer(&id).cloned();
                match done {
                    // Its id was used for something else on another CPU.
                    // spec: CTL-3
                    Some(done) if done.request != request => Some(Refusal::RequestIdReused { id: id.to_string(), was: done.request }),
                    Some(done) => {
                        self.ledger.remember(done.clone());
                        self.answer_change(number, SetResult { repeated: true, ..done.result }, out);
                        None
                    }
                    None => None,
                }
            }
            Ok(Proposal::Known { acknowledged: false }) => Some(Refusal::TimedOut {
                name: name.clone(),
                reason: "what will become of an earlier attempt is not known yet".into(),
                request_id: Some(id),
            }),
            Err(refused) => Some(why_not(&name, refused)),
        };
        if let Some(shared) = self.peers.electing.groups.get_mut(&service) {
            shared.follow_up(&service, wanted);
        }
        if let Some(refusal) = refusal {
            self.refuse_change(number, &refusal, out);
        }
        self.take_steps(now, &service, out);
    }

    /// The same for the end of a change that was to be confirmed.
    ///
    /// # Errors
    /// If it cannot be accepted now.
    // spec: CTL-4, CTL-6
    pub(in super::super) fn propose_end(&mut self, now: Moment, service: &Name, entry: Entry, out: &mut Outbox) -> Result<(), Refusal> {
        let name = entry.change.request.clone();
        match self.propose_line(now, service, Line::Change(entry), out) {
            // What is known already was proposed before, and is heard of when it is settled.
            Ok(_) => Ok(()),
            Err(refused) => Err(why_not(&name, refused)),
        }
    }

    /// A line more in the log that several CPUs keep of a service, once this CPU is sure that it leads it.
    ///
    /// # Errors
    /// If it is not taken. Nothing has changed.
    // spec: CTL-4, TST-4
    pub(in super::super) fn propose_line(
        &mut self,
        now: Moment,
        service: &Name,
        line: Line,
        out: &mut Outbox,
    ) -> Result<Proposal, NotProposed> {
        let shared = self.peers.electing.groups.get_mut(service).filter(|s| s.established.is_some()).ok_or(NotProposed::NotLeading)?;
        let mut wanted = Wants::new();
        let proposed = shared.replica.propose(line, &mut wanted);
        shared.follow_up(service, wanted);
        self.take_steps(now, service, out);
        proposed
    }

    /// What the log of a service amounts to here.
    pub(in super::super) fn book_of(&self, service: &Name) -> Option<&Book> {
        self.peers.electing.groups.get(service).map(|s| &s.replica.log().state)
    }

    /// Requesters do not wait for ever.
    pub(super) fn give_answers_up(&mut self, now: Moment, out: &mut Outbox) {
        self.give_proposed_up(now, PATIENCE, out);
        self.give_journaled_up(now, PATIENCE, out);
    }
}

/// Why the log did not take something that concerns this control or procedure.
pub(in super::super) fn why_not(name: &str, refused: NotProposed) -> Refusal {
    let name = name.to_owned();
    let reason = match refused {
        NotProposed::Full => return Refusal::Busy { name, reason: "too many changes wait for the backup".into() },
        NotProposed::CutOff => "its backup cannot be reached, and no majority of the CPUs that vote allows to go on without it",
        NotProposed::NotLeading => "this CPU cannot make sure now that it leads the service: it waits for its backup, or for a majority",
    };
    Refusal::CutOff { name, reason: reason.into() }
}
