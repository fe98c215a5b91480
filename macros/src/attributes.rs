//! The attributes of a function, and those that its companions have too.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, FnArg, Ident, Meta, Pat, PatType, Token,
    ext::IdentExt,
    parse::{Parse, ParseStream},
    punctuated::Punctuated,
};

use crate::function::AnnotatedFunction;

/// A companion is beside its function, and names the same types under the same lints. An unused companion must cause no
/// warning, so `expect` becomes `allow`.
pub(crate) fn of_companion(function: &AnnotatedFunction) -> TokenStream {
    let kept = |meta: &Meta| {
        let path = meta.path();
        if path.is_ident("expect") {
            return meta.require_list().ok().map(|list| {
                let lints = &list.tokens;
                quote!(allow(#lints))
            });
        }
        let copied = ["allow", "warn", "deny", "forbid", "cfg", "deprecated"];
        let is_copied = copied.iter().any(|name| path.is_ident(name)) || is_hidden(meta);
        is_copied.then(|| meta.to_token_stream())
    };
    filtered(&function.attributes, &kept)
}

/// The attributes of the companion with the code, which no user calls.
pub(crate) fn of_hidden_companion(function: &AnnotatedFunction) -> TokenStream {
    conditions(function)
}

/// The `#[cfg(..)]` conditions of the function.
pub(crate) fn conditions(function: &AnnotatedFunction) -> TokenStream {
    filtered(&function.attributes, &|meta| meta.path().is_ident("cfg").then(|| meta.to_token_stream()))
}

/// A parameter whose name begins with an underscore is left out of the key, but the body may use it.
pub(crate) fn of_underscores(function: &AnnotatedFunction) -> Option<TokenStream> {
    let is_used = |input: &FnArg| match input {
        FnArg::Typed(PatType { pat, .. }) => matches!(
            &**pat,
            Pat::Ident(named) if named.ident.unraw().to_string().starts_with('_') && names(function.body.stream(), &named.ident)
        ),
        FnArg::Receiver(_) => false,
    };
    let reason = "the underscore leaves it out of the key";
    let used = function.signature.inputs.iter().any(is_used);
    used.then(|| quote!(#[allow(clippy::used_underscore_binding, reason = #reason)]))
}

fn names(stream: TokenStream, name: &Ident) -> bool {
    stream.into_iter().any(|tree| match tree {
        TokenTree::Ident(found) => found == *name,
        TokenTree::Group(group) => names(group.stream(), name),
        _ => false,
    })
}

fn is_hidden(meta: &Meta) -> bool {
    let Meta::List(list) = meta else { return false };
    list.path.is_ident("doc") && list.tokens.to_string() == "hidden"
}

/// Maps each attribute, and each one within a `cfg_attr`, by `kept`.
fn filtered(attributes: &[Attribute], kept: &dyn Fn(&Meta) -> Option<TokenStream>) -> TokenStream {
    let kept = attributes.iter().filter_map(|attribute| within(&attribute.meta, kept));
    kept.map(|meta| quote!(#[#meta])).collect()
}

fn within(meta: &Meta, kept: &dyn Fn(&Meta) -> Option<TokenStream>) -> Option<TokenStream> {
    if !meta.path().is_ident("cfg_attr") {
        return kept(meta);
    }
    let Conditional { predicate, attributes } = meta.require_list().ok()?.parse_args().ok()?;
    let kept: Vec<TokenStream> = attributes.iter().filter_map(|meta| within(meta, kept)).collect();
    (!kept.is_empty()).then(|| quote!(cfg_attr(#predicate, #(#kept),*)))
}

/// The arguments of `cfg_attr(..)`.
struct Conditional {
    predicate: TokenStream,
    attributes: Punctuated<Meta, Token![,]>,
}

impl Parse for Conditional {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut predicate = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            predicate.extend([input.parse::<TokenTree>()?]);
        }
        let _: Option<Token![,]> = input.parse()?;
        Ok(Self { predicate, attributes: Punctuated::parse_terminated(input)? })
    }
}

/// A span at the place of another, for generated names and repeated types, so that lints about the user's own code skip
/// them.
pub(crate) fn written_at(place: Span) -> Span {
    Span::call_site().located_at(place)
}

#[cfg(test)]
mod tests {
    use syn::parse_str;

    use super::*;

    #[track_caller]
    fn function(attributes: &str) -> AnnotatedFunction {
        parse_str(&format!("{attributes} fn load(_db: u8, _other: u8) {{ f(_db) }}")).unwrap()
    }

    #[test]
    fn a_companion_has_the_lints_and_conditions_of_its_function_and_nothing_else() {
        for (attributes, expected) in [
            ("/// Docs.\n#[inline] #[must_use] #[test]", ""),
            ("#[allow(a, reason = \"b\")] #[warn(c)]", "# [allow (a , reason = \"b\")] # [warn (c)]"),
            ("#[expect(clippy::all)]", "# [allow (clippy :: all)]"),
            ("#[deprecated]", "# [deprecated]"),
            ("#[deprecated = \"use g\"]", "# [deprecated = \"use g\"]"),
            ("#[doc(hidden)] #[doc(alias = \"x\")]", "# [doc (hidden)]"),
            ("#[cfg(all(unix, not(test)))]", "# [cfg (all (unix , not (test)))]"),
            ("#[cfg_attr(unix, inline, must_use)]", ""),
            (
                "#[cfg_attr(all(unix, test), inline, expect(a), cfg_attr(windows, allow(b), cold))]",
                "# [cfg_attr (all (unix , test) , allow (a) , cfg_attr (windows , allow (b)))]",
            ),
        ] {
            assert_eq!(of_companion(&function(attributes)).to_string(), expected, "{attributes}");
        }
        let conditional =
            function("#[allow(a)] #[deprecated] #[cfg_attr(unix, cfg(test), allow(b))] #[cfg(test)]");
        assert_eq!(
            of_hidden_companion(&conditional).to_string(),
            "# [cfg_attr (unix , cfg (test))] # [cfg (test)]"
        );
    }

    #[test]
    fn only_an_underscore_that_the_body_uses_needs_a_permission() {
        assert!(of_underscores(&function("")).is_some());
        let unused: AnnotatedFunction = parse_str("fn load(_db: u8) { other(_db2) }").unwrap();
        assert!(of_underscores(&unused).is_none());
    }
}
