//! One dark corner each.

use super::super::{Body, Delivered, Dropped, Frame, GIVE_UP, Link, Overrun, QUEUE_MAX, Reset, WINDOW};
use super::{at, life};

fn pair() -> (Link<u32>, Link<u32>) {
    (Link::new(life(1, 1), life(2, 1)), Link::new(life(2, 1), life(1, 1)))
}

fn frames(link: &mut Link<u32>, ms: u64) -> Vec<Frame<u32>> {
    link.poll(at(ms)).0
}

fn message(value: u32) -> Delivered<u32> {
    Delivered::Message(value)
}

/// Everything that is due goes over, both ways, until nothing is.
fn settle(a: &mut Link<u32>, b: &mut Link<u32>, ms: u64) -> Vec<Delivered<u32>> {
    let mut at_b = Vec::new();
    for step in 0..20 {
        for frame in frames(a, ms + step * 10) {
            at_b.extend(b.receive(at(ms + step * 10), frame));
        }
        for frame in frames(b, ms + step * 10) {
            a.receive(at(ms + step * 10), frame);
        }
    }
    at_b
}

// spec: FAB-2
#[test]
fn messages_arrive_once_and_in_order_whatever_the_fabric_does_with_them() {
    let (mut a, mut b) = pair();
    for value in 1..=3 {
        a.send(at(0), value).unwrap();
    }
    let sent = frames(&mut a, 0);
    assert_eq!(b.receive(at(1), sent[2].clone()), []);
    assert_eq!(b.receive(at(1), sent[0].clone()), [message(1)]);
    assert_eq!(b.receive(at(1), sent[0].clone()), []);
    assert_eq!(b.receive(at(1), sent[1].clone()), [message(2), message(3)]);
    assert_eq!(b.receive(at(1), sent[2].clone()), []);
    assert_eq!(b.dropped().repeated, 2);
}

#[test]
fn an_idle_link_sends_nothing() {
    let (mut a, mut b) = pair();
    assert_eq!((a.deadline(), b.deadline()), (None, None));
    a.send(at(0), 1).unwrap();
    assert_eq!(a.deadline(), Some(at(0)));
    settle(&mut a, &mut b, 0);
    assert_eq!((a.deadline(), b.deadline()), (None, None));
    assert!(frames(&mut a, 60_000).is_empty() && frames(&mut b, 60_000).is_empty());
}

#[test]
fn an_acknowledgement_rides_on_what_goes_back_and_waits_ten_milliseconds_for_it() {
    let (mut a, mut b) = pair();
    a.send(at(0), 1).unwrap();
    b.receive(at(0), frames(&mut a, 0).remove(0));
    assert_eq!(b.deadline(), Some(at(10)));
    assert!(frames(&mut b, 9).is_empty());
    b.send(at(9), 7).unwrap();
    let back = frames(&mut b, 9);
    assert_eq!(back.len(), 1);
    assert_eq!((back[0].ack, &back[0].body), (1, &Body::Message(1, 7)));
    assert!(frames(&mut b, 10).is_empty(), "it was said");
    a.receive(at(10), back[0].clone());
    assert_eq!(a.queued(), 0);
    assert!(matches!(frames(&mut a, 20)[..], [Frame { ack: 1, body: Body::Ack, .. }]));
}

#[test]
fn a_lost_message_goes_again_as_soon_as_later_ones_are_known_to_have_arrived() {
    let (mut a, mut b) = pair();
    for value in 1..=5 {
        a.send(at(0), value).unwrap();
    }
    for frame in frames(&mut a, 0).into_iter().skip(1) {
        b.receive(at(1), frame);
    }
    let ack = frames(&mut b, 1).remove(0);
    assert_eq!((ack.ack, ack.beyond), (0, 0b1111));
    a.receive(at(2), ack);
    assert!(frames(&mut a, 2).is_empty(), "it may only have been overtaken");
    assert!(a.deadline().is_some_and(|due| due > at(2) && due <= at(3)), "a round trip and its deviation");
    let again = frames(&mut a, 3);
    assert!(matches!(again[..], [Frame { body: Body::Message(1, 1), .. }]));
    assert_eq!(b.receive(at(3), again[0].clone()).len(), 5);
    assert_eq!(settle(&mut a, &mut b, 3), []);
    assert_eq!(a.queued(), 0);
}

#[test]
fn without_an_answer_it_tries_less_and_less_often() {
    let (mut a, _) = pair();
    for value in 0..WINDOW as u32 {
        a.send(at(0), value).unwrap();
    }
    let mut tries = Vec::new();
    let mut sent = 0;
    while let Some(due) = a.deadline().filter(|due| *due < at(20_000)) {
        sent += a.poll(due).0.len();
        tries.push(due);
    }
    let waits: Vec<u64> = tries.windows(2).map(|w| (w[1] - w[0]).as_millis() as u64).collect();
    assert_eq!(waits[..5], [200, 400, 800, 1600, 2000]);
    assert!(sent < WINDOW + 20 * 4, "it chokes the fabric: {sent}");
}

// spec: FAB-2, SEC-2
#[test]
fn what_a_mute_peer_does_not_confirm_is_bounded_and_given_up_with_a_word() {
    let (mut a, mut b) = pair();
    for value in 0..QUEUE_MAX as u32 {
        assert!(a.can_send());
        a.send(at(0), value).unwrap();
    }
    assert_eq!((a.can_send(), a.send(at(0), 0)), (false, Err(Overrun)));
    let mut now = at(0);
    let reset = loop {
        match a.poll(now) {
            (_, Some(reset)) => break reset,
            (sent, None) => assert!(sent.len() <= WINDOW),
        }
        now = a.deadline().expect("it goes on trying");
    };
    assert_eq!(reset, Reset::Unacknowledged);
    assert!(now >= at(0) + GIVE_UP && now <= at(2000) + GIVE_UP);
    assert_eq!(a.queued(), 0);
    a.send(now, 99).unwrap();
    assert_eq!(settle(&mut a, &mut b, now.0 / 1_000_000 + 1), [Delivered::Reset(Reset::ByPeer), message(99)]);
}

// spec: FAB-2
#[test]
fn a_stream_begun_anew_is_known_to_the_other_side_even_if_nothing_is_sent_in_it() {
    let (mut a, mut b) = pair();
    a.reset(at(0));
    assert_eq!(frames(&mut a, 0).len(), 1, "this one is lost");
    assert_eq!(settle(&mut a, &mut b, 100), [Delivered::Reset(Reset::ByPeer)]);
    assert_eq!((a.deadline(), b.deadline()), (None, None));
}

// spec: FAB-2
#[test]
fn a_frame_of_an_earlier_stream_is_never_delivered_however_late_it_comes() {
    let (mut a, mut b) = pair();
    a.send(at(0), 1).unwrap();
    a.send(at(0), 2).unwrap();
    let old = frames(&mut a, 0);
    b.receive(at(1), old[0].clone());
    a.reset(at(2));
    a.send(at(2), 10).unwrap();
    assert_eq!(settle(&mut a, &mut b, 2), [Delivered::Reset(Reset::ByPeer), message(10)]);
    for late in old {
        assert_eq!(b.receive(at(90_000), late), []);
    }
    assert_eq!(b.dropped().old_stream, 2);
    a.send(at(90_001), 11).unwrap();
    assert_eq!(settle(&mut a, &mut b, 90_001), [message(11)]);
}

// spec: FAB-2
#[test]
fn an_old_acknowledgement_confirms_nothing_of_a_new_stream() {
    let (mut a, mut b) = pair();
    a.send(at(0), 1).unwrap();
    b.receive(at(0), frames(&mut a, 0).remove(0));
    let old_ack = frames(&mut b, 10).remove(0);
    a.reset(at(11));
    a.send(at(11), 2).unwrap();
    frames(&mut a, 11);
    a.receive(at(12), old_ack);
    assert_eq!(a.queued(), 1);
}

// spec: FAB-2
#[test]
fn both_sides_may_begin_anew_at_once() {
    let (mut a, mut b) = pair();
    a.send(at(0), 1).unwrap();
    frames(&mut a, 0);
    a.reset(at(1));
    b.reset(at(1));
    a.send(at(1), 5).unwrap();
    b.send(at(1), 6).unwrap();
    let (from_a, from_b) = (frames(&mut a, 1), frames(&mut b, 1));
    let at_b: Vec<_> = from_a.into_iter().flat_map(|f| b.receive(at(2), f)).collect();
    let at_a: Vec<_> = from_b.into_iter().flat_map(|f| a.receive(at(2), f)).collect();
    assert_eq!((at_a, at_b), (vec![message(6)], vec![message(5)]), "each reset itself, and neither the other");
}

// spec: FAB-2, PSM-11
#[test]
fn frames_of_other_lives_do_nothing() {
    let (mut a, mut b) = pair();
    a.send(at(0), 1).unwrap();
    let frame = frames(&mut a, 0).remove(0);
    for other in [Frame { from: life(1, 2), ..frame.clone() }, Frame { to: life(2, 2), ..frame.clone() }, Frame { to: life(3, 1), ..frame }]
    {
        assert_eq!(b.receive(at(0), other), []);
    }
    assert_eq!(b.dropped().other_life, 3);
    assert_eq!(b.deadline(), None);
}

// spec: FAB-2, PSM-11
#[test]
fn after_a_restart_of_one_side_nothing_of_its_former_life_comes_through() {
    let (mut a, _) = pair();
    a.send(at(0), 1).unwrap();
    let old = frames(&mut a, 0).remove(0);
    let mut b = Link::new(life(2, 2), life(1, 1));
    assert_eq!(b.receive(at(1), old.clone()), [], "it was for the life before");
    let mut a = Link::new(life(1, 1), life(2, 2));
    a.send(at(2), 2).unwrap();
    assert_eq!(settle(&mut a, &mut b, 2), [message(2)]);
    assert_eq!(b.receive(at(500), old), []);
}

// spec: SEC-2
#[test]
fn what_no_link_can_have_sent_is_counted_and_does_nothing() {
    let (mut a, mut b) = pair();
    a.send(at(0), 1).unwrap();
    let good = frames(&mut a, 0).remove(0);
    let hostile = [
        Frame { ack: 1, ..good.clone() },
        Frame { ack: u64::MAX, ..good.clone() },
        Frame { beyond: 1, ..good.clone() },
        Frame { beyond: u64::MAX, ..good.clone() },
        Frame { ack: u64::MAX, beyond: u64::MAX, ..good.clone() },
        Frame { stream: u64::MAX, ..good.clone() },
        Frame { body: Body::Message(0, 9), ..good.clone() },
        Frame { body: Body::Message(WINDOW as u64 + 1, 9), ..good.clone() },
        Frame { body: Body::Message(u64::MAX, 9), ..good.clone() },
    ];
    let count = hostile.len() as u64;
    for frame in hostile {
        assert_eq!(b.receive(at(0), frame), []);
    }
    assert_eq!(b.dropped(), Dropped { malformed: count, ..Dropped::default() });
    assert_eq!(b.receive(at(0), good), [message(1)]);
}
