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

/// What the cursor of a list is on, so that it stays there when the list changes. At the top it stays at the top, to see what comes.
#[derive(Clone, Debug)]
pub(crate) struct Anchor<K> {
    at: usize,
    key: Option<K>,
}

impl<K> Default for Anchor<K> {
    fn default() -> Anchor<K> {
        Anchor { at: 0, key: None }
    }
}

impl<K: PartialEq> Anchor<K> {
    /// Keeps the cursor on what it was on among `keys`, unless it was moved since; then keeps it within the list and the window around it.
    pub(crate) fn settle(&mut self, list: &mut List, keys: impl Iterator<Item = K> + Clone, len: usize, height: usize) {
        let held = self.key.as_ref().filter(|_| list.cursor == self.at && self.at > 0);
        if let Some(at) = held.and_then(|key| keys.clone().position(|other| other == *key)) {
            // The window moves with the list, so that the line stays where the eye is.
            list.top = (list.top + at).saturating_sub(list.cursor);
            list.cursor = at;
        }
        list.settle(len, height);
        (self.at, self.key) = (list.cursor, keys.clone().nth(list.cursor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_stays_on_what_it_is_on_or_at_the_top() {
        let (mut list, mut anchor) = (List::default(), Anchor::default());
        let mut settle = |list: &mut List, keys: &[u32]| anchor.settle(list, keys.iter().copied(), keys.len(), 3);
        settle(&mut list, &[3, 2, 1]);
        settle(&mut list, &[4, 3, 2, 1]);
        assert_eq!(list.cursor, 0, "the latest is at the top");
        list.step(2);
        settle(&mut list, &[4, 3, 2, 1]);
        settle(&mut list, &[6, 5, 4, 3, 2, 1]);
        assert_eq!((list.cursor, list.top), (4, 2));
        settle(&mut list, &[6, 5]);
        assert_eq!(list.cursor, 1, "what it was on is gone");
        settle(&mut list, &[]);
        assert_eq!(list.cursor, 0);
    }

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
