//! Drops resources, and keeps the failures of user code.

use std::{
    any::{Any, type_name},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    stats::LastFailure,
};

/// A resource with its type erased.
#[derive(Clone)]
pub(super) struct Resource {
    object: Arc<dyn Any + Send + Sync>,
    /// The name of its type, for messages.
    kind: &'static str,
}

impl Resource {
    pub(super) fn new<T: Send + Sync + 'static>(object: Arc<T>) -> Self {
        Self { object, kind: type_name::<T>() }
    }

    pub(super) fn into_object<T: Send + Sync + 'static>(self) -> Option<Arc<T>> {
        self.object.downcast().ok()
    }
}

/// The last failure of a pool that no call returned.
#[derive(Debug)]
pub(super) struct PoolFailures(pub(super) LastFailure);

impl PoolFailures {
    #[cold]
    fn keep(&self, error: Error, kind: &str) {
        self.0.keep(error.with_context(&format!("pool resource of type {kind}").into()));
    }

    /// Runs user code. If it fails or panics, the error is kept, and the result is `None`.
    pub(super) fn contain<T>(&self, what: &str, kind: &str, call: impl FnOnce() -> Result<T>) -> Option<T> {
        let error = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(result)) => return Some(result),
            Ok(Err(error)) => error,
            Err(panic) => Error::panicked(what, panic),
        };
        self.keep(error, kind);
        None
    }

    /// Drops resources in their order, and contains panics of their `Drop`. The caller holds no lock.
    pub(super) fn drop_all(&self, removed: impl IntoIterator<Item = Resource>) {
        for Resource { object, kind } in removed {
            self.contain("the `Drop`", kind, move || {
                drop(object);
                Ok(())
            });
        }
    }
}
