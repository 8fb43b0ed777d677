//! What is typed: into a field that is filled in already, and into the filter.

use insta::assert_snapshot;

use super::world::Screen;
use crate::app::Dialog;
use crate::message::Message;

fn field(screen: &Screen) -> &str {
    let Some(Dialog::Form(form)) = screen.app.ui.dialogs.last() else { panic!("no form is open") };
    form.fields[form.cursor].input.value()
}

fn selected(screen: &Screen) -> &str {
    screen.app.selected_row().map_or("", |row| &row.address)
}

// spec: TUI-2
#[test]
fn the_first_character_typed_takes_the_place_of_what_the_screen_filled_in() {
    for (keys, expect) in [
        ("5", "5"),
        ("55", "55"),
        ("<End>5", "645"),
        ("<Right>5", "645"),
        ("<Home>5", "564"),
        ("<Left>5", "654"),
        ("<Back>", ""),
        ("5<Back>", ""),
        ("<Tab>5", "5"),
    ] {
        let mut screen = Screen::full(80, 24);
        screen.select("orders.batch");
        screen.press("e");
        screen.press(keys);
        assert_eq!(field(&screen), expect, "after {keys}");
    }
}

// spec: TUI-2
#[test]
fn what_is_filled_in_is_shown_as_selected() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e");
    let is_reversed = |screen: &mut Screen| {
        let cells = screen.cells("> value: 64");
        cells.iter().any(|cell| cell.symbol() == "6" && cell.modifier.contains(ratatui::style::Modifier::REVERSED))
    };
    assert!(is_reversed(&mut screen));
    assert_snapshot!("prefilled", screen.show());
    screen.press("<End>");
    assert!(!is_reversed(&mut screen));
}

// spec: TUI-2
#[test]
fn pasted_text_takes_its_place_too_and_its_line_ends_confirm_nothing() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e");
    let now = screen.now;
    screen.app.update(Message::Paste("12\r\n8\n".into()), now);
    assert_eq!(field(&screen), "128");
}

// spec: TUI-3
#[test]
fn through_the_filter_the_cursor_stays_on_its_instrument_or_goes_to_the_first() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.queue.depth");
    screen.press("/que");
    assert_eq!(selected(&screen), "orders.queue.depth");
    screen.press("<Back><Back><Back>a");
    assert_eq!((selected(&screen), screen.app.ui.table.cursor), (selected(&screen), 0), "the first that fits");
    assert_ne!(selected(&screen), "orders.queue.depth");
    screen.press("<Back>");
    assert_eq!(selected(&screen), "orders.queue.depth", "it fits again");
    screen.press("latency<Esc>");
    assert_eq!(selected(&screen), "orders.queue.depth", "given up, the filter leaves things as they were");
    screen.press("/latency<Enter>");
    assert_eq!(selected(&screen), "orders.latency");
    screen.press("<Esc>");
    assert_eq!(selected(&screen), "orders.latency", "without the filter it is still the one");
    screen.select("orders.queue.shard{shard=10}");
    screen.press("/e<Enter>");
    assert_eq!(selected(&screen), "orders.queue.shard{shard=10}");
}

// spec: TUI-3
#[test]
fn a_long_text_is_scrolled_by_pages_and_wheel_and_its_lines_are_not_cut() {
    let mut screen = Screen::full(80, 24);
    screen.press("?");
    let top = screen.show();
    assert!(top.contains("(more below)"), "{top}");
    screen.press("<End>");
    let end = screen.show();
    assert!(!end.contains("(more below)") && end.contains("Home or End comes first"), "{end}");
    screen.press("<Home>");
    assert_eq!(screen.show(), top);
    screen.press("<PgDn>");
    assert_ne!(screen.show(), top);
    screen.press("<PgUp>");
    assert_eq!(screen.show(), top);
    screen.wheel_down(40, 10);
    assert_ne!(screen.show(), top);
    screen.press("<Esc>");
    for tab in ["1", "2", "3", "4"] {
        screen.press(tab);
        screen.press("?");
        assert!(!screen.show().contains('…'), "{}", screen.show());
        screen.press("<Esc>");
    }
}

#[test]
fn a_command_line_is_shown_whole_however_long_it_is() {
    let run_dir = format!("/run/{}", "directory/".repeat(12));
    let writer = crate::command_line::Writer { run_dir: Some(run_dir.into()) };
    let mut screen = Screen::with(80, 24, crate::app::Settings { writer, ..Default::default() });
    let now = screen.now;
    screen.facts(super::world::world(now));
    screen.select("orders.batch");
    screen.press("y");
    let shown = screen.show();
    let whole: String = shown.lines().filter_map(|line| line.split('┃').nth(1)).map(str::trim_end).collect();
    assert_eq!(whole.matches(&"directory/".repeat(12)).count(), 3, "{shown}");
}
