//! Stories; every state is searched by `tests/model`.

use std::collections::BTreeSet;

use super::*;
use crate::model::{Epoch, NodeId};

fn member(node: u32, store: u64) -> Member {
    Member { node: NodeId(node), store }
}

fn voters(n: u32) -> BTreeSet<NodeId> {
    (1..=n).map(NodeId).collect()
}

fn term(epoch: u64, node: u32) -> Term {
    let home = member(node, 0);
    Term { epoch: Epoch(epoch), primary: None, home, in_sync: BTreeSet::from([home]) }
}

/// Puts questions to voters and their answers back, until the proposer is told something.
fn ask(proposer: &mut Proposer, voters: &mut [&mut Acceptor], mut asks: Vec<Ask>) -> Option<Outcome> {
    while let Some(asked) = asks.pop() {
        for voter in voters.iter_mut() {
            let Some(answer) = voter.on_ask(&asked) else { continue };
            match proposer.on_reply(answer.reply) {
                Some(Act::Decided(outcome)) => return Some(outcome),
                Some(Act::Ask(next)) => asks = next,
                None => {}
            }
        }
    }
    None
}

// spec: GRP-9
#[test]
fn two_majorities_share_a_voter_and_a_majority_shares_another_voter_with_those_that_were_asked() {
    for voters in 1..=VOTERS_MAX {
        assert!(2 * majority(voters) > voters);
        assert!(majority(voters) - 1 + enough_to_catch_up(voters) > voters - 1);
    }
}

// spec: GRP-8
#[test]
fn one_cpu_decides_with_one_record_and_no_message() {
    let mut voter = Acceptor::founding(member(1, 0));
    let mut proposer = Proposer::new(member(1, 0), 1, voters(1));
    let first = Wish::Change(Change { expect: None, new: term(1, 1) });
    let (outcome, record) = proposer.alone(&mut voter, &first);
    assert_eq!(outcome, Outcome::Chosen(term(1, 1)));
    let mut voter = Acceptor::restored(member(1, 0), record.expect("it must be durable"));
    let mut proposer = Proposer::new(member(1, 0), 2, voters(1));
    assert_eq!(proposer.alone(&mut voter, &Wish::Read), (Outcome::Holds(Some(term(1, 1))), None));
    let late = Wish::Change(Change { expect: None, new: term(1, 2) });
    assert_eq!(proposer.alone(&mut voter, &late), (Outcome::Lost(Some(term(1, 1))), None));
    let (outcome, record) = proposer.alone(&mut voter, &Wish::Change(Change { expect: Some(term(1, 1)), new: term(2, 1) }));
    assert_eq!((outcome, record.is_some()), (Outcome::Chosen(term(2, 1)), true));
}

// spec: GRP-9
#[test]
fn a_majority_decides_and_who_comes_late_is_told_what_is() {
    let mut all = [1, 2, 3].map(|n| Acceptor::founding(member(n, 0)));
    let [a, b, c] = &mut all;
    let [mut one, mut two] = [1, 2].map(|n| Proposer::new(member(n, 0), 1, voters(3)));
    let asks = one.change(Change { expect: None, new: term(1, 1) });
    assert_eq!(ask(&mut one, &mut [a, b], asks), Some(Outcome::Chosen(term(1, 1))));
    let asks = two.change(Change { expect: None, new: term(1, 2) });
    assert_eq!(ask(&mut two, &mut [b, c], asks), Some(Outcome::Lost(Some(term(1, 1)))));
    let asks = two.read();
    assert_eq!(ask(&mut two, &mut [c], asks), None, "one of three is no majority");
}

#[test]
fn a_change_that_was_made_unheard_is_chosen_when_it_is_tried_again() {
    let mut all = [1, 2, 3].map(|n| Acceptor::founding(member(n, 0)));
    let [a, b, c] = &mut all;
    let mut one = Proposer::new(member(1, 0), 1, voters(3));
    let asks = one.change(Change { expect: None, new: term(1, 1) });
    // Only the last answer is lost.
    let replies: Vec<Reply> =
        [&mut *a, b].into_iter().flat_map(|v| asks.iter().filter_map(|q| v.on_ask(q)).collect::<Vec<_>>()).map(|x| x.reply).collect();
    let accepts = replies.into_iter().find_map(|r| one.on_reply(r));
    let Some(Act::Ask(accepts)) = accepts else { panic!("a majority has promised") };
    for question in &accepts {
        a.on_ask(question);
        b.on_ask(question);
    }
    let asks = one.retry();
    assert_eq!(ask(&mut one, &mut [b, c], asks), Some(Outcome::Chosen(term(1, 1))));
}

#[test]
fn who_is_refused_by_too_many_is_undecided_and_outbids_the_other_next_time() {
    let mut all = [1, 2, 3].map(|n| Acceptor::founding(member(n, 0)));
    let [a, b, _] = &mut all;
    let [mut one, mut two] = [1, 2].map(|n| Proposer::new(member(n, 0), 1, voters(3)));
    let asks = two.read();
    asks.iter().for_each(|q| drop((a.on_ask(q), b.on_ask(q))));
    let asks = one.read();
    assert_eq!(ask(&mut one, &mut [a, b], asks), Some(Outcome::Undecided));
    let asks = one.retry();
    assert_eq!(ask(&mut one, &mut [a, b], asks), Some(Outcome::Holds(None)));
}

// spec: GRP-9
#[test]
fn a_voter_with_a_new_store_is_silent_until_enough_others_have_told_it() {
    let mut all = [1, 2, 3].map(|n| Acceptor::founding(member(n, 0)));
    let [a, b, c] = &mut all;
    let mut one = Proposer::new(member(1, 0), 1, voters(3));
    let asks = one.change(Change { expect: None, new: term(1, 1) });
    assert_eq!(ask(&mut one, &mut [a, b], asks), Some(Outcome::Chosen(term(1, 1))));
    let mut blank = Acceptor::blank(member(1, 77));
    let asks = one.read();
    assert_eq!(blank.on_ask(&asks[0]), None);
    let questions = blank.catch_up(&voters(3));
    let [first, second] = [(&mut *b, &questions[0]), (&mut *c, &questions[1])].map(|(v, q)| v.on_catch_up(q).expect("it votes").reply);
    assert_eq!(blank.on_caught(first, &voters(3)), None, "one other may have been no part of the majority");
    let record = blank.on_caught(second, &voters(3)).expect("now it votes");
    assert_eq!(record.accepted.map(|(_, term)| term), Some(term(1, 1)));
}

// spec: GRP-9
#[test]
fn a_promise_of_a_store_that_was_lost_since_does_not_count() {
    let mut all = [1, 2, 3].map(|n| Acceptor::founding(member(n, 0)));
    let [a, b, c] = &mut all;
    let mut two = Proposer::new(member(2, 0), 1, voters(3));
    let asks = two.read();
    let before = a.on_ask(&asks[0]).expect("it votes").reply;
    let blank = Acceptor::blank(member(1, 77));
    let questions = blank.catch_up(&voters(3));
    b.on_catch_up(&questions[0]);
    assert_eq!(two.on_reply(before), None);
    assert_eq!(two.on_reply(b.on_ask(&asks[1]).expect("it votes").reply), None, "it knows that the other's store is gone");
    let decided = two.on_reply(c.on_ask(&asks[2]).expect("it votes").reply);
    assert_eq!(decided, Some(Act::Decided(Outcome::Holds(None))));
}
