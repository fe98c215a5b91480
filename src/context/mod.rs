//! The computation that the code of a thread belongs to.
//!
//! A computation is a node that knows the one around it. Its thread has it as the current one while its code runs: a blocking
//! computation from its beginning to its end, a task's at each poll. Calls within it are seen by the flight as its own, and a
//! stale value that one of them returns makes its result stale. A computation notes the inputs that are read within it.
//!
//! A scope is a node too: it provides values by name to the code within it, and is no computation.

mod caller;
mod effects;
mod inputs;
mod node;
#[cfg(test)]
mod tests;
mod within;

use std::{
    any::Any,
    cell::Cell,
    fmt, iter,
    sync::{
        Arc, OnceLock,
        atomic::{
            AtomicBool,
            Ordering::{Acquire, Release},
        },
    },
};

use self::node::{Computation, Handling, Node, Part};
pub(crate) use self::{
    caller::Caller,
    effects::{emit, repeat},
    inputs::{is_noting, note_reading, note_readings, note_unstorable},
    within::Within,
};
use crate::{
    effect_log::{EffectRecorder, Recorded},
    error::Result,
    readings::{Fingerprint, ProvidedValue, Readings, ScopeValues},
    sync::{lock, thread_local},
};

thread_local! {
    static CURRENT: Cell<Option<Arc<Node>>> = const { Cell::new(None) };
}

/// A handle to the current memoized computation, for use on another thread or in another task.
///
/// A memoized call that is made while a function of another memoized call runs belongs to that one. The threads and the tasks
/// that the function starts do not know it. A context tells them:
///
/// * a call that would wait for a computation that is around it, directly or through others, computes directly. Without the
///   context it waits until [`max_wait`](crate::StoreBuilder::max_wait) is over;
/// * a stale value that a call within it returns makes the result of the computation stale. See
///   [`stale_for`](crate::MemoBuilder::stale_for);
/// * an effect that is emitted within it is handled and recorded by the memos around it. See [`effects`](crate::effects);
/// * a tracked input that is read within it is noted by the computation, and values that a scope around it provides are there.
///   See [`inputs`](crate::inputs).
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

    /// A new computation within this one.
    pub(crate) fn within(self, caller: Caller) -> Self {
        self.within_part(caller, None)
    }

    /// The same, with what becomes of the effects that are emitted in it.
    pub(crate) fn within_computation(self, caller: Caller, effects: EffectRecorder) -> Self {
        self.within_part(caller, Some(effects))
    }

    fn within_part(self, caller: Caller, effects: Option<EffectRecorder>) -> Self {
        let (has_read_stale, readings) = (AtomicBool::new(false), OnceLock::new());
        self.inside(Part::Computation(Computation { caller, has_read_stale, readings, effects }))
    }

    /// A scope within this context, which provides values by name.
    pub(crate) fn within_scope(self, values: Arc<ScopeValues>) -> Self {
        self.inside(Part::Scope(values))
    }

    fn inside(self, part: Part) -> Self {
        let around = self.0;
        let outer = around.as_ref().and_then(|around| around.listener.as_ref());
        let own = match &part {
            Part::Computation(Computation { effects: Some(effects), .. }) => {
                effects.listener(outer.map_or(0, |outer| outer.detail()))
            }
            Part::Computation(_) | Part::Scope(_) | Part::Handling(_) => None,
        };
        let listener = own.or_else(|| outer.cloned());
        Self(Some(Arc::new(Node { part, listener, around })))
    }

    /// The nodes that the code belongs to, from inside to outside.
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        iter::successors(self.0.as_deref(), |node| node.outer())
    }

    /// The function has returned: the effects that were emitted within this computation, and what went wrong with them.
    pub(crate) fn end_effects(&self) -> Recorded {
        let computation = self.0.as_ref().and_then(|node| node.computation());
        let recorder = computation.and_then(|computation| computation.effects.as_ref());
        recorder.map(EffectRecorder::end).unwrap_or_default()
    }

    /// Whether no caller waits for the computation, or for one around it.
    fn is_silent(&self) -> bool {
        self.nodes().filter_map(Node::effects).any(|effects| effects.is_silent)
    }

    /// The callers that are held up while a call within this computation waits, the innermost first.
    pub(crate) fn callers(&self) -> impl Iterator<Item = Caller> {
        let nodes = iter::successors(self.0.as_deref(), |node| node.around.as_deref());
        let callers = nodes.filter_map(Node::caller);
        let mut last = None;
        // A thread that nests its computations is one caller.
        callers.filter(move |caller| last.replace(*caller) != Some(*caller))
    }

    /// For a handler of the memo that `node` is a computation of.
    fn handling(&self, node: &Node) -> Self {
        let caller = self.callers().next().unwrap_or_else(Caller::of_thread);
        self.clone().inside(Part::Handling(Handling { caller, outer: node.around.clone() }))
    }

    /// Makes it the current one of this thread, until the guard is dropped.
    pub(crate) fn enter(&self) -> Entered {
        let around = replace_current(self.0.clone());
        let listener = self.0.as_ref().and_then(|node| node.listener.as_ref());
        let known = around.as_ref().and_then(|around| around.listener.as_ref());
        // It listens on this thread already, or the code has turned to another subscriber.
        let begins = listener.filter(|listener| known.is_none_or(|known| !Arc::ptr_eq(known, listener)));
        Entered { _listening: begins.and_then(|listener| listener.listen()), around }
    }

    /// Whether a call within this computation has returned a stale value.
    pub(crate) fn has_read_stale(&self) -> bool {
        let innermost = self.nodes().find_map(Node::computation);
        innermost.is_some_and(|computation| computation.has_read_stale.load(Acquire))
    }

    /// The inputs that were read within this computation so far.
    pub(crate) fn readings(&self) -> Readings {
        let innermost = self.nodes().find_map(Node::computation);
        let readings = innermost.and_then(|computation| computation.readings.get());
        readings.map_or_else(Readings::default, |readings| lock(readings).clone())
    }

    /// The fingerprint of the value that the innermost scope with the name provides. `None` if there is none, or if the value
    /// could not be serialized.
    pub(crate) fn provided(&self, name: &str) -> Option<Fingerprint> {
        self.provided_value(name)?.ok().map(|value| value.fingerprint)
    }

    /// The value that the innermost scope with the name provides.
    pub(crate) fn provided_value(&self, name: &str) -> Option<Result<Arc<ProvidedValue>>> {
        self.nodes().filter_map(Node::scope).find_map(|values| values.get(name))
    }

    /// The scopes without the computations: for work that goes on behind a call, with the values that were provided around it.
    pub(crate) fn scopes_only(&self) -> Self {
        let scopes: Vec<_> = self.nodes().filter_map(Node::scope).collect();
        scopes
            .into_iter()
            .rev()
            .fold(Self::default(), |around, values| around.within_scope(Arc::clone(values)))
    }

    /// This context, or `other` if this one is empty.
    pub(crate) fn or(self, other: &Self) -> Self {
        if self.0.is_some() { self } else { other.clone() }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("is_empty", &self.0.is_none()).finish()
    }
}

/// A stale value was handed out to the code that runs: it is noted in all computations around it.
pub(crate) fn note_stale() {
    let current = Context::current();
    let around = current.nodes().filter_map(Node::computation);
    let unmarked: Vec<&Computation> =
        around.take_while(|computation| !computation.has_read_stale.load(Acquire)).collect();
    // From outside to inside: those around one that is marked are marked at any moment.
    unmarked.iter().rev().for_each(|computation| computation.has_read_stale.store(true, Release));
}

fn replace_current(node: Option<Arc<Node>>) -> Option<Arc<Node>> {
    CURRENT.try_with(|current| current.replace(node)).unwrap_or_default()
}

/// The computation that was current before is so again when this is dropped.
pub(crate) struct Entered {
    /// It ends on the thread on which it began, so this is not `Send`.
    _listening: Option<Box<dyn Any>>,
    around: Option<Arc<Node>>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        drop(replace_current(self.around.take()));
    }
}
