//! Stores for the damage: three runs that fill, overwrite, evict, remove and clear, and then one of three ends.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process,
    sync::LazyLock,
    thread,
};

use memolith::{Memo, Store};

use crate::{
    child::{self, Child, say, seed},
    values::{Rolls, Values, value},
};

/// How the last of the runs ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    /// By `exit`, with the store in a `static`: the handler at the exit closes it.
    Exit,
    /// By `kill -9`, while two threads were writing to another memo.
    Killed,
}

impl End {
    pub fn role(self) -> &'static str {
        match self {
            Self::Closed => "furnish and close",
            Self::Exit => "furnish and exit",
            Self::Killed => "furnish and write on",
        }
    }
}

/// The latest version of a key, if it has one.
type Latest = fn(u32) -> Option<u64>;

/// The certain state of the flushed memos: name, number of keys, and each key.
pub const MEMOS: [(&str, u32, Latest); 2] = [
    ("values", 180, |key| match key {
        30..40 => Some(3),
        40..90 => Some(2),
        120..180 => Some(1),
        // Evicted, or removed.
        _ => None,
    }),
    ("cleared", 40, |key| match key {
        0..5 | 8..10 => Some(2),
        5..8 => Some(3),
        _ => None,
    }),
];

/// As many entries as there are at the end, so that each run evicts.
const BOUND: u64 = 120;

pub fn open(store: &Store) -> [Values; 2] {
    MEMOS.map(|(name, ..)| Memo::builder(name).max_entries(BOUND).open(store).unwrap())
}

/// The memo that was being written to when its program was killed.
pub fn busy(store: &Store) -> Values {
    Memo::builder("busy").max_entries(40).open(store).unwrap()
}

/// A new store at `directory/image`, and its state before the last two runs at `directory/earlier`.
pub fn make(directory: &Path, end: End, seed: u64) {
    let mut child = Child::play(end.role(), directory, seed);
    child.expect("furnished");
    if end == End::Killed {
        (0..Rolls(seed).below(400)).for_each(|_| drop(child.line()));
        child.kill();
    } else {
        assert!(child.end().0.success());
    }
}

static LAST: LazyLock<Store> = LazyLock::new(|| Store::open(child::directory().join("image")).unwrap());

pub fn play(end: End) {
    let directory = child::directory();
    let image = directory.join("image");
    run(&Store::open(&image).unwrap(), |values, cleared| {
        (0..150).for_each(|key| put(values, key, 1));
        (0..40).for_each(|key| put(cleared, key, 1));
    });
    copy(&image, &directory.join("earlier"));
    run(&Store::open(&image).unwrap(), |values, cleared| {
        (30..90).for_each(|key| put(values, key, 2));
        (90..100).for_each(|key| assert!(values.remove(&key).unwrap()));
        cleared.clear().unwrap();
        (0..10).for_each(|key| put(cleared, key, 2));
    });
    let [values, cleared] = open(&LAST);
    (150..180).for_each(|key| put(&values, key, 1));
    (30..40).for_each(|key| put(&values, key, 3));
    (5..8).for_each(|key| put(&cleared, key, 3));
    LAST.flush().unwrap();
    say("furnished");
    match end {
        End::Closed => LAST.close().unwrap(),
        End::Exit => process::exit(0),
        End::Killed => write_on(&busy(&LAST)),
    }
}

/// One run of the program, which closes its store.
fn run(store: &Store, work: impl FnOnce(&Values, &Values)) {
    let [values, cleared] = open(store);
    work(&values, &cleared);
    store.close().unwrap();
}

fn put(memo: &Values, key: u32, version: u64) {
    memo.insert(&key, &value(key, version)).unwrap();
}

/// Until it is killed.
fn write_on(memo: &Values) {
    thread::scope(|scope| {
        for thread in 0..2 {
            scope.spawn(move || {
                let mut rolls = Rolls(seed() ^ thread);
                for version in 0.. {
                    let key = rolls.below(60) as u32;
                    match rolls.below(10) {
                        0 => drop(memo.remove(&key)),
                        1..6 => drop(memo.get_or_insert_with(&key, || value(key, version))),
                        _ => put(memo, key, version),
                    }
                    say("wrote");
                }
            });
        }
    });
}

/// The folder `from` as `to`, which must not be there.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for file in fs::read_dir(from).unwrap().flatten() {
        let target = to.join(file.file_name());
        if file.path().is_dir() {
            copy(&file.path(), &target);
        } else if file.path().is_file() {
            // A store in use has a socket too.
            fs::copy(file.path(), target).unwrap();
        }
    }
}

/// The entries of [`MEMOS`] in files of their own, by the path of the file in the store. The heads are read without
/// the crate.
pub fn blobs(image: &Path) -> BTreeMap<PathBuf, (&'static str, u32)> {
    let folders = fs::read_dir(image.join("blobs")).unwrap().flatten();
    let files = folders.flat_map(|folder| fs::read_dir(folder.path()).unwrap().flatten());
    let entry = |path: PathBuf| Some((path.strip_prefix(image).unwrap().to_owned(), entry_of(&path)?));
    files.filter_map(|file| entry(file.path())).collect()
}

/// `name` behind byte 108, then the canonical encoding of a `u32`.
fn entry_of(path: &Path) -> Option<(&'static str, u32)> {
    let bytes = fs::read(path).unwrap();
    let (name, ..) = MEMOS.into_iter().find(|(name, ..)| bytes[108..].starts_with(name.as_bytes()))?;
    let key = bytes[108 + name.len()..].strip_prefix(&[0x01, 0x12]).unwrap();
    Some((name, u32::from_le_bytes(key[..4].try_into().unwrap())))
}
