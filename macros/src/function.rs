//! A function as it stands under an attribute: its signature read, its body left as tokens.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, FnArg, PatType, Receiver, Result, ReturnType, Signature, Type, Visibility,
    parse::{Parse, ParseStream},
    spanned::Spanned,
    visit::Visit,
};

/// One function, free or associated.
pub(crate) struct AnnotatedFunction {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// In braces. Not parsed: it is the compiler's.
    pub(crate) body: Group,
}

impl Parse for AnnotatedFunction {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input
            .parse()
            .map_err(|error| Error::new(error.span(), "this attribute stands above a function"))?;
        let body = input.step(|cursor| match cursor.token_tree() {
            Some((TokenTree::Group(body), rest)) if body.delimiter() == Delimiter::Brace => Ok((body, rest)),
            _ => Err(cursor.error(
                "this attribute needs the body of the function: it cannot stand above a mere signature",
            )),
        })?;
        Ok(Self { attributes, visibility, signature, body })
    }
}

impl AnnotatedFunction {
    /// What the function returns, as written; `()` when nothing is.
    pub(crate) fn returned(&self) -> TokenStream {
        match &self.signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, returned) => returned.to_token_stream(),
        }
    }

    /// Refuses what no attribute can do, each at its place.
    pub(crate) fn check(&self) -> Result<()> {
        let signature = &self.signature;
        if let Some(token) = &signature.asyncness {
            return Err(Error::new(
                token.span,
                "an `async fn` cannot be remembered yet: mark the blocking part of it instead, a function that is not async",
            ));
        }
        if let Some(token) = &signature.constness {
            return Err(Error::new(token.span, "a `const fn` has no cache to ask: leave `const` out"));
        }
        for input in &signature.inputs {
            let (FnArg::Typed(PatType { attrs, .. }) | FnArg::Receiver(Receiver { attrs, .. })) = input;
            let conditional = |attribute: &&Attribute| attribute.path().is_ident("cfg");
            if let Some(found) = attrs.iter().find(conditional) {
                return Err(Error::new(
                    found.span(),
                    "whether there is such a parameter is not known here: put `#[cfg(..)]` above two functions",
                ));
            }
            let FnArg::Typed(input) = input else { continue };
            if let Some(found) = unnamed(&input.ty) {
                return Err(Error::new(
                    found.span(),
                    "a type without a name cannot be told from others: write a type parameter, as in `fn f<T: Trait>(x: T)`",
                ));
            }
        }
        Ok(())
    }
}

/// The first `impl Trait` within a type.
pub(crate) fn unnamed(within: &Type) -> Option<&syn::TypeImplTrait> {
    struct ImplTraitFinder<'a>(Option<&'a syn::TypeImplTrait>);
    impl<'a> Visit<'a> for ImplTraitFinder<'a> {
        fn visit_type_impl_trait(&mut self, found: &'a syn::TypeImplTrait) {
            self.0.get_or_insert(found);
        }
    }
    let mut finder = ImplTraitFinder(None);
    finder.visit_type(within);
    finder.0
}
