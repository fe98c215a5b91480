//! The function under an attribute: its signature is parsed, and its body stays tokens.

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
    /// In braces. Not parsed, because only the compiler has to understand it.
    pub(crate) body: Group,
}

impl Parse for AnnotatedFunction {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let attributes = input.call(Attribute::parse_outer)?;
        let visibility = input.parse()?;
        let signature = input
            .parse()
            .map_err(|error| Error::new(error.span(), "this attribute belongs above a function"))?;
        let body = input.step(|cursor| match cursor.token_tree() {
            Some((TokenTree::Group(body), rest)) if body.delimiter() == Delimiter::Brace => Ok((body, rest)),
            _ => Err(cursor.error(
                "this attribute needs the body of the function: it cannot be above a signature without a body",
            )),
        })?;
        Ok(Self { attributes, visibility, signature, body })
    }
}

impl AnnotatedFunction {
    /// The return type as written, or `()`.
    pub(crate) fn returned(&self) -> TokenStream {
        match &self.signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, returned) => returned.to_token_stream(),
        }
    }

    pub(crate) fn is_async(&self) -> bool {
        self.signature.asyncness.is_some()
    }

    /// Refuses functions that no attribute supports, with the error at the place of the cause.
    pub(crate) fn check(&self) -> Result<()> {
        let signature = &self.signature;
        if let Some(token) = &signature.constness {
            return Err(Error::new(token.span, "a `const fn` cannot use a cache: leave `const` out"));
        }
        for input in &signature.inputs {
            let (FnArg::Typed(PatType { attrs, .. }) | FnArg::Receiver(Receiver { attrs, .. })) = input;
            let conditional = |attribute: &&Attribute| attribute.path().is_ident("cfg");
            if let Some(found) = attrs.iter().find(conditional) {
                return Err(Error::new(
                    found.span(),
                    "an attribute cannot know whether this parameter exists: write two functions under `#[cfg(..)]`",
                ));
            }
            let FnArg::Typed(input) = input else { continue };
            if let Some(found) = unnamed(&input.ty) {
                return Err(Error::new(
                    found.span(),
                    "a type without a name cannot be part of a key: write a type parameter, as in `fn f<T: Trait>(x: T)`",
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
