//! The bounds hold on disk, and the oldest insertion leaves first.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use memolith::{Error, Memo, MemoBuilder, Store, observe::Event};

use crate::vocabulary::*;

type Values = Memo<str, Vec<u8>>;

fn values(name: &str) -> MemoBuilder<str, Vec<u8>> {
    Memo::builder(name)
}

/// The value of a letter.
type ValueOf = fn(&str) -> Vec<u8>;

/// A value that lies in the index.
fn small(letter: &str) -> Vec<u8> {
    letter.repeat(100).into_bytes()
}

/// A value with a file of its own.
fn filed(letter: &str) -> Vec<u8> {
    large(letter.bytes().sum())
}

const BOTH: [ValueOf; 2] = [small, filed];

/// Computes and stores a value for every letter.
#[track_caller]
fn fill(memo: &Values, letters: &str, value: ValueOf) {
    for letter in letters.split_terminator("").skip(1) {
        memo.get_or_insert_with(letter, || value(letter));
    }
    assert_eq!(memo.stats().failures.total(), 0, "{:?}", memo.last_failure());
}

/// The letters with remembered values. Each value is checked.
#[track_caller]
fn kept(memo: &Values, letters: &str, value: ValueOf) -> String {
    let whole = |letter: &&str| match memo.get(letter).unwrap() {
        Some(found) => found == value(letter),
        None => false,
    };
    letters.split_terminator("").skip(1).filter(whole).collect()
}

/// The weight of one entry under a letter.
fn weight(value: ValueOf) -> u64 {
    let bench = Bench::new();
    let store = bench.store();
    let memo = values("values").open(&store).unwrap();
    memo.insert("a", &value("a")).unwrap();
    memo.usage().unwrap().bytes
}

/// B84, B85, B90
#[test]
fn the_oldest_insertion_leaves_first() -> Result<(), Error> {
    for value in BOTH {
        let bench = Bench::new();
        let store = bench.store();
        let memo = values("values").max_entries(3).open(&store)?;
        fill(&memo, "abc", value);
        assert_eq!((memo.len().unwrap(), memo.stats().evictions), (3, 0));
        for (letter, left) in [("d", "bcd"), ("e", "cde"), ("f", "def")] {
            fill(&memo, letter, value);
            assert_eq!(kept(&memo, "abcdef", value), left);
        }
        assert_eq!((memo.len().unwrap(), memo.usage().unwrap().entries, memo.stats().evictions), (3, 3, 3));
        miss!(memo, "a" => value("a"));
        assert_eq!(kept(&memo, "abcdef", value), "aef");
    }
    Ok(())
}

/// B85, B87
#[test]
fn being_looked_at_does_not_keep_an_entry() -> Result<(), Error> {
    for memory in [0, 1 << 20] {
        let bench = Bench::new();
        let store = bench.options().memory(memory).open(bench.path())?;
        let memo = values("values").max_entries(2).open(&store)?;
        fill(&memo, "ab", small);
        for _ in 0..3 {
            hit!(memo, "a" => small("a"));
            assert_eq!(memo.get("a")?, Some(small("a")));
            assert!(memo.contains_key("a")?);
        }
        fill(&memo, "c", small);
        assert_eq!(kept(&memo, "abc", small), "bc");
    }
    Ok(())
}

/// B86
#[test]
fn an_overwrite_evicts_nobody_and_becomes_the_newest() -> Result<(), Error> {
    for value in BOTH {
        let bench = Bench::new();
        let store = bench.store();
        let memo = values("values").max_entries(3).open(&store)?;
        fill(&memo, "abc", value);
        memo.insert("a", &value("a"))?;
        memo.insert("a", &value("a"))?;
        assert_eq!((kept(&memo, "abc", value).as_str(), memo.stats().evictions), ("abc", 0));
        fill(&memo, "d", value);
        assert_eq!(kept(&memo, "abcd", value), "acd");
        fill(&memo, "e", value);
        assert_eq!(kept(&memo, "abcde", value), "ade");
    }
    Ok(())
}

/// B88
#[test]
fn without_a_bound_nothing_leaves() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo: Memo<u32, u32> = Memo::builder("numbers").open(&store)?;
    for key in 0..2_000 {
        memo.get_or_insert_with(&key, || key);
    }
    assert_eq!((memo.len().unwrap(), memo.stats().evictions), (2_000, 0));
    hit!(memo, &0 => 0);
    Ok(())
}

/// B89
#[test]
fn a_bound_of_zero_is_refused_at_open() {
    let bench = Bench::new();
    let store = bench.store();
    let entries = values("values").max_entries(0).open(&store).unwrap_err();
    assert!(entries.is_config() && entries.to_string().contains("max_entries"), "{entries}");
    let bytes = values("values").max_bytes(0).open(&store).unwrap_err();
    assert!(bytes.is_config() && bytes.to_string().contains("max_bytes"), "{bytes}");
    drop(store);
    let of_store = bench.options().max_bytes(0).open(bench.path()).unwrap_err();
    assert!(of_store.is_config() && of_store.to_string().contains("max_bytes"), "{of_store}");
}

#[test]
fn a_bound_of_one_keeps_the_newest() -> Result<(), Error> {
    for value in BOTH {
        let bench = Bench::new();
        let store = bench.store();
        let memo = values("values").max_entries(1).open(&store)?;
        for letter in ["a", "b", "c"] {
            miss!(memo, letter => value(letter));
            hit!(memo, letter => value(letter));
            assert_eq!(kept(&memo, "abc", value), letter);
        }
        assert_eq!((memo.len().unwrap(), memo.stats().evictions), (1, 2));
    }
    Ok(())
}

/// B90: it leaves the memory tier too.
#[test]
fn an_evicted_key_leaves_memory_too() -> Result<(), Error> {
    for value in BOTH {
        let bench = Bench::new();
        let store = bench.store();
        let memo = values("values").max_entries(2).open(&store)?;
        fill(&memo, "ab", value);
        for letter in ["a", "a", "b", "b"] {
            hit!(memo, letter => value(letter));
        }
        assert_eq!(memo.stats().hits.memory, 2);
        fill(&memo, "cd", value);
        assert!(!memo.contains_key("a")? && !memo.contains_key("b")?);
        miss!(memo, "a" => value("a"));
    }
    Ok(())
}

/// B91, B93
#[test]
fn bound_and_order_of_insertion_survive_restarts() -> Result<(), Error> {
    for value in BOTH {
        let bench = Bench::new();
        for (letters, left) in [("abc", "abc"), ("d", "bcd"), ("", "bcd"), ("ef", "def"), ("bg", "fbg")] {
            let store = bench.store();
            let memo = values("values").max_entries(3).open(&store)?;
            fill(&memo, letters, value);
            let mut expected: Vec<char> = left.chars().collect();
            expected.sort_unstable();
            assert_eq!(kept(&memo, "abcdefg", value), String::from_iter(expected));
            assert_eq!(memo.len().unwrap(), 3);
        }
    }
    Ok(())
}

/// B91, B92
#[test]
fn the_bytes_of_a_memo_never_exceed_its_bound() -> Result<(), Error> {
    for value in BOTH {
        let bound = 3 * weight(value) + 10;
        let bench = Bench::new();
        for (letters, left) in [("abcd", "bcd"), ("ef", "def")] {
            let store = bench.store();
            let memo = values("values").max_bytes(bound).open(&store)?;
            for letter in letters.split_terminator("").skip(1) {
                fill(&memo, letter, value);
                assert!(memo.usage().unwrap().bytes <= bound, "{} bytes", memo.usage().unwrap().bytes);
            }
            assert_eq!((kept(&memo, "abcdef", value).as_str(), memo.len().unwrap()), (left, 3));
        }
    }
    Ok(())
}

/// B92: as many entries leave as the new value needs.
#[test]
fn a_larger_value_takes_the_place_of_several() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = values("values").max_bytes(4 * weight(small)).open(&store)?;
    fill(&memo, "abcd", small);
    memo.insert("e", &vec![5; 250])?;
    assert_eq!((kept(&memo, "abcd", small).as_str(), memo.len().unwrap()), ("cd", 3));
    assert_eq!((memo.get("e")?, memo.stats().evictions), (Some(vec![5; 250]), 2));
    Ok(())
}

/// B92
#[test]
fn a_value_over_the_bound_is_handed_over_and_told_once() -> Result<(), Error> {
    let bench = Bench::new();
    let told = Arc::new(AtomicU64::new(0));
    let telling = Arc::clone(&told);
    let count = move |event: &Event<'_>| {
        if let Event::Failed { memo: Some("values"), .. } = event {
            telling.fetch_add(1, SeqCst);
        }
    };
    let store = bench.options().observer(count).open(bench.path())?;
    let memo = values("values").max_bytes(2 * weight(small)).open(&store)?;
    fill(&memo, "a", small);
    miss!(memo, "large" => large(1));
    miss!(memo, "large" => large(1));
    miss!(memo, "little too large" => vec![2; 300]);
    assert_eq!((memo.stats().failures.oversize, memo.stats().failures.total()), (3, 3));
    assert_eq!(told.load(SeqCst), 1);
    let told = memo.last_failure().unwrap().to_string();
    assert!(told.contains("values") && told.contains("max_bytes"), "{told}");
    assert!(memo.insert("large", &large(1)).is_err());
    assert_eq!((kept(&memo, "a", small).as_str(), memo.len().unwrap(), memo.stats().evictions), ("a", 1, 0));
    Ok(())
}

/// B92: the bound of a store covers all its memos, in one order of insertion.
#[test]
fn the_bytes_of_a_store_are_bounded_over_all_its_memos() -> Result<(), Error> {
    for value in BOTH {
        let bound = 4 * weight(value) + 10;
        let bench = Bench::new();
        let open = || bench.options().max_bytes(bound).open(bench.path());
        {
            let store = open()?;
            let [one, other] = ["values", "others"].map(|name| values(name).open(&store).unwrap());
            fill(&one, "a", value);
            fill(&other, "b", value);
            fill(&one, "c", value);
            fill(&other, "de", value);
            assert_eq!((kept(&one, "ac", value), kept(&other, "bde", value)), ("c".into(), "bde".into()));
            assert_eq!((one.stats().evictions, other.stats().evictions, store.stats().evictions), (1, 0, 1));
        }
        let store = open()?;
        let third = values("thirds").open(&store)?;
        fill(&third, "f", value);
        let [one, other] = ["values", "others"].map(|name| values(name).open(&store).unwrap());
        assert_eq!((kept(&one, "ac", value), kept(&other, "bde", value)), ("c".into(), "de".into()));
        assert!(store.usage().unwrap().bytes <= bound && store.usage().unwrap().entries == 4);
    }
    Ok(())
}

#[test]
fn a_value_over_the_bound_of_the_store_is_handed_over() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.options().max_bytes(1_000).open(bench.path())?;
    let memo = values("values").open(&store)?;
    miss!(memo, "large" => large(1));
    miss!(memo, "large" => large(1));
    assert_eq!((memo.stats().failures.oversize, memo.len().unwrap()), (2, 0));
    Ok(())
}

/// A bound that was lowered between two runs is applied before any value is stored.
#[test]
fn a_lowered_bound_is_obeyed_at_open() -> Result<(), Error> {
    for value in BOTH {
        let bench = Bench::new();
        let reopen = |options: MemoBuilder<str, Vec<u8>>, left: &str| {
            let store = bench.store();
            let memo = options.open(&store).unwrap();
            assert_eq!(memo.len().unwrap(), left.len());
            assert_eq!(kept(&memo, "abcdef", value), left);
        };
        fill(&values("values").open(&bench.store())?, "abcdef", value);
        reopen(values("values").max_entries(5), "bcdef");
        reopen(values("values").max_bytes(3 * weight(value)), "def");
        reopen(values("values").max_entries(1), "f");
    }
    Ok(())
}

#[test]
fn a_lowered_bound_of_the_store_is_obeyed_at_open() -> Result<(), Error> {
    let bench = Bench::new();
    let open = |store: &Store| ["values", "others"].map(|name| values(name).open(store).unwrap());
    {
        let store = bench.store();
        let [one, other] = open(&store);
        fill(&one, "abc", small);
        fill(&other, "def", small);
    }
    let bound = 2 * weight(small);
    let store = bench.options().max_bytes(bound).open(bench.path())?;
    assert!(store.usage().unwrap().bytes <= bound, "{} bytes", store.usage().unwrap().bytes);
    let [one, other] = open(&store);
    assert_eq!((kept(&one, "abc", small), kept(&other, "def", small)), (String::new(), "ef".into()));
    Ok(())
}

/// The observer is called while the open of the memo waits for its bound.
#[test]
fn a_bound_that_is_far_lower_than_before_is_applied_while_others_write() -> Result<(), Error> {
    let bench = Bench::new();
    {
        let memo = plain(&bench.store(), "numbers");
        (0..2_000).for_each(|number| miss!(memo, number.to_string().as_str() => number));
    }
    let evicted = Arc::new(Mutex::new(0));
    let door: Arc<Mutex<Option<Store>>> = Arc::default();
    let store = bench.options().observer({
        let (door, evicted) = (Arc::clone(&door), Arc::clone(&evicted));
        move |event| {
            let Event::Evicted { memo: "numbers", entries, .. } = event else { return };
            *evicted.lock().unwrap() += entries;
            let Some(store) = door.lock().unwrap().take() else { return };
            plain(&store, "other").insert("between", &1).unwrap();
            let same: Memo<str, u64> = Memo::builder("numbers").max_entries(10).open(&store).unwrap();
            let before = same.len().unwrap();
            miss!(same, "new" => 1);
            let after = same.len().unwrap();
            assert!(after <= before, "{after} after {before}");
        }
    });
    let store = store.open(bench.path())?;
    *door.lock().unwrap() = Some(store.clone());
    let memo: Memo<str, u64> = Memo::builder("numbers").max_entries(10).open(&store)?;
    assert_eq!(memo.len().unwrap(), 10);
    assert_eq!(plain(&store, "other").get("between")?, Some(1));
    hit!(memo, "new" => 1);
    memo.flush()?;
    assert_eq!(*evicted.lock().unwrap(), 1_991);
    assert!(memo.last_failure().is_none() && store.last_failure().is_none());
    Ok(())
}

/// Values of all sizes. One of them is as large as a quarter of the bound.
#[test]
fn no_put_takes_a_memo_over_its_bound() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.store();
    let memo = values("values").max_bytes(40_000).open(&store)?;
    for number in 0..400_usize {
        let value = vec![7; if number % 50 == 49 { 10_000 } else { number % 7 * 100 }];
        memo.get_or_insert_with(&number.to_string(), || value);
        assert!(memo.usage().unwrap().bytes <= 40_000, "{} at {number}", memo.usage().unwrap().bytes);
    }
    assert!(memo.usage().unwrap().bytes > 30_000 && memo.last_failure().is_none());
    Ok(())
}

/// A file stands in place of the folder of the payloads.
#[test]
fn values_that_could_not_be_stored_push_nothing_out() {
    let bench = Bench::new();
    let store = bench.diskful();
    let memo: Memo<u8, Vec<u8>> = Memo::builder("pictures").max_entries(2).open(&store).unwrap();
    miss!(memo, &1 => large(1));
    miss!(memo, &2 => large(2));
    store.flush().unwrap();
    let folder = fs::read_dir(bench.path().join("blobs")).unwrap().next().unwrap().unwrap().path();
    let aside = bench.directory.path().join("aside");
    fs::rename(&folder, &aside).unwrap();
    fs::write(&folder, "in the way").unwrap();
    (3..9).for_each(|key| miss!(memo, &key => large(key)));
    store.flush().unwrap();
    assert_eq!(memo.stats().failures.io, 6);
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    assert_eq!((memo.len().unwrap(), memo.stats().evictions), (2, 0));
    hit!(memo, &1 => large(1));
    hit!(memo, &2 => large(2));
    miss!(memo, &3 => large(3));
    hit!(memo, &3 => large(3));
}

/// A file stands in place of the trash, so the payload files of evicted entries cannot be moved there.
#[test]
fn while_the_oldest_cannot_leave_nothing_comes_in() -> Result<(), Error> {
    let bench = Bench::new();
    let store = bench.diskful();
    let memo = values("letters").max_entries(2).open(&store)?;
    fill(&memo, "AB", filed);
    store.flush()?;
    let trash = bench.path().join("trash");
    fs::remove_dir_all(&trash).unwrap();
    fs::write(&trash, "in the way").unwrap();
    for letter in ["c", "d", "e", "f", "g"] {
        assert_eq!(memo.get_or_insert_with(letter, || small(letter)), small(letter));
    }
    assert_eq!(memo.len().unwrap(), 3, "one came in before the failure was noticed");
    assert!(memo.last_failure().unwrap().error.is_io());
    assert!(memo.insert("h", &small("h")).is_err());
    fs::remove_file(&trash).unwrap();
    for letter in ["i", "j"] {
        memo.insert(letter, &small(letter))?;
    }
    // Until then another thread may still hold the values that did not come in.
    store.sweep()?;
    assert_eq!(kept(&memo, "ABcdefghij", small), "ij");
    Ok(())
}
