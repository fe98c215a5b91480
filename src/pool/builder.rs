//! The options of a pool, their defaults and checks.

use std::time::Duration;

use super::{ResourcePool, flow::PoolOptions};
use crate::error::{Error, ErrorKind, Result};
#[cfg(feature = "testing")]
use crate::{clock::Clock, testing::ManualClock};

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
