//! Replaces every lifetime by `'static`, for the types of a handle.
//!
//! A memo is covariant in its key type, so a memo of `'static` keys takes keys that borrow for a shorter time.

use proc_macro2::Span;
use syn::{
    GenericParam, Generics, Ident, Lifetime, ParenthesizedGenericArguments, PredicateType, Token, Type,
    TypeFnPtr, TypeParamBound, TypeReference, WhereClause, WherePredicate, parse_quote,
    punctuated::Punctuated,
    visit_mut::{self, VisitMut},
};

/// The type with `'static` in place of all lifetimes except those of a `for<'a>`.
pub(crate) fn to_static(kind: &Type) -> Type {
    let mut kind = kind.clone();
    ToStatic.visit_type_mut(&mut kind);
    kind
}

/// The generics without lifetimes, and with a `'static` bound on every type.
pub(crate) fn generics_to_static(generics: &Generics) -> Generics {
    let mut generics = generics.clone();
    let kept =
        generics.params.into_iter().filter(|parameter| !matches!(parameter, GenericParam::Lifetime(_)));
    generics.params = kept.collect();
    if let Some(bounds) = &mut generics.where_clause {
        let predicates = std::mem::take(&mut bounds.predicates).into_iter();
        bounds.predicates =
            predicates.filter(|predicate| !matches!(predicate, WherePredicate::Lifetime(_))).collect();
    }
    ToStatic.visit_generics_mut(&mut generics);
    let Generics { params, where_clause, .. } = &mut generics;
    for parameter in params.iter_mut() {
        let GenericParam::Type(parameter) = parameter else { continue };
        match bounds_elsewhere(where_clause.as_mut(), &parameter.ident) {
            Some(bounds) if parameter.bounds.is_empty() => bounds.push(parse_quote!('static)),
            _ => parameter.bounds.push(parse_quote!('static)),
        }
    }
    generics
}

/// The bounds of the type parameter in a `where` clause, so that all of its bounds stay in one place.
fn bounds_elsewhere<'a>(
    clause: Option<&'a mut WhereClause>,
    parameter: &Ident,
) -> Option<&'a mut Punctuated<TypeParamBound, Token![+]>> {
    clause?.predicates.iter_mut().find_map(|predicate| match predicate {
        WherePredicate::Type(PredicateType {
            lifetimes: None, bounded_ty: Type::Path(path), bounds, ..
        }) if path.path.is_ident(parameter) => Some(bounds),
        _ => None,
    })
}

struct ToStatic;

impl VisitMut for ToStatic {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = Lifetime::new("'static", lifetime.span());
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        reference.lifetime.get_or_insert_with(|| Lifetime::new("'static", Span::call_site()));
        visit_mut::visit_type_reference_mut(self, reference);
    }

    // An elided lifetime here belongs to each call, and a named one nearly always does too.
    fn visit_type_fn_ptr_mut(&mut self, _: &mut TypeFnPtr) {}

    fn visit_parenthesized_generic_arguments_mut(&mut self, _: &mut ParenthesizedGenericArguments) {}

    // `for<'a> Trait<'a>` in a bound.
    fn visit_trait_bound_mut(&mut self, bound: &mut syn::TraitBound) {
        if bound.lifetimes.is_none() {
            visit_mut::visit_trait_bound_mut(self, bound);
        }
    }

    fn visit_predicate_type_mut(&mut self, predicate: &mut PredicateType) {
        if predicate.lifetimes.is_none() {
            visit_mut::visit_predicate_type_mut(self, predicate);
        }
    }
}
