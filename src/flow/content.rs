//! The content of one payload: a value, and the effects of its computation if the memo declares some.

use std::{sync::Arc, time::Duration};

use crate::{
    clock::Lifetime,
    codec::{Codec, Payload},
    effect_log::EffectLog,
    error::{Error, ErrorKind, Result},
    flight::Words,
    key::Digest,
    memory::CachedValue,
};

/// A value to be encoded.
pub(crate) struct Content<'a, V> {
    pub(super) value: &'a V,
    /// The bytes behind it. Empty in a memo that declares no effects.
    pub(super) trailer: &'a [u8],
}

impl<V> Clone for Content<'_, V> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<V> Copy for Content<'_, V> {}

/// A value that was decoded, with its effects.
pub(super) struct Decoded<V> {
    pub(super) value: V,
    /// `None` in a memo that declares none.
    pub(super) effects: Option<Arc<EffectLog>>,
}

/// In the memory tier, in place of the value alone, in a memo that declares effects. So the shortest path to a hit finds no
/// such value.
pub(super) struct WithEffects<V> {
    pub(super) value: V,
    pub(super) effects: Arc<EffectLog>,
}

/// Decodes a payload. `has_effects` says whether its memo declares some. A panic of the codec unwinds.
pub(super) fn decode<V: 'static>(
    codec: &dyn Codec<V>,
    payload: &Payload,
    has_effects: bool,
) -> Result<Decoded<V>> {
    if !has_effects {
        return codec.decode(payload).map(|value| Decoded { value, effects: None });
    }
    let split = payload.split_trailer(EffectLog::trailer_length);
    let split = split.and_then(|(payload, trailer)| Some((payload, EffectLog::of_trailer(trailer)?)));
    let Some((payload, effects)) = split else {
        return Err(Error::new(ErrorKind::Decode, "the effects behind a value are damaged"));
    };
    codec.decode(&payload).map(|value| Decoded { value, effects: Some(Arc::new(effects)) })
}

impl<V: Send + Sync + 'static> Decoded<V> {
    /// As it stands in the memory tier.
    pub(super) fn cached(
        self,
        digest: &Digest,
        lifetime: Lifetime,
        compute_time: Duration,
        size: u64,
        noted: Option<Words>,
    ) -> Arc<CachedValue> {
        let Self { value, effects } = self;
        match effects {
            None => CachedValue::new(digest, value, lifetime, compute_time, size, noted),
            Some(effects) => {
                CachedValue::new(digest, WithEffects { value, effects }, lifetime, compute_time, size, noted)
            }
        }
    }
}
