//! The companions of a function: the handle of its memo, and a function that returns its code.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Error, Result, VisRestricted, Visibility, ext::IdentExt, spanned::Spanned};

use super::identity::{code_name, code_of, plan};
use crate::{
    attributes::{of_companion, of_hidden_companion, written_at},
    function::AnnotatedFunction,
    key::KeySpec,
    lifetimes::generics_to_static,
    options::{AttributeOptions, HandleOption},
    returned, surroundings,
};

/// The name of the handle, if there is one.
pub(super) fn name(options: &AttributeOptions, function: &AnnotatedFunction) -> Option<Ident> {
    let mut name = match &options.handle {
        HandleOption::Without => return None,
        HandleOption::Usual => format_ident!("{}_memo", function.signature.ident.unraw()),
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
    let (visibility, attributes) = (visibility(function), of_companion(function));
    let kind = key.kind.as_ref().map_or_else(|| quote!(#krate::internal::Unnamed), ToTokens::to_token_stream);
    let value = returned::handle_value(krate, function);
    let plan = plan(options);
    let generics = generics_to_static(&function.signature.generics);
    let (_, _, bounds) = generics.split_for_impl();
    let docs = format!(
        "The memo of `{}`: to clear it, to remove values from it, and to read its counters.",
        function.signature.ident
    );
    let place = written_at(function.returned().span());
    let (same, open) = if let Some(arguments) = function.result() {
        let returned = returned::returned_to_static(function);
        // For an alias without arguments the types are equal by definition.
        let is_guessed = !arguments.is_empty();
        let same = quote_spanned!(place=> #krate::internal::same::<#value, #returned>(););
        let open = quote_spanned!(place=> #krate::internal::handle::<#kind, #value, _, _, _>);
        (is_guessed.then_some(same), open)
    } else {
        (None, quote_spanned!(place=> #krate::internal::Returned::<#value>::new().handle))
    };
    quote! {
        #[doc = #docs]
        #attributes
        #visibility fn #name #generics () -> &'static #krate::internal::Memo<#kind, #value> #bounds {
            #same
            static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
            #open(&__MEMOLITH_CELLS, #identity, #plan)
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
