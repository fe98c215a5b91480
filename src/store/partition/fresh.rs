//! The shortest way to a fresh value in the index.

use std::time::Duration;

use super::Partition;
use crate::{
    clock::{Expiry, Lifetime},
    codec::Payload,
    key::Digest,
    record::{Body, Record},
};

/// A fresh value that lies beside its record.
pub(crate) struct FreshRecord {
    pub(crate) payload: Payload,
    pub(crate) lifetime: Lifetime,
    pub(crate) compute_time: Duration,
}

impl Partition {
    /// `None` for every other outcome, which [`read`](Self::read) tells apart: an error too, and values that are on their way to
    /// the index, or lie in a file, or are of another process.
    pub(crate) fn read_fresh(&self, digest: &Digest, expiry: Expiry) -> Option<FreshRecord> {
        let directory = self.directory.as_ref()?;
        let is_elsewhere = directory.sharing.host().is_some();
        if is_elsewhere || self.may_leave(digest) || directory.pending.has(&self.memo.flight_key(digest)) {
            return None;
        }
        let engine = directory.in_service()?;
        let key = self.memo.number().record_key(digest);
        let bytes = directory.observe(&engine, engine.records.get_likely(&key)).ok()??;
        let Record { lifetime, compute_time, body: Body::Inline(_), key_head, .. } =
            Record::decode(&bytes, digest)?
        else {
            return None;
        };
        if !self.session.clock.is_fresh(lifetime, expiry) {
            return None;
        }
        let range = Record::inline_range(key_head, bytes.len());
        Some(FreshRecord { payload: Payload::new(bytes, range), lifetime, compute_time })
    }
}
