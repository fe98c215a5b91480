//! Files that were flipped, zeroed, cut, emptied, lengthened, deleted or swapped while no process had the store open.
//!
//! A store that was closed returns no wrong value, no overwritten value, and no evicted, removed or cleared value. It
//! works at once and at the next open. Undamaged entries are there. An unclean end and damage together may bring
//! older values back, as the README says. Here these values are counted, and all other claims are checked as well.
//! `MEMOLITH_SOAK=1` takes thousands of rounds.

use std::{
    cell::RefCell,
    collections::BTreeSet,
    fs,
    ops::AddAssign,
    panic::{self, PanicHookInfo},
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    thread,
};

use memolith::{Memo, Store};

use crate::{
    child::{self, Child, say},
    harness::Claim,
    images::{self, End, MEMOS},
    values::{Rolls, Values, is_blob, value, version_of},
    wounds::{self, Wound},
};

pub const CLAIMS: &[Claim] = &[
    ("damage::a_store_that_was_closed_serves_nothing_wrong_or_stale_or_removed", closed_is_sure),
    ("damage::a_store_that_ended_by_exit_serves_nothing_wrong_or_stale_or_removed", exited_is_sure),
    ("damage::a_store_that_was_killed_serves_nothing_wrong_and_works", killed_works),
];

/// The number of damaged copies of one image that a child looks at.
const ROUNDS: u64 = 20;

/// The entries that were returned, by memo and key.
type Served = BTreeSet<(&'static str, u32)>;

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    rounds: u64,
    /// Rounds in which the store had noticed damage.
    told: u64,
    /// Panics of the storage engine that no caller saw.
    contained: u64,
    /// Entries, in all rounds together.
    stale: u64,
    resurrected: u64,
    missing: u64,
    served: u64,
}

impl Counts {
    fn fields(&mut self) -> [&mut u64; 7] {
        let Self { rounds, told, contained, stale, resurrected, missing, served } = self;
        [rounds, told, contained, stale, resurrected, missing, served]
    }

    fn encode(mut self) -> String {
        self.fields().map(|field| field.to_string()).join(" ")
    }

    fn decode(words: &str) -> Self {
        let mut counts = Self::default();
        let numbers = words.split(' ').map(|word| word.parse::<u64>().unwrap());
        counts.fields().into_iter().zip(numbers).for_each(|(field, number)| *field = number);
        counts
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, mut other: Self) {
        self.fields().into_iter().zip(other.fields()).for_each(|(sum, more)| *sum += *more);
    }
}

fn closed_is_sure() {
    let counts = sweep(End::Closed, 2);
    assert_eq!((counts.stale, counts.resurrected), (0, 0), "{counts:?}");
}

fn exited_is_sure() {
    let counts = sweep(End::Exit, 1);
    assert_eq!((counts.stale, counts.resurrected), (0, 0), "{counts:?}");
}

fn killed_works() {
    sweep(End::Killed, 2);
}

/// Each child looks at the copies of an image of its own. Two children run at a time.
fn sweep(end: End, children: u64) -> Counts {
    let children = if std::env::var_os("MEMOLITH_SOAK").is_some() { 50 } else { children };
    let mut all = Counts::default();
    thread::scope(|scope| {
        let lane = |lane| move || (0..children).map(|child| look(end, child * 2 + lane)).collect::<Vec<_>>();
        let lanes = [0, 1].map(|number| scope.spawn(lane(number)));
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).for_each(|counts| all += counts);
    });
    println!("damage after {end:?}: {all:?}");
    assert!(
        all.rounds == 2 * children * ROUNDS && all.told * 3 > all.rounds,
        "the store noticed too little damage: {all:?}"
    );
    assert!(all.served > all.missing, "too few entries were returned: {all:?}");
    all
}

fn look(end: End, seed: u64) -> Counts {
    let directory = tempfile::tempdir().unwrap();
    images::make(directory.path(), end, seed);
    let role = if end == End::Killed { "look at a killed store" } else { "look at a closed store" };
    let mut command = Command::new(std::env::current_exe().unwrap());
    let command = command.env(child::SEED, seed.to_string()).stderr(Stdio::piped());
    let mut child = Child::spawn(command, role, directory.path());
    let mut last = String::new();
    while let Some(line) = child.line() {
        last = line;
    }
    let (status, words) = child.end();
    assert!(status.success(), "{end:?}, seed {seed}, {last}: {status} {words}");
    Counts::decode(&last)
}

static CONTAINED: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// The round under way, on the thread that checks the claims.
    static ROUND: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Panics of the engine are counted and not printed. A panic that ends the round is printed where it is caught.
fn count(panic: &PanicHookInfo<'_>) {
    CONTAINED.fetch_add(1, Ordering::SeqCst);
    ROUND.with_borrow_mut(|round| {
        if let Some(round) = round {
            *round = panic.to_string();
        }
    });
}

/// The child's side.
pub fn play(end: End) {
    panic::set_hook(Box::new(count));
    let (directory, mut rolls) = (child::directory(), Rolls(child::seed()));
    let mut counts = Counts::default();
    ROUND.set(Some(String::new()));
    for round in 0..ROUNDS {
        let store = directory.join("store");
        images::copy(&directory.join("image"), &store);
        let wounds = hurt(&store, &directory.join("earlier"), end, &mut rolls);
        let told: Vec<String> = wounds.iter().map(ToString::to_string).collect();
        say(&format!("round {round}: {}", told.join(", ")));
        let patient = Patient { directory: &directory, store: &store, end, wounds: &wounds };
        match panic::catch_unwind(|| patient.examine()) {
            Ok(found) => counts += found,
            Err(_) => fail(&format!("round {round}, {told:?}: {}", ROUND.take().unwrap_or_default())),
        }
        fs::remove_dir_all(&store).unwrap();
    }
    counts.contained = CONTAINED.load(Ordering::SeqCst);
    say(&counts.encode());
}

fn fail(words: &str) -> ! {
    eprintln!("{words}");
    std::process::exit(1)
}

/// Mostly one damaged file, sometimes none, sometimes several.
fn hurt(store: &Path, earlier: &Path, end: End, rolls: &mut Rolls) -> Vec<Wound> {
    let wounds = match rolls.below(10) {
        // Without damage an unclean end promises all that a close does.
        0 | 1 if end == End::Killed => 0,
        0 => 3,
        1 => 2,
        _ => 1,
    };
    (0..wounds).map(|_| wounds::inflict(store, earlier, rolls)).collect()
}

struct Patient<'a> {
    directory: &'a Path,
    store: &'a Path,
    end: End,
    wounds: &'a [Wound],
}

impl Patient<'_> {
    /// Whether no older value may be returned.
    fn is_sure(&self) -> bool {
        self.end != End::Killed || self.wounds.is_empty()
    }

    fn examine(&self) -> Counts {
        let store = Store::builder().memory(0).open(self.store).unwrap();
        let memos = images::open(&store);
        let mut counts = Counts { rounds: 1, ..Counts::default() };
        let first = self.serve(&memos, &mut counts);
        // A page that cannot be read costs the index at the first look. By now the index was filled from the payload
        // files.
        let second = self.serve(&memos, &mut Counts::default());
        counts.told = u64::from(
            memos.iter().any(|memo| memo.last_failure().is_some()) || store.last_failure().is_some(),
        );
        self.demand_what_was_not_hurt(&first, &second);
        work(&store);
        let expected = self.call_for_all(&memos);
        store.close().unwrap();
        drop((memos, store));
        self.examine_again(&expected);
        counts
    }

    /// Each key has no value, or a whole value of its own. That value is the latest one, where this is promised.
    fn serve(&self, memos: &[Values; 2], counts: &mut Counts) -> Served {
        let mut served = Served::new();
        for ((name, keys, latest), memo) in MEMOS.into_iter().zip(memos) {
            for key in 0..keys {
                let found = memo.get(&key).ok().flatten().map(|found| version_of(key, &found));
                let count = match (found, latest(key)) {
                    (None, None) => continue,
                    (None, Some(_)) => &mut counts.missing,
                    (Some(_), None) => &mut counts.resurrected,
                    (Some(found), Some(latest)) if found != latest => &mut counts.stale,
                    _ => &mut counts.served,
                };
                *count += 1;
                if found.is_some() {
                    served.insert((name, key));
                }
                let right = found.is_none() || found == latest(key);
                assert!(right || !self.is_sure(), "{name} {key} is {found:?}, not {:?}", latest(key));
            }
        }
        served
    }

    fn demand_what_was_not_hurt(&self, first: &Served, second: &Served) {
        let hurt = |file| self.wounds.iter().any(|wound| wound.files.contains(file));
        let blobs = images::blobs(&self.directory.join("image"));
        let spared: Served = blobs.iter().filter(|(file, _)| !hurt(file)).map(|(_, entry)| *entry).collect();
        let whole = self.wounds.iter().all(Wound::spares_the_index);
        // The snapshot of a closed store takes the place of its index.
        let has_snapshot = self.end != End::Killed && self.wounds.iter().all(Wound::spares_the_snapshot);
        for (name, keys, latest) in MEMOS {
            for (key, version) in (0..keys).filter_map(|key| Some((key, latest(key)?))) {
                let entry = (name, key);
                let in_blob = is_blob(key, version);
                let lost = |entry| format!("{name} {key} is undamaged, and has no value: {entry:?}");
                let stays = !in_blob || spared.contains(&entry);
                assert!(!whole || !stays || first.contains(&entry), "{}", lost(entry));
                let is_known = in_blob || has_snapshot;
                let sure = self.is_sure() && is_known && stays;
                assert!(!sure || second.contains(&entry), "{}", lost(entry));
            }
        }
    }

    /// Calls for every key that has a value, and returns the results.
    fn call_for_all(&self, memos: &[Values; 2]) -> Vec<(usize, u32, u64)> {
        let mut expected = Vec::new();
        for (memo, (_, keys, latest)) in MEMOS.into_iter().enumerate() {
            for (key, version) in (0..keys).filter_map(|key| Some((key, latest(key)?))) {
                let found = memos[memo].get_or_insert_with(&key, || value(key, version));
                let found = version_of(key, &found);
                assert!(found == version || !self.is_sure(), "{key} is {found}, not {version}");
                expected.push((memo, key, found));
            }
        }
        expected
    }

    /// The next open, of a store that was closed and not damaged since.
    fn examine_again(&self, expected: &[(usize, u32, u64)]) {
        let store = Store::builder().memory(0).open(self.store).unwrap();
        let memos = images::open(&store);
        assert!(memos.iter().all(|memo| memo.len().unwrap() <= 120), "{}", memos[0].len().unwrap());
        for (memo, key, version) in expected {
            let found = memos[*memo].get(key).unwrap().map(|found| version_of(*key, &found));
            // A resurrected entry took its place.
            let evicted = !self.is_sure() && found.is_none();
            assert!(
                evicted || found == Some(*version),
                "{key} is {found:?}, not {version}, at the next open"
            );
        }
        work(&store);
        store.sweep().unwrap();
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
        store.close().unwrap();
    }
}

/// Every method of a memo works, and the memo that was being written to has no wrong value.
fn work(store: &Store) {
    let busy = images::busy(store);
    for key in 0..60 {
        let _whole = busy.get(&key).ok().flatten().map(|found| version_of(key, &found));
    }
    let memo: Values = Memo::builder("new").open(store).unwrap();
    memo.clear().unwrap();
    for key in 0..6 {
        memo.insert(&key, &value(key, 1)).unwrap();
        assert_eq!(memo.get(&key).unwrap(), Some(value(key, 1)));
        memo.insert(&key, &value(key, 2)).unwrap();
        assert_eq!(memo.get_or_insert_with(&key, || panic!("it was inserted")), value(key, 2));
    }
    assert!(memo.remove(&0).unwrap() && memo.get(&0).unwrap().is_none());
    assert_eq!(memo.len().unwrap(), 5);
    store.flush().unwrap();
}
