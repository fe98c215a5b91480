//! Where resources are dropped, and what code of the user does wrong meanwhile is kept.

use std::{
    any::{Any, type_name},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex},
};

use crate::{
    error::{Error, Result},
    sync::lock,
};

/// A resource as the pool holds it.
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

/// What went wrong and was kept away from the callers.
#[derive(Debug, Default)]
pub(super) struct PoolFailures(Mutex<Option<Error>>);

impl PoolFailures {
    pub(super) fn last(&self) -> Option<Error> {
        lock(&self.0).clone()
    }

    #[cold]
    fn keep(&self, error: Error, kind: &str) {
        let error = error.with_context(&format!("pool resource of type {kind}").into());
        let _former = lock(&self.0).replace(error);
    }

    /// Runs code of the user. Its error, and its panic, is kept here; then there is no result.
    pub(super) fn contain<T>(&self, what: &str, kind: &str, call: impl FnOnce() -> Result<T>) -> Option<T> {
        let error = match catch_unwind(AssertUnwindSafe(call)) {
            Ok(Ok(result)) => return Some(result),
            Ok(Err(error)) => error,
            Err(panic) => Error::panicked(what, panic),
        };
        self.keep(error, kind);
        None
    }

    /// Lets go of resources, one after the other, whatever their `Drop` does. To be called under no lock.
    pub(super) fn drop_all(&self, removed: impl IntoIterator<Item = Resource>) {
        for Resource { object, kind } in removed {
            self.contain("the `Drop`", kind, move || {
                drop(object);
                Ok(())
            });
        }
    }
}
