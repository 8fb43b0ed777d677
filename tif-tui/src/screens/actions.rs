//! Changing things from the screen: checked before, confirmed, written down.

use insta::assert_snapshot;

use super::world::Screen;
use crate::backend::{Answer, Request};
use crate::keymap::Context;
use crate::message::Message;
use crate::model::fact::{Fact, Link};

fn asked(screen: &Screen) -> Vec<Request> {
    let asked = screen.backend.asked.lock().unwrap();
    asked.iter().filter(|request| !matches!(request, Request::Processes | Request::Outages)).cloned().collect()
}

// spec: TUI-2, CTL-1
#[test]
fn a_value_out_of_range_is_refused_before_anything_is_sent() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e<Back><Back>5000");
    assert_snapshot!("edit_refused", screen.show());
    screen.press("<Enter>");
    screen.serve();
    assert_eq!(screen.app.context(), Context::Form, "it goes no further");
    assert_eq!(asked(&screen), []);
}

// spec: TUI-2
#[test]
fn a_change_is_confirmed_with_old_new_and_the_command_line_and_written_down() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e<Back><Back>128<Enter>");
    assert_snapshot!("confirm", screen.show());
    screen.serve();
    assert_eq!(asked(&screen), [], "nothing happens before it is confirmed");
    screen.press("y");
    assert!(screen.show().contains("tif-serve set orders.batch 128: under way"));
    screen.serve();
    assert_eq!(asked(&screen), [Request::Set { name: "orders.batch".into(), value: "128".into() }]);
    screen.backend.refusal = Some("orders.batch: the service refuses: not on a Friday".into());
    screen.press("e<Back><Back>65<Enter><Enter>");
    screen.serve();
    screen.press("4");
    assert_snapshot!("actions", screen.show());
}

// spec: TUI-2
#[test]
fn a_procedure_asks_for_its_arguments_by_name_and_type() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.flush");
    screen.press("f");
    assert_eq!(screen.app.context(), Context::Form);
    screen.press("many<Tab><Down><Enter>");
    assert_snapshot!("fire_refused", screen.show());
    screen.press("<Back><Back><Back><Back>7<Enter>");
    assert_snapshot!("fire_confirm", screen.show());
    screen.press("<Enter>");
    screen.serve();
    let arguments = vec![("limit".into(), "7".into()), ("quiet".into(), "false".into())];
    assert_eq!(asked(&screen), [Request::Fire { name: "orders.flush".into(), arguments, timeout: std::time::Duration::from_secs(5) }]);
    assert!(screen.show().contains("answers 42"));
}

// spec: TUI-2, TST-1
#[test]
fn a_test_point_is_armed_with_an_end_and_disarmed() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.before_commit");
    screen.press("a<Down><Down><Tab><Back>0.5");
    assert_snapshot!("arm", screen.show());
    screen.press("<Enter>");
    assert_snapshot!("arm_confirm", screen.show());
    screen.press("y");
    screen.serve();
    let [Request::Arm { arming, .. }] = &asked(&screen)[..] else { panic!("not armed: {:?}", asked(&screen)) };
    assert_eq!((arming.action.to_string().as_str(), arming.probability), ("delay=50ms", 0.5));
    screen.press("dy");
    screen.serve();
    assert_eq!(asked(&screen)[1], Request::Disarm { name: "orders.before_commit".into() });
}

#[test]
fn what_cannot_be_done_to_an_instrument_is_not_offered_and_says_why() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.accepted");
    let shown = screen.show();
    let footer = shown.lines().last().unwrap();
    assert!(!footer.contains("edit") && !footer.contains("fire") && footer.contains("quit"), "{footer}");
    screen.press("e");
    assert!(screen.show().contains("orders.accepted is a counter; only a control can be edited"));
}

// spec: TUI-2
#[test]
fn the_same_on_the_command_line_is_a_key_away() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.queue.shard{shard=10}");
    screen.press("y");
    assert_snapshot!("command_line", screen.show());
}

// spec: TUI-2
#[test]
fn a_dialog_shows_the_value_of_now_not_of_when_it_was_opened() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e128");
    let (batch, ..) = super::world::orders("orders-1").swap_remove(6);
    let now = screen.now;
    screen.facts(vec![super::world::report(&batch, tif_core::model::Value::U64(99), tif_core::model::Alarm::Ok, now)]);
    assert!(screen.show().contains("now 99"), "{}", screen.show());
    screen.press("<Enter>");
    assert!(screen.show().contains("99  ->  128"), "{}", screen.show());
}

// spec: TUI-2, TUI-4
#[test]
fn without_a_link_nothing_is_ordered_for_later() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e128<Enter>");
    let since = screen.now.wall;
    screen.facts(vec![Fact::Link(Link::Down { since })]);
    screen.press("y");
    screen.serve();
    assert_eq!(asked(&screen), []);
    assert_eq!(screen.app.context(), Context::Confirm, "it can be confirmed again");
    assert!(screen.show().contains("the link to the agent is down"), "{}", screen.show());
    screen.press("<Esc><Esc>e");
    assert_eq!(screen.app.context(), Context::Table);
    assert!(screen.show().contains("the link to the agent is down"), "{}", screen.show());
    screen.facts(vec![Fact::Link(super::world::up())]);
    screen.press("e128<Enter>y");
    screen.serve();
    assert_eq!(asked(&screen).len(), 1);
}

// spec: TST-4, TUI-2
#[test]
fn of_a_call_without_an_answer_it_is_not_claimed_that_it_was_not_done() {
    let mut screen = Screen::full(80, 24);
    screen.serve();
    screen.select("orders.flush");
    screen.press("f7<Enter><Enter>");
    let reason = "orders.flush: its process ended while it ran; whether it was done is not known";
    let (ticket, request) = screen.app.take_outbox().pop().unwrap();
    assert!(matches!(request, Request::Fire { .. }), "{request:?}");
    screen.app.update(Message::Answer { ticket, result: Ok(Answer::Unknown(reason.into())) }, screen.now);
    screen.press("4");
    let shown = screen.show();
    assert!(shown.contains("unknown") && shown.contains("whether it was done is not") && !shown.contains("not done"), "{shown}");
}
