//! A process that is stopped or silent: the agent reports its values as stale, and they look so.

use super::world::{Screen, world};
use crate::backend::Request;
use crate::model::fact::{Fact, Now};
use insta::assert_snapshot;
use tif_core::model::{ProcessState, Quality};

/// What the agent reports of the orders, with that quality.
fn reports(now: Now, quality: &Quality) -> Vec<Fact> {
    let of_orders = |fact: Fact| match fact {
        Fact::Report { announcement, mut report } if announcement.source.as_str() == "orders" => {
            report.quality = quality.clone();
            Some(Fact::Report { announcement, report })
        }
        _ => None,
    };
    world(now).into_iter().filter_map(of_orders).collect()
}

// spec: SRV-8
#[test]
fn the_values_of_a_process_that_is_stopped_are_marked_until_it_goes_on() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.accepted");
    let good = screen.show();
    assert!(!good.contains("stale") && !good.contains(" old"), "{good}");
    let stopped = Quality::Stale { since: screen.now.wall };
    screen.wait(3);
    let now = screen.now;
    screen.facts(reports(now, &stopped));
    assert_snapshot!("stopped", screen.show());
    let busy = screen.cells("37.5");
    assert!(
        busy.iter().all(|cell| !cell.modifier.contains(ratatui::style::Modifier::DIM) || cell.symbol() != "3"),
        "another process is fine"
    );
    screen.facts(reports(now, &Quality::Good));
    let good = screen.show();
    assert!(!good.contains("stale") && !good.contains(" old"), "{good}");
}

// spec: PSM-2, TUI-1
#[test]
fn the_processes_are_asked_for_while_they_are_on_the_screen_and_show_who_is_silent() {
    let mut screen = Screen::full(80, 24);
    screen.serve();
    screen.wait(10);
    assert!(!screen.app.take_outbox().iter().any(|(_, request)| *request == Request::Processes), "nobody looks at them");
    screen.press("3");
    screen.serve();
    assert!(!screen.show().contains("suspect"));
    for row in screen.backend.processes.iter_mut().filter(|row| row.name.as_str() == "orders-1") {
        (row.state, row.since_ms) = (ProcessState::Suspect, 3_000);
    }
    screen.wait(2);
    screen.serve();
    let shown = screen.show();
    assert!(shown.lines().any(|line| line.contains("orders-1") && line.contains("suspect")), "{shown}");
}
