//! The flow of one call on a pool in a task.

use std::{
    any::type_name,
    future::{Future, poll_fn},
    sync::Arc,
    task::Poll,
};

use super::super::{
    flow::{BuildStep, Limit, PoolInner},
    name::Name,
    slots::Slot,
};
use crate::{
    context::Context,
    flight::{Asker, Claim, WithPulse, flight},
    stats::Reason,
};

/// One call in a task.
pub(super) struct Call<'a> {
    pub(super) pool: &'a PoolInner,
    /// `None` for a key that cannot be serialized.
    pub(super) name: Option<Name>,
    pub(super) limit: Limit,
}

/// Runs a whole call.
pub(super) async fn obtain<T, E, C, F>(
    call: Call<'_>,
    is_valid: Option<impl FnOnce(Arc<T>) -> C>,
    build: impl FnOnce() -> F,
) -> Result<Arc<T>, E>
where
    T: Send + Sync + 'static,
    C: Future<Output = bool>,
    F: Future<Output = Result<T, E>>,
{
    let Call { pool, name, limit } = call;
    let found = match (&name, is_valid) {
        (Some(name), None) => pool.get_valid(name, limit, None),
        (Some(name), Some(is_valid)) => get_validated(pool, name, limit, is_valid).await,
        (None, _) => Err(Reason::Absent),
    };
    let reason = match found {
        Ok(found) => return Ok(found),
        Err(reason) => reason,
    };
    pool.events.missed(type_name::<T>(), reason);
    let run = async |pulse| build_or_wait(pool, name.as_ref(), limit, Asker::task(pulse), build).await;
    WithPulse::new(pool.options.max_stall, run).await
}

/// The resource under the name, if the future says that it is valid.
async fn get_validated<T: Send + Sync + 'static, C: Future<Output = bool>>(
    pool: &PoolInner,
    name: &Name,
    limit: Limit,
    is_valid: impl FnOnce(Arc<T>) -> C,
) -> Result<Arc<T>, Reason> {
    let found = pool.find(name, limit, Slot::clone)?;
    let object = found.resource.clone().into_object::<T>().ok_or(Reason::Absent)?;
    if passes(pool, is_valid, Arc::clone(&object)).await {
        pool.hit::<T>(name, found.lifetime.took);
        return Ok(object);
    }
    drop(object); // Not the last `Arc`: `found` has one too.
    Err(pool.take_out(name, found, Reason::Invalid))
}

/// A validation that panics refuses.
async fn passes<T: 'static, C: Future<Output = bool>>(
    pool: &PoolInner,
    is_valid: impl FnOnce(Arc<T>) -> C,
    object: Arc<T>,
) -> bool {
    let (what, kind) = ("the validation", type_name::<T>());
    let begun = pool.events.contain(what, kind, || Ok(Box::pin(is_valid(object))));
    let Some(mut running) = begun else { return false };
    let passes = poll_fn(|cx| match pool.events.contain(what, kind, || Ok(running.as_mut().poll(cx))) {
        Some(polled) => polled,
        None => Poll::Ready(false),
    })
    .await;
    let ended = pool.events.contain(what, kind, || {
        drop(running);
        Ok(())
    });
    passes && ended.is_some()
}

/// Claims the resource, and builds it or waits for another caller that does.
async fn build_or_wait<T, E, F>(
    pool: &PoolInner,
    name: Option<&Name>,
    limit: Limit,
    asker: Asker,
    build: impl FnOnce() -> F,
) -> Result<Arc<T>, E>
where
    T: Send + Sync + 'static,
    F: Future<Output = Result<T, E>>,
{
    let mut claim = match name {
        None => None,
        Some(name) => match lead_or_wait(pool, name, limit, &asker).await {
            BuildStep::Found(found) => return Ok(found),
            BuildStep::Build(claim) => Some(claim),
            BuildStep::BuildUnshared => None,
        },
    };
    let context = Context::current().within(asker.caller);
    let outcome = pool.events.building_in_task(type_name::<T>(), name, context, build).await;
    let (resource, took) = outcome.inspect_err(|_| claim.iter_mut().for_each(Claim::fail))?;
    let resource = Arc::new(resource);
    Ok(match (name, claim) {
        (Some(name), Some(claim)) => pool.keep(name, resource, took, limit, claim),
        _ => resource,
    })
}

async fn lead_or_wait<T: Send + Sync + 'static>(
    pool: &PoolInner,
    name: &Name,
    limit: Limit,
    asker: &Asker,
) -> BuildStep<'static, T> {
    let flight_key = pool.flight_key(name);
    loop {
        let turn = flight().claim_in_task(flight_key, asker, pool.options.max_wait, false).await;
        if let Some(step) = pool.take_turn(name, limit, turn) {
            return step;
        }
    }
}
