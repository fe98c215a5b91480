//! The output of the examples: a line a call, with `computed` or `hit`, the time of the call, and its subject.
//!
//! A real program does not need this. The word is never assumed: a memo counts, and a closure reports that it ran.

use std::{
    cell::Cell,
    fmt::Display,
    time::{Duration, Instant},
};

use memolith::{Memo, default_store};
use serde::Serialize;

/// Calls a function under `#[memo]`, and prints what its `memo` counted.
pub fn memo<K, V, T>(memo: &Memo<K, V>, what: impl Display, call: impl FnOnce() -> T) -> T
where
    K: Serialize + ?Sized,
    V: Clone + Send + Sync + 'static,
{
    let before = memo.stats();
    let (answer, time) = timed(call);
    let after = memo.stats();
    let outcome = if after.hits.total() > before.hits.total() {
        "hit"
    } else if after.inserts > before.inserts {
        "computed"
    } else {
        "not stored"
    };
    line(outcome, time, what);
    if let Some(failure) = memo.last_failure() {
        eprintln!("the answer is right, but the cache did not work: {failure}");
    }
    answer
}

/// Prints the folder in which the functions under `#[memo]` keep their results.
pub fn kept() {
    if let Some(folder) = default_store().path() {
        println!("kept in {}: the next run reads it there", folder.display());
    }
}

thread_local! {
    /// Whether the closure ran, on the thread that made the call.
    static RAN: Cell<bool> = const { Cell::new(false) };
}

/// Called by a closure that builds a resource.
pub fn ran() {
    RAN.set(true);
}

/// Asks for a resource, and prints whether the closure [`ran`]. A caller that waited for the build of another has a
/// hit.
pub fn resource<T>(what: impl Display, call: impl FnOnce() -> T) -> T {
    RAN.set(false);
    let (answer, time) = timed(call);
    line(if RAN.get() { "computed" } else { "hit" }, time, what);
    answer
}

fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let answer = call();
    (answer, start.elapsed())
}

fn line(outcome: &str, time: Duration, what: impl Display) {
    println!("{outcome:<12}{time:>10.1?}   {what}");
}
