//! The options of a pool, their defaults and checks.

use std::{sync::Arc, time::Duration};

use super::{ResourcePool, flow::PoolOptions};
#[cfg(feature = "testing")]
use crate::{clock::Clock, testing::ManualClock};
use crate::{
    error::{Error, ErrorKind, Result},
    observe::Event,
};

/// The options of a [`ResourcePool`], set before it is made.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
///
/// use memolith::ResourcePool;
///
/// let pool = ResourcePool::builder()
///     .ttl(Duration::from_secs(600)) // ten minutes after it was put in, a resource is built again
///     .max_entries(8) // the oldest insertion leaves first
///     .build()?;
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a builder does nothing until `build`"]
pub struct ResourcePoolBuilder {
    options: PoolOptions,
}

impl ResourcePool {
    /// The options of a pool.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// let pool = memolith::ResourcePool::builder().ttl(Duration::from_secs(600)).max_entries(8).build()?;
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn builder() -> ResourcePoolBuilder {
        ResourcePoolBuilder::default()
    }
}

impl ResourcePoolBuilder {
    /// How long a resource is shared after it was put in, by a monotonic clock. Default: for ever. A call may shorten this
    /// time by [`ResourceEntry::ttl`](crate::ResourceEntry::ttl), but not extend it.
    ///
    /// A lookup does not extend the lifetime. A resource is expired from the exact end of its lifetime on. An expired
    /// resource is released when it is looked up, when another one is put in, or by [`sweep`](ResourcePool::sweep). No
    /// thread releases it in the background.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// Maximum number of resources of all types together. Default: no bound.
    ///
    /// Expired resources are removed first, then the oldest insertion. A lookup does not protect a resource. A removed
    /// resource is released when its last `Arc` is dropped, so more resources may be alive than are in the pool.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.options.max_entries = Some(entries);
        self
    }

    /// How long a caller waits for another caller that builds the same resource, before it builds too. Default: five
    /// minutes.
    ///
    /// It matters only for a builder that hangs, or that waits, by a channel or a join, for work that waits for the same
    /// resource: such a wait cannot be detected. Re-entry and cycles are detected, and never wait.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.options.max_wait = wait;
        self
    }

    /// How long other callers wait for a *task* that builds their resource and does not go on: it was woken, and is not
    /// polled. Then one of them builds too. Default: one second. See [`StoreBuilder::max_stall`](crate::StoreBuilder::max_stall).
    pub fn max_stall(mut self, stall: Duration) -> Self {
        self.options.max_stall = stall;
        self
    }

    /// Calls `observe` with each [`Event`] of the pool. In events of a pool `memo` is the type of the resource: see
    /// [`Event`].
    ///
    /// It runs on the thread of the call that caused the event, and never under a lock. It may use the pool; events that it
    /// causes itself are counted and not reported. A panic in it is contained, counted, and in
    /// [`last_failure`](ResourcePool::last_failure). Several observers are called in their order. They are dropped with the
    /// last handle of the pool. One that owns such a handle keeps the pool alive for ever.
    ///
    /// ```
    /// use std::sync::{Arc, Mutex};
    /// use memolith::{ResourcePool, observe::Event};
    ///
    /// let slow = Arc::new(Mutex::new(Vec::new()));
    /// let noted = Arc::clone(&slow);
    /// let pool = ResourcePool::builder()
    ///     .observer(move |event| {
    ///         if let Event::ComputeFinished { memo, took, .. } = event {
    ///             noted.lock().unwrap().push(format!("{memo}: {took:?}"));
    ///         }
    ///     })
    ///     .build()?;
    /// pool.get_or_insert_with("name", || String::from("memolith"));
    /// assert!(slow.lock().unwrap()[0].starts_with("alloc::string::String: "));
    /// # Ok::<(), memolith::Error>(())
    /// ```
    pub fn observer(mut self, observe: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.options.observers.push(Arc::new(observe));
        self
    }

    /// Makes it the pool of a function under `#[resource]`.
    pub(crate) fn function(mut self, name: &str) -> Self {
        self.options.function = Some(name.into());
        self
    }

    /// The pool, and the error of an option that [`build`](Self::build) would refuse.
    pub(crate) fn build_anyway(self) -> (ResourcePool, Result<()>) {
        let checked = self.check();
        (ResourcePool::with(self.options), checked)
    }

    #[doc(hidden)]
    #[cfg(feature = "testing")]
    pub fn clock(mut self, clock: &ManualClock) -> Self {
        self.options.clock = Clock::manual(clock.clone());
        self
    }

    /// Makes the pool.
    ///
    /// # Errors
    ///
    /// [`Config`](crate::ErrorKind::Config) for a ttl or a bound of zero. The message names the remedy.
    ///
    /// ```
    /// use memolith::ResourcePool;
    ///
    /// assert!(ResourcePool::builder().max_entries(0).build().unwrap_err().is_config());
    /// ```
    pub fn build(self) -> Result<ResourcePool> {
        self.check()?;
        Ok(ResourcePool::with(self.options))
    }

    fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorKind::Config, message));
        if self.options.ttl.is_some_and(|ttl| ttl.is_zero()) {
            return wrong(
                "`ttl` of a pool is 0: nothing would ever be shared; leave it out to keep resources for ever",
            );
        }
        if self.options.max_entries == Some(0) {
            return wrong("`max_entries` of a pool is 0: nothing could be kept; leave it out for no bound");
        }
        Ok(())
    }
}
