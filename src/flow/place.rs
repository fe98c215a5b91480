//! The place where a call looks for its value: that of its key, or that of one of the variants of the key.
//!
//! A function that reads tracked inputs has its values under the digests of variants, and the record of the key is the list of
//! them. A call compares the inputs of today with the list. If a variant agrees, the call goes on as one of the digest of that
//! variant. If none does, it goes on under a digest of the answers of today, where callers with equal answers wait for one of
//! them: its *seat*. A list in memory may be an older one, so a leader reads it again before it computes.

use std::sync::Arc;

use crate::{
    context::Context,
    key::Digest,
    readings::{Input, Readings, today},
    stats::Reason,
    variants::{Resolved, Variants},
};

#[derive(Clone)]
pub(crate) struct Place {
    /// Under which the value stands, and which the leader claims.
    pub(crate) digest: Digest,
    variant: Option<Arc<AtVariant>>,
}

struct AtVariant {
    key: Digest,
    /// The inputs of the variant that agrees. `None` at a seat.
    readings: Option<Readings>,
    /// The input that keeps the newest variant from being a hit.
    changed: Option<Input>,
}

impl Place {
    pub(crate) fn of_key(key: &Digest) -> Self {
        Self { digest: *key, variant: None }
    }

    pub(super) fn key(&self) -> &Digest {
        self.variant.as_ref().map_or(&self.digest, |variant| &variant.key)
    }

    pub(super) fn is_variant(&self) -> bool {
        self.variant.is_some()
    }

    /// Whether nothing but a claim can be there.
    pub(super) fn is_seat(&self) -> bool {
        self.variant.as_ref().is_some_and(|variant| variant.readings.is_none())
    }

    /// The input that is to blame for a miss here.
    pub(super) fn changed(&self) -> Option<&Input> {
        self.variant.as_ref()?.changed.as_ref()
    }

    /// The reason of a miss here.
    pub(super) fn reason(&self, reason: Reason) -> Reason {
        if reason == Reason::Absent && self.changed().is_some() { Reason::Changed } else { reason }
    }

    /// The place by the list of the key's variants and the inputs of today.
    pub(super) fn by(key: &Digest, list: &Variants) -> Self {
        let context = Context::current();
        let resolved = list.resolve(key, |input, state, expected| {
            today(input, state, expected, |name| context.provided(name))
        });
        let (digest, readings, changed) = match resolved {
            Resolved::Match { digest, readings, .. } => (digest, Some(readings), None),
            Resolved::Differs { seat, changed } => (seat, None, changed),
        };
        Self { digest, variant: Some(Arc::new(AtVariant { key: *key, readings, changed })) }
    }

    /// The inputs of the value that is found here.
    pub(super) fn inputs(&self) -> Option<HitInputs> {
        let variant = self.variant.as_ref().filter(|variant| variant.readings.is_some())?;
        Some(HitInputs(Arc::clone(variant)))
    }
}

/// The inputs of a value that was found.
#[derive(Clone)]
pub(super) struct HitInputs(Arc<AtVariant>);

impl HitInputs {
    pub(super) fn readings(&self) -> Option<&Readings> {
        self.0.readings.as_ref()
    }
}
