//! Where a listing goes on that did not fit one answer.
//!
//! | mark | goes on |
//! |---|---|
//! | `RECORD@SOURCE` | behind this row |
//! | `RECORD` | behind all rows of this record |
//! | `@RECORD` | with the first row of this record |
//! | `NODE MARK` | behind this row of that CPU, in a listing of several CPUs, which is ordered by record and CPU |
// spec: INS-9, SEC-2

use std::fmt;

use crate::model::{Address, Name, NodeId};

/// Where the listing of one CPU goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    Row(String, Name),
    Record(String),
    Before(String),
}

impl After {
    pub fn parse(text: &str) -> Option<After> {
        let (record, before) = text.strip_prefix('@').map_or((text, false), |record| (record, true));
        let address: Address = record.parse().ok()?;
        let record = format!("{}{}", address.name, address.dims);
        match (address.at, before) {
            (Some(source), false) => Some(After::Row(record, source)),
            (None, false) => Some(After::Record(record)),
            (None, true) => Some(After::Before(record)),
            (Some(_), true) => None,
        }
    }

    pub fn record(&self) -> &str {
        match self {
            After::Row(record, _) | After::Record(record) | After::Before(record) => record,
        }
    }

    /// Whether a row, of which the record does not come before this one's, is still to be shown.
    pub fn is_before(&self, record: &str, source: &Name) -> bool {
        match self {
            After::Row(of, last) => (record, source) > (of.as_str(), last),
            After::Record(of) => record > of.as_str(),
            After::Before(of) => record >= of.as_str(),
        }
    }
}

impl fmt::Display for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            After::Row(record, source) => write!(f, "{record}@{source}"),
            After::Record(record) => f.write_str(record),
            After::Before(record) => write!(f, "@{record}"),
        }
    }
}

/// Where the listing of several CPUs goes on: the place of a row in it, and the order of its rows.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct AfterOf {
    pub record: String,
    pub node: NodeId,
    pub source: Name,
}

impl AfterOf {
    pub fn parse(text: &str) -> Option<AfterOf> {
        let (node, row) = text.split_once(' ')?;
        match After::parse(row)? {
            After::Row(record, source) => Some(AfterOf { node: NodeId(node.parse().ok()?), record, source }),
            _ => None,
        }
    }

    /// What that means for one of them.
    pub fn on(&self, node: NodeId) -> After {
        let record = self.record.clone();
        match node.cmp(&self.node) {
            std::cmp::Ordering::Less => After::Record(record),
            std::cmp::Ordering::Equal => After::Row(record, self.source.clone()),
            std::cmp::Ordering::Greater => After::Before(record),
        }
    }
}

impl fmt::Display for AfterOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}@{}", self.node, self.record, self.source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_gone_on_with_where_it_ended() {
        for text in ["orders.depth{shard=3}@orders", "orders.depth{shard=3}", "@orders.depth{shard=3}"] {
            let after = After::parse(text).unwrap();
            assert_eq!((after.to_string().as_str(), after.record()), (text, "orders.depth{shard=3}"));
        }
        for text in ["nonsense text", "@orders.depth@orders", "", "@", "2 orders.depth@orders"] {
            assert_eq!(After::parse(text), None, "{text}");
        }
        let after = AfterOf::parse("2 orders.depth@orders").unwrap();
        assert_eq!(after.to_string(), "2 orders.depth@orders");
        for text in ["orders.depth@orders", "2 orders.depth", "x orders.depth@orders", "-1 orders.depth@orders"] {
            assert_eq!(AfterOf::parse(text), None, "{text}");
        }
    }

    #[test]
    fn in_a_listing_of_several_cpus_each_goes_on_behind_what_was_shown() {
        let after = AfterOf::parse("2 b@s").unwrap();
        let s: Name = "s".parse().unwrap();
        let shows = |node, record| after.on(NodeId(node)).is_before(record, &s);
        assert_eq!([1, 2, 3].map(|node| shows(node, "b")), [false, false, true]);
        assert_eq!([1, 2, 3].map(|node| shows(node, "c")), [true; 3]);
        assert!(after.on(NodeId(2)).is_before("b", &"t".parse().unwrap()));
    }
}
