//! What the screen shows while all is well.

use insta::assert_snapshot;
use ratatui::style::Color;

use tif_core::model::{Alarm, Kind, Value, ValueType};

use super::world::{Screen, announce, descriptor, extra, report, world};
use crate::app::Settings;
use crate::model::fact::Fact;
use crate::view::theme::Theme;

// spec: TUI-1, TUI-3
#[test]
fn tree_table_and_detail_fit_a_small_screen() {
    let mut screen = Screen::full(80, 24);
    assert_snapshot!("small", screen.show());
}

// spec: TUI-1
#[test]
fn a_wide_screen_gives_the_detail_its_own_column() {
    let mut screen = Screen::full(120, 40);
    screen.select("orders.queue.depth");
    for value in [900, 1_400, 2_500, 800, 1_100] {
        screen.wait(4);
        let (a, _, alarm) = super::world::orders("orders-1").swap_remove(1);
        let now = screen.now;
        screen.facts(vec![super::world::report(&a, tif_core::model::Value::U64(value), alarm, now)]);
    }
    screen.wait(2);
    assert_snapshot!("wide", screen.show());
}

// spec: TUI-1
#[test]
fn a_distribution_is_shown_as_bars_with_its_quantiles() {
    let mut screen = Screen::full(120, 40);
    screen.select("orders.latency");
    screen.press("lz");
    assert_snapshot!("histogram", screen.show());
}

// spec: TUI-3
#[test]
fn the_filter_narrows_the_table_while_it_is_typed() {
    let mut screen = Screen::full(80, 24);
    screen.press("/queue*s");
    assert_snapshot!("filter", screen.show());
    screen.press("<Esc>");
    assert_eq!(screen.app.ui.index.rows().len(), 11, "Esc takes the filter back");
    screen.press("/depth<Enter>");
    assert_eq!(screen.app.ui.index.rows().len(), 1);
    screen.press("<Esc>");
    assert_eq!(screen.app.ui.index.rows().len(), 11, "Esc clears a filter that was kept");
}

#[test]
fn the_table_shows_what_lies_below_the_selected_node() {
    let mut screen = Screen::full(80, 24);
    screen.press("<BackTab>g");
    // All, cpu1, host, host-1, orders, orders-1, and its paths.
    screen.press("jjjjjl");
    screen.press("jjjjjjjj");
    assert_snapshot!("tree_open", screen.show());
    assert!(screen.app.ui.index.rows().len() < 11);
}

// spec: TUI-1
#[test]
fn the_processes_come_with_keys_states_and_roles() {
    let mut screen = Screen::full(80, 24);
    screen.press("3j");
    screen.serve();
    assert_snapshot!("processes", screen.show());
    screen.press("<Enter>");
    assert!(screen.show().contains("orders 1 of 10"), "{}", screen.show());
}

// spec: TUI-3
#[test]
fn help_is_about_the_focused_pane() {
    let mut screen = Screen::full(80, 30);
    screen.press("?");
    assert_snapshot!("help_table", screen.show());
    screen.press("<Esc>2?");
    assert_snapshot!("help_outages", screen.show());
}

// spec: TUI-3
#[test]
fn the_palette_finds_an_action_by_some_of_its_letters() {
    let mut screen = Screen::full(80, 24);
    screen.press(":sbq");
    assert_snapshot!("palette", screen.show());
    screen.press("<Enter>");
    assert_eq!(screen.app.ui.sort.column, crate::model::index::Column::Quality);
}

// spec: TUI-3
#[test]
fn without_colours_every_alarm_still_has_its_shape() {
    let mut screen = Screen::full(80, 24);
    screen.theme = Theme { color: false, ascii: true };
    let shown = screen.show();
    assert_snapshot!("no_color", shown);
    assert!(shown.is_ascii(), "an ASCII terminal gets ASCII only");
    let cells = screen.all_cells();
    assert!(cells.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}

#[test]
fn a_click_selects_sorts_and_changes_the_tab() {
    let mut screen = Screen::full(80, 24);
    screen.click(30, 6);
    assert_eq!(screen.app.ui.table.cursor, 2);
    let shown = screen.show();
    let heading = shown.lines().nth(3).unwrap();
    let x = heading.chars().position(|c| c == 'q').unwrap();
    screen.click(u16::try_from(x).unwrap(), 3);
    assert_eq!(screen.app.ui.sort.column, crate::model::index::Column::Quality);
    screen.click(18, 1);
    assert_eq!(screen.app.context(), crate::keymap::Context::Outages);
}

#[test]
fn the_caller_has_a_line_and_a_key_of_its_own() {
    let mut screen = Screen::with(80, 24, extra());
    let now = screen.now;
    screen.facts(world(now));
    screen.app.update(crate::message::Message::Status(Some("primary orders-1: press K to kill it".into())), now);
    screen.press("K");
    assert_snapshot!("extra", screen.show());
    screen.press("y");
    screen.serve();
    assert!(screen.show().contains("orders-1 (pid 4711) was killed"));
}

// spec: TUI-3
#[test]
fn read_only_offers_and_does_nothing_that_changes() {
    let mut screen = Screen::with(80, 24, Settings { read_only: true, ..Settings::default() });
    let now = screen.now;
    screen.facts(world(now));
    screen.select("orders.batch");
    assert!(!screen.show().contains("edit"), "{}", screen.show());
    screen.press("e");
    assert_snapshot!("read_only", screen.show());
    screen.press("re");
    assert!(screen.app.ui.dialogs.is_empty() && screen.app.ui.read_only, "the switch is locked");
}

// spec: TUI-3
#[test]
fn a_frozen_display_stays_as_it_was_while_the_world_goes_on() {
    let mut screen = Screen::full(80, 24);
    screen.press("p");
    let before = screen.show();
    let now = screen.now;
    screen.facts(super::world::lost(now));
    screen.press("p<Esc>");
    let after = screen.show();
    assert!(before.contains("FROZEN") && !before.contains("outage"), "{before}");
    assert!(after.contains("~ 10 old"), "{after}");
}

#[test]
fn names_and_texts_of_wide_characters_keep_the_columns_in_line() {
    let mut screen = Screen::full(80, 24);
    let now = screen.now;
    let d = descriptor("motto", Kind::Gauge, ValueType::Text);
    let wide = announce(30, "orders", "orders-1", false, &[("stadt", "東京都千代田区一丁目")], d);
    let text = Value::Text("顧客は王様です。\nところで\t😀👩‍👩‍👧 é".into());
    screen.facts(vec![Fact::Announced(wide.clone()), report(&wide, text, Alarm::Ok, now)]);
    screen.press("/motto<Enter>");
    let shown = screen.show();
    assert_snapshot!("wide_characters", shown);
    for line in shown.lines().filter(|line| line.contains('┃')) {
        assert_eq!(crate::view::text::width(line), 80, "{line}");
    }
}
