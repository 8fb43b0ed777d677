//! `#[tif(key = value, flag)]` as a list that is used up entry by entry; what is left at the end is a mistake.

use proc_macro2::Span;
use syn::ext::IdentExt;
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, Ident, Lit, LitStr, Token};

use crate::errors::Errors;
use crate::literal;
use crate::name::did_you_mean;

/// One `key` or `key = value`.
pub struct Entry {
    /// The key, where it stands.
    pub key: Ident,
    /// The value.
    pub value: Option<Expr>,
}

impl Parse for Entry {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let key = Ident::parse_any(input)?;
        let value = if input.peek(Token![=]) {
            input.parse::<Token![=]>()?;
            Some(ungroup(input.parse()?))
        } else {
            None
        };
        Ok(Entry { key, value })
    }
}

/// Without the invisible brackets that a value has when it comes from a `macro_rules!` macro.
fn ungroup(expr: Expr) -> Expr {
    match expr {
        Expr::Group(group) => ungroup(*group.expr),
        other => other,
    }
}

/// The entries of an attribute that were not used yet.
#[derive(Default)]
pub struct Entries(Vec<Entry>);

impl Entries {
    /// Those of all attributes called `name`.
    pub fn of(attrs: &[Attribute], name: &str, errors: &mut Errors) -> Entries {
        let mut all = Entries::default();
        for attr in attrs.iter().filter(|a| a.path().is_ident(name)) {
            if matches!(attr.meta, syn::Meta::Path(_)) {
                continue;
            }
            if let Some(list) = errors.ok(attr.parse_args_with(Punctuated::<Entry, Token![,]>::parse_terminated)) {
                all.extend(list, errors);
            }
        }
        all
    }

    /// Those between the parentheses of an attribute macro.
    pub fn inside(tokens: proc_macro2::TokenStream, errors: &mut Errors) -> Entries {
        let mut all = Entries::default();
        if let Some(list) = errors.ok(syn::parse::Parser::parse2(Punctuated::<Entry, Token![,]>::parse_terminated, tokens)) {
            all.extend(list, errors);
        }
        all
    }

    fn extend(&mut self, list: Punctuated<Entry, Token![,]>, errors: &mut Errors) {
        for entry in list {
            if self.0.iter().any(|e| e.key == entry.key) {
                errors.at(entry.key.span(), format!("`{}` is given twice", entry.key));
            } else {
                self.0.push(entry);
            }
        }
    }

    /// Takes an entry out.
    pub fn take(&mut self, key: &str) -> Option<Entry> {
        let at = self.0.iter().position(|e| e.key == key)?;
        Some(self.0.remove(at))
    }

    /// Takes `key = value` out: where the key stands, and the value.
    pub fn value(&mut self, key: &str, errors: &mut Errors) -> Option<(Span, Expr)> {
        let entry = self.take(key)?;
        match entry.value {
            Some(value) => Some((entry.key.span(), value)),
            None => {
                errors.at(entry.key.span(), format!("`{key}` needs a value: write {key} = ..."));
                None
            }
        }
    }

    /// Takes `key = "text"` out.
    pub fn text(&mut self, key: &str, errors: &mut Errors) -> Option<LitStr> {
        match self.value(key, errors)? {
            (_, Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => Some(text),
            (_, other) => {
                errors.at(other.span(), format!("`{key}` is a text: write {key} = \"...\""));
                None
            }
        }
    }

    /// Takes a flag out: `key`, `key = true` or `key = false`.
    pub fn flag(&mut self, key: &str, errors: &mut Errors) -> bool {
        match self.take(key) {
            None => false,
            Some(Entry { value: None, .. }) => true,
            Some(Entry { value: Some(Expr::Lit(ExprLit { lit: Lit::Bool(b), .. })), .. }) => b.value,
            Some(Entry { value: Some(other), .. }) => {
                errors.at(other.span(), format!("`{key}` is a flag: write it alone, or = true or = false"));
                false
            }
        }
    }

    /// Takes `key = "5s"` out, as nanoseconds and where it stands.
    pub fn duration(&mut self, key: &str, errors: &mut Errors) -> Option<(u64, Span)> {
        let text = self.text(key, errors)?;
        match literal::nanoseconds(&text.value()) {
            Some(ns) => Some((ns, text.span())),
            None => {
                errors.at(text.span(), literal::NOT_A_DURATION);
                None
            }
        }
    }

    /// Reports what nobody took. `allowed` are the keys that `what` may have; `all` those that make sense somewhere.
    pub fn finish(self, what: &str, allowed: &[&str], all: &[&str], errors: &mut Errors) {
        for Entry { key, .. } in self.0 {
            let text = key.to_string();
            let list = allowed.join(", ");
            if all.contains(&text.as_str()) {
                errors.at(key.span(), format!("`{text}` makes no sense for {what}, which takes: {list}"));
            } else {
                let near = did_you_mean(&text, allowed.iter().copied());
                errors.at(key.span(), format!("unknown attribute `{text}`{near} ({what} takes: {list})"));
            }
        }
    }
}
