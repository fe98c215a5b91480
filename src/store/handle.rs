//! What keeps a store open, and which memos are open in it.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

#[cfg(feature = "redis")]
use crate::remote::Redis;
use crate::{
    effect_log::EffectFormat,
    remote::Server,
    store::{
        generation::{Bounds, GenerationId},
        partition::Durability,
        session::Session,
        worker::Directory,
    },
};

/// What was set, as opposed to left at its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(super) memory: Option<u64>,
    pub(super) max_bytes: Option<u64>,
    pub(super) max_wait: Option<Duration>,
    pub(super) max_stall: Option<Duration>,
}

/// Keeps a store open. Dropping the last one closes it.
pub(crate) struct Handle {
    pub(crate) session: Arc<Session>,
    /// `None` in a store without a worker: it has the memory tier only.
    pub(super) directory: Option<Arc<Directory>>,
    /// The options that were set at the first open: another open may not want something else.
    pub(super) asked: Asked,
    /// The server that the store shares with other machines.
    pub(super) server: Option<Arc<dyn Server>>,
    #[cfg(feature = "redis")]
    pub(super) redis: Option<Redis>,
    /// The memos that are open, by name and scope.
    pub(super) live: Mutex<HashMap<String, LiveMemo>>,
}

/// A memo that is open, as far as another open of the same name needs to know.
pub(crate) struct LiveMemo {
    /// Its shared part, as long as a handle holds it.
    pub(crate) memo: Weak<dyn Any + Send + Sync>,
    pub(crate) generation: GenerationId,
    /// Of its entries in memory.
    pub(crate) owner: u64,
    pub(crate) bounds: Bounds,
    pub(crate) memory: Option<u64>,
    pub(crate) durability: Durability,
    pub(crate) private_keys: bool,
    pub(crate) local_only: bool,
    /// The type of the `cache_if` closure.
    pub(crate) cache_if: Option<TypeId>,
    /// The types of the observers, in their order.
    pub(crate) observers: Vec<TypeId>,
    pub(crate) effects: EffectFormat,
    pub(crate) value_type: &'static str,
    /// Two codecs may share an id, and give different guarantees.
    pub(crate) codec: TypeId,
    pub(crate) version: u64,
}
