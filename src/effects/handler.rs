//! The handler of one type of effect.

use std::{
    any::{Any, TypeId, type_name},
    marker::PhantomData,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use crate::{
    codec::{Codec, Payload, Postcard, RoundTrip, Shape},
    effect_log::{EffectType, Listener, Undeclared},
    error::{Error, ErrorKind, Result},
};

/// A function that handles effects of the type `E`: any `Fn(&E)`, or the one that [`tracing`](super::tracing()) returns.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle effects of one type",
    label = "this is not a function of `&E`, for one type `E`",
    note = "write `fn draw(effect: &Shown)`, or a closure that names its type: `|effect: &Shown| ..`"
)]
pub trait Handler<E>: sealed::Sealed<E> + Send + Sync + 'static {
    /// Handles an effect at the moment when it is emitted.
    #[doc(hidden)]
    fn handle(&self, effect: &E);

    /// Whether effects come from the surroundings of the code, and not by [`emit`](super::emit()).
    #[doc(hidden)]
    const IS_OF_SURROUNDINGS: bool = false;

    /// By which two handlers of this type are told apart.
    #[doc(hidden)]
    fn detail(&self) -> u8 {
        0
    }

    /// Handles an effect of a value that a hit returns.
    #[doc(hidden)]
    fn repeat(&self, effect: &E) {
        self.handle(effect);
    }

    /// Whether the effect is handled and recorded. Only effects of the surroundings are asked about.
    #[doc(hidden)]
    fn takes(&self, _: &E) -> bool {
        true
    }

    /// That of a new computation, for effects of the surroundings, of that detail at least.
    #[doc(hidden)]
    #[allow(private_interfaces, reason = "no other crate implements it")]
    fn listener(&self, _: u8) -> Option<Arc<dyn Listener>> {
        None
    }
}

pub(super) mod sealed {
    /// No other crate implements a handler.
    pub trait Sealed<E> {}

    impl<E, H: Fn(&E) + Send + Sync + 'static> Sealed<E> for H {}
}

#[diagnostic::do_not_recommend]
impl<E, H: Fn(&E) + Send + Sync + 'static> Handler<E> for H {
    fn handle(&self, effect: &E) {
        self(effect);
    }
}

/// A declared type of effect, and the function that handles it.
pub(crate) struct Declared<E, H> {
    handler: Arc<H>,
    round_trip: RoundTrip,
    effect: PhantomData<fn(&E)>,
}

impl<E: Serialize + DeserializeOwned + 'static, H: Handler<E>> Declared<E, H> {
    pub(crate) fn new(handler: Arc<H>, shape: &Shape) -> Self {
        Self { handler, round_trip: RoundTrip::new::<Postcard>(shape), effect: PhantomData }
    }

    fn decode(effect: &[u8]) -> Result<E> {
        let decoded = contained("the `Deserialize` of an effect", || {
            <Postcard as Codec<E>>::decode(&Postcard, &Payload::from(effect.to_vec()))
        });
        decoded.map_err(|error| error.with_kind(ErrorKind::Effect))
    }
}

impl<E: Serialize + DeserializeOwned + 'static, H: Handler<E>> EffectType for Declared<E, H> {
    fn id(&self) -> TypeId {
        TypeId::of::<E>()
    }

    fn name(&self) -> &'static str {
        type_name::<E>()
    }

    fn listener(&self, least: u8) -> Option<Arc<dyn Listener>> {
        self.handler.listener(least)
    }

    fn takes(&self, effect: &dyn Any) -> bool {
        !H::IS_OF_SURROUNDINGS || effect.downcast_ref().is_some_and(|effect| self.handler.takes(effect))
    }

    fn takes_recorded(&self, effect: &[u8]) -> bool {
        !H::IS_OF_SURROUNDINGS || Self::decode(effect).is_ok_and(|effect| self.handler.takes(&effect))
    }

    fn undeclared(&self) -> Undeclared {
        if H::IS_OF_SURROUNDINGS { Undeclared::IsIgnored } else { Undeclared::IsTold }
    }

    fn handle(&self, effect: &dyn Any) -> Result<()> {
        let Some(effect) = effect.downcast_ref::<E>() else { return Ok(()) };
        contained("the handler of an effect", || {
            self.handler.handle(effect);
            Ok(())
        })
    }

    fn encode(&self, effect: &dyn Any) -> Result<Vec<u8>> {
        let Some(effect) = effect.downcast_ref::<E>() else { return Ok(Vec::new()) };
        let encoded = contained("the `Serialize` or `Deserialize` of an effect", || {
            let mut bytes = Vec::new();
            let mut tee = self.round_trip.tee(&mut bytes);
            Postcard.encode(effect, &mut tee)?;
            let prefix = tee.into_prefix();
            self.round_trip.check(&Postcard, effect, prefix, Duration::MAX)?;
            Ok(bytes)
        });
        encoded.map_err(|error| error.with_kind(ErrorKind::Effect))
    }

    fn repeat(&self, effect: &[u8]) -> Result<()> {
        let effect = Self::decode(effect)?;
        contained("the handler of an effect", || {
            self.handler.repeat(&effect);
            Ok(())
        })
    }
}

fn contained<T>(code: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| Err(Error::panicked(code, panic)))
}
