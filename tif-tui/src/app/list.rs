//! A cursor in a list, and the part of the list that fits the screen.

/// A cursor and a window that follows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) cursor: usize,
    /// The first line on the screen.
    pub(crate) top: usize,
}

impl List {
    /// Moves the cursor; [`List::settle`] keeps it within the list.
    pub(crate) fn step(&mut self, by: isize) {
        self.cursor = self.cursor.saturating_add_signed(by);
    }

    /// Keeps the cursor within `len` lines and the window of `height` lines around it.
    pub(crate) fn settle(&mut self, len: usize, height: usize) {
        self.cursor = self.cursor.min(len.saturating_sub(1));
        if height == 0 {
            // Not on the screen: when it comes back, it is as it was.
            return;
        }
        self.top = self.top.min(self.cursor).max((self.cursor + 1).saturating_sub(height)).min(len.saturating_sub(height));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_follows_the_cursor_and_never_leaves_the_list() {
        let mut list = List::default();
        for (by, len, height, expect) in [
            (5, 100, 10, (5, 0)),
            (10, 100, 10, (15, 6)),
            (-3, 100, 10, (12, 6)),
            (1_000, 100, 10, (99, 90)),
            (0, 20, 10, (19, 10)),
            (0, 20, 0, (19, 10)),
            (0, 20, 40, (19, 0)),
            (-100, 20, 5, (0, 0)),
            (1, 0, 5, (0, 0)),
        ] {
            list.step(by);
            list.settle(len, height);
            assert_eq!((list.cursor, list.top), expect);
        }
    }
}
