//! The status line: messages go, errors stay until somebody has seen them.

use super::world::{Screen, back, lost, outage};
use crate::model::fact::Fact;
use tif_core::model::{Cause, Outage};

/// The line above the footer.
fn line(screen: &mut Screen) -> String {
    let shown = screen.show();
    shown.lines().rev().nth(1).unwrap().to_owned()
}

#[test]
fn a_message_ends_with_the_next_key_or_after_the_time_that_it_takes_to_read() {
    let mut screen = Screen::full(80, 24);
    screen.press("s");
    assert_eq!(line(&mut screen), "sorted by value");
    screen.press("j");
    assert_eq!(line(&mut screen), "");
    screen.press("s");
    let due = screen.app.deadline();
    assert!(due.0 > screen.now.mono.0, "the loop is woken in time");
    screen.wait(3);
    assert_eq!(line(&mut screen), "sorted by unit");
    screen.wait(3);
    assert_eq!(line(&mut screen), "");
}

#[test]
fn a_long_message_stays_longer() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.accepted");
    screen.press("e");
    screen.wait(6);
    assert_eq!(line(&mut screen), "orders.accepted is a counter; only a control can be edited");
    screen.wait(4);
    assert_eq!(line(&mut screen), "");
}

#[test]
fn an_error_stays_across_keys_tabs_and_messages_until_esc_says_that_it_was_seen() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.backend.refusal = Some("orders.batch: not on a Friday".into());
    screen.press("e128<Enter>y");
    screen.serve();
    let error = "not done: orders.batch: not on a Friday (Esc: seen)";
    assert_eq!(line(&mut screen), error);
    screen.press("2j13");
    screen.wait(120);
    assert_eq!(line(&mut screen), error);
    screen.press("1s");
    assert_eq!(line(&mut screen), "sorted by value", "a message passes over it");
    screen.press("<Esc>");
    assert_eq!(line(&mut screen), error, "what could not be read was not acknowledged");
    screen.press("<Esc>");
    assert_eq!(line(&mut screen), "");
    assert_eq!(screen.app.context(), crate::keymap::Context::Table, "and nothing else has happened");
}

// spec: OUT-4
#[test]
fn the_end_of_an_outage_takes_the_news_of_its_beginning_away() {
    let mut screen = Screen::full(80, 24);
    let began = screen.now;
    screen.facts(lost(began));
    assert!(line(&mut screen).starts_with("outage of orders: orders-1 lost"));
    screen.wait(4);
    let now = screen.now;
    screen.facts(back(began, now));
    assert!(line(&mut screen).starts_with("orders is back"));
    screen.wait(20);
    assert_eq!(line(&mut screen), "");
}

// spec: OUT-2, OUT-7
#[test]
fn a_primary_that_left_is_an_outage_until_its_standby_exports() {
    let mut screen = Screen::full(120, 40);
    let began = screen.now;
    screen.facts(vec![Fact::Outage(Outage { cause: Cause::Unregistered, ..outage(began) })]);
    assert!(line(&mut screen).starts_with("outage of orders: orders-1 left"));
    screen.press("2");
    let shown = screen.show();
    assert!(shown.lines().next().unwrap().contains("1 outage ") && shown.contains("Outages: 1 open, 0 others"), "{shown}");
    let now = screen.now;
    screen.facts(back(began, now));
    let shown = screen.show();
    assert!(!shown.lines().next().unwrap().contains("outage") && shown.contains("Outages: 0 open, 1 others"), "{shown}");
}
