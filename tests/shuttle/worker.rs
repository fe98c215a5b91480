//! A memo over the real flight, pending values, queue, hand-overs and changes of the worker. Callers look and compute
//! beside changes, evictions, a full disk and a close. The order of a call's steps is that of `src/flow` and
//! `src/store/partition/hand_over.rs`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use shuttle::{
    rand::{Rng, thread_rng},
    sync::mpsc,
};

use crate::{
    clock::Lifetime,
    error::Result,
    flight::{Claim, FlightKey, Outcome, Turn, flight, fresh_owner},
    key::Digest,
    races::FOREVER,
    store::{
        blob::Finished,
        pending::PendingValue,
        session::Session,
        worker::{
            Directory, Worker,
            hand_overs::HandOvers,
            queue::Rejected,
            request::{Computed, KeepInMemory, Put, Registration, Reply, Request},
        },
    },
    sync::{explore, thread},
};

/// A memo. Each value is the moment at which its computation began.
struct Memo {
    directory: Arc<Directory>,
    session: Arc<Session>,
    registration: Arc<Registration>,
    keep_in_memory: KeepInMemory,
    moments: AtomicU64,
    computations: AtomicU64,
}

fn digest(key: u8) -> Digest {
    Digest::from_bytes([key; 32])
}

fn moment_of(value: &PendingValue) -> u64 {
    let Finished::Inline(payload) = &value.payload else { panic!("every value is small") };
    u64::from_le_bytes(payload.as_slice().try_into().unwrap())
}

impl Memo {
    /// With its worker, which ends at [`Memo::close`].
    fn open(bound: usize, is_full: bool) -> (Arc<Self>, thread::JoinHandle<()>) {
        let (directory, session) = (Arc::new(Directory::default()), Arc::new(Session::default()));
        let owner = fresh_owner();
        let memory = Arc::clone(&session);
        let keep = move |digest: &Digest, value: &PendingValue, _: Option<&_>, claim: &Claim<'_>| {
            memory.memory.admit(owner, digest, moment_of(value), || claim.is_current())
        };
        let registration =
            Registration { memo: "memo".into(), owner, generation: owner, hand_overs: HandOvers::default() };
        let worker = Worker::new(&directory, &session, bound, is_full);
        let worker = thread::spawn(move || worker.work());
        let (moments, computations) = (AtomicU64::new(1), AtomicU64::new(0));
        let (registration, keep_in_memory) = (Arc::new(registration), Arc::new(keep));
        (Arc::new(Self { directory, session, registration, keep_in_memory, moments, computations }), worker)
    }

    fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn flight_key(&self, key: u8) -> FlightKey {
        self.registration.flight_key(&digest(key))
    }

    fn in_memory(&self, key: u8) -> Option<u64> {
        self.session.memory.get(self.registration.owner, &digest(key))
    }

    fn pending(&self, key: u8) -> Option<u64> {
        self.directory.pending.get(&self.flight_key(key)).map(|value| moment_of(&value))
    }

    fn find(&self, key: u8, claim: &Claim<'_>) -> Option<u64> {
        if let Some(value) = self.in_memory(key) {
            return Some(value);
        }
        let value = self.pending(key).or_else(|| self.directory.disk.get(&digest(key)))?;
        thread::yield_now();
        self.session.memory.admit(self.registration.owner, &digest(key), value, || claim.is_current());
        Some(value)
    }

    fn get(&self, key: u8) -> u64 {
        loop {
            if let Some(value) = self.in_memory(key) {
                return value;
            }
            match flight().claim(self.flight_key(key), FOREVER) {
                Turn::Lead(claim) => {
                    let Some(value) = self.find(key, &claim) else { return self.compute(key, claim) };
                    claim.complete(Outcome::Found);
                    return value;
                }
                Turn::Alone(claim, _) => return self.compute(key, claim),
                // One of the waiters reads it for all.
                Turn::Recheck(Outcome::Stored) => {}
                Turn::Recheck(_) => {
                    let claim = flight().register_reader(self.flight_key(key));
                    if let Some(value) = self.find(key, &claim) {
                        return value;
                    }
                }
            }
        }
    }

    fn compute(&self, key: u8, claim: Claim<'static>) -> u64 {
        let began = self.now();
        self.computations.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
        if let Err((value, claim)) = self.hand_over(key, began, claim) {
            let is_kept = (self.keep_in_memory)(&digest(key), &value, None, &claim);
            claim.complete(if is_kept { Outcome::Stored } else { Outcome::Unstored });
        }
        began
    }

    /// The value of a quick computation, or of a computation with a caller that waits for the flush.
    fn hand_over(
        &self,
        key: u8,
        began: u64,
        claim: Claim<'static>,
    ) -> Result<(), (Arc<PendingValue>, Claim<'static>)> {
        let value = value(began);
        if self.directory.queue.reserve(0, Duration::from_secs(1)).is_err() {
            return Err((value, claim));
        }
        if !self.directory.pending.publish(self.flight_key(key), &value, claim.token()) {
            claim.complete(Outcome::Revoked);
            return Ok(());
        }
        self.registration.hand_overs.begin(&self.flight_key(key));
        self.directory.hand_overs.begin(&self.flight_key(key));
        let (reply, written) = mpsc::channel();
        let is_slow = thread_rng().gen_ratio(1, 2);
        let put = self.put(key, Arc::clone(&value), Some(claim.detach()), is_slow.then_some(reply));
        let queue = &self.directory.queue;
        let sent = if is_slow { queue.send(put) } else { queue.hand_over(put) };
        if sent.is_err() {
            self.directory.pending.take(self.flight_key(key), &value);
        } else if is_slow {
            let _ = written.recv();
        }
        Ok(())
    }

    fn put(
        &self,
        key: u8,
        value: Arc<PendingValue>,
        claim: Option<Claim<'static>>,
        reply: Option<Reply<()>>,
    ) -> Request {
        let memo = Arc::clone(&self.registration);
        let computed =
            claim.map(|claim| Computed { claim, keep_in_memory: Arc::clone(&self.keep_in_memory) });
        Request::Put(Put { memo, digest: digest(key), value, computed, list: None, reply })
    }

    /// Waits for the reply; `None` from a worker that ended.
    fn ask<T: Send + 'static>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Option<Result<T>> {
        let (reply, outcome) = mpsc::channel();
        self.directory.queue.send(request(reply)).ok()?;
        outcome.recv().ok()
    }

    /// Each change returns a moment before it. Every value that is found later began after that moment.
    fn remove(&self, key: u8) -> u64 {
        let (now, memo) = (self.now(), Arc::clone(&self.registration));
        self.ask(|reply| Request::Remove { memo, digest: digest(key), reply });
        now
    }

    fn insert(&self, key: u8) -> u64 {
        let now = self.now();
        self.ask(|reply| self.put(key, value(now), None, Some(reply)));
        now
    }

    fn clear(&self) -> u64 {
        let (now, memo) = (self.now(), Arc::clone(&self.registration));
        self.ask(|reply| Request::Clear { memo, reply });
        now
    }

    fn close(&self) {
        self.ask(|reply| Request::Close { reply });
    }

    /// Without the memory tier no answer would change, and no value is on its way any more.
    #[track_caller]
    fn assert_settled(&self, keys: &[u8]) {
        self.ask(|reply| Request::Barrier { reply });
        for key in keys {
            let (memory, disk) = (self.in_memory(*key), self.directory.disk.get(&digest(*key)));
            assert!(memory.is_none() || memory == disk, "{key}: {memory:?}, {disk:?}");
        }
        assert_eq!(self.directory.pending.len(), 0);
        assert!(flight().is_empty());
    }
}

fn value(began: u64) -> Arc<PendingValue> {
    let payload = Finished::Inline(began.to_le_bytes().to_vec());
    Arc::new(PendingValue { payload, lifetime: Lifetime::default(), compute_time: Duration::ZERO })
}

fn callers(memo: &Arc<Memo>, keys: &'static [u8]) -> Vec<thread::JoinHandle<u64>> {
    let call = |key: &u8| {
        let (memo, key) = (Arc::clone(memo), *key);
        thread::spawn(move || memo.get(key))
    };
    keys.iter().map(call).collect()
}

fn join(callers: Vec<thread::JoinHandle<u64>>) -> Vec<u64> {
    callers.into_iter().map(|caller| caller.join().unwrap()).collect()
}

/// Callers of two keys beside a change. Afterwards no place has an older value.
fn callers_beside(
    change: impl Fn(&Memo) -> u64 + Send + Sync + 'static,
    is_full: bool,
    changed: &'static [u8],
) {
    explore(move || {
        let (memo, worker) = Memo::open(2, is_full);
        if thread_rng().gen_ratio(1, 2) {
            memo.get(0);
        }
        let callers = callers(&memo, &[0, 1, 0]);
        let changed_at = change(&memo);
        for key in changed {
            let seen = [memo.in_memory(*key), memo.pending(*key), memo.directory.disk.get(&digest(*key))];
            let got = memo.get(*key);
            for value in seen.into_iter().flatten().chain([got]) {
                assert!(value >= changed_at, "{value} is from before {changed_at}");
            }
        }
        join(callers);
        if !is_full {
            memo.assert_settled(&[0, 1]);
        }
        memo.close();
        worker.join().unwrap();
    });
}

#[test]
fn after_a_removal_no_value_from_before_it_comes_out_of_the_queue() {
    callers_beside(|memo| memo.remove(0), false, &[0]);
}

#[test]
fn after_an_insert_no_value_from_before_it_comes_out_of_the_queue() {
    callers_beside(|memo| memo.insert(0), false, &[0]);
}

#[test]
fn after_a_clear_no_value_from_before_it_comes_out_of_the_queue() {
    callers_beside(Memo::clear, false, &[0, 1]);
}

#[test]
fn a_change_that_the_disk_refuses_is_made_in_memory_all_the_same() {
    callers_beside(|memo| memo.remove(0), true, &[0]);
    callers_beside(Memo::clear, true, &[0, 1]);
}

#[test]
fn callers_of_one_key_compute_it_once_though_its_record_is_on_its_way() {
    explore(|| {
        let (memo, worker) = Memo::open(2, false);
        let callers = callers(&memo, &[0, 0, 0]);
        let values = join(callers);
        assert_eq!(values, [memo.get(0); 3]);
        assert_eq!(memo.computations.load(Ordering::SeqCst), 1);
        memo.assert_settled(&[0]);
        memo.close();
        worker.join().unwrap();
    });
}

#[test]
fn an_evicted_value_leaves_memory_and_the_queue() {
    explore(|| {
        let (memo, worker) = Memo::open(1, false);
        join(callers(&memo, &[0, 1, 0, 1]));
        memo.assert_settled(&[0, 1]);
        assert_eq!(memo.directory.disk.len(), 1);
        memo.close();
        worker.join().unwrap();
    });
}

#[test]
fn a_sleeping_worker_wakes_for_a_value_that_no_caller_waits_for() {
    explore(|| {
        let (memo, worker) = Memo::open(2, false);
        thread::yield_now();
        let put = memo.put(0, value(memo.now()), None, None);
        assert!(memo.directory.queue.hand_over(put).is_ok());
        while memo.directory.disk.get(&digest(0)).is_none() {
            thread::yield_now();
        }
        memo.close();
        worker.join().unwrap();
    });
}

#[test]
fn a_close_leaves_no_caller_waiting_and_no_value_on_its_way() {
    explore(|| {
        let (memo, worker) = Memo::open(2, false);
        let callers = callers(&memo, &[0, 1, 0]);
        memo.close();
        worker.join().unwrap();
        join(callers);
        assert!(memo.ask(|reply| Request::Barrier { reply }).is_none());
        assert!(flight().is_empty());
        assert_eq!(memo.directory.pending.len(), 0);
    });
}
