//! `#[derive(Record)]`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Expr, Fields};
use tif_core::limits;

use crate::attribute::Entries;
use crate::errors::Errors;
use crate::instruments::class_of;

/// The whole derive.
pub fn expand(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(e) => return e.to_compile_error(),
    };
    let mut errors = Errors::default();
    let ident = &input.ident;
    let mut entries = Entries::of(&input.attrs, "tif", &mut errors);
    let error = entries.value("error", &mut errors).and_then(|(_, expr)| match &expr {
        Expr::Path(path) => Some(quote!(#path)),
        other => {
            errors.at(other.span(), "a type is wanted here, one with From<tif::Injected>: error = MyError");
            None
        }
    });
    entries.finish("a record", &["error"], &[], &mut errors);
    let error = error.unwrap_or_else(|| quote!(::tif::Injected));
    let none = syn::punctuated::Punctuated::new();
    let fields = match &input.data {
        Data::Struct(data) => match &data.fields {
            Fields::Named(named) => &named.named,
            Fields::Unit => &none,
            Fields::Unnamed(unnamed) => {
                errors.at(unnamed.span(), "the fields of a record need names, so that conditions can name them");
                return errors.with(TokenStream::new());
            }
        },
        _ => {
            errors.at(ident.span(), "a record is a struct with named fields");
            return errors.with(TokenStream::new());
        }
    };
    if input.generics.type_params().next().is_some() || input.generics.const_params().next().is_some() {
        errors.at(input.generics.span(), "a record cannot be generic");
        return errors.with(TokenStream::new());
    }
    if input.generics.lifetimes().next().is_some() {
        errors.at(input.generics.span(), "a record holds its values itself: use String or &'static str");
        return errors.with(TokenStream::new());
    }
    if fields.len() > limits::ARGUMENTS_MAX {
        errors.at(ident.span(), format!("{} fields; at most {} are allowed", fields.len(), limits::ARGUMENTS_MAX));
    }
    for field in fields {
        if !matches!(field.ty, syn::Type::Reference(_)) {
            class_of(&field.ty, field.ty.span(), &mut errors);
        }
    }
    if !errors.is_empty() {
        // Whoever passes the point is not to be told that it is no record: it will be one.
        return errors.with(quote! {
            impl ::tif::Record for #ident {
                type Error = ::tif::Injected;
                fn fields() -> ::std::vec::Vec<::tif::Argument> { ::core::unreachable!() }
                fn values(&self) -> ::std::vec::Vec<::tif::Value> { ::core::unreachable!() }
            }
        });
    }
    let described = fields.iter().map(|f| {
        let (name, ty) = (f.ident.as_ref().map(|i| i.to_string().trim_start_matches("r#").to_owned()), &f.ty);
        quote_spanned!(f.ty.span()=> ::tif::declare::field::<#ty>(#name))
    });
    let captured = fields.iter().map(|f| {
        let name = &f.ident;
        quote_spanned!(f.ty.span()=> ::tif::declare::Captured::capture(&self.#name))
    });
    errors.with(quote! {
        impl ::tif::Record for #ident {
            type Error = #error;
            fn fields() -> ::std::vec::Vec<::tif::Argument> {
                ::std::vec![#(#described),*]
            }
            fn values(&self) -> ::std::vec::Vec<::tif::Value> {
                ::std::vec![#(#captured),*]
            }
        }
    })
}
