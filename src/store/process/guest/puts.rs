//! The values of a guest.

use std::time::Duration;

use super::{
    super::{
        answers::{done, later},
        host::Host,
        message::{Answer, PutCall, PutOrigin, PutPayload, failed},
    },
    Broken, Guest,
};
use crate::{
    error::{Error, ErrorKind, Result},
    flight::{Outcome, flight},
    key::Digest,
    store::{
        blob::{Blob, Finished, Head, INLINE},
        partition::{Entry, Partition},
        worker::{Directory, OfVariant, Place},
    },
    variants::Variants,
};

/// The head of a key in a record.
const LONGEST_HEAD: usize = 1_024;

/// Longer files are none.
const LONGEST: u64 = 1 << 48;

impl Guest {
    pub(super) fn put(
        &mut self,
        host: &Host,
        number: u32,
        put: &PutCall<'_>,
    ) -> std::result::Result<bool, Broken> {
        let partition = self.memos.get(&put.memo).ok_or(Broken)?;
        if !is_sensible(put) {
            return Err(Broken);
        }
        let readings = match put.variant {
            None => None,
            Some(bytes) => Some(Variants::decode(bytes).and_then(|list| list.newest()).ok_or(Broken)?),
        };
        let file_bytes = if let PutPayload::Draft { length, .. } = put.payload { length } else { 0 };
        if host.directory.reserve(file_bytes, Duration::ZERO).is_err() && !host.directory.is_closed() {
            return Ok(false);
        }
        let digest = Digest::from_bytes(put.digest);
        let mut guard = None;
        let claim = match put.origin {
            PutOrigin::Inserted => None,
            PutOrigin::Computed { claim, noted, .. } => {
                let key = partition.flight_key(&digest);
                let known = claim.and_then(|claim| self.claims.remove(&claim));
                let is_of_key = known.as_ref().is_some_and(|known| known.key == key);
                if known.is_some() && !is_of_key && put.variant.is_none() {
                    return Err(Broken);
                }
                // Changes revoke the claims that this host granted on the key. Of any other one EPOCHS says whether a change came.
                let is_exact = is_of_key && known.as_ref().is_some_and(|known| !known.is_declared);
                guard = (known.is_some() && !is_of_key).then(|| flight().register_reader(key));
                let claim = known.map_or_else(|| flight().register_reader(key), |known| known.claim);
                if !is_exact && !partition.is_unchanged(&digest, noted) {
                    self.answer(number, &Answer::Flag(false));
                    return Ok(true);
                }
                Some(claim)
            }
        };
        let (reply, written) = oneshot::channel();
        let accepted = payload(&host.directory, partition, put).and_then(|payload| {
            let variant = readings.map(|readings| Box::new(OfVariant { key: digest, readings, guard }));
            let entry = entry(put, variant);
            partition.accept(entry, payload, claim, put.is_awaited.then_some(reply))
        });
        match accepted {
            Err(error) => self.send(&failed(number, &error)),
            Ok(Outcome::Revoked) => self.answer(number, &Answer::Flag(false)),
            Ok(_) if put.is_awaited => self.answers.push(later(number, written, done)),
            Ok(_) => self.answer(number, &Answer::Done),
        }
        Ok(true)
    }
}

fn entry(put: &PutCall<'_>, variant: Option<Box<OfVariant>>) -> Entry {
    Entry {
        digest: Digest::from_bytes(put.digest),
        key_head: put.key_head.to_vec(),
        ttl: put.ttl_millis.map(Duration::from_millis),
        replaces: matches!(put.origin, PutOrigin::Computed { replaces: true, .. }),
        compute_time: Duration::from_nanos(put.compute_nanos),
        age: put.age_millis.map(Duration::from_millis),
        lease: None,
        variant,
    }
}

/// Whether a guest that keeps to the protocol can have sent that.
fn is_sensible(put: &PutCall<'_>) -> bool {
    let is_payload_sensible = match put.payload {
        PutPayload::Inline(payload) => payload.len() <= INLINE,
        PutPayload::Draft { length, .. } => length <= LONGEST,
    };
    is_payload_sensible && put.key_head.len() <= LONGEST_HEAD
}

fn payload(directory: &Directory, partition: &Partition, put: &PutCall<'_>) -> Result<Finished> {
    match (&put.payload, &directory.place) {
        (PutPayload::Inline(payload), _) => Ok(Finished::Inline(payload.to_vec())),
        (PutPayload::Draft { name, length, table_checksum }, Some(place)) => {
            let head_size = Head::size(&partition.registration().memo, put.key_head);
            let trash = Place::trash(place);
            Blob::adopt(trash, name, *length, *table_checksum, head_size).map(Finished::Blob)
        }
        (PutPayload::Draft { .. }, None) => Err(Error::new(ErrorKind::Closed, "the store has no directory")),
    }
}
