//! Numbers and durations that can be read at compile time.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, ExprUnary, Lit, UnOp};
use tif_core::model::{Number as Exact, value};

/// What is said where a duration is none.
pub const NOT_A_DURATION: &str = "not a duration: write a number with ns, us, ms, s, min or h, as \"250ms\"";

/// A number in a declaration.
#[derive(Clone)]
pub struct Number {
    /// What it is, if it is a literal.
    pub known: Option<f64>,
    /// The expression, as an `f64`.
    pub code: TokenStream,
    /// Where it stands.
    pub span: proc_macro2::Span,
}

impl Number {
    /// From a literal (or any expression, which then is only known to the compiler). With `seconds`, a text is a duration.
    pub fn read(expr: &Expr, seconds: bool) -> Result<Number, syn::Error> {
        let span = expr.span();
        if let Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) = expr {
            if !seconds {
                return Err(syn::Error::new(span, "a number is wanted here, not a text"));
            }
            let ns = nanoseconds(&text.value()).ok_or_else(|| syn::Error::new(span, NOT_A_DURATION))?;
            return Ok(Number::literal(ns as f64 / 1e9, span));
        }
        match value_of(expr) {
            Some(v) => Ok(Number::literal(v, span)),
            None if matches!(expr, Expr::Lit(_)) => Err(syn::Error::new(span, "a number is wanted here")),
            None => Ok(Number { known: None, code: quote!((#expr) as f64), span }),
        }
    }

    fn literal(value: f64, span: proc_macro2::Span) -> Number {
        let mut lit = proc_macro2::Literal::f64_suffixed(value.abs());
        lit.set_span(span);
        let code = if value.is_sign_negative() { quote!(-#lit) } else { quote!(#lit) };
        Number { known: Some(value), code, span }
    }
}

/// A bound of the values of an instrument: of their own type, so exact for whole numbers.
#[derive(Clone)]
pub struct Bound {
    /// What it is, if it is a literal.
    pub known: Option<Exact>,
    /// The expression, as an `i128` or (of floats, and of durations in seconds) an `f64`.
    pub code: TokenStream,
    is_whole: bool,
    /// Where it stands.
    pub span: proc_macro2::Span,
}

impl Bound {
    /// Of a whole number.
    pub fn whole(expr: &Expr) -> Result<Bound, syn::Error> {
        let span = expr.span();
        match whole_of(expr) {
            Some(v) => {
                let mut lit = proc_macro2::Literal::i128_suffixed(v.abs());
                lit.set_span(span);
                let code = if v < 0 { quote!(-#lit) } else { quote!(#lit) };
                Ok(Bound { known: Some(Exact::Whole(v)), code, is_whole: true, span })
            }
            None if matches!(expr, Expr::Lit(_)) || value_of(expr).is_some() => Err(syn::Error::new(span, "a whole number is wanted here")),
            None => Ok(Bound { known: None, code: quote!((#expr) as i128), is_whole: true, span }),
        }
    }

    /// Of anything else; see [`Number::read`].
    pub fn float(expr: &Expr, seconds: bool) -> Result<Bound, syn::Error> {
        let Number { known, code, span } = Number::read(expr, seconds)?;
        Ok(Bound { known: known.map(Exact::Float), code, is_whole: false, span })
    }

    /// As it is declared.
    pub fn declared(&self) -> TokenStream {
        let code = &self.code;
        if self.is_whole { quote!(::tif::declare::Number::Whole(#code)) } else { quote!(::tif::declare::Number::Float(#code)) }
    }
}

/// The value of a literal of a whole number, with or without a sign.
pub fn whole_of(expr: &Expr) -> Option<i128> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(i), .. }) => i.base10_digits().parse().ok(),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => whole_of(expr).map(|v| -v),
        Expr::Paren(p) => whole_of(&p.expr),
        Expr::Group(g) => whole_of(&g.expr),
        _ => None,
    }
}

/// The value of a number literal, with or without a sign.
pub fn value_of(expr: &Expr) -> Option<f64> {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Int(i), .. }) => i.base10_digits().parse().ok(),
        Expr::Lit(ExprLit { lit: Lit::Float(f), .. }) => f.base10_digits().parse().ok(),
        Expr::Unary(ExprUnary { op: UnOp::Neg(_), expr, .. }) => value_of(expr).map(|v| -v),
        Expr::Paren(p) => value_of(&p.expr),
        Expr::Group(g) => value_of(&g.expr),
        _ => None,
    }
}

/// Whether a literal is written with a fraction.
pub fn is_float(expr: &Expr) -> bool {
    match expr {
        Expr::Lit(ExprLit { lit: Lit::Float(_), .. }) => true,
        Expr::Unary(u) => is_float(&u.expr),
        Expr::Paren(p) => is_float(&p.expr),
        Expr::Group(g) => is_float(&g.expr),
        _ => false,
    }
}

/// `250ms` in nanoseconds.
pub fn nanoseconds(text: &str) -> Option<u64> {
    value::parse_duration(text).and_then(|d| u64::try_from(d.as_nanos()).ok())
}
