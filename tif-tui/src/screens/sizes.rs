//! A terminal that changes its size in the middle of things.

use super::world::Screen;
use crate::keymap::Context;

/// An instrument, and what is opened on it.
const OPEN: &[(&str, &str)] = &[
    ("orders.latency", ""),
    ("orders.latency", "lz"),
    ("orders.batch", "e"),
    ("orders.batch", "e128<Enter>"),
    ("orders.batch", "y"),
    ("orders.flush", "f"),
    ("orders.before_commit", "a"),
    ("orders.queue.depth", ":"),
    ("orders.queue.depth", "/x"),
    ("orders.queue.depth", "?"),
    ("orders.queue.depth", "2"),
    ("orders.queue.depth", "3"),
    ("orders.queue.depth", "4"),
];

const SIZES: &[(u16, u16)] = &[(300, 80), (80, 24), (20, 5), (120, 40), (60, 16), (1, 1), (3, 100), (80, 24)];

// spec: TUI-3
#[test]
fn whatever_is_open_a_size_that_changes_faster_than_it_is_told_does_no_harm() {
    for (address, keys) in OPEN {
        let mut screen = Screen::full(120, 40);
        screen.select(address);
        screen.press(keys);
        let right = screen.show();
        for (width, height) in SIZES {
            screen.stretch(*width, *height);
            screen.show();
            screen.told(*width, *height);
            screen.show();
        }
        screen.stretch(120, 40);
        screen.told(120, 40);
        assert_eq!(screen.show(), right, "after {keys:?} on {address}");
    }
}

#[test]
fn on_a_screen_that_is_too_small_nothing_is_done_unseen_and_q_quits() {
    let mut screen = Screen::full(80, 24);
    screen.select("orders.batch");
    screen.press("e128<Enter>");
    assert_eq!(screen.app.context(), Context::Confirm);
    screen.stretch(20, 5);
    screen.told(20, 5);
    assert_eq!(screen.show(), "Too small: 60x16\nneeded. q quits.\n\n\n");
    screen.press("y<Enter>");
    screen.click(1, 4);
    assert_eq!(screen.app.context(), Context::Confirm, "what is not seen is not confirmed");
    assert!(!screen.app.quit);
    screen.press("q");
    assert!(screen.app.quit);
}
