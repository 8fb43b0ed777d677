//! `#[derive(Instruments)]`.

mod control;
mod field;
mod handle;
mod settings;

use proc_macro2::TokenStream;
use quote::quote;
use syn::spanned::Spanned;
use syn::{Data, DeriveInput, Fields};
use tif_core::limits;
use tif_core::model::Name;

use crate::attribute::Entries;
use crate::errors::Errors;
use crate::name::Taken;
pub use handle::{class_of, last_segment};

use field::Field;

const STRUCT_KEYS: &[&str] = &["service", "path", "standby"];

/// What stands above the struct.
struct Header {
    service: Option<String>,
    path: String,
    standby: bool,
}

impl Header {
    fn read(input: &DeriveInput, errors: &mut Errors) -> Header {
        let mut entries = Entries::of(&input.attrs, "tif", errors);
        let service = entries.text("service", errors);
        if let Some(lit) = &service {
            check_service(lit, errors);
        }
        let path = entries.text("path", errors);
        if let Some(lit) = &path
            && let Err(e) = lit.value().parse::<Name>()
        {
            errors.at(lit.span(), format!("not a path: {e}"));
        }
        let standby = entries.flag("standby", errors);
        if service.is_none() && (path.is_some() || standby) {
            let span = path.as_ref().map_or(input.ident.span(), |p| p.span());
            errors.at(span, "`path` and `standby` go with `service = \"...\"`; a struct without a service is nested in another, which gives it its path");
        }
        entries.finish("a struct of instruments", STRUCT_KEYS, field::KEYS, errors);
        Header { service: service.map(|s| s.value()), path: path.map(|p| p.value()).unwrap_or_default(), standby }
    }
}

/// Reports a text that cannot be a service's name.
pub fn check_service(lit: &syn::LitStr, errors: &mut Errors) {
    if let Err(e) = lit.value().parse::<Name>() {
        errors.at(lit.span(), format!("not a service's name: {e}"));
    } else if lit.value().len() > limits::PROCESS_NAME_LEN_MAX - 8 {
        // Room for the number behind the name of a process: orders-1.
        errors.at(lit.span(), format!("a service's name has at most {} bytes", limits::PROCESS_NAME_LEN_MAX - 8));
    }
}

/// The whole derive.
pub fn expand(input: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(input) {
        Ok(input) => input,
        Err(e) => return e.to_compile_error(),
    };
    let mut errors = Errors::default();
    let header = Header::read(&input, &mut errors);
    let Data::Struct(data) = &input.data else {
        errors.at(input.ident.span(), "instruments are declared as a struct with named fields, one field an instrument");
        return errors.with(TokenStream::new());
    };
    let named = match &data.fields {
        Fields::Named(named) => &named.named,
        other => {
            let span = if other.is_empty() { input.ident.span() } else { other.span() };
            errors.at(span, "instruments are declared as a struct with named fields, one field an instrument");
            return errors.with(TokenStream::new());
        }
    };
    if !input.generics.params.is_empty() {
        errors.at(input.generics.span(), "a struct of instruments cannot be generic: which names would it declare?");
        return errors.with(TokenStream::new());
    }
    let mut taken = Taken::default();
    let fields: Vec<Field> = named.iter().map(|f| Field::read(f, &mut taken, &mut errors)).collect();
    let body = if errors.is_empty() { declare(&input, &fields) } else { quote!(::core::unreachable!()) };
    let code = generate(&input, &header, &fields, &body);
    errors.with(code)
}

/// What makes a struct of handles in a scope.
fn declare(input: &DeriveInput, fields: &[Field]) -> TokenStream {
    let ident = &input.ident;
    let inits = fields.iter().map(|f| &f.init);
    let checks = fields.iter().map(|f| &f.check);
    quote! {
        #(#checks)*
        #ident { #(#inits),* }
    }
}

/// The impls. With mistakes in a declaration they are there all the same, so that its uses do not show as mistakes, too.
fn generate(input: &DeriveInput, header: &Header, fields: &[Field], body: &TokenStream) -> TokenStream {
    let (ident, vis) = (&input.ident, &input.vis);
    let names = fields.iter().flat_map(|f| &f.names);
    let mut code = quote! {
        impl ::tif::Instruments for #ident {
            const NAMES: &'static [&'static str] = &[#(#names),*];
            fn declare(scope: &::tif::declare::Scope<'_>) -> Self {
                #body
            }
        }
    };
    if let Some(service) = &header.service {
        let (path, standby) = (&header.path, header.standby);
        code.extend(quote! {
            impl ::tif::Root for #ident {
                const SERVICE: &'static str = #service;
                const PATH: &'static str = #path;
                const STANDBY: bool = #standby;
                fn procedures() -> &'static [::tif::declare::Procedure<Self>] {
                    // Those of #[tif::procedures] if the struct has it, else the trait's, which are none.
                    // Named here, the trait is of use to the compiler in both.
                    use ::tif::declare::NoProcedures as TifNoProcedures;
                    const _: &[::tif::declare::Procedure<#ident>] = <#ident as TifNoProcedures>::TIF_PROCEDURES;
                    <#ident>::TIF_PROCEDURES
                }
            }
            impl #ident {
                /// The same handles without a service or an agent behind them, for tests.
                #vis fn detached() -> ::tif::Instance<Self> {
                    ::tif::Instance::detached()
                }
                /// One more set of these instruments, told apart by its dimensions; it is withdrawn when the value is dropped.
                #vis fn export(dims: ::tif::Dims) -> ::tif::Instance<Self> {
                    ::tif::Instance::export(dims)
                }
            }
            // Not every service has tests or instances: this is use enough for the compiler.
            const _: (fn() -> ::tif::Instance<#ident>, fn(::tif::Dims) -> ::tif::Instance<#ident>) = (<#ident>::detached, <#ident>::export);
        });
    }
    code
}
