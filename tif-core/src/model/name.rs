//! Names, dimensions, addresses and patterns.
//!
//! `orders.queue.depth{shard=3}@orders-1#3.17` is an [`Address`]: a [`Name`], [`Dimensions`], and where.
// spec: INS-5

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::id::Incarnation;
use crate::limits;

/// What is wrong with a name, dimension, address or pattern. Nothing was changed by parsing it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a name cannot be empty")]
    Empty,
    /// Longer than [`limits`] allows.
    #[error("{what} is {got} bytes long; at most {max} are allowed")]
    TooLong {
        /// Which part.
        what: &'static str,
        /// Its length.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// A segment that is not `[a-z_][a-z0-9_-]*`.
    #[error("`{segment}` is not a name segment: write a lower-case letter or `_`, then lower-case letters, digits, `_` or `-`")]
    Segment {
        /// The offending one.
        segment: String,
    },
    /// More segments or dimensions than allowed.
    #[error("{got} {what}; at most {max} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        got: usize,
        /// The limit.
        max: usize,
    },
    /// A dimension that is not `key=value`.
    #[error("`{part}` is not a dimension: write key=value inside braces, as {{shard=3}}")]
    Dimension {
        /// The offending part.
        part: String,
    },
    /// A brace without its partner, or text after the closing one.
    #[error("`{text}` has a brace out of place: write name{{key=value}}")]
    Brace {
        /// The whole text.
        text: String,
    },
    /// What stands after `#` is not an incarnation.
    #[error("`{text}` is not an incarnation: write it as `ps` shows it, for example 3.17")]
    Incarnation {
        /// The offending part.
        text: String,
    },
}

fn is_segment(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_lowercase() || b == b'_')
        && bytes.all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-')
}

/// A dotted name of lower-case segments: of an instrument (`orders.queue.depth`), a service (`orders`) or a process (`orders-1`).
///
/// A copy shares the text: names go along with nearly everything that an agent does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Name(Arc<str>);

impl Name {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The parts between the dots.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.0.split('.')
    }

    /// `self.rest`.
    ///
    /// # Errors
    /// If the result would be too long or too deep.
    pub fn join(&self, rest: &Name) -> Result<Name, NameError> {
        Name::from_str(&format!("{}.{}", self.0, rest.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Name, NameError> {
        if text.is_empty() {
            return Err(NameError::Empty);
        }
        if text.len() > limits::NAME_LEN_MAX {
            return Err(NameError::TooLong { what: "the name", got: text.len(), max: limits::NAME_LEN_MAX });
        }
        let mut count = 0;
        for segment in text.split('.') {
            count += 1;
            if !is_segment(segment) {
                return Err(NameError::Segment { segment: segment.to_owned() });
            }
        }
        if count > limits::NAME_SEGMENTS_MAX {
            return Err(NameError::TooMany { what: "name segments", got: count, max: limits::NAME_SEGMENTS_MAX });
        }
        Ok(Name(text.into()))
    }
}

impl TryFrom<String> for Name {
    type Error = NameError;
    fn try_from(text: String) -> Result<Name, NameError> {
        text.parse()
    }
}

impl From<Name> for String {
    fn from(name: Name) -> String {
        name.as_str().to_owned()
    }
}

/// The dimensions of an instrument, sorted by key: `{shard=3,tier=gold}`. Empty for most.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Dimensions(Vec<(String, String)>);

impl Dimensions {
    /// None.
    pub const NONE: Dimensions = Dimensions(Vec::new());

    /// From pairs, in any order.
    ///
    /// # Errors
    /// If a key is not a name segment, is given twice, a value is empty or has a character of `{}=,@#*"` or a control character, or there are too many.
    pub fn new<K: Into<String>, V: Into<String>>(pairs: impl IntoIterator<Item = (K, V)>) -> Result<Dimensions, NameError> {
        let mut all: Vec<(String, String)> = pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect();
        all.sort();
        if all.len() > limits::DIMENSIONS_MAX {
            return Err(NameError::TooMany { what: "dimensions", got: all.len(), max: limits::DIMENSIONS_MAX });
        }
        for (i, (key, value)) in all.iter().enumerate() {
            let bad_value = value.is_empty() || value.chars().any(|c| "{}=,@#*\"".contains(c) || c.is_control() || c.is_whitespace());
            if !is_segment(key) || bad_value || (i > 0 && all[i - 1].0 == *key) {
                return Err(NameError::Dimension { part: format!("{key}={value}") });
            }
        }
        let dims = Dimensions(all);
        let len = dims.inner_text().len();
        if len > limits::DIMENSIONS_LEN_MAX {
            return Err(NameError::TooLong { what: "the dimensions", got: len, max: limits::DIMENSIONS_LEN_MAX });
        }
        Ok(dims)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Key and value of each, sorted by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(k, v)| (k.as_str(), v.as_str()))
    }

    /// The value of one.
    pub fn value(&self, key: &str) -> Option<&str> {
        self.iter().find(|(k, _)| *k == key).map(|(_, v)| v)
    }

    /// Without the braces: `shard=3,tier=gold`. What stands in a segment.
    pub fn inner_text(&self) -> String {
        self.0.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(",")
    }

    /// The reverse of [`Dimensions::inner_text`].
    ///
    /// # Errors
    /// As [`Dimensions::new`].
    pub fn from_inner_text(text: &str) -> Result<Dimensions, NameError> {
        if text.is_empty() {
            return Ok(Dimensions::NONE);
        }
        let mut pairs = Vec::new();
        for part in text.split(',') {
            let (k, v) = part.split_once('=').ok_or_else(|| NameError::Dimension { part: part.to_owned() })?;
            pairs.push((k, v));
        }
        Dimensions::new(pairs)
    }
}

impl fmt::Display for Dimensions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() { Ok(()) } else { write!(f, "{{{}}}", self.inner_text()) }
    }
}

impl TryFrom<String> for Dimensions {
    type Error = NameError;
    fn try_from(text: String) -> Result<Dimensions, NameError> {
        Dimensions::from_inner_text(&text)
    }
}

impl From<Dimensions> for String {
    fn from(dims: Dimensions) -> String {
        dims.inner_text()
    }
}

/// Splits `name{dims}@place#incarnation` into its parts, unparsed.
struct Parts<'a> {
    name: &'a str,
    dims: &'a str,
    at: Option<&'a str>,
    incarnation: Option<Incarnation>,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Result<Parts<'a>, NameError> {
        let longest = limits::NAME_LEN_MAX + limits::DIMENSIONS_LEN_MAX + limits::PROCESS_NAME_LEN_MAX + 32;
        if text.len() > longest {
            return Err(NameError::TooLong { what: "the address", got: text.len(), max: longest });
        }
        let (front, place) = match text.split_once('@') {
            Some((front, place)) => (front, Some(place)),
            None => (text, None),
        };
        let (name, dims) = match front.split_once('{') {
            None if front.contains('}') => return Err(NameError::Brace { text: text.to_owned() }),
            None => (front, ""),
            Some((name, rest)) => match rest.strip_suffix('}') {
                Some(dims) if !dims.contains(['{', '}']) => (name, dims),
                _ => return Err(NameError::Brace { text: text.to_owned() }),
            },
        };
        let (at, incarnation) = match place {
            None => (None, None),
            Some(place) => match place.split_once('#') {
                None => (Some(place), None),
                Some((at, inc)) => {
                    let inc = inc.parse().map_err(|_| NameError::Incarnation { text: inc.to_owned() })?;
                    (Some(at), Some(inc))
                }
            },
        };
        Ok(Parts { name, dims, at, incarnation })
    }

    fn place(at: Option<&str>) -> Result<Option<Name>, NameError> {
        match at {
            None => Ok(None),
            Some(at) if at.len() > limits::PROCESS_NAME_LEN_MAX => {
                Err(NameError::TooLong { what: "the process or CPU name", got: at.len(), max: limits::PROCESS_NAME_LEN_MAX })
            }
            Some(at) => Ok(Some(at.parse()?)),
        }
    }
}

/// One instrument: `orders.queue.depth{shard=3}@orders-1`.
///
/// Without a place it means the instrument wherever its service's primary is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// Service and path.
    pub name: Name,
    /// Dimensions; exactly those.
    pub dims: Dimensions,
    /// A CPU's or a process's name.
    pub at: Option<Name>,
    /// Which life of the process, for the last values of a dead one.
    pub incarnation: Option<Incarnation>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.name, self.dims)?;
        if let Some(at) = &self.at {
            write!(f, "@{at}")?;
        }
        if let Some(inc) = &self.incarnation {
            write!(f, "#{inc}")?;
        }
        Ok(())
    }
}

impl FromStr for Address {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Address, NameError> {
        let parts = Parts::split(text)?;
        Ok(Address {
            name: parts.name.parse()?,
            dims: Dimensions::from_inner_text(parts.dims)?,
            at: Parts::place(parts.at)?,
            incarnation: parts.incarnation,
        })
    }
}

impl TryFrom<String> for Address {
    type Error = NameError;
    fn try_from(text: String) -> Result<Address, NameError> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> String {
        address.to_string()
    }
}

/// Which instruments: `orders.**`, `*.queue.depth{shard=3}`, `**@orders-1`.
///
/// `*` stands for any characters within one segment, `**` for any number of whole segments (also none). Dimensions in the pattern must be
/// there with a matching value (`*` allowed); others do not matter.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern {
    segments: Vec<String>,
    dims: Vec<(String, String)>,
    at: Option<Name>,
    incarnation: Option<Incarnation>,
}

impl Pattern {
    /// Everything.
    pub fn all() -> Pattern {
        Pattern { segments: vec!["**".to_owned()], dims: Vec::new(), at: None, incarnation: None }
    }

    /// The CPU or process named after `@`.
    pub fn at(&self) -> Option<&Name> {
        self.at.as_ref()
    }

    /// The incarnation named after `#`.
    pub fn incarnation(&self) -> Option<Incarnation> {
        self.incarnation
    }

    /// Whether it names exactly one instrument of a service, so that not finding it deserves a hint.
    pub fn is_literal(&self) -> bool {
        !self.segments.iter().any(|s| s.contains('*')) && !self.dims.iter().any(|(_, v)| v.contains('*'))
    }

    /// Its name, if no star is in it.
    pub fn literal_name(&self) -> Option<String> {
        (!self.segments.iter().any(|s| s.contains('*'))).then(|| self.name_text())
    }

    /// Whether it can fit anything below this name: `orders.**` below `orders`.
    pub fn may_fit_below(&self, name: &Name) -> bool {
        for (i, segment) in name.segments().enumerate() {
            match self.segments.get(i) {
                Some(pattern) if pattern == "**" => return true,
                Some(pattern) if glob_match(pattern.as_bytes(), segment.as_bytes()) => {}
                _ => return false,
            }
        }
        true
    }

    /// The part before the braces, as text.
    pub fn name_text(&self) -> String {
        self.segments.join(".")
    }

    /// Whether name and dimensions fit. The place is for the caller to compare, who knows the CPU and the process.
    pub fn matches(&self, name: &Name, dims: &Dimensions) -> bool {
        let names: Vec<&str> = name.segments().collect();
        segments_match(&self.segments, &names)
            && self.dims.iter().all(|(key, glob)| dims.value(key).is_some_and(|v| glob_match(glob.as_bytes(), v.as_bytes())))
    }
}

fn segments_match(pattern: &[String], names: &[&str]) -> bool {
    // `**` backtracks to the last one only, as in glob matching of characters: linear in practice, quadratic at worst.
    let (mut p, mut n) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while n < names.len() {
        if p < pattern.len() && pattern[p] == "**" {
            retry = Some((p, n));
            p += 1;
        } else if p < pattern.len() && glob_match(pattern[p].as_bytes(), names[n].as_bytes()) {
            p += 1;
            n += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            p = star + 1;
            n = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|s| s == "**")
}

fn glob_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        if p < pattern.len() && pattern[p] == b'*' {
            retry = Some((p, t));
            p += 1;
        } else if p < pattern.len() && pattern[p] == text[t] {
            p += 1;
            t += 1;
        } else if let Some((star, from)) = retry {
            retry = Some((star, from + 1));
            p = star + 1;
            t = from + 1;
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|b| *b == b'*')
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.segments.join("."))?;
        if !self.dims.is_empty() {
            let dims: Vec<String> = self.dims.iter().map(|(k, v)| format!("{k}={v}")).collect();
            write!(f, "{{{}}}", dims.join(","))?;
        }
        if let Some(at) = &self.at {
            write!(f, "@{at}")?;
        }
        if let Some(inc) = &self.incarnation {
            write!(f, "#{inc}")?;
        }
        Ok(())
    }
}

impl FromStr for Pattern {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Pattern, NameError> {
        let parts = Parts::split(text)?;
        if parts.name.is_empty() {
            return Err(NameError::Empty);
        }
        let segments: Vec<String> = parts.name.split('.').map(str::to_owned).collect();
        if segments.len() > limits::NAME_SEGMENTS_MAX {
            return Err(NameError::TooMany { what: "name segments", got: segments.len(), max: limits::NAME_SEGMENTS_MAX });
        }
        for segment in &segments {
            let plain = segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_-*".contains(&b));
            if segment.is_empty() || !plain || (segment.contains("**") && segment != "**") {
                return Err(NameError::Segment { segment: segment.clone() });
            }
        }
        let mut dims = Vec::new();
        if !parts.dims.is_empty() {
            for part in parts.dims.split(',') {
                match part.split_once('=') {
                    Some((k, v)) if is_segment(k) && !v.is_empty() => dims.push((k.to_owned(), v.to_owned())),
                    _ => return Err(NameError::Dimension { part: part.to_owned() }),
                }
            }
        }
        if dims.len() > limits::DIMENSIONS_MAX {
            return Err(NameError::TooMany { what: "dimensions", got: dims.len(), max: limits::DIMENSIONS_MAX });
        }
        Ok(Pattern { segments, dims, at: Parts::place(parts.at)?, incarnation: parts.incarnation })
    }
}

impl TryFrom<String> for Pattern {
    type Error = NameError;
    fn try_from(text: String) -> Result<Pattern, NameError> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> String {
        pattern.to_string()
    }
}

/// Of `candidates`, the at most `count` nearest to `wanted`, nearest first: for "did you mean".
pub fn nearest<'a>(wanted: &str, candidates: impl Iterator<Item = &'a str>, count: usize) -> Vec<String> {
    let wanted = &wanted[..wanted.floor_char_boundary(64)];
    let bound = (wanted.len() / 2).max(3);
    let mut compared = 0;
    let mut scored: Vec<(usize, &str)> = candidates
        .filter(|c| c.contains(wanted) || c.len().abs_diff(wanted.len()) <= bound)
        .take_while(|_| {
            // Beyond so many names a hint is not worth its price.
            compared += 1;
            compared <= 2_048
        })
        .filter_map(|c| {
            // A name that contains the wanted one, or shares its last segment, is near whatever its length.
            let last = |s: &str| s.rsplit('.').next().map(str::to_owned);
            let related = c.contains(wanted) || (last(c) == last(wanted));
            let distance = edit_distance(wanted.as_bytes(), &c.as_bytes()[..c.len().min(96)]);
            if related { Some((distance.min(bound), c)) } else { (distance <= bound).then_some((distance, c)) }
        })
        .collect();
    scored.sort();
    scored.dedup();
    scored.into_iter().take(count).map(|(_, c)| c.to_owned()).collect()
}

fn edit_distance(a: &[u8], b: &[u8]) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(pattern: &str, address: &str) -> bool {
        let address: Address = address.parse().unwrap();
        pattern.parse::<Pattern>().unwrap().matches(&address.name, &address.dims)
    }

    // spec: INS-5
    #[test]
    fn a_star_stays_within_its_segment_and_two_stars_cross() {
        for (pattern, address, expect) in [
            ("orders.queue.depth", "orders.queue.depth", true),
            ("orders.*.depth", "orders.queue.depth", true),
            ("orders.*", "orders.queue.depth", false),
            ("orders.**", "orders.queue.depth", true),
            ("orders.**", "orders", true),
            ("**.depth", "orders.queue.depth", true),
            ("**", "orders.queue.depth", true),
            ("**.q*.**", "orders.queue.depth", true),
            ("o*s.q*e.d*", "orders.queue.depth", true),
            ("orders.queue", "orders.queue.depth", false),
            ("orders.depth{shard=3}", "orders.depth{shard=3,tier=a}", true),
            ("orders.depth{shard=*}", "orders.depth{shard=3}", true),
            ("orders.depth{shard=*}", "orders.depth", false),
            ("orders.depth", "orders.depth{shard=3}", true),
        ] {
            assert_eq!(fits(pattern, address), expect, "{pattern} against {address}");
        }
    }

    // spec: INS-5
    #[test]
    fn an_address_may_add_the_place_and_the_incarnation() {
        let text = "orders.depth{shard=3}@orders-1#3.17";
        let address: Address = text.parse().unwrap();
        assert_eq!(address.at.as_ref().unwrap().as_str(), "orders-1");
        assert_eq!(address.incarnation, Some(Incarnation::new(3, 17)));
        assert_eq!(address.to_string(), text);
        let pattern: Pattern = "orders.**@cpu1".parse().unwrap();
        assert_eq!(pattern.to_string(), "orders.**@cpu1");
    }

    #[test]
    fn what_is_not_a_name_is_refused_with_the_offending_part() {
        for bad in ["", "Orders", "orders..depth", "orders.3x", "a{b}", "a{b=}", "a{b=1", "a}b", "a@B", "a@b#x", "a{b=1}c"] {
            assert!(bad.parse::<Address>().is_err(), "{bad:?} must be refused");
        }
        let error = "orders.Queue".parse::<Address>().unwrap_err().to_string();
        assert!(error.contains("`Queue`"), "{error}");
        assert!("a.***".parse::<Pattern>().is_err());
        assert!("x".repeat(10_000).parse::<Pattern>().is_err());
    }

    #[test]
    fn the_nearest_names_come_first() {
        let names = ["orders.queue.depth", "orders.queue.delay", "host.cpu.busy"];
        assert_eq!(nearest("orders.queue.dept", names.into_iter(), 1), ["orders.queue.depth"]);
        assert_eq!(nearest("queue.depth", names.into_iter(), 3)[0], "orders.queue.depth");
    }
}
