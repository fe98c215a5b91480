//! The identity of a function, and the plan that opens its memo. Both entry points write the same.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Path, PathArguments, ext::IdentExt, spanned::Spanned};

use super::local;
use crate::{
    built_in,
    function::AnnotatedFunction,
    options::{AttributeOptions, CodecOption},
    tokens,
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
    quote! {
        #krate::internal::Code { tokens: #tokens, built_in: &[#(#built_in),*], depends: &[#(#depends()),*] }
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

/// The identity of the function, equal at both of its entry points.
pub(super) fn identity(options: &AttributeOptions, function: &AnnotatedFunction) -> TokenStream {
    let krate = &options.krate;
    let name = function.signature.ident.unraw().to_string();
    let chosen = options.name.as_ref().map(|chosen| quote!(::core::option::Option::Some(#chosen)));
    let chosen = chosen.unwrap_or_else(|| quote!(::core::option::Option::None));
    let code = code_of(options, function);
    let fallible = function.result().is_some();
    quote! {
        const { &#krate::internal::Function { name: #name, chosen: #chosen, code: #code, fallible: #fallible } }
    }
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
    let builder = quote!(#plan #version #ttl #(#settings)* #codec);
    // The two entry points have a value of their own for each of these options, so functions of memolith set them.
    let through =
        [("cache_if", &options.cache_if), ("observer", &options.observer), ("spinner", &options.spinner)];
    let builder = through.into_iter().fold(builder, |builder, (option, value)| match value {
        Some(value) => {
            let option = Ident::new(option, value.span());
            quote_spanned!(value.span()=> #krate::internal::#option(#builder, #value))
        }
        None => builder,
    });
    quote!(|#plan| (#store, #builder))
}
