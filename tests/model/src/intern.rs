//! Messages as numbers, so that a network is a short list: the same content has the same number throughout a run.

use std::collections::HashMap;
use std::hash::Hash;

pub(crate) struct Interned<T> {
    numbers: HashMap<T, u16>,
    all: Vec<T>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned { numbers: HashMap::new(), all: Vec::new() }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    pub(crate) fn number(&mut self, content: T) -> u16 {
        if let Some(number) = self.numbers.get(&content) {
            return *number;
        }
        let number = u16::try_from(self.all.len()).expect("a bounded world has fewer messages");
        self.all.push(content.clone());
        self.numbers.insert(content, number);
        number
    }

    pub(crate) fn get(&self, number: u16) -> &T {
        &self.all[usize::from(number)]
    }

    pub(crate) fn content(&self, number: u16) -> T {
        self.get(number).clone()
    }
}

/// Adds to a sorted list that has each number once.
pub(crate) fn insert(list: &mut Vec<u16>, number: u16) {
    if let Err(at) = list.binary_search(&number) {
        list.insert(at, number);
    }
}
