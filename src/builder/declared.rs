//! One type of effect that a memo declares.

use std::{
    any::{TypeId, type_name},
    sync::Arc,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    codec::{Codec, Postcard, Shape},
    effect_log::{EffectType, EffectTypes},
    effects::{Declared, Handler},
    error::Result,
};

type Declare = Arc<dyn Fn(&Shape) -> Arc<dyn EffectType> + Send + Sync>;

/// One type of effect, with its handler.
#[derive(Clone)]
pub(crate) struct DeclaredEffect {
    pub(super) id: TypeId,
    pub(super) name: &'static str,
    /// The type of the handler and its detail: the handlers of two opens of one name are compared by them.
    pub(super) handler: (TypeId, u8),
    pub(super) shape: fn() -> Result<Shape>,
    pub(super) declare: Declare,
}

impl DeclaredEffect {
    pub(super) fn new<E, H>(handler: H, kind: TypeId) -> Self
    where
        E: Serialize + DeserializeOwned + 'static,
        H: Handler<E>,
    {
        let detail = handler.detail();
        let handler = Arc::new(handler);
        Self {
            id: TypeId::of::<E>(),
            name: type_name::<E>(),
            handler: (kind, detail),
            shape: || <Postcard as Codec<E>>::shape(&Postcard),
            declare: Arc::new(move |shape| Arc::new(Declared::<E, H>::new(Arc::clone(&handler), shape))),
        }
    }
}

/// For a memo that stores nothing: its effects are handled while its function runs. Of two handlers for one type the first one
/// counts.
pub(crate) fn handled_only(declared: Vec<DeclaredEffect>) -> Option<Arc<EffectTypes>> {
    let untraced = Shape::untraced();
    EffectTypes::new(declared.into_iter().map(|effect| (effect.declare)(&untraced)).collect())
}
