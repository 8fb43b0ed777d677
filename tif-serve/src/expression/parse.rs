//! The grammar.

use std::fmt;
use std::ops::Range;

use tif_core::model::control::Comparison;
use tif_core::model::{Address, Pattern};

use super::token::{Placed, Token, cut};

/// How deep `!` and parentheses may be nested: what the machine's stack can be trusted with.
const DEPTH_MAX: usize = 64;

/// So many characters before and after a mistake are shown.
const AROUND: usize = 60;

/// A condition that was read without errors.
#[derive(Clone, Debug, PartialEq)]
pub struct Expression {
    pub(super) text: String,
    pub(super) root: Node,
    instruments: Vec<Instrument>,
}

/// An instrument that a condition names.
#[derive(Clone, Debug, PartialEq)]
pub struct Instrument {
    /// As it was written.
    pub text: String,
    /// What to subscribe to.
    pub pattern: Pattern,
    /// The same, as an address.
    pub address: Address,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    /// An instrument (by its place in the list) alone or compared with a literal. `at`: where it stands, for errors of type.
    Is {
        instrument: usize,
        compared: Option<Compared>,
        at: Range<usize>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Compared {
    pub(super) comparison: Comparison,
    pub(super) literal: String,
    pub(super) quoted: bool,
    pub(super) at: Range<usize>,
}

/// Why a text is no condition. Displays as the text with a caret under the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    text: String,
    at: Range<usize>,
    /// What is wrong there or would be right.
    pub wanted: String,
}

impl ParseError {
    pub(super) fn new(text: &str, at: Range<usize>, wanted: impl Into<String>) -> ParseError {
        ParseError { text: text.to_owned(), at, wanted: wanted.into() }
    }

    /// The place in the text, in bytes.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // On one line, so that the caret is under its place; of a long text what is around it.
        let of = |range: Range<usize>| self.text.get(range).unwrap_or_default().chars();
        let start: Vec<char> = of(0..self.at.start).collect();
        let cut = start.len().saturating_sub(AROUND);
        let (lead, tail) = (if cut > 0 { "…" } else { "" }, if of(self.at.start..self.text.len()).count() > AROUND { "…" } else { "" });
        let kept = start[cut..].iter().copied().chain(of(self.at.start..self.text.len()).take(AROUND));
        let shown: String = kept.map(|c| if c.is_control() { ' ' } else { c }).collect();
        let shown = format!("{lead}{shown}{tail}");
        let before = start.len() - cut + lead.chars().count();
        let marked = of(self.at.clone()).count().clamp(1, AROUND);
        write!(f, "{}\n  {shown}\n  {:before$}{}", self.wanted, "", "^".repeat(marked))
    }
}

impl std::error::Error for ParseError {}

impl Expression {
    /// Reads a condition.
    ///
    /// # Errors
    /// With the place of the first mistake.
    pub fn parse(text: &str) -> Result<Expression, ParseError> {
        let mut parser = Parser { text, tokens: cut(text)?, next: 0, depth: 0, instruments: Vec::new() };
        if parser.tokens.is_empty() {
            return Err(parser.wrong("write a condition, as demo.files > 100"));
        }
        let root = parser.either()?;
        match parser.peek() {
            None => Ok(Expression { text: text.to_owned(), root, instruments: parser.instruments }),
            Some(Token::Close) => Err(parser.wrong("this parenthesis was never opened")),
            Some(Token::Compare(_)) => Err(parser.wrong("one comparison at a time: join several with &&")),
            Some(_) => Err(parser.wrong("write && or || before this")),
        }
    }

    /// The instruments it names, each once.
    pub fn instruments(&self) -> &[Instrument] {
        &self.instruments
    }

    /// As it was written.
    pub fn text(&self) -> &str {
        &self.text
    }
}

struct Parser<'a> {
    text: &'a str,
    tokens: Vec<Placed>,
    next: usize,
    depth: usize,
    instruments: Vec<Instrument>,
}

impl Parser<'_> {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|t| &t.token)
    }

    fn take(&mut self, wanted: &Token) -> bool {
        let there = self.peek() == Some(wanted);
        self.next += usize::from(there);
        there
    }

    /// Where the next token stands, or the end.
    fn here(&self) -> Range<usize> {
        self.tokens.get(self.next).map_or(self.text.len()..self.text.len(), |t| t.at.clone())
    }

    fn wrong(&self, wanted: impl Into<String>) -> ParseError {
        ParseError::new(self.text, self.here(), wanted)
    }

    fn either(&mut self) -> Result<Node, ParseError> {
        let mut parts = vec![self.both()?];
        while self.take(&Token::Or) {
            parts.push(self.both()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::Any(parts) })
    }

    fn both(&mut self) -> Result<Node, ParseError> {
        let mut parts = vec![self.not()?];
        while self.take(&Token::And) {
            parts.push(self.not()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Node::All(parts) })
    }

    fn not(&mut self) -> Result<Node, ParseError> {
        if self.depth >= DEPTH_MAX {
            return Err(self.wrong(format!("nested deeper than {DEPTH_MAX}")));
        }
        self.depth += 1;
        let node = if self.take(&Token::Not) {
            Node::Not(Box::new(self.not()?))
        } else if self.take(&Token::Open) {
            let inner = self.either()?;
            if !self.take(&Token::Close) {
                return Err(self.wrong("the closing parenthesis is missing"));
            }
            inner
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(node)
    }

    fn comparison(&mut self) -> Result<Node, ParseError> {
        let at = self.here();
        let Some(Token::Word(word)) = self.peek().cloned() else { return Err(self.wrong("write an instrument's name here")) };
        let instrument = self.instrument(&word)?;
        self.next += 1;
        let Some(Token::Compare(comparison)) = self.peek().cloned() else { return Ok(Node::Is { instrument, compared: None, at }) };
        self.next += 1;
        let literal_at = self.here();
        let (literal, quoted) = match self.peek().cloned() {
            Some(Token::Word(word)) => (word, false),
            Some(Token::Text(text)) => (text, true),
            _ => return Err(self.wrong("write a value to compare with, as 100, 250ms, true or \"text\"")),
        };
        if !quoted && literal.starts_with(|c: char| c.is_alphabetic() || c == '_') && literal.contains(['.', '{', '@']) {
            return Err(self.wrong("compare with a value: two instruments cannot be compared"));
        }
        self.next += 1;
        Ok(Node::Is { instrument, compared: Some(Compared { comparison, literal, quoted, at: literal_at }), at })
    }

    /// The place of an instrument in the list.
    fn instrument(&mut self, word: &str) -> Result<usize, ParseError> {
        if let Some(place) = self.instruments.iter().position(|i| i.text == word) {
            return Ok(place);
        }
        if word.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            return Err(self.wrong("write the instrument first, then the value, as demo.files > 100"));
        }
        if word.contains('*') {
            return Err(self.wrong("name one instrument: * does not say which"));
        }
        let address: Address = word.parse().map_err(|e| self.wrong(format!("{e}")))?;
        if address.incarnation.is_some() {
            return Err(self.wrong("name the process without #: only live values count"));
        }
        let pattern: Pattern = word.parse().map_err(|e| self.wrong(format!("{e}")))?;
        self.instruments.push(Instrument { text: word.to_owned(), pattern, address });
        Ok(self.instruments.len() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        Expression::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn and_binds_closer_than_or_and_not_closest() {
        let read = |text: &str| Expression::parse(text).unwrap().root;
        let Node::Any(parts) = read("a.x || a.y && !a.z") else { panic!("or is outermost") };
        assert!(matches!(parts.as_slice(), [Node::Is { instrument: 0, .. }, Node::All(all)] if matches!(all[1], Node::Not(_))));
        assert!(matches!(read("(a.x || a.y) && a.z == 1"), Node::All(_)));
        let named = Expression::parse("a.x > 1 && a.x < 5 && a.y{k=v}@p-1 == -2.5").unwrap();
        assert_eq!(named.instruments().iter().map(|i| i.text.as_str()).collect::<Vec<_>>(), ["a.x", "a.y{k=v}@p-1"]);
    }

    #[test]
    fn a_mistake_is_pointed_at() {
        assert_eq!(
            error("demo.files >"),
            "write a value to compare with, as 100, 250ms, true or \"text\"\n  demo.files >\n              ^"
        );
        assert_eq!(error("demo.files = 3"), "write == to compare\n  demo.files = 3\n             ^");
        for (text, expect) in [
            ("", "write a condition"),
            ("100 < demo.files", "the instrument first"),
            ("(a.b > 1", "closing parenthesis is missing"),
            ("a.b > 1)", "never opened"),
            ("a.b > 1 > 2", "one comparison at a time"),
            ("a.b > 1 a.c", "write && or ||"),
            ("a.b == a.c", "two instruments cannot be compared"),
            ("a.* == 1", "* does not say which"),
            ("a.b@p#1.2 == 1", "only live values count"),
            ("A.b == 1", "lower-case"),
            ("a.b == \"x", "closing quotation mark"),
            ("a.b & a.c", "write && for and"),
            ("a.b == 'x'", "double"),
        ] {
            let error = error(text);
            assert!(error.contains(expect), "{text}: {error}");
            assert!(error.ends_with('^'), "{error}");
        }
        assert!(error(&"!".repeat(1000)).contains("nested deeper"));
        let long = format!("{} = 1 && {}", "a.b == 1 && ".repeat(100) + "a.c", "a.b == 1 && ".repeat(300));
        assert!(error(&long).len() < 400, "{}", error(&long));
        let long = format!("{} = 1 && {}", "a.b == 1 && ".repeat(100) + "a.c", "a.b == 1");
        let shown = error(&long);
        let (text, caret) = shown.rsplit_once('\n').unwrap();
        let column = caret.chars().count() - 1;
        assert_eq!(text.lines().last().unwrap().chars().nth(column), Some('='), "{shown}");
    }

    proptest! {
        #[test]
        fn reading_never_panics_and_the_caret_is_within_the_text(text in ".{0,60}") {
            if let Err(e) = Expression::parse(&text) {
                prop_assert!(e.at().end <= text.len());
                prop_assert!(e.to_string().contains('^'));
            }
        }

        #[test]
        fn reading_what_looks_like_a_condition_never_panics(text in "([a-z.]{1,4}|[0-9]{1,2}|&&|\\|\\||!|\\(|\\)|==|<|>=|\"| |\\{|\\}|@){0,20}") {
            let _ = Expression::parse(&text).map_err(|e| e.to_string());
        }
    }
}
