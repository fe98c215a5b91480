//! The companions of a function: the handle of its memo, and a function that returns its code.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Error, Path, Result, VisRestricted, Visibility, ext::IdentExt, spanned::Spanned};

use super::identity::{code_name, code_of, plan, pool_plan};
use crate::{
    attributes::{of_companion, of_hidden_companion, written_at},
    function::AnnotatedFunction,
    key::KeySpec,
    lifetimes::generics_to_static,
    options::{AttributeOptions, HandleOption},
    returned, surroundings,
};

/// The name of the handle, if there is one. `suffix` is the end of the usual name.
pub(super) fn name(options: &AttributeOptions, function: &AnnotatedFunction, suffix: &str) -> Option<Ident> {
    let mut name = match &options.handle {
        HandleOption::Without => return None,
        HandleOption::Usual => format_ident!("{}_{suffix}", function.signature.ident.unraw()),
        HandleOption::Named(name) => name.clone(),
    };
    name.set_span(written_at(function.signature.ident.span()));
    Some(name)
}

/// Refuses a function that can have no companions.
pub(super) fn check_place(function: &AnnotatedFunction, message: &str) -> Result<()> {
    let name = &function.signature.ident;
    // A function with a `pub` is in no `impl` of a trait.
    match function.visibility {
        Visibility::Inherited if surroundings::is_in_trait_impl(name) => {
            Err(Error::new(name.span(), message))
        }
        _ => Ok(()),
    }
}

/// The companion that returns the memo.
pub(super) fn handle(
    options: &AttributeOptions,
    function: &AnnotatedFunction,
    key: &KeySpec,
    name: &Ident,
    identity: &TokenStream,
) -> TokenStream {
    let krate = &options.krate;
    let (kind, value) = (key_kind(krate, key), returned::handle_value(krate, function));
    let place = written_at(function.returned().span());
    let open = if function.result().is_some() {
        quote_spanned!(place=> #krate::internal::handle::<#kind, #value, _, _, _>)
    } else {
        quote_spanned!(place=> #krate::internal::Returned::<#value>::new().handle)
    };
    let docs = format!(
        "The memo of `{}`: to clear it, to remove values from it, and to read its counters.",
        function.signature.ident
    );
    let handle = Handle { name, docs, kind: quote!(Memo<#kind, #value>), open, plan: plan(options) };
    handle.written(krate, function, identity)
}

/// The companion that returns the pool of a function under `#[resource]`.
pub(super) fn pool(
    options: &AttributeOptions,
    function: &AnnotatedFunction,
    key: &KeySpec,
    name: &Ident,
    identity: &TokenStream,
) -> TokenStream {
    let krate = &options.krate;
    let (kind, value) = (key_kind(krate, key), returned::handle_value(krate, function));
    let place = written_at(function.returned().span());
    let open = quote_spanned!(place=> #krate::internal::pool::<#kind, #value, _>);
    let docs = format!(
        "The resources of `{}`: to remove them, and to read their counters.",
        function.signature.ident
    );
    let kind = quote!(FunctionPool<#kind, #value>);
    let handle = Handle { name, docs, kind, open, plan: pool_plan(options) };
    handle.written(krate, function, identity)
}

/// The key type of a handle.
fn key_kind(krate: &Path, key: &KeySpec) -> TokenStream {
    key.kind.as_ref().map_or_else(|| quote!(#krate::internal::Unnamed), ToTokens::to_token_stream)
}

/// The parts in which the two handles differ.
struct Handle<'a> {
    name: &'a Ident,
    docs: String,
    /// What it returns, of the module `internal`.
    kind: TokenStream,
    /// The function that opens it.
    open: TokenStream,
    plan: TokenStream,
}

impl Handle<'_> {
    fn written(self, krate: &Path, function: &AnnotatedFunction, identity: &TokenStream) -> TokenStream {
        let Self { name, docs, kind, open, plan } = self;
        let (visibility, attributes) = (visibility(function), of_companion(function));
        let generics = generics_to_static(&function.signature.generics);
        let (_, _, bounds) = generics.split_for_impl();
        // For an alias without arguments the types are equal by definition.
        let is_guessed = function.result().is_some_and(|arguments| !arguments.is_empty());
        let same = is_guessed.then(|| {
            let (value, returned) =
                (returned::handle_value(krate, function), returned::returned_to_static(function));
            let place = written_at(function.returned().span());
            quote_spanned!(place=> #krate::internal::same::<#value, #returned>();)
        });
        quote! {
            #[doc = #docs]
            #attributes
            #visibility fn #name #generics () -> &'static #krate::internal::#kind #bounds {
                #same
                static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
                #open(&__MEMOLITH_CELLS, #identity, #plan)
            }
        }
    }
}

/// The companion that returns the function's code, for functions that depend on it.
pub(super) fn code(options: &AttributeOptions, function: &AnnotatedFunction) -> TokenStream {
    let krate = &options.krate;
    let (visibility, attributes) = (visibility(function), of_hidden_companion(function));
    let mut name = code_name(&function.signature.ident);
    name.set_span(written_at(name.span()));
    let code = code_of(options, function);
    quote! {
        #[doc(hidden)]
        #attributes
        #visibility const fn #name() -> #krate::internal::Code {
            const { #code }
        }
    }
}

/// The visibility of the function, at another span. A lint about an unreachable `pub` takes the span of the first token of an
/// item, and the function has that lint already.
fn visibility(function: &AnnotatedFunction) -> Visibility {
    let mut visibility = function.visibility.clone();
    if let Visibility::Public(public) | Visibility::Restricted(VisRestricted { pub_token: public, .. }) =
        &mut visibility
    {
        public.span = written_at(public.span());
    }
    visibility
}
