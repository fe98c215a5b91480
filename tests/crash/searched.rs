//! Programs by which the authors searched for a way to break a promise, with what only a process of its own can do: see the
//! section of that name in docs/reliability.md, and `tests/it/searched`.

use std::{
    env,
    ffi::c_int,
    fs,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{self, Command},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use memolith::{Memo, Store};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{
    child::{self, Child, directory, say, seed},
    harness::Claim,
    limits::{ALL, Scene, assert_whole},
    values::{self, Values, value},
};

pub const CLAIMS: &[Claim] = &[
    (
        "searched::beyond_the_limit_on_the_size_of_files_values_are_handed_over_and_below_it_they_are_kept",
        || {
            assert_whole(ALL, "small files");
        },
    ),
    ("searched::a_program_that_handles_the_signal_of_that_limit_keeps_its_handler", || {
        assert_whole(ALL, "own handler");
    }),
    ("searched::calls_at_the_end_of_the_program_are_answered_and_a_clear_there_is_final", end_is_answered),
    (
        "searched::a_program_that_replaces_itself_while_it_writes_finds_everything_that_was_acknowledged",
        || {
            let folder = tempfile::tempdir().unwrap();
            assert_eq!(
                Child::play("replace itself", &folder.path().join("store"), 0).line().as_deref(),
                Some("whole")
            );
        },
    ),
    ("searched::where_every_thread_is_interrupted_all_the_time_everything_is_kept", || {
        assert_whole(ALL, "interrupted");
    }),
];

// SAFETY: the signatures are those of POSIX and of the GNU C library. The handlers that are set do nothing, or set a flag.
#[expect(unsafe_code, reason = "std has no signals, and no hook for the end of the program")]
unsafe extern "C" {
    safe fn atexit(callback: extern "C" fn()) -> c_int;
    safe fn signal(number: c_int, handler: extern "C" fn(c_int)) -> usize;
    safe fn siginterrupt(number: c_int, flag: c_int) -> c_int;
    safe fn tgkill(process: c_int, thread: c_int, number: c_int) -> c_int;
}

const SIGALRM: c_int = 14;
const SIGXFSZ: c_int = 25;
const KEYS: u32 = 12;

/// A page, which neither a payload file nor the log of the index fits in.
fn with_small_files(act: impl FnOnce()) {
    let before = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: Some(4_096), maximum: before.maximum }).unwrap();
    act();
    setrlimit(Resource::Fsize, before).unwrap();
}

pub fn small_files() {
    let scene = Scene::new();
    with_small_files(|| {
        scene.hands_over(2);
        if let Err(error) = scene.store.flush() {
            say(&format!("flush: {error}"));
        }
        scene.hands_over(1);
        scene.told();
    });
    scene.keeps(3);
    scene.ends(3);
}

static SIGNALLED: AtomicBool = AtomicBool::new(false);

extern "C" fn note(_: c_int) {
    SIGNALLED.store(true, Ordering::Relaxed);
}

pub fn own_handler() {
    signal(SIGXFSZ, note);
    let scene = Scene::new();
    with_small_files(|| scene.hands_over(2));
    assert!(SIGNALLED.load(Ordering::Relaxed), "its own handler was replaced");
    scene.keeps(3);
    scene.ends(3);
}

static LAST: OnceLock<(Store, Values)> = OnceLock::new();

fn end_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut child = Child::play("calls at its end", &path, 0);
    child.expect("before the close");
    child.expect("after the close");
    let (status, words) = child.end();
    assert!(status.success(), "{status}: {words}");
    let (store, memo) = values::open(&path);
    assert_eq!((memo.len().unwrap(), store.last_failure().is_some()), (0, false));
    assert_eq!(late(&store).get(&1).unwrap(), Some(value(1, 1)));
}

fn late(store: &Store) -> Values {
    Memo::builder("late").open(store).unwrap()
}

pub fn calls_at_its_end() {
    // Functions run in the reverse order in which they were given: the one of the store comes between these two.
    atexit(after_the_close);
    LAST.set(values::open(&directory())).unwrap();
    atexit(before_the_close);
    let (_, memo) = LAST.get().unwrap();
    (0..KEYS).for_each(|key| assert!(memo.get_or_insert_with(&key, || value(key, 1)) == value(key, 1)));
}

extern "C" fn before_the_close() {
    let (store, memo) = LAST.get().unwrap();
    (0..KEYS).for_each(|key| assert!(memo.get_or_insert_with(&key, || panic!("{key}")) == value(key, 1)));
    memo.clear().unwrap();
    assert!(late(store).get_or_insert_with(&1, || value(1, 1)) == value(1, 1));
    say("before the close");
}

extern "C" fn after_the_close() {
    let (_, memo) = LAST.get().unwrap();
    (0..KEYS).for_each(|key| assert!(memo.get_or_insert_with(&key, || value(key, 2)) == value(key, 2)));
    assert!(memo.insert(&1, &value(1, 2)).is_err());
    let elsewhere = Store::open_or_temporary(directory().with_extension("other"));
    assert!(late(&elsewhere).get_or_insert_with(&1, || value(1, 3)) == value(1, 3));
    say("after the close");
}

/// Five images of the program, one after the other in one process.
pub fn replace_itself() {
    let round = seed() as u32;
    let (store, memo) = values::open(&directory());
    for key in 0..round * KEYS {
        assert!(memo.get(&key).unwrap() == Some(value(key, 1)), "{key} in round {round}");
    }
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    let inner = memo.clone();
    thread::spawn(move || {
        for key in 1_000_000.. {
            inner.get_or_insert_with(&key, || value(key, 1));
        }
    });
    for key in round * KEYS..(round + 1) * KEYS {
        memo.insert(&key, &value(key, 1)).unwrap();
    }
    if round == 4 {
        return say("whole");
    }
    let error = Command::new(env::current_exe().unwrap()).env(child::SEED, (round + 1).to_string()).exec();
    panic!("{error}");
}

extern "C" fn nothing(_: c_int) {}

pub fn interrupted() {
    signal(SIGALRM, nothing);
    siginterrupt(SIGALRM, 1);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                interrupt_all();
            }
        });
        for round in 0..3 {
            opened_and_closed(&directory(), round);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    say("whole");
}

fn opened_and_closed(path: &Path, round: u32) {
    let (store, memo) = values::open(path);
    for key in 0..round * KEYS {
        assert!(memo.get(&key).unwrap() == Some(value(key, 1)), "{key}");
    }
    for key in round * KEYS..(round + 1) * KEYS {
        if key.is_multiple_of(2) {
            memo.insert(&key, &value(key, 1)).unwrap();
        } else {
            assert!(memo.get_or_insert_with(&key, || value(key, 1)) == value(key, 1));
        }
    }
    assert!(memo.last_failure().is_none(), "{:?}", memo.last_failure());
    store.close().unwrap();
}

/// Every thread of this process is in the middle of some call.
fn interrupt_all() {
    for thread in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        if let Some(thread) = thread.file_name().to_str().and_then(|name| name.parse().ok()) {
            tgkill(process::id().cast_signed(), thread, SIGALRM);
        }
    }
    thread::yield_now();
}
