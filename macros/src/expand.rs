//! What the three attributes turn a function into.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{
    FnArg, Pat, PatType, Path, Result, ReturnType, Signature, Type, parse_quote, parse_quote_spanned,
    spanned::Spanned,
};

use crate::{
    function::Function,
    key::{AskedBy, Chosen},
    lifetimes::{forever, forever_generics},
    options::{Handle, Options},
    tokens,
};

/// `#[code]`: the function as it is, and a companion that tells the hash of its tokens.
pub(crate) fn code(options: &Options, function: &Function) -> TokenStream {
    let Function { attributes, visibility, signature, body } = function;
    let companion = code_companion(options, function);
    quote!(#(#attributes)* #visibility #signature #body #companion)
}

/// `#[memo]`: the function asks its memo, and two companions stand beside it.
pub(crate) fn memo(options: &Options, function: &Function) -> Result<TokenStream> {
    function.check()?;
    function.check_returned("what is remembered")?;
    let key = AskedBy::new(function, &chosen(options))?;
    let asking = asking(options, function, &key);
    let companions = match &options.handle {
        Handle::Without => None,
        Handle::Usual => Some(format_ident!("{}_memo", function.signature.ident)),
        Handle::Named(name) => Some(name.clone()),
    };
    let companions = companions.map(|name| {
        let handle = handle(options, function, &key, &name);
        let code = code_companion(options, function);
        quote!(#handle #code)
    });
    Ok(quote!(#asking #companions))
}

/// `#[resource]`: the function asks the pool of the process.
pub(crate) fn resource(options: &Options, function: &Function) -> Result<TokenStream> {
    function.check()?;
    function.check_returned("what is shared")?;
    let key = AskedBy::new(function, &chosen(options))?;
    let Function { attributes, visibility, signature, .. } = function;
    let krate = &options.krate;
    let Value { kind, check } = value(krate, function);
    let key = key.value;
    let ttl = options.ttl.as_ref().map(|ttl| quote!(.ttl(#ttl)));
    let validate = options.validate.as_ref().map(|validate| quote!(.validate(#validate)));
    let finish =
        if function.result().is_some() { quote!(or_try_insert_with) } else { quote!(or_insert_with) };
    let compute = compute(function);
    let name = local("entry");
    let used = underscored(signature);
    let signature = shared(krate, function, signature);
    let find = quote_spanned!(kind.span()=> #krate::internal::resource::<#kind, _, _>);
    Ok(quote! {
        #(#attributes)* #used #visibility #signature {
            let #name = {
                #check
                static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
                #find(&__MEMOLITH_CELLS, || (), #key)#ttl #validate
            };
            #name.#finish(#compute)
        }
    })
}

/// A name with an underscore is left out of the key, and used in the body all the same.
fn underscored(signature: &Signature) -> Option<TokenStream> {
    let is_underscored = |input: &FnArg| match input {
        FnArg::Typed(PatType { pat, .. }) => {
            matches!(&**pat, Pat::Ident(named) if named.ident.to_string().starts_with('_'))
        }
        FnArg::Receiver(_) => false,
    };
    let reason = "the underscore leaves it out of the key";
    signature
        .inputs
        .iter()
        .any(is_underscored)
        .then(|| quote!(#[allow(clippy::used_underscore_binding, reason = #reason)]))
}

fn chosen(options: &Options) -> Chosen<'_> {
    Chosen { krate: &options.krate, key: options.key.as_ref(), skip: &options.skip, files: &options.files }
}

/// The function itself, whose body became a closure of its memo.
fn asking(options: &Options, function: &Function, key: &AskedBy) -> TokenStream {
    let Function { attributes, visibility, signature, .. } = function;
    let krate = &options.krate;
    let Value { kind, check } = value(krate, function);
    let (identity, plan) = (identity(options, function), plan(options));
    let key = &key.value;
    let finish = if function.result().is_some() { quote!(fallible) } else { quote!(plain) };
    let compute = compute(function);
    let name = local("call");
    let memo = quote_spanned!(kind.span()=> #krate::internal::memo::<#kind, _, _, _>);
    let used = underscored(signature);
    quote! {
        #(#attributes)* #used #visibility #signature {
            let #name = {
                #check
                static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
                #krate::internal::call(#memo(&__MEMOLITH_CELLS, #identity, #plan), #key)
            };
            #name.#finish(#compute)
        }
    }
}

/// The companion that hands out the memo.
fn handle(options: &Options, function: &Function, key: &AskedBy, name: &Ident) -> TokenStream {
    let Function { visibility, signature, .. } = function;
    let krate = &options.krate;
    let kind = key.kind.as_ref().map_or_else(|| quote!(#krate::internal::Unnamed), ToTokens::to_token_stream);
    let value = handle_value(krate, function);
    let (identity, plan) = (identity(options, function), plan(options));
    let generics = forever_generics(&signature.generics);
    let (_, _, bounds) = generics.split_for_impl();
    let docs = format!(
        "The memo of `{}`: to clear, to remove from, and to count what it remembers.",
        signature.ident
    );
    let returned = function.result().map(|_| forever_returned(function));
    let same = returned.map(|returned| quote!(#krate::internal::same::<#value, #returned>();));
    quote! {
        #[doc = #docs]
        #[allow(dead_code, reason = "who never asks for the memo need not leave it out")]
        #[allow(clippy::multiple_bound_locations, reason = "`'static` is added to the bounds of the function")]
        #visibility fn #name #generics () -> &'static #krate::internal::Memo<#kind, #value> #bounds {
            #same
            static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
            #krate::internal::handle::<#kind, #value, _, _, _>(&__MEMOLITH_CELLS, #identity, #plan)
        }
    }
}

/// What is asked for the hash of a function's tokens: not a name that anybody would give a function of his own.
fn code_name(function: &Ident) -> Ident {
    format_ident!("memolith_code_of_{function}")
}

/// The companion that tells the hash of the function's tokens, for those who depend on it.
fn code_companion(options: &Options, function: &Function) -> TokenStream {
    let visibility = &function.visibility;
    let name = code_name(&function.signature.ident);
    let code = code_of(options, function);
    quote! {
        #[doc(hidden)]
        #[allow(dead_code, reason = "for those who depend on it, if there are any")]
        #visibility const fn #name() -> ::core::primitive::u64 {
            #code
        }
    }
}

/// The hash of the function's tokens and of those it depends on.
fn code_of(options: &Options, function: &Function) -> TokenStream {
    let krate = &options.krate;
    let own = tokens::hash(&function.signature, &function.body, options.about_key());
    let others = options.depends.iter().map(|path| {
        let mut path = path.clone();
        if let Some(last) = path.segments.last_mut() {
            last.ident = code_name(&last.ident);
            last.arguments = syn::PathArguments::None;
        }
        quote!(#path())
    });
    quote!(#krate::internal::code(#own, &[#(#others),*]))
}

/// Who the function is, as both of its doors say.
fn identity(options: &Options, function: &Function) -> TokenStream {
    let krate = &options.krate;
    let name = function.signature.ident.to_string();
    let chosen = options.name.as_ref().map(|chosen| quote!(::core::option::Option::Some(#chosen)));
    let chosen = chosen.unwrap_or_else(|| quote!(::core::option::Option::None));
    let code = code_of(options, function);
    quote!(#krate::internal::Function { name: #name, chosen: #chosen, code: const { #code } })
}

/// The closure that says in which store and with which options the memo is opened. It captures nothing.
fn plan(options: &Options) -> TokenStream {
    let krate = &options.krate;
    let (plan, settings) = (local("plan"), &options.builder);
    let store = options
        .store
        .as_ref()
        .map_or_else(|| quote!(#krate::internal::default_store()), ToTokens::to_token_stream);
    let ttl = options.ttl.as_ref().map(|ttl| quote!(.ttl(#ttl)));
    let version = options.version.as_ref().map(|version| quote!(.version(#version)));
    let builder = quote!(#plan #version #ttl #(#settings)*);
    // Of each of these the two doors have a value of their own, so that they go through functions of ours.
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

/// The value type of a function, and a statement by which the compiler checks what the names suggested.
struct Value {
    kind: Type,
    check: TokenStream,
}

fn value(krate: &Path, function: &Function) -> Value {
    let returned = function.returned();
    let span = returned.span();
    if function.result().is_some() {
        let kind = parse_quote_spanned!(span=> <#returned as #krate::internal::Fallible>::Value);
        return Value { kind, check: TokenStream::new() };
    }
    let check = quote_spanned! {span=>
        {
            #[allow(unused_imports, reason = "a result under another name has a method of its own")]
            use #krate::internal::Plain as _;
            #krate::internal::Returned::<#returned>::new().is_no_result();
        }
    };
    Value { kind: parse_quote!(#returned), check }
}

/// The value type as the handle names it: what stands in `Result<..>`, or what an alias without arguments hides.
fn handle_value(krate: &Path, function: &Function) -> TokenStream {
    let Some(arguments) = function.result() else { return function.returned() };
    let hidden = || {
        let returned = forever_returned(function);
        quote!(<#returned as #krate::internal::Fallible>::Value)
    };
    arguments.first().map_or_else(hidden, |value| forever(value).to_token_stream())
}

fn forever_returned(function: &Function) -> TokenStream {
    match &function.signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, returned) => forever(returned).to_token_stream(),
    }
}

/// The signature of a resource, with `Arc` around what is shared.
fn shared(krate: &Path, function: &Function, signature: &Signature) -> Signature {
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

/// The body, as a closure: `return` and `?` leave it as they left the function.
fn compute(function: &Function) -> TokenStream {
    let (returned, body) = (function.returned(), &function.body);
    quote!(|| -> #returned #body)
}

/// A variable that the body cannot see.
fn local(name: &str) -> Ident {
    Ident::new(name, Span::mixed_site())
}

#[cfg(test)]
mod tests {
    use syn::parse::Parser;

    use super::*;

    const FUNCTION: &str =
        "/// Docs.\npub fn load<T: Copy>(text: &str, _db: &Db, size: T) -> Result<T, Error> { Ok(size) }";

    /// Blanks as `quote` leaves them.
    #[track_caller]
    fn written(
        expand: impl FnOnce(&Options, &Function) -> Result<TokenStream>,
        options: syn::Result<Options>,
    ) -> String {
        expand(&options.unwrap(), &syn::parse_str(FUNCTION).unwrap()).unwrap().to_string()
    }

    #[test]
    fn under_another_crate_name_nothing_is_called_memolith() {
        let [of_memo, of_resource, of_code] = [
            written(memo, Options::memo.parse_str("crate = cache, ttl = \"1h\", depends(a::b), files(text)")),
            written(resource, Options::resource.parse_str("crate = cache, ttl = \"1h\", files(text)")),
            written(
                |options, function| Ok(code(options, function)),
                Options::code.parse_str("crate = cache, depends(a::b)"),
            ),
        ];
        for written in [of_memo, of_resource, of_code] {
            assert!(!written.contains("memolith ::") && written.contains("cache :: internal"), "{written}");
        }
    }

    #[test]
    fn a_function_keeps_its_docs_visibility_generics_and_result() {
        let written = written(memo, Ok(Options::default()));
        let head =
            "pub fn load < T : Copy > (text : & str , _db : & Db , size : T) -> Result < T , Error > {";
        assert!(written.starts_with("# [doc = \" Docs.\"]") && written.contains(head), "{written}");
        let handle = "pub fn load_memo < T : Copy + 'static > () -> & 'static :: memolith :: internal :: Memo < \
                      (& 'static str , T ,) , T > {";
        assert!(written.contains(handle), "{written}");
    }

    #[test]
    fn a_resource_is_handed_out_in_an_arc() {
        let written = written(resource, Ok(Options::default()));
        assert!(
            written
                .contains("-> :: core :: result :: Result < :: memolith :: internal :: Arc < T > , Error >"),
            "{written}"
        );
    }
}
