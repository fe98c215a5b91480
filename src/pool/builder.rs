//! The options of a pool, their defaults and checks.

use std::time::Duration;

use super::{ResourcePool, flow::PoolOptions};
use crate::error::{Error, Kind, Result};
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
///     .ttl(Duration::from_secs(600)) // ten minutes after it was put in, a resource is built anew
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
    /// How long a resource is handed out, counted from when it was put in, by a clock that nobody sets; for ever unless
    /// set. A call may ask for less by [`ResourceEntry::ttl`](crate::ResourceEntry::ttl), not for more.
    ///
    /// Being asked for does not extend a life. At the boundary itself a resource is gone. It is released when it is asked
    /// for, when another one is put in, or by [`sweep`](ResourcePool::sweep), and not by itself.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.options.ttl = Some(ttl);
        self
    }

    /// How many resources may be there, of all types together; no bound unless set.
    ///
    /// What is past its time leaves first, then the oldest insertion; being asked for does not keep a resource. One that
    /// leaves is released when nobody uses it any more, so more may be alive than are in the pool.
    pub fn max_entries(mut self, entries: u64) -> Self {
        self.options.max_entries = Some(entries);
        self
    }

    /// How long a caller waits for another one that builds the same resource before it builds too; five minutes unless
    /// set.
    ///
    /// It only matters for a builder that hangs, or that waits (by a channel, or a join) for work which waits for the same
    /// resource: such a wait cannot be seen. Re-entry and cycles are seen and never wait.
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
    /// [`is_config`](Error::is_config) for a ttl or a bound of zero. The message names the remedy.
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
        let wrong = |message: &str| Err(Error::new(Kind::Config, message));
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
