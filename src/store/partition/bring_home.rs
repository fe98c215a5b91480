//! A value that was on its way to another process when this one became the host.

use super::{send::send, variant};
use crate::{
    clock::Expiry,
    error::Error,
    store::{
        blob::Finished,
        pending::Pending,
        worker::{Directory, Put, Request},
    },
};

/// Stores a value that was on its way to another host: this process hosts the store by now. One that was computed is dropped
/// if a change came since.
pub(crate) fn bring_home(directory: &Directory, mut put: Put) {
    if let Finished::Blob(blob) = &put.value.payload
        && let Err(error) = blob.draft_name()
    {
        return keep_at_home(put, error);
    }
    let Some(computed) = &put.computed else {
        let _ = directory.send(Request::Put(put));
        return;
    };
    if put.variant.is_some() {
        return bring_variant_home(directory, put);
    }
    let (claim, key) = (&computed.claim, put.memo.flight_key(&put.digest));
    let is_current = directory.sharing.is_current(&put.memo, &put.digest, claim.noted());
    let publish = |pending: &Pending| {
        if computed.replaces {
            pending.publish_instead(key, &put.value, claim)
        } else {
            pending.publish(key, &put.value, claim.token())
        }
    };
    if is_current && publish(&directory.pending) {
        let is_urgent = put.reply.is_some();
        let _ = send(directory, put, is_urgent);
    } else {
        drop(put.reply.take().map(|reply| reply.send(Ok(()))));
    }
}

/// The same for the value of a variant.
fn bring_variant_home(directory: &Directory, put: Put) {
    match variant::publish(directory, put, Expiry::default(), |_| {}) {
        Ok(publication) => drop(publication.finish()),
        Err((error, put)) => keep_at_home(*put, error),
    }
}

/// A value that cannot be stored by this process goes into its memory tier.
fn keep_at_home(put: Put, error: Error) {
    let Put { memo, digest, value, computed, reply, variant, .. } = put;
    if let Some(computed) = &computed {
        (computed.keep_in_memory)(&digest, &value, variant.as_deref(), &computed.claim);
    }
    match reply {
        Some(reply) => drop(reply.send(Err(error))),
        None => drop(memo.failed(&error)),
    }
}
