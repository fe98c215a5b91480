//! A copy of the index with changes between its stretches, over a real engine: every kind of change at every place of the
//! copy, as its rows lie on both sides of what was copied by then.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use super::*;
use crate::{
    clock::{Clock, Lifetime},
    flight::fresh_owner,
    key::Digest,
    observe::Observers,
    record::Body,
    store::{
        blob::Finished,
        generation::{Bounds, CatalogRow, GenerationId},
        manifest::Found,
        pending::PendingValue,
        session::{Session, Settings},
        worker::{
            directory::Tuning, request::Adopter, request::Put, request::Registration,
            transaction::Transaction,
        },
    },
    testing::Faults,
};

/// More rows of each memo than are copied in two stretches.
const ROWS: u8 = 150;

/// What a memo holds, by the number of the key.
type Entries = BTreeMap<u8, u8>;

struct Bench {
    _folder: tempfile::TempDir,
    directory: Directory,
    session: Session,
    index: Index,
    ledger: Ledger,
    /// The second one has a higher number: its rows are copied later.
    memos: [Arc<Registration>; 2],
    /// What was acknowledged of each memo.
    expected: [Entries; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Put,
    Overwrite,
    Remove,
    Clear,
    All,
}

const CHANGES: [Change; 5] = [Change::Put, Change::Overwrite, Change::Remove, Change::Clear, Change::All];

fn memo(name: u8) -> Arc<Registration> {
    let (id, owner) = (GenerationId([name; 16]), fresh_owner());
    Arc::new(Registration::new(format!("{name}").into(), "".into(), id, owner, Arc::default()))
}

fn digest(key: u8) -> Digest {
    Digest::from_bytes([key; 32])
}

impl Bench {
    /// Two memos with entries, behind the rows of a number that is dead.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("index-1")).unwrap();
        let engine = Engine::open(&folder.path().join("index-1"), &Faults::default()).unwrap();
        let tuning = Tuning { compacted_when: Some((0, 0)), ..Tuning::default() };
        let place = Place::new(folder.path().to_owned(), None);
        let directory = Directory::new(Some(place), Clock::default(), tuning, None);
        let settings = Settings {
            memory: 0,
            max_bytes: None,
            max_wait: Duration::MAX,
            max_stall: Duration::MAX,
            observers: Observers::default(),
            clock: Clock::default(),
        };
        let mut bench = Self {
            _folder: folder,
            directory,
            session: Session::new(&settings),
            index: Index::new(Arc::new(engine), 1),
            ledger: Ledger::default(),
            memos: [memo(1), memo(2)],
            expected: Default::default(),
        };
        for memo in bench.memos.clone() {
            let row =
                CatalogRow { name: memo.memo.to_string(), ttl_millis: u64::MAX, ..CatalogRow::default() };
            bench.ledger.adopt(&memo, &row, (Adopter::fresh(), Bounds::default()));
            bench.change(|transaction| transaction.adopted(memo.generation, &row));
        }
        for memo in [0, 1] {
            (0..9).for_each(|key| bench.put(memo, key, 0));
            bench.clear(memo);
            (0..ROWS).for_each(|key| bench.put(memo, key, 1));
        }
        bench.index.engine.flush().unwrap();
        bench
    }

    fn change<T>(&mut self, change: impl FnOnce(&mut Transaction<'_>) -> Result<T>) -> T {
        let Self { directory, session, index, ledger, .. } = self;
        change(&mut Transaction { directory, session, index, ledger }).unwrap()
    }

    fn place(&self) -> &Place {
        self.directory.place.as_ref().unwrap()
    }

    fn put(&mut self, memo: usize, key: u8, value: u8) {
        let value = PendingValue {
            payload: Finished::Inline(vec![value]),
            lifetime: Lifetime::starting(self.session.clock.now()),
            compute_time: Duration::ZERO,
        };
        self.expected[memo].insert(key, value_of(&value));
        let (memo, value) = (Arc::clone(&self.memos[memo]), Arc::new(value));
        let put = Put {
            age: None,
            memo,
            digest: digest(key),
            key_head: vec![],
            value,
            computed: None,
            list: None,
            reply: None,
            variant: None,
        };
        self.change(|transaction| transaction.put(&put));
    }

    fn remove(&mut self, memo: usize, key: u8) {
        self.expected[memo].remove(&key);
        let memo = Arc::clone(&self.memos[memo]);
        assert!(self.change(|transaction| transaction.remove(&memo, &digest(key))));
    }

    fn clear(&mut self, memo: usize) {
        self.expected[memo].clear();
        let id = self.memos[memo].generation;
        self.change(|transaction| transaction.clear(id));
    }

    /// In each memo, near its begin and its end: what is copied first and last.
    fn make(&mut self, change: Change) {
        for memo in [0, 1] {
            match change {
                Change::Put => self.put_all(memo, &[200, 201], 2),
                Change::Overwrite => self.put_all(memo, &[1, ROWS - 2], 3),
                Change::Remove => self.remove_all(memo, &[0, ROWS / 2, ROWS - 1]),
                Change::Clear => {
                    self.clear(memo);
                    self.put_all(memo, &[0], 4);
                }
                Change::All => {
                    self.put_all(memo, &[0, 210, 211], 5);
                    self.remove_all(memo, &[0, 210, ROWS / 2]);
                    self.put_all(memo, &[0], 6);
                }
            }
        }
    }

    fn put_all(&mut self, memo: usize, keys: &[u8], value: u8) {
        for key in keys {
            self.put(memo, *key, value);
        }
    }

    fn remove_all(&mut self, memo: usize, keys: &[u8]) {
        for key in keys {
            self.remove(memo, *key);
        }
    }

    /// Copies the index and switches, with `change` before the stretch `place`. `false` where there was no such stretch.
    fn compact(&mut self, change: Change, place: usize) -> bool {
        let growth = Growth::new(self.directory.tuning.compacted_when);
        assert!(growth.worth_a_copy(self.place(), &self.index, &self.ledger).is_some());
        let Self { directory, index, ledger, .. } = self;
        let folder = directory.place.as_ref().unwrap();
        let compaction = Compaction::begin(directory, folder, index, ledger).unwrap();
        let (mut seen, mut stretches) = (None, 0);
        loop {
            if stretches == place {
                self.make(change);
            }
            seen = compaction.stretch(&self.index, &mut self.ledger, seen.as_deref()).unwrap();
            stretches += 1;
            if seen.is_none() {
                break;
            }
        }
        if stretches == place {
            // Between the last stretch and the switch.
            self.make(change);
        }
        let Self { directory, index, ledger, .. } = self;
        let old = Arc::downgrade(&index.engine);
        compaction.take_over(directory, directory.place.as_ref().unwrap(), index, ledger).unwrap();
        assert!(old.as_ptr() != Arc::as_ptr(&index.engine) && index.number != 1);
        place <= stretches
    }

    /// The index holds what was acknowledged, and nothing else under a number that lives.
    fn assert_whole(&self, dead_before: &[Number]) {
        let engine = &self.index.engine;
        for (memo, expected) in self.memos.iter().zip(&self.expected) {
            let number = memo.number();
            let records = engine.records.rows(&number.prefix(), None, usize::MAX).unwrap();
            let found: Entries = records.iter().map(|(key, record)| entry(key, record)).collect();
            assert_eq!(&found, expected);
            let rows = engine.order.rows(&number.prefix(), None, usize::MAX).unwrap();
            let rows: Vec<OrderRow> =
                rows.iter().map(|(key, row)| OrderRow::decode(key, row).unwrap()).collect();
            assert_eq!(rows.len(), expected.len(), "a row an entry");
            for row in &rows {
                let record = self.index.record(number, &row.digest).unwrap().unwrap();
                assert_eq!(Record::decode(&record, &row.digest).unwrap().sequence, row.sequence);
            }
            let tally = self.ledger.tally(Some(&memo.memo)).unwrap();
            assert_eq!(tally.entries, expected.len() as u64);
            assert_eq!(tally.bytes, rows.iter().map(|row| row.size).sum::<u64>());
            assert_eq!(tally.indexed, self.length_of(number));
        }
        self.assert_numbers(dead_before);
    }

    /// What the tables hold of a number, by a walk.
    fn length_of(&self, number: Number) -> u64 {
        let tables = [&self.index.engine.records, &self.index.engine.order];
        let rows = tables.map(|table| table.rows(&number.prefix(), None, usize::MAX).unwrap());
        rows.iter().flatten().map(|(key, value)| (key.len() + value.len()) as u64).sum()
    }

    /// Dead numbers are left out, and those that died meanwhile are known to be dead.
    fn assert_numbers(&self, dead_before: &[Number]) {
        let engine = &self.index.engine;
        let live = self.memos.each_ref().map(|memo| memo.number());
        let row = IndexRow::decode(&engine.catalog.get(IndexRow::KEY).unwrap().unwrap()).unwrap();
        assert_eq!(row, self.ledger.index_row);
        assert!(dead_before.iter().all(|number| !row.dead.contains(number)));
        for table in [&engine.records, &engine.order] {
            for (key, _) in table.rows(&[], None, usize::MAX).unwrap() {
                let number = Number::of_key(&key).unwrap();
                assert!(!dead_before.contains(&number), "a row of a dead number was copied");
                assert!(live.contains(&number) || row.dead.contains(&number));
            }
        }
        for memo in &self.memos {
            let written = engine.catalog.get(&memo.generation.0).unwrap().unwrap();
            assert_eq!(CatalogRow::decode(&written).unwrap().number, memo.number());
        }
    }
}

fn value_of(value: &PendingValue) -> u8 {
    value.payload.payload().unwrap()[0]
}

fn entry(key: &[u8], record: &[u8]) -> (u8, u8) {
    let record = Record::decode(record, &digest(key[4])).unwrap();
    let Body::Inline(payload) = record.body else { panic!("every value is small") };
    (key[4], payload[0])
}

#[test]
fn a_change_at_any_place_of_a_copy_is_in_the_copy() {
    for change in CHANGES {
        for place in 0.. {
            let mut bench = Bench::new();
            let dead = bench.ledger.index_row.dead.clone();
            assert_eq!(dead.len(), 2);
            let was_made = bench.compact(change, place);
            bench.assert_whole(&dead);
            let Found::Whole(manifest) = Manifest::read(&bench.place().path).unwrap() else {
                panic!("it names the new index")
            };
            assert_eq!((manifest.index, bench.index.number), (2, 2));
            if !was_made {
                assert!(place > 5, "the copy took several stretches");
                break;
            }
        }
    }
}
