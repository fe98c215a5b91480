//! One interface to all caches: open, call, remove, close.

mod disk;
mod hybrid;
mod memory;
mod ours;
mod tasks;

use crate::{
    Result, cell,
    task::{FRAME, Found, OURS, Task},
    value::{PackedFrame, Value},
};

pub(crate) trait Cache<V>: Sized {
    /// The result of a call: a value of its own, or a share of one.
    type Handed;

    /// Whether its values are there after a restart.
    const PERSISTS: bool = true;

    /// Whether it holds a bound by itself when it was opened for churn.
    const IS_BOUNDED: bool = false;

    fn open(task: &Task) -> Result<Self>;

    fn call(&self, key: &str, compute: impl FnOnce() -> V + Send) -> Result<Self::Handed>;

    fn remove(&self, _: &str) -> Result<()> {
        Err("it has no way to remove a value".into())
    }

    fn close(self) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn measure<V: Value>(task: &Task) -> Result<Found> {
    match task.peer.as_str() {
        "files by hand" => cell::measure::<V, disk::Files<V>>(task),
        OURS => cell::measure::<V, ours::Own<V>>(task),
        "memolith, packed" if task.bytes <= FRAME => Err("frames only".into()),
        "memolith, packed" => cell::measure::<PackedFrame, ours::Own<PackedFrame>>(task),
        "memolith, `Arc<V>`" => cell::measure::<V, ours::Shared<V>>(task),
        "memolith, in a task" => cell::measure::<V, tasks::Memolith<V>>(task),
        "cached, disk, in a task" => cell::measure::<V, tasks::Cached<V>>(task),
        "moka, in a task" => cell::measure::<V, tasks::Moka<V>>(task),
        "cached, disk" => cell::measure::<V, disk::Cached<V, true>>(task),
        "cached, disk, not durable" => cell::measure::<V, disk::Cached<V, false>>(task),
        "foyer" => cell::measure::<V, hybrid::Foyer<V>>(task),
        "cacache" => cell::measure::<V, disk::Cacache>(task),
        "redb" => cell::measure::<V, disk::Redb>(task),
        "sled" => cell::measure::<V, disk::Sled>(task),
        "moka" => cell::measure::<V, memory::Moka<V>>(task),
        "quick_cache" => cell::measure::<V, memory::QuickCache<V>>(task),
        unknown => Err(format!("no peer of the name {unknown}").into()),
    }
}
