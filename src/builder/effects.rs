//! The effects that a memo declares.

use std::{any::TypeId, fmt::Write, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};

use super::{DeclaredEffect, MemoBuilder};
use crate::{
    effect_log::{EffectFormat, EffectType, EffectTypes, MAX_TYPES},
    effects::Handler,
    error::{Error, ErrorKind, Result},
};

impl<K: ?Sized, V, C> MemoBuilder<K, V, C> {
    /// Declares a type of effect that the function emits, and its handler. Default: none.
    ///
    /// `handler` is called when the function emits an `E` by [`effects::emit`](crate::effects::emit), and again at each hit, for
    /// every effect of the value in their order. See [`effects`](crate::effects) for the rules. It is any `Fn(&E)`, or the one
    /// that `effects::tracing` returns.
    ///
    /// `E` is encoded by [`Postcard`](crate::codec::Postcard): a type that postcard cannot read back is refused by [`open`](Self::open). Call this once for each
    /// type; two handlers for one type are an error of `open`. The types, in the order of their declarations, and their shapes are
    /// a part of the identity of stored values: after a change entries are misses.
    ///
    /// A memo that is already open keeps its handlers, with what they have captured. If it is opened again with effects, these must
    /// be handlers of the same types in the same order: closures from the same places in the source. A panic of the handler is contained. It never runs under a lock.
    ///
    /// ```
    /// use memolith::{Memo, Store, effects};
    ///
    /// let store = Store::temporary()?;
    /// let sums: Memo<u64, u64> = Memo::builder("sums").effects(|line: &String| println!("{line}")).open(&store)?;
    /// for _ in 0..2 {
    ///     sums.get_or_insert_with(&3, || {
    ///         effects::emit("adding up to 3".to_owned()); // printed twice
    ///         1 + 2 + 3
    ///     });
    /// }
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn effects<E, H>(self, handler: H) -> Self
    where
        E: Serialize + DeserializeOwned + 'static,
        H: Handler<E>,
    {
        self.effects_of(handler, TypeId::of::<H>())
    }

    /// The same, with the type by which the handlers of two opens of one name are compared.
    pub(crate) fn effects_of<E, H>(mut self, handler: H, kind: TypeId) -> Self
    where
        E: Serialize + DeserializeOwned + 'static,
        H: Handler<E>,
    {
        self.options.effects.push(DeclaredEffect::new::<E, H>(handler, kind));
        self
    }

    /// Those that are declared so far.
    pub(crate) fn declared_effects(&self) -> Vec<DeclaredEffect> {
        self.options.effects.clone()
    }

    /// The declared types, and what of them is a part of the generation.
    pub(super) fn declare_effects(&mut self) -> Result<(Option<Arc<EffectTypes>>, EffectFormat)> {
        let declared = std::mem::take(&mut self.options.effects);
        let mut format = EffectFormat::default();
        let mut types: Vec<Arc<dyn EffectType>> = Vec::with_capacity(declared.len());
        if declared.len() > MAX_TYPES {
            return Err(Error::new(
                ErrorKind::Config,
                format!("more than {MAX_TYPES} types of effects: join some of them in an enum"),
            ));
        }
        for DeclaredEffect { id, name, handler, shape, declare } in declared {
            if types.iter().any(|declared| declared.id() == id) {
                let message = format!("`effects` has two handlers for the type `{name}`: call both in one");
                return Err(Error::new(ErrorKind::Config, message));
            }
            let shape = self.traced(shape())?;
            let _ = write!(format.suffix, "+{shape:?}");
            format.handlers.push(handler);
            types.push(declare(&shape));
        }
        Ok((EffectTypes::new(types), format))
    }
}
