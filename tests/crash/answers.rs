//! Values with inputs and effects, under kills and damage. A value that is returned is one of the answers of now, and the effects
//! that are shown are those of that value.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, mem, panic,
    path::Path,
    process::{self, Command, Stdio},
    sync::{Arc, Mutex, PoisonError},
};

use memolith::{Memo, Store, effects, inputs, stats::Failure};

use crate::{
    child::{self, Child, say, seed, wait_for_release},
    harness::Claim,
    images,
    values::{Rolls, Values, value, version_of},
    wounds,
};

pub const CLAIMS: &[Claim] = &[
    ("answers::a_kill_at_any_moment_leaves_no_value_of_other_answers_and_no_effects_of_another", survives),
    ("answers::damage_leaves_no_value_of_other_answers_and_no_effects_of_another", heals),
];

const ROUNDS: u64 = 10;
const KEYS: u32 = 12;
const POSITIONS: u64 = 8;

/// Keys below are removed now and then, in the kill rounds. The values of the others stay.
const REMOVED: u32 = 6;

/// The version of a value: a number that grows, and the position that it was computed from.
fn version(number: u64, position: u64) -> u64 {
    number << 8 | position
}

/// A memo whose values have one input, and one effect that holds their version.
struct Answers {
    memo: Values,
    shown: Arc<Mutex<Vec<(u32, u64)>>>,
}

impl Answers {
    fn open(store: &Store) -> Self {
        let shown = Arc::<Mutex<Vec<_>>>::default();
        let drawing = Arc::clone(&shown);
        let memo = Memo::builder("answers")
            .effects(move |effect: &(u32, u64)| drawing.lock().unwrap().push(*effect))
            .open(store)
            .unwrap();
        Self { memo, shown }
    }

    /// Calls for a value. Returns the number of its version, and whether it was computed now.
    #[track_caller]
    fn call(&self, key: u32, position: u64, number: u64) -> (u64, bool) {
        let mut is_computed = false;
        let found = inputs::scope(|scope| {
            scope.provide("position", position);
            self.memo.get_or_insert_with(&key, || {
                is_computed = true;
                let version = version(number, inputs::get("position").unwrap());
                assert!(effects::emit((key, version)));
                value(key, version)
            })
        });
        let found = version_of(key, &found);
        assert_eq!(found & 0xff, position, "{key} has the value of another position");
        assert_eq!(mem::take(&mut *self.shown.lock().unwrap()), [(key, found)], "effects of another value");
        (found >> 8, is_computed)
    }

    /// All variants of all keys, with the number.
    fn fill(&self, number: u64) {
        for key in 0..KEYS {
            self.memo.remove(&key).unwrap();
            for position in 0..POSITIONS {
                self.call(key, position, number);
            }
        }
    }

    /// All variants of all keys, which are computed with the number `last` if they are not there. A value of an earlier filling
    /// may be there unless `is_sure`. Returns the number of hits.
    fn examine(&self, last: u64, is_sure: bool) -> u64 {
        let variants = (0..KEYS).flat_map(|key| (0..POSITIONS).map(move |position| (key, position)));
        let calls = variants.map(|(key, position)| {
            let (number, is_computed) = self.call(key, position, last);
            assert!(number == last || !is_sure, "{key} has the value {number} for {position}, not {last}");
            u64::from(!is_computed)
        });
        calls.sum()
    }
}

/// Calls and removes at random, and says what it did, until it is killed.
pub fn play() {
    let store = Store::open(child::directory()).unwrap();
    let answers = Answers::open(&store);
    let mut rolls = Rolls(seed());
    for step in 0..200 {
        let mut batch = Vec::new();
        for turn in 0..10 {
            let number = seed() << 16 | step << 4 | turn;
            let key = rolls.below(u64::from(KEYS)) as u32;
            if key < REMOVED && rolls.below(4) == 0 {
                answers.memo.remove(&key).unwrap();
                say(&format!("removed {key} {number}"));
            } else {
                let position = rolls.below(POSITIONS);
                answers.call(key, position, number);
                batch.push((key, position));
                say("called");
            }
        }
        if rolls.below(4) == 0 {
            store.flush().unwrap();
            for (key, position) in batch {
                say(&format!("flushed {key} {position}"));
            }
        }
    }
    say("end");
    wait_for_release();
}

fn survives() {
    let rounds = if std::env::var_os("MEMOLITH_SOAK").is_some() { 50 * ROUNDS } else { ROUNDS };
    let directory = tempfile::tempdir().unwrap();
    let (mut rolls, mut flushed, mut removed) = (Rolls(7), BTreeSet::new(), BTreeMap::new());
    for round in 1..=rounds {
        let mut child = Child::play("answer", directory.path(), round);
        for _ in 0..rolls.below(2_000) {
            let line = child.line().unwrap();
            let words: Vec<&str> = line.split(' ').collect();
            match words[..] {
                ["removed", key, number] => {
                    removed.insert(key.parse::<u32>().unwrap(), number.parse::<u64>().unwrap());
                }
                ["flushed", key, position] => {
                    flushed.insert((key.parse::<u32>().unwrap(), position.parse::<u64>().unwrap()));
                }
                ["end"] => break,
                _ => {}
            }
        }
        child.kill();
        examine(directory.path(), round, &flushed, &removed);
    }
    assert!(!flushed.is_empty() && !removed.is_empty());
}

/// What was flushed is there, and what was removed is not.
fn examine(directory: &Path, round: u64, flushed: &BTreeSet<(u32, u64)>, removed: &BTreeMap<u32, u64>) {
    let store = Store::open(directory).unwrap();
    let answers = Answers::open(&store);
    for key in 0..KEYS {
        for position in 0..POSITIONS {
            let (number, is_computed) = answers.call(key, position, round << 16 | 0xffff);
            let is_kept = key >= REMOVED && flushed.contains(&(key, position));
            assert!(!is_kept || !is_computed, "round {round}: {key} lost the value of {position}");
            let is_new = removed.get(&key).is_none_or(|removed| number > *removed);
            assert!(is_new, "round {round}: {key} came back for {position}: {number}");
        }
    }
    // A removal that was under way has hidden the payload files first, and its records may be there.
    let is_of_removal = |failure: &Failure| failure.error.to_string().contains("file of an entry is missing");
    let failure = answers.memo.last_failure();
    assert!(failure.as_ref().is_none_or(is_of_removal), "{failure:?}");
    assert!(answers.memo.len().unwrap() <= (u64::from(KEYS) * POSITIONS) as usize);
    store.close().unwrap();
}

/// Damaged copies of two images: of a store that was closed, and of one that was flushed and is open.
const DAMAGED: u64 = 60;

fn heals() {
    let children = if std::env::var_os("MEMOLITH_SOAK").is_some() { 50 } else { 1 };
    let mut hits = 0;
    for seed in 0..children {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(std::env::current_exe().unwrap());
        let command = command.env(child::SEED, seed.to_string()).stderr(Stdio::piped());
        let mut child = Child::spawn(command, "look at answers", directory.path());
        let mut last = String::new();
        while let Some(line) = child.line() {
            last = line;
        }
        let (status, words) = child.end();
        assert!(status.success(), "seed {seed}, {last}: {status} {words}");
        hits += last.parse::<u64>().unwrap();
    }
    let calls = children * DAMAGED * u64::from(KEYS) * POSITIONS;
    assert!(hits > calls / 3 && hits < calls, "{hits} hits of {calls} calls: too much damage, or none");
}

/// The last panic. Those of the engine are contained.
static PANIC: Mutex<String> = Mutex::new(String::new());

/// Damages, looks, and looks again at the next open. Says the hits of the first looks at the end.
pub fn look() {
    panic::set_hook(Box::new(|panic| {
        *PANIC.lock().unwrap_or_else(PoisonError::into_inner) = panic.to_string();
    }));
    let directory = child::directory();
    make(&directory);
    let (mut rolls, mut hits) = (Rolls(seed()), 0);
    for round in 0..DAMAGED {
        let image = if round % 2 == 0 { "closed" } else { "open" };
        let store = directory.join("store");
        images::copy(&directory.join(image), &store);
        let wounds: Vec<_> = (0..=rolls.below(2))
            .map(|_| wounds::inflict(&store, &directory.join("earlier"), &mut rolls))
            .collect();
        let told: Vec<String> = wounds.iter().map(ToString::to_string).collect();
        say(&format!("round {round}, {image}: {}", told.join(", ")));
        let looked = panic::catch_unwind(|| {
            let first = look_once(&store, image == "closed");
            look_once(&store, image == "closed");
            first
        });
        let Ok(first) = looked else {
            eprintln!("{}", PANIC.lock().unwrap_or_else(PoisonError::into_inner));
            process::exit(1)
        };
        hits += first;
        fs::remove_dir_all(&store).unwrap();
    }
    say(&hits.to_string());
}

/// Two fillings. The image of the open store is taken after a flush, as a kill leaves it.
fn make(directory: &Path) {
    let image = directory.join("closed");
    for number in 1..=2 {
        let store = Store::open(&image).unwrap();
        Answers::open(&store).fill(number);
        store.flush().unwrap();
        if number == 2 {
            images::copy(&image, &directory.join("open"));
        }
        store.close().unwrap();
        if number == 1 {
            images::copy(&image, &directory.join("earlier"));
        }
    }
}

fn look_once(store: &Path, is_sure: bool) -> u64 {
    let store = Store::builder().memory(0).open(store).unwrap();
    let hits = Answers::open(&store).examine(2, is_sure);
    // The end may be the first to find the damage.
    let _ = store.close();
    hits
}
