//! Calls of functions that compute stale values anew on another thread.

use serde::Serialize;

use super::{Call, OpenedMemo, Unnamed};
use crate::flow::LoadingCall;

/// An argument that another thread can own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be owned by the thread that computes a stale value anew",
    label = "this argument is not `Clone + Send + 'static`",
    note = "take a type that is `Clone + Send + 'static`, or a reference to one; or leave `stale_for` and `refresh_at` out, \
            and give `stale_for` to a memo of a builder, which computes on the thread of its first caller"
)]
pub trait Owned: Clone + Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Clone + Send + 'static> Owned for T {}

/// A copy of an argument.
pub fn owned<T: Owned>(argument: &T) -> T {
    argument.clone()
}

/// A copy of what an argument refers to.
pub fn owned_of<T: ToOwned<Owned: Send + 'static> + ?Sized>(argument: &T) -> T::Owned {
    argument.to_owned()
}

/// A call after its lookup, which may be followed by a computation on another thread.
#[derive(Debug)]
#[must_use = "other callers wait until this call is finished or dropped"]
pub struct Load<V: 'static>(LoadingCall<'static, V>);

impl<V: Clone + Send + Sync + 'static> OpenedMemo<Unnamed, V> {
    /// Looks the key up.
    pub fn load<K: Serialize + ?Sized>(&'static self, key: &K) -> Load<V> {
        Load(match &self.refused {
            None => self.memo.begin_loading(key),
            Some(error) => LoadingCall::Call(self.memo.refuse(error)),
        })
    }
}

impl<V: Clone + Send + Sync + 'static> Load<V> {
    /// Has a function that cannot fail run on another thread, if a stale value was found.
    pub fn behind_plain<J: FnOnce() -> V + Send + 'static>(self, own: impl FnOnce() -> J) -> Call<V> {
        self.behind_fallible(|| {
            let job = own();
            move || Ok::<V, std::convert::Infallible>(job())
        })
    }

    /// The same for a function that may fail.
    pub fn behind_fallible<E, J>(self, own: impl FnOnce() -> J) -> Call<V>
    where
        J: FnOnce() -> Result<V, E> + Send + 'static,
    {
        Call(self.0.behind(own))
    }
}
