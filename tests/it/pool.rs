//! The promises of a pool: one object for all callers, built once, released once.

use std::{
    panic::panic_any,
    sync::{Arc, Mutex},
    time::Duration,
};

use memolith::{ResourcePool, ResourcePoolBuilder, testing::ManualClock};

mod flights;
mod limits;
mod observers;
mod ordered;
mod release;
mod sharing;
mod stats;
mod validation;

/// The released names, in order.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<&'static str>>>);

impl Log {
    /// A resource that enters its name when it is released.
    fn resource(&self, name: &'static str) -> Logged {
        Logged { name, log: self.clone(), fails: false }
    }

    /// A resource that panics in its release, after it has entered its name.
    fn failing(&self, name: &'static str) -> Logged {
        Logged { name, log: self.clone(), fails: true }
    }

    /// Takes the names that were entered since the last time.
    fn released(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

struct Logged {
    name: &'static str,
    log: Log,
    fails: bool,
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.log.0.lock().unwrap().push(self.name);
        if self.fails {
            panic_any("the release fails");
        }
    }
}

/// Puts a resource in under its own name, or gets the present one.
fn put(pool: &ResourcePool, log: &Log, name: &'static str) -> Arc<Logged> {
    pool.get_or_insert_with(name, || log.resource(name))
}

/// A pool with a manual clock.
fn timed(options: impl FnOnce(ResourcePoolBuilder) -> ResourcePoolBuilder) -> (ResourcePool, ManualClock) {
    let clock = ManualClock::new();
    (options(ResourcePool::builder().clock(&clock)).build().unwrap(), clock)
}

fn bounded(entries: u64) -> ResourcePool {
    ResourcePool::builder().max_entries(entries).build().unwrap()
}

const MILLISECOND: Duration = Duration::from_millis(1);
