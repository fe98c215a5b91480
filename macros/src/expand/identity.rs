//! The identity of a function, and the plan that opens its memo. Both entry points write the same.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{FnArg, GenericParam, Path, PathArguments, ext::IdentExt, spanned::Spanned};

use super::local;
use crate::{
    built_in,
    function::AnnotatedFunction,
    options::{AttributeOptions, CodecOption},
    release, surroundings, tokens, twins,
};

/// The prefix of the companion that returns the code of a function. No user would choose this name.
pub(super) fn code_name(function: &Ident) -> Ident {
    format_ident!("memolith_code_of_{}", function.unraw(), span = function.span())
}

/// The code of a function, and of the functions that it depends on.
pub(super) fn code_of(options: &AttributeOptions, function: &AnnotatedFunction) -> TokenStream {
    let krate = &options.krate;
    let tokens = tokens::hash(&function.signature, &function.body, options.about_key());
    let built_in = built_in::elements(krate, function);
    let depends = options.depends.iter().map(code_path);
    let release = release::current();
    quote! {
        #krate::internal::Code {
            release: #release, tokens: #tokens, built_in: &[#(#built_in),*], depends: &[#(#depends()),*]
        }
    }
}

/// The path of the companion that returns the code of the function at `path`.
fn code_path(path: &Path) -> Path {
    let mut path = path.clone();
    if let Some(last) = path.segments.last_mut() {
        last.ident = code_name(&last.ident);
        last.arguments = PathArguments::None;
    }
    path
}

/// The code of a function under `#[resource]`. Its resources do not outlive the process, so this links its two entry points,
/// and nothing else.
pub(super) fn code_of_resource(options: &AttributeOptions, function: &AnnotatedFunction) -> TokenStream {
    let krate = &options.krate;
    let tokens = tokens::hash(&function.signature, &function.body, options.about_key());
    let release = release::current();
    quote!(#krate::internal::Code { release: #release, tokens: #tokens, built_in: &[], depends: &[] })
}

/// The identity of the function, for both of its entry points. Call it once, because it counts the function.
pub(super) fn identity(
    options: &AttributeOptions,
    function: &AnnotatedFunction,
    code: &TokenStream,
    has_handle: bool,
) -> TokenStream {
    let krate = &options.krate;
    let name = function.signature.ident.unraw().to_string();
    let chosen = options.name.as_ref().map(|chosen| quote!(::core::option::Option::Some(#chosen)));
    let chosen = chosen.unwrap_or_else(|| quote!(::core::option::Option::None));
    let fallible = function.result().is_some();
    let text = tokens::hash(&function.signature, &function.body, options.about_key());
    // A version replaces the hash, so functions of two texts may have one.
    let printed = options
        .name
        .as_ref()
        .map_or_else(|| name.clone(), |chosen| format!("name {}", chosen.to_token_stream()));
    let twin = twins::number(printed, if options.version.is_some() { 0 } else { text });
    let takes_self = takes_self(function);
    let types = has_handle.then(|| types(krate, function));
    let types = types.unwrap_or_else(|| quote!(#krate::internal::Types::OfClosure));
    quote! {
        const {
            &#krate::internal::Function {
                name: #name, chosen: #chosen, code: #code, fallible: #fallible,
                module: ::core::module_path!(), twin: #twin, takes_self: #takes_self, types: #types
            }
        }
    }
}

fn takes_self(function: &AnnotatedFunction) -> bool {
    function.signature.inputs.iter().any(|input| matches!(input, FnArg::Receiver(_)))
}

/// The types that distinguish the instances of the function, as both of its entry points can name them: its type parameters,
/// and `Self` where that is known to exist.
fn types(krate: &Path, function: &AnnotatedFunction) -> TokenStream {
    let signature = &function.signature;
    let parameters = signature.generics.params.iter().filter_map(|parameter| match parameter {
        GenericParam::Type(parameter) => Some(&parameter.ident),
        GenericParam::Lifetime(_) | GenericParam::Const(_) => None,
    });
    let parameters = quote!(#(fn() -> ::core::marker::PhantomData<#parameters>,)*);
    let has_self = takes_self(function)
        || tokens::contain(signature.to_token_stream(), "Self")
        || surroundings::is_in_impl(&signature.ident);
    let (kind, of_self) = if has_self {
        ("OfBoth", Some(quote!(fn() -> ::core::marker::PhantomData<Self>,)))
    } else {
        ("OfParameters", None)
    };
    let kind = format_ident!("{kind}");
    quote!(#krate::internal::Types::#kind(#krate::internal::number_of_types::<(#of_self #parameters)>))
}

/// The closure that returns the store and the options of the memo. It captures nothing.
pub(super) fn plan(options: &AttributeOptions) -> TokenStream {
    let krate = &options.krate;
    let (plan, settings) = (local("plan"), &options.builder);
    let store = options
        .store
        .as_ref()
        .map_or_else(|| quote!(#krate::internal::default_store()), ToTokens::to_token_stream);
    let ttl = options.ttl.as_ref().map(|ttl| quote!(.ttl(#ttl)));
    let version = options.version.as_ref().map(|version| quote!(.version(#version)));
    let codec = options.codec.as_ref().map(|codec| match codec {
        CodecOption::Auto(span) => quote_spanned!(*span=> .codec(#krate::codec::Auto::new())),
        CodecOption::Given(codec) => quote!(.codec(#codec)),
    });
    let builder = through(options, quote!(#plan #version #ttl #(#settings)* #codec));
    quote!(|#plan| (#store, #builder))
}

/// The closure that sets the options of the pool of a function. It captures nothing.
pub(super) fn pool_plan(options: &AttributeOptions) -> TokenStream {
    let (plan, settings) = (local("plan"), &options.builder);
    let builder = through(options, quote!(#plan #(#settings)*));
    quote!(|#plan| #builder)
}

/// The builder with the options that functions of memolith set, because the two entry points of a memo have a value of their
/// own for each of these.
fn through(options: &AttributeOptions, builder: TokenStream) -> TokenStream {
    let krate = &options.krate;
    let effects = options.effects.iter().map(|handler| ("effects", handler));
    let through =
        [("cache_if", &options.cache_if), ("observer", &options.observer), ("spinner", &options.spinner)];
    let through = through.into_iter().filter_map(|(option, value)| Some((option, value.as_ref()?)));
    through.chain(effects).fold(builder, |builder, (option, value)| {
        let option = Ident::new(option, value.span());
        quote_spanned!(value.span()=> #krate::internal::#option(#builder, #value))
    })
}
