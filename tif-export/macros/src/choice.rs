//! `#[derive(Choice)]`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields};
use tif_core::limits;

use crate::attribute::Entries;
use crate::errors::Errors;
use crate::name::Taken;

/// The whole derive.
pub fn expand(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(e) => return e.to_compile_error(),
    };
    let mut errors = Errors::default();
    let ident = &input.ident;
    let Data::Enum(data) = &input.data else {
        errors.at(ident.span(), "a choice is an enum without fields");
        return errors.with(TokenStream::new());
    };
    if !input.generics.params.is_empty() {
        errors.at(input.generics.span(), "a choice cannot be generic");
        return errors.with(TokenStream::new());
    }
    if data.variants.is_empty() {
        errors.at(ident.span(), "a choice without choices: add a variant");
        return errors.with(TokenStream::new());
    }
    if data.variants.len() > limits::CHOICES_MAX {
        errors.at(ident.span(), format!("{} choices; at most {} are allowed", data.variants.len(), limits::CHOICES_MAX));
    }
    let mut taken = Taken::default();
    let mut names = Vec::new();
    for variant in &data.variants {
        if !matches!(variant.fields, Fields::Unit) {
            errors.at(variant.fields.span(), "a choice has no fields: which of them would one write on a command line?");
        }
        let mut entries = Entries::of(&variant.attrs, "tif", &mut errors);
        let (name, span) = match entries.text("name", &mut errors) {
            Some(lit) => (lit.value(), lit.span()),
            None => (kebab(&variant.ident.to_string()), variant.ident.span()),
        };
        entries.finish("a choice", &["name"], &[], &mut errors);
        if name.is_empty() || name.len() > 64 || name.chars().any(|c| c.is_whitespace() || c.is_control()) {
            errors.at(span, "a choice's name is 1 to 64 bytes without spaces");
        }
        taken.take(&name, &variant.ident.to_string(), span, &mut errors);
        names.push(name);
    }
    let variants: Vec<_> = data.variants.iter().map(|v| &v.ident).collect();
    let indices: Vec<u32> = (0..variants.len() as u32).collect();
    if !errors.is_empty() {
        // Whoever uses the type is not to be told that it is no choice: it will be one.
        return errors.with(quote! {
            impl ::tif::Choice for #ident {
                const NAMES: &'static [&'static str] = &[];
                fn index(self) -> u32 { ::core::unreachable!() }
                fn from_index(_: u32) -> ::core::option::Option<Self> { ::core::unreachable!() }
            }
            ::tif::choice_is_scalar!(#ident);
        });
    }
    errors.with(quote! {
        impl ::tif::Choice for #ident {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            fn index(self) -> u32 {
                match self { #(#ident::#variants => #indices),* }
            }
            fn from_index(index: u32) -> ::core::option::Option<Self> {
                match index { #(#indices => ::core::option::Option::Some(#ident::#variants),)* _ => ::core::option::Option::None }
            }
        }
        ::tif::choice_is_scalar!(#ident);
    })
}

/// `ReadOnly` as `read-only`.
fn kebab(ident: &str) -> String {
    let mut out = String::new();
    for (i, c) in ident.trim_start_matches("r#").chars().enumerate() {
        if c.is_uppercase() {
            if i > 0 && !out.ends_with('-') {
                out.push('-');
            }
            out.extend(c.to_lowercase());
        } else {
            out.push(if c == '_' { '-' } else { c });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::kebab;

    #[test]
    fn variants_are_called_in_kebab_case() {
        for (ident, name) in [("Fast", "fast"), ("ReadOnly", "read-only"), ("Http2", "http2"), ("r#Type", "type")] {
            assert_eq!(kebab(ident), name);
        }
    }
}
