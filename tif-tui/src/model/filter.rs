//! The filter of the table: a part of the address, with `*` for anything.

/// What an address must contain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    parts: Vec<String>,
}

impl Filter {
    /// From what was typed. Upper and lower case are the same.
    pub(crate) fn new(text: &str) -> Filter {
        Filter { parts: text.trim().to_lowercase().split('*').filter(|part| !part.is_empty()).map(str::to_owned).collect() }
    }

    /// Whether everything passes.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Whether `address` has all parts, in their order. Addresses are lower case but for dimensions.
    pub(crate) fn passes(&self, address: &str) -> bool {
        let lower;
        let mut rest = if address.bytes().any(|b| b.is_ascii_uppercase()) {
            lower = address.to_lowercase();
            lower.as_str()
        } else {
            address
        };
        for part in &self.parts {
            match rest.find(part.as_str()) {
                Some(at) => rest = &rest[at + part.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: TUI-3
    #[test]
    fn a_filter_is_a_part_of_the_address_and_a_star_is_anything() {
        for (filter, address, expect) in [
            ("", "orders.depth", true),
            ("dep", "orders.depth", true),
            ("DEP", "orders.depth", true),
            ("queue*3", "orders.queue{shard=3}", true),
            ("3*queue", "orders.queue{shard=3}", false),
            ("*", "anything", true),
            ("gold", "orders.depth{tier=Gold}", true),
            ("delay", "orders.depth", false),
        ] {
            assert_eq!(Filter::new(filter).passes(address), expect, "{filter} against {address}");
        }
    }
}
