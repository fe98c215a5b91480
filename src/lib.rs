//! memolith stores the results of slow functions on disk: closure in, value out. The next call with the same key, even
//! after a restart, reads the value instead of computing it.
//!
//! # One line above a function
//!
//! ```
//! # #[cfg(feature = "macros")] {
//! use memolith::memo;
//!
//! #[memo(ttl = "1d", max_entries = 1000)]
//! fn primes_below(limit: u64) -> Vec<u64> {
//!     (2..limit).filter(|n| (2..*n).take_while(|d| d * d <= *n).all(|d| n % d != 0)).collect()
//! }
//!
//! assert_eq!(primes_below(100).len(), 25); // computed once a day, also if the program runs a hundred times
//! # }
//! ```
//!
//! A function is known by its path and a hash of its code: [`#[memo]`](macro@memo) has all options. Its results are in
//! the store of the process, [`default_store`].
//!
//! # A store of your own
//!
//! ```
//! use std::time::Duration;
//!
//! use memolith::{FileStamp, Memo, Store};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Clone, Serialize, Deserialize)]
//! struct Frame {
//!     columns: Vec<Vec<f64>>,
//! }
//! # fn read_csv(path: &std::path::Path) -> Frame {
//! #     let text = std::fs::read_to_string(path).unwrap();
//! #     Frame { columns: text.lines().map(|line| line.split(',').filter_map(|x| x.parse().ok()).collect()).collect() }
//! # }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let (cache, rides) = (directory.path().join("cache"), directory.path().join("rides.csv"));
//! # std::fs::write(&rides, "1,2,3\n4,5,6\n")?;
//! let store = Store::open_or_temporary(&cache); // never fails; Store::open(&cache)? is the strict form
//! let frames: Memo<FileStamp, Frame> = Memo::builder("frames") // the name is the function's identity
//!     .ttl(Duration::from_secs(3600))
//!     .max_entries(1_000) // the oldest insertion leaves first
//!     .max_bytes(4 << 30)
//!     .version(2) // bump it: older entries are never read again
//!     .open(&store)?;
//!
//! let stamp = FileStamp::of(&rides)?; // path, length, times, inode: an edit is a miss
//! let frame = frames.get_or_insert_with(&stamp, || read_csv(&rides)); // a Frame, never an error
//! # assert_eq!(frame.columns.len(), 2);
//! # Ok(())
//! # }
//! ```
//!
//! # One call
//!
//! ```text
//! key ──> memory ──miss──> values being written, index, files ──miss──> one caller runs the closure
//!           │                            │                                │                      │
//!          hit                 hit, read back whole                    returns             fails or panics
//!           │                            │                                │                      │
//!           v                            v                                v                      v
//!         value                        value                value, for the waiters too    a waiter runs its own
//!                                                           and for the thread that
//!                                                           writes, and evicts the oldest
//! ```
//!
//! # From the top
//!
//! A [`Store`] is a directory. A [`Memo`] in it caches one function, and has a name, a key type and a value type.
//! [`Memo::get_or_insert_with`] covers daily use, and [`Memo::get_or_try_insert_with`] does the same for functions that
//! may fail. [`Memo::entry`] is a call with options of its own, also in two phases, and a [`LoadingMemo`] computes stale
//! values anew while nobody waits. A [`ResourcePool`] shares objects that cannot be serialized, such as connections. [`#[memo]`](macro@memo)
//! and [`#[resource]`](macro@resource) do the same in one line above a function. [`FileStamp`] makes a key of a file,
//! [`path`] a value of a path that is not UTF-8, [`unordered`] a key of any set. [`Stats`] counts events, [`Usage`]
//! the space that entries take, [`observe`] reports events while they happen, and [`codec`] turns values into bytes. [`effects`] are what a
//! function shows and each hit shows again, [`inputs`] what it reads beside its key, and [`Memo::why`] explains a miss.
//!
//! # What you can rely on
//!
//! 1. **Transparent.** A memoized call fails only as its own closure fails. Full disk, damaged file, lost lock, a panic
//!    inside the engine, an engine that does not answer: the value is computed and returned all the same. The failure is
//!    counted by kind in [`Memo::stats`], kept in [`Memo::last_failure`], and reported to the observers.
//! 2. **Never wrong.** A returned value was computed for exactly this key and these [tracked inputs](inputs), by this version
//!    of the function, with this shape of `V`, and was read back whole. Anything else is a miss. A value is stored only after a check that it can be
//!    read back unchanged: see [`codec`].
//! 3. **Once.** Concurrent callers of one key cause one computation. After a computation that fails or panics, one of the
//!    waiters computes. Nothing is poisoned, and memos that call each other never deadlock.
//! 4. **Bounded.** `ttl`, `max_entries` and `max_bytes` hold on disk and across restarts.
//! 5. **It survives.** Restart, an exit without destructors, `kill -9`, truncated or flipped files, no space left: the
//!    next open works, and damaged entries are misses.
//! 6. **Ordered.** A call that starts after `clear`, `remove` or `insert` returned never gets a value whose computation
//!    began before it.
//!
//! A thread of the store writes computed values. A call waits for the write only if its closure ran for over 15 ms. Every
//! later call finds the value, and [`Store::flush`] waits until all values are written. If values are computed faster than
//! the disk takes them, a call waits up to one second for room in the queue. A value without room stays in memory only,
//! and is counted in [`Stats::overflowed`]. A read from disk has no timeout.
//!
//! # What to use when
//!
//! | the slow thing | key | value | note |
//! |---|---|---|---|
//! | reading a file into a frame | [`FileStamp`] | `Frame` | an edit of the file is a miss |
//! | a transform, a statistic | the inputs | the output | put everything that the result depends on into the key |
//! | a query, a call of an API | the request | the answer | with a [`ttl`](MemoBuilder::ttl), and [`stale_for`](MemoBuilder::stale_for) where an old answer is better than an error; [`get_or_try_insert_with`](Memo::get_or_try_insert_with), errors are not stored |
//! | a model that many threads read | its name | `Arc<Model>` | hits share one value, no copy |
//! | a large frame of numbers | its source | a struct of `Vec<f64>` ([`packed`] for integers), or record batches with the [`codec`] `Arrow` | a copy in half the time of a clone, or none |
//! | a picture, a chart | its parameters | `Vec<u8>` | over 4 KiB a file of its own |
//! | values of `serde_json::Value`, untagged enums | any | any | [`codec`] `Auto` or `Json`, feature `json` |
//! | the output of an `async` function | as above | as above | [`future::Memo`](future) |
//! | a report that shows things while it computes | its parameters | any | each hit shows them again: [`effects`] |
//! | a function that reads configuration, or files that include others | its name | any | an edit is a miss: [`inputs`] |
//! | a connection, a file handle, a thread, a loaded model | its name | one object for all callers | in memory only: [`ResourcePool`] |
//!
//! # What survives what
//!
//! | event | stored values |
//! |---|---|
//! | restart, `exit`, end of `main`, a panic in `main` | survive: open stores are closed at the end of the program, also in a `static` |
//! | `kill -9`, `abort` | survive, except values that were computed in the last 200 ms, took up to 15 ms and were not flushed; `insert`, `remove` and `clear` survive once they returned |
//! | a flipped bit, a truncated or missing file | survive, except the damaged ones; damage to the index loses the values up to 4 KiB |
//! | another version of the program, another shape of `V` | are misses; the old program finds its own for a day |
//! | an unclean end *and* damage; a loss of power | no promise |
//!
//! # When not to use it
//!
//! * For functions quicker than a hit: about 0.3 us from memory, one microsecond and more from disk.
//! * With `panic = "abort"`: a panic of the storage engine on damaged files ends the program.
//! * On network file systems.
//! * For secret results: stored values are not encrypted. New folders and files are accessible to their owner only (0700,
//!   0600).
//! * Where another program truncates payload files: large payloads are memory-mapped, so a truncation during a read can end
//!   the program by SIGBUS.
//!
//! # How to notice that caching does not work
//!
//! A cache that cannot store values is slow, not broken, and easily goes unnoticed. A test can assert that it works.
//! The failures of a memo and those of its store as a whole are kept apart:
//!
//! ```
//! # use memolith::{Memo, Store};
//! # let store = Store::temporary()?;
//! # let memo: Memo<u32, u64> = Memo::builder("squares").open(&store)?;
//! memo.get_or_insert_with(&3, || 9);
//! assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
//! assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
//! assert_eq!(memo.stats().inserts, 1);
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! In a memo with [`stale_for`](MemoBuilder::stale_for) a backend that is down shows in [`Stats::refreshes`]: `failed` and
//! `oldest_served` grow while callers get stale values.
//!
//! # Turning it off
//!
//! With the environment variable `MEMOLITH_DISABLE=1` every memo of the process, under an attribute too, is the plain
//! function: each call computes, reads nothing and stores nothing, and is neither counted nor told. [`Memo::get`] finds
//! nothing. [`insert`](Memo::insert), [`remove`](Memo::remove) and [`clear`](Memo::clear) change the store as always,
//! so that a later run finds no value that this run replaced. Stores are opened as always, and pools share as always.
//! Empty and `0` count as not set.
//!
//! # Features
//!
//! * `macros`, on by default: the attributes [`#[memo]`](macro@memo), [`#[resource]`](macro@resource) and
//!   [`#[code]`](macro@code).
//! * `arrow-60`: the codec `Arrow`, for record batches of the `arrow` crates 60 that are read without a copy. `arrow` is the
//!   newest major version, another one after a minor release.
//! * `json`: the codec `Json`, for values that postcard cannot read back; [`Auto`](codec::Auto) chooses between the two.
//! * `spinner`: a line on the terminal during a slow computation, `spinner` in [`observe`].
//! * `redis`: `remote`, a server that the stores of several machines share. `redis-tls`: the same over TLS.
//! * `tracing`: the events of observers as `tracing` events, a span around each computation, and `effects::tracing`.

mod background;
mod builder;
mod checksum;
mod clock;
pub mod codec;
mod context;
mod default_store;
mod disabled;
mod effect_log;
pub mod effects;
mod entry;
mod error;
mod flight;
mod flow;
mod fork;
pub mod future;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod fuzzing;
mod hash;
pub mod inputs;
#[doc(hidden)]
pub mod internal;
mod key;
mod leftovers;
mod memo;
mod memory;
pub mod observe;
pub mod packed;
pub mod path;
mod pool;
mod random;
mod readings;
mod record;
#[cfg(feature = "redis")]
pub mod remote;
#[cfg(not(feature = "redis"))]
mod remote;
mod shape;
mod signals;
mod stamp;
pub mod stats;
mod store;
mod sync;
mod temporary;
#[cfg(feature = "testing")]
#[doc(hidden)]
pub mod testing;
#[cfg(not(feature = "testing"))]
#[allow(dead_code, unreachable_pub, reason = "faults are planted, and clocks moved, by tests only")]
mod testing;
mod timer;
pub mod unordered;
mod variants;

pub use crate::{
    builder::MemoBuilder,
    context::Context,
    default_store::{default_store, set_default_store},
    entry::{Claim, Entry, Hit, LoadingMemo, Lookup},
    error::{Error, ErrorKind, Result},
    memo::Memo,
    pool::{FunctionPool, ResourceEntry, ResourcePool, ResourcePoolBuilder},
    stamp::FileStamp,
    stats::{Failure, PoolStats, Stats, Usage},
    store::{Durability, Entries, EntryInfo, Role, Store, StoreBuilder, Swept},
};

#[cfg(feature = "macros")]
pub use memolith_macros::{code, memo, resource};

/// The examples of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the page on testing, compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/testing.md")]
struct Testing;

/// The examples of the page on stale values, compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/freshness.md")]
struct Freshness;

/// The examples of the page on other caches, compiled.
#[cfg(doctest)]
#[doc = include_str!("../docs/coming-from.md")]
struct ComingFrom;
