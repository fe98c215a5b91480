//! Resources that the operating system takes from a running program, and gives back: descriptors, folders, the right
//! to write, the store itself. Each test runs in a child of its own, with a watchdog.
//!
//! The value is always returned. The failure is counted and reported. Afterwards the same process remembers again.

use std::{
    env,
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use memolith::{Memo, Store, StoreBuilder, testing::ManualClock};
use rustix::{
    fs::RenameFlags,
    process::{Resource, Rlimit, Uid, geteuid, setrlimit},
    thread::set_thread_res_uid,
};

use crate::{
    child::{Child, delete_in_use, directory, say},
    harness::Claim,
    values::{self, Values, is_blob, value},
};

pub const CLAIMS: &[Claim] = &[
    ("limits::without_descriptors_values_are_handed_over_and_with_them_they_are_kept", || {
        assert_whole(FEW, "few descriptors");
    }),
    ("limits::a_store_is_opened_and_closed_without_descriptors_or_says_why_not", || {
        assert_whole(FEW, "no descriptors at the ends");
    }),
    ("limits::a_store_that_is_deleted_under_a_running_program_is_made_anew", || assert_whole(ALL, "deleted")),
    ("limits::a_file_in_place_of_a_folder_is_told_and_without_it_values_are_kept", || {
        assert_whole(ALL, "blocked");
    }),
    ("limits::in_a_directory_that_is_read_only_for_a_while_values_are_handed_over", || {
        assert_whole(ALL, "read only");
    }),
    ("limits::a_store_on_a_read_only_mount_is_read_and_changes_last_as_long_as_it_is_open", || {
        assert_whole(SMALL_DISK, "read-only mount");
    }),
    ("limits::where_no_thread_can_be_started_values_are_handed_over_and_it_is_told", no_threads),
    ("limits::with_a_clock_before_1970_values_are_handed_over_and_nothing_is_lost", clock_before_1970),
    ("limits::on_a_full_disk_values_are_handed_over_and_when_there_is_room_they_are_kept", || {
        assert_whole(SMALL_DISK, "full disk");
    }),
];

/// The commands of a shell before the child: a limit of descriptors, or none.
const FEW: &str = "ulimit -n 48 && exec \"$0\"";
pub const ALL: &str = "exec \"$0\"";
/// On a file system in memory that no other process sees, where a user may make one.
const SMALL_DISK: &str = r#"
    unshare --user --map-root-user --mount true 2>/dev/null || exec "$0"
    exec unshare --user --map-root-user --mount sh -c '
        mount -t tmpfs -o size=12m tmpfs "$(dirname "$MEMOLITH_DIRECTORY")" && exec "$0"
    ' "$0"
"#;

/// Every third of these has a file of its own.
const KEYS: u32 = 30;

/// The child reports its results, and that it came to its end.
pub fn assert_whole(script: &str, role: &str) {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("sh");
    let command = shell.arg("-c").arg(script).arg(env::current_exe().unwrap()).stderr(Stdio::piped());
    let mut child = Child::spawn(command, role, &directory.path().join("store"));
    let said: Vec<String> = std::iter::from_fn(|| child.line()).collect();
    let (status, words) = child.end();
    assert!(
        status.success() && said.last().is_some_and(|last| last == "whole"),
        "{said:?} {status}: {words}"
    );
    said[..said.len() - 1].iter().for_each(|line| println!("{role}: {line}"));
}

/// A store that reads from disk, with a clock by which a pause of the engine ends.
pub struct Scene {
    clock: ManualClock,
    pub store: Store,
    memo: Values,
}

fn options(clock: &ManualClock) -> StoreBuilder {
    Store::builder().memory(0).clock(clock)
}

impl Scene {
    pub fn new() -> Self {
        let clock = ManualClock::new();
        let store = options(&clock).open(directory()).unwrap();
        let memo = Memo::builder("values").open(&store).unwrap();
        let scene = Self { clock, store, memo };
        scene.keeps(1);
        scene
    }

    /// Every value of a version is returned, stored or not.
    #[track_caller]
    pub fn hands_over(&self, version: u64) {
        for key in keys(version) {
            assert!(
                self.memo.get_or_insert_with(&key, || value(key, version)) == value(key, version),
                "{key}"
            );
        }
    }

    /// Every value of a version is stored.
    #[track_caller]
    pub fn keeps(&self, version: u64) {
        self.clock.advance(Duration::from_secs(120));
        self.hands_over(version);
        for key in keys(version) {
            let found = self
                .memo
                .get_or_insert_with(&key, || panic!("{key} was not kept: {:?}", self.memo.last_failure()));
            assert!(found == value(key, version), "{key}");
        }
    }

    #[track_caller]
    pub fn told(&self) {
        let failures = self.store.stats().failures;
        assert!(failures.io + failures.engine > 0, "{failures:?}");
        let told = self.memo.last_failure().or(self.store.last_failure()).unwrap();
        say(&told.to_string().replace('\n', " "));
    }

    /// So does the next process.
    pub fn ends(self, version: u64) {
        self.store.close().unwrap();
        let (store, memo) = values::open(&directory());
        for key in keys(version) {
            let found = memo.get_or_insert_with(&key, || panic!("{key} was not kept"));
            assert!(found == value(key, version), "{key}");
        }
        assert_eq!(memo.len().unwrap(), memo.stats().hits.total() as usize + others(&memo, version));
        assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
        store.close().unwrap();
        say("whole");
    }
}

/// Each version has keys of its own.
fn keys(version: u64) -> std::ops::Range<u32> {
    let first = version as u32 * 100;
    first..first + KEYS
}

/// The number of entries of earlier versions.
fn others(memo: &Values, version: u64) -> usize {
    let earlier = (0..version).flat_map(keys);
    earlier.filter(|key| memo.contains_key(key).unwrap()).count()
}

/// All descriptors that are left.
fn hoard() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

pub fn few_descriptors() {
    let scene = Scene::new();
    let hoarded = hoard();
    assert!(hoarded.len() < 48, "the descriptors do not run out");
    scene.hands_over(2);
    scene.told();
    let in_the_index = keys(1).filter(|key| !is_blob(*key, 1));
    in_the_index
        .for_each(|key| assert!(scene.memo.get(&key).unwrap().is_some(), "{key} needs no descriptor"));
    drop(hoarded);
    scene.keeps(3);
    scene.ends(3);
}

pub fn no_descriptors_at_the_ends() {
    let scene = Scene::new();
    let hoarded = hoard();
    if let Err(error) = scene.store.close() {
        say(&format!("close: {error}"));
    }
    // The store had some of the descriptors.
    let more = hoard();
    let error = Store::open(directory()).unwrap_err();
    assert!(error.is_io(), "{error}");
    let elsewhere = Store::open_or_temporary(directory());
    assert!(elsewhere.last_failure().unwrap().error.is_io());
    let memo: Values = Memo::builder("values").open(&elsewhere).unwrap();
    assert!(memo.get_or_insert_with(&7, || value(7, 1)) == value(7, 1));
    assert!(memo.get_or_insert_with(&7, || panic!("it is in memory")) == value(7, 1));
    drop((memo, elsewhere, scene, hoarded, more));
    Scene::new().ends(1);
}

pub fn deleted() {
    let scene = Scene::new();
    delete_in_use(&directory());
    scene.hands_over(2);
    scene.store.flush().unwrap_or_else(|error| say(&format!("flush: {error}")));
    scene.hands_over(1);
    scene.told();
    scene.keeps(3);
    scene.memo.clear().unwrap();
    scene.keeps(4);
    scene.ends(4);
}

/// A file takes the place of the folder, and later the folder comes back. Each exchange is one step: in a moment with
/// nothing at the path, the store would make the folder anew.
pub fn blocked() {
    let scene = Scene::new();
    let aside = directory().join("aside");
    for (name, version) in [("trash", 3), ("blobs", 4)] {
        let folder = directory().join(name);
        fs::write(&aside, "in the way").unwrap();
        exchange(&aside, &folder);
        scene.hands_over(2);
        scene.hands_over(1);
        exchange(&aside, &folder);
        fs::remove_file(&aside).unwrap();
        scene.told();
        scene.keeps(version);
    }
    scene.ends(4);
}

fn exchange(one: &Path, other: &Path) {
    rustix::fs::renameat_with(rustix::fs::CWD, one, rustix::fs::CWD, other, RenameFlags::EXCHANGE).unwrap();
}

pub fn read_only() {
    let scene = Scene::new();
    let folders = folders(&directory());
    let set = |mode| {
        for folder in &folders {
            fs::set_permissions(folder, fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    set(0o500);
    if fs::write(directory().join("probe"), "").is_ok() {
        set(0o700);
        fs::remove_file(directory().join("probe")).unwrap();
        say("not tried: permissions have no effect on this user");
        return scene.ends(1);
    }
    scene.hands_over(2);
    scene.told();
    let error = Store::open(directory().join("below")).unwrap_err();
    assert!(error.is_io(), "{error}");
    set(0o700);
    scene.keeps(3);
    scene.ends(3);
}

/// A store in an image: it was closed, and stands on a file system that is mounted read-only later. Nothing in it changes,
/// hits are hits, and changes last as long as the store that made them.
pub fn read_only_mount() {
    let disk = rustix::fs::statvfs(directory().parent().unwrap()).unwrap();
    if disk.f_blocks * disk.f_frsize > 16 << 20 {
        say("not tried: no file system of its own to be had");
        return say("whole");
    }
    let (store, memo) = values::open(&directory());
    keys(1).for_each(|key| drop(memo.get_or_insert_with(&key, || value(key, 1))));
    assert!(!store.is_read_only());
    drop(memo);
    store.close().unwrap();
    let remount = |how: &str| {
        let options = format!("remount,{how}");
        let parent = directory().parent().unwrap().to_owned();
        assert!(Command::new("mount").args(["-o", &options]).arg(parent).status().unwrap().success());
    };
    remount("ro");
    for _ in 0..2 {
        let (store, memo) = values::open(&directory());
        assert!(store.is_read_only() && store.path() == Some(directory().canonicalize().unwrap().as_path()));
        let again = Store::open(directory()).unwrap();
        assert!(again.is_read_only(), "one store a directory");
        for key in keys(1) {
            assert!(memo.get_or_insert_with(&key, || unreachable!("{key} is stored")) == value(key, 1));
        }
        assert_eq!(others(&memo, 3), KEYS as usize, "no version but the first");
        for key in keys(2) {
            assert!(memo.get_or_insert_with(&key, || value(key, 2)) == value(key, 2));
            assert!(memo.get(&key).unwrap() == Some(value(key, 2)));
        }
        for key in keys(1) {
            assert!(memo.remove(&key).unwrap() && memo.get(&key).unwrap().is_none());
        }
        store.flush().unwrap();
        assert_eq!(store.last_failure().map(|failure| failure.to_string()), None);
        assert_eq!(memo.last_failure().map(|failure| failure.to_string()), None);
        drop((memo, again));
        store.close().unwrap();
    }
    remount("rw");
    let (store, memo) = values::open(&directory());
    assert!(!store.is_read_only() && others(&memo, 3) == KEYS as usize);
    drop(memo);
    store.close().unwrap();
    say("whole");
}

/// Not one byte is left. Later all of the space is free again.
pub fn full_disk() {
    let scene = Scene::new();
    let disk = rustix::fs::statvfs(directory()).unwrap();
    if disk.f_blocks * disk.f_frsize > 16 << 20 {
        say("not tried: this user cannot make a file system");
        return scene.ends(1);
    }
    let ballast = directory().with_file_name("ballast");
    let mut filling = File::create(&ballast).unwrap();
    for piece in [vec![1; 64 << 10], vec![1; 1]] {
        while filling.write_all(&piece).is_ok() {}
    }
    for version in [2, 1, 3] {
        scene.hands_over(version);
        // More than the buffer of the log of the index.
        scene.store.flush().unwrap_or_else(|error| say(&format!("flush: {error}")));
        scene.clock.advance(Duration::from_secs(120));
    }
    scene.told();
    assert!(scene.memo.insert(&0, &value(0, 1)).is_err());
    let another = Store::open_or_temporary(directory().with_file_name("another"));
    assert!(another.last_failure().unwrap().error.is_io());
    let memo: Values = Memo::builder("values").open(&another).unwrap();
    assert!(memo.get_or_insert_with(&7, || value(7, 1)) == value(7, 1));
    drop((memo, another, filling));
    fs::remove_file(&ballast).unwrap();
    scene.keeps(4);
    scene.ends(4);
}

fn no_threads() {
    for role in ["no thread before the open", "no thread after the open"] {
        assert_whole(ALL, role);
    }
}

/// From here on this thread starts no other. Root has no limit of threads, so the process takes the identity of
/// another user.
fn start_no_thread() {
    let nobody = Uid::from_raw(65_534);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    setrlimit(Resource::Nproc, none).unwrap();
    if geteuid().is_root() {
        let all = fs::Permissions::from_mode(0o777);
        let below = if directory().exists() { folders(&directory()) } else { Vec::new() };
        for folder in below.iter().map(PathBuf::as_path).chain(directory().parent()) {
            fs::set_permissions(folder, all.clone()).unwrap();
        }
        set_thread_res_uid(nobody, nobody, nobody).unwrap();
    }
    assert!(thread::Builder::new().spawn(|| ()).is_err(), "a thread could be started");
}

pub fn no_thread_before_the_open() {
    start_no_thread();
    let store = Store::open(directory()).unwrap_or_else(|error| {
        say(&error.to_string());
        Store::open_or_temporary(directory())
    });
    assert!(store.last_failure().is_some_and(|failure| failure.error.is_io()), "{:?}", store.last_failure());
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    for key in keys(1) {
        assert!(memo.get_or_insert_with(&key, || slowly(|| value(key, 1))) == value(key, 1));
        assert!(memo.get_or_insert_with(&key, || panic!("{key} is in memory")) == value(key, 1));
    }
    store.flush().unwrap();
    store.close().unwrap();
    say("whole");
}

pub fn no_thread_after_the_open() {
    let scene = Scene::new();
    start_no_thread();
    for key in keys(2) {
        assert!(scene.memo.get_or_insert_with(&key, || slowly(|| value(key, 2))) == value(key, 2));
    }
    let large = Memo::<u32, Vec<u8>>::builder("large").open(&scene.store).unwrap();
    let whole = vec![7; 4 << 20];
    assert!(large.get_or_insert_with(&1, || whole.clone()) == whole);
    scene.store.flush().unwrap();
    scene.keeps(3);
    scene.store.close().unwrap();
    say("whole");
}

/// Over 15 ms of real time, without a sleep: then a caller waits for the disk.
fn slowly<T>(compute: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(16) {
        std::hint::spin_loop();
    }
    compute()
}

/// A library that replaces the clock of the system, and says 1969.
const IN_1969: &str = r#"
    printf '%s
' '#include <time.h>'         'int clock_gettime(clockid_t id, struct timespec *to) {'         '    extern long syscall(long, ...);'         '    long done = syscall(228, id, to);'         '    if (id == CLOCK_REALTIME) to->tv_sec = -1000;'         '    return (int)done; }' >"$MEMOLITH_DIRECTORY.c"
    cc -shared -fPIC -o "$MEMOLITH_DIRECTORY.so" "$MEMOLITH_DIRECTORY.c" || exec "$0"
    LD_PRELOAD="$MEMOLITH_DIRECTORY.so" exec "$0"
"#;

fn clock_before_1970() {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return;
    }
    assert_whole(IN_1969, "a clock before 1970");
}

/// A process with another clock fills the store.
pub fn a_clock_before_1970() {
    if SystemTime::now() > UNIX_EPOCH {
        // The clock is right: this is the process without the library, or the library could not be built.
        say("not tried: no compiler for C");
        return say("whole");
    }
    let sound = |role: &str| {
        let mut command = Command::new(env::current_exe().unwrap());
        let status = command.env_remove("LD_PRELOAD").env("MEMOLITH_ROLE", role).status().unwrap();
        assert!(status.success(), "{role}");
    };
    sound("fill for 1969");
    let store = options(&ManualClock::new()).open(directory()).unwrap();
    let memo: Values = Memo::builder("values").open(&store).unwrap();
    for key in keys(2) {
        assert!(memo.get_or_insert_with(&key, || value(key, 2)) == value(key, 2));
    }
    assert!(store.last_failure().is_some_and(|failure| failure.error.is_io()), "{:?}", store.last_failure());
    assert!(store.last_failure().unwrap().to_string().contains("1970"));
    drop((memo, store));
    sound("look after 1969");
    say("whole");
}

pub fn fill_for_1969() {
    let (store, memo) = values::open(&directory());
    keys(1).for_each(|key| memo.insert(&key, &value(key, 1)).unwrap());
    store.close().unwrap();
}

pub fn look_after_1969() {
    let (store, memo) = values::open(&directory());
    keys(1).for_each(|key| assert!(memo.get(&key).unwrap() == Some(value(key, 1)), "{key}"));
    assert!(store.last_failure().is_none(), "{:?}", store.last_failure());
    store.close().unwrap();
}

fn folders(store: &Path) -> Vec<PathBuf> {
    let below = |folder: &Path| -> io::Result<Vec<PathBuf>> {
        Ok(fs::read_dir(folder)?.flatten().map(|file| file.path()).filter(|path| path.is_dir()).collect())
    };
    let mut all = vec![store.to_owned()];
    let mut seen = 0;
    while let Some(folder) = all.get(seen).cloned() {
        all.extend(below(&folder).unwrap());
        seen += 1;
    }
    all
}
