//! `#[procedures]` on an `impl` of a struct of instruments.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, GenericArgument, ImplItem, ImplItemFn, ItemImpl, Pat, PathArguments, ReceiverKind, ReturnType, Type};
use tif_core::limits;

use crate::attribute::Entries;
use crate::errors::Errors;
use crate::help;
use crate::instruments::{class_of, last_segment};
use crate::name::{self, Taken};

const KEYS: &[&str] = &["timeout", "idempotent", "name"];
/// How long a procedure may take if it does not say.
const TIMEOUT_DEFAULT_NS: u64 = 5_000_000_000;

/// The whole attribute.
pub fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    Entries::inside(arguments, &mut errors).finish("#[tif::procedures]", &[], &[], &mut errors);
    let mut item: ItemImpl = match syn::parse2(item) {
        Ok(item) => item,
        Err(e) => {
            errors.at(e.span(), "#[tif::procedures] goes on an impl of a struct that derives tif::Instruments");
            return errors.with(TokenStream::new());
        }
    };
    if item.trait_.is_some() || !item.generics.params.is_empty() {
        errors.at(item.self_ty.span(), "#[tif::procedures] goes on the struct's own impl, without trait and generics");
        let code = quote!(#item);
        return errors.with(code);
    }
    let mut taken = Taken::default();
    let mut all = Vec::new();
    let ty = item.self_ty.clone();
    for each in &mut item.items {
        let ImplItem::Fn(function) = each else { continue };
        if let Some(code) = procedure(&ty, function, &mut taken, &mut errors) {
            all.push(code);
        }
    }
    if all.is_empty() && errors.is_empty() {
        errors.at(ty.span(), "no procedure here: mark at least one method with #[procedure]");
    }
    if !errors.is_empty() {
        // Without what would only be wrong a second time.
        all.clear();
    }
    let (names, code): (Vec<_>, Vec<_>) = all.into_iter().unzip();
    let apart = names.iter().map(|(name, span, cfgs)| {
        quote_spanned! {*span=>
            #(#cfgs)*
            const _: () = ::tif::declare::assert_apart(<#ty as ::tif::Instruments>::NAMES, #name);
        }
    });
    errors.with(quote! {
        #item
        impl #ty {
            #[doc(hidden)]
            pub const TIF_PROCEDURES: &'static [::tif::declare::Procedure<#ty>] = &[#(#code),*];
        }
        #(#apart)*
        const _: () = ::tif::declare::assert_distinct(<#ty>::TIF_PROCEDURES);
    })
}

/// Its name, where that stands, and under which conditions it is there at all.
type Named = (String, proc_macro2::Span, Vec<syn::Attribute>);

/// Takes `#[procedure]` off a method; the code that declares it, if it was there.
fn procedure(ty: &Type, function: &mut ImplItemFn, taken: &mut Taken, errors: &mut Errors) -> Option<(Named, TokenStream)> {
    let at = function.attrs.iter().position(|a| a.path().is_ident("procedure"))?;
    let marker = function.attrs.remove(at);
    let mut entries = Entries::of(std::slice::from_ref(&marker), "procedure", errors);
    let ident = function.sig.ident.clone();
    let (name, span) = name::of(&ident, &mut entries, errors);
    // Of those that are there under some condition only one may be in the end: the compiler sees which.
    if !function.attrs.iter().any(|a| a.path().is_ident("cfg")) {
        taken.take(&name, &ident.to_string(), span, errors);
        taken.take(&format!("{name}.last"), &ident.to_string(), span, errors);
    }
    let idempotent = entries.flag("idempotent", errors);
    let timeout_ns = match entries.duration("timeout", errors) {
        Some((ns, span)) => {
            if ns == 0 || u128::from(ns) > limits::PROCEDURE_TIMEOUT_MAX.as_nanos() {
                errors.at(span, format!("a procedure's timeout is more than 0 and at most {}s", limits::PROCEDURE_TIMEOUT_MAX.as_secs()));
            }
            ns
        }
        None => TIMEOUT_DEFAULT_NS,
    };
    entries.finish("a procedure", KEYS, &[], errors);
    let help = help::text(&function.attrs);
    if help.is_empty() {
        errors.at(ident.span(), format!("`{ident}` has no help: say above it in a doc comment (/// ...) what it does and answers"));
    }
    let sig = &function.sig;
    if let Some(token) = &sig.asyncness {
        errors.at(token.span(), "a procedure cannot be async: it runs on a thread of its own, where it may block");
    }
    if !sig.generics.params.is_empty() {
        errors.at(sig.generics.span(), "a procedure cannot be generic: it is called from outside");
    }
    if !matches!(sig.inputs.first(), Some(FnArg::Receiver(r)) if matches!(r.kind, ReceiverKind::Reference(_, _, None))) {
        let span = sig.inputs.first().map_or(ident.span(), Spanned::span);
        errors.at(span, "a procedure takes &self: the struct is shared with the service");
    }
    let arguments = arguments(function, errors);
    let (names, types): (Vec<_>, Vec<_>) = arguments.into_iter().unzip();
    let texts = names.iter().map(|n| n.to_string());
    let texts2 = texts.clone();
    let (returns, outcome) = returns(&function.sig.output);
    let declared = quote_spanned!(ident.span()=> ::tif::declared!());
    // A method that is configured out is no procedure either.
    let cfgs: Vec<_> = function.attrs.iter().filter(|a| a.path().is_ident("cfg")).cloned().collect();
    // Spans of our own: what is unused in here is not the service author's fault.
    let code = quote_spanned! {Span::mixed_site()=>
        #(#cfgs)*
        ::tif::declare::Procedure {
            name: #name,
            help: #help,
            arguments: || ::std::vec![#(::tif::declare::argument::<#types>(#texts)),*],
            returns: #returns,
            timeout_ns: #timeout_ns,
            idempotent: #idempotent,
            declared: || #declared,
            call: |this, arguments| {
                #(let #names = arguments.take::<#types>(#texts2)?;)*
                ::tif::declare::Outcome::#outcome(<#ty>::#ident(this, #(#names),*))
            },
        }
    };
    Some(((name, span, cfgs), code))
}

fn arguments(function: &ImplItemFn, errors: &mut Errors) -> Vec<(syn::Ident, Type)> {
    let mut all = Vec::new();
    for input in &function.sig.inputs {
        let FnArg::Typed(typed) = input else { continue };
        let Pat::Ident(pat) = &*typed.pat else {
            errors.at(typed.pat.span(), "an argument of a procedure needs a plain name, by which it is called from outside");
            continue;
        };
        if class_of(&typed.ty, typed.ty.span(), errors).is_some() {
            all.push((pat.ident.clone(), (*typed.ty).clone()));
        }
    }
    if all.len() > limits::ARGUMENTS_MAX {
        errors.at(function.sig.ident.span(), format!("{} arguments; at most {} are allowed", all.len(), limits::ARGUMENTS_MAX));
    }
    all
}

/// The return type in words, and how its value becomes a result.
fn returns(output: &ReturnType) -> (String, TokenStream) {
    let ReturnType::Type(_, ty) = output else { return ("()".to_owned(), quote!(of_nothing)) };
    let words = spell(ty);
    if is_unit(ty) {
        return (words, quote!(of_nothing));
    }
    match result_of(ty) {
        Some(Some(inner)) if is_unit(inner) => (words, quote!(of_empty_result)),
        Some(_) => (words, quote!(of_result)),
        None => (words, quote!(of)),
    }
}

fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(t) if t.elems.is_empty())
}

/// The first argument of a type called `Result`; none if it is called otherwise.
pub fn result_of(ty: &Type) -> Option<Option<&Type>> {
    let segment = last_segment(ty).filter(|s| s.ident == "Result")?;
    let PathArguments::AngleBracketed(list) = &segment.arguments else { return Some(None) };
    Some(list.args.iter().find_map(|a| match a {
        GenericArgument::Type(t) => Some(t),
        _ => None,
    }))
}

/// A type as one writes it, without the spaces between tokens.
fn spell(ty: &Type) -> String {
    let mut text = quote!(#ty).to_string();
    for (from, to) in [(" :: ", "::"), (" < ", "<"), (" >", ">"), (" ,", ","), ("& ", "&"), ("< ", "<")] {
        text = text.replace(from, to);
    }
    text.chars().take(200).collect()
}
