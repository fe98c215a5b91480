//! The return type of a function as written: the part that is stored, and the types that cannot be stored.
//!
//! An attribute sees names, not types. Afterwards the compiler checks, by `memolith::internal::Returned`, that the name
//! `Result` is that of `std`, and that no other name is an alias of it.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{
    Error, GenericArgument, Path, PathArguments, Result, ReturnType, Type, parse_quote_spanned,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{
    attributes::written_at,
    function::{AnnotatedFunction, unnamed},
    lifetimes::to_static,
    options::{AttributeOptions, CodecOption},
};

impl AnnotatedFunction {
    /// The arguments of the return type, if its name is `Result`.
    pub(crate) fn result(&self) -> Option<Vec<&Type>> {
        let ReturnType::Type(_, returned) = &self.signature.output else { return None };
        let Type::Path(path) = bare(returned) else { return None };
        if path.qself.is_some() || self.is_of_a_parameter(&path.path) {
            return None;
        }
        let last = path.path.segments.last().filter(|last| last.ident == "Result")?;
        Some(match &last.arguments {
            PathArguments::AngleBracketed(arguments) => {
                let types = arguments.args.iter().filter_map(|argument| match argument {
                    GenericArgument::Type(argument) => Some(argument),
                    _ => None,
                });
                types.collect()
            }
            _ => Vec::new(),
        })
    }

    /// Whether a path is `T::Name` or `Self::Name`, whose type may depend on the caller.
    fn is_of_a_parameter(&self, path: &Path) -> bool {
        let mut parameters = self.signature.generics.type_params().map(|parameter| &parameter.ident);
        let Some(first) = path.segments.first().filter(|_| path.segments.len() > 1) else { return false };
        first.ident == "Self" || parameters.any(|parameter| first.ident == *parameter)
    }

    /// The part of the return type that is stored. `None` if nothing is returned, or if an alias hides it.
    fn value(&self) -> Option<&Type> {
        match (&self.signature.output, self.result()) {
            (ReturnType::Default, _) => None,
            (ReturnType::Type(..), Some(arguments)) => arguments.first().copied(),
            (ReturnType::Type(_, returned), None) => Some(returned),
        }
    }

    /// Refuses a result that cannot be stored on disk.
    pub(crate) fn check_remembered(&self, options: &AttributeOptions) -> Result<()> {
        let what = "a stored result";
        self.check_owned(what)?;
        let Some(value) = self.value() else { return Ok(()) };
        if let Type::Never(never) = bare(value) {
            let message = "a function that never returns has no result to store: remove the attribute";
            return Err(Error::new(never.span(), message));
        }
        // A codec of the user may be able to make a borrowed value.
        let is_own = matches!(options.codec, Some(CodecOption::Given(_)));
        match Borrows::first(value, true) {
            Some(span) if !is_own => {
                let message = format!(
                    "{what} is read back from disk, so it must be owned: return `String` in place of `&'static str`, \
                     `Vec<_>` in place of `&'static [_]`"
                );
                Err(Error::new(span, message))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a result that borrows, or that has no name. The message begins with `what`.
    pub(crate) fn check_owned(&self, what: &str) -> Result<()> {
        let Some(value) = self.value() else { return Ok(()) };
        if let Some(span) = FutureFinder::first(value) {
            let message = format!(
                "a future is not {what}: write an `async fn`, which returns the output of the future"
            );
            return Err(Error::new(span, message));
        }
        if let Some(found) = unnamed(value) {
            let message = format!("{what} needs a type with a name: write it out in place of `impl`");
            return Err(Error::new(found.span(), message));
        }
        match Borrows::first(value, false) {
            None => Ok(()),
            Some(span) => {
                let message = format!(
                    "{what} outlives the call, so it cannot borrow: return an owned type, such as `String` or `Vec`"
                );
                Err(Error::new(span, message))
            }
        }
    }
}

/// The value type, resolved by the compiler.
pub(crate) fn value(krate: &Path, function: &AnnotatedFunction) -> Type {
    let returned = function.returned();
    let place = written_at(returned.span());
    if function.result().is_some() {
        parse_quote_spanned!(place=> <#returned as #krate::internal::Fallible>::Value)
    } else {
        parse_quote_spanned!(place=> #returned)
    }
}

/// The value type as the handle names it: the argument of `Result<..>`, or the `Ok` of an alias without arguments.
pub(crate) fn handle_value(krate: &Path, function: &AnnotatedFunction) -> TokenStream {
    match (function.result(), function.value()) {
        (Some(_), None) => {
            let returned = returned_to_static(function);
            let place = written_at(returned.span());
            quote_spanned!(place=> <#returned as #krate::internal::Fallible>::Value)
        }
        (_, Some(value)) => to_static(value).to_token_stream(),
        (None, None) => quote!(()),
    }
}

pub(crate) fn returned_to_static(function: &AnnotatedFunction) -> TokenStream {
    match &function.signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, returned) => to_static(returned).to_token_stream(),
    }
}

/// The method that opens the memo: one for a `Result`, and one for any other type.
pub(crate) fn opener(krate: &Path, function: &AnnotatedFunction) -> TokenStream {
    let returned = function.returned();
    let place = written_at(returned.span());
    let method = Ident::new(if function.result().is_some() { "fallible" } else { "memo" }, place);
    quote_spanned!(place=> #krate::internal::Returned::<#returned>::new().#method)
}

/// Statements by which the compiler refuses a `Result` among the parts of the value type, unless `cache_if` chooses the
/// stored values.
pub(crate) fn checks_within(options: &AttributeOptions, function: &AnnotatedFunction) -> TokenStream {
    let krate = &options.krate;
    let Some(value) = function.value().filter(|_| options.cache_if.is_none()) else {
        return TokenStream::new();
    };
    let mut parts = TypeParts(Vec::new());
    if function.result().is_some() {
        parts.visit_type(value);
    } else {
        // The whole type is checked elsewhere.
        visit::visit_type(&mut parts, value);
    }
    let checks = parts.0.into_iter().map(|part| {
        let place = written_at(part.span());
        quote_spanned!(place=> #krate::internal::Returned::<#part>::new().is_no_result_within();)
    });
    checks.collect()
}

/// Every part of a type that could be a `Result` under any name.
struct TypeParts<'a>(Vec<&'a Type>);

impl<'a> Visit<'a> for TypeParts<'a> {
    fn visit_type(&mut self, part: &'a Type) {
        if let Type::Path(_) = part {
            self.0.push(part);
        }
        visit::visit_type(self, part);
    }

    // The arguments and results of functions are not stored.
    fn visit_type_fn_ptr(&mut self, _: &'a syn::TypeFnPtr) {}

    fn visit_type_trait_object(&mut self, _: &'a syn::TypeTraitObject) {}

    fn visit_qself(&mut self, _: &'a syn::QSelf) {}
}

/// Finds `dyn Future` or `impl Future` in a type.
struct FutureFinder(Option<Span>);

impl FutureFinder {
    fn first(within: &Type) -> Option<Span> {
        let mut finder = Self(None);
        finder.visit_type(within);
        finder.0
    }
}

impl<'a> Visit<'a> for FutureFinder {
    fn visit_trait_bound(&mut self, bound: &'a syn::TraitBound) {
        if let Some(last) = bound.path.segments.last().filter(|last| last.ident == "Future") {
            self.0.get_or_insert(last.span());
        }
    }

    // The arguments and results of functions are not stored.
    fn visit_type_fn_ptr(&mut self, _: &'a syn::TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'a syn::ParenthesizedGenericArguments) {}
}

/// The type without parentheses.
fn bare(kind: &Type) -> &Type {
    match kind {
        Type::Paren(group) => bare(&group.elem),
        other => other,
    }
}

/// Finds a borrow in a type: a reference, or a lifetime other than `'static`.
pub(crate) struct Borrows {
    found: Option<Span>,
    /// Whether only `'static` references are found.
    is_static: bool,
}

impl Borrows {
    pub(crate) fn first(within: &Type, is_static: bool) -> Option<Span> {
        let mut borrows = Self { found: None, is_static };
        borrows.visit_type(within);
        borrows.found
    }
}

impl<'a> Visit<'a> for Borrows {
    fn visit_type_reference(&mut self, reference: &'a syn::TypeReference) {
        let is_static = reference.lifetime.as_ref().is_some_and(|lifetime| lifetime.ident == "static");
        if is_static == self.is_static {
            self.found.get_or_insert(reference.and_token.span);
        }
        visit::visit_type_reference(self, reference);
    }

    fn visit_lifetime(&mut self, lifetime: &'a syn::Lifetime) {
        if !self.is_static && lifetime.ident != "static" {
            self.found.get_or_insert(lifetime.span());
        }
    }

    // The arguments and results of functions are not stored.
    fn visit_type_fn_ptr(&mut self, _: &'a syn::TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments(&mut self, _: &'a syn::ParenthesizedGenericArguments) {}
}
