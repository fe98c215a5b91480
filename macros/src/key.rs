//! The key of a function: its parameters and their types.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, FnArg, Pat, PatType, Path, Receiver, ReceiverKind, Result, Type,
    ext::IdentExt,
    parse_quote,
    spanned::Spanned,
    visit::{self, Visit},
};

use crate::{function::AnnotatedFunction, lifetimes::to_static, options::KeyOption};

/// Serde supports tuples up to this length.
const LONGEST_TUPLE: usize = 16;

/// The options that choose the key.
pub(crate) struct Chosen<'a> {
    pub(crate) krate: &'a Path,
    pub(crate) key: Option<&'a KeyOption>,
    /// Parameters to leave out.
    pub(crate) skip: &'a [Ident],
    /// Parameters that are paths. The stamp of the file becomes part of the key.
    pub(crate) files: &'a [Ident],
}

/// The key of a function.
pub(crate) struct KeySpec {
    /// An expression that borrows the key.
    pub(crate) value: TokenStream,
    /// The key type of the handle. `None` if no type is known.
    pub(crate) kind: Option<Type>,
}

/// One parameter that belongs to the key.
struct KeyPart {
    value: TokenStream,
    /// With `'static` for every lifetime.
    kind: Type,
}

impl KeySpec {
    pub(crate) fn new(function: &AnnotatedFunction, chosen: &Chosen<'_>) -> Result<Self> {
        chosen.check(function)?;
        let krate = chosen.krate;
        let Some(KeyOption { kind, value }) = chosen.key else { return Self::parts(chosen.parts(function)?) };
        let Some(kind) = kind else {
            return Ok(Self {
                value: quote_spanned!(value.span()=> #krate::internal::part(&(#value))),
                kind: None,
            });
        };
        let name = Ident::new("key", Span::mixed_site());
        let value =
            quote_spanned!(value.span()=> #krate::internal::part(&{ let #name: #kind = #value; #name }));
        Ok(Self { value, kind: Some(target(to_static(kind))) })
    }

    /// A single parameter, or a tuple of several.
    fn parts(parts: Vec<KeyPart>) -> Result<Self> {
        if let Some(extra) = parts.get(LONGEST_TUPLE) {
            return Err(Error::new(
                extra.kind.span(),
                "more than 16 parameters are too many for a key: put them into a struct, or leave some out by `skip(..)`",
            ));
        }
        if let [KeyPart { value, kind }] = parts.as_slice() {
            return Ok(Self { value: value.clone(), kind: Some(target(kind.clone())) });
        }
        let (values, kinds): (Vec<_>, Vec<_>) = parts.into_iter().map(|part| (part.value, part.kind)).unzip();
        Ok(Self { value: quote!(&(#(#values,)*)), kind: Some(parse_quote!((#(#kinds,)*))) })
    }
}

impl Chosen<'_> {
    /// Refuses names that are no parameters, and contradictions.
    fn check(&self, function: &AnnotatedFunction) -> Result<()> {
        let known = |name: &Ident| {
            function.signature.inputs.iter().any(|input| match input {
                FnArg::Receiver(_) => name == "self",
                FnArg::Typed(input) => {
                    matches!(&*input.pat, Pat::Ident(pattern) if pattern.ident.unraw() == name.unraw())
                }
            })
        };
        if let Some(name) = self.skip.iter().chain(self.files).find(|name| !known(name)) {
            return Err(Error::new(name.span(), format!("`{name}` is no parameter of this function")));
        }
        if let Some(name) = self.files.iter().find(|name| listed(self.skip, name)) {
            return Err(Error::new(name.span(), format!("`{name}` cannot be both in `files` and in `skip`")));
        }
        match (self.key, self.skip.iter().chain(self.files).next()) {
            (Some(_), Some(name)) => Err(Error::new(
                name.span(),
                "`key` replaces the parameters, so there is nothing to choose among them: put all of the key into `key`",
            )),
            _ => Ok(()),
        }
    }

    fn parts(&self, function: &AnnotatedFunction) -> Result<Vec<KeyPart>> {
        let parts = function.signature.inputs.iter().filter_map(|input| match input {
            FnArg::Receiver(receiver) => self.receiver(receiver).transpose(),
            FnArg::Typed(input) => self.parameter(input).transpose(),
        });
        parts.collect()
    }

    fn receiver(&self, receiver: &Receiver) -> Result<Option<KeyPart>> {
        if self.skip.iter().any(|name| name == "self") {
            return Ok(None);
        }
        let written: Type = match &receiver.kind {
            ReceiverKind::Value => parse_quote!(Self),
            ReceiverKind::Reference(and, lifetime, mutability) => {
                parse_quote!(#and #lifetime #mutability Self)
            }
            ReceiverKind::Typed(_, kind) => Type::clone(kind),
            _ => {
                return Err(Error::new(
                    receiver.span(),
                    "this form of `self` is not known: write `self: Type`",
                ));
            }
        };
        if mutable(&written).is_some() {
            return Err(Error::new(
                receiver.span(),
                "a hit would not change `self` as the function does: take `&self`, or leave it out of the key by \
                 `skip(self)`",
            ));
        }
        let kind = to_static(&written);
        let krate = self.krate;
        let name = receiver.self_token;
        Ok(Some(KeyPart { value: quote_spanned!(name.span=> #krate::internal::part(&#name)), kind }))
    }

    fn parameter(&self, input: &PatType) -> Result<Option<KeyPart>> {
        let name = match &*input.pat {
            Pat::Wild(_) => return Ok(None),
            Pat::Ident(pattern) if pattern.by_ref.is_none() => &pattern.ident,
            other => {
                return Err(Error::new(
                    other.span(),
                    "a part of the key needs a name: name the parameter, and take it apart in the body",
                ));
            }
        };
        if listed(self.skip, name) || name.unraw().to_string().starts_with('_') {
            return Ok(None);
        }
        let krate = self.krate;
        if listed(self.files, name) {
            let value = quote_spanned!(input.ty.span()=> &#krate::internal::stamp(&#name));
            return Ok(Some(KeyPart { value, kind: parse_quote!(#krate::internal::FileStamp) }));
        }
        refuse_mutable(&input.ty, name)?;
        let value = quote_spanned!(input.ty.span()=> #krate::internal::part(&#name));
        Ok(Some(KeyPart { value, kind: to_static(&input.ty) }))
    }
}

/// Whether a parameter is in a list: `r#type` is `type`.
fn listed(names: &[Ident], parameter: &Ident) -> bool {
    names.iter().any(|name| name.unraw() == parameter.unraw())
}

fn refuse_mutable(kind: &Type, name: &Ident) -> Result<()> {
    match mutable(kind) {
        None => Ok(()),
        Some(span) => Err(Error::new(
            span,
            format!(
                "a hit would not change `{name}` as the function does: return the new value, or leave it out of the key by \
                 `skip({name})`"
            ),
        )),
    }
}

/// The first `&mut` within a type, also in a tuple or an `Option`: serde would write its referent.
fn mutable(within: &Type) -> Option<Span> {
    struct MutableFinder(Option<Span>);
    impl<'a> Visit<'a> for MutableFinder {
        fn visit_type_reference(&mut self, found: &'a syn::TypeReference) {
            if found.mutability.is_some() {
                self.0.get_or_insert(found.and_token.span);
            }
            visit::visit_type_reference(self, found);
        }

        // Arguments of a function pointer are not part of the key.
        fn visit_type_fn_ptr(&mut self, _: &'a syn::TypeFnPtr) {}

        fn visit_parenthesized_generic_arguments(&mut self, _: &'a syn::ParenthesizedGenericArguments) {}
    }
    let mut finder = MutableFinder(None);
    finder.visit_type(within);
    finder.0
}

/// The type without an outer reference, because a memo takes its key by reference.
fn target(kind: Type) -> Type {
    match kind {
        Type::Reference(reference) => *reference.elem,
        Type::Paren(group) => target(*group.elem),
        other => other,
    }
}
