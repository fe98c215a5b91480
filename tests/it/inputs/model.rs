//! Random functions over random inputs, held against recomputing: a returned value is the one that the function has now.

use std::fs;

use memolith::{Memo, Store, inputs};
use proptest::prelude::*;

use super::Inputs;
use crate::vocabulary::*;

const FILES: usize = 4;

/// A function of one key: it reads files and provided values, and goes on by what it read.
#[derive(Clone, Debug)]
enum Program {
    Constant(u64),
    File(usize, Box<Program>),
    /// Goes on by the number in the file.
    Choose(usize, Box<[Program; 2]>),
    Exists(usize, Box<Program>),
    Names(Box<Program>),
    Provided(Box<Program>),
    /// The memoized value of another key.
    Call(usize, Box<Program>),
}

#[derive(Clone, Debug)]
enum Step {
    Write(usize, u64),
    Delete(usize),
    Provide(u64),
    Call(usize),
    Get(usize),
    Remove(usize),
    Insert(usize, u64),
    Clear,
    Reopen,
    Flush,
    Later,
}

fn program(depth: u32) -> BoxedStrategy<Program> {
    let leaf = (0..5_u64).prop_map(Program::Constant).boxed();
    if depth == 0 {
        return leaf;
    }
    let next = move || program(depth - 1).prop_map(Box::new);
    prop_oneof![
        1 => leaf,
        4 => (0..FILES, next()).prop_map(|(file, next)| Program::File(file, next)),
        3 => (0..FILES, program(depth - 1), program(depth - 1))
            .prop_map(|(file, one, other)| Program::Choose(file, Box::new([one, other]))),
        1 => (0..FILES, next()).prop_map(|(file, next)| Program::Exists(file, next)),
        1 => next().prop_map(Program::Names),
        2 => next().prop_map(Program::Provided),
        2 => (0..3_usize, next()).prop_map(|(key, next)| Program::Call(key, next)),
    ]
    .boxed()
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..FILES, 0..3_u64).prop_map(|(file, value)| Step::Write(file, value)),
        1 => (0..FILES).prop_map(Step::Delete),
        3 => (0..3_u64).prop_map(Step::Provide),
        12 => (0..4_usize).prop_map(Step::Call),
        2 => (0..4_usize).prop_map(Step::Get),
        1 => (0..4_usize).prop_map(Step::Remove),
        1 => (0..4_usize, 100..200_u64).prop_map(|(key, value)| Step::Insert(key, value)),
        1 => Just(Step::Clear),
        1 => Just(Step::Reopen),
        1 => Just(Step::Flush),
        1 => Just(Step::Later),
    ]
}

struct Model {
    world: Inputs,
    programs: Vec<Program>,
    files: [Option<u64>; FILES],
    provided: u64,
    /// By the user, in place of what the function gives.
    inserted: [Option<u64>; 4],
}

fn name(file: usize) -> String {
    format!("file {file}")
}

impl Model {
    /// What the function of a key gives today.
    fn expected(&self, key: usize) -> u64 {
        self.inserted[key].unwrap_or_else(|| self.recomputed(key))
    }

    fn recomputed(&self, key: usize) -> u64 {
        let mut program = &self.programs[key];
        let mut sum = key as u64;
        loop {
            sum = sum.wrapping_mul(31);
            let (add, next) = match program {
                Program::Constant(value) => return sum.wrapping_add(*value),
                Program::File(file, next) => (self.files[*file].map_or(7, |value| value + 10), &**next),
                Program::Choose(file, both) => {
                    let value = self.files[*file].unwrap_or(0);
                    (1, &both[usize::from(value > 0)])
                }
                Program::Exists(file, next) => (u64::from(self.files[*file].is_some()), &**next),
                Program::Names(next) => (self.files.iter().flatten().count() as u64, &**next),
                Program::Provided(next) => (self.provided, &**next),
                // Keys call lower ones only.
                Program::Call(other, next) if *other < key => (self.expected(*other), &**next),
                Program::Call(_, next) => (0, &**next),
            };
            sum = sum.wrapping_add(add);
            program = next;
        }
    }

    /// The same, by the inputs.
    fn compute(&self, memo: &Memo<usize, u64>, key: usize) -> u64 {
        let mut program = &self.programs[key];
        let mut sum = key as u64;
        let read = |file: usize| -> Option<u64> {
            inputs::read_to_string(self.world.path(&name(file))).ok().map(|text| text.parse().unwrap())
        };
        loop {
            sum = sum.wrapping_mul(31);
            let (add, next) = match program {
                Program::Constant(value) => return sum.wrapping_add(*value),
                Program::File(file, next) => (read(*file).map_or(7, |value| value + 10), &**next),
                Program::Choose(file, both) => (1, &both[usize::from(read(*file).unwrap_or(0) > 0)]),
                Program::Exists(file, next) => {
                    (u64::from(inputs::exists(self.world.path(&name(*file))).unwrap()), &**next)
                }
                Program::Names(next) => {
                    (inputs::list(self.world.folder.path()).unwrap().len() as u64, &**next)
                }
                Program::Provided(next) => (inputs::get::<u64>("provided").unwrap(), &**next),
                Program::Call(other, next) if *other < key => (self.call(memo, *other), &**next),
                Program::Call(_, next) => (0, &**next),
            };
            sum = sum.wrapping_add(add);
            program = next;
        }
    }

    fn call(&self, memo: &Memo<usize, u64>, key: usize) -> u64 {
        memo.get_or_insert_with(&key, || self.compute(memo, key))
    }

    fn open(&self, is_small: bool) -> (Store, Memo<usize, u64>) {
        let store = if is_small { self.world.bench.diskful() } else { self.world.bench.store() };
        let builder = Memo::builder("model").ttl(HOUR);
        let builder = if is_small { builder.max_entries(3) } else { builder };
        let memo = builder.open(&store).unwrap();
        (store, memo)
    }

    /// An inserted value may be gone by its ttl: then the function counts again.
    fn forget_lost(&mut self, memo: &Memo<usize, u64>, key: usize) {
        if self.inserted[key].is_some() && !memo.contains_key(&key).unwrap() {
            self.inserted[key] = None;
        }
    }
}

fn run(programs: Vec<Program>, steps: Vec<Step>, is_small: bool) -> Result<(), TestCaseError> {
    let world = Inputs::new();
    let mut model = Model { world, programs, files: [None; FILES], provided: 0, inserted: [None; 4] };
    let mut open = Some(model.open(is_small));
    for step in steps {
        let Some((store, memo)) = &open else { unreachable!() };
        match step {
            Step::Write(file, value) => {
                model.world.write(&name(file), &value.to_string());
                model.files[file] = Some(value);
            }
            Step::Delete(file) => {
                let _ = fs::remove_file(model.world.path(&name(file)));
                model.files[file] = None;
            }
            Step::Provide(value) => model.provided = value,
            Step::Call(key) => {
                (0..4).for_each(|key| model.forget_lost(memo, key));
                let value = inputs::scope(|scope| {
                    scope.provide("provided", model.provided);
                    model.call(memo, key)
                });
                prop_assert_eq!(value, model.expected(key), "key {}", key);
            }
            Step::Get(key) => {
                (0..4).for_each(|key| model.forget_lost(memo, key));
                let value = inputs::scope(|scope| {
                    scope.provide("provided", model.provided);
                    memo.get(&key).unwrap()
                });
                prop_assert!(
                    value.is_none_or(|value| value == model.expected(key)),
                    "key {}: {:?}",
                    key,
                    value
                );
            }
            Step::Remove(key) => {
                memo.remove(&key).unwrap();
                // The values that were computed from it are of another time.
                memo.clear().unwrap();
                model.inserted = [None; 4];
            }
            // One that leaves for the bound would live on in the values that were computed from it.
            Step::Insert(..) if is_small => {}
            Step::Insert(key, value) => {
                memo.clear().unwrap();
                model.inserted = [None; 4];
                memo.insert(&key, &value).unwrap();
                model.inserted[key] = Some(value);
            }
            Step::Clear => {
                memo.clear().unwrap();
                model.inserted = [None; 4];
            }
            Step::Reopen => {
                store.close().unwrap();
                open = None;
                open = Some(model.open(is_small)).or(open);
            }
            Step::Flush => store.flush().unwrap(),
            Step::Later => {
                // Values that were computed from an inserted one would outlive it.
                if model.inserted == [None; 4] {
                    model.world.bench.clock.advance(40 * MINUTE);
                }
            }
        }
        if let Some((_, memo)) = &open {
            prop_assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
        }
    }
    Ok(())
}

fn cases() -> u32 {
    if is_long() { 2_000 } else { 60 }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_value_is_the_one_that_the_function_has_now(
        programs in prop::collection::vec(program(4), 4),
        steps in prop::collection::vec(step(), 1..80),
        is_small in any::<bool>(),
    ) {
        run(programs, steps, is_small)?;
    }
}
