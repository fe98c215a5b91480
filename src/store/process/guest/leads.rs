//! What a guest looks up, leads, and waits for.

use std::{task::Waker, time::Duration};

use super::{
    super::{
        host::Host,
        message::{Answer, Ended, MissReason, Wants, failed},
    },
    Broken, Granted, Guest, Wait,
};
use crate::{
    clock::Expiry,
    error::Result,
    flight::{Asker, Outcome, Turn, flight},
    key::Digest,
    record::Record,
    stats::Reason,
    store::{
        engine::Bytes,
        partition::{FoundRecord, Partition},
        worker::Request,
    },
};

impl Guest {
    pub(super) fn look_up(
        &mut self,
        host: &Host,
        number: u32,
        (memo, digest): (u32, Digest),
        expiry: Expiry,
        caller: u64,
        wants: Wants,
    ) -> std::result::Result<bool, Broken> {
        let useless = match wants {
            Wants::Replacement { of } | Wants::Refresh { of } => Some(of),
            Wants::Record | Wants::RecordOrLead => None,
        };
        let partition = self.partition(memo)?;
        let key = partition.flight_key(&digest);
        match find(partition, &digest, expiry, useless) {
            Ok(FoundRecord::NotYet) => {
                let (reply, applied) = oneshot::channel();
                let _ = host.directory.send(Request::Barrier { reply });
                self.barrier = Some(Box::pin(async move { drop(applied.await) }));
                // Polled once, so that its waker is known.
                self.is_past_barrier(host);
                return Ok(false);
            }
            Ok(FoundRecord::Record(record)) => self.answer(number, &Answer::Record(&record)),
            Ok(FoundRecord::Missing(reason)) if wants == Wants::Record => {
                self.answer(number, &Answer::Missing(reason.into()));
            }
            Ok(FoundRecord::Missing(_)) if matches!(wants, Wants::Refresh { .. }) => {
                return self.refresh(host, number, (memo, digest), caller, useless);
            }
            Ok(FoundRecord::Missing(_)) => {
                let (caller, is_queued) = (self.caller(caller), false);
                let is_known = self.waits.contains_key(&number) || self.claims.contains_key(&number);
                if number == 0 || is_known || self.waits.values().any(|wait| wait.caller == caller) {
                    return Err(Broken);
                }
                let wait = Wait { memo, digest, expiry, key, caller, is_queued, is_overdue: false, useless };
                self.claim(host, number, wait);
            }
            Err(error) => self.send(&failed(number, &error)),
        }
        Ok(true)
    }

    /// Grants the lead of a key whose record is stale, unless another caller has it: other callers have the record meanwhile.
    fn refresh(
        &mut self,
        host: &Host,
        number: u32,
        (memo, digest): (u32, Digest),
        caller: u64,
        stale: Option<u64>,
    ) -> std::result::Result<bool, Broken> {
        if number == 0 || self.claims.contains_key(&number) {
            return Err(Broken);
        }
        let caller = self.caller(caller);
        let partition = self.partition(memo)?;
        let (key, expiry) = (partition.flight_key(&digest), Expiry::default());
        let claim =
            host.directory.sharing.may_lead().then(|| flight().claim_free(key, &Asker::of(caller))).flatten();
        // A value that came before the claim.
        match (find(partition, &digest, expiry, stale), claim) {
            (Ok(FoundRecord::Record(record)), _) => self.answer(number, &Answer::Record(&record)),
            (_, None) | (Ok(FoundRecord::NotYet), _) => self.answer(number, &Answer::Led),
            (_, Some(claim)) => {
                claim.announce_refresh();
                self.claims.insert(number, Granted { key, claim, is_declared: false });
                self.answer(number, &Answer::Lead(MissReason::Expired));
            }
        }
        Ok(true)
    }

    /// Claims the key of a look-up, as far as that goes without waiting.
    fn claim(&mut self, host: &Host, number: u32, mut wait: Wait) {
        loop {
            if !host.directory.sharing.may_lead() {
                break;
            }
            let turn = if wait.is_queued {
                flight().poll(wait.key, wait.caller, wait.is_overdue, host.waker.clone())
            } else {
                flight().begin(wait.key, &Asker::of(wait.caller), false, host.waker.clone())
            };
            if turn.is_none() && !wait.is_queued {
                // Its guest tells when it has waited too long. The timer sees a task that does not go on.
                let _ = flight().watch(wait.caller, Duration::MAX);
            }
            wait.is_queued = turn.is_none();
            let Some(turn) = turn else { break };
            let Some(partition) = self.memos.get(&wait.memo) else {
                // The memo was dropped while its call waited.
                return self.answer(number, &Answer::Missing(Reason::Absent.into()));
            };
            let found = find(partition, &wait.digest, wait.expiry, wait.useless);
            match (found, turn) {
                (Ok(FoundRecord::Record(record)), turn) => {
                    if let Turn::Lead(claim) | Turn::Alone(claim, _) = turn {
                        claim.complete(Outcome::Found);
                    }
                    return self.answer(number, &Answer::Record(&record));
                }
                (Err(error), _) => return self.send(&failed(number, &error)),
                (Ok(FoundRecord::Missing(reason)), Turn::Lead(claim) | Turn::Alone(claim, _)) => {
                    self.claims.insert(number, Granted { key: wait.key, claim, is_declared: false });
                    return self.answer(number, &Answer::Lead(reason.into()));
                }
                // It is looked up again: a value is on its way.
                (Ok(FoundRecord::NotYet), turn) => {
                    drop(turn);
                    host.directory.catch_up();
                }
                (Ok(FoundRecord::Missing(_)), Turn::Recheck(_)) => {}
            }
        }
        self.waits.insert(number, wait);
    }

    pub(super) fn poll_waits(&mut self, host: &Host) {
        let numbers: Vec<u32> = self.waits.keys().copied().collect();
        for number in numbers {
            if let Some(wait) = self.waits.remove(&number) {
                self.claim(host, number, wait);
            }
        }
    }

    pub(super) fn end(&mut self, claim: u32, outcome: Ended) {
        let Some(Granted { mut claim, .. }) = self.claims.remove(&claim) else { return };
        match outcome {
            Ended::Found => claim.complete(Outcome::Found),
            Ended::Unstored => claim.complete(Outcome::Unstored),
            Ended::Failed => claim.fail(),
            Ended::Abandoned => {}
        }
    }

    /// A lead that an earlier host had granted. If another caller leads by now, the value of this one may still be stored.
    pub(super) fn declare(
        &mut self,
        number: u32,
        (memo, digest): (u32, Digest),
        caller: u64,
        is_refresh: bool,
    ) -> std::result::Result<(), Broken> {
        let key = self.partition(memo)?.flight_key(&digest);
        let caller = self.caller(caller);
        if number == 0 || self.claims.contains_key(&number) {
            return Err(Broken);
        }
        let begun = flight().begin(key, &Asker::of(caller), false, Waker::noop().clone());
        // A caller that began to lead under the new host has computed less than this one.
        let turn = begun.or_else(|| flight().poll(key, caller, true, Waker::noop().clone()));
        let claim = match turn {
            Some(Turn::Lead(claim) | Turn::Alone(claim, _)) => claim,
            Some(Turn::Recheck(_)) | None => flight().register_reader(key),
        };
        if is_refresh {
            claim.announce_refresh();
        }
        self.claims.insert(number, Granted { key, claim, is_declared: true });
        self.answer(number, &Answer::Done);
        Ok(())
    }
}

fn find(partition: &Partition, digest: &Digest, expiry: Expiry, useless: Option<u64>) -> Result<FoundRecord> {
    let found = partition.find_record(digest, expiry)?;
    let is_useless = |bytes: &Bytes| {
        useless.is_some() && Record::decode(bytes, digest).map(|record| record.sequence) == useless
    };
    Ok(match found {
        FoundRecord::Record(bytes) if is_useless(&bytes) => FoundRecord::Missing(Reason::Damaged),
        found => found,
    })
}
