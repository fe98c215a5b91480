//! Requests of this process as calls to its host, and the answers as replies.

use std::{sync::Arc, time::Duration};

use super::{
    link::{Link, Lost},
    message::{
        Answer, Call, Ended, Expires, Limits, MissReason, PutCall, PutOrigin, PutPayload, Wants as Wanted,
        decode, error,
    },
};
use crate::{
    clock::Expiry,
    error::{Error, ErrorKind, Result},
    flight::Outcome,
    key::Digest,
    stats::{Reason, Stats},
    store::{
        blob::Finished,
        engine::Bytes,
        generation::{Bounds, Tally},
        worker::{Computed, OpenMemo, Put, Query, Registration, Reply, Request, Stretch, Swept, Wants},
    },
    variants::Variants,
};

pub(super) fn millis(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn expires(expiry: Expiry) -> Expires {
    Expires { ttl_millis: (expiry.ttl != u64::MAX).then_some(expiry.ttl), stale_millis: expiry.stale_for }
}

pub(super) fn limits(bounds: &Bounds) -> Limits {
    let Bounds { max_entries, max_bytes, spares_used, .. } = *bounds;
    Limits { expires: expires(bounds.expiry()), max_entries, max_bytes, spares_used }
}

pub(super) fn adopt<'a>(memo: u32, open: &'a OpenMemo, row: &'a [u8]) -> Call<'a> {
    let (generation, place) = (open.memo.generation.0, &*open.memo.place);
    Call::Adopt { memo, generation, row, place, bounds: limits(&open.bounds) }
}

pub(super) fn end(claim: u32, outcome: Option<Outcome>) -> Call<'static> {
    let outcome = match outcome {
        Some(Outcome::Found | Outcome::Stored) => Ended::Found,
        Some(Outcome::Unstored) => Ended::Unstored,
        Some(Outcome::Abandoned) => Ended::Abandoned,
        Some(Outcome::Revoked | Outcome::Stale) | None => Ended::Failed,
    };
    Call::End { claim, outcome }
}

/// What came for a look-up.
pub(super) enum Looked {
    Record(Bytes),
    Missing(Reason),
    Lead(Reason),
    Led,
}

/// Sends a look-up and waits for its answer, for as long as another caller computes if the lead is wanted. The answer, and the
/// number of the call, under which a lead is granted.
pub(super) fn look_up(
    link: &Link,
    memo: u32,
    query: &Query<'_>,
) -> std::result::Result<(Vec<u8>, u32), Lost> {
    let wants = match query.wants {
        Wants::Record => Wanted::Record,
        Wants::RecordOrLead => Wanted::RecordOrLead,
        Wants::Replacement(of) => Wanted::Replacement { of },
        Wants::Refresh(of) => Wanted::Refresh { of },
    };
    let digest = *query.digest.as_bytes();
    let call =
        Call::LookUp { memo, digest, expires: expires(query.expiry), caller: query.caller.number(), wants };
    let number = link.begin(&call)?;
    let max_wait =
        matches!(query.wants, Wants::RecordOrLead | Wants::Replacement(_)).then_some(query.max_wait);
    link.answer(number, max_wait).map(|answer| (answer, number))
}

pub(super) fn looked_up(answer: &[u8]) -> Result<Looked> {
    match read(answer)? {
        Answer::Record(bytes) => Ok(Looked::Record(bytes.into())),
        Answer::Missing(reason) => Ok(Looked::Missing(reason.into())),
        Answer::Lead(reason) => Ok(Looked::Lead(reason.into())),
        Answer::Led => Ok(Looked::Led),
        _ => Err(unexpected()),
    }
}

pub(super) fn stretch(answer: &[u8]) -> Result<Stretch> {
    match read(answer)? {
        Answer::Entries { rows, next } => {
            let row = |(size, digest, record): (u64, [u8; 32], &[u8])| {
                (size, Digest::from_bytes(digest), record.into())
            };
            let rows = rows.into_iter().map(row);
            Ok(Stretch { rows: rows.collect(), next })
        }
        _ => Err(unexpected()),
    }
}

pub(super) fn done(answer: &[u8]) -> Result<()> {
    match read(answer)? {
        Answer::Done | Answer::Welcome => Ok(()),
        _ => Err(unexpected()),
    }
}

fn flag(answer: &[u8]) -> Result<bool> {
    match read(answer)? {
        Answer::Flag(flag) => Ok(flag),
        _ => Err(unexpected()),
    }
}

fn tally(answer: &[u8]) -> Result<Tally> {
    match read(answer)? {
        Answer::Tally { entries, bytes, indexed } => Ok(Tally { entries, bytes, indexed }),
        _ => Err(unexpected()),
    }
}

fn totals(answer: &[u8]) -> Result<Stats> {
    match read(answer)? {
        Answer::Numbers(numbers) => {
            numbers.try_into().map(Stats::from_numbers).map_err(|_: Vec<u64>| unexpected())
        }
        _ => Err(unexpected()),
    }
}

fn swept(answer: &[u8]) -> Result<Swept> {
    match read(answer)? {
        Answer::Swept { expired, retired, orphaned, bytes } => {
            Ok(Swept { expired, retired, orphaned, bytes })
        }
        _ => Err(unexpected()),
    }
}

/// The answer, or the error that the host answered with.
fn read(answer: &[u8]) -> Result<Answer<'_>> {
    match decode(answer) {
        Some(Answer::Failed { kind, message }) => Err(error(kind, message)),
        Some(answer) => Ok(answer),
        None => Err(unexpected()),
    }
}

fn unexpected() -> Error {
    Error::new(
        ErrorKind::Engine,
        "the process that hosts the store gave an answer that does not fit the question",
    )
}

/// Sends a value. Given back when the connection is lost: it may be there or not.
pub(super) fn put(link: &Link, memo: u32, mut put: Box<Put>) -> std::result::Result<(), Box<Put>> {
    let value = Arc::clone(&put.value);
    let draft = match &value.payload {
        Finished::Inline(_) | Finished::Variants(_) => Ok(String::new()),
        Finished::Blob(blob) => blob.draft_name(),
    };
    let name = match draft {
        Ok(name) => name,
        Err(error) => {
            finish(*put, Err(error));
            return Ok(());
        }
    };
    let origin = origin(link, &put);
    // The waiters of this process find it with the host: their calls are sent after it.
    put.computed = put.computed.map(Computed::detach);
    let key_head = put.key_head.clone();
    let variant = put.variant.as_ref().map(|variant| Variants::of(&variant.readings).encode());
    let payload = match &value.payload {
        Finished::Inline(payload) | Finished::Variants(payload) => PutPayload::Inline(payload),
        Finished::Blob(blob) => {
            PutPayload::Draft { name: &name, length: blob.length, table_checksum: blob.table_checksum }
        }
    };
    let call = Call::Put(PutCall {
        memo,
        digest: *put.digest.as_bytes(),
        key_head: &key_head,
        compute_nanos: u64::try_from(value.compute_time.as_nanos()).unwrap_or(u64::MAX),
        ttl_millis: millis(value.lifetime.own_ttl()),
        age_millis: millis(put.age),
        payload,
        variant: variant.as_deref(),
        origin,
        is_awaited: put.reply.is_some(),
    });
    if put.reply.is_none() {
        return link.hand_over(put, &call).or_else(|unsent| unsent.map_or(Ok(()), Err));
    }
    let Ok(answer) = link.call(&call) else { return Err(put) };
    let outcome = match read(&answer) {
        Ok(Answer::Done) => {
            put.has_arrived();
            Ok(())
        }
        // A change came in between: the value is not wanted.
        Ok(Answer::Flag(false)) => Ok(()),
        Ok(_) => Err(unexpected()),
        Err(error) => Err(error),
    };
    finish(*put, outcome);
    Ok(())
}

fn origin(link: &Link, put: &Put) -> PutOrigin {
    let Some(computed) = &put.computed else { return PutOrigin::Inserted };
    let number = computed.claim.number_elsewhere().filter(|number| number.connection == link.id);
    let guard = put.variant.as_ref().and_then(|variant| variant.guard.as_ref());
    let noted = guard.unwrap_or(&computed.claim).noted().unwrap_or_default();
    let replaces = computed.replaces;
    PutOrigin::Computed { claim: number.map(|number| number.claim), noted, replaces }
}

/// Ends a value: it is there, or it is not. One that could not be written is kept in memory.
fn finish(put: Put, outcome: Result<()>) {
    let Put { memo, digest, value, computed, reply, variant, .. } = put;
    if let (Err(error), Some(computed)) = (&outcome, &computed) {
        if reply.is_none() {
            drop(memo.failed(error));
        }
        (computed.keep_in_memory)(&digest, &value, variant.as_deref(), &computed.claim);
    }
    if let Some(reply) = reply {
        drop(reply.send(outcome));
    }
}

/// Sends any other request and replies. Given back when the connection is lost.
pub(super) fn simple(
    link: &Link,
    number: impl Fn(&Arc<Registration>) -> u32,
    request: Request,
) -> std::result::Result<(), Box<Request>> {
    let answer = {
        let call = match &request {
            Request::Remove { memo, digest, .. } => {
                Call::Remove { memo: number(memo), digest: *digest.as_bytes() }
            }
            Request::Clear { memo, .. } => Call::Clear { memo: number(memo) },
            Request::RemoveOf { generation, digest, unless_since, .. } => {
                let (generation, digest) = (generation.0, *digest.as_bytes());
                Call::RemoveOf { generation, digest, unless_since: unless_since.map(|since| since.0) }
            }
            Request::ClearOf { generation, .. } => Call::ClearOf { generation: generation.0 },
            Request::Forget { name, .. } => Call::Forget { name: name.as_deref() },
            Request::Disown { memo, .. } => Call::Disown { memo: number(memo) },
            Request::Count { memo, .. } => Call::Count { memo: memo.as_ref().map(number) },
            Request::Totals { .. } => Call::Totals,
            Request::Names { .. } => {
                let Some(names) = names(link) else { return Err(Box::new(request)) };
                reply_names(request, names);
                return Ok(());
            }
            Request::Flush { .. } => Call::Flush,
            Request::Barrier { .. } => Call::Barrier,
            Request::Sweep { .. } => Call::Sweep,
            Request::MakeRoom { name, .. } => Call::MakeRoom { name: name.as_deref() },
            // Sent by other ways, or never by a guest.
            Request::Put(_) | Request::Adopt { .. } | Request::Read { .. } | Request::Close { .. } => {
                refuse(request, &unexpected());
                return Ok(());
            }
        };
        if matches!(request, Request::Disown { .. }) {
            // Without a host there is nothing to tell.
            let _ = link.tell(&call);
            return Ok(());
        }
        match link.call(&call) {
            Ok(answer) => answer,
            Err(Lost) => return Err(Box::new(request)),
        }
    };
    reply(request, &answer);
    Ok(())
}

fn reply(request: Request, answer: &[u8]) {
    match request {
        Request::Remove { reply, .. } | Request::Forget { reply, .. } => drop(reply.send(flag(answer))),
        Request::Clear { reply, .. }
        | Request::RemoveOf { reply, .. }
        | Request::ClearOf { reply, .. }
        | Request::Flush { reply }
        | Request::Barrier { reply }
        | Request::MakeRoom { reply, .. } => drop(reply.send(done(answer))),
        Request::Count { reply, .. } => drop(reply.send(tally(answer))),
        Request::Totals { reply } => drop(reply.send(totals(answer))),
        Request::Sweep { reply } => drop(reply.send(swept(answer))),
        other => refuse(other, &unexpected()),
    }
}

/// All names, asked for in stretches.
fn names(link: &Link) -> Option<Result<Vec<String>>> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let answer = link.call(&Call::Names { after: all.last().map(String::as_str) }).ok()?;
        let has_more = match read(&answer) {
            Ok(Answer::Names { names, has_more }) => {
                all.extend(names.iter().map(|name| (*name).to_owned()));
                has_more && !names.is_empty()
            }
            Ok(_) => return Some(Err(unexpected())),
            Err(error) => return Some(Err(error)),
        };
        if !has_more {
            return Some(Ok(all));
        }
    }
}

fn reply_names(request: Request, names: Result<Vec<String>>) {
    if let Request::Names { reply } = request {
        drop(reply.send(names));
    }
}

/// Replies that a request cannot be carried out.
pub(super) fn refuse(request: Request, error: &Error) {
    fn no<T>(reply: Reply<T>, error: &Error) {
        drop(reply.send(Err(error.clone())));
    }
    match request {
        Request::Put(put) => finish(put, Err(error.clone())),
        Request::Remove { reply, .. } | Request::Forget { reply, .. } => no(reply, error),
        Request::Clear { reply, .. }
        | Request::RemoveOf { reply, .. }
        | Request::ClearOf { reply, .. }
        | Request::Adopt { reply, .. }
        | Request::Flush { reply }
        | Request::Barrier { reply }
        | Request::MakeRoom { reply, .. }
        | Request::Close { reply } => no(reply, error),
        Request::Disown { .. } => {}
        Request::Read { reply, .. } => no(reply, error),
        Request::Count { reply, .. } => no(reply, error),
        Request::Totals { reply } => no(reply, error),
        Request::Names { reply } => no(reply, error),
        Request::Sweep { reply } => no(reply, error),
    }
}

impl From<Reason> for MissReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Expired => Self::Expired,
            Reason::Outdated => Self::Outdated,
            Reason::Damaged => Self::Damaged,
            Reason::Absent | Reason::Invalid | Reason::Changed => Self::Absent,
        }
    }
}

impl From<MissReason> for Reason {
    fn from(reason: MissReason) -> Self {
        match reason {
            MissReason::Absent => Self::Absent,
            MissReason::Expired => Self::Expired,
            MissReason::Outdated => Self::Outdated,
            MissReason::Damaged => Self::Damaged,
        }
    }
}
