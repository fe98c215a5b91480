//! The memo of a function that cannot be cached: its value type cannot be read back, or another function has its name.
//!
//! A function cannot return such an error. So it computes at each call, and its handle returns a memo that stores nothing and
//! has the error as its last failure.

use std::{collections::HashMap, io::Write};

use crate::{
    builder::{self, DeclaredEffect, MemoBuilder, MemoIdentity},
    codec::{Codec, Payload, RoundTrip, Shape},
    effect_log::EffectFormat,
    error::{Error, Result},
    memo::Memo,
    store::{GenerationId, Store},
};

/// A codec that refuses every value.
struct RefusingCodec(Error);

impl<V> Codec<V> for RefusingCodec {
    fn id(&self) -> &'static str {
        "refusing"
    }

    fn shape(&self) -> Result<Shape> {
        Err(self.0.clone())
    }

    fn encode(&self, _: &V, _: &mut dyn Write) -> Result<()> {
        Err(self.0.clone())
    }

    fn decode(&self, _: &Payload) -> Result<V> {
        Err(self.0.clone())
    }
}

/// A memo called `name` that stores nothing, in a store of its own without a worker.
/// The effects of its function are handled while that computes.
pub(super) fn memo<K: ?Sized, V: Clone + Send + Sync + 'static>(
    name: &str,
    why: &Error,
    effects: Vec<DeclaredEffect>,
) -> Memo<K, V> {
    let store = Store::builder().without_worker();
    let builder: MemoBuilder<K, V, _> = Memo::builder(name).codec(RefusingCodec(why.clone()));
    let place = builder.place();
    let unknown = RoundTrip::new::<RefusingCodec>(&Shape::untraced());
    let identity = MemoIdentity {
        scoped: name,
        generation: GenerationId([0; 16]),
        round_trip: unknown,
        effect_types: builder::handled_only(effects),
        effects: EffectFormat::default(),
    };
    let memo = builder.open_on(identity, &store, &place, &mut HashMap::new());
    drop(memo.refuse(why));
    memo
}
