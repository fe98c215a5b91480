//! A function as it stands under an attribute: its signature read, its body left as tokens.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, quote};
use syn::{
    Attribute, Error, FnArg, PatType, Receiver, Result, ReturnType, Signature, Type, Visibility,
    parse::{Parse, ParseStream},
    spanned::Spanned,
    visit::{self, Visit},
};

/// One function, free or associated.
pub(crate) struct Function {
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) visibility: Visibility,
    pub(crate) signature: Signature,
    /// In braces. Not parsed: it is the compiler's.
    pub(crate) body: Group,
}

impl Parse for Function {
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

impl Function {
    /// What the function returns, as written; `()` when nothing is.
    pub(crate) fn returned(&self) -> TokenStream {
        match &self.signature.output {
            ReturnType::Default => quote!(()),
            ReturnType::Type(_, returned) => returned.to_token_stream(),
        }
    }

    /// The arguments of the return type, when it is called `Result`.
    ///
    /// An attribute sees names, not types. That this name is the one of `std` is checked by the compiler afterwards, and so
    /// is that no other name hides one.
    pub(crate) fn result(&self) -> Option<Vec<&Type>> {
        let ReturnType::Type(_, returned) = &self.signature.output else { return None };
        let Type::Path(path) = bare(returned) else { return None };
        let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
        Some(match &last.arguments {
            syn::PathArguments::AngleBracketed(arguments) => {
                let types = arguments.args.iter().filter_map(|argument| match argument {
                    syn::GenericArgument::Type(argument) => Some(argument),
                    _ => None,
                });
                types.collect()
            }
            _ => Vec::new(),
        })
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

    /// Refuses a result that borrows, or has no name. `what` becomes of it is in the message.
    pub(crate) fn check_returned(&self, what: &str) -> Result<()> {
        let ReturnType::Type(_, returned) = &self.signature.output else { return Ok(()) };
        let value = match self.result() {
            Some(arguments) => match arguments.first() {
                Some(value) => *value,
                None => return Ok(()),
            },
            None => returned,
        };
        if let Some(found) = unnamed(value) {
            return Err(Error::new(
                found.span(),
                format!("{what} needs a type with a name: write it out in place of `impl`"),
            ));
        }
        let mut borrows = Borrows(None);
        borrows.visit_type(value);
        match borrows.0 {
            Some(span) => Err(Error::new(
                span,
                format!(
                    "{what} outlives the call, so it cannot borrow: return an owned type, such as `String` or `Vec`"
                ),
            )),
            None => Ok(()),
        }
    }
}

/// The type itself, without what holds it together: a `$kind:ty` of a macro comes in a group.
fn bare(kind: &Type) -> &Type {
    match kind {
        Type::Group(group) => bare(&group.elem),
        Type::Paren(group) => bare(&group.elem),
        other => other,
    }
}

/// The first `impl Trait` within a type.
fn unnamed(within: &Type) -> Option<&syn::TypeImplTrait> {
    struct Finder<'a>(Option<&'a syn::TypeImplTrait>);
    impl<'a> Visit<'a> for Finder<'a> {
        fn visit_type_impl_trait(&mut self, found: &'a syn::TypeImplTrait) {
            self.0.get_or_insert(found);
        }
    }
    let mut finder = Finder(None);
    finder.visit_type(within);
    finder.0
}

/// Where a type borrows: a reference, or a lifetime other than `'static`.
struct Borrows(Option<proc_macro2::Span>);

impl<'a> Visit<'a> for Borrows {
    fn visit_type_reference(&mut self, reference: &'a syn::TypeReference) {
        if reference.lifetime.as_ref().is_none_or(|lifetime| lifetime.ident != "static") {
            self.0.get_or_insert(reference.and_token.span);
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_lifetime(&mut self, lifetime: &'a syn::Lifetime) {
        if lifetime.ident != "static" {
            self.0.get_or_insert(lifetime.span());
        }
    }

    // What these take and return is nobody's to keep.
    fn visit_type_bare_fn(&mut self, _: &'a syn::TypeBareFn) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'a syn::ParenthesizedGenericArguments) {}
}
