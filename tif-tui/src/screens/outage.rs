//! What the screen shows when things break: nothing old may ever look fresh.

use insta::assert_snapshot;
use ratatui::style::Modifier;
use tif_core::model::{Outage, OutageId, Stamp};
use tif_core::wire::ProcessRow;

use super::world::{Screen, back, key, lost, name, outage, up};
use crate::model::fact::{Fact, Link};

fn is_dim(screen: &mut Screen, line: &str, text: &str) -> bool {
    let cells = screen.cells(line);
    let row: String = cells.iter().map(|cell| cell.symbol()).collect();
    let at = row[..row.find(text).unwrap()].chars().count();
    cells[at..at + text.len()].iter().all(|cell| cell.modifier.contains(Modifier::DIM))
}

// spec: SRV-8, OUT-2, TUI-1
#[test]
fn an_outage_dims_and_dates_the_values_until_the_successor_is_there() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.accepted");
    assert!(!is_dim(&mut screen, "120345", "120345"));
    screen.wait(3);
    let began = screen.now;
    screen.facts(lost(began));
    screen.serve();
    screen.wait(4);
    screen.press("j");
    assert_snapshot!("outage_table", screen.show());
    assert!(is_dim(&mut screen, "120345", "120345"));
    assert!(!is_dim(&mut screen, "37.5", "37.5"), "another source is not touched");
    screen.press("2");
    assert_snapshot!("outage_open", screen.show());
    let now = screen.now;
    screen.facts(back(began, now));
    screen.serve();
    assert_snapshot!("outage_ended", screen.show());
    screen.press("1");
    assert!(!is_dim(&mut screen, "120345", "120345"));
    assert!(screen.show().contains("orders-2"), "the tree names the process that exports now");
}

// spec: TUI-4, SRV-8
#[test]
fn through_an_agents_restart_the_screen_stays_and_says_that_it_is_old() {
    let mut screen = Screen::full(80, 24);
    screen.wait(2);
    let since = screen.now.wall;
    screen.facts(vec![Fact::Link(Link::Down { since })]);
    screen.wait(14);
    assert_snapshot!("link_down", screen.show());
    assert!(is_dim(&mut screen, "37.5", "37.5"));
    screen.facts(vec![Fact::Link(up())]);
    assert!(!is_dim(&mut screen, "37.5", "37.5"));
    assert!(!screen.show().contains("LINK DOWN"));
}

// spec: SRV-8
#[test]
fn the_curve_of_a_value_ends_where_nobody_vouches_for_it_any_more() {
    let mut screen = Screen::full(120, 40);
    screen.select("orders.queue.depth");
    screen.wait(8);
    let began = screen.now;
    screen.facts(lost(began));
    screen.wait(12);
    assert_snapshot!("outage_wide", screen.show());
    screen.press("3");
    screen.serve();
    assert_snapshot!("processes_wide", screen.show());
}

// spec: MON-7
#[test]
fn an_outage_that_a_new_agent_knows_nothing_of_is_not_claimed_to_last() {
    let mut screen = Screen::full(80, 24);
    let now = screen.now;
    screen.facts(lost(now));
    screen.facts(vec![Fact::Link(Link::Down { since: now.wall })]);
    assert!(screen.show().contains("1 outage"));
    screen.facts(vec![Fact::Link(Link::Up { cpu: name("cpu1"), agent: key(0, 9) })]);
    screen.serve();
    screen.press("2");
    let shown = screen.show();
    assert!(!shown.contains("1 outage") && shown.contains("how it ended is not known"), "{shown}");
}

#[test]
fn before_the_first_link_nothing_is_claimed() {
    let mut screen = Screen::empty(80, 24);
    screen.facts(vec![Fact::Link(Link::Down { since: Stamp(super::world::NOON) })]);
    screen.wait(1);
    assert_snapshot!("nothing", screen.show());
}

// spec: TUI-1
#[test]
fn among_hundreds_of_outages_and_processes_the_cursor_stays_on_its_line() {
    let mut screen = Screen::full(80, 24);
    let at = |screen: &mut Screen, i: u64| {
        let now = screen.now;
        let one = Outage { id: OutageId(i), source: name(&format!("service-{i}")), ..outage(now) };
        screen.wait(1);
        screen.facts(vec![Fact::Outage(one)]);
    };
    (0..300).for_each(|i| at(&mut screen, i));
    screen.press("2");
    assert!(screen.show().contains("service-299 on cpu1"), "the latest is at the top");
    screen.press("<PgDn><PgDn>j");
    let chosen = screen.app.model().outages().nth(screen.app.ui.outages.cursor).unwrap().0.source.to_string();
    at(&mut screen, 300);
    at(&mut screen, 301);
    let shown = screen.show();
    assert!(shown.contains(&format!("{chosen} on cpu1")), "still {chosen}:\n{shown}");
    screen.press("<End>");
    assert!(screen.show().contains("service-0 on cpu1"));
    screen.press("<Home>");
    assert!(screen.show().contains("service-301 on cpu1"));

    let like = screen.backend.processes[0].clone();
    let many = (0..400).map(|i| ProcessRow { name: name(&format!("worker-{i:03}")), ..like.clone() });
    screen.backend.processes = many.collect();
    screen.press("3");
    screen.wait(2);
    screen.serve();
    screen.press("<End>");
    assert!(screen.show().contains("worker-399, key"), "{}", screen.show());
    screen.backend.processes.drain(100..200);
    screen.wait(2);
    screen.serve();
    assert!(screen.show().contains("worker-399, key"), "{}", screen.show());
}
