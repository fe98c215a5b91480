//! Counts the events of a pool, and tells its observers. The caller holds no lock.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use super::name::Name;
use crate::{
    clock::{Clock, Stopwatch},
    context::{Context, Within},
    error::Error,
    fork::Origin,
    key::KeyText,
    observe::{Event, ObserverRegistry, Observers, Span},
    stats::{PoolCounters, Reason, Tier},
};

/// The counters and the observers of one pool.
pub(super) struct PoolEvents {
    pub(super) counters: PoolCounters,
    observers: ObserverRegistry,
    /// The name of the function, in a pool for the resources of one. Other pools tell the type of a resource in its place.
    function: Option<Arc<str>>,
    clock: Clock,
    /// The process that made the pool. In another one nothing is told.
    pub(super) origin: Origin,
}

impl PoolEvents {
    pub(super) fn new(clock: &Clock, observers: Observers, function: Option<Arc<str>>) -> Self {
        Self {
            counters: PoolCounters::new(clock.clone()),
            observers: ObserverRegistry::new(observers),
            function,
            clock: clock.clone(),
            origin: Origin::here(),
        }
    }

    /// The `memo` of an event about resources of a type.
    fn source<'a>(&'a self, kind: &'a str) -> &'a str {
        self.function.as_deref().unwrap_or(kind)
    }

    /// A panic of an observer is counted, and not told.
    fn tell(&self, event: &Event<'_>) {
        self.observers.notify(None, event).iter().for_each(|panic| self.counters.calls.failed(panic));
    }

    /// Tells a hit, which the slots have counted.
    #[inline]
    pub(super) fn hit(&self, kind: &str, saved: Duration) {
        if !self.observers.is_silent() {
            self.tell(&Event::Hit {
                memo: self.source(kind),
                tier: Tier::Memory,
                saved,
                is_stale: false,
                age: Duration::ZERO,
            });
        }
    }

    pub(super) fn missed(&self, kind: &str, reason: Reason) {
        self.counters.calls.miss(reason);
        self.tell(&Event::Miss { memo: self.source(kind), reason });
    }

    /// Counts, keeps and tells a failure.
    #[cold]
    pub(super) fn failed(&self, kind: &str, error: Error) {
        if self.origin.is_elsewhere() {
            return;
        }
        let source = self.source(kind);
        let place = match &self.function {
            Some(function) => format!("resource of the function `{function}`"),
            None => format!("pool resource of type {kind}"),
        };
        let error = error.with_context(&place.into());
        self.counters.calls.failed(&error);
        self.tell(&Event::Failed { memo: Some(source), error: &error });
    }

    /// Counts and tells the removal of expired resources of these types.
    pub(super) fn expired(&self, kinds: &[&'static str]) {
        if kinds.is_empty() {
            return;
        }
        self.counters.expired(kinds.len() as u64);
        for (memo, entries) in self.by_source(kinds) {
            self.tell(&Event::Expired { memo, entries });
        }
    }

    /// Counts and tells the removal of resources of these types because of a bound.
    pub(super) fn evicted(&self, kinds: &[&'static str]) {
        if kinds.is_empty() {
            return;
        }
        self.counters.calls.evicted(kinds.len() as u64);
        for (memo, entries) in self.by_source(kinds) {
            self.tell(&Event::Evicted { memo, entries });
        }
    }

    fn by_source(&self, kinds: &[&'static str]) -> BTreeMap<&str, u64> {
        let mut counts = BTreeMap::new();
        for kind in kinds {
            *counts.entry(self.source(kind)).or_default() += 1;
        }
        counts
    }

    /// Runs the builder of a resource inside its span, tells its start and its end, and returns how long it ran. `name` is
    /// `None` for a key that cannot be serialized.
    pub(super) fn building<T, E>(
        &self,
        kind: &'static str,
        name: Option<&Name>,
        build: impl FnOnce() -> Result<T, E>,
    ) -> Result<(T, Duration), E> {
        let mut run = BuildRun::start(self, kind, name);
        let resource = run.span.within(build);
        let took = run.end(resource.is_ok());
        Ok((resource?, took))
    }

    /// The same for a builder that is a future, which is polled and dropped within `context`.
    pub(super) async fn building_in_task<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        kind: &'static str,
        name: Option<&Name>,
        context: Context,
        build: impl FnOnce() -> F,
    ) -> Result<(T, Duration), E> {
        let mut run = BuildRun::start(self, kind, name);
        let future = run.span.within(|| context.run(build));
        let mut running = Within::new(context, future);
        let resource = poll_fn(|cx| run.span.within(|| Pin::new(&mut running).poll(cx))).await;
        drop(running);
        let took = run.end(resource.is_ok());
        Ok((resource?, took))
    }
}

/// The run of one builder. A drop without [`end`](Self::end) is a panic of the builder, or a task that was dropped.
struct BuildRun<'a> {
    events: &'a PoolEvents,
    kind: &'static str,
    name: Option<&'a Name>,
    span: Span,
    stopwatch: Stopwatch,
    /// Whether the end was told.
    done: bool,
}

impl<'a> BuildRun<'a> {
    fn start(events: &'a PoolEvents, kind: &'static str, name: Option<&'a Name>) -> Self {
        let source = events.source(kind);
        with_text(name, |key| events.tell(&Event::ComputeStarted { memo: source, key }));
        let (span, stopwatch) = (Span::of_computing(source), events.clock.stopwatch());
        Self { events, kind, name, span, stopwatch, done: false }
    }

    fn end(&mut self, succeeded: bool) -> Duration {
        let took = self.stopwatch.elapsed();
        self.done = true;
        // The builder may have forked, and this be the child.
        if !self.events.origin.is_elsewhere() {
            self.span.ended(took, succeeded);
            let memo = self.events.source(self.kind);
            with_text(self.name, |key| {
                self.events.tell(&Event::ComputeFinished { memo, key, took, succeeded });
            });
        }
        took
    }
}

impl Drop for BuildRun<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.end(false);
        }
    }
}

/// Calls `tell` with the key as text.
fn with_text(name: Option<&Name>, tell: impl FnOnce(Option<KeyText<'_>>)) {
    match name {
        Some(name) => name.key.with_text(tell),
        None => tell(None),
    }
}
