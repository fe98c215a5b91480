//! The expansion of the three attributes.

mod companions;
mod identity;
mod loading;

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Expr, Path, Result, Signature, parse_quote, spanned::Spanned};

use self::identity::{code_of, code_of_resource, identity, plan, pool_plan};
use crate::{
    attributes::{self, written_at},
    function::AnnotatedFunction,
    key::{Chosen, KeySpec},
    options::AttributeOptions,
    returned,
};

/// `#[code]`: the unchanged function, and a companion that returns its code.
pub(crate) fn code(options: &AttributeOptions, function: &AnnotatedFunction) -> Result<TokenStream> {
    companions::check_place(
        function,
        "an `impl` of a trait has no room for the companion of this function: mark a function outside, and call that",
    )?;
    let AnnotatedFunction { attributes, visibility, signature, body } = function;
    let companion = companions::code(options, function);
    Ok(quote!(#(#attributes)* #visibility #signature #body #companion))
}

/// `#[memo]`: the function calls its memo, and has two companions.
pub(crate) fn memo(options: &AttributeOptions, function: &AnnotatedFunction) -> Result<TokenStream> {
    function.check()?;
    function.check_remembered(options)?;
    let handle = companions::name(options, function, "memo");
    if handle.is_some() {
        companions::check_place(
            function,
            "an `impl` of a trait has no room for the companions of this function: leave them out by \
             `#[memo(handle = none)]`",
        )?;
    }
    let key = KeySpec::new(function, &chosen(options))?;
    let identity = identity(options, function, &code_of(options, function), handle.is_some());
    let is_async = function.is_async();
    if is_async {
        options.check_async()?;
    }
    let asking = if options.is_loading && !is_async {
        loading::asking(options, function, &key, &identity)?
    } else {
        asking(options, function, &key, &identity)
    };
    let companions = handle.map(|name| {
        let handle = companions::handle(options, function, &key, &name, &identity);
        let code = companions::code(options, function);
        quote!(#handle #code)
    });
    Ok(quote!(#asking #companions))
}

/// `#[resource]`: the function calls its pool, and has a companion.
pub(crate) fn resource(options: &AttributeOptions, function: &AnnotatedFunction) -> Result<TokenStream> {
    function.check()?;
    function.check_owned("a shared resource")?;
    let handle = companions::name(options, function, "pool");
    if handle.is_some() {
        companions::check_place(
            function,
            "an `impl` of a trait has no room for the companion of this function: leave it out by \
             `#[resource(handle = none)]`",
        )?;
    }
    let key = KeySpec::new(function, &chosen(options))?;
    let code = code_of_resource(options, function);
    let identity = identity(options, function, &code, handle.is_some());
    let sharing = sharing(options, function, &key, &identity);
    let companion = handle.map(|name| companions::pool(options, function, &key, &name, &identity));
    Ok(quote!(#sharing #companion))
}

/// The function, with its body as the builder of its resource.
fn sharing(
    options: &AttributeOptions,
    function: &AnnotatedFunction,
    key: &KeySpec,
    identity: &TokenStream,
) -> TokenStream {
    let AnnotatedFunction { attributes, visibility, signature, .. } = function;
    let krate = &options.krate;
    let kind = returned::value(krate, function);
    let (key, plan) = (&key.value, pool_plan(options));
    let ttl = options.ttl.as_ref().map(|ttl| quote!(.ttl(#ttl)));
    let validate = options.validate.as_ref().map(|validate| validation(krate, function, validate));
    let (place, compute) = (written_at(function.returned().span()), compute(function));
    let names =
        if function.is_async() { ["resource_in_task", "share_in_task"] } else { ["resource", "share"] };
    let [resource, share] = names.map(|name| Ident::new(name, place));
    let wait = wait(function);
    let name = local("entry");
    let used = attributes::of_underscores(function);
    let (check, finish) = if function.result().is_some() {
        (None, quote!(#name.or_try_insert_with(#compute)))
    } else {
        let check = quote_spanned!(place=> #krate::internal::Returned::<#kind>::new().is_no_result(););
        (Some(check), quote!(#krate::internal::#share(#name, #compute)))
    };
    let signature = shared(krate, function, signature);
    let find = quote_spanned!(place=> #krate::internal::#resource::<#kind, _, _>);
    quote! {
        #used #(#attributes)* #visibility #signature {
            let #name = {
                #check
                static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
                #find(&__MEMOLITH_CELLS, #identity, #plan, #key)#ttl #validate
            };
            #finish #wait
        }
    }
}

/// The call that sets the validation of a resource. For an async function a closure tells by its `async` whether it is async.
/// A path may be either.
fn validation(krate: &Path, function: &AnnotatedFunction, validate: &Expr) -> TokenStream {
    if !function.is_async() {
        return quote!(.validate(#validate));
    }
    let check = match validate {
        Expr::Closure(closure) if closure.asyncness.is_some() => "check_in_task",
        Expr::Closure(_) => "check",
        _ => "check_either",
    };
    let (check, resource) = (Ident::new(check, written_at(validate.span())), local("resource"));
    quote!(.validate(async |#resource| #krate::internal::#check(#resource, #validate).await))
}

fn chosen(options: &AttributeOptions) -> Chosen<'_> {
    Chosen { krate: &options.krate, key: options.key.as_ref(), skip: &options.skip, files: &options.files }
}

/// The function, with its body as a closure of its memo.
fn asking(
    options: &AttributeOptions,
    function: &AnnotatedFunction,
    key: &KeySpec,
    identity: &TokenStream,
) -> TokenStream {
    let AnnotatedFunction { attributes, visibility, signature, .. } = function;
    let krate = &options.krate;
    let check = returned::checks_within(options, function);
    let memo = returned::opener(krate, function);
    let plan = plan(options);
    let key = &key.value;
    let place = written_at(function.returned().span());
    let call = Ident::new(if function.is_async() { "task" } else { "call" }, place);
    let call = quote_spanned!(place=> .#call);
    let finish = if function.result().is_some() { "fallible" } else { "plain" };
    let finish = Ident::new(finish, place);
    let (compute, wait) = (compute(function), wait(function));
    let name = local("call");
    let used = attributes::of_underscores(function);
    quote! {
        #used #(#attributes)* #visibility #signature {
            let #name = {
                #check
                static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
                #memo(&__MEMOLITH_CELLS, #identity, #plan)#call(#key)
            };
            #name.#finish(#compute) #wait
        }
    }
}

/// The signature of a resource, with an `Arc` around the shared object.
fn shared(krate: &Path, function: &AnnotatedFunction, signature: &Signature) -> Signature {
    let returned = function.returned();
    let mut signature = signature.clone();
    signature.output = match function.result() {
        None => parse_quote!(-> #krate::internal::Arc<#returned>),
        Some(arguments) => {
            let value = arguments.first().map(ToTokens::to_token_stream);
            let value = value.unwrap_or_else(|| quote!(<#returned as #krate::internal::Fallible>::Value));
            let error = arguments.get(1).map(ToTokens::to_token_stream);
            let error = error.unwrap_or_else(|| quote!(<#returned as #krate::internal::Fallible>::Error));
            parse_quote!(-> ::core::result::Result<#krate::internal::Arc<#value>, #error>)
        }
    };
    signature
}

/// The body as a closure: `return` and `?` leave the closure as they left the function. An async one owns the arguments, so
/// that its future is `Send` where that of the function was.
fn compute(function: &AnnotatedFunction) -> TokenStream {
    let (returned, body) = (function.returned(), &function.body);
    let keywords = function.is_async().then(|| quote!(async move));
    quote!(#keywords || -> #returned #body)
}

/// Awaits the call of an async function.
fn wait(function: &AnnotatedFunction) -> Option<TokenStream> {
    function.is_async().then(|| quote!(.await))
}

/// A variable that is hidden from the body.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

#[cfg(test)]
mod tests;
