//! Every operation of the engine that can fail, with every fault, under every method that may meet it: the call ends,
//! its result or error is true, no lock stays held, and after the fault everything works as before.

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    thread,
};

use memolith::{
    Error, Memo, Result, Store,
    testing::{Fault, Operation},
};

use crate::{
    threads::{Caller, until_still, watched},
    transparent::{OPERATIONS, Scene},
    vocabulary::*,
};

/// A call of one public method, with its possible outcomes during a fault. In the scene, "kept" and "changed" are
/// stored with the value 1.
type Method = (&'static str, fn(&Scene));

const METHODS: [Method; 22] = [
    ("get_or_insert_with of a stored key", |scene| scene.call("kept", 1)),
    ("get_or_insert_with of an absent key", |scene| scene.call("new", 7)),
    ("get_or_try_insert_with that fails", |scene| {
        let outcome = scene.numbers.get_or_try_insert_with("new", || Err("its own words"));
        assert_eq!(outcome, Err("its own words"));
    }),
    ("get_or_insert_with that panics", |scene| {
        let call = || scene.pictures.get_or_insert_with("new", || resume_unwind(Box::new("its own words")));
        let panic = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        assert_eq!(panic.downcast_ref(), Some(&"its own words"));
    }),
    ("get", |scene| {
        maybe(scene.numbers.get("kept"), |found| assert!(found.is_none_or(|number| number == 1)));
        maybe(scene.pictures.get("kept"), |found| assert!(found.is_none_or(|picture| picture == large(1))));
    }),
    ("get of an absent key", |scene| {
        maybe(scene.numbers.get("new"), |found| assert_eq!(found, None));
        maybe(scene.pictures.get("new"), |found| assert_eq!(found, None));
    }),
    ("insert", |scene| scene.overwrite("changed")),
    ("remove", |scene| {
        let removed = (scene.numbers.remove("changed").is_ok(), scene.pictures.remove("changed").is_ok());
        let number = scene.numbers.get_or_insert_with("changed", || 2);
        assert!(number == 2 || !removed.0, "{number} was removed");
        let picture = scene.pictures.get_or_insert_with("changed", || large(2));
        assert!(picture == large(2) || !removed.1, "it was removed");
    }),
    ("contains_key", |scene| {
        maybe(scene.numbers.contains_key("new"), |found| assert!(!found));
        maybe(scene.pictures.contains_key("kept"), drop);
    }),
    ("clear", |scene| cleared(scene, |scene| scene.numbers.clear().and(scene.pictures.clear()))),
    ("clear of the store", |scene| cleared(scene, |scene| scene.store.clear())),
    ("remove_memo", |scene| {
        cleared(scene, |scene| {
            let removed =
                [scene.numbers.name(), scene.pictures.name()].map(|name| scene.store.remove_memo(name));
            removed.into_iter().collect::<Result<Vec<_>>>().map(drop)
        });
    }),
    ("len", |scene| {
        maybe(scene.numbers.len(), |entries| assert!(entries <= 2));
        maybe(scene.pictures.len(), |entries| assert!(entries <= 2));
    }),
    ("is_empty", |scene| maybe(scene.numbers.is_empty(), drop)),
    ("usage", |scene| {
        maybe(scene.store.usage(), |usage| assert!(usage.entries <= 4));
        maybe(scene.numbers.usage(), |usage| assert!(usage.entries <= 2));
    }),
    ("flush of a memo", |scene| maybe(scene.numbers.flush(), |()| ())),
    ("flush", |scene| {
        scene.call("new", 7);
        maybe(scene.store.flush(), |()| ());
    }),
    ("sweep", |scene| {
        scene.bench.clock.advance(HOUR);
        maybe(scene.store.sweep(), |swept| assert_eq!(swept.expired, 0));
    }),
    ("memos and size_on_disk", |scene| {
        assert_eq!(scene.store.memos().unwrap(), ["numbers", "pictures"]);
        assert!(scene.store.size_on_disk().unwrap() > 0);
    }),
    ("open of a memo", |scene| {
        let memo: Memo<str, u64> = Memo::builder("another").open(&scene.store).unwrap();
        assert_eq!((memo.get_or_insert_with("one", || 1), memo.get_or_insert_with("one", || 1)), (1, 1));
    }),
    ("open of a store", |scene| {
        let options = || scene.bench.options().open_timeout(SECOND);
        let path = scene.bench.directory.path().join("another");
        maybe(options().open(&path), |store| may_work(&store));
        may_work(&options().open_or_temporary(&path));
    }),
    ("close", |scene| {
        let options = || scene.bench.options().open_timeout(SECOND).open(scene.bench.path());
        maybe(scene.store.close(), |()| ());
        assert_eq!(scene.numbers.get_or_insert_with("kept", || 1), 1);
        maybe(options(), |store| may_work(&store));
    }),
];

/// An error has a message.
#[track_caller]
fn maybe<T: Debug>(outcome: Result<T>, fine: impl FnOnce(T)) {
    match outcome {
        Ok(value) => fine(value),
        Err(error) => assert!(error.to_string().len() > 10, "{error:?}"),
    }
}

fn works(store: &Store) {
    let memo = plain(store, "works");
    assert_eq!((memo.get_or_insert_with("one", || 1), memo.get_or_insert_with("one", || 1)), (1, 1));
}

/// The engine of a store that was just opened may hang in a call that the open of a memo needs.
fn may_work(store: &Store) {
    match Memo::<str, u64>::builder("works").open(store) {
        Ok(_) => works(store),
        Err(error) => assert!(error.to_string().contains("does not answer"), "{error}"),
    }
}

/// A cleared value does not come back. A value that could not be cleared may still be there.
fn cleared(scene: &Scene, clear: impl FnOnce(&Scene) -> Result<(), Error>) {
    let cleared = clear(scene).is_ok();
    let number = scene.numbers.get_or_insert_with("kept", || 2);
    assert!(number == 2 || !cleared, "{number} was cleared away");
    let picture = scene.pictures.get_or_insert_with("kept", || large(2));
    assert!(picture == large(2) || !cleared, "it was cleared away");
}

/// One cell of the table.
fn meet(operation: Operation, fault: Fault, method: fn(&Scene), looks_twice: bool) {
    let scene = Scene::new(0);
    scene.bench.faults.plant(operation, fault);
    if fault == Fault::Hang {
        // The duration is unknown: the method waits for the engine or gives up, and ends.
        let faults = scene.bench.faults.clone();
        let caller = Caller::start(move || {
            method(&scene);
            scene
        });
        until_still(&caller);
        faults.heal();
        return is_well(&caller.join(), looks_twice);
    }
    method(&scene);
    scene.bench.faults.heal();
    is_well(&scene, looks_twice);
}

/// After the fault the same process remembers again, unless its store was closed. So does the next process.
fn is_well(scene: &Scene, looks_twice: bool) {
    let closed =
        scene.numbers.insert("open", &1).is_err_and(|error| error.to_string().contains("open it again"));
    if !closed {
        scene.remembers_again();
        if !looks_twice {
            return;
        }
        scene.store.close().unwrap();
    }
    let store = scene.bench.diskful();
    let (numbers, pictures): (_, Memo<str, Vec<u8>>) =
        (plain(&store, "numbers"), Memo::builder("pictures").open(&store).unwrap());
    for key in ["after", "wards"] {
        miss!(numbers, key => 9);
        hit!(numbers, key => 9);
        miss!(pictures, key => large(9));
        hit!(pictures, key => large(9));
    }
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}

fn each_method_meets(fault: Fault) {
    for operation in OPERATIONS.into_iter().chain([Operation::Open]) {
        for (number, (name, method)) in METHODS.into_iter().enumerate() {
            println!("{name}: {operation:?} {fault:?}");
            // The next process checks every fourth method; in the long form every method.
            let looks_twice = (number + operation as usize).is_multiple_of(4) || is_long();
            watched(move || meet(operation, fault, method, looks_twice));
        }
    }
}

#[test]
fn each_method_ends_well_when_there_is_no_space() {
    each_method_meets(Fault::NoSpace);
}

#[test]
fn each_method_ends_well_when_the_bytes_are_damaged() {
    each_method_meets(Fault::Corrupt);
}

#[test]
fn each_method_ends_well_when_the_engine_panics() {
    each_method_meets(Fault::Panic);
}

#[test]
fn each_method_ends_well_when_the_engine_hangs_for_a_while() {
    each_method_meets(Fault::Hang);
}

/// The engine hangs until the method has ended. The deadline is as short as possible, so a hit may become a miss.
fn meet_silence(operation: Operation, method: fn(&Scene)) {
    let scene = Scene::new(0).impatient();
    scene.bench.faults.plant(operation, Fault::Hang);
    method(&scene);
    scene.bench.faults.heal();
    let mut bench = scene.close();
    bench.is_impatient = false;
    let store = bench.diskful();
    works(&store);
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
}

/// Each method waits for the deadline more than once, so four of them run at a time.
#[test]
fn each_method_ends_though_the_engine_never_answers() {
    // A read stays with its caller for as long as the disk takes.
    const BY_THE_ENGINE: [Operation; 5] =
        [Operation::Open, Operation::Write, Operation::Remove, Operation::Scan, Operation::Flush];
    let cells: Vec<_> = BY_THE_ENGINE
        .iter()
        .flat_map(|operation| METHODS.iter().map(move |method| (*operation, *method)))
        .collect();
    thread::scope(|scope| {
        for part in cells.chunks(cells.len().div_ceil(8)) {
            scope.spawn(move || {
                for (operation, (name, method)) in part.iter().copied() {
                    println!("{name}: {operation:?} does not answer");
                    watched(move || meet_silence(operation, method));
                }
            });
        }
    });
}

#[test]
fn values_that_went_with_their_index_are_told_by_the_next_flush_and_by_no_later_one() {
    let bench = Bench::new();
    let store = bench.diskful();
    let memo = plain(&store, "numbers");
    memo.get_or_insert_with("one", || 1);
    assert_eq!(store.memos().unwrap(), ["numbers"]); // It was written by now, and not flushed.
    bench.faults.plant(Operation::Read, Fault::Panic);
    assert!(memo.get("two").is_err());
    bench.faults.heal();
    assert!(store.flush().unwrap_err().to_string().contains("panicked"));
    store.flush().unwrap();
    miss!(memo, "one" => 1);
    hit!(memo, "one" => 1);
}
