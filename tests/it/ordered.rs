//! A call that starts after `clear`, `remove` or `insert` returned never gets a value from a computation that began
//! earlier, and a removed value never comes back. The same under load is in `history`.

use std::sync::Mutex;

use memolith::{Memo, Store};

use crate::{
    threads::{Caller, Gate, Keeper, Observed, gate, watched},
    vocabulary::*,
};

type Pictures = Memo<str, Vec<u8>>;

/// A change of the entry while another call runs.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    Remove,
    Clear,
    Insert,
    ClearStore,
    RemoveMemo,
}

/// One variant of a scenario.
#[derive(Clone, Copy, Debug)]
struct Setting {
    change: Change,
    /// Whether the values have files of their own.
    large: bool,
    memory: bool,
    /// Whether the store has a directory.
    on_disk: bool,
}

impl Setting {
    /// Plays the scenario in each variant.
    #[track_caller]
    fn each(scenario: fn(Scene)) {
        use Change::{Clear, ClearStore, Insert, Remove, RemoveMemo};
        for change in [Remove, Clear, Insert, ClearStore, RemoveMemo] {
            for number in 0..8 {
                let [large, memory, on_disk] = [1, 2, 4].map(|bit| number & bit > 0);
                let setting = Self { change, large, memory, on_disk };
                println!("{setting:?}");
                watched(move || scenario(Scene::new(setting)));
            }
        }
    }
}

struct Scene {
    setting: Setting,
    bench: Bench,
    /// A store in memory, which stays open. A memo that is opened again has no entries in the memory tier.
    kept: Option<Store>,
}

impl Scene {
    fn new(setting: Setting) -> Self {
        let bench = Bench::new();
        let options = if setting.memory { bench.options() } else { bench.options().memory(0) };
        let kept = (!setting.on_disk).then(|| options.in_memory().unwrap());
        Self { setting, bench, kept }
    }

    fn store(&self) -> Store {
        match &self.kept {
            Some(kept) => kept.clone(),
            None if self.setting.memory => self.bench.store(),
            None => self.bench.diskful(),
        }
    }

    fn memo(store: &Store) -> Pictures {
        Memo::builder("pictures").codec(Observed(|| ())).open(store).unwrap()
    }

    /// A memo with a first read that stops between the disk and the value.
    fn reading(store: &Store) -> (Pictures, Keeper) {
        let (there, keeper) = gate();
        let there = Mutex::new(Some(there));
        let codec = Observed(move || {
            let first = there.lock().unwrap().take();
            if let Some(first) = first {
                first.pass();
            }
        });
        (Memo::builder("pictures").codec(codec).open(store).unwrap(), keeper)
    }

    fn value(&self, seed: u8) -> Vec<u8> {
        if self.setting.large { large(seed) } else { vec![seed] }
    }

    fn old(&self) -> Vec<u8> {
        self.value(1)
    }

    fn anew(&self) -> Vec<u8> {
        self.value(2)
    }

    /// The entry after the change.
    fn left(&self) -> Option<Vec<u8>> {
        (self.setting.change == Change::Insert).then(|| self.value(3))
    }

    /// The result of a call after the change.
    fn due(&self) -> Vec<u8> {
        self.left().unwrap_or_else(|| self.anew())
    }

    fn change(&self, store: &Store, memo: &Pictures, key: &str) {
        match self.setting.change {
            Change::Remove => drop(memo.remove(key).unwrap()),
            Change::Clear => memo.clear().unwrap(),
            Change::Insert => memo.insert(key, &self.value(3)).unwrap(),
            Change::ClearStore => store.clear().unwrap(),
            Change::RemoveMemo => assert!(store.remove_memo("pictures").unwrap()),
        }
    }

    /// A call after the change computes, unless a value was inserted.
    #[track_caller]
    fn call_gets_what_is_due(&self, memo: &Pictures) {
        if self.left().is_none() {
            miss!(memo, "one" => self.anew());
        }
        hit!(memo, "one" => self.due());
    }

    /// Memory and disk have this and nothing else, now and after a restart, or when the memo is opened again.
    #[track_caller]
    fn remains(&self, store: Store, memo: Pictures, value: Option<&Vec<u8>>) {
        assert_eq!(memo.contains_key("one").unwrap(), value.is_some());
        assert_eq!(memo.get("one").unwrap().as_ref(), value);
        assert_eq!(memo.get("one").unwrap().as_ref(), value);
        assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
        drop((store, memo));
        let memo = Self::memo(&self.store());
        assert_eq!(memo.get("one").unwrap().as_ref(), value);
        assert_eq!(memo.len().unwrap(), usize::from(value.is_some()));
    }

    /// A computation of the old value that stops at a gate.
    fn computing(&self, memo: &Pictures) -> (Caller<Vec<u8>>, Keeper) {
        let (there, keeper) = gate();
        let (memo, old) = (memo.clone(), self.old());
        let caller = Caller::start(move || held_up(&memo, there, old));
        keeper.reached();
        (caller, keeper)
    }
}

fn held_up(memo: &Pictures, there: Gate, value: Vec<u8>) -> Vec<u8> {
    memo.get_or_insert_with("one", || {
        there.pass();
        value
    })
}

/// B114
#[test]
fn a_computation_under_way_is_not_stored_when_the_key_was_changed_meanwhile() {
    Setting::each(|scene| {
        let store = scene.store();
        let memo = Scene::memo(&store);
        let (caller, keeper) = scene.computing(&memo);
        scene.change(&store, &memo, "one");
        keeper.release();
        assert_eq!(caller.join(), scene.old(), "its own caller gets it");
        scene.remains(store, memo, scene.left().as_ref());
    });
}

#[test]
fn a_call_after_the_change_does_not_wait_for_the_computation_before_it() {
    Setting::each(|scene| {
        let store = scene.store();
        let memo = Scene::memo(&store);
        let (caller, keeper) = scene.computing(&memo);
        scene.change(&store, &memo, "one");
        scene.call_gets_what_is_due(&memo);
        keeper.release();
        assert_eq!(caller.join(), scene.old(), "its own caller gets it");
        hit!(memo, "one" => scene.due());
        scene.remains(store, memo, Some(&scene.due()));
    });
}

/// The computation that began first ends while the second, which began after the change, is under way.
#[test]
fn a_computation_from_before_the_change_does_not_get_between_those_after_it() {
    Setting::each(|scene| {
        let store = scene.store();
        let memo = Scene::memo(&store);
        let (before, first) = scene.computing(&memo);
        scene.change(&store, &memo, "one");
        memo.remove("one").unwrap();
        let (there, second) = gate();
        let after = Caller::start({
            let (memo, new) = (memo.clone(), scene.anew());
            move || held_up(&memo, there, new)
        });
        second.reached();
        first.release();
        assert_eq!(before.join(), scene.old());
        assert_eq!(memo.get("one").unwrap(), None);
        second.release();
        assert_eq!(after.join(), scene.anew());
        scene.remains(store, memo, Some(&scene.anew()));
    });
}

/// The read stops between the disk and the value, and so between the disk and the memory tier.
fn a_read_that_is_held_up(scene: &Scene, read: fn(&Pictures) -> Vec<u8>) {
    Scene::memo(&scene.store()).insert("one", &scene.old()).unwrap();
    let store = scene.store();
    let (memo, keeper) = Scene::reading(&store);
    let reader = Caller::start({
        let memo = memo.clone();
        move || read(&memo)
    });
    keeper.reached();
    scene.change(&store, &memo, "one");
    keeper.release();
    assert_eq!(reader.join(), scene.old(), "it began before");
    scene.remains(store, memo, scene.left().as_ref());
}

#[test]
fn a_call_that_reads_does_not_bring_back_what_was_changed_meanwhile() {
    Setting::each(|scene| {
        a_read_that_is_held_up(&scene, |memo| {
            memo.get_or_insert_with("one", || unreachable!("it is on disk"))
        });
    });
}

#[test]
fn a_get_that_reads_does_not_bring_back_what_was_changed_meanwhile() {
    Setting::each(|scene| a_read_that_is_held_up(&scene, |memo| memo.get("one").unwrap().unwrap()));
}

#[test]
fn a_call_after_the_change_does_not_wait_for_the_read_before_it() {
    Setting::each(|scene| {
        Scene::memo(&scene.store()).insert("one", &scene.old()).unwrap();
        let store = scene.store();
        let (memo, keeper) = Scene::reading(&store);
        let reader = Caller::start({
            let memo = memo.clone();
            move || memo.get_or_insert_with("one", || unreachable!("it is on disk"))
        });
        keeper.reached();
        scene.change(&store, &memo, "one");
        scene.call_gets_what_is_due(&memo);
        keeper.release();
        assert_eq!(reader.join(), scene.old(), "it began before");
        hit!(memo, "one" => scene.due());
        scene.remains(store, memo, Some(&scene.due()));
    });
}

/// So the claims above hold by the change, not because values are never kept.
#[test]
fn a_change_of_another_key_or_memo_leaves_a_computation_alone() {
    Setting::each(|scene| {
        let store = scene.store();
        let (memo, other) = (Scene::memo(&store), plain(&store, "numbers"));
        let (caller, keeper) = scene.computing(&memo);
        memo.insert("two", &scene.anew()).unwrap();
        assert!(memo.remove("two").unwrap());
        other.insert("one", &1).unwrap();
        other.clear().unwrap();
        store.remove_memo("numbers").unwrap();
        keeper.release();
        assert_eq!(caller.join(), scene.old());
        scene.remains(store, memo, Some(&scene.old()));
    });
}

#[test]
fn what_was_changed_is_gone_for_every_handle() {
    Setting::each(|scene| {
        let store = scene.store();
        let memo = Scene::memo(&store);
        let again = Scene::memo(&store);
        miss!(memo, "one" => scene.old());
        hit!(again, "one" => scene.old());
        scene.change(&store, &memo, "one");
        scene.call_gets_what_is_due(&again);
        hit!(memo, "one" => scene.due());
    });
}
