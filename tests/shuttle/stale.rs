//! Stale values over many schedules: one caller refreshes, the others have the stale value, and a change wins.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use crate::{
    races::FOREVER,
    single_flight::{Claim, Flight, FlightKey, Outcome, Turn},
    sync::{Mutex, explore, lock, thread},
};

const KEY: FlightKey = FlightKey { owner: 1, digest: [5; 32] };

#[derive(Clone, Copy, Debug, PartialEq)]
enum Record {
    Absent,
    Stale(u64),
    Fresh(u64),
}

/// One key. Its value is stale at the beginning, and is called 0.
struct Memo {
    flight: Flight,
    record: Mutex<Record>,
    /// Gives a number to each change and each computation.
    moments: AtomicU64,
    computations: AtomicU64,
    /// A failed refresh was noted.
    is_noted: AtomicBool,
    is_down: bool,
}

impl Memo {
    fn new(is_down: bool) -> Arc<Self> {
        Arc::new(Self {
            flight: Flight::new(),
            record: Mutex::new(Record::Stale(0)),
            moments: AtomicU64::new(1),
            computations: AtomicU64::new(0),
            is_noted: AtomicBool::new(false),
            is_down,
        })
    }

    fn read(&self) -> Record {
        *lock(&self.record)
    }

    fn now(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    /// As the lookup of a memo. `None` when the computation failed and nothing was there.
    fn get(&self) -> Option<u64> {
        let mut accepts_stale = true;
        loop {
            let (claim, found) = match self.flight.claim_or_stale(KEY, FOREVER, accepts_stale) {
                Turn::Lead(claim) => (claim, self.read()),
                Turn::Alone(claim, _) => return self.compute(claim),
                Turn::Recheck(outcome) => match (self.read(), outcome) {
                    (Record::Fresh(value), _) | (Record::Stale(value), Outcome::Stale | Outcome::Found) => {
                        return Some(value);
                    }
                    (_, Outcome::Stale) => {
                        accepts_stale = false;
                        continue;
                    }
                    _ => continue,
                },
            };
            match found {
                Record::Stale(_) if !self.is_noted.load(Ordering::SeqCst) => {
                    claim.announce_refresh();
                    return self.compute(claim);
                }
                Record::Absent => return self.compute(claim),
                Record::Stale(value) | Record::Fresh(value) => {
                    claim.complete(Outcome::Found);
                    return Some(value);
                }
            }
        }
    }

    fn compute(&self, mut claim: Claim<'_>) -> Option<u64> {
        let began = self.now();
        self.computations.fetch_add(1, Ordering::SeqCst);
        thread::yield_now();
        if self.is_down {
            // Noted before the claim ends.
            self.is_noted.store(true, Ordering::SeqCst);
            claim.fail();
            drop(claim);
            return match self.read() {
                Record::Absent => None,
                Record::Stale(value) | Record::Fresh(value) => Some(value),
            };
        }
        let mut record = lock(&self.record);
        let outcome = if claim.is_current() {
            *record = Record::Fresh(began);
            self.flight.revoke(&KEY, Some(&claim));
            Outcome::Stored
        } else {
            Outcome::Revoked
        };
        drop(record);
        claim.complete(outcome);
        Some(began)
    }

    fn change(&self, with: Record) -> u64 {
        let mut record = lock(&self.record);
        let now = self.now();
        *record = if let Record::Fresh(_) = with { Record::Fresh(now) } else { with };
        self.flight.revoke(&KEY, None);
        now
    }
}

fn race(memo: &Arc<Memo>, count: usize, meanwhile: impl FnOnce()) -> Vec<Option<u64>> {
    let call = |memo: Arc<Memo>| thread::spawn(move || memo.get());
    let callers: Vec<_> = (0..count).map(|_| call(Arc::clone(memo))).collect();
    meanwhile();
    let values = callers.into_iter().map(|caller| caller.join().unwrap()).collect();
    assert!(memo.flight.is_empty());
    values
}

#[test]
fn one_caller_refreshes_and_every_other_has_a_value() {
    explore(|| {
        let memo = Memo::new(false);
        let values = race(&memo, 4, || ());
        assert_eq!(memo.computations.load(Ordering::SeqCst), 1);
        let Record::Fresh(fresh) = memo.read() else { panic!("not refreshed") };
        assert!(values.iter().all(|value| *value == Some(0) || *value == Some(fresh)), "{values:?}");
    });
}

#[test]
fn a_failing_leader_is_the_only_one_that_asks() {
    explore(|| {
        let memo = Memo::new(true);
        assert_eq!(race(&memo, 4, || ()), [Some(0); 4]);
        assert_eq!(memo.computations.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn what_was_changed_during_a_refresh_stays_changed() {
    for is_down in [false, true] {
        for with in [Record::Absent, Record::Fresh(0)] {
            explore(move || {
                let memo = Memo::new(is_down);
                race(&memo, 3, || {
                    let changed = memo.change(with);
                    assert!(memo.get().is_none_or(|value| value >= changed), "an older value came back");
                    assert!(memo.read() != Record::Stale(0));
                });
            });
        }
    }
}
