//! A function that computes stale values anew on another thread: its body is a function of its own, which takes the
//! arguments of the call, or copies of them that the other thread owns.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote, quote_spanned};
use syn::{Error, FnArg, GenericParam, Pat, PatType, Result, Safety, Signature, Type, spanned::Spanned};

use super::{identity::plan, local};
use crate::{
    attributes::{self, written_at},
    function::AnnotatedFunction,
    key::KeySpec,
    options::AttributeOptions,
    returned::{self, Borrows},
    tokens,
};

/// What the remedy is where the arguments cannot be owned.
const ELSE: &str = "or leave `stale_for` and `refresh_at` out, and give `stale_for` to a memo of a builder, which computes on \
     the thread of its first caller";

/// A parameter of the function.
struct Argument<'a> {
    name: &'a Ident,
    kind: &'a Type,
}

/// The function, which has its memo compute behind it where a stale value is there.
pub(super) fn asking(
    options: &AttributeOptions,
    function: &AnnotatedFunction,
    key: &KeySpec,
    identity: &TokenStream,
) -> Result<TokenStream> {
    check(function)?;
    let arguments = arguments(&function.signature)?;
    let AnnotatedFunction { attributes, visibility, signature, body } = function;
    let (krate, returned) = (&options.krate, function.returned());
    let check = returned::checks_within(options, function);
    let (memo, plan, key) = (returned::opener(krate, function), plan(options), &key.value);
    let place = written_at(returned.span());
    let is_fallible = function.result().is_some();
    let [load, behind, finish] =
        if is_fallible { ["load", "behind_fallible", "fallible"] } else { ["load", "behind_plain", "plain"] }
            .map(|name| Ident::new(name, place));
    let call = local("call");
    // Items have no hygiene: no user would choose this name.
    let compute = Signature { ident: local("__memolith_compute"), ..signature.clone() };
    let (name, generics) = (&compute.ident, turbofish(signature));
    let names: Vec<&Ident> = arguments.iter().map(|argument| argument.name).collect();
    let owned = arguments.iter().map(|argument| argument.owned(krate));
    let given = arguments.iter().map(Argument::given);
    let used = attributes::of_underscores(function);
    let outer = without_mut(signature);
    let at_load = quote_spanned!(place=> .#load);
    Ok(quote! {
        #used #(#attributes)* #visibility #outer {
            #[allow(
                clippy::needless_pass_by_value, clippy::ptr_arg, clippy::too_many_arguments,
                reason = "they are those of the function around it"
            )]
            #[inline]
            #compute #body
            let #call = {
                #check
                static __MEMOLITH_CELLS: #krate::internal::Cells = #krate::internal::Cells::new();
                #memo(&__MEMOLITH_CELLS, #identity, #plan)#at_load(#key)
            };
            let #call = #call.#behind(|| {
                #(let #names = #owned;)*
                move || #name #generics (#(#given),*)
            });
            #call.#finish(|| #name #generics (#(#names),*))
        }
    })
}

impl Argument<'_> {
    /// A copy that another thread may own.
    fn owned(&self, krate: &syn::Path) -> TokenStream {
        let (name, place) = (self.name, written_at(self.kind.span()));
        match self.kind {
            Type::Reference(reference) => {
                let of = &reference.elem;
                quote_spanned!(place=> #krate::internal::owned_of::<#of>(#name))
            }
            kind => quote_spanned!(place=> #krate::internal::owned::<#kind>(&#name)),
        }
    }

    /// The copy, as the function takes it.
    fn given(&self) -> TokenStream {
        let name = self.name;
        match self.kind {
            Type::Reference(_) => quote!(::core::borrow::Borrow::borrow(&#name)),
            _ => name.to_token_stream(),
        }
    }
}

fn check(function: &AnnotatedFunction) -> Result<()> {
    let signature = &function.signature;
    if let Some(receiver) = signature.receiver() {
        return Err(refused(
            receiver,
            "`self` cannot be owned by another thread: write a function without it",
        ));
    }
    if let Safety::Unsafe(token) = &signature.safety {
        return Err(refused(
            token,
            "an `unsafe fn` cannot be run by another thread: wrap it in a safe function",
        ));
    }
    if let Some(variadic) = &signature.variadic {
        return Err(refused(
            variadic,
            "these arguments cannot be owned by another thread: name each of them",
        ));
    }
    if tokens::contain(quote!(#signature), "Self") || tokens::contain(function.body.stream(), "Self") {
        return Err(refused(
            &signature.ident,
            "the body becomes a function of its own, where `Self` has no meaning: write the type out in its place",
        ));
    }
    Ok(())
}

fn refused(at: &impl ToTokens, message: &str) -> Error {
    let message = format!("a stale value is computed anew on another thread: {message}; {ELSE}");
    Error::new_spanned(at, message)
}

fn arguments(signature: &Signature) -> Result<Vec<Argument<'_>>> {
    let typed = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(typed) => Some(typed),
        FnArg::Receiver(_) => None,
    });
    typed.map(argument).collect()
}

fn argument(PatType { pat, ty, .. }: &PatType) -> Result<Argument<'_>> {
    let named = match &**pat {
        Pat::Ident(named) if named.by_ref.is_none() && named.subpat.is_none() => named,
        other => return Err(refused(other, "give this argument a name, and take it apart in the body")),
    };
    let (kind, inner) = match &**ty {
        Type::Reference(reference) if reference.mutability.is_some() => {
            return Err(refused(ty, "`&mut` cannot be owned by it: take the value"));
        }
        Type::Reference(reference) => (&**ty, &*reference.elem),
        other => (other, other),
    };
    if Borrows::first(inner, false).is_some() {
        return Err(refused(
            ty,
            "this argument borrows within, so it cannot be owned: take an owned type, or `&` of one",
        ));
    }
    Ok(Argument { name: &named.ident, kind })
}

/// The type and const arguments, which the parameters need not tell.
fn turbofish(signature: &Signature) -> Option<TokenStream> {
    let names: Vec<&Ident> = signature
        .generics
        .params
        .iter()
        .filter_map(|parameter| match parameter {
            GenericParam::Type(parameter) => Some(&parameter.ident),
            GenericParam::Const(parameter) => Some(&parameter.ident),
            GenericParam::Lifetime(_) => None,
        })
        .collect();
    (!names.is_empty()).then(|| quote!(::<#(#names),*>))
}

/// The signature of the function outside, which passes its arguments on.
fn without_mut(signature: &Signature) -> Signature {
    let mut signature = signature.clone();
    for input in &mut signature.inputs {
        if let FnArg::Typed(PatType { pat, .. }) = input
            && let Pat::Ident(named) = &mut **pat
        {
            named.mutability = None;
        }
    }
    signature
}
