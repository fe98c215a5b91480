//! The flow of one call in a task: it waits by being polled again, and takes long steps on other threads.

use std::{any::type_name, future::Future, sync::Arc};

use super::{
    Hit, Lookup, MemoInner, Work,
    content::Content,
    inner::About,
    lookup::Waits,
    terms::{EntryTtl, TaskTerms},
    work::{Kept, Refresh},
};
use crate::{
    background::{Pace, step},
    context::Context,
    error::Result,
    flight::{Asker, Claim, Outcome, flight},
    key::{Digest, MemoKey},
    memory::CachedValue,
    stats::Reason,
    store::{Entry, WORTH_A_FLUSH},
};

/// The largest value that is cloned or decoded where a task is polled. 64 KiB take some ten microseconds.
const QUICK: u64 = 64 << 10;

/// Whether a value in memory is cloned quickly. A clone of an `Arc` is at any size.
fn is_quick<V>(cached: &CachedValue) -> bool {
    cached.size <= QUICK || is_shared::<V>()
}

/// Whether a type is an `Arc`, by its name: it is a matter of speed only.
fn is_shared<V>() -> bool {
    type_name::<V>().starts_with("alloc::sync::Arc<")
}

impl<V: Clone + Send + Sync + 'static> MemoInner<V> {
    /// A fresh value in memory, if it takes no longer than a poll may take. The digest of the key if there is none.
    #[inline]
    pub(crate) fn fresh_quickly(&self, key: &MemoKey) -> Result<V, Digest> {
        if let Some(value) = self.fresh_by_key(key, is_quick::<V>) {
            return Ok(value);
        }
        let digest = key.digest();
        let may_wait = self.partition.may_leave(&digest);
        let value = if may_wait { None } else { self.fresh_in_memory(&digest, key, is_quick::<V>) };
        value.ok_or(digest)
    }

    /// The key of a call that goes on with its digest.
    pub(crate) fn digested(&self, digest: Result<Digest>, key: TaskKey) -> DigestedKey {
        let TaskKey { encoded, long_head } = key;
        let head = match &encoded {
            Ok(encoded) if self.keeps_keys && long_head.is_empty() => encoded.bytes(),
            _ => long_head,
        };
        DigestedKey { digest, head }
    }

    /// A good value that is found without waiting, and without more work than a poll may do. A value on disk is read without a
    /// lead: many tasks may do that at the same time. An error is not counted, because the leader reads again.
    pub(crate) fn hit_quickly(&self, digest: &Digest, terms: &TaskTerms<V>) -> Option<V> {
        if self.partition.is_closed() || self.waits(digest) || self.has_variants.is_set() {
            return None;
        }
        let hit = match self.is_quick_in_memory(digest) {
            Some(true) => self.in_memory(digest, terms),
            Some(false) => None,
            None => self.quick_on_disk(digest, terms),
        };
        let hit = hit.filter(Hit::is_good)?;
        self.record_hit(&hit);
        Some(self.show(hit))
    }

    fn quick_on_disk(&self, digest: &Digest, terms: &TaskTerms<V>) -> Option<Hit<V>> {
        // Without a memory tier no claim is needed to read.
        let reader = self.has_memory().then(|| {
            let mut reader = flight().register_reader(self.flight_key(digest));
            reader.note(self.partition.words(digest));
            reader
        });
        let expiry = self.expiry(digest);
        let item = self.partition.read_small(digest, expiry.without_stale(), QUICK).ok()??;
        self.open(digest, &item, expiry, terms, reader.as_ref())
    }

    /// Whether the memory tier has a value that is cloned quickly.
    fn is_quick_in_memory(&self, digest: &Digest) -> Option<bool> {
        if !self.has_memory() {
            return None;
        }
        let cached = self.session().memory.get(self.partition.owner(), digest)?;
        let is_quick = is_quick::<V>(&cached);
        self.session().release([cached]);
        Some(is_quick)
    }

    /// Whether a look waits for another process, or for the worker.
    fn waits(&self, digest: &Digest) -> bool {
        self.partition.is_guest() || self.partition.may_leave(digest)
    }

    /// The pace of a look.
    fn pace(&self, digest: &Digest) -> Pace {
        if self.waits(digest) || self.partition.is_to_reopen() {
            return Pace::Waiting;
        }
        // A file that a variant depends on may have to be read.
        if self.has_variants.is_set() {
            return Pace::Long;
        }
        let is_small = || self.partition.is_small(digest, QUICK);
        if self.is_quick_in_memory(digest).unwrap_or_else(is_small) { Pace::Quick } else { Pace::Long }
    }
}

/// Looks a key up as a part of `context`, on another thread if that takes long.
///
/// Hand-overs are known by thread. If this thread made the last one, the step waits for the worker first, because its own thread
/// would not.
pub(crate) async fn look<V, R>(
    memo: &Arc<MemoInner<V>>,
    digest: Digest,
    context: Context,
    run: impl FnOnce(&MemoInner<V>) -> R + Send + 'static,
) -> R
where
    V: Clone + Send + Sync + 'static,
    R: Send + 'static,
{
    let (pace, waits_for_worker) = (memo.pace(&digest), memo.partition.may_leave(&digest));
    let memo = Arc::clone(memo);
    step(pace, context, move || {
        if waits_for_worker {
            memo.partition.catch_up();
        }
        run(&memo)
    })
    .await
}

/// The key of one call in a task, before its first poll.
#[derive(Debug)]
pub(crate) struct TaskKey {
    /// An error for a key that cannot be serialized.
    pub(crate) encoded: Result<MemoKey>,
    /// The head of a long key, if the memo keeps it.
    pub(crate) long_head: Vec<u8>,
}

/// The key of one call in a task that did not find its value at once.
#[derive(Debug)]
pub(crate) struct DigestedKey {
    pub(crate) digest: Result<Digest>,
    pub(crate) head: Vec<u8>,
}

/// What a task does after its lookup.
pub(crate) enum TaskStep<V: 'static> {
    Hit(Hit<V>),
    Compute(Box<TaskComputation<V>>),
}

/// One call in a task.
pub(crate) struct TaskCall<V: 'static> {
    pub(crate) memo: Arc<MemoInner<V>>,
    pub(crate) terms: Arc<TaskTerms<V>>,
}

impl<V: Clone + Send + Sync + 'static> TaskCall<V> {
    /// Finds the value, or has the task compute it.
    pub(crate) async fn begin(self, key: DigestedKey, asker: Asker) -> TaskStep<V> {
        let mut lead = match self.find_or_lead(&key.digest, &asker).await {
            Lookup::Hit(hit) | Lookup::Behind(hit, _) => return TaskStep::Hit(hit),
            Lookup::Compute(lead) => lead,
        };
        if let Some(lease) = lead.as_mut().and_then(|lead| lead.lease.as_mut()) {
            lease.is_of_task();
        }
        let work = self.memo.begin_work(lead, key.head, asker.caller);
        let Self { memo, terms } = self;
        TaskStep::Compute(Box::new(TaskComputation { memo, terms, work }))
    }

    pub(crate) async fn find_or_lead(&self, digest: &Result<Digest>, asker: &Asker) -> Lookup<V> {
        match digest {
            Ok(digest) => self.find(*digest, asker).await,
            Err(error) => {
                self.memo.record_failure(error);
                self.memo.record_miss(Reason::Absent);
                Lookup::Compute(None)
            }
        }
    }

    async fn find(&self, digest: Digest, asker: &Asker) -> Lookup<V> {
        let Self { memo, terms } = self;
        // Code of the user that runs in a step belongs to this call: it may ask for the same key.
        let context = asker.context.clone().within(asker.caller);
        let (own, own_terms) = (asker.clone(), Arc::clone(terms));
        let first = look(memo, digest, context.clone(), move |memo| {
            let place = memo.place(&digest);
            memo.look_first(&place, &own_terms, || own).ok_or(place)
        });
        let mut place = match first.await {
            Ok(found) => return found,
            Err(place) => place,
        };
        let mut waits = Waits::default();
        loop {
            if !memo.partition.may_lead() {
                let memo = Arc::clone(memo);
                step(Pace::Waiting, context.clone(), move || memo.partition.await_guests()).await;
            }
            let digest = place.digest;
            let (key, max_wait) = (memo.flight_key(&digest), memo.session().max_wait);
            let mut turn = flight().claim_in_task(key, asker, max_wait, waits.accept_stale()).await;
            turn.note(|| memo.partition.words(&digest));
            // In a guest it may wait for the computation of another process.
            let waits_elsewhere = memo.partition.is_guest() || memo.server.is_some();
            let turn_pace = if waits_elsewhere { Pace::Elsewhere } else { memo.pace(&digest) };
            let (own, own_terms) = (Arc::clone(memo), Arc::clone(terms));
            let taken = step(turn_pace, context.clone(), move || {
                let found = own.take_turn(&place, &own_terms, turn, &mut waits);
                (found, waits)
            });
            let found;
            (found, waits) = taken.await;
            match found {
                Ok(found) => return found,
                Err(next) => place = next,
            }
        }
    }
}

/// A computation in a task. If it is dropped before its end, one of the waiters leads.
pub(crate) struct TaskComputation<V: 'static> {
    memo: Arc<MemoInner<V>>,
    terms: Arc<TaskTerms<V>>,
    work: Work<V>,
}

impl<V: Clone + Send + Sync + 'static> TaskComputation<V> {
    /// That of a claim that lay in a variable.
    pub(crate) fn of(memo: Arc<MemoInner<V>>, work: Work<V>) -> Self {
        Self { memo, terms: Arc::default(), work }
    }

    /// Runs the code of the user. Its future is dropped before the claim is.
    pub(crate) async fn compute<F: Future>(&self, begin: impl FnOnce() -> F) -> F::Output {
        self.work.run_through(begin).await
    }

    /// The value that is there, at any age. The computation knows its inputs from here on.
    pub(crate) async fn old_value(&self) -> Option<V> {
        let place = self.work.place()?.clone();
        let digest = place.digest;
        if let Some(stale) = self.work.stale()
            && self.memo.pace(&digest) == Pace::Quick
        {
            return self.memo.copy_of(Some(stale));
        }
        let context = self.work.context().clone();
        let hit = look(&self.memo, digest, context, move |memo| memo.old_value_at(&place)).await?;
        Some(self.work.know(hit))
    }

    /// Stores the value, and wakes the waiters. A task that is dropped meanwhile has stored it all the same.
    pub(crate) async fn keep(mut self: Box<Self>, value: V, ttl: EntryTtl<'static, V>) -> V {
        let Some(kept) = self.memo.begin_keeping(&mut self.work, &value, ttl) else { return value };
        let Kept { entry, trailer, claim, refresh } = kept;
        let Some(entry) = entry else {
            claim.complete(Outcome::Unstored);
            self.memo.tell_refresh(refresh);
            return value;
        };
        self.store(entry, value, trailer, claim, refresh).await
    }

    async fn store(
        &self,
        entry: Entry,
        value: V,
        trailer: Vec<u8>,
        claim: Claim<'static>,
        refresh: Refresh,
    ) -> V {
        let (memo, context) = (&self.memo, self.work.context().clone());
        let goes_to_server = entry.lease.is_some();
        let has_room = memo.partition.has_room() && !goes_to_server;
        let whole = Content { value: &value, trailer: &trailer };
        let payload = if has_room { memo.encode_small(whole, entry.compute_time) } else { None };
        let Some(payload) = payload else {
            let waits = !has_room || entry.replaces || entry.compute_time > WORTH_A_FLUSH;
            let pace = if waits { Pace::Waiting } else { Pace::Long };
            let memo = Arc::clone(memo);
            return step(pace, context, move || {
                memo.keep(entry, Content { value: &value, trailer: &trailer }, claim);
                memo.tell_refresh(refresh);
                value
            })
            .await;
        };
        let (about, limit) = (About::of(&entry), memo.partition.limit(&memo.bounds));
        match memo.partition.send(entry, payload, limit, claim, None) {
            Ok(sent) => {
                let pace = if sent.is_awaited() { Pace::Waiting } else { Pace::Quick };
                let memo = Arc::clone(memo);
                step(pace, context, move || {
                    memo.finish_sending(memo.partition.complete(sent));
                    memo.tell_refresh(refresh);
                })
                .await;
            }
            Err(refused) => {
                memo.finish_keeping(&about, Err(refused), whole);
                memo.tell_refresh(refresh);
            }
        }
        value
    }

    /// The code of the user failed: the stale value, if there is one.
    pub(crate) async fn fall_back(mut self: Box<Self>) -> Option<V> {
        let (place, stale) = self.memo.fail(&mut self.work)?;
        let digest = place.digest;
        let (context, terms) = (self.work.context().clone(), Arc::clone(&self.terms));
        let hit =
            look(&self.memo, digest, context, move |memo| memo.fall_back(&place, &terms, stale)).await?;
        Some(self.memo.show(hit))
    }
}

impl<V: 'static> Drop for TaskComputation<V> {
    fn drop(&mut self) {
        if self.work.has_panicked() {
            self.memo.fail(&mut self.work);
        } else {
            self.memo.abandon(&mut self.work);
        }
    }
}
