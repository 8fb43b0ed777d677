//! Stories; every state is searched by `tests/model`.

use std::collections::BTreeSet;

use super::*;
use crate::machine::witness::{Change, Member, Term};
use crate::model::{Epoch, NodeId};

/// Requests that were done, with their answers.
#[derive(Clone, Debug, Default, PartialEq)]
struct Done(Vec<(u8, u8)>);

impl State for Done {
    type Entry = (u8, u8);
    type Id = u8;

    fn id(entry: &(u8, u8)) -> u8 {
        entry.0
    }
    fn apply(&mut self, entry: &(u8, u8)) {
        self.0.push(*entry);
    }
    fn holds(&self, id: &u8) -> bool {
        self.0.iter().any(|e| e.0 == *id)
    }
}

type Out = Vec<Output<Done, (u8, u8)>>;

const A: Member = Member { node: NodeId(1), store: 10 };
const B: Member = Member { node: NodeId(2), store: 20 };

fn term(epoch: u64, home: Member, in_sync: &[Member]) -> Term {
    Term { epoch: Epoch(epoch), primary: None, home, in_sync: in_sync.iter().copied().collect() }
}

fn facts(out: &Out) -> Vec<Fact<(u8, u8)>> {
    out.iter().filter_map(|o| if let Output::Tell(fact) = o { Some(fact.clone()) } else { None }).collect()
}

fn needs(out: &Out) -> Option<Change> {
    facts(out).into_iter().find_map(|f| if let Fact::Needs(change) = f { Some(change) } else { None })
}

/// Delivers what was sent, back and forth, until nothing is; returns what else came out.
fn talk(pair: &mut [Replica<Done>; 2], mut out: Out) -> Out {
    let mut rest = Vec::new();
    while !out.is_empty() {
        let mut next = Vec::new();
        for output in out {
            match output {
                Output::Send(m) => pair[m.to.node.0 as usize - 1].on_message(m, &mut next),
                other => rest.push(other),
            }
        }
        out = next;
    }
    rest
}

/// A leads, B is in sync.
fn pair() -> [Replica<Done>; 2] {
    let mut pair = [A, B].map(|m| Replica::new(m, Log::default()));
    let mut out = Vec::new();
    pair[0].on_term(&term(1, A, &[A]), &mut out);
    pair[1].on_term(&term(1, A, &[A]), &mut out);
    let rest = talk(&mut pair, out);
    let joined = needs(&rest).expect("who has caught up is added").new;
    assert_eq!(joined, term(1, A, &[A, B]));
    let mut out = Vec::new();
    pair[0].on_term(&joined, &mut out);
    talk(&mut pair, out);
    pair
}

// spec: CTL-4
#[test]
fn a_change_is_acknowledged_when_the_other_cpu_has_it_and_says_so() {
    let mut pair = pair();
    let mut out = Vec::new();
    assert_eq!(pair[0].propose((1, 1), &mut out), Ok(Proposal::New(Seq(1))));
    assert!(matches!(out[0], Output::Store(Record::Appended { .. })), "durable here before it is sent");
    assert!(facts(&out).is_empty());
    let rest = talk(&mut pair, out);
    assert!(facts(&rest).contains(&Fact::Acknowledged { seq: Seq(1), entry: (1, 1), replicated: true }));
    assert_eq!(pair[1].log().state, Done(vec![(1, 1)]));
}

// spec: CTL-4
#[test]
fn alone_a_change_is_acknowledged_as_local() {
    let mut alone = Replica::<Done>::new(A, Log::default());
    let mut out = Vec::new();
    alone.on_term(&term(1, A, &[A]), &mut out);
    alone.propose((1, 1), &mut out).unwrap();
    assert!(facts(&out).contains(&Fact::Acknowledged { seq: Seq(1), entry: (1, 1), replicated: false }));
}

// spec: GRP-9
#[test]
fn cut_off_from_its_backup_a_leader_refuses_until_the_witness_has_decided() {
    let mut pair = pair();
    let mut out = Vec::new();
    pair[0].propose((1, 1), &mut out).unwrap();
    out.clear();
    pair[0].on_unreachable(B, &mut out);
    let solo = needs(&out).expect("it asks to go on alone");
    assert_eq!(pair[0].propose((2, 2), &mut out), Err(NotProposed::CutOff));
    assert_eq!(pair[0].acknowledged(), Some(Seq(0)), "what was under way waits, too");
    out.clear();
    pair[0].on_term(&solo.new, &mut out);
    assert!(facts(&out).contains(&Fact::Acknowledged { seq: Seq(1), entry: (1, 1), replicated: false }));
    assert_eq!(pair[0].propose((2, 2), &mut out), Ok(Proposal::New(Seq(2))));
}

// spec: CTL-3, GRP-8
#[test]
fn a_deposed_leader_says_what_became_of_what_it_had_not_acknowledged() {
    let mut pair = pair();
    let mut lost = Vec::new();
    pair[0].propose((1, 1), &mut lost).unwrap();
    let mut out = Vec::new();
    pair[1].take_over(&term(1, A, &[A, B]), None, &BTreeSet::from([A]), &mut out).unwrap();
    let second = needs(&out).unwrap().new;
    assert_eq!(second, term(2, B, &[B]));
    let mut out = Vec::new();
    pair[1].on_term(&second, &mut out);
    assert!(facts(&out).contains(&Fact::Established { epoch: Epoch(2), replicated: false }));
    pair[1].propose((2, 1), &mut out).unwrap();
    // What was sent in the first term comes too late.
    out.extend(lost);
    pair[0].on_term(&second, &mut out);
    talk(&mut pair, out);
    assert_eq!(pair[0].log(), pair[1].log());
    let mut out = Vec::new();
    pair[1].resend(&mut out);
    let rest = talk(&mut pair, out);
    assert!(facts(&rest).contains(&Fact::Settled { entry: (1, 1), kept: false, replicated: true }));
}

// spec: CTL-3
#[test]
fn the_successor_answers_a_repeated_request_from_the_log() {
    let mut pair = pair();
    let mut out = Vec::new();
    pair[0].propose((1, 1), &mut out).unwrap();
    talk(&mut pair, out);
    let mut out = Vec::new();
    pair[1].on_term(&term(2, B, &[B]), &mut out);
    out.clear();
    assert_eq!(pair[1].propose((1, 2), &mut out), Ok(Proposal::Known { acknowledged: true }));
    assert!(out.is_empty());
}

// spec: GRP-9
#[test]
fn a_member_whose_store_was_lost_may_not_take_over() {
    let mut fresh = Replica::<Done>::new(Member { store: 21, ..B }, Log::default());
    let refused = fresh.take_over(&term(1, A, &[A, B]), None, &BTreeSet::new(), &mut Vec::new());
    assert_eq!(refused, Err(NotTaken::NotInSync));
}

// spec: CTL-4
#[test]
fn a_leader_that_restarts_with_its_store_leads_on_when_its_backup_has_what_it_has() {
    let mut pair = pair();
    let mut lost = Vec::new();
    pair[0].propose((1, 1), &mut lost).unwrap();
    pair[0] = Replica::new(A, pair[0].log().clone());
    let mut out = Vec::new();
    pair[0].on_term(&term(1, A, &[A, B]), &mut out);
    assert_eq!(pair[0].propose((1, 2), &mut Vec::new()), Ok(Proposal::Known { acknowledged: false }));
    talk(&mut pair, out);
    assert_eq!(pair[0].propose((1, 2), &mut Vec::new()), Ok(Proposal::Known { acknowledged: true }));
    assert_eq!(pair[1].log().state, Done(vec![(1, 1)]));
}

// spec: SEC-2
#[test]
fn what_waits_is_bounded_and_a_follower_that_is_far_behind_holds_nobody_up() {
    let mut alone = Replica::<counting::Count>::new(A, Log::default());
    let mut out = Vec::new();
    alone.on_term(&term(1, A, &[A]), &mut out);
    for n in 0..2 * PENDING_MAX as u64 {
        assert!(alone.propose(n, &mut out).is_ok());
        let gone = Message { from: B, to: A, epoch: Epoch(1), body: Body::Join };
        if n == 0 {
            alone.on_message(gone, &mut out);
            alone.on_message(Message { from: B, to: A, epoch: Epoch(1), body: Body::Ack { seq: Seq(1) } }, &mut out);
            alone.on_unreachable(B, &mut out);
            alone.on_term(&term(1, A, &[A]), &mut out);
        }
    }
    alone.on_reachable(B, &mut out);
    alone.on_term(&term(1, A, &[A, B]), &mut out);
    let taken = (0..).take_while(|n| alone.propose(u64::MAX - n, &mut Vec::new()).is_ok()).count();
    assert_eq!(taken, PENDING_MAX);
}

mod counting {
    use super::State;

    /// Only counts.
    #[derive(Clone, Debug, Default, PartialEq)]
    pub(super) struct Count(u64);

    impl State for Count {
        type Entry = u64;
        type Id = u64;

        fn id(entry: &u64) -> u64 {
            *entry
        }
        fn apply(&mut self, _: &u64) {
            self.0 += 1;
        }
        fn holds(&self, _: &u64) -> bool {
            false
        }
    }
}
