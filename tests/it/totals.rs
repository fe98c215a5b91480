//! The counters of all runs of a store.

use std::{fs, path::Path};

use memolith::{Error, Stats};

use crate::vocabulary::*;

fn run(bench: &Bench, hits: u64, inserts: u64) -> Stats {
    let store = bench.diskful();
    let memo = plain(&store, "numbers");
    for key in 0..inserts {
        memo.insert(&format!("{key}"), &key).unwrap();
    }
    (0..hits).for_each(|_| hit!(memo, "0" => 0));
    store.total_stats().unwrap()
}

#[test]
fn the_counters_of_runs_that_changed_something_add_up() {
    let bench = Bench::new();
    for round in 1..=3 {
        let totals = run(&bench, 2, 5);
        assert_eq!((totals.hits.total(), totals.inserts), (2 * round, 5 * round));
    }
    let totals = run(&bench, 7, 0);
    assert_eq!((totals.hits.total(), totals.inserts), (13, 15), "with those of this run");
    assert_eq!(run(&bench, 0, 1).hits.total(), 6, "a run that only read wrote nothing down");
}

fn contents(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.path().is_dir() {
            all.extend(contents(&entry.path()));
        } else {
            all.push((entry.path().display().to_string(), fs::read(entry.path()).unwrap()));
        }
    }
    all.sort();
    all
}

#[test]
fn a_run_that_only_reads_leaves_the_index_as_it_was() {
    let bench = Bench::new();
    run(&bench, 0, 3);
    let index = || {
        contents(&bench.path()).into_iter().filter(|(name, _)| name.contains("index-")).collect::<Vec<_>>()
    };
    let before = index();
    assert!(!before.is_empty());
    for _ in 0..2 {
        run(&bench, 10, 0);
        assert!(index() == before);
    }
}

/// The index is lost and opened anew within one run.
#[test]
fn the_counters_of_a_run_count_once_though_its_index_is_replaced() -> Result<(), Error> {
    let bench = Bench::new();
    run(&bench, 2, 5);
    {
        let store = bench.diskful();
        let memo = plain(&store, "numbers");
        memo.insert("6", &6)?;
        store.clear()?;
        for round in 0..3 {
            memo.insert("7", &round)?;
            store.sweep()?;
        }
        assert_eq!(store.total_stats()?.inserts, 9);
    }
    assert_eq!(run(&bench, 0, 1).inserts, 10);
    Ok(())
}

#[test]
fn totals_of_a_closed_store_are_an_error() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    store.close()?;
    assert!(store.total_stats().unwrap_err().is_closed());
    Ok(())
}
