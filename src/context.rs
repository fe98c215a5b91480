//! The computation that the code of a thread belongs to.
//!
//! A computation is a node that knows the one around it. Its thread has it as the current one while its code runs: a blocking
//! computation from its beginning to its end, a task's at each poll. Calls within it are seen by the flight as its own, and a
//! stale value that one of them returns makes its result stale.

use std::{
    cell::Cell,
    fmt,
    future::Future,
    iter, mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    task::{self, Poll},
};

use crate::sync::thread_local;

/// A thread, a task that computes, or a wait of a task: something that leads keys, or waits for one key at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Caller(pub(crate) u64);

impl Caller {
    /// By which another process knows it.
    pub(crate) fn number(self) -> u64 {
        self.0
    }

    /// An identity that no other caller of the process has.
    pub(crate) fn fresh() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// The largest number of a guest. They repeat after it.
    const MOST_GUESTS: u32 = (1 << 23) - 1;

    /// A caller of another process, by its number there.
    pub(crate) fn of_guest(guest: u32, number: u64) -> Self {
        // No process makes so many callers of its own.
        Self(1 << 63 | u64::from(guest & Self::MOST_GUESTS) << 40 | number & ((1 << 40) - 1))
    }

    /// The identity of this thread. While its thread-locals are destroyed, each call gets a new identity, so a re-entrant
    /// call is not recognized as such.
    pub(crate) fn of_thread() -> Self {
        CALLER.try_with(|caller| *caller).unwrap_or_else(|_| Self::fresh())
    }
}

thread_local! {
    static CALLER: Caller = Caller::fresh();
    static CURRENT: Cell<Option<Arc<Node>>> = const { Cell::new(None) };
}

/// One computation.
struct Node {
    caller: Caller,
    /// If this is set, it is set in all computations around this one.
    has_read_stale: AtomicBool,
    around: Option<Arc<Node>>,
}

/// Computations may be nested by the thousand: they are not dropped one within the other.
impl Drop for Node {
    fn drop(&mut self) {
        let mut around = self.around.take();
        while let Some(mut node) = around.and_then(Arc::into_inner) {
            around = node.around.take();
        }
    }
}

/// A handle to the current memoized computation, for use on another thread or in another task.
///
/// A memoized call that is made while a function of another memoized call runs belongs to that one. The threads and the tasks
/// that the function starts do not know it. A context tells them:
///
/// * a call that would wait for a computation that is around it, directly or through others, computes directly. Without the
///   context it waits until [`max_wait`](crate::StoreBuilder::max_wait) is over;
/// * a stale value that a call within it returns makes the result of the computation stale. See
///   [`stale_for`](crate::MemoBuilder::stale_for).
///
/// Async code needs it for *spawned* tasks only: what a function awaits by itself, also through `join!` and `select!`, belongs to
/// it anyway.
///
/// It is cheap to clone. A context that outlives its computation does nothing.
///
/// ```
/// use memolith::{Context, Memo, Store};
///
/// let store = Store::temporary()?;
/// let squares: Memo<u64, u64> = Memo::builder("squares").open(&store)?;
/// let sums: Memo<u64, u64> = Memo::builder("sums").open(&store)?;
/// let sum = sums.get_or_insert_with(&4, || {
///     let context = Context::current();
///     std::thread::scope(|scope| {
///         let parts = [3, 4].map(|number| {
///             let (squares, context) = (&squares, &context);
///             scope.spawn(move || context.run(|| squares.get_or_insert_with(&number, || number * number)))
///         });
///         parts.into_iter().map(|part| part.join().unwrap()).sum()
///     })
/// });
/// assert_eq!(sum, 25);
/// # Ok::<(), memolith::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Context(Option<Arc<Node>>);

impl Context {
    /// That of the code that calls this. Outside of memoized computations it is empty.
    ///
    /// ```
    /// let context = memolith::Context::current();
    /// assert_eq!(context.run(|| 12), 12);
    /// ```
    #[must_use]
    pub fn current() -> Self {
        let current = CURRENT.try_with(|current| {
            let node = current.take();
            current.set(node.clone());
            node
        });
        Self(current.unwrap_or_default())
    }

    /// Runs `work` on this thread as a part of the computation.
    ///
    /// ```
    /// use memolith::Context;
    ///
    /// let context = Context::current();
    /// let worker = std::thread::spawn(move || context.run(|| "done"));
    /// assert_eq!(worker.join().unwrap(), "done");
    /// ```
    pub fn run<R>(&self, work: impl FnOnce() -> R) -> R {
        let _entered = self.enter();
        work()
    }

    /// A future that does the same as `future`, as a part of the computation: for a task that is spawned.
    ///
    /// The future is also dropped as a part of the computation.
    ///
    /// ```
    /// use std::{pin::pin, task};
    ///
    /// use memolith::Context;
    ///
    /// let mut future = pin!(Context::current().wrap(async { 12 }));
    /// let poll = future.as_mut().poll(&mut task::Context::from_waker(task::Waker::noop()));
    /// assert!(poll.is_ready());
    /// ```
    pub fn wrap<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        Within::new(self.clone(), future)
    }

    /// A new computation within this one.
    pub(crate) fn within(self, caller: Caller) -> Self {
        Self(Some(Arc::new(Node { caller, has_read_stale: AtomicBool::new(false), around: self.0 })))
    }

    /// The callers that are held up while a call within this computation waits, the innermost first.
    pub(crate) fn callers(&self) -> impl Iterator<Item = Caller> {
        let nodes = iter::successors(self.0.as_deref(), |node| node.around.as_deref());
        let mut last = None;
        // A thread that nests its computations is one caller.
        nodes.map(|node| node.caller).filter(move |caller| last.replace(*caller) != Some(*caller))
    }

    /// Makes it the current one of this thread, until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        Entered { around: replace_current(self.0.clone()) }
    }

    /// Whether a call within this computation has returned a stale value.
    pub(crate) fn has_read_stale(&self) -> bool {
        self.0.as_ref().is_some_and(|node| node.has_read_stale.load(Acquire))
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("is_empty", &self.0.is_none()).finish()
    }
}

/// A stale value was handed out to the code that runs: it is noted in all computations around it.
pub(crate) fn note_stale() {
    let Context(current) = Context::current();
    let around = iter::successors(current.as_deref(), |node| node.around.as_deref());
    let unmarked: Vec<&Node> = around.take_while(|node| !node.has_read_stale.load(Acquire)).collect();
    // From outside to inside: those around one that is marked are marked at any moment.
    unmarked.iter().rev().for_each(|node| node.has_read_stale.store(true, Release));
}

fn replace_current(node: Option<Arc<Node>>) -> Option<Arc<Node>> {
    CURRENT.try_with(|current| current.replace(node)).unwrap_or_default()
}

/// The computation that was current before is so again when this is dropped.
pub(crate) struct Entered {
    around: Option<Arc<Node>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(replace_current(self.around.take()));
    }
}

/// A future that is polled and dropped within a computation.
pub(crate) struct Within<F> {
    context: Context,
    /// On the heap, so that it can be dropped before this. `None` once it is dropped.
    future: Option<Pin<Box<F>>>,
}

impl<F> Within<F> {
    pub(crate) fn new(context: Context, future: F) -> Self {
        Self { context, future: Some(Box::pin(future)) }
    }
}

impl<F: Future> Future for Within<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<F::Output> {
        let Self { context, future } = &mut *self;
        context.run(|| {
            let Some(polled) = future else { return Poll::Pending };
            let poll = polled.as_mut().poll(cx);
            if poll.is_ready() {
                *future = None;
            }
            poll
        })
    }
}

impl<F> Drop for Within<F> {
    fn drop(&mut self) {
        let future = mem::take(&mut self.future);
        self.context.run(|| drop(future));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::explore;

    /// Runs a computation, and tells whether it read a stale value.
    fn during<T>(compute: impl FnOnce() -> T) -> (T, bool) {
        let context = Context::current().within(Caller::of_thread());
        (context.run(compute), context.has_read_stale())
    }

    #[test]
    fn what_an_inner_computation_reads_the_outer_one_has_read() {
        explore(|| {
            let (((), inner), outer) = during(|| during(note_stale));
            assert!(inner && outer);
            let (((), inner), outer) = during(|| {
                note_stale();
                during(|| ())
            });
            assert!(!inner && outer);
            assert!(!during(|| ()).1, "nothing is left of it");
        });
    }

    #[test]
    fn a_panic_leaves_the_computation_around_it() {
        explore(|| {
            let (_, outer) = during(|| {
                note_stale();
                std::panic::catch_unwind(|| during(|| panic!("inner")))
            });
            assert!(outer);
            assert!(!during(|| ()).1);
        });
    }

    #[test]
    fn computations_that_are_nested_by_the_thousand_are_dropped_one_by_one() {
        let nested = (0..1_000_000).fold(Context::default(), |outer, _| outer.within(Caller::fresh()));
        assert_eq!(nested.callers().count(), 1_000_000);
        drop(nested);
    }

    #[test]
    fn the_computations_of_one_thread_are_one_caller() {
        let [thread, task] = [Caller::fresh(), Caller::fresh()];
        let context = [thread, thread, task, thread].into_iter().fold(Context::default(), Context::within);
        assert_eq!(context.callers().collect::<Vec<_>>(), [thread, task, thread]);
    }

    #[test]
    fn a_wrapped_future_is_polled_and_dropped_within() {
        explore(|| {
            struct Notes;
            impl Drop for Notes {
                fn drop(&mut self) {
                    note_stale();
                }
            }
            let context = Context::default().within(Caller::fresh());
            let notes = Notes;
            let future = context.wrap(async move {
                let _notes = notes;
                std::future::pending::<()>().await;
            });
            assert!(!context.has_read_stale());
            drop(future);
            assert!(context.has_read_stale());
            assert_eq!(Context::current().callers().count(), 0);
        });
    }
}
