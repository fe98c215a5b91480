//! What keeps a store open, and which memos are open in it.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use crate::{
    error::Result,
    store::{
        builder::Asked,
        core::Core,
        ledger::{Bounds, GenerationId},
        registry,
    },
};

/// How long a close is waited for before it is reported as hanging, beside the calls that it waits for itself.
const CLOSE: Duration = Duration::from_secs(2);

/// Keeps a store open; dropping the last one closes it.
pub(crate) struct Handle {
    pub(super) core: Arc<Core>,
    /// What was set by the one who opened it: another open may not want something else.
    pub(super) asked: Asked,
    /// The memos that are open, by name.
    pub(super) live: Mutex<HashMap<String, LiveMemo>>,
}

/// A memo that is open, as far as another open of the same name needs to know.
pub(crate) struct LiveMemo {
    /// Its `MemoInner`, as long as somebody holds it.
    pub(crate) memo: Weak<dyn Any + Send + Sync>,
    pub(crate) generation: GenerationId,
    pub(crate) bounds: Bounds,
    pub(crate) memory: Option<u64>,
    /// The type of the `cache_if` closure.
    pub(crate) cache_if: Option<TypeId>,
    /// The types of the observers, in their order.
    pub(crate) observers: Vec<TypeId>,
    pub(crate) value_type: &'static str,
    /// Two codecs may share an id, and give different guarantees.
    pub(crate) codec: TypeId,
    pub(crate) version: u64,
}

impl Handle {
    pub(super) fn close(&self) -> Result<()> {
        let closed = self.core.maintenance.close(&self.core, CLOSE + 2 * self.core.manner.leave().total());
        self.core.release(self.core.memory.clear());
        if let Some(directory) = &self.core.directory {
            registry::forget_core(directory, &self.core);
        }
        closed
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            self.core.failed(&error);
        }
    }
}
