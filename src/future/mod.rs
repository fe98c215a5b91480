//! Memos and pools for async code. No runtime is needed, and none is named: it works under every executor.
//!
//! | blocking | in a task |
//! |---|---|
//! | [`Memo`](crate::Memo) | [`future::Memo`](Memo) |
//! | [`ResourcePool`](crate::ResourcePool) | [`future::ResourcePool`](ResourcePool) |
//!
//! They are converted into each other at no cost by `from` and `into`, and share everything: a thread and a task that ask for
//! the same key at the same time cause one computation.
//!
//! ```
//! use memolith::{Memo, Store, future};
//! # async fn fetch(url: &str) -> String { url.to_uppercase() }
//!
//! let store = Store::temporary()?;
//! let pages: future::Memo<str, String> = Memo::builder("pages").open(&store)?.into();
//! # smol::block_on(async {
//! let url = "https://example.org";
//! let page = pages.get_or_insert_with(url, || async { fetch(url).await }).await;
//! let again = pages.get_or_insert_with(url, || async { unreachable!("remembered") }).await;
//! assert_eq!(page, again);
//! # });
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # Attributes
//!
//! [`#[memo]`](macro@crate::memo#async-functions) and [`#[resource]`](macro@crate::resource#async-functions) above an `async fn` call this
//! module. Their companions return the blocking handle, which converts into that of a task.
//!
//! ```
//! # #[cfg(feature = "macros")] {
//! use memolith::{future, memo};
//! # memolith::set_default_store(memolith::Store::temporary()?)?;
//! # async fn get(url: &str) -> std::io::Result<String> { Ok(url.to_uppercase()) }
//!
//! #[memo(ttl = "1h")]
//! async fn fetch(url: &str) -> std::io::Result<String> {
//!     get(url).await // an error is returned, and not stored
//! }
//!
//! # smol::block_on(async {
//! let page = fetch("https://example.org").await?;
//! let pages: future::Memo<str, String> = fetch_memo().clone().into();
//! assert_eq!(pages.get("https://example.org").await?, Some(page));
//! # Ok::<(), Box<dyn std::error::Error>>(()) }).unwrap();
//! # }
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # Where the work is done
//!
//! The future of the caller is polled where the caller is polled. It may borrow, and needs not be `Send`: the future that a call
//! returns is `Send` if that of the caller is. The key is serialized in the call, before the first poll; under an attribute, in the
//! first poll.
//!
//! In the process that hosts the store, a hit of up to 64 KiB is answered in the first poll, from memory and from the index alike,
//! unless the memo has values with tracked [inputs](crate::inputs).
//! A poll decodes and clones values up to this size, encodes values up to 4 KiB, reads records and files of this length, and runs
//! the closures of the options (`cache_if`, `validate`, `ttl_with`). That takes some tens of microseconds at most while the files
//! are in the page cache of the system. A value behind an `Arc` is cloned in the poll at any size.
//!
//! Everything else runs on threads of the crate: larger values on up to 4 of them, waits for the disk on up to 64, and in a process
//! that does not host the store, waits for a computation of another process on up to 1,024. They serve the whole process, and end
//! after 10 s without work.
//!
//! # The fates of a future
//!
//! Those of a [closure](crate::Memo#the-four-fates-of-a-closure): it returns, fails, panics or re-enters. And these:
//!
//! * It is *dropped* before its value is computed: nothing is stored, and one of the waiters computes. A value that was computed is
//!   stored all the same. A waiter that is dropped leaves no trace.
//! * It is *not polled* although it was woken, for example because it was polled once by hand and kept. After
//!   [`max_stall`](crate::StoreBuilder::max_stall) one of the waiters of this process computes too, or any waiter if this process hosts
//!   the store. A future that waits for its own input or output was not woken, and keeps the lead.
//!
//! A future that was begun before a `fork` must not be polled in the child.
//!
//! # Re-entry and cycles
//!
//! A call that is made within the future of another call belongs to that one, through `await`, `join!` and `select!` alike. If it
//! would wait for a computation around it, directly or through other calls, it computes directly. A *spawned* task does not know
//! the computation that spawned it, unless it is [wrapped](crate::Context::wrap) in its [`Context`](crate::Context).
//!
//! Some waits cannot be seen, and end after [`max_wait`](crate::StoreBuilder::max_wait):
//!
//! * that of a spawned task without its context;
//! * that for a channel or a lock of the program;
//! * that of an executor within a poll (`block_on` in a task) for another task of its thread;
//! * a cycle of keys through tasks of several processes.
//!
//! A blocking call in a task (of [`Memo`](crate::Memo), not of this module) holds up its executor. It never waits for a task that
//! its own thread polled last: it computes directly.
//!
//! # What to use when
//!
//! * The function is async: this module, or an attribute above it.
//! * The function blocks or computes for long, and its caller is async: the blocking memo on a thread for blocking work, as
//!   `spawn_blocking` of a runtime. Or this module around that, `get_or_insert_with(key, || spawn_blocking(..))`: a small hit
//!   then occupies no thread.

mod entry;
mod memo;

pub(crate) use self::memo::{get_or_insert_with, get_or_try_insert_with};
pub use self::{entry::Entry, memo::Memo};
pub use crate::pool::future::{ResourceEntry, ResourcePool};
