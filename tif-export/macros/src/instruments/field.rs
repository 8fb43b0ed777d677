//! One field: its attributes checked, and the code that declares it.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use super::handle::Handle;
use super::settings::Settings;
use crate::attribute::Entries;
use crate::errors::Errors;
use crate::help;
use crate::name::{self, Taken};

/// Bytes of help that an agent takes.
const HELP_LEN_MAX: usize = 4096;

/// Every attribute that some field may have.
pub const KEYS: &[&str] = &[
    "name",
    "unit",
    "range",
    "step",
    "default",
    "memorized",
    "validated",
    "writers",
    "deadband",
    "deadband_up",
    "deadband_down",
    "relative",
    "at_most_every",
    "at_least_every",
    "warn",
    "critical",
    "warn_below",
    "critical_below",
    "hysteresis",
    "every",
    "nested",
];

/// What becomes of a field.
pub struct Field {
    /// The names that it declares.
    pub names: Vec<String>,
    /// What only the compiler can check.
    pub check: TokenStream,
    /// `field: expression`.
    pub init: TokenStream,
}

impl Field {
    /// Checks a field and makes its code. A field with mistakes still gets some.
    pub fn read(field: &syn::Field, taken: &mut Taken, errors: &mut Errors) -> Field {
        let ident = field.ident.as_ref().expect("named fields have names");
        let mut entries = Entries::of(&field.attrs, "tif", errors);
        let nested = entries.flag("nested", errors);
        let (name, span) = name::of(ident, &mut entries, errors);
        let help = help::text(&field.attrs);
        if help.is_empty() && !nested {
            errors.at(ident.span(), format!("`{ident}` has no help: say above it in a doc comment (/// ...) what it tells"));
        }
        if help.len() > HELP_LEN_MAX {
            errors.at(
                ident.span(),
                format!("{} bytes of help; at most {HELP_LEN_MAX} are allowed: the details are for the guide", help.len()),
            );
        }
        let init = |code: TokenStream| quote_spanned!(ident.span()=> #ident: #code);
        let Some(handle) = Handle::read(&field.ty, nested, errors) else {
            return Field { names: Vec::new(), check: TokenStream::new(), init: init(quote!(::core::unreachable!())) };
        };
        let mut names = Vec::new();
        match &handle {
            Handle::Nested => {}
            Handle::TestPoint(_) => names.extend([name.clone(), format!("{name}.last"), format!("{name}.armed")]),
            _ => names.push(name.clone()),
        }
        for each in &names {
            taken.take(each, &ident.to_string(), span, errors);
        }
        if matches!(handle, Handle::Nested) {
            entries.finish(handle.word(), handle.keys(), KEYS, errors);
            let ty = &field.ty;
            return Field {
                names,
                check: TokenStream::new(),
                init: init(quote!(<#ty as ::tif::Instruments>::declare(&scope.under(#name)))),
            };
        }
        let mut settings = Settings { handle: &handle, entries, errors, code: TokenStream::new(), check: TokenStream::new() };
        let last = settings.all(ident.span());
        let (code, check) = (settings.code, settings.check);
        settings.entries.finish(handle.word(), handle.keys(), KEYS, settings.errors);
        // The field's own place, so that file!() and line!() are those of the declaration.
        let declared = quote_spanned!(ident.span()=> ::tif::declared!());
        Field { names, check, init: init(quote!(::tif::declare::Field::new(#name, #help, #declared) #code #last)) }
    }
}
