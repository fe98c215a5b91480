//! Effects of a memoized function: things that it shows while it computes, and that each hit shows again.
//!
//! A function that draws, reports or logs is silent when its value comes from a cache. Here it says what it shows by
//! [`emit`], and its memo has a handler for the type of that, declared by [`MemoBuilder::effects`](crate::MemoBuilder::effects).
//! The handler is called at once. The effects are stored with the value, and at each hit the handler is called again for
//! every one of them, in their order, before the value is returned.
//!
//! ```
//! use memolith::{Memo, Store, effects};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! enum Shown {
//!     Header(String),
//!     Success(String),
//! }
//!
//! fn draw(shown: &Shown) {
//!     match shown {
//!         Shown::Header(text) => println!("# {text}"),
//!         Shown::Success(text) => println!("done: {text}"),
//!     }
//! }
//!
//! let store = Store::temporary()?;
//! let report: Memo<u64, u64> = Memo::builder("report").effects(draw).open(&store)?;
//! for _ in 0..2 {
//!     // Prints both lines each time. The second time nothing is computed.
//!     let total = report.get_or_insert_with(&7, || {
//!         effects::emit(Shown::Header("Report 7".into()));
//!         effects::emit(Shown::Success("Fetched data from API!".into()));
//!         700
//!     });
//!     assert_eq!(total, 700);
//! }
//! assert_eq!((report.stats().misses.total(), report.stats().hits.total()), (1, 1));
//! # Ok::<(), memolith::Error>(())
//! ```
//!
//! # What is handled, and when
//!
//! * While a function runs, each effect is handled once, by the innermost memo around the code that declares its type.
//! * At each hit, from memory, from disk or from another process, all effects of the value are handled in their order, by the
//!   handler of the memo that is hit. [`Memo::get`](crate::Memo::get), a stale value and a caller that waited for the
//!   computation of another one count as hits. [`contains_key`](crate::Memo::contains_key) handles nothing.
//! * A [refresh behind a call](crate::LoadingMemo) only records.
//! * A value that is computed by [`or_try_update_with`](crate::Entry::or_try_update_with) has the effects that its function emitted,
//!   and none of the old value.
//! * A value that is [inserted](crate::Memo::insert) has no effects. That of a [`Claim`](crate::Claim) has those that were
//!   emitted in its [`run`](crate::Claim::run) and [`wrap`](crate::Claim::wrap).
//! * With [`MEMOLITH_DISABLE`](crate#turning-it-off), and in a forked child, effects are handled while the function runs, and
//!   failures are not told.
//!
//! An effect is recorded by *every* memo around the code that declares its type: a hit of the outer memo shows all that its
//! computation showed, and so does a hit of an inner one, also one within the computation of an outer one. If the handler of an
//! inner memo emits an effect of its own type, as one that forwards what it gets, the outer memo records both.
//!
//! Several types are declared by several calls of [`effects`](crate::MemoBuilder::effects), one for each type. They keep their
//! common order.
//!
//! # What is stored
//!
//! The effects are a part of the stored value: a computation that fails, panics, is refused by
//! [`cache_if`](crate::MemoBuilder::cache_if) or is overtaken by a removal leaves none. They are encoded by
//! [`Postcard`](crate::codec::Postcard), under its checks, whatever the codec of the value is. After a change of the shape of a
//! declared type, or of the declared types, entries are misses.
//!
//! A computation may emit up to 10,000 effects and 4 MiB of them, encoded. With more, or with an effect that cannot be read
//! back unchanged, the value is returned and not stored.
//!
//! # Failures
//!
//! None fails a call. They are in [`last_failure`](crate::Memo::last_failure), and counted, up to eight in a computation or a hit:
//!
//! * a handler that panics, as a [`Panic`](crate::ErrorKind::Panic). The value and the other effects are handled as always;
//! * an effect that a memo around the code does not declare, as an [`Effect`](crate::ErrorKind::Effect) of that memo, once a
//!   computation: its hits will not show the effect;
//! * effects that are not stored, as above, as an [`Effect`](crate::ErrorKind::Effect).
//!
//! # Events of `tracing`
//!
//! With the feature `tracing` there is a ready-made handler, `effects::tracing(level)`. It records the events that the function
//! emits up to a level, and emits them again at each hit, marked as repeated.
//!
//! # Threads and tasks
//!
//! A handler is called on the thread that emits, or that made the call. A thread that the function starts, or a task that it
//! spawns, emits to no memo, unless it runs within its [`Context`](crate::Context). A handler may itself emit and call memos:
//! that belongs to the computations around its memo. So a handler that emits its own type does not call itself.

mod handler;
#[cfg(feature = "tracing")]
mod traced;

pub(crate) use self::handler::Declared;
pub use self::handler::Handler;
#[cfg(feature = "tracing")]
pub use self::traced::{TracedEvent, Tracing, tracing};
use crate::{context, effect_log::Undeclared};

/// Shows `effect`: hands it to the memos around the code that runs. See the [module](self).
///
/// Returns whether one of them declares the type. Where none does, the effect is dropped; each memo around the code then has
/// a [`last_failure`](crate::Memo::last_failure) that says so. Outside of memoized functions nothing but the result tells.
///
/// It never panics, except by the `Drop` of the effect.
///
/// ```
/// use memolith::effects;
///
/// let is_handled = effects::emit("a line".to_owned());
/// assert!(!is_handled); // no memo is around this code
/// ```
#[allow(clippy::must_use_candidate, reason = "most callers know that their memo declares the type")]
#[allow(clippy::needless_pass_by_value, reason = "an effect is made for this call")]
pub fn emit<E: 'static>(effect: E) -> bool {
    context::emit(&effect, Undeclared::IsTold)
}
