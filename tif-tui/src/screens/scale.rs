//! A hundred thousand instruments: what is counted is looks at rows, which no machine does faster or slower.

use std::sync::Arc;

use tif_core::model::{Alarm, Kind, Value, ValueType};
use tif_core::wire::Announcement;

use super::world::{Screen, announce, descriptor, report};
use crate::model::fact::Fact;

const MANY: u64 = 100_000;

fn many() -> Vec<Arc<Announcement>> {
    (0..MANY)
        .map(|i| {
            let path = format!("group-{:03}.value", i % 1_000);
            let shard = (i / 1_000).to_string();
            announce(i + 1, "load", "load-1", false, &[("shard", &shard)], descriptor(&path, Kind::Gauge, ValueType::U64))
        })
        .collect()
}

// spec: TUI-4
#[test]
fn of_a_hundred_thousand_instruments_only_those_on_the_screen_are_looked_at() {
    let mut screen = Screen::empty(120, 40);
    let all = many();
    screen.facts(all.iter().cloned().map(Fact::Announced).collect());
    screen.wait(2);
    assert_eq!(screen.app.ui.index.rows().len() as u64, MANY);

    let visits = |screen: &Screen| screen.app.model().visits();
    let before = visits(&screen);
    screen.show();
    let frame = visits(&screen) - before;
    assert!(frame <= 60, "a frame of 40 lines looked at {frame} rows");

    let before = visits(&screen);
    for i in 0..1_000u64 {
        let now = screen.now;
        screen.facts(vec![report(&all[(i * 97 % MANY) as usize], Value::U64(i), Alarm::Ok, now)]);
    }
    let reports = visits(&screen) - before;
    assert!(reports <= 3 * 1_000, "1,000 reports caused {reports} looks");

    let before = visits(&screen);
    screen.press("jjjjj<PgDn><PgDn>G");
    let moves = visits(&screen) - before;
    assert!(moves <= 100, "moving about caused {moves} looks");
}

// spec: TUI-4
#[test]
fn under_a_sort_by_value_the_order_is_made_at_most_once_a_second() {
    let mut screen = Screen::empty(120, 40);
    let all = many();
    screen.facts(all.iter().cloned().map(Fact::Announced).collect());
    screen.wait(2);
    screen.press("s");
    let before = screen.app.ui.index.rows().to_vec();
    let now = screen.now;
    for (i, a) in all.iter().take(200).enumerate() {
        screen.facts(vec![report(a, Value::U64(i as u64), Alarm::Ok, now)]);
    }
    assert_eq!(screen.app.ui.index.rows(), before, "not within the second");
    screen.wait(1);
    let first = screen.app.ui.index.rows()[0];
    assert_eq!(screen.app.model().row(first).unwrap().value(), Some(&Value::U64(199)));
}

// spec: TUI-4
#[test]
fn when_nothing_happens_nothing_is_drawn() {
    let mut screen = Screen::full(80, 24);
    screen.press("p");
    // Until the word about it has gone.
    screen.wait(10);
    screen.show();
    screen.app.take_dirty();
    screen.wait(10);
    assert!(!screen.app.is_dirty(), "a frozen display does not change by itself");
    screen.press("p");
    screen.app.take_dirty();
    screen.wait(1);
    assert!(screen.app.is_dirty(), "ages on the screen grow");
}
