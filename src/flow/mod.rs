//! The flow of one call: memory, flight, disk, closure.
//!
//! A failure here is counted, kept and reported, and the call computes. Only the methods without a closure, in `direct`,
//! return a [`Result`].

mod aging;
mod computation;
mod content;
mod direct;
mod find;
mod fresh;
mod hand_out;
mod inner;
mod lead;
mod lookup;
mod old_value;
mod pending_call;
mod place;
mod refresh;
mod resolve;
mod retries;
mod server;
mod task;
mod terms;
mod variant_list;
mod why;
mod work;

pub(crate) use self::{
    aging::Aging,
    computation::Computation,
    find::Hit,
    inner::{CacheIf, MemoInner, memory_writer},
    lead::Lead,
    lookup::Lookup,
    pending_call::PendingCall,
    refresh::{Behind, LoadingCall},
    retries::Retries,
    task::{DigestedKey, TaskCall, TaskComputation, TaskKey, TaskStep, look},
    terms::{EntryTtl, TaskTerms, Terms, ThreadTerms},
    variant_list::HasVariants,
    work::Work,
};
use crate::{flight::FlightKey, key::Digest};

impl<V: 'static> MemoInner<V> {
    fn flight_key(&self, digest: &Digest) -> FlightKey {
        FlightKey { owner: self.partition.owner(), digest: *digest.as_bytes() }
    }
}
