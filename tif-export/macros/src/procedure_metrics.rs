//! `#[procedure_metrics]` on a function.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{ItemFn, ReturnType, Type};

use crate::attribute::Entries;
use crate::errors::Errors;
use crate::help;
use crate::instruments::check_service;
use crate::name;
use crate::procedures::result_of;

/// The whole attribute.
pub fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let mut entries = Entries::inside(arguments, &mut errors);
    let function: ItemFn = match syn::parse2(item) {
        Ok(function) => function,
        Err(e) => {
            errors.at(e.span(), "#[tif::procedure_metrics] goes on a function or a method");
            return errors.with(TokenStream::new());
        }
    };
    let service = entries.text("service", &mut errors);
    if let Some(lit) = &service {
        check_service(lit, &mut errors);
    }
    let (name, _) = name::of(&function.sig.ident, &mut entries, &mut errors);
    entries.finish("#[tif::procedure_metrics]", &["service", "name"], &[], &mut errors);
    if let Some(token) = &function.sig.asyncness {
        errors.at(
            token.span(),
            "an async function cannot be measured from outside: between two polls it does not run. Measure inside it with a tif::Histogram",
        );
    }
    if let Some(token) = &function.sig.constness {
        errors.at(token.span(), "a const fn cannot be measured: it may run in the compiler");
    }
    if !errors.is_empty() {
        return errors.with(quote!(#function));
    }
    generate(&function, service.as_ref(), &name)
}

fn generate(function: &ItemFn, service: Option<&syn::LitStr>, name: &str) -> TokenStream {
    let ItemFn { attrs, vis, sig, block, .. } = function;
    let service = match service {
        Some(lit) => quote!(::core::option::Option::Some(#lit)),
        None => quote!(::core::option::Option::None),
    };
    let help = match help::text(attrs) {
        text if text.is_empty() => format!("`{}`", sig.ident),
        text => text,
    };
    let (returns, failed) = match &sig.output {
        ReturnType::Default => (quote!(-> ()), quote!(false)),
        ReturnType::Type(_, ty) if has_impl(ty) => (TokenStream::new(), quote!(false)),
        ReturnType::Type(_, ty) => {
            (quote!(-> #ty), if result_of(ty).is_some() { quote_spanned!(Span::mixed_site()=> result.is_err()) } else { quote!(false) })
        }
    };
    let declared = quote_spanned!(sig.ident.span()=> ::tif::declared!());
    // Names of our own that the function's body cannot see, nor shadow.
    quote_spanned! {Span::mixed_site()=>
        #(#attrs)*
        #vis #sig {
            let call = {
                static METRICS: ::tif::ProcedureMetrics = ::tif::ProcedureMetrics::new(#service, #name, #help, || #declared);
                #[::tif::declare::linkme::distributed_slice(::tif::declare::PROCEDURE_METRICS)]
                #[linkme(crate = ::tif::declare::linkme)]
                static DECLARED: &::tif::ProcedureMetrics = &METRICS;
                METRICS.enter()
            };
            let result = ::tif::declare::run(move || #returns #block);
            call.leave(#failed);
            result
        }
    }
}

/// Whether `impl Trait` stands in a type: it cannot be written in a closure.
fn has_impl(ty: &Type) -> bool {
    let text = quote!(#ty).to_string();
    text.split_whitespace().any(|word| word == "impl")
}
