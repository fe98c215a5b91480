//! What do tracked inputs add to a hit? Beside the hit of the same value without inputs, and one look at the times of a file.

#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::cast_precision_loss, reason = "a bench")]

mod common;

use std::{
    fs,
    hint::black_box,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use common::{Filled, Reading, criterion, filled, key, keys, shuffled};
use criterion::Criterion;
use memolith::inputs::{self, Scope};

const KEYS: u64 = 1_000;
const MEMORY: u64 = 256 << 20;

/// A file that is younger than 2 s at the computation is hashed by a later hit.
const SETTLED: Duration = Duration::from_millis(2_100);

/// A file of this size, rewritten before so many hits of it: they take less than 2 s together.
const LARGE: usize = 1 << 20;
const BETWEEN: u64 = 500;

/// Ten files of 1 KiB that are older than 2 s, and ten provided values.
struct World {
    folder: tempfile::TempDir,
    paths: Vec<PathBuf>,
    scope: Scope,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<_> = (0..10).map(|number| folder.path().join(format!("input {number}"))).collect();
        let scope = Scope::new();
        for (path, number) in paths.iter().zip(0_u64..) {
            fs::write(path, [b'x'; 1 << 10]).unwrap();
            scope.provide(format!("value {number}"), number);
        }
        thread::sleep(SETTLED);
        Self { folder, paths, scope }
    }

    /// A store whose values were computed from so many inputs.
    fn filled(&self, memory: u64, files: usize, values: usize) -> Filled<Reading> {
        self.scope.run(|| {
            filled(memory, &keys(KEYS), |number| {
                for path in self.paths.iter().take(files) {
                    assert_eq!(inputs::read(path).unwrap().len(), 1 << 10);
                }
                for value in 0..values {
                    inputs::get::<u64>(&format!("value {value}")).unwrap();
                }
                Reading::new(number)
            })
        })
    }
}

fn by_inputs(criterion: &mut Criterion, world: &World, tier: &str, memory: u64) {
    let mut group = criterion.benchmark_group(format!("inputs/{tier} 100 B"));
    let asked: Vec<String> = shuffled(KEYS).map(key).collect();
    let rows = [
        ("no input", 0, 0),
        ("1 file", 1, 0),
        ("10 files", 10, 0),
        ("1 provided value", 0, 1),
        ("10 provided values", 0, 10),
    ];
    for (name, files, values) in rows {
        let here = world.filled(memory, files, values);
        let mut turn = asked.iter().cycle();
        world.scope.run(|| {
            group.bench_function(name, |bencher| {
                bencher.iter(|| here.memo.get_or_insert_with(turn.next().unwrap(), || unreachable!()));
            });
        });
    }
    let mut turn = world.paths.iter().cycle();
    group.bench_function("fs::metadata", |bencher| {
        bencher.iter(|| fs::metadata(turn.next().unwrap()).unwrap().modified().unwrap());
    });
}

/// Computes the value of a file that was just written, as an edit in a loop of an editor does.
fn computed_from_young(path: &Path, round: u64) -> Filled<Reading> {
    let contents: Vec<u8> = (0..LARGE as u64).map(|at| (at ^ round) as u8).collect();
    fs::write(path, contents).unwrap();
    filled(MEMORY, &keys(1), |number| {
        assert_eq!(inputs::read(path).unwrap().len(), LARGE);
        Reading::new(number)
    })
}

/// A file of 1 MiB that is younger than 2 s at the computation: hits before it is older, and after.
fn young(criterion: &mut Criterion, world: &World) {
    let path = world.folder.path().join("large");
    let mut group = criterion.benchmark_group("inputs/memory 100 B, 1 MiB written before the computation");
    let mut round = 0;
    group.bench_function("within 2 s", |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            for first in (0..iterations).step_by(BETWEEN as usize) {
                round += 1;
                let here = computed_from_young(&path, round);
                let began = Instant::now();
                for _ in first..iterations.min(first + BETWEEN) {
                    black_box(here.memo.get_or_insert_with(&key(0), || unreachable!()));
                }
                spent += began.elapsed();
                assert!(began.elapsed() < Duration::from_secs(2), "the file is no longer young");
            }
            spent
        });
    });
    let here = computed_from_young(&path, 0);
    thread::sleep(SETTLED);
    let asked = key(0);
    group.bench_function("later", |bencher| {
        bencher.iter(|| here.memo.get_or_insert_with(&asked, || unreachable!()));
    });
    group.bench_function("fs::read", |bencher| bencher.iter(|| fs::read(&path).unwrap()));
}

fn main() {
    let mut criterion = criterion();
    let world = World::new();
    by_inputs(&mut criterion, &world, "memory", MEMORY);
    by_inputs(&mut criterion, &world, "disk", 0);
    young(&mut criterion, &world);
    criterion.final_summary();
}
