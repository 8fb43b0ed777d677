//! What only controls have: a default that fits, and who may change them.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Expr, ExprLit, Lit};
use tif_core::limits;
use tif_core::model::Number as Exact;

use super::handle::{Class, Value};
use super::settings::Settings;
use crate::literal::{self, Bound};

impl Settings<'_> {
    // spec: EXP-5, CTL-1
    pub(super) fn control(&mut self, value: &Value, range: Option<(Bound, Bound)>, step: Option<Bound>, ident: Span) -> TokenStream {
        if self.entries.flag("memorized", self.errors) {
            self.code.extend(quote!(.memorized()));
        }
        if self.entries.flag("validated", self.errors) {
            self.code.extend(quote!(.validated()));
        }
        self.writers();
        let ty = &value.ty;
        let Some(entry) = self.entries.take("default") else {
            self.errors.at(ident, "a control without a default: what is its value before anybody changes it? add default = ...");
            return quote!(.control::<#ty>(scope, ::core::unreachable!()));
        };
        let Some(expr) = entry.value else {
            self.errors.at(entry.key.span(), "`default` needs a value: write default = ...");
            return quote!(.control::<#ty>(scope, ::core::unreachable!()));
        };
        let default = self.default_of(value, &expr);
        self.default_fits(value, &expr, range, step);
        quote!(.control::<#ty>(scope, #default))
    }

    fn writers(&mut self) {
        let Some((_, expr)) = self.entries.value("writers", self.errors) else { return };
        let texts: Option<Vec<_>> = match &expr {
            Expr::Array(list) => list
                .elems
                .iter()
                .map(|e| match e {
                    Expr::Lit(ExprLit { lit: Lit::Str(s), .. }) if !s.value().is_empty() && s.value().len() <= 64 => Some(s),
                    _ => None,
                })
                .collect(),
            _ => None,
        };
        match texts {
            Some(texts) if !texts.is_empty() => self.code.extend(quote!(.writers(&[#(#texts),*]))),
            _ => self.errors.at(expr.span(), "a list of names is wanted here: writers = [\"operator\"]"),
        }
    }

    /// The default as an expression of the control's type; a literal of another type is reported.
    fn default_of(&mut self, value: &Value, expr: &Expr) -> TokenStream {
        let is = |m: fn(&Lit) -> bool| matches!(expr, Expr::Lit(ExprLit { lit, .. }) if m(lit));
        let is_literal = matches!(expr, Expr::Lit(_)) || literal::value_of(expr).is_some();
        let wrong = |wanted: &str| Some(format!("the default of this control is {wanted}"));
        let problem = match value.class {
            Class::Bool if is_literal && !is(|l| matches!(l, Lit::Bool(_))) => wrong("true or false"),
            Class::Whole(..) if is_literal && (literal::value_of(expr).is_none() || literal::is_float(expr)) => wrong("a whole number"),
            Class::Float if is_literal && literal::value_of(expr).is_none() => wrong("a number"),
            Class::Text if is_literal && !is(|l| matches!(l, Lit::Str(_))) => wrong("a text, as \"...\""),
            Class::Choice if is_literal => wrong("one of its choices, as Mode::Fast"),
            _ => None,
        };
        if let Some(problem) = problem {
            self.errors.at(expr.span(), problem);
            return quote!(::core::unreachable!());
        }
        match (value.class, expr) {
            (Class::Text, Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => {
                if text.value().len() > limits::TEXT_LEN_MAX {
                    self.errors.at(text.span(), format!("a text has at most {} bytes", limits::TEXT_LEN_MAX));
                }
                quote!(::std::string::String::from(#text))
            }
            (Class::Text, _) => quote!(::std::string::String::from(#expr)),
            (Class::Float, _) if literal::value_of(expr).is_some() && !literal::is_float(expr) => quote!(#expr as f64),
            (Class::Duration, Expr::Lit(ExprLit { lit: Lit::Str(text), .. })) => match literal::nanoseconds(&text.value()) {
                Some(ns) => quote!(::core::time::Duration::from_nanos(#ns)),
                None => {
                    self.errors.at(text.span(), literal::NOT_A_DURATION);
                    quote!(::core::unreachable!())
                }
            },
            (Class::Duration, _) if literal::value_of(expr).is_some() => {
                self.errors.at(expr.span(), literal::NOT_A_DURATION);
                quote!(::core::unreachable!())
            }
            _ => quote!(#expr),
        }
    }

    /// Range and step of the default: here if they are literals, else by the compiler.
    fn default_fits(&mut self, value: &Value, expr: &Expr, range: Option<(Bound, Bound)>, step: Option<Bound>) {
        let (known, number) = match (value.class, expr) {
            (Class::Duration, Expr::Lit(ExprLit { lit: Lit::Str(t), .. })) => {
                let Some(ns) = literal::nanoseconds(&t.value()) else { return };
                (Some(Exact::Float(ns as f64 / 1e9)), TokenStream::new())
            }
            (Class::Duration, _) => (None, quote!(::core::time::Duration::as_secs_f64(&(#expr)))),
            (Class::Whole(..), _) => (literal::whole_of(expr).map(Exact::Whole), quote!((#expr) as i128)),
            (Class::Float, _) => (literal::value_of(expr).map(Exact::Float), quote!((#expr) as f64)),
            _ => return,
        };
        if let (Class::Whole(least, most), Some(v)) = (value.class, known)
            && !(Exact::Whole(least).at_most(v) && v.at_most(Exact::Whole(most)))
        {
            self.errors.at(expr.span(), format!("{v} does not fit the control's type"));
            return;
        }
        // What the compiler compares, where it is not known here. In seconds, if it is a duration.
        let number = match known {
            Some(Exact::Float(v)) => quote!(#v),
            _ => number,
        };
        if let Some((Bound { known: Some(min), .. }, Bound { known: Some(max), .. })) = &range
            && let Some(v) = known
        {
            if !(min.at_most(v) && v.at_most(*max)) {
                self.errors.at(expr.span(), format!("the default {v} is outside the range: allowed are {min} to {max}"));
                return;
            }
        } else if let Some((a, b)) = &range {
            let (a, b) = (&a.code, &b.code);
            self.check.extend(quote_spanned! {expr.span()=>
                const _: () = ::core::assert!(#a <= #number && #number <= #b, "the default is outside the range");
            });
        }
        let Some(step) = step else { return };
        let zero = if matches!(value.class, Class::Whole(..)) { Exact::Whole(0) } else { Exact::Float(0.0) };
        let from = range.as_ref().map_or(Some(zero), |(a, _)| a.known);
        if let (Some(step), Some(from), Some(v)) = (step.known, from, known) {
            // As the agent judges it.
            if let Some((below, above)) = v.off_step(from, step) {
                self.errors.at(
                    expr.span(),
                    format!("the default {v} is between two steps: allowed are multiples of {step} from {from}, the nearest are {below} and {above}"),
                );
            }
        } else {
            let (is_on, zero) = match zero {
                Exact::Whole(_) => (quote!(is_on_whole_step), quote!(0i128)),
                Exact::Float(_) => (quote!(is_on_step), quote!(0f64)),
            };
            let from = range.map_or(zero, |(a, _)| a.code);
            let step = step.code;
            self.check.extend(quote_spanned! {expr.span()=>
                const _: () = ::core::assert!(::tif::declare::#is_on(#number, #from, #step), "the default is between two steps");
            });
        }
    }
}
