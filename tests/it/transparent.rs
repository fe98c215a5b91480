//! A memoized call fails only as its own closure fails. Under every fault of the disk the value is returned, and the
//! failure is counted, kept and reported. After the fault the memo remembers again. Claims about code of the user are
//! in `contained`.

use std::{
    fs::{self, File},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use memolith::{
    Error, Memo, Store, StoreBuilder,
    observe::Event,
    stats::Failures,
    testing::{Fault, Operation},
};

use crate::{
    threads::{Caller, gate, watched},
    vocabulary::*,
};

/// Every operation but opening, which has claims of its own.
pub const OPERATIONS: [Operation; 7] = [
    Operation::Read,
    Operation::Write,
    Operation::Remove,
    Operation::Scan,
    Operation::Flush,
    Operation::BlobWrite,
    Operation::BlobRead,
];

/// Faults that end. A hang has a time limit only in a flush and a close.
const FAULTS: [Fault; 3] = [Fault::NoSpace, Fault::Corrupt, Fault::Panic];

/// The memo, if it concerns one, and the message.
type Failure = (Option<String>, String);

/// The failures that an observer receives.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Failure>>>);

impl Told {
    fn observe(&self, options: StoreBuilder) -> StoreBuilder {
        let told = Arc::clone(&self.0);
        options.observer(move |event| {
            if let Event::Failed { memo, error, .. } = event {
                told.lock().unwrap().push((memo.map(str::to_owned), error.to_string()));
            }
        })
    }

    fn all(&self) -> Vec<Failure> {
        self.0.lock().unwrap().clone()
    }
}

/// A memo of values in the index and one of values in files, both at their bound of two entries.
pub struct Scene {
    pub bench: Bench,
    told: Told,
    pub store: Store,
    pub numbers: Memo<str, u64>,
    pub pictures: Memo<str, Vec<u8>>,
}

impl Scene {
    pub fn new(memory: u64) -> Self {
        let (bench, told) = (Bench::new(), Told::default());
        let store = told.observe(bench.options().memory(memory)).open(bench.path()).unwrap();
        let numbers = Memo::builder("numbers").max_entries(2).open(&store).unwrap();
        let pictures = Memo::builder("pictures").max_entries(2).open(&store).unwrap();
        let scene = Self { bench, told, store, numbers, pictures };
        for key in ["kept", "changed"] {
            miss!(scene.numbers, key => 1);
            miss!(scene.pictures, key => large(1));
        }
        scene
    }

    /// The same, opened again with a short deadline for calls of the engine.
    pub fn impatient(self) -> Self {
        let Self { mut bench, told, store, .. } = self;
        store.close().unwrap();
        bench.is_impatient = true;
        let store = told.observe(bench.options().memory(0)).open(bench.path()).unwrap();
        let numbers = Memo::builder("numbers").max_entries(2).open(&store).unwrap();
        let pictures = Memo::builder("pictures").max_entries(2).open(&store).unwrap();
        Self { bench, told, store, numbers, pictures }
    }

    /// The bench, when all handles are dropped.
    pub fn close(self) -> Bench {
        let _ = self.store.close();
        self.bench
    }

    /// The computation takes long enough for a flush. The value is the right one, remembered or computed.
    #[track_caller]
    pub fn call(&self, key: &str, seed: u8) {
        let slowly = || self.bench.clock.advance(Duration::from_millis(20));
        let number = self.numbers.get_or_insert_with(key, || {
            slowly();
            seed.into()
        });
        assert_eq!(number, u64::from(seed), "{key}");
        let picture = self.pictures.get_or_try_insert_with(key, || {
            slowly();
            Ok::<_, ()>(large(seed))
        });
        assert_eq!(picture, Ok(large(seed)), "{key}");
    }

    /// An overwrite may be refused: then the old value may still be there.
    #[track_caller]
    pub fn overwrite(&self, key: &str) {
        let inserted = (self.numbers.insert(key, &2), self.pictures.insert(key, &large(2)));
        let number = self.numbers.get_or_insert_with(key, || 2);
        let picture = self.pictures.get_or_insert_with(key, || large(2));
        assert!(number == 2 || (number == 1 && inserted.0.is_err()), "{number} after {inserted:?}");
        assert!(picture == large(2) || (picture == large(1) && inserted.1.is_err()));
    }

    /// A hit, an overwrite, misses and, at the bound, evictions.
    fn play(&self) {
        self.call("kept", 1);
        self.overwrite("changed");
        for (key, seed) in [("third", 3), ("fourth", 4), ("fifth", 5), ("third", 3)] {
            self.call(key, seed);
        }
        let _ = (self.numbers.get("kept"), self.numbers.len(), self.store.stats());
    }

    #[track_caller]
    pub fn remembers_again(&self) {
        self.bench.faults.heal();
        self.bench.clock.advance(MINUTE);
        // Another thread may be reopening the engine, and may have begun before the end of the fault.
        while self.numbers.insert("engine", &1).is_err() {
            self.bench.clock.advance(MINUTE);
            thread::yield_now();
        }
        for key in ["healed", "healthy"] {
            miss!(self.numbers, key => 8);
            miss!(self.pictures, key => large(8));
            hit!(self.numbers, key => 8);
            hit!(self.pictures, key => large(8));
        }
    }

    /// The store is closed, so that the janitor counts no further.
    fn reopened_remembers(self) -> (Failures, Told) {
        let Self { bench, told, store, numbers, pictures } = self;
        store.close().unwrap();
        let failures = store.stats().failures;
        drop((numbers, pictures, store));
        let store = bench.diskful();
        hit!(plain(&store, "numbers"), "healthy" => 8);
        let pictures: Memo<str, Vec<u8>> = Memo::builder("pictures").open(&store).unwrap();
        hit!(pictures, "healthy" => large(8));
        (failures, told)
    }
}

/// The counter for a fault of an operation.
fn counter(operation: Operation, fault: Fault, failures: &Failures) -> u64 {
    let blob = matches!(operation, Operation::BlobRead | Operation::BlobWrite);
    match fault {
        Fault::NoSpace => failures.io,
        Fault::Panic if !blob => failures.engine,
        _ => failures.corrupt,
    }
}

#[track_caller]
fn every_fault_is_kept_away_from_the_callers(memory: u64) {
    for operation in OPERATIONS {
        for fault in FAULTS {
            println!("{operation:?} {fault:?}");
            watched(move || {
                let scene = Scene::new(memory);
                scene.bench.faults.plant(operation, fault);
                scene.play();
                let failure = scene.numbers.last_failure().or(scene.pictures.last_failure()).unwrap();
                scene.remembers_again();
                let (failures, told) = scene.reopened_remembers();
                let told = told.all();
                assert_eq!(told.len() as u64, failures.total(), "{told:#?}");
                assert!(counter(operation, fault, &failures) > 0, "{failures:?}");
                assert_eq!(counter(operation, fault, &failures), failures.total(), "{told:#?}");
                assert!(told.iter().any(|(memo, _)| memo.is_some()), "{told:#?}");
                let words = failure.to_string();
                let numbers = "memo `numbers` (str -> u64): ";
                let pictures = "memo `pictures` (str -> alloc::vec::Vec<u8>): ";
                assert!(words.starts_with(numbers) || words.starts_with(pictures), "{words}");
            });
        }
    }
}

#[test]
fn every_fault_of_the_disk_is_kept_away_from_the_callers() {
    every_fault_is_kept_away_from_the_callers(1 << 20);
}

#[test]
fn every_fault_of_the_disk_is_kept_away_from_the_callers_without_memory() {
    every_fault_is_kept_away_from_the_callers(0);
}

#[test]
fn with_a_full_disk_the_memory_remembers() {
    for operation in [Operation::Write, Operation::BlobWrite] {
        watched(move || {
            let scene = Scene::new(1 << 20);
            scene.bench.faults.plant(operation, Fault::NoSpace);
            miss!(scene.pictures, "new" => large(7));
            hit!(scene.pictures, "new" => large(7));
            if operation == Operation::Write {
                miss!(scene.numbers, "new" => 7);
                hit!(scene.numbers, "new" => 7);
            }
            assert_eq!(scene.pictures.stats().hits.total(), 1);
            assert!(scene.pictures.last_failure().unwrap().error.is_io());
            scene.remembers_again();
        });
    }
}

/// The same happens on a full disk: the store opens and works in memory, and on disk when there is room again.
#[test]
fn a_store_that_cannot_be_opened_for_lack_of_space_computes_and_comes_back() {
    watched(|| {
        let bench = Bench::new();
        bench.faults.plant(Operation::Open, Fault::NoSpace);
        let store = bench.store();
        assert!(store.last_failure().unwrap().error.is_io());
        let memo = plain(&store, "numbers");
        miss!(memo, "one" => 1);
        hit!(memo, "one" => 1);
        assert!(memo.insert("two", &2).unwrap_err().is_io());
        assert!(memo.stats().failures.io > 0);
        bench.faults.heal();
        bench.clock.advance(MINUTE);
        miss!(memo, "three" => 3);
        memo.insert("two", &2).unwrap();
        drop((memo, store));
        let memo = plain(&bench.store(), "numbers");
        hit!(memo, "three" => 3);
        hit!(memo, "two" => 2);
    });
}

/// No index can be opened. The strict form is an error; the other form works.
#[test]
fn a_store_that_can_never_be_opened_is_one_in_memory_that_tells_why() {
    for fault in [Fault::Corrupt, Fault::Panic] {
        watched(move || {
            let bench = Bench::new();
            bench.faults.plant(Operation::Open, fault);
            let store = bench.options().open_or_temporary(bench.path());
            assert!(store.last_failure().is_some());
            let memo = plain(&store, "numbers");
            miss!(memo, "one" => 1);
            hit!(memo, "one" => 1);
            store.close().unwrap();
        });
    }
}

#[test]
fn in_place_of_a_file_there_is_a_temporary_store_that_tells_why() {
    watched(|| {
        let bench = Bench::new();
        fs::write(bench.path(), "mine").unwrap();
        let store = bench.options().open_or_temporary(bench.path());
        temporary_because(&store, Error::is_config);
        assert_eq!(fs::read(bench.path()).unwrap(), b"mine");
    });
}

/// For the lock, another file handle stands for another process.
#[test]
fn in_place_of_a_directory_in_use_there_is_a_temporary_store_that_tells_why() {
    watched(|| {
        let bench = Bench::new();
        fs::create_dir(bench.path()).unwrap();
        let lock = File::create(bench.path().join("LOCK")).unwrap();
        lock.try_lock().unwrap();
        let options = || bench.options().lock_timeout(Duration::ZERO);
        assert!(options().open(bench.path()).unwrap_err().is_in_use());
        temporary_because(&options().open_or_temporary(bench.path()), Error::is_in_use);
        lock.unlock().unwrap();
        assert!(options().open(bench.path()).is_ok());
    });
}

#[track_caller]
fn temporary_because(store: &Store, why: fn(&Error) -> bool) {
    let told = store.last_failure().unwrap();
    assert!(why(&told.error), "{told}");
    let memo = Memo::builder("numbers").memory(0).open(store).unwrap();
    miss!(memo, "one" => 1_u64);
    hit!(memo, "one" => 1);
    let path = store.path().unwrap().to_owned();
    assert!(path.is_dir());
    store.close().unwrap();
    assert!(!path.exists());
}

#[test]
fn memos_of_a_closed_store_compute() {
    watched(|| {
        let scene = Scene::new(1 << 20);
        hit!(scene.numbers, "kept" => 1);
        scene.store.close().unwrap();
        for _ in 0..2 {
            miss!(scene.numbers, "kept" => 1);
            miss!(scene.pictures, "new" => large(7));
        }
        assert!(scene.numbers.get("kept").is_err() && scene.numbers.insert("kept", &1).is_err());
        assert!(scene.numbers.remove("kept").is_err() && scene.numbers.clear().is_err());
        assert_eq!(scene.numbers.stats().failures.closed, 2);
        let failure = scene.numbers.last_failure().unwrap().to_string();
        assert!(failure.contains("numbers") && failure.contains("open it again"), "{failure}");
        scene.store.close().unwrap();
        hit!(plain(&scene.bench.store(), "numbers"), "kept" => 1);
    });
}

/// A call under way returns its value, and no caller waits for ever.
#[test]
fn a_store_that_is_closed_during_a_computation_does_not_keep_the_value_back() {
    watched(|| {
        let scene = Scene::new(1 << 20);
        let (there, keeper) = gate();
        let caller = Caller::start({
            let memo = scene.numbers.clone();
            move || {
                memo.get_or_insert_with("one", || {
                    there.pass();
                    1
                })
            }
        });
        keeper.reached();
        scene.store.close().unwrap();
        keeper.release();
        assert_eq!(caller.join(), 1);
        miss!(scene.numbers, "one" => 1);
    });
}

/// A caller waits for a flush only if it asked for one.
#[test]
fn a_flush_that_hangs_in_the_background_holds_up_no_call() {
    watched(|| {
        let scene = Scene::new(0);
        scene.bench.faults.plant(Operation::Flush, Fault::Hang);
        for key in ["new", "newer"] {
            miss!(scene.numbers, key => 7);
            hit!(scene.numbers, key => 7);
            miss!(scene.pictures, key => large(7));
            hit!(scene.pictures, key => large(7));
        }
        scene.remembers_again();
        let (failures, _) = scene.reopened_remembers();
        assert_eq!(failures.total(), 0, "{failures:?}");
    });
}

/// A new index may fail as the old one did. Then there is a pause before the next.
#[test]
fn an_engine_that_always_fails_is_not_begun_anew_at_each_call() {
    watched(|| {
        let scene = Scene::new(1 << 20);
        scene.bench.faults.plant(Operation::Flush, Fault::Panic);
        (0..50).for_each(|seed| scene.call("new", seed / 50));
        (0..50).for_each(|number| assert!(scene.numbers.insert("new", &number).is_err()));
        let files = fs::read_dir(scene.bench.path()).unwrap().flatten();
        let indexes = files.filter(|file| file.file_name().to_string_lossy().starts_with("index-")).count();
        assert!(indexes <= 4, "{indexes} indexes");
        scene.remembers_again();
    });
}
