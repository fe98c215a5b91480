//! A refresh behind a hit, on a thread that no caller waits for.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Weak},
};

use super::{EntryTtl, Hit, Lead, MemoInner, PendingCall};
use crate::{
    background,
    context::{Caller, Context},
    observe::Event,
};

/// A call of a memo that can compute behind it, after its lookup.
pub(crate) enum LoadingCall<'a, V: 'static> {
    Call(PendingCall<'a, V>),
    Behind(Box<Behind<'a, V>>),
}

/// A value that is handed out, and the lead to compute it anew.
pub(crate) struct Behind<'a, V: 'static> {
    pub(crate) memo: &'a Arc<MemoInner<V>>,
    pub(crate) hit: Hit<V>,
    pub(crate) lead: Box<Lead<V>>,
    pub(crate) key_head: Vec<u8>,
}

impl<'a, V: Clone + Send + Sync + 'static> LoadingCall<'a, V> {
    /// Has the closure that `own` makes run on another thread, if a value is to be computed anew.
    pub(crate) fn behind<E, J>(self, own: impl FnOnce() -> J) -> PendingCall<'a, V>
    where
        J: FnOnce() -> Result<V, E> + Send + 'static,
    {
        let Behind { memo, hit, lead, key_head } = match self {
            Self::Call(call) => return call,
            Self::Behind(behind) => *behind,
        };
        let caller = Caller::fresh();
        lead.claim.queue(caller);
        let (weak, compute) = (Arc::downgrade(memo), own());
        let scopes = Context::current().scopes_only();
        if !background::refresh(move || scopes.run(|| refresh(&weak, lead, key_head, caller, compute))) {
            memo.counters.skipped_refresh();
            memo.notify(&Event::RefreshSkipped { memo: &memo.name });
        }
        PendingCall::Hit(memo.show(hit))
    }
}

impl<V> fmt::Debug for LoadingCall<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Call(call) => call.fmt(f),
            Self::Behind(_) => f.write_str("Behind"),
        }
    }
}

/// Computes a value and stores it. It does not keep the memo open while it computes. A panic is a failure.
fn refresh<V: Clone + Send + Sync + 'static, E>(
    memo: &Weak<MemoInner<V>>,
    lead: Box<Lead<V>>,
    key_head: Vec<u8>,
    caller: Caller,
    compute: impl FnOnce() -> Result<V, E>,
) {
    let Some(strong) = memo.upgrade().filter(|_| lead.claim.leads()) else { return };
    // Another machine may have refreshed it.
    let Some(lead) = strong.ask_server_behind(lead) else { return };
    let mut work = strong.begin_behind(lead, key_head, caller);
    drop(strong);
    let outcome = work.run(|| catch_unwind(AssertUnwindSafe(compute)));
    let Some(memo) = memo.upgrade().filter(|memo| !memo.partition.is_closed()) else { return };
    match outcome {
        Ok(Ok(value)) => memo.keep_value(&mut work, &value, EntryTtl::OfMemo),
        Ok(Err(_)) | Err(_) => drop(memo.fail(&mut work)),
    }
}
