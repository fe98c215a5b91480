//! The right to compute one value, and what the value takes the place of.

use super::{find::Hit, place::Place, terms::Standing};
use crate::{flight::Claim, remote::Lease};

/// The right to compute and store the value of a key.
pub(crate) struct Lead<V> {
    pub(crate) place: Place,
    pub(crate) claim: Claim<'static>,
    pub(crate) old: Old<V>,
    /// On the key, if the claim is on one of its variants.
    pub(crate) guard: Option<Claim<'static>>,
    /// Of the key on the server that several machines share.
    pub(crate) lease: Option<Box<Lease>>,
}

/// What a computed value takes the place of.
pub(crate) enum Old<V> {
    /// Nothing that a reader would take.
    Nothing,
    /// Of no use to this call.
    Refused,
    /// A stale value, or one that is refreshed early.
    Stale(Hit<V>),
}

impl<V> Old<V> {
    /// Whether readers that refuse less would take it as a fresh one. A refused value may be one.
    pub(super) fn is_fresh(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Refused => true,
            Self::Stale(hit) => hit.standing == Standing::Due,
        }
    }

    pub(crate) fn is_there(&self) -> bool {
        !matches!(self, Self::Nothing)
    }
}
