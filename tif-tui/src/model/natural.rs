//! Labels in the order a person expects: `shard=2` before `shard=10`.

use std::cmp::Ordering;

/// A label that compares runs of digits as numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Natural(pub(crate) Box<str>);

impl Ord for Natural {
    fn cmp(&self, other: &Natural) -> Ordering {
        compare(&self.0, &other.0).then_with(|| self.0.cmp(&other.0))
    }
}

impl PartialOrd for Natural {
    fn partial_cmp(&self, other: &Natural) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Byte by byte, except that where both have digits the longer number is the greater one.
pub(crate) fn compare(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.as_bytes(), b.as_bytes());
    loop {
        match (a.first(), b.first()) {
            (None, None) => return Ordering::Equal,
            (None, _) => return Ordering::Less,
            (_, None) => return Ordering::Greater,
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let (x, rest_a) = digits(a);
                let (y, rest_b) = digits(b);
                match x.len().cmp(&y.len()).then_with(|| x.cmp(y)) {
                    Ordering::Equal => (a, b) = (rest_a, rest_b),
                    unequal => return unequal,
                }
            }
            (Some(x), Some(y)) => match x.cmp(y) {
                Ordering::Equal => (a, b) = (&a[1..], &b[1..]),
                unequal => return unequal,
            },
        }
    }
}

/// The leading digits without leading zeros, and what follows them.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    let start = text[..end].iter().position(|b| *b != b'0').unwrap_or(end);
    (&text[start..end], &text[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_within_labels_compare_as_numbers() {
        let mut labels = ["shard=10", "shard=2", "shard=02x", "depth", "shard", "orders-12", "orders-3"];
        labels.sort_by(|a, b| compare(a, b));
        assert_eq!(labels, ["depth", "orders-3", "orders-12", "shard", "shard=2", "shard=02x", "shard=10"]);
    }
}
