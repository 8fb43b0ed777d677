//! A process that is stopped or silent: what it exports is the last known, and looks so.

use super::world::Screen;
use insta::assert_snapshot;
use tif_core::model::ProcessState;

fn set_state(screen: &mut Screen, state: ProcessState) {
    for row in screen.backend.processes.iter_mut().filter(|row| row.name.as_str() == "orders-1") {
        (row.state, row.since_ms) = (state, 3_000);
    }
    screen.wait(2);
    screen.serve();
}

// spec: SRV-8, PSM-2
#[test]
fn the_values_of_a_process_that_is_stopped_are_marked_until_it_goes_on() {
    let mut screen = Screen::full(80, 24);
    screen.serve();
    screen.select("orders.accepted");
    let good = screen.show();
    assert!(!good.contains("suspect") && !good.contains(" old"), "{good}");
    set_state(&mut screen, ProcessState::Suspect);
    assert_snapshot!("suspect", screen.show());
    let busy = screen.cells("37.5");
    assert!(
        busy.iter().all(|cell| !cell.modifier.contains(ratatui::style::Modifier::DIM) || cell.symbol() != "3"),
        "another process is fine"
    );
    set_state(&mut screen, ProcessState::Alive);
    let good = screen.show();
    assert!(!good.contains("suspect") && !good.contains(" old"), "{good}");
}

#[test]
fn the_processes_are_asked_for_whatever_tab_is_open() {
    let mut screen = Screen::full(80, 24);
    screen.serve();
    screen.wait(2);
    assert!(screen.app.take_outbox().iter().any(|(_, request)| *request == crate::backend::Request::Processes));
}
