//! Events of the cache, for observers, and for `tracing` with the feature of that name.
//!
//! An observer is a closure that is called with each [`Event`]. [`StoreBuilder::observer`](crate::StoreBuilder::observer)
//! takes one for all memos of a store, [`MemoBuilder::observer`](crate::MemoBuilder::observer) one for a single memo. The
//! observers of the memo are called first, then those of its store.
//! [`ResourcePoolBuilder::observer`](crate::ResourcePoolBuilder::observer) takes one for a pool.
//!
//! ```
//! use memolith::{Memo, Store, observe::Event};
//!
//! let store = Store::temporary()?;
//! let frames: Memo<str, Vec<f64>> = Memo::builder("frames")
//!     .observer(|event| match event {
//!         Event::Hit { tier, saved, .. } => println!("found, {tier:?}: {saved:?} saved"),
//!         Event::ComputeFinished { took, .. } => println!("computed in {took:?}"),
//!         _ => {}
//!     })
//!     .open(&store)?;
//! frames.get_or_insert_with("rides", || vec![0.5; 1000]);
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # With `tracing`
//!
//! With the feature `tracing` each event is also one `tracing` event of the target `memolith::observe`, with or without an
//! observer. Hits have the level `TRACE`; misses, computations, evictions and expirations `DEBUG`; values that are too
//! large for memory `INFO`; failures `WARN`. Each computation has a span `compute` with the name of the memo, and events
//! of the closure are inside it. At its end the span records `took` and `succeeded`. Keys may hold secrets, so they are
//! not in the events of `tracing`: an observer that wants them there adds them. Where no subscriber is set and `tracing` has its
//! feature `log`, hits are not among the records of `log`.

mod contained;
mod event;
mod registry;
#[cfg(feature = "spinner")]
mod spinner;
mod trace;
mod warning;

#[cfg(feature = "spinner")]
pub use self::spinner::{spinner, suspend_spinner};
pub use self::{event::Event, warning::Warning};
pub(crate) use self::{
    registry::{Observe, ObserverRegistry, Observers},
    trace::{Span, hears_failures},
};
pub use crate::{
    key::KeyText,
    stats::{Reason, Tier},
};
