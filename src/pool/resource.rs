//! A resource of any type.

use std::{
    any::{Any, type_name},
    sync::Arc,
};

/// A resource with its type erased.
#[derive(Clone)]
pub(super) struct Resource {
    pub(super) object: Arc<dyn Any + Send + Sync>,
    /// The name of its type, for messages and events.
    pub(super) kind: &'static str,
}

impl Resource {
    pub(super) fn new<T: Send + Sync + 'static>(object: Arc<T>) -> Self {
        Self { object, kind: type_name::<T>() }
    }

    pub(super) fn into_object<T: Send + Sync + 'static>(self) -> Option<Arc<T>> {
        self.object.downcast().ok()
    }
}
