//! All mistakes of one declaration, reported together.
// spec: EXP-5

use std::fmt::Display;

use proc_macro2::{Span, TokenStream};

/// The mistakes found so far.
#[derive(Default)]
pub struct Errors(Option<syn::Error>);

impl Errors {
    /// Notes a mistake at a word.
    pub fn at(&mut self, span: Span, message: impl Display) {
        self.add(syn::Error::new(span, message));
    }

    /// Notes a mistake that a parser has found.
    pub fn add(&mut self, error: syn::Error) {
        match &mut self.0 {
            Some(all) => all.combine(error),
            None => self.0 = Some(error),
        }
    }

    /// The result of something that may have gone wrong, if it has not.
    pub fn ok<T>(&mut self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|e| self.add(e)).ok()
    }

    /// `code`, and before it what makes the compiler report every mistake.
    ///
    /// The code is kept, so that a mistake in one field does not also show as a missing trait wherever the struct is used.
    pub fn with(self, code: TokenStream) -> TokenStream {
        let mut all = self.0.map(|e| e.to_compile_error()).unwrap_or_default();
        all.extend(code);
        all
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}
