//! The computation of one value: its lead, its time, and what becomes of its value.

use std::{
    future::{Future, poll_fn},
    mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use super::{
    Hit, MemoInner,
    content::Content,
    inner::About,
    lead::{Lead, Old},
    place::{HitInputs, Place},
    terms::EntryTtl,
};
use crate::{
    clock::Stopwatch,
    context::{Caller, Context, Within, note_readings},
    effect_log::{EffectLog, EffectRecorder, Recorded},
    error::{Error, ErrorKind},
    flight::{Claim, Outcome, Pulse},
    key::{Digest, KeyText},
    observe::{Event, Span},
    readings::Readings,
    store::{Entry, OfVariant, Unsent},
};

/// A computation that began. Its owner ends it, by [`keep`](MemoInner::keep_value) or by [`fail`](MemoInner::fail).
pub(crate) struct Work<V> {
    /// `None` if the value cannot be stored: the store is closed, or the key has no digest.
    lead: Option<Box<Lead<V>>>,
    /// The head of the key, stored beside the value and told to observers. Empty if the key cannot be serialized.
    key_head: Vec<u8>,
    pub(super) span: Span,
    caller: Caller,
    context: Context,
    stopwatch: Stopwatch,
    /// Whether code of the user runs in a task. A panic leaves it set.
    is_running: AtomicBool,
    /// Whether its end was reported.
    is_done: bool,
}

impl<V> Work<V> {
    /// The stale value that the new one takes the place of. The computation knows its inputs from here on.
    pub(crate) fn stale(&self) -> Option<&V> {
        match &self.lead.as_ref()?.old {
            Old::Stale(hit) => {
                self.note_inputs(hit);
                Some(&hit.value)
            }
            Old::Nothing | Old::Refused => None,
        }
    }

    /// A value that was found for the computation.
    pub(super) fn know(&self, hit: Hit<V>) -> V {
        self.note_inputs(&hit);
        hit.value
    }

    /// Its result may depend on a value, and so on the inputs of that.
    fn note_inputs(&self, hit: &Hit<V>) {
        if let Some(readings) = hit.inputs.as_ref().and_then(HitInputs::readings) {
            self.context.run(|| note_readings(readings));
        }
    }

    pub(super) fn place(&self) -> Option<&Place> {
        self.lead.as_ref().map(|lead| &lead.place)
    }

    /// To which calls within it belong.
    pub(crate) fn context(&self) -> &Context {
        &self.context
    }

    /// Whether it has read a stale value so far.
    pub(crate) fn has_read_stale(&self) -> bool {
        self.context.has_read_stale()
    }

    /// Its lead lies in a variable from here on.
    pub(crate) fn rest(&self) {
        if let Some(lead) = &self.lead {
            lead.claim.rest(self.caller, self.context.clone());
        }
    }

    /// As [`run`](Self::run), in a task.
    pub(crate) async fn run_in_task<F: Future>(&self, pulse: Arc<Pulse>, future: F) -> F::Output {
        let _run = self.lead.as_ref().map(|lead| lead.claim.run(self.caller, Some(pulse)));
        self.run_through(|| future).await
    }

    /// Makes a future, polls it and drops it as a part of the computation.
    pub(super) async fn run_through<F: Future>(&self, begin: impl FnOnce() -> F) -> F::Output {
        let future = self.running(|| self.context.run(begin));
        let mut running = Within::new(self.context.clone(), future);
        poll_fn(|cx| self.running(|| Pin::new(&mut running).poll(cx))).await
    }

    /// Runs code of the user.
    fn running<R>(&self, run: impl FnOnce() -> R) -> R {
        self.is_running.store(true, Relaxed);
        let ran = self.span.within(run);
        self.is_running.store(false, Relaxed);
        ran
    }

    /// Whether code of the user in a task has panicked.
    pub(super) fn has_panicked(&self) -> bool {
        self.is_running.load(Relaxed)
    }

    /// Runs a part of a computation whose lead lies in a variable on this thread.
    pub(crate) fn run<R>(&self, compute: impl FnOnce() -> R) -> R {
        let _run = self.lead.as_ref().map(|lead| lead.claim.run(self.caller, None));
        self.context.run(|| self.span.within(compute))
    }
}

impl<V: 'static> MemoInner<V> {
    /// Begins a computation of this thread, or of another caller. Without a lead its value is not stored.
    pub(crate) fn begin_work(
        &self,
        lead: Option<Box<Lead<V>>>,
        key_head: Vec<u8>,
        caller: Caller,
    ) -> Work<V> {
        self.begin(lead, key_head, caller, false)
    }

    /// The same behind a call: effects are only recorded.
    pub(super) fn begin_behind(&self, lead: Box<Lead<V>>, key_head: Vec<u8>, caller: Caller) -> Work<V> {
        self.begin(Some(lead), key_head, caller, true)
    }

    /// For a call that computes and touches nothing else: its effects are handled, if the memo declares some.
    pub(crate) fn plain_context(&self) -> Option<Context> {
        let types = self.effects.clone()?;
        let effects = EffectRecorder::unrecorded(Some(types));
        Some(Context::current().within_computation(Caller::of_thread(), effects))
    }

    fn begin(
        &self,
        lead: Option<Box<Lead<V>>>,
        key_head: Vec<u8>,
        caller: Caller,
        is_behind: bool,
    ) -> Work<V> {
        self.notify(&Event::ComputeStarted { memo: &self.name, key: KeyText::of(&key_head) });
        let (span, stopwatch) = (Span::of_computing(&self.name), self.session().clock.stopwatch());
        let effects = if lead.is_some() {
            EffectRecorder::new(self.effects.clone(), is_behind)
        } else {
            EffectRecorder::unrecorded(self.effects.clone())
        };
        let context = Context::current().within_computation(caller, effects);
        let is_running = AtomicBool::new(false);
        Work { lead, key_head, span, caller, context, stopwatch, is_running, is_done: false }
    }

    fn end(&self, work: &mut Work<V>, succeeded: bool) -> Ended {
        let took = work.stopwatch.elapsed();
        let Recorded { log, missing, failures } = work.context.end_effects();
        if !mem::replace(&mut work.is_done, true) && !self.session().is_inherited() {
            work.span.ended(took, succeeded);
            let key = KeyText::of(&work.key_head);
            self.notify(&Event::ComputeFinished { memo: &self.name, key, took, succeeded });
            failures
                .iter()
                .chain(missing.iter().filter(|_| succeeded))
                .for_each(|error| self.record_failure(error));
        }
        Ended { compute_time: took, effects: if missing.is_none() { Some(log) } else { None } }
    }

    /// It returned no value: an error, or a panic. A refresh that failed is noted before its claim ends, so that the next
    /// caller does not try at once. If there was a stale value, returns the key, and that value unless a change came since.
    pub(crate) fn fail(&self, work: &mut Work<V>) -> Option<(Place, Option<Hit<V>>)> {
        if self.session().is_inherited() || work.is_done {
            return None;
        }
        self.end(work, false);
        let Lead { place, mut claim, old, guard: _, lease } = *work.lead.take()?;
        // Before a waiter of this process leads and asks for it.
        if let Some(lease) = lease {
            lease.release();
        }
        claim.fail();
        let Old::Stale(hit) = old else { return None };
        self.note_failed_refresh(&place.digest);
        let hit = claim.is_current().then_some(hit);
        drop(claim);
        self.notify(&Event::RefreshFailed { memo: &self.name, retry_after: self.aging.retry_after });
        Some((place, hit))
    }

    /// Its task was dropped: one of the waiters leads. Nothing is known of a refresh, so the next caller tries at once.
    pub(super) fn abandon(&self, work: &mut Work<V>) {
        if self.session().is_inherited() || work.is_done {
            return;
        }
        self.end(work, false);
        if let Some(lead) = work.lead.take() {
            lead.claim.complete(Outcome::Abandoned);
        }
    }

    fn note_failed_refresh(&self, digest: &Digest) {
        self.retries.note(digest, self.session().clock.now(), self.aging.retry_after);
        self.counters.failed_refresh();
    }
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// Stores the value of a computation, and wakes the waiters. One that was computed from a stale value is stale itself.
    pub(crate) fn keep_value(&self, work: &mut Work<V>, value: &V, ttl: EntryTtl<'_, V>) {
        let Some(kept) = self.begin_keeping(work, value, ttl) else { return };
        let Kept { entry, trailer, claim, refresh } = kept;
        match entry {
            Some(entry) => self.keep(entry, Content { value, trailer: &trailer }, claim),
            None => claim.complete(Outcome::Unstored),
        }
        self.tell_refresh(refresh);
    }

    /// The end of the computation: its entry, which is `None` for a value that is not stored. `None` without a lead, or in a forked
    /// child.
    pub(super) fn begin_keeping(&self, work: &mut Work<V>, value: &V, ttl: EntryTtl<'_, V>) -> Option<Kept> {
        if self.session().is_inherited() {
            // The closure forked, and this is the child process.
            return None;
        }
        let (Ended { compute_time, effects }, is_stale) = (self.end(work, true), work.has_read_stale());
        let Lead { place, claim, old, guard, mut lease } = *work.lead.take()?;
        let (digest, readings) = (place.digest, self.storable(work.context.readings()));
        let ttl = match effects.is_some() && readings.is_some() && self.is_wanted(value) {
            // A fresh value is better than one that is stale from the beginning.
            true if is_stale && old.is_fresh() => Err(NotStored),
            true => self.entry_ttl(ttl, value, is_stale),
            false => Err(NotStored),
        };
        let is_refresh = matches!(old, Old::Stale(_));
        if is_refresh && (is_stale || ttl.is_err()) {
            // It brought no fresh value: the next caller does not try at once.
            self.note_failed_refresh(&digest);
        } else {
            self.retries.forget(&digest);
        }
        let replaces = old.is_there();
        let is_fresh = ttl.is_ok() && !is_stale;
        let variant = self.variant(&place, readings.unwrap_or_default(), guard);
        if let Some(lease) = &mut lease {
            lease.is_unstored();
            if old.is_fresh() {
                lease.replaces_fresh();
            }
        }
        let entry = ttl.ok().map(|ttl| {
            let key_head = mem::take(&mut work.key_head);
            // A value that depends on this machine stays here.
            let lease = lease.take_if(|_| variant.is_none() && !is_stale);
            Entry { digest, key_head, ttl, replaces, compute_time, age: None, lease, variant }
        });
        // Before the claim ends: a waiter of this process would ask for it.
        if let Some(lease) = lease {
            lease.release();
        }
        let refresh = match (is_refresh, is_fresh) {
            (false, _) => Refresh::None,
            (true, true) => Refresh::Succeeded(compute_time),
            (true, false) => Refresh::Failed,
        };
        let trailer = self.trailer(&effects.unwrap_or_default());
        Some(Kept { entry, trailer, claim, refresh })
    }

    /// Counts and tells the end of a refresh.
    pub(super) fn tell_refresh(&self, refresh: Refresh) {
        match refresh {
            Refresh::None => {}
            Refresh::Succeeded(took) => {
                self.counters.refreshed();
                self.notify(&Event::Refreshed { memo: &self.name, took });
            }
            Refresh::Failed => {
                self.notify(&Event::RefreshFailed { memo: &self.name, retry_after: self.aging.retry_after });
            }
        }
    }

    /// Stores the value in memory only.
    pub(crate) fn keep_value_in_memory(&self, work: &mut Work<V>, value: &V, ttl: EntryTtl<'_, V>) {
        if self.session().is_inherited() {
            return;
        }
        let (Ended { compute_time, effects }, is_stale) = (self.end(work, true), work.has_read_stale());
        let Some(lead) = work.lead.take() else { return };
        let Lead { place, claim, old, guard, lease } = *lead;
        drop(lease);
        let digest = place.digest;
        self.retries.forget(&digest);
        let readings = self.storable(work.context.readings());
        let (Ok(ttl), Some(effects), Some(readings)) =
            (self.entry_ttl(ttl, value, is_stale), effects, readings)
        else {
            return claim.complete(Outcome::Unstored);
        };
        let trailer = self.trailer(&effects);
        self.revoke_readers(&digest, old.is_there(), &claim);
        let unsent = Unsent { claim, variant: self.variant(&place, readings, guard) };
        let content = Content { value, trailer: &trailer };
        let about = About { digest, replaces: old.is_there(), ttl, compute_time, age: None };
        let outcome = self.keep_in_memory(&about, content, &unsent);
        unsent.claim.complete(outcome);
    }

    /// `None`, told as a failure, if a later call could not compare the inputs of a computation.
    fn storable(&self, readings: Readings) -> Option<Readings> {
        let Some(reason) = readings.unstorable() else { return Some(readings) };
        self.record_failure(&Error::new(ErrorKind::Input, format!("a value is not stored: {reason}")));
        None
    }

    /// A value that was computed from inputs, or in place of one that was.
    fn variant(
        &self,
        place: &Place,
        readings: Readings,
        guard: Option<Claim<'static>>,
    ) -> Option<Box<OfVariant>> {
        if readings.is_empty() && guard.is_none() {
            return None;
        }
        self.has_variants.note();
        Some(Box::new(OfVariant { key: *place.key(), readings, guard }))
    }

    fn is_wanted(&self, value: &V) -> bool {
        self.cache_if.as_ref().is_none_or(|cache_if| {
            let wanted = self.guarded("cache_if", || Ok(cache_if(value)));
            wanted.unwrap_or_else(|error| {
                self.record_failure(&error);
                false
            })
        })
    }

    /// The time for which the entry is fresh, if that is its own.
    fn entry_ttl(
        &self,
        ttl: EntryTtl<'_, V>,
        value: &V,
        is_stale: bool,
    ) -> Result<Option<Duration>, NotStored> {
        let ttl = match ttl {
            _ if is_stale => Some(Duration::ZERO),
            EntryTtl::OfMemo => None,
            EntryTtl::Fixed(ttl) => Some(ttl),
            EntryTtl::Of(ttl_of) => {
                let ttl = self.guarded("ttl_with", || Ok(ttl_of(value)));
                Some(ttl.map_err(|error| {
                    self.record_failure(&error);
                    NotStored
                })?)
            }
        };
        let is_never_fresh = ttl.is_some_and(|ttl| ttl.as_millis() == 0);
        if is_never_fresh && self.bounds.stale_for.is_zero() { Err(NotStored) } else { Ok(ttl) }
    }
}

/// A computation that returned.
struct Ended {
    compute_time: Duration,
    /// `None` if some are missing: the value is not stored.
    effects: Option<EffectLog>,
}

/// A computed value, its claim, and what was there before.
pub(super) struct Kept {
    /// `None` if it is not to be stored.
    pub(super) entry: Option<Entry>,
    /// The bytes behind the value.
    pub(super) trailer: Vec<u8>,
    pub(super) claim: Claim<'static>,
    pub(super) refresh: Refresh,
}

/// The end of a computation that was to take the place of a stale value.
#[derive(Clone, Copy)]
pub(super) enum Refresh {
    /// There was none.
    None,
    /// The value is fresh. The time that its computation took.
    Succeeded(Duration),
    Failed,
}

/// The value goes to its caller only.
struct NotStored;
