//! Text cut into words and signs, each with its place.

use std::ops::Range;

use tif_core::model::control::Comparison;

use super::ParseError;

/// The longest expression read.
pub(super) const LEN_MAX: usize = 4096;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token {
    Open,
    Close,
    Not,
    And,
    Or,
    Compare(Comparison),
    /// A name, number or word: what it is, its place in the grammar says.
    Word(String),
    /// In quotation marks.
    Text(String),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Placed {
    pub(super) token: Token,
    pub(super) at: Range<usize>,
}

/// Cuts `text`.
pub(super) fn cut(text: &str) -> Result<Vec<Placed>, ParseError> {
    if text.len() > LEN_MAX {
        return Err(ParseError::new(text, 0..0, format!("an expression has at most {LEN_MAX} bytes")));
    }
    let mut all = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (token, len) = next(text, at, first)?;
        all.push(Placed { token, at: at..at + len });
        at += len;
    }
    Ok(all)
}

fn next(text: &str, at: usize, first: char) -> Result<(Token, usize), ParseError> {
    let rest = &text[at..];
    for (sign, comparison) in Comparison::ALL {
        if rest.starts_with(sign) {
            return Ok((Token::Compare(comparison), sign.len()));
        }
    }
    for (sign, token) in [("&&", Token::And), ("||", Token::Or), ("!", Token::Not), ("(", Token::Open), (")", Token::Close)] {
        if rest.starts_with(sign) {
            return Ok((token, sign.len()));
        }
    }
    if first == '"' {
        return quoted(text, at);
    }
    let len = word_len(rest);
    if len > 0 {
        return Ok((Token::Word(rest[..len].to_owned()), len));
    }
    let wanted = match first {
        '=' => "write == to compare",
        '&' => "write && for and",
        '|' => "write || for or",
        '\'' => "write texts in \"double\" quotation marks",
        _ => "this character has no meaning here",
    };
    Err(ParseError::new(text, at..at + first.len_utf8(), wanted))
}

/// A text; `\"` and `\\` stand for themselves.
fn quoted(text: &str, at: usize) -> Result<(Token, usize), ParseError> {
    let mut content = String::new();
    let mut escaped = false;
    for (offset, c) in text[at + 1..].char_indices() {
        match c {
            _ if escaped => {
                content.push(c);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Ok((Token::Text(content), offset + 2)),
            _ => content.push(c),
        }
    }
    Err(ParseError::new(text, at..text.len(), "the closing quotation mark is missing"))
}

/// Letters, digits and what stands in names and numbers; within braces anything but a brace.
fn word_len(text: &str) -> usize {
    let mut braces = false;
    for (offset, c) in text.char_indices() {
        let within = match c {
            '{' if !braces => {
                braces = true;
                true
            }
            '}' if braces => {
                braces = false;
                true
            }
            '{' | '}' => false,
            _ if braces => !c.is_control(),
            _ => c.is_alphanumeric() || "._-+@#*:".contains(c),
        };
        if !within {
            return offset;
        }
    }
    text.len()
}
